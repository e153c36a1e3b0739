package revocation

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// shard is a part of a table. Writers lock it; readers follow the pointer to
// its segment, which is only ever replaced as a whole or changed in ways that a
// concurrent reader cannot misread.
type shard struct {
	segment atomic.Pointer[segment]
	mu      sync.Mutex
	// used counts the slots taken in the segment, removed entries among them;
	// both are guarded by mu.
	used int
	// wake is when it is worth while to look for expired entries.
	wake       uint32
	withCutoff bool
}

// bucketSlots is the number of slots whose tags share a cache line. A key is
// looked for in its bucket, and in the next while one is full; nearly always
// one line tells that it is not there.
const (
	bucketSlots = 32
	tagsPerWord = 4
	bucketWords = bucketSlots / tagsPerWord
)

// segment is the open-addressed storage of a shard. Slots are filled in order
// within a bucket and never freed; a removed entry keeps its key with until 0.
type segment struct {
	tags   []uint64 // four 16-bit tags a word; 0: free. Written last, so that a reader who sees a tag sees its slot.
	keys   []uint64 // lo and hi of each slot
	until  []uint32
	cutoff []int64 // nil for kinds without
}

func newSegment(slots int, withCutoff bool) *segment {
	slots = (slots + bucketSlots - 1) / bucketSlots * bucketSlots
	g := &segment{
		tags: make([]uint64, slots/tagsPerWord),
		keys: make([]uint64, 2*slots), until: make([]uint32, slots),
	}
	if withCutoff {
		g.cutoff = make([]int64, slots)
	}
	return g
}

// The classic of finding a zero lane in a word. Lanes above a zero one may be
// reported as well: only the lowest is certain.
const (
	ones  = 0x0001_0001_0001_0001
	highs = 0x8000_8000_8000_8000
)

func zeroLanes(w uint64) uint64 { return (w - ones) &^ w & highs }

// tag is never 0.
func (k key) tag() uint64 { return k.lo&0xffff | 1 }

// home is the bucket where k belongs.
func (g *segment) home(k key) int { return scale(k.lo, len(g.tags)/bucketWords) }

// place is where a key is looked for. The zero place holds nothing.
type place struct {
	segment *segment
	key     key
	bucket  int
}

// touch reads the first word of the bucket, so that it is on its way.
func (p *place) touch() uint64 {
	if p.segment == nil {
		return 0
	}
	return atomic.LoadUint64(&p.segment.tags[p.bucket*bucketWords]) | 1
}

// find returns the slot of the key.
func (p *place) find() (slot, bool) {
	if p.segment == nil {
		return slot{}, false
	}
	i, ok := p.segment.search(p.key, p.bucket)
	if !ok {
		return slot{}, false
	}
	s := p.segment.read(i)
	return s, s.until != 0
}

// search returns the slot of k, or the free slot where it would go.
func (g *segment) search(k key, bucket int) (int, bool) {
	tags := k.tag() * ones
	for i := bucket * bucketWords; ; {
		for range bucketWords {
			w := atomic.LoadUint64(&g.tags[i])
			for m := zeroLanes(w ^ tags); m != 0; m &= m - 1 {
				s := i*tagsPerWord + bits.TrailingZeros64(m)/16
				if atomic.LoadUint64(&g.keys[2*s]) == k.lo && atomic.LoadUint64(&g.keys[2*s+1]) == k.hi {
					return s, true
				}
			}
			if m := zeroLanes(w); m != 0 {
				return i*tagsPerWord + bits.TrailingZeros64(m)/16, false
			}
			i++
		}
		if i == len(g.tags) {
			i = 0
		}
	}
}

// read loads until before cutoff; write stores them the other way round. So
// whoever sees a revived entry's until sees its cutoff, too.
func (g *segment) read(i int) slot {
	s := slot{until: atomic.LoadUint32(&g.until[i])}
	if g.cutoff != nil {
		s.cutoff = atomic.LoadInt64(&g.cutoff[i])
	}
	return s
}

func (g *segment) write(i int, s slot) {
	if g.cutoff != nil {
		atomic.StoreInt64(&g.cutoff[i], s.cutoff)
	}
	atomic.StoreUint32(&g.until[i], s.until)
}

func (g *segment) fill(i int, k key, s slot) {
	g.write(i, s)
	atomic.StoreUint64(&g.keys[2*i], k.lo)
	atomic.StoreUint64(&g.keys[2*i+1], k.hi)
	word, lane := i/tagsPerWord, i%tagsPerWord*16
	atomic.StoreUint64(&g.tags[word], g.tags[word]|k.tag()<<lane)
}

func (s *shard) get(k key) (slot, bool) {
	g := s.segment.Load()
	if g == nil {
		return slot{}, false
	}
	p := place{segment: g, key: k, bucket: g.home(k)}
	return p.find()
}

// put returns 1 when k is new on the list, 0 when it was extended.
func (s *shard) put(k key, value slot) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segment.Load()
	if g == nil {
		g = newSegment(bucketSlots, s.withCutoff)
		s.segment.Store(g)
	}
	i, ok := g.search(k, g.home(k))
	if ok {
		old := g.read(i)
		if old.until == 0 {
			g.write(i, value)
			return 1
		}
		g.write(i, old.extend(value))
		return 0
	}
	if s.used+1 > len(g.until)/8*7 {
		g = s.rebuild(g, grown(s.used+1), 0)
		i, _ = g.search(k, g.home(k))
	}
	g.fill(i, k, value)
	s.used++
	s.wake = min(s.wake, value.until)
	return 1
}

// grown is the number of slots for n entries and some to come. Large shards
// grow in small steps, because what is free in all of them is memory for
// nothing.
func grown(n int) int {
	if n < 512 {
		return 2*n + bucketSlots
	}
	return n + n/5
}

func (s *shard) remove(k key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segment.Load()
	if g == nil {
		return false
	}
	i, ok := g.search(k, g.home(k))
	if !ok || g.read(i).until == 0 {
		return false
	}
	atomic.StoreUint32(&g.until[i], 0)
	s.wake = 0
	return true
}

// rebuild moves what lives after now into a segment of the given size.
func (s *shard) rebuild(old *segment, slots int, now uint32) *segment {
	g := newSegment(slots, s.withCutoff)
	s.used = 0
	for i, until := range old.until {
		if until <= now { // a free or removed slot has 0
			continue
		}
		k := key{lo: old.keys[2*i], hi: old.keys[2*i+1]}
		j, _ := g.search(k, g.home(k))
		g.fill(j, k, old.read(i))
		s.used++
	}
	s.segment.Store(g)
	return g
}

// sweep frees what has expired at now, once it is an eighth of the shard, and
// returns how many live entries it took off.
func (s *shard) sweep(now uint32) (expired int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segment.Load()
	if g == nil || s.wake > now {
		return 0
	}
	alive := 0
	for _, until := range g.until {
		switch {
		case until == 0:
		case until <= now:
			expired++
		default:
			alive++
		}
	}
	if dead := s.used - alive; dead == 0 || dead < s.used/8 {
		// Looking again costs a scan of the shard: not before a minute has passed.
		s.wake = now + 60
		return 0
	}
	if alive == 0 {
		s.segment.Store(nil)
		s.used, s.wake = 0, 0
		return expired
	}
	s.rebuild(g, grown(alive), now)
	s.wake = now + 60
	return expired
}

func (s *shard) bytes() int64 {
	g := s.segment.Load()
	if g == nil {
		return 0
	}
	return int64(len(g.until)*22 + len(g.cutoff)*8)
}
