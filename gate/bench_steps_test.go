package gate

import (
	"context"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// BenchmarkStep is each step of a decision by itself, in the order in which a
// request meets them. The last part of a name says which requests pay for it:
// every one, a cold one, or a warm one. bench makes the table of
// docs/performance.md of it.
func BenchmarkStep(b *testing.B) {
	key := signingKey(b, "RS256", "k1")
	g, c := benchGate(b, key, newCache(b))
	raw := mintToken(b, key, claims900(c, key, 1))
	warm(b, g, raw)
	now := time.Now()
	digest := keyOf(raw)
	e, _ := g.cache.get(&digest)
	is, refused := g.choose(e.token.Claims.Issuer)
	if refused != nil {
		b.Fatal(refused)
	}
	set, _ := is.current(now)
	v := e.standing(is, set)
	p := token.Acquire()
	defer p.Release()
	parsed, err := p.Parse(raw, g.maxToken)
	if err != nil {
		b.Fatal(err)
	}
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"2a SHA-256 of the token/every", func() { keyOf(raw) }},
		{"2b look into the verdict cache/every", func() { _, tally := g.cache.get(&digest); tally.count(true) }},
		{"3 parse strictly/cold", func() { _, _ = p.Parse(raw, g.maxToken) }},
		{"4 issuer, algorithm, exp, keys/every", func() {
			is, _ := g.choose(e.token.Claims.Issuer)
			_ = is.permits(&e.token.Header)
			_ = is.unexpired(e.token.Claims, now, Options{})
			_, _ = is.current(now)
		}},
		{"4 the key still vouches/warm", func() { e.standing(is, set) }},
		{"5b keep the token, digests for revocation/cold", func() { revocation.IDsOf(parsed.Detach()) }},
		{"6 times/every", func() { _ = is.policy.Times(now, e.token.Claims, 0) }},
		{"7 ask for revocations/every", func() { _ = g.withdrawn(&e.ids) }},
		{"8a claims, rules, headers, once a gate and token/cold", func() { g.evaluate(e, v, is) }},
		{"8b the kept result, rules on the request/every", func() { _ = v.result(g.digest).answer(nil) }},
		{"9b put the verdict into the cache/cold", func() { g.cache.put(e, now, false) }},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step.run()
			}
		})
	}
	b.Run("2 the clock/every", func(b *testing.B) {
		for b.Loop() {
			g.now()
		}
	})
	for _, alg := range coldAlgorithms {
		b.Run("5a signature "+alg+"/cold", func(b *testing.B) { benchSignature(b, signingKey(b, alg, "k1")) })
	}
}

func benchSignature(b *testing.B, key *signing.Key) {
	g, c := benchGate(b, key, newCache(b))
	t, err := token.Parse(mintToken(b, key, claims900(c, key, 1)), 0)
	if err != nil {
		b.Fatal(err)
	}
	is, _ := g.choose(t.Claims.Issuer)
	set, _ := is.current(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if vouched, refused := g.vouch(context.Background(), is, set, t, time.Now()); vouched == nil {
			b.Fatal(refused)
		}
	}
}
