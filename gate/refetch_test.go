package gate

import (
	"testing"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

// TestRefetch has every way in which no key vouches, and what the source says
// to that.
func TestRefetch(t *testing.T) {
	c := newClock()
	old, replaced := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "other").WithID("k1")
	rotated, retyped := signingKey(t, "ES256", "k2"), signingKey(t, "EdDSA", "k1")
	stranger := signingKey(t, "ES256", "stranger")
	good := goodClaims(c, nil)
	cases := []struct {
		name      string
		raw       string
		outcome   jwks.Outcome
		next      []*signing.Key
		gone      bool
		want      token.Reason
		refetches int64
	}{
		{name: "a known key asks for nothing", raw: mintToken(t, old, good), outcome: jwks.Failed, want: token.ReasonNone},
		{name: "an expired token asks for nothing", raw: mintToken(t, rotated, goodClaims(c, map[string]any{"exp": 1})), want: token.Expired},
		{name: "rotated to a new kid", raw: mintToken(t, rotated, good), outcome: jwks.Changed, next: []*signing.Key{rotated}, want: token.ReasonNone, refetches: 1},
		{name: "rotated under the same kid", raw: mintToken(t, replaced, good), outcome: jwks.Changed, next: []*signing.Key{replaced}, want: token.ReasonNone, refetches: 1},
		{name: "rotated to another type under the same kid", raw: mintToken(t, retyped, good), outcome: jwks.Changed, next: []*signing.Key{retyped}, want: token.ReasonNone, refetches: 1},
		{name: "rotated without kids", raw: mintWith(t, rotated, good, map[string]any{"kid": nil}), outcome: jwks.Changed, next: []*signing.Key{rotated.WithID("")}, want: token.ReasonNone, refetches: 1},
		{name: "unknown kid, budget spent", raw: mintToken(t, stranger, good), outcome: jwks.Current, want: token.KidUnknown, refetches: 1},
		{name: "unknown kid, still unknown after one refetch", raw: mintToken(t, stranger, good), outcome: jwks.Changed, next: []*signing.Key{rotated}, want: token.KidUnknown, refetches: 1},
		{name: "unknown kid, issuer down", raw: mintToken(t, stranger, good), outcome: jwks.Failed, want: token.KeysFetchFailed, refetches: 1},
		{name: "unknown kid, keys gone meanwhile", raw: mintToken(t, stranger, good), outcome: jwks.Changed, gone: true, want: token.KeysStale, refetches: 1},
		{name: "bad signature, budget spent", raw: mintToken(t, replaced, good), outcome: jwks.Current, want: token.SignatureInvalid, refetches: 1},
		{name: "bad signature, still bad after one refetch", raw: mintToken(t, replaced, good), outcome: jwks.Changed, next: []*signing.Key{old, rotated}, want: token.SignatureInvalid, refetches: 1},
		{name: "bad signature, issuer down", raw: mintToken(t, replaced, good), outcome: jwks.Failed, want: token.KeysFetchFailed, refetches: 1},
		{name: "kid of another type, budget spent", raw: mintToken(t, retyped, good), outcome: jwks.Current, want: token.KeyMismatch, refetches: 1},
		{name: "an outcome that nobody defined", raw: mintToken(t, stranger, good), outcome: 99, want: token.KeysFetchFailed, refetches: 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			keys := keysOf(t, old)
			keys.outcome, keys.gone, keys.missing = tc.outcome, tc.gone, token.KeysStale
			if tc.next != nil {
				keys.next = setOf(t, tc.next...)
			}
			cache := newCache(t)
			g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
			expect(t, g, tc.raw, tc.want)
			if n := keys.refetches.Load(); n != tc.refetches {
				t.Fatalf("%d refetches, want %d", n, tc.refetches)
			}
			settle(cache)
			if s := cache.Stats(); tc.want != token.ReasonNone && s.Entries != 0 {
				t.Fatalf("%d entries for a token that no key vouched for", s.Entries)
			}
		})
	}
}

func TestKeysUnavailableIsNever401(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	for _, missing := range []token.Reason{token.KeysNeverObtained, token.KeysStale, token.ReasonNone, token.SignatureInvalid} {
		keys := &fakeKeys{missing: missing}
		g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Now: c.now})
		got := decide(t, g, mintToken(t, key, goodClaims(c, nil)))
		if got.Code() != token.CodeKeysUnavailable {
			t.Errorf("no keys (%q): %q is a %q", missing, got, got.Code())
		}
	}
}
