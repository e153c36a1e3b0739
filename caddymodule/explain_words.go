package caddymodule

import (
	"fmt"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// span says how long d is, in its two greatest units.
func span(d time.Duration) string {
	seconds := int64(d.Abs() / time.Second)
	units := []struct {
		name string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}
	var parts []string
	for i, u := range units {
		if n := seconds / u.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			seconds %= u.size
			if i+1 < len(units) && seconds/units[i+1].size > 0 {
				next := units[i+1]
				parts = append(parts, fmt.Sprintf("%d %s", seconds/next.size, next.name))
			}
			break
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts, " ")
}

// ago says when at is, seen from now.
func ago(now, at time.Time) string {
	if at.After(now) {
		return "in " + span(at.Sub(now))
	}
	return span(now.Sub(at)) + " ago"
}

// dated writes the date of a step of times.
func dated(x *gate.Explanation, s *gate.Step) string {
	at := s.Date.Time()
	text := fmt.Sprintf("%s %s, %s", s.Claim, shortTime(at), ago(x.Now, at))
	refused, ok := s.Err.(*token.Refusal) //nolint:errorlint // a step's error is a refusal
	if !ok {
		return text
	}
	missed := span(time.Duration(refused.Seconds) * time.Second)
	date := fmt.Sprintf("(%s %s; skew %s)", s.Claim, shortTime(at), x.Skew)
	switch refused.Reason {
	case token.Expired:
		return "expired " + span(x.Now.Sub(at)) + " ago " + date
	case token.NotBeforeAhead:
		return "valid only in " + span(at.Sub(x.Now)) + " " + date
	case token.IssuedAtAhead:
		return "issued " + span(at.Sub(x.Now)) + " ahead of this clock " + date
	case token.TooOld:
		return "too old by " + missed + " " + date
	case token.LifetimeExceeded:
		return "lives " + missed + " too long " + date
	}
	return text
}

// words joins what people read as a list.
func words(list []string) string {
	switch n := len(list); n {
	case 0:
		return "none"
	case 1:
		return list[0]
	default:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
}
