package caddymodule

import (
	"fmt"
	"maps"
	goruntime "runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/token"
)

// windowBench is a window over counters that the test sets.
type windowBench struct {
	*decisionWindow
	mu     sync.Mutex
	totals map[decisionKey]uint64
	clock  time.Time
}

func newWindowBench() *windowBench {
	b := &windowBench{totals: make(map[decisionKey]uint64), clock: time.Unix(1_700_000_000, 0)}
	b.decisionWindow = newDecisionWindow(func() map[decisionKey]uint64 {
		b.mu.Lock()
		defer b.mu.Unlock()
		return maps.Clone(b.totals)
	}, func() time.Time { return b.clock })
	return b
}

func (b *windowBench) add(key decisionKey, n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals[key] += n
}

// passes lets time pass with a look at each step.
func (b *windowBench) passes(d time.Duration) {
	for ; d > 0; d -= windowStep {
		b.clock = b.clock.Add(windowStep)
		b.look()
	}
}

func (b *windowBench) want(t *testing.T, key decisionKey, total, m1, m5, m15 uint64) {
	t.Helper()
	for _, c := range b.counts() {
		if c.decisionKey == key {
			if c.total != total || c.lastMinute != m1 || c.last5 != m5 || c.last15min != m15 {
				t.Errorf("%+v, want %d %d %d %d", c, total, m1, m5, m15)
			}
			return
		}
	}
	t.Errorf("no %v", key)
}

func TestDecisionWindow(t *testing.T) {
	b := newWindowBench()
	a, other := decisionKey{"deny", "exp_passed", "i"}, decisionKey{"allow", "", "i"}
	b.add(a, 7)
	b.want(t, a, 7, 7, 7, 7) // before any look
	b.passes(windowStep)
	b.want(t, a, 7, 7, 7, 7)
	b.passes(50 * time.Second)
	b.want(t, a, 7, 7, 7, 7)
	b.passes(windowStep) // 60 s after its slot was closed
	b.want(t, a, 7, 0, 7, 7)
	b.add(a, 3)
	b.add(other, 1)
	b.want(t, a, 10, 3, 10, 10)
	b.want(t, other, 1, 1, 1, 1)
	b.passes(4 * time.Minute)
	b.want(t, a, 10, 0, 3, 10)
	b.passes(11 * time.Minute)
	b.want(t, a, 10, 0, 0, 3)
	b.passes(windowStep)
	b.want(t, a, 10, 0, 0, 0)
	b.want(t, other, 1, 0, 0, 0)
	for range 10 * windowSlots {
		b.add(a, 1)
		b.passes(windowStep)
	}
	b.want(t, a, uint64(10+10*windowSlots), 6, 30, 90)
	// A look that comes an hour late.
	b.clock = b.clock.Add(time.Hour)
	b.want(t, a, uint64(10+10*windowSlots), 0, 0, 0)
	b.add(a, 5)
	b.look()
	b.want(t, a, uint64(15+10*windowSlots), 5, 5, 5)
}

// TestDecisionWindowBeginsWithWhatIsThere: a window that starts later does not
// take for recent what was counted before.
func TestDecisionWindowBeginsWithWhatIsThere(t *testing.T) {
	b := newWindowBench()
	key := decisionKey{"deny", "sig_invalid", ""}
	b.add(key, 100)
	w := newDecisionWindow(b.read, b.now)
	if c := w.counts(); len(c) != 1 || c[0].total != 100 || c[0].last15min != 0 {
		t.Errorf("%+v", c)
	}
}

// TestDecisionWindowRuns on its own and ends, reading the real counters.
func TestDecisionWindowRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"result", "reason", "issuer"})
		p := startWindow(newDecisionWindow(readDecisions(counters), time.Now))
		key := decisionKey{"deny", token.Expired.String(), "i"}
		counters.WithLabelValues(key.result, key.reason, key.issuer).Add(4)
		time.Sleep(2 * time.Minute)
		counters.WithLabelValues(key.result, key.reason, key.issuer).Inc()
		if c := p.counts(); len(c) != 1 || c[0] != (decisionCount{key, 5, 1, 5, 5}) {
			t.Errorf("%+v", c)
		}
		if err := p.Destruct(); err != nil {
			t.Error(err)
		}
	})
}

// TestTrapTickerLeakedPerReload: one window for all configurations, and none
// after the last.
func TestTrapTickerLeakedPerReload(t *testing.T) {
	reload := running(t)
	config := func(i int) string {
		return fmt.Sprintf(`"jwtgate": {"issuers": [{"issuer": "i%d", "audience": ["a"], "secret": {"value": "0123456789abcdef0123456789abcdef"}}]}, `, i%3) +
			httpApp(`{"handler": "jwtgate", "observe": true}`)
	}
	if err := reload(config(0)); err != nil {
		t.Fatal(err)
	}
	first := goruntime.NumGoroutine()
	for i := range 20 {
		if err := reload(config(i)); err != nil {
			t.Fatal(err)
		}
		// It fails when it starts, maybe after ours did.
		if err := reload(config(i) + `, "jwtgate_test_broken": {}`); err == nil {
			t.Fatal("the broken configuration loaded")
		}
	}
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= first+2 })
	if refs, ok := windowPool.References(windowKey); !ok || refs != 1 {
		t.Errorf("%d references to the window", refs)
	}
	if err := reload(httpApp()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no window without the app", func() bool { _, ok := windowPool.References(windowKey); return !ok })
	observedPool.Range(func(key, _ any) bool { t.Errorf("%v is left", key); return true })
}

// BenchmarkWindowLook is what the window costs every windowStep, with as many
// series as a gateway with 20 issuers may have.
func BenchmarkWindowLook(b *testing.B) {
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"result", "reason", "issuer"})
	for i := range 20 {
		for _, reason := range token.Reasons()[:15] {
			counters.WithLabelValues("deny", reason.String(), fmt.Sprint("https://id", i, ".example.com")).Inc()
		}
	}
	w := newDecisionWindow(readDecisions(counters), time.Now)
	b.ReportAllocs()
	for b.Loop() {
		w.look()
	}
}
