package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// told collects what a gate says about clocks, in whole seconds.
type told []string

func (l *told) on(b Bound, seconds float64) {
	*l = append(*l, fmt.Sprintf("%s %+.0f", b, seconds+0)) // not -0
}

// is compares and begins anew.
func (l *told) is(t *testing.T, when string, want ...string) {
	t.Helper()
	if !slices.Equal(*l, want) {
		t.Errorf("%s: told %q, want %q", when, []string(*l), want)
	}
	*l = nil
}

// from turns durations among claims into times from now on.
func from(c *clock, claims map[string]any) map[string]any {
	out := maps.Clone(claims)
	for name, v := range out {
		if d, ok := v.(time.Duration); ok {
			out[name] = c.now().Add(d).Unix()
		}
	}
	return out
}

func TestSkewOfVerifiedTokens(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   token.Reason
		told   []string
	}{
		{"fresh", nil, token.ReasonNone, []string{"iat +0", "exp -300"}},
		{"old", map[string]any{"iat": -100 * time.Second}, token.ReasonNone, []string{"iat -100", "exp -300"}},
		{"ahead, within skew", map[string]any{"iat": 20 * time.Second}, token.ReasonNone, []string{"iat +20", "exp -300"}},
		{"ahead, refused", map[string]any{"iat": 90 * time.Second}, token.IssuedAtAhead, []string{"iat +90", "exp -300"}},
		{"nbf later than iat", map[string]any{"nbf": 40 * time.Second}, token.NotBeforeAhead, []string{"nbf +40", "exp -300"}},
		{"nbf before iat", map[string]any{"nbf": -time.Hour}, token.ReasonNone, []string{"iat +0", "exp -300"}},
		{"nbf alone", map[string]any{"iat": nil, "nbf": -5 * time.Second}, token.ReasonNone, []string{"nbf -5", "exp -300"}},
		{"neither", map[string]any{"iat": nil}, token.ReasonNone, []string{"exp -300"}},
		{"late, within skew", map[string]any{"exp": -10 * time.Second}, token.ReasonNone, []string{"iat +0", "exp +10"}},
		{"late, refused", map[string]any{"exp": -45 * time.Second}, token.Expired, []string{"exp +45"}},
		{"long past", map[string]any{"exp": -2 * time.Hour}, token.Expired, nil},
		{"the year 9999", map[string]any{"exp": 253402300799, "iat": -62135510000}, token.ReasonNone, []string{"iat -86400", "exp -86400"}},
		{"wrong audience", map[string]any{"aud": "other"}, token.AudienceMismatch, []string{"iat +0", "exp -300"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got told
			is := trust(t, keysOf(t, key))
			is.OnSkew = got.on
			g := newGate(t, Config{Issuers: []Issuer{is}, Cache: newCache(t), Now: c.now})
			mint := func() string { return mintToken(t, key, goodClaims(c, from(c, tt.claims))) }
			raw := mint()
			expect(t, g, breakSignature(t, raw), map[bool]token.Reason{true: tt.want, false: token.SignatureInvalid}[tt.want == token.Expired])
			got.is(t, "forged")
			c.advance(sampleEvery) // the forged one may have been the sample
			raw = mint()
			expect(t, g, raw, tt.want)
			got.is(t, "the first time", tt.told...)
			if tt.want == token.Expired {
				return
			}
			for range 3 {
				expect(t, g, raw, tt.want)
			}
			got.is(t, "again")
		})
	}
}

// TestSkewOfTokensThatGrowOld follows one token past its exp: one observation
// for each step, however often it is used, and also beyond the skew, where the
// verdict is remembered.
func TestSkewOfTokensThatGrowOld(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	var got told
	is := trust(t, keysOf(t, key))
	is.OnSkew = got.on
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{is}, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(time.Minute).Unix()}))
	expect(t, g, raw, token.ReasonNone)
	got.is(t, "fresh", "iat +0", "exp -60")
	for _, step := range []struct {
		by   time.Duration
		want token.Reason
		told []string
	}{
		{59 * time.Second, token.ReasonNone, nil},
		{time.Second, token.ReasonNone, []string{"exp +0"}},
		{4 * time.Second, token.ReasonNone, []string{"exp +4"}},
		{time.Second, token.ReasonNone, nil},
		{20 * time.Second, token.ReasonNone, []string{"exp +25"}},
		{10 * time.Second, token.Expired, []string{"exp +35"}},
		{10 * time.Second, token.Expired, nil},
		{3 * time.Minute, token.Expired, []string{"exp +225"}},
	} {
		c.advance(step.by)
		for range 3 {
			expect(t, g, raw, step.want)
		}
		got.is(t, "after "+step.by.String(), step.told...)
	}
	if _, _, err := g.Check(context.Background(), raw, nil, Options{AllowExpired: time.Hour}); err != nil {
		t.Errorf("a late logout: %v", err)
	}
	got.is(t, "a late logout")
}

// TestExpiredTokensCostOneCheckASecond: strangers can neither make the figure up
// nor have signatures checked.
func TestExpiredTokensCostOneCheckASecond(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	var got told
	is := trust(t, keysOf(t, key))
	is.OnSkew = got.on
	checks := 0
	g := newGate(t, Config{Issuers: []Issuer{is}, Cache: newCache(t), Now: c.now,
		OnVerify: func(token.Algorithm, time.Duration) { checks++ }})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(-time.Minute).Unix()}))
	for range 10 {
		expect(t, g, breakSignature(t, raw), token.Expired)
		expect(t, g, raw, token.Expired)
	}
	if checks != 1 {
		t.Errorf("%d signature checks for ten forged tokens, want 1", checks)
	}
	got.is(t, "after a forged sample")
	for range 3 {
		c.advance(sampleEvery)
		expect(t, g, raw, token.Expired)
		expect(t, g, raw, token.Expired)
	}
	got.is(t, "one a second", "exp +61", "exp +62", "exp +63")
	c.advance(-time.Hour / 2)
	late := mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(-time.Minute).Unix()}))
	expect(t, g, late, token.Expired)
	got.is(t, "after the clock was set back", "exp +60")
	is.Keys.(*fakeKeys).set.Store(nil)
	c.advance(sampleEvery)
	expect(t, g, late, token.Expired)
	got.is(t, "without keys")
}

func BenchmarkWarmPastExp(b *testing.B) {
	key := signingKey(b, "RS256", "k1")
	c := newClock()
	is := trust(b, keysOf(b, key))
	is.OnSkew = func(Bound, float64) {}
	g := newGate(b, Config{Issuers: []Issuer{is}, Cache: newCache(b), Now: c.now})
	raw := mintToken(b, key, goodClaims(c, nil))
	c.advance(5*time.Minute + 10*time.Second)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := g.Check(context.Background(), raw, nil, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
