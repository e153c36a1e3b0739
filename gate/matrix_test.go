package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// sixteen returns the configurations of 16 gates that each differ from the
// first in one option. keys and others are two sources of issuer A.
func sixteen(t testing.TB, c *clock, keys, others KeySource) []Config {
	t.Helper()
	change := []func(*Config){
		func(*Config) {},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Audience = []string{"billing"} })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Audience, p.AnyAudience = nil, true })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Skew = 0 })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.MaxAge = time.Minute })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Types = []string{"JWT"} })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Require = []string{"tenant"} })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.MaxLifetime = time.Minute })
		},
		func(cfg *Config) {
			cfg.Issuers[0].Algorithms, cfg.Issuers[0].Digest = token.Algorithms(token.EdDSA), digestFor("EdDSA alone")
		},
		func(cfg *Config) { cfg.Issuers[0].Keys, cfg.Issuers[0].Digest = others, digestFor("other keys") },
		func(cfg *Config) { cfg.Issuers[0].Name, cfg.Issuers[0].Digest = issuerB, digestFor("issuer", issuerB) },
		func(cfg *Config) {
			cfg.Rules = rulesOf(t, policy.RuleConfig{Kind: "scope", Values: []string{"orders:write"}})
		},
		func(cfg *Config) {
			cfg.Rules = rulesOf(t, policy.RuleConfig{Kind: "claim", Claim: "sub", Values: []string{"bob"}})
		},
		func(cfg *Config) {
			cfg.Rules = rulesOf(t, policy.RuleConfig{Kind: "expr", Expr: `request.method == "GET" || claims.sub == "bob"`})
		},
		func(cfg *Config) {
			forward, err := NewForward([]ForwardConfig{{Header: "X-User", Claim: "sub"}}, 3, true)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Forward = forward
		},
		func(cfg *Config) { cfg.MaxToken = 300 },
	}
	configs := make([]Config, len(change))
	for i, f := range change {
		cfg := Config{Issuers: []Issuer{trust(t, keys)}, Now: c.now, Digest: digestFor("gate", fmt.Sprint(i))}
		f(&cfg)
		configs[i] = cfg
	}
	return configs
}

// tokens returns tokens that the gates of sixteen decide differently about.
func tokens(t testing.TB, c *clock, key, other *signing.Key) []string {
	t.Helper()
	return []string{
		mintToken(t, key, goodClaims(c, nil)),
		mintToken(t, key, goodClaims(c, map[string]any{"sub": "bob", "scope": "orders:write", "tenant": "t1"})),
		mintToken(t, key, goodClaims(c, map[string]any{"aud": []string{"billing", "api"}, "iat": c.now().Add(-time.Hour).Unix()})),
		mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(-10 * time.Second).Unix()})),
		mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(20 * time.Second).Unix()})),
		mintToken(t, key, goodClaims(c, map[string]any{"iss": issuerB})),
		mintToken(t, other, goodClaims(c, nil)),
		mintToken(t, signingKey(t, "EdDSA", "ed"), goodClaims(c, nil)),
		mintWith(t, key, goodClaims(c, map[string]any{"jti": "revoked"}), map[string]any{"typ": "JWT"}),
		breakSignature(t, mintToken(t, key, goodClaims(c, nil))),
	}
}

// outcome is all that a request sees of a decision.
type outcome struct {
	reason  token.Reason
	issuer  string
	subject string
	headers int
}

func outcomeOf(g *Gate, raw string) (o outcome) {
	id, issuer, err := g.Check(context.Background(), raw, fakeRequest{method: "POST"}, Options{})
	o.issuer = issuer
	if err != nil {
		var refused *token.Refusal
		errors.As(err, &refused)
		o.reason = refused.Reason
		return o
	}
	o.subject, o.headers = id.Claims.Subject, len(id.Headers)
	return o
}

// TestOneTokenOnSixteenGatesInEveryOrder: warm answers are cold answers,
// whichever gate saw the token first.
func TestOneTokenOnSixteenGatesInEveryOrder(t *testing.T) {
	c := newClock()
	key, other := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "other").WithID("k1")
	ed := signingKey(t, "EdDSA", "ed")
	keys, others := keysOf(t, key, ed), keysOf(t, other, ed)
	revoked := mintWith(t, key, goodClaims(c, map[string]any{"jti": "revoked"}), nil)
	parsed, err := token.Parse(revoked, 0)
	if err != nil {
		t.Fatal(err)
	}
	list := &fakeList{kind: revocation.Token, only: revocation.IDsOf(parsed).Token}
	configs := sixteen(t, c, keys, others)
	raws := tokens(t, c, key, other)

	want := make([][]outcome, len(configs))
	distinct := map[outcome]bool{}
	for i, cfg := range configs {
		cfg.Revocation = list
		configs[i] = cfg
		g := newGate(t, cfg)
		for _, raw := range raws {
			o := outcomeOf(g, raw)
			want[i] = append(want[i], o)
			distinct[o] = true
		}
	}
	if len(distinct) < 15 {
		t.Fatalf("only %d different answers: the gates do not differ enough", len(distinct))
	}
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		cache, err := NewCache(MinCacheSize)
		if err != nil {
			t.Fatal(err)
		}
		gates := make([]*Gate, len(configs))
		for i, cfg := range configs {
			cfg.Cache = cache
			gates[i] = newGate(t, cfg)
		}
		for pass := range 2 {
			for _, i := range random.Perm(len(gates)) {
				for _, k := range random.Perm(len(raws)) {
					if got := outcomeOf(gates[i], raws[k]); got != want[i][k] {
						t.Fatalf("round %d, pass %d: token %d at gate %d: %+v, cold %+v", round, pass, k, i, got, want[i][k])
					}
					settle(cache)
				}
			}
		}
		cache.Close()
	}
}

