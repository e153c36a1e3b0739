package token

import (
	"errors"
	"io"
	"regexp"
	"testing"
)

// TestReasons: the list is a metric label, so every one has a name of its own
// and an answer to the client.
func TestReasons(t *testing.T) {
	seen := map[string]bool{"": true}
	label := regexp.MustCompile(`^[a-z_]+$`)
	for _, r := range Reasons() {
		if seen[r.String()] || !label.MatchString(r.String()) || r.Code() == "" {
			t.Errorf("reason %d: label %q, code %q", r, r, r.Code())
		}
		seen[r.String()] = true
	}
	if len(seen) != int(reasonCount) || ReasonNone.String() != "" || ReasonNone.Code() != "" {
		t.Errorf("%d reasons", len(seen))
	}
}

func TestRefusalError(t *testing.T) {
	r := &Refusal{Reason: AudienceMismatch, Want: "api", Got: "said by the token", Err: io.EOF}
	if got, want := r.Error(), "aud_mismatch: want api: EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(r, io.EOF) {
		t.Error("the cause is lost")
	}
	_, err := Parse("aaaa", 3)
	if want := "token_too_long: 4 bytes, at most 3 allowed"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
