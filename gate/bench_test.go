package gate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// nothingRevoked is a list that is empty and asked on every request.
type nothingRevoked struct{}

func (nothingRevoked) Revoked(*revocation.IDs) (revocation.Kind, error) { return 0, nil }

// benchGate is a gate such as a site has: one issuer, an audience, a scope, three
// forwarded headers, a revocation list.
func benchGate(b testing.TB, key *signing.Key, cache *Cache) (*Gate, *clock) {
	b.Helper()
	c := newClock()
	forward, err := NewForward([]ForwardConfig{{Header: "X-User-ID", Claim: "sub"}, {Header: "X-User-Email", Claim: "email"}, {Header: "X-User-Roles", Claim: "realm_access.roles", Form: "join", Sep: ","}}, 0, false)
	if err != nil {
		b.Fatal(err)
	}
	// The real clock: reading it is part of a decision.
	return newGate(b, Config{
		Issuers: []Issuer{trust(b, keysOf(b, key))}, Forward: forward, Revocation: nothingRevoked{}, Cache: cache,
		Rules: rulesOf(b, policy.RuleConfig{Kind: "scope", Values: []string{"orders:read"}}),
	}), c
}

func warm(b testing.TB, g *Gate, raws ...string) {
	b.Helper()
	for _, raw := range raws {
		expect(b, g, raw, token.ReasonNone)
	}
	handOver(g.cache, time.Now())
	hits := g.cache.Stats().Hits
	for _, raw := range raws {
		expect(b, g, raw, token.ReasonNone)
	}
	if got := g.cache.Stats().Hits - hits; got != uint64(len(raws)) {
		b.Fatalf("%d of %d tokens are warm", got, len(raws))
	}
}

