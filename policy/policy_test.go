package policy

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// claimsOf parses a claims set; the iss and exp that every token must have are
// added unless members names them.
func claimsOf(t testing.TB, members string) *token.Claims {
	t.Helper()
	text := strings.TrimSpace(members)
	if !strings.HasPrefix(text, "{") {
		text = "{" + text + "}"
	}
	add := func(name, value string) {
		if !strings.Contains(text, `"`+name+`"`) {
			sep := ","
			if text == "{}" {
				sep = ""
			}
			text = text[:len(text)-1] + sep + `"` + name + `":` + value + "}"
		}
	}
	add("iss", `"https://id.example.com"`)
	add("exp", strconv.FormatInt(clock.Unix()+600, 10))
	c, err := token.ParseClaims(text)
	if err != nil {
		t.Fatalf("claims %s: %v", text, err)
	}
	return c
}

// wantReason fails unless err is a Refusal for reason, or nil for ReasonNone.
func wantReason(t testing.TB, err error, reason token.Reason) *token.Refusal {
	t.Helper()
	if reason == token.ReasonNone {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return nil
	}
	var r *token.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal for %s", err, reason)
	}
	if r.Reason != reason {
		t.Fatalf("refused for %s (%v), want %s", r.Reason, err, reason)
	}
	return r
}

func TestShortenCutsBetweenCharacters(t *testing.T) {
	long := strings.Repeat("ä", maxGot)
	got := shorten("x" + long)
	if body, ok := strings.CutSuffix(got, "..."); !ok || len(body) > maxGot || !strings.HasPrefix("x"+long, body) || strings.ContainsRune(body, '\uFFFD') {
		t.Errorf("shorten gave %q", got)
	}
	if s := strings.Repeat("a", maxGot); shorten(s) != s {
		t.Error("a string of the greatest length was cut")
	}
}
