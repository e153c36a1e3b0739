package revocation

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var epoch = time.Unix(1_800_000_000, 0).UTC()

func randomDigest(r *rand.Rand) Digest {
	var d Digest
	binary.LittleEndian.PutUint64(d[:8], r.Uint64())
	binary.LittleEndian.PutUint64(d[8:], r.Uint64())
	return d
}

// setID makes ids name d for kind.
func setID(ids *IDs, kind Kind, d Digest) {
	switch kind {
	case Token:
		ids.Token = d
	case Session:
		ids.Session = d
	case Subject:
		ids.Subject = d
	case Client:
		ids.Client = d
	case Issuer:
		ids.Issuer = d
	}
}

func TestIndexCutoff(t *testing.T) {
	d := Digest{1}
	cutoff := epoch.Add(500 * time.Millisecond)
	for _, tc := range []struct {
		name     string
		kind     Kind
		issuedAt int64
		now      time.Time
		want     bool
	}{
		{"subject issued before", Subject, epoch.UnixNano(), epoch, true},
		{"subject issued at the cutoff", Subject, cutoff.UnixNano(), epoch, true},
		{"subject issued a nanosecond later", Subject, cutoff.UnixNano() + 1, epoch, false},
		{"subject without iat", Subject, NoIssuedAt, epoch, true},
		{"client issued later", Client, cutoff.UnixNano() + 1, epoch, false},
		{"issuer issued before", Issuer, epoch.UnixNano(), epoch, true},
		{"token issued later", Token, cutoff.UnixNano() + 1, epoch, true},
		{"session issued later", Session, cutoff.UnixNano() + 1, epoch, true},
		{"a moment before the end", Token, 0, epoch.Add(time.Hour - time.Nanosecond), true},
		{"at the end", Token, 0, epoch.Add(time.Hour), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := NewIndex()
			x.Put(tc.kind, d, cutoff, epoch.Add(time.Hour))
			ids := IDs{IssuedAt: tc.issuedAt}
			setID(&ids, tc.kind, d)
			if got := x.Revoked(&ids, tc.now) == tc.kind; got != tc.want {
				t.Errorf("revoked: %v, want %v", got, tc.want)
			}
		})
	}
}

// TestIndexAgainstMap does at random what a store does, beside a map that
// knows the truth: nothing is forgotten and nothing invented.
func TestIndexAgainstMap(t *testing.T) {
	type name struct {
		kind Kind
		d    Digest
	}
	r := rand.New(rand.NewPCG(1, 2))
	x, truth, now := NewIndex(), map[name]slot{}, epoch
	pool := make([]Digest, 4000)
	for i := range pool {
		pool[i] = randomDigest(r)
		if i%3 == 0 { // crowded buckets
			binary.LittleEndian.PutUint64(pool[i][:8], uint64(i%7))
			binary.LittleEndian.PutUint64(pool[i][8:], uint64(i)<<10)
		}
	}
	for step := range 300_000 {
		n := name{Kinds()[r.IntN(5)], pool[r.IntN(len(pool))]}
		switch op := r.IntN(100); {
		case op < 40:
			cutoff, until := now.Add(time.Duration(r.IntN(60))*time.Second), now.Add(time.Duration(1+r.IntN(600))*time.Second)
			x.Put(n.kind, n.d, cutoff, until)
			s := slot{until: ceilSeconds(until), cutoff: cutoff.UnixNano()}
			if old, ok := truth[n]; ok && int64(old.until) > 0 {
				s = s.extend(old)
			}
			truth[n] = s
		case op < 45:
			_, there := truth[n]
			if x.Remove(n.kind, n.d) && !there {
				t.Fatalf("step %d: removed what was never there", step)
			}
			delete(truth, n)
		case op < 46:
			now = now.Add(time.Duration(r.IntN(20)) * time.Second)
		case op < 48:
			x.Sweep(now)
			for n, s := range truth { // what is over may be gone or not; it starts anew either way
				if int64(s.until) <= now.Unix() {
					x.Remove(n.kind, n.d)
					delete(truth, n)
				}
			}
		default:
			s, ok := truth[n]
			ids := IDs{IssuedAt: now.Add(time.Duration(r.IntN(90)-30) * time.Second).UnixNano()}
			setID(&ids, n.kind, n.d)
			want := ok && int64(s.until) > now.Unix() && (!n.kind.hasCutoff() || ids.IssuedAt <= s.cutoff)
			if got := x.Revoked(&ids, now) == n.kind; got != want {
				t.Fatalf("step %d: %v revoked: %v, want %v (%+v)", step, n.kind, got, want, s)
			}
		}
	}
}

func TestIndexGivesMemoryBack(t *testing.T) {
	x, r := NewIndex(), rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		x.Put(Token, randomDigest(r), time.Time{}, epoch.Add(time.Duration(r.IntN(100))*time.Second))
	}
	full := x.Bytes()
	for i := range 200 {
		x.Sweep(epoch.Add(101*time.Second + time.Duration(i)*time.Second))
	}
	if n := x.Len(Token); n != 0 {
		t.Errorf("%d entries left", n)
	}
	if b := x.Bytes(); b > full/50 {
		t.Errorf("%d of %d bytes left", b, full)
	}
}

// TestIndexSeesWhatPutReturnedFrom checks, while shards grow and are swept,
// that a lookup that begins after Put returned finds the entry, and that nobody
// finds what was never put.
func TestIndexSeesWhatPutReturnedFrom(t *testing.T) {
	x := NewIndex()
	const writers, each = 4, 20_000
	var done [writers]atomic.Int64
	digest := func(writer, i int) Digest {
		return DigestOf(Token, "issuer", string(binary.BigEndian.AppendUint64(nil, uint64(writer)<<32|uint64(i))))
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				x.Put(Subject, digest(w, i), epoch, epoch.Add(time.Hour))
				done[w].Store(int64(i + 1))
				if i%100 == 0 {
					x.Sweep(epoch)
				}
			}
		})
	}
	for reader := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(reader), 5))
			for range 100_000 {
				w := r.IntN(writers)
				n := int(done[w].Load())
				if n == 0 {
					continue
				}
				known, unknown := IDs{}, IDs{}
				known.Subject, unknown.Subject = digest(w, r.IntN(n)), digest(w, each+r.IntN(n))
				known.IssuedAt, unknown.IssuedAt = NoIssuedAt, NoIssuedAt
				if x.Revoked(&known, epoch) != Subject {
					t.Error("an entry was not seen after Put returned")
					return
				}
				if x.Revoked(&unknown, epoch) != 0 {
					t.Error("an entry was seen that was never put")
					return
				}
			}
		})
	}
	wg.Wait()
	if got := x.Len(Subject); got != writers*each {
		t.Errorf("%d entries, want %d", got, writers*each)
	}
}

func TestIndexLookupAllocatesNothing(t *testing.T) {
	x := NewIndex()
	ids := IDs{Token: Digest{1}, Session: Digest{2}, Subject: Digest{3}, Client: Digest{4}, Issuer: Digest{5}}
	for _, k := range Kinds() {
		x.Put(k, Digest{9, byte(k)}, epoch, epoch.Add(time.Hour))
	}
	if n := testing.AllocsPerRun(100, func() { x.Revoked(&ids, epoch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