func BenchmarkWarm(b *testing.B) {
	key := signingKey(b, "RS256", "k1")
	g, c := benchGate(b, key, newCache(b))
	raw := mintToken(b, key, claims900(c, key, 1))
	warm(b, g, raw)
	b.ReportMetric(float64(len(raw)), "token-bytes")
	b.ReportAllocs()
	ctx := context.Background()
	for b.Loop() {
		if _, _, err := g.Check(ctx, raw, nil, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWarmParallel has 64 tokens on all cores, and the worst case of one.
func BenchmarkWarmParallel(b *testing.B) {
	for _, n := range []int{64, 1} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			key := signingKey(b, "RS256", "k1")
			g, c := benchGate(b, key, newCache(b))
			raws := make([]string, n)
			for i := range raws {
				raws[i] = mintToken(b, key, claims900(c, key, i))
			}
			warm(b, g, raws...)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				for i := 0; pb.Next(); i++ {
					if _, _, err := g.Check(ctx, raws[i%n], nil, Options{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			// ns/op is wall time over operations of all cores.
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())*float64(runtime.GOMAXPROCS(0))/float64(b.N), "ns/op/core")
		})
	}
}

// BenchmarkSHA256 is the part of a warm decision that no cache can spare.
func BenchmarkSHA256(b *testing.B) {
	key := signingKey(b, "RS256", "k1")
	raw := mintToken(b, key, claims900(newClock(), key, 1))
	for b.Loop() {
		keyOf(raw)
	}
}

var coldAlgorithms = []string{"RS256", "ES256", "EdDSA"}

// BenchmarkCold decides about a token that the cache does not know, and puts it
// there: each round has another token.
func BenchmarkCold(b *testing.B) {
	for _, alg := range coldAlgorithms {
		b.Run(alg, func(b *testing.B) {
			key := signingKey(b, alg, "k1")
			g, c := benchGate(b, key, newCache(b))
			raws := make([]string, 512)
			for i := range raws {
				raws[i] = mintToken(b, key, claims900(c, key, i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			ctx := context.Background()
			for i := 0; i < b.N; i++ {
				if i%len(raws) == 0 {
					b.StopTimer()
					forget(g.cache)
					b.StartTimer()
				}
				if _, _, err := g.Check(ctx, raws[i%len(raws)], nil, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBare is the standard library's signature check of the same tokens,
// hash of the signing input included.
func BenchmarkBare(b *testing.B) {
	for _, alg := range coldAlgorithms {
		b.Run(alg, func(b *testing.B) {
			key := signingKey(b, alg, "k1")
			raw := mintToken(b, key, claims900(newClock(), key, 1))
			dot := strings.LastIndexByte(raw, '.')
			input := []byte(raw[:dot])
			signature, err := signing.Decode(raw[dot+1:])
			if err != nil {
				b.Fatal(err)
			}
			check := bareCheck(b, key, signature)
			if !check(input) {
				b.Fatal("the signature does not hold")
			}
			b.ReportAllocs()
			for b.Loop() {
				check(input)
			}
		})
	}
}

func bareCheck(b *testing.B, key *signing.Key, signature []byte) func(input []byte) bool {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		return func(input []byte) bool {
			sum := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
		}
	case *ecdsa.PublicKey:
		return func(input []byte) bool {
			sum := sha256.Sum256(input)
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			return ecdsa.Verify(public, sum[:], r, s)
		}
	case ed25519.PublicKey:
		return func(input []byte) bool { return ed25519.Verify(public, input, signature) }
	}
	b.Fatalf("no bare check for %T", key.Public())
	return nil
}

// refusals are what a stranger can send without a key.
func refusals(b testing.TB, c *clock) map[string]string {
	key := signingKey(b, "RS256", "k1")
	good := mintToken(b, key, claims900(c, key, 1))
	other, old := claims900(c, key, 1), claims900(c, key, 1)
	other["iss"], old["exp"] = "https://nobody.example.com", c.now().Unix()-3600
	return map[string]string{
		"syntax":  good[:100] + "%" + good[101:],
		"issuer":  mintToken(b, key, other),
		"expired": mintToken(b, key, old),
		"dots":    strings.Repeat(".", 1<<20),
		"dots16K": strings.Repeat(".", token.DefaultMaxLength),
	}
}

func BenchmarkRefuse(b *testing.B) {
	key := signingKey(b, "RS256", "k1")
	g, c := benchGate(b, key, newCache(b))
	for name, raw := range refusals(b, c) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				if _, _, err := g.Check(ctx, raw, nil, Options{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkCacheCapacity says how many 900-byte RS256 tokens a cache of 64 MiB
// holds, and what the process needs for it beside a flood of others. One round
// is enough: go test -bench CacheCapacity -benchtime 1x.
func BenchmarkCacheCapacity(b *testing.B) {
	for b.Loop() {
		key := signingKey(b, "RS256", "k1")
		cache, err := NewCache(64 << 20)
		if err != nil {
			b.Fatal(err)
		}
		g, c := benchGate(b, key, cache)
		raw := mintToken(b, key, claims900(c, key, 1))
		before := heap()
		expect(b, g, raw, token.ReasonNone)
		settle(cache)
		one, _ := cache.get(ptr(keyOf(raw)))
		// A million signatures take minutes to make: the entries are of one
		// verified token under other names, each with memory of its own.
		const flood = 1_000_000
		peak := int64(0)
		for i := range flood {
			p := token.Acquire()
			t, err := p.Parse(raw, 0)
			if err != nil {
				b.Fatal(err)
			}
			kept := t.Detach()
			p.Release()
			e := &entry{key: sha256.Sum256(fmt.Append(nil, i)), token: kept, ids: one.ids}
			v := e.vouch(one.verdicts.Load().issuer, one.verdicts.Load().key)
			for is := range g.issuers {
				v.keep(g.evaluate(e, v, g.issuers[is]))
			}
			cache.put(e, g.now(), false)
			if i%1000 == 0 {
				settle(cache)
			}
			if i%100_000 == 0 {
				peak = max(peak, heap()-before)
			}
		}
		settle(cache)
		s := cache.Stats()
		b.ReportMetric(float64(len(raw)), "token-bytes")
		b.ReportMetric(float64(s.Entries), "tokens")
		b.ReportMetric(float64(s.Bytes)/float64(s.Entries), "B/token")
		b.ReportMetric(float64(max(peak, heap()-before))/(1<<20), "peak-heap-MiB")
		cache.Close()
	}
}
