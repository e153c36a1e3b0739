package gate

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

func TestNewCacheRefusesUselessSizes(t *testing.T) {
	for _, size := range []int64{-1, 0, 1, MinCacheSize - 1} {
		if c, err := NewCache(size); err == nil {
			c.Close()
			t.Errorf("a cache of %d bytes was made", size)
		}
	}
	c, err := NewCache(MinCacheSize)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s := c.Stats(); s.MaxBytes != MinCacheSize || s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("stats of an empty cache: %+v", s)
	}
}

func TestCacheCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		c, err := NewCache(MinCacheSize)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.Close()
	}
	deadline := time.Now().Add(60 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// TestCacheClosedUnderRequests: requests outlive a reload.
func TestCacheClosedUnderRequests(t *testing.T) {
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	keys := keysOf(t, key)
	var raws []string
	for i := range 20 {
		raws = append(raws, mintToken(t, key, goodClaims(c, map[string]any{"jti": fmt.Sprint(i)})))
	}
	for range 20 {
		cache, err := NewCache(MinCacheSize)
		if err != nil {
			t.Fatal(err)
		}
		gates := []*Gate{
			newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now, Digest: digestFor("1")}),
			newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now, Digest: digestFor("2")}),
		}
		start := make(chan struct{})
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				for i := range 60 {
					if i == 20 && worker == 0 {
						close(start)
					}
					if o := outcomeOf(gates[i%2], raws[(worker+i)%len(raws)]); o.reason != token.ReasonNone {
						t.Errorf("refused: %v", o.reason)
						return
					}
					cache.Stats()
				}
			})
		}
		<-start
		cache.Close()
		workers.Wait()
		expect(t, gates[0], raws[0], token.ReasonNone)
		if s := cache.Stats(); s.Entries != 0 || s.Bytes != 0 || s.Hits+s.Misses == 0 {
			t.Fatalf("stats after Close: %+v", s)
		}
	}
}

func TestEntryTTL(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for exp, want := range map[string]time.Duration{
		"1700000900":        15*time.Minute + policy.MaxSkew,
		"1700000000":        policy.MaxSkew,
		"1699999700":        0,
		"1":                 0,
		"-1":                0,
		"1700086100":        maxKeep,
		"1800000000":        maxKeep,
		"99999999999":       maxKeep,
		"9223372036854775":  maxKeep,
		"9.223372036854e18": maxKeep,
	} {
		claims, err := token.ParseClaims(fmt.Sprintf(`{"iss":"i","exp":%s}`, exp))
		if err != nil {
			continue // out of the range that tokens may have
		}
		e := &entry{token: &token.Token{Claims: claims}}
		if got := e.keepFor(now); got != want {
			t.Errorf("exp %s: kept for %v, want %v", exp, got, want)
		}
	}
}

// TestDeadEntriesAreNotKept: neither a token that an AllowExpired let in nor one
// that died waiting takes memory for ever.
func TestDeadEntriesAreNotKept(t *testing.T) {
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	old := mintToken(t, key, goodClaims(c, map[string]any{"exp": c.now().Add(-time.Hour).Unix()}))
	if got := decideWith(t, g, old, nil, Options{AllowExpired: 2 * time.Hour}); got != token.ReasonNone {
		t.Fatal(got)
	}
	if s := cache.Stats(); s.Entries != 0 {
		t.Errorf("an expired token waits: %+v", s)
	}
	handOver(cache, c.now())
	if s := cache.Stats(); s.Entries != 0 {
		t.Errorf("an expired token is kept: %+v", s)
	}
	expect(t, g, mintToken(t, key, goodClaims(c, nil)), token.ReasonNone)
	if s := cache.Stats(); s.Entries != 1 {
		t.Fatalf("stats %+v, want the token to wait", s)
	}
	handOver(cache, c.now().Add(time.Hour))
	if s := cache.Stats(); s.Entries != 0 {
		t.Errorf("a token that died waiting is kept: %+v", s)
	}
}

// TestLargeTokensDoNotWait: a waiting room full of the largest tokens would be
// more than a small cache.
func TestLargeTokensDoNotWait(t *testing.T) {
	c := newClock()
	key := signingKey(t, "EdDSA", "ed")
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	for i := range 40 {
		raw := mintToken(t, key, goodClaims(c, map[string]any{"jti": fmt.Sprint(i), "pad": strings.Repeat("x", 10<<10)}))
		expect(t, g, raw, token.ReasonNone)
		settle(cache)
		expect(t, g, raw, token.ReasonNone)
	}
	for range cache.fresh.all() {
		t.Fatal("a large token waits")
	}
	if s := cache.Stats(); s.Entries != 40 || s.Hits != 40 {
		t.Errorf("stats %+v, want 40 large tokens kept and hit", s)
	}
}
