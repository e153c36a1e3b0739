package collector

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		live, limit uint64
		want        int
	}{
		"nothing yet":                      {0, 0, mostPercent},
		"a small heap":                     {10 * mib, math.MaxInt64, 640},
		"a quarter of the headroom":        {16 * mib, math.MaxInt64, 400},
		"as much as the headroom":          {64 * mib, math.MaxInt64, 100},
		"a full verdict cache":             {80 * mib, math.MaxInt64, 80},
		"ten million revocations":          {2048 * mib, math.MaxInt64, 70},
		"a small container":                {16 * mib, 128 * mib, 100},
		"a container of middling size":     {16 * mib, 256 * mib, 200},
		"a limit that the heap has passed": {512 * mib, 256 * mib, 70},
	} {
		if got := percentFor(c.live, c.limit); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAnOperatorsGOGCWins(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := debug.SetGCPercent(150)
	defer debug.SetGCPercent(before)
	if Tune() {
		t.Fatal("in charge beside GOGC")
	}
	runtime.GC()
	if got := debug.SetGCPercent(150); got != 150 {
		t.Errorf("GOGC=150 became %d", got)
	}
}

// TestFollowsTheHeap lets the live heap grow past the headroom and shrink again.
func TestFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(goDefault)
	defer debug.SetGCPercent(before)
	var mu sync.Mutex
	var seen []int
	tuner := &tuner{set: func(percent int) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, percent)
		debug.SetGCPercent(percent)
	}}
	tuner.begin()
	defer tuner.end()
	last := func() int {
		mu.Lock()
		defer mu.Unlock()
		return seen[len(seen)-1]
	}
	if last() <= goDefault {
		t.Fatalf("a small heap gets %d", last())
	}
	big := make([]byte, 2*Headroom)
	await(t, "the heap is large", func() bool { return last() == leastPercent })
	runtime.KeepAlive(big)
	await(t, "the heap is small again", func() bool { return last() > goDefault })
	mu.Lock()
	defer mu.Unlock()
	if i := slices.IndexFunc(seen, func(p int) bool { return p < leastPercent || p > mostPercent }); i >= 0 {
		t.Errorf("%d is out of bounds", seen[i])
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !done(); time.Sleep(time.Millisecond) {
		runtime.GC()
		if time.Now().After(end) {
			t.Fatalf("%s, and nobody noticed", what)
		}
	}
}
