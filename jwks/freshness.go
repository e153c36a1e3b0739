package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What an answer says about its own lifetime is kept within these bounds.
const (
	minFresh = time.Minute
	maxFresh = time.Hour
)

// freshness returns how long an answer may be kept by its own words: max-age
// less Age, or Expires less Date (RFC 9111 section 4.2), within minFresh and
// maxFresh. ok is false when it says nothing.
func freshness(h http.Header) (d time.Duration, ok bool) {
	if seconds, found := maxAge(h); found {
		if age, err := strconv.ParseInt(strings.TrimSpace(h.Get("Age")), 10, 32); err == nil && age > 0 {
			seconds -= age
		}
		return clampFresh(time.Duration(seconds) * time.Second), true
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return 0, false
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	return clampFresh(expires.Sub(date)), true
}

func clampFresh(d time.Duration) time.Duration { return min(max(d, minFresh), maxFresh) }

// maxAge returns the seconds of the first max-age directive.
func maxAge(h http.Header) (int64, bool) {
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, found := strings.Cut(strings.TrimSpace(directive), "=")
			if !found || !strings.EqualFold(name, "max-age") {
				continue
			}
			digits := strings.Trim(value, `"`)
			if digits == "" || strings.Trim(digits, "0123456789") != "" {
				return 0, false
			}
			// Beyond 32 bits is "very long" (RFC 9111 section 1.2.2).
			seconds, err := strconv.ParseInt(digits, 10, 32)
			if err != nil {
				seconds = 1<<31 - 1
			}
			return seconds, true
		}
	}
	return 0, false
}
