package gate

import (
	"iter"
	"sync/atomic"
)

// waitingRoom holds entries that ristretto has not been given yet. Each Set
// wakes ristretto's goroutine, which can cost as much as a signature check;
// given many at a time, it is woken once for all of them. Entries can be found
// while they wait, so how long does not matter. Lock-free; it is a hash table
// of fixed size in which an entry stays near its slot or not at all.
type waitingRoom struct {
	seats []atomic.Pointer[entry]
}

const (
	mostSeats  = 256
	leastSeats = 16
	// reach is how many seats an entry may take, and get looks at.
	reach = 4
	// largestWaiting bounds what an entry may cost to wait: a room full of the
	// largest tokens must not be more than the cache.
	largestWaiting = 4 * leastEntry
)

// newWaitingRoom returns a room that suits a cache of size bytes.
func newWaitingRoom(size int64) *waitingRoom {
	n := leastSeats
	for n < mostSeats && int64(n)*leastEntry*64 < size {
		n *= 2
	}
	return &waitingRoom{seats: make([]atomic.Pointer[entry], n)}
}

// reserve returns the bytes to set aside for what waits.
func (w *waitingRoom) reserve() int64 { return int64(len(w.seats)) * leastEntry }

func (w *waitingRoom) seat(key *[32]byte, i int) *atomic.Pointer[entry] {
	return &w.seats[(int(slot(key)>>16)+i)&(len(w.seats)-1)]
}

// get returns the entry of key if it waits here.
func (w *waitingRoom) get(key *[32]byte) *entry {
	for i := range reach {
		if e := w.seat(key, i).Load(); e != nil && e.key == *key {
			return e
		}
	}
	return nil
}

// add lets e wait. It reports false when there is no seat, or e is too large.
func (w *waitingRoom) add(e *entry) bool {
	if e.cost() > largestWaiting {
		return false
	}
	for i := range reach {
		seat := w.seat(&e.key, i)
		sitting := seat.Load()
		if sitting != nil && sitting.key != e.key {
			continue
		}
		if seat.CompareAndSwap(sitting, e) {
			return true
		}
	}
	return false
}

// drain yields each entry once and makes its seat free.
func (w *waitingRoom) drain() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range w.seats {
			if w.seats[i].Load() == nil {
				continue
			}
			if e := w.seats[i].Swap(nil); e != nil && !yield(e) {
				return
			}
		}
	}
}

// all yields each entry.
func (w *waitingRoom) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range w.seats {
			if e := w.seats[i].Load(); e != nil && !yield(e) {
				return
			}
		}
	}
}
