package gate

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

func TestWarmDecisionAllocatesNothing(t *testing.T) {
	skipUnderRace(t)
	key := signingKey(t, "RS256", "k1")
	g, c := benchGate(t, key, newCache(t))
	raw := mintToken(t, key, claims900(c, key, 1))
	warm(t, g, raw)
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := g.Check(ctx, raw, nil, Options{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations on a warm decision", n)
	}
}

// TestRefusalsBeforeTheSignatureAllocateLittle: a stranger's rubbish costs less
// than a KiB, also where the gate has no cache.
func TestRefusalsBeforeTheSignatureAllocateLittle(t *testing.T) {
	skipUnderRace(t)
	key := signingKey(t, "RS256", "k1")
	for _, cache := range []*Cache{nil, newCache(t)} {
		g, c := benchGate(t, key, cache)
		for name, raw := range refusals(t, c) {
			const rounds = 500
			ctx := context.Background()
			check := func() {
				if _, _, err := g.Check(ctx, raw, nil, Options{}); err == nil {
					t.Fatalf("%s: accepted", name)
				}
			}
			check()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				check()
			}
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each >= 1024 {
				t.Errorf("%s: %d bytes allocated", name, each)
			}
		}
	}
}

// untouchable is a KeySource that must not be asked.
type untouchable struct{}

func (untouchable) Keys(time.Time) (*jwks.Set, token.Reason)        { panic("asked for keys") }
func (untouchable) Refetch(context.Context, *jwks.Set) jwks.Outcome { panic("asked for a fetch") }

// TestRefusalsBeforeTheSignatureTouchNoKey: the cheap refusals ask no source.
func TestRefusalsBeforeTheSignatureTouchNoKey(t *testing.T) {
	c := newClock()
	g := newGate(t, Config{
		Issuers: []Issuer{{Name: issuerA, Keys: untouchable{}, Policy: issuerPolicy(t, nil), Digest: digestFor("a")}},
		Cache:   newCache(t), Now: c.now,
	})
	for name, raw := range refusals(t, c) {
		if got := decide(t, g, raw); got == token.ReasonNone {
			t.Errorf("%s: accepted", name)
		}
	}
}
