// Package collector sets how often Go's garbage collector runs. With Go's
// default, which is each time the heap has doubled, a gateway whose live heap is
// ten megabytes collects many times a second and spends a tenth of its CPU on
// it. Here the heap grows by Headroom between two collections, and a heap that is
// much larger than that by 70 %: a full verdict cache or a revocation list of
// millions takes less memory than with Go's default, not more.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// Headroom is by how many bytes the heap may grow between two collections,
	// also when that is more than it was.
	Headroom = 64 << 20
	// limitShare is the most that the headroom may be of a memory limit.
	limitShare = 8
	// goDefault is the percentage that a process begins with.
	goDefault = 100
	// leastPercent is for a large heap. Headroom is enough for the garbage of a
	// gateway; a percentage at all keeps a heap of gigabytes from being marked
	// too often.
	leastPercent = 70
	// mostPercent bounds the percentage of a very small heap: Go applies it to a
	// smallest heap of 4 MiB, and it is what holds until the next collection when
	// the heap grows at once.
	mostPercent = 800
)

// Tune adapts the collector to the heap from now on, after each collection. It
// does nothing when the environment has GOGC: the operator's word wins. A
// memory limit, the operator's GOMEMLIMIT or a container's, holds as always. It
// reports whether it is in charge. Call it once.
func Tune() bool {
	if os.Getenv("GOGC") != "" {
		return false
	}
	(&tuner{set: func(percent int) { debug.SetGCPercent(percent) }}).begin()
	return true
}

// tuner follows the live heap.
type tuner struct {
	set func(percent int)

	mu      sync.Mutex
	samples []metrics.Sample
	current int
	ended   bool
}

func (t *tuner) begin() {
	t.samples = []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
		{Name: "/gc/gomemlimit:bytes"},
	}
	t.current = goDefault
	t.adapt()
	t.watch()
}

// end stops following; the percentage stays.
func (t *tuner) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// sentinel is garbage as soon as it is made. It holds a pointer so that the
// allocator gives it a place of its own.
type sentinel struct{ _ *int }

// watch has adapt called after the next collection, and so on.
func (t *tuner) watch() {
	runtime.AddCleanup(new(sentinel), func(t *tuner) {
		if t.adapt() {
			t.watch()
		}
	}, t)
}

// adapt sets the percentage that suits the heap; false ends it.
func (t *tuner) adapt() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	metrics.Read(t.samples)
	value := func(i int) uint64 {
		if t.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return t.samples[i].Value.Uint64()
	}
	// Go applies the percentage to heap, stacks and globals.
	percent := percentFor(value(0)+value(1)+value(2), value(3))
	// Setting it stops the world: small changes are not worth that.
	if diff := percent - t.current; diff*diff > (t.current/10)*(t.current/10) || percent == leastPercent && diff != 0 {
		t.set(percent)
		t.current = percent
	}
	return true
}

// percentFor returns GOGC for that many live bytes under a memory limit, 0 or
// math.MaxInt64 if there is none.
func percentFor(live, limit uint64) int {
	headroom := uint64(Headroom)
	if limit > 0 {
		headroom = min(headroom, limit/limitShare)
	}
	return int(min(max(headroom*100/max(live, 1), leastPercent), mostPercent))
}
