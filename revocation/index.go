package revocation

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Index is the list in memory: exact and expiring. Lookups take no lock and
// allocate nothing; changes lock one shard of one kind. Safe for concurrent
// use: what Put returned from, every lookup that begins later sees.
type Index struct {
	tables [Issuer + 1]table
	cursor atomic.Uint32 // of Sweep
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	x := new(Index)
	for _, k := range Kinds() {
		for i := range x.tables[k].shards {
			x.tables[k].shards[i].withCutoff = k.hasCutoff()
		}
	}
	return x
}

// Put withdraws d for tokens issued up to cutoff (only kinds Subject, Client
// and Issuer look at it) until the given time. It only extends: the later
// cutoff and the later until stay.
func (x *Index) Put(kind Kind, d Digest, cutoff, until time.Time) {
	t := &x.tables[kind]
	k := keyOf(d)
	t.live.Add(int64(t.shard(k).put(k, slot{until: ceilSeconds(until), cutoff: nanos(cutoff)})))
}

// Remove takes d off the list, and reports whether it was on it.
func (x *Index) Remove(kind Kind, d Digest) bool {
	t := &x.tables[kind]
	k := keyOf(d)
	if !t.shard(k).remove(k) {
		return false
	}
	t.live.Add(-1)
	return true
}

// Get returns what Put was told of d. An entry that has expired may still be
// there until it is swept.
func (x *Index) Get(kind Kind, d Digest) (cutoff, until time.Time, ok bool) {
	k := keyOf(d)
	s, ok := x.tables[kind].shard(k).get(k)
	if !ok {
		return time.Time{}, time.Time{}, false
	}
	if kind.hasCutoff() {
		cutoff = time.Unix(0, s.cutoff).UTC()
	}
	return cutoff, time.Unix(int64(s.until), 0).UTC(), true
}

// Revoked returns the kind of an entry that withdraws the token at now, 0 if
// there is none.
func (x *Index) Revoked(ids *IDs, now time.Time) Kind {
	names := [...]*Digest{Token: &ids.Token, Session: &ids.Session, Subject: &ids.Subject, Client: &ids.Client, Issuer: &ids.Issuer}
	var at [Issuer + 1]place
	var touched uint64
	// All places are touched before any is read, so that the memory fetches of
	// the kinds overlap.
	for kind := Token; kind <= Issuer; kind++ {
		if x.tables[kind].live.Load() == 0 || names[kind].IsZero() {
			continue
		}
		at[kind] = x.tables[kind].locate(keyOf(*names[kind]))
		touched |= at[kind].touch()
	}
	if touched == 0 {
		return 0
	}
	second := now.Unix()
	for kind := Token; kind <= Issuer; kind++ {
		s, ok := at[kind].find()
		if ok && int64(s.until) > second && (!kind.hasCutoff() || ids.IssuedAt <= s.cutoff) {
			return kind
		}
	}
	return 0
}

// Len returns the number of entries of kind, expired ones that were not swept
// yet among them.
func (x *Index) Len(kind Kind) int { return int(x.tables[kind].live.Load()) }

// Bytes returns the memory that the tables take.
func (x *Index) Bytes() int64 {
	var n int64
	for kind := Token; kind <= Issuer; kind++ {
		for i := range x.tables[kind].shards {
			n += x.tables[kind].shards[i].bytes()
		}
	}
	return n
}

// sweepShards is how many shards of each kind one Sweep looks at.
const sweepShards = shards / 32

// Sweep frees expired entries, a bounded part of the index at each call, and
// returns how many. Called once a second it passes every shard in half a
// minute; a shard of which nothing much can have expired is only glanced at.
func (x *Index) Sweep(now time.Time) (removed int) {
	start := x.cursor.Add(sweepShards) - sweepShards
	second := clampSeconds(now.Unix())
	for kind := Token; kind <= Issuer; kind++ {
		t := &x.tables[kind]
		if t.live.Load() == 0 {
			continue
		}
		for i := range uint32(sweepShards) {
			n := t.shards[(start+i)%shards].sweep(second)
			t.live.Add(-int64(n))
			removed += n
		}
	}
	return removed
}

// shards is the number of shards of each kind: few enough that what leads to
// their memory stays in the processor's cache, and so many that at ten million
// entries of one kind moving a shard takes a writer, and no reader, two
// milliseconds.
const shards = 256

type table struct {
	live   atomic.Int64
	_      [56]byte // lookups read live; keep it off the line of the first shard
	shards [shards]shard
}

func (t *table) shard(k key) *shard { return &t.shards[k.hi%shards] }

func (t *table) locate(k key) place {
	g := t.shard(k).segment.Load()
	if g == nil {
		return place{}
	}
	return place{segment: g, key: k, bucket: g.home(k)}
}

// key is a digest as two words. The top of lo chooses the bucket, its bottom is
// the tag, and hi chooses the shard: all bits of a SHA-256 are alike.
type key struct{ lo, hi uint64 }

func keyOf(d Digest) key {
	return key{lo: binary.LittleEndian.Uint64(d[:8]), hi: binary.LittleEndian.Uint64(d[8:])}
}

// slot is what is known of one digest. until 0 means removed.
type slot struct {
	until  uint32
	cutoff int64
}

func (s slot) extend(by slot) slot {
	return slot{until: max(s.until, by.until), cutoff: max(s.cutoff, by.cutoff)}
}

// ceilSeconds rounds up: an entry may live a little longer, never shorter.
func ceilSeconds(t time.Time) uint32 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return clampSeconds(s)
}

func clampSeconds(s int64) uint32 { return uint32(min(max(s, 1), math.MaxUint32)) }

// nanos is t in nanoseconds, saturated.
func nanos(t time.Time) int64 {
	const limit = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= limit:
		return math.MaxInt64
	case s <= -limit:
		return math.MinInt64
	}
	return t.UnixNano()
}

// scale maps the whole range of h evenly onto 0..n-1.
func scale(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}
