package caddymodule

import (
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// TestUnpaste takes off what comes along when a token is copied.
func TestUnpaste(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
	for text, notes := range map[string]int{
		jwt: 0, jwt + "\n": 1, "  " + jwt: 1, "Bearer " + jwt: 1, "bearer  " + jwt + "\r\n": 2, `"` + jwt + `"`: 1, `"Bearer ` + jwt + `"`: 2, "'" + jwt + "'": 1,
		"Authorization: Bearer " + jwt: 2, jwt[:20] + "\n" + jwt[20:]: 1,
	} {
		if raw, said := unpaste(text); raw != jwt || len(said) != notes {
			t.Errorf("%q: %q, %q", text, raw, said)
		}
	}
	for _, text := range []string{"", "opaque token", "a b c"} {
		if raw, _ := unpaste(text); raw != text {
			t.Errorf("%q became %q", text, raw)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 45 * time.Second: "45 s", 2*time.Hour + 3*time.Minute + time.Second: "2 h 3 min", -90 * time.Second: "1 min 30 s",
		2 * time.Hour: "2 h", 50 * time.Hour: "2 d 2 h", 24*time.Hour + time.Minute: "1 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// TestEveryReasonHasAHint, but where the explanation says it all.
func TestEveryReasonHasAHint(t *testing.T) {
	for _, r := range token.Reasons() {
		g := &gateWalk{handler: &Handler{}}
		if g.extractHint(token.Refuse(r, "", "")) == "" && policyHint(r) == "" && !hinted[r] {
			t.Errorf("%s has none", r)
		}
	}
}

// hinted are the reasons whose hint depends on the token.
var hinted = map[token.Reason]bool{
	token.TokenMalformed: true, token.HeaderMalformed: true, token.HeaderUnsupported: true, token.ClaimsMalformed: true, token.AlgNotAllowed: true,
	token.IssuerMissing: true, token.IssuerUnknown: true, token.KeysNeverObtained: true, token.KeysStale: true, token.KeysFetchFailed: true,
	token.KidUnknown: true, token.KeyMismatch: true, token.SignatureInvalid: true, token.ExpiryMissing: true, token.Expired: true,
	token.NotBeforeAhead: true, token.IssuedAtAhead: true, token.TooOld: true, token.LifetimeExceeded: true, token.TypeMismatch: true, token.AudienceMismatch: true,
}
