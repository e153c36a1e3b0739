package gate

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// tokens900 makes n distinct tokens of about 900 bytes. EdDSA, so that a test
// can afford many; the claims make up for the shorter signature.
func tokens900(t testing.TB, c *clock, key *signing.Key, n int) []string {
	t.Helper()
	raws := make([]string, n)
	for i := range raws {
		raws[i] = mintToken(t, key, claims900(c, key, i))
	}
	return raws
}

// claims900 are claims such as an IdP issues, for a token of about 900 bytes.
func claims900(c *clock, key *signing.Key, i int) map[string]any {
	filler := 46
	if key.Algorithm() != "RS256" {
		filler += (342 - 86) * 3 / 4
	}
	return goodClaims(c, map[string]any{
		"jti": fmt.Sprintf("1f0c8a52-6f4e-4a8e-9d0a-%012d", i), "sub": fmt.Sprintf("5d1c7f0e-user-%08d", i),
		"sid": fmt.Sprintf("sess-%08d", i), "azp": "mobile-app", "email": fmt.Sprintf("user%d@example.com", i), "email_verified": true,
		"realm_access": map[string]any{"roles": []string{"reader", "editor"}},
		"pad":          strings.Repeat("x", filler),
	})
}

// heap returns the bytes that are in use after a collection.
func heap() int64 {
	for range 2 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestCacheCostIsHonest compares what entries claim to cost with the heap.
func TestCacheCostIsHonest(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap")
	}
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	keys := keysOf(t, key)
	forward, err := NewForward([]ForwardConfig{{Header: "X-User", Claim: "sub"}, {Header: "X-Email", Claim: "email"}, {Header: "X-Roles", Claim: "realm_access.roles", Form: "join", Sep: ","}}, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, rules := range map[string]*policy.Rules{
		"plain":       nil,
		"expressions": rulesOf(t, policy.RuleConfig{Kind: "expr", Expr: `request.method == "POST" && claims.sub != ""`}),
	} {
		for _, gates := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d gates", name, gates), func(t *testing.T) {
				cache, err := NewCache(64 << 20)
				if err != nil {
					t.Fatal(err)
				}
				defer cache.Close()
				const n = 4000
				raws := tokens900(t, c, key, n)
				var all []*Gate
				for i := range gates {
					all = append(all, newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Rules: rules, Forward: forward, Cache: cache, Now: c.now, Digest: digestFor(fmt.Sprint(i))}))
				}
				outcomeOf(all[0], raws[0]) // what is made once is no entry's
				settle(cache)
				before := heap()
				for _, g := range all {
					for _, raw := range raws {
						if o := outcomeOf(g, raw); o.reason != token.ReasonNone {
							t.Fatal(o.reason)
						}
					}
					settle(cache)
				}
				grown := heap() - before
				s := cache.Stats()
				if s.Entries != n {
					t.Fatalf("%d entries, want %d", s.Entries, n)
				}
				ratio := float64(s.Bytes) / float64(grown)
				t.Logf("%d bytes of heap an entry, %d claimed (%.2f)", grown/n, s.Bytes/n, ratio)
				if ratio < 0.9 || ratio > 1.2 {
					t.Errorf("entries claim %.2f times the heap that they take", ratio)
				}
				runtime.KeepAlive(raws)
			})
		}
	}
}

// TestCacheKeepsAWorkingSetThatFits: ristretto counts more than one thinks; a
// set that fits must stay, also beside tokens that are seen once.
func TestCacheKeepsAWorkingSetThatFits(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many tokens")
	}
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	const size = 4 << 20
	cache, err := NewCache(size)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	raws := tokens900(t, c, key, 3000)
	expect(t, g, raws[0], token.ReasonNone)
	settle(cache)
	fits := int(float64(size) * 0.9 / float64(cache.Stats().Bytes))
	if fits < 1000 || fits > 2400 {
		t.Fatalf("%d tokens should fit in %d bytes: not what this test is made for", fits, size)
	}
	working, once := raws[:fits], raws[fits:]
	random := rand.New(rand.NewPCG(3, 4))
	pass := func() {
		for _, i := range random.Perm(len(working)) {
			expect(t, g, working[i], token.ReasonNone)
		}
		settle(cache)
	}
	pass()
	before := cache.Stats()
	for range 5 {
		pass()
	}
	after := cache.Stats()
	hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
	t.Logf("working set of %d tokens: %d hits, %d misses; %d of %d bytes", fits, hits, misses, after.Bytes, after.MaxBytes)
	if float64(hits)/float64(hits+misses) < 0.99 {
		t.Errorf("hit ratio %.4f", float64(hits)/float64(hits+misses))
	}
	skipUnderRace(t)
	// Tokens that are seen once do not drive the working set out.
	before = after
	for i := range once {
		expect(t, g, once[i], token.ReasonNone)
		expect(t, g, working[random.IntN(fits)], token.ReasonNone)
	}
	settle(cache)
	after = cache.Stats()
	kept := float64(after.Hits-before.Hits) / float64(len(once))
	t.Logf("beside %d tokens seen once: %.3f of the working set's requests hit", len(once), kept)
	if kept < 0.8 {
		t.Errorf("only %.3f of the working set's requests hit beside tokens seen once", kept)
	}
}

// TestTrapUnboundedCache: neither distinct tokens nor gates that leave results
// on few tokens grow the cache past its size.
func TestTrapUnboundedCache(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many tokens")
	}
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	keys := keysOf(t, key)
	cache, err := NewCache(MinCacheSize)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	raws := tokens900(t, c, key, 4000)
	check := func(what string) {
		t.Helper()
		settle(cache)
		var real int64
		cache.store.IterValues(func(e *entry) bool { real += e.cost(); return false })
		for e := range cache.fresh.all() {
			real += e.cost()
		}
		s := cache.Stats()
		t.Logf("%s: %d entries, %d bytes", what, s.Entries, real)
		// One entry may grow before it has to ask for its place again.
		if limit := s.MaxBytes + 64<<10; s.Bytes > limit || real > limit {
			t.Fatalf("%s: %d bytes counted, %d real, of %d", what, s.Bytes, real, s.MaxBytes)
		}
		if s.Entries == 0 {
			t.Fatalf("%s: the cache is empty", what)
		}
	}
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
	for i, raw := range raws {
		expect(t, g, raw, token.ReasonNone)
		if i%500 == 0 {
			settle(cache)
		}
	}
	check("distinct tokens")
	for i := range 40 {
		g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now, Digest: digestFor("gate", fmt.Sprint(i))})
		for _, raw := range raws[:200] {
			expect(t, g, raw, token.ReasonNone)
		}
		settle(cache)
	}
	check("many gates")
}
