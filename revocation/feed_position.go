package revocation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
)

// streamID is the id of an entry of a stream.
type streamID struct{ ms, seq uint64 }

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func (id streamID) after(other streamID) bool {
	return id.ms > other.ms || id.ms == other.ms && id.seq > other.seq
}

func parseStreamID(s string) (streamID, error) {
	ms, seq, ok := strings.Cut(s, "-")
	if !ok {
		return streamID{}, fmt.Errorf("%q is no id of a stream", truncate(s, 64))
	}
	a, err := strconv.ParseUint(ms, 10, 64)
	if err != nil {
		return streamID{}, fmt.Errorf("%q is no id of a stream", truncate(s, 64))
	}
	b, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return streamID{}, fmt.Errorf("%q is no id of a stream", truncate(s, 64))
	}
	return streamID{a, b}, nil
}

// anchor is the entry that was read last: its place and what was there. Two
// histories of one stream, or two servers, may have the same id for different
// entries. The zero anchor is the beginning.
type anchor struct {
	id   streamID
	hash [8]byte
}

func anchorAt(id streamID, wire []byte) anchor {
	h := sha256.Sum256(wire)
	return anchor{id, [8]byte(h[:8])}
}

func (a anchor) isStart() bool { return a.id == streamID{} }

// encode is the position for the store.
func (a anchor) encode() []byte {
	return []byte("1 " + a.id.String() + " " + hex.EncodeToString(a.hash[:]))
}

// parseAnchor reads what encode wrote; ok is false for anything else, such as
// the position of another release.
func parseAnchor(b []byte) (a anchor, ok bool) {
	f := bytes.Fields(b)
	if len(f) != 3 || string(f[0]) != "1" || hex.DecodedLen(len(f[2])) != len(a.hash) {
		return anchor{}, false
	}
	id, err := parseStreamID(string(f[1]))
	if err != nil {
		return anchor{}, false
	}
	if _, err := hex.Decode(a.hash[:], f[2]); err != nil {
		return anchor{}, false
	}
	a.id = id
	return a, true
}

// sum stands for a wire form within this process. 128 bits of a keyed hash: no
// two forms share one by accident, nor by the choice of who makes tokens.
type sum [2]uint64

type summer struct{ a, b maphash.Seed }

func newSummer() summer { return summer{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s summer) of(wire []byte) sum { return sum{maphash.Bytes(s.a, wire), maphash.Bytes(s.b, wire)} }

// flight is an entry that was or is being appended and was not read back.
type flight struct {
	seq     uint64 // of the outbox; 0 when it was put back
	what    sum
	replied int64 // when Redis had it, as Feed.clock; 0 for not yet
	back    bool
}

// flights are in the order in which they were appended.
type flights struct {
	queue []*flight
	by    map[sum][]*flight
}

func newFlights() flights { return flights{by: make(map[sum][]*flight)} }

func (f *flights) add(seq uint64, what sum) *flight {
	x := &flight{seq: seq, what: what}
	f.queue = append(f.queue, x)
	f.by[what] = append(f.by[what], x)
	return x
}

// returned takes note of an entry that was read.
func (f *flights) returned(what sum) {
	for _, x := range f.by[what] {
		x.back = true
	}
	delete(f.by, what)
}

// drop forgets a flight that did not take off.
func (f *flights) drop(x *flight) {
	if x.back {
		return
	}
	x.back, x.seq = true, 0
	list := f.by[x.what]
	for i := range list {
		if list[i] == x {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(f.by, x.what)
	} else {
		f.by[x.what] = list
	}
}

// land removes those that are back, up to the first that is not, and returns
// the last number of the outbox among them, 0 for none.
func (f *flights) land() (acked uint64) {
	n := 0
	for ; n < len(f.queue) && f.queue[n].back; n++ {
		acked = max(acked, f.queue[n].seq)
	}
	f.queue = f.queue[n:]
	if len(f.queue) == 0 {
		f.queue = nil
	}
	return acked
}

// overdue reports whether an entry that Redis had before a read began was not
// in what was read up to the end.
func (f *flights) overdue(began int64) bool {
	for _, x := range f.queue {
		if !x.back {
			return x.replied != 0 && x.replied < began
		}
	}
	return false
}

// restored is how many that were put back are on their way.
func (f *flights) restored() (n int) {
	for _, x := range f.queue {
		if x.seq == 0 && !x.back {
			n++
		}
	}
	return n
}
