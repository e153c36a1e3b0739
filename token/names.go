package token

import "hash/maphash"

// nameTable finds duplicate member names of all objects of one text, in a time
// that does not grow with the square of their number: the hash is seeded, so
// nobody can aim at collisions.
type nameTable struct {
	slots   []nameSlot // a power of two, at most half full
	used    int
	scratch [2][]byte // unescaped names under comparison
}

type nameSlot struct {
	hash   uint32
	object uint32 // node of the object
	name   uint32 // node of the name; 0, the outermost object, is a free slot
}

const (
	minNameSlots = 64
	// A table that many names have grown is dropped: clearing it would burden
	// every token after.
	maxKeptSlots = 256
)

var nameSeed = maphash.MakeSeed()

func (t *nameTable) reset() {
	if len(t.slots) > maxKeptSlots {
		t.slots = nil
	}
	clear(t.slots)
	t.used = 0
}

// add enters a name of an object; false if the object has it already.
func (t *nameTable) add(s *scanner, object, name uint32) bool {
	if 2*t.used >= len(t.slots) {
		t.grow()
	}
	n := s.nodes[name]
	text := s.src[n.off : n.off+n.size]
	var sum uint64
	if n.escaped() {
		t.scratch[0] = appendUnescaped(t.scratch[0][:0], text)
		sum = maphash.Bytes(nameSeed, t.scratch[0])
	} else {
		sum = maphash.String(nameSeed, text)
	}
	hash := uint32(sum>>32) ^ object*0x9e3779b1
	for i := hash; ; i++ {
		slot := &t.slots[i&uint32(len(t.slots)-1)]
		if slot.name == 0 {
			*slot = nameSlot{hash, object, name}
			t.used++
			return true
		}
		if slot.hash == hash && slot.object == object && t.same(s, s.nodes[slot.name], n) {
			return false
		}
	}
}

func (t *nameTable) same(s *scanner, a, b node) bool {
	x, y := s.src[a.off:a.off+a.size], s.src[b.off:b.off+b.size]
	if !a.escaped() && !b.escaped() {
		return x == y
	}
	t.scratch[0] = appendUnescaped(t.scratch[0][:0], x)
	t.scratch[1] = appendUnescaped(t.scratch[1][:0], y)
	return string(t.scratch[0]) == string(t.scratch[1])
}

func (t *nameTable) grow() {
	old := t.slots
	t.slots = make([]nameSlot, max(minNameSlots, 2*len(old)))
	for _, entry := range old {
		if entry.name == 0 {
			continue
		}
		for i := entry.hash; ; i++ {
			if slot := &t.slots[i&uint32(len(t.slots)-1)]; slot.name == 0 {
				*slot = entry
				break
			}
		}
	}
}