// TestConcurrentGates has many gates and tokens at once on one cache, while
// keys change and lists grow.
func TestConcurrentGates(t *testing.T) {
	c := newClock()
	key, other := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "other").WithID("k1")
	ed := signingKey(t, "EdDSA", "ed")
	keys, others := keysOf(t, key, ed), keysOf(t, other, ed)
	cache := newCache(t)
	raws := tokens(t, c, key, other)
	var gates []*Gate
	var want [][]outcome
	for _, cfg := range sixteen(t, c, keys, others) {
		cold := newGate(t, cfg)
		var row []outcome
		for _, raw := range raws {
			row = append(row, outcomeOf(cold, raw))
		}
		want = append(want, row)
		cfg.Cache = cache
		gates = append(gates, newGate(t, cfg))
	}
	// Two sets with the same keys: which one is current changes nothing.
	sets := []*fakeKeys{keysOf(t, key, ed), keysOf(t, ed, key)}
	stop := make(chan struct{})
	var swapper, workers sync.WaitGroup
	swapper.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				keys.set.Store(sets[i%2].set.Load())
				cache.Stats()
			}
		}
	})
	for worker := range 8 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			for range 400 {
				i, k := random.IntN(len(gates)), random.IntN(len(raws))
				if got := outcomeOf(gates[i], raws[k]); got != want[i][k] {
					t.Errorf("token %d at gate %d: %+v, cold %+v", k, i, got, want[i][k])
					return
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	swapper.Wait()
}

// TestReloadsReuseResults: gates of equal configuration find what others left;
// gates of ever new configurations do not make an entry grow for ever.
func TestReloadsReuseResults(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	raw := mintToken(t, key, goodClaims(c, nil))
	load := func(name string) *Identity {
		g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now, Digest: digestFor(name)})
		id, _, err := g.Check(context.Background(), raw, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		settle(cache)
		return id
	}
	first := load("a")
	if load("a") != first {
		t.Error("a reload with equal configuration did not find its result")
	}
	var costs []int64
	for i := range 5 * maxKept {
		load(fmt.Sprint("changed ", i))
		e, _ := cache.get(ptr(keyOf(raw)))
		if e == nil {
			t.Fatal("the entry is gone")
		}
		costs = append(costs, e.cost())
	}
	if most := slices.Max(costs); most > costs[0]+(maxKept+1)*(resultSize+headerSize) {
		t.Errorf("an entry grew from %d to %d bytes over reloads", costs[0], most)
	}
	if s := cache.Stats(); s.Misses != 1 {
		t.Errorf("%d verifications over reloads, want 1", s.Misses)
	}
}

// TestVerdictsBelongToAnIssuerConfiguration: one verification for all routes
// with equal issuers, another one for each that differs.
func TestVerdictsBelongToAnIssuerConfiguration(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	raw := mintToken(t, key, goodClaims(c, nil))
	for i, want := range []uint64{1, 1, 2, 2, 3} {
		is := trust(t, keys)
		is.Digest = digestFor("configuration", fmt.Sprint(want))
		expect(t, newGate(t, Config{Issuers: []Issuer{is}, Cache: cache, Now: c.now, Digest: digestFor("gate", fmt.Sprint(i))}), raw, token.ReasonNone)
		settle(cache)
		if s := cache.Stats(); s.Misses != want || s.Entries != 1 {
			t.Errorf("gate %d: stats %+v, want %d verifications and one entry", i, s, want)
		}
	}
}

// TestVerdictListIsBounded: ever new configurations of an issuer do not make an
// entry grow for ever either.
func TestVerdictListIsBounded(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	raw := mintToken(t, key, goodClaims(c, nil))
	for i := range 3 * maxKept {
		is := trust(t, keys)
		is.Digest = digestFor("issuer", fmt.Sprint(i))
		expect(t, newGate(t, Config{Issuers: []Issuer{is}, Cache: cache, Now: c.now, Digest: digestFor(fmt.Sprint(i))}), raw, token.ReasonNone)
		settle(cache)
		e, _ := cache.get(ptr(keyOf(raw)))
		n := 0
		for v := e.verdicts.Load(); v != nil; v = v.next {
			n++
		}
		if n > maxKept {
			t.Fatalf("%d verdicts after %d configurations", n, i+1)
		}
	}
}
