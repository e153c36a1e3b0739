package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dgraph-io/ristretto/v2"
)

// Cache remembers signature verdicts and what follows from claims alone. It is
// lossy and bounded; it may be shared by any number of gates. It never vouches
// for time, revocation or a key that is gone. It is safe for concurrent use,
// also by gates that outlive Close: they find nothing in it any more.
type Cache struct {
	store    *ristretto.Cache[uint64, *entry]
	fresh    *waitingRoom
	maxBytes int64

	closed  atomic.Bool
	stripes []stripe
	tickets sync.Pool // of *uint32: the stripe that a processor uses
	issued  atomic.Uint32
}

// stripe is one processor's part of the counters, and its part of the lock that
// keeps Close from closing ristretto, whose Close must run alone, under a
// request. A stripe has its own cache lines: what every request writes must not
// travel between cores.
type stripe struct {
	mu           sync.RWMutex
	hits, misses atomic.Uint64
	_            [128 - (unsafe.Sizeof(sync.RWMutex{})+16)%128]byte
}

// MinCacheSize is the least size of a Cache in bytes: below it, more would go
// into managing entries than into entries.
const MinCacheSize = 1 << 20

const (
	// leastEntry is what the entry of a short token takes, for estimates of how
	// many fit.
	leastEntry = 2 << 10
	// ristretto wants ten frequency counters for each entry, about three bytes each.
	countersPerEntry = 10
	bytesPerCounter  = 3
	// readBuffer is how many reads a processor collects before it tells
	// ristretto, in ristretto's own advice.
	readBuffer = 64
)

// NewCache returns a cache that takes about size bytes of memory, its own
// bookkeeping included, at least MinCacheSize. Close it after use.
func NewCache(size int64) (*Cache, error) {
	if size < MinCacheSize {
		return nil, fmt.Errorf("verdict cache of %d bytes: the least is %d", size, MinCacheSize)
	}
	counters := size / leastEntry * countersPerEntry
	fresh := newWaitingRoom(size)
	store, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters: counters,
		MaxCost:     size - counters*bytesPerCounter - fresh.reserve(),
		BufferItems: readBuffer,
		// The key is the head of a SHA-256 already; the whole of it is compared
		// on each hit.
		KeyToHash: func(key uint64) (uint64, uint64) { return key, 0 },
		// Asked when an entry is taken in, so that what was added to it since
		// counts.
		Cost:               func(e *entry) int64 { return e.cost() },
		IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("verdict cache of %d bytes: %w", size, err)
	}
	n := 1
	for n < 4*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	c := &Cache{store: store, fresh: fresh, maxBytes: size, stripes: make([]stripe, n)}
	c.tickets.New = func() any {
		ticket := c.issued.Add(1)
		return &ticket
	}
	return c, nil
}

// Close ends its background work and waits for it. It is idempotent.
func (c *Cache) Close() {
	if !c.closed.CompareAndSwap(false, true) {
		return
	}
	// Whoever takes a stripe's lock after this sees closed.
	for i := range c.stripes {
		c.stripes[i].mu.Lock()
		c.stripes[i].mu.Unlock() //nolint:staticcheck // waits for readers
	}
	c.store.Close()
	for range c.fresh.drain() {
	}
}

// CacheStats are counters since the start. A hit is a decision that a
// remembered verdict spared the signature check, a miss one that it did not.
type CacheStats struct {
	Hits, Misses, Entries uint64
	Bytes, MaxBytes       int64
}

// Stats returns the counters. It walks the entries: for a scrape, not for a
// request.
func (c *Cache) Stats() CacheStats {
	s := CacheStats{MaxBytes: c.maxBytes}
	for i := range c.stripes {
		s.Hits += c.stripes[i].hits.Load()
		s.Misses += c.stripes[i].misses.Load()
	}
	if part := c.enter(); part != nil {
		defer part.leave()
		c.store.IterValues(func(*entry) bool { s.Entries++; return false })
		s.Bytes = c.store.MaxCost() - c.store.RemainingCost()
		for e := range c.fresh.all() {
			s.Entries++
			s.Bytes += e.cost()
		}
	}
	return s
}

// keyOf returns the name of a token in the cache.
func keyOf(raw string) [sha256.Size]byte {
	// Sum256 only reads; converting would copy the token on every request.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw))) //nolint:gosec // as the line above says
}

// slot returns the part of key that ristretto knows.
func slot(key *[sha256.Size]byte) uint64 { return binary.LittleEndian.Uint64(key[:]) }

// get returns the entry of key, nil if there is none, and where to count what
// became of it.
func (c *Cache) get(key *[sha256.Size]byte) (e *entry, tally *stripe) {
	s := c.enter()
	if s == nil {
		return nil, nil
	}
	e, _ = c.store.Get(slot(key))
	if e == nil || e.key != *key { // ristretto compares 64 bits
		e = c.fresh.get(key)
	}
	s.leave()
	return e, s
}

// put takes e in, or notes what it has grown to since it was recalled.
// ristretto may drop it.
func (c *Cache) put(e *entry, now time.Time, recalled bool) {
	if e.keepFor(now) <= 0 {
		return
	}
	s := c.enter()
	if s == nil {
		return
	}
	defer s.leave()
	switch {
	case recalled && c.fresh.get(&e.key) == e:
		// Its cost is asked when it leaves.
	case recalled:
		if c.store.RemainingCost() < 0 {
			// ristretto makes room for new entries only: one that grew has to
			// ask for its place again.
			c.store.Del(slot(&e.key))
		}
		c.give(e, now)
	case !c.fresh.add(e):
		for waiting := range c.fresh.drain() {
			c.give(waiting, now)
		}
		c.give(e, now)
	}
}

// give hands e to ristretto, unless it is dead already.
func (c *Cache) give(e *entry, now time.Time) {
	if ttl := e.keepFor(now); ttl > 0 {
		c.store.SetWithTTL(slot(&e.key), e, 0, ttl)
	}
}

// enter keeps Close waiting until leave. It returns nil once c is closed.
func (c *Cache) enter() *stripe {
	ticket := c.tickets.Get().(*uint32)
	s := &c.stripes[int(*ticket)&(len(c.stripes)-1)]
	c.tickets.Put(ticket)
	s.mu.RLock()
	if c.closed.Load() {
		s.mu.RUnlock()
		return nil
	}
	return s
}

func (s *stripe) leave() { s.mu.RUnlock() }

// count notes a hit or a miss; without a cache there is nothing to count.
func (s *stripe) count(hit bool) {
	switch {
	case s == nil:
	case hit:
		s.hits.Add(1)
	default:
		s.misses.Add(1)
	}
}
