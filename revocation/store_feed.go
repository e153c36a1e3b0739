package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sort"
)

// outbox holds changes that other gateways have to hear of: the newest in
// memory, those before the last checkpoint in the journal. Guarded by mu.
type outbox struct {
	on       bool
	sequence uint64     // last one given out
	acked    uint64     // up to it all were fed
	written  uint64     // up to it they are in the journal
	tail     []Outgoing // after both
	dirty    bool       // the journal should hear of acked or on
	ready    chan struct{}
}

// add takes a change in and returns its sequence number, 0 if the outbox is
// off.
func (o *outbox) add(wire []byte) uint64 {
	if !o.on {
		return 0
	}
	o.sequence++
	o.tail = append(o.tail, Outgoing{o.sequence, wire})
	nudge(o.ready)
	return o.sequence
}

// unwritten returns the changes that the journal lacks.
func (o *outbox) unwritten() []Outgoing { return append([]Outgoing(nil), o.tail...) }

// wrote is told that the journal has changes up to a number, and none up to
// acked.
func (o *outbox) wrote(acked, written uint64) {
	o.acked, o.written = max(o.acked, acked), max(o.written, written)
	o.trim(max(o.acked, written))
}

func (o *outbox) trim(upTo uint64) {
	n := sort.Search(len(o.tail), func(i int) bool { return o.tail[i].Seq > upTo })
	if o.tail = o.tail[n:]; len(o.tail) == 0 {
		o.tail = nil
	}
}

// EnableOutbox says whether changes by Revoke, Undo and Apply are kept for the
// feed, also after a restart. Turned off, the outbox is emptied.
func (s *Store) EnableOutbox(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outbox.on == on {
		return
	}
	s.outbox.on, s.outbox.dirty = on, true
	if !on {
		s.outbox.acked = s.outbox.sequence
		s.outbox.tail = nil
	}
}

// Outbox returns the oldest changes that were not acknowledged, in order, at
// most limit. They may be on their way to the disk still.
func (s *Store) Outbox(limit int) ([]Outgoing, error) {
	s.mu.Lock()
	acked := s.outbox.acked
	s.mu.Unlock()
	return s.outgoing(acked, limit)
}

func (s *Store) outgoing(after uint64, limit int) ([]Outgoing, error) {
	s.mu.Lock()
	written, tail := s.outbox.written, s.outbox.tail
	tail = tail[sort.Search(len(tail), func(i int) bool { return tail[i].Seq > after }):]
	tail = append([]Outgoing(nil), tail[:min(limit, len(tail))]...)
	s.mu.Unlock()
	if s.journal == nil || written <= after {
		return tail, nil
	}
	list, err := s.journal.outgoing(after+1, limit)
	if err != nil {
		return nil, err
	}
	for _, o := range tail {
		if n := len(list); n < limit && (n == 0 || o.Seq > list[n-1].Seq) {
			list = append(list, o)
		}
	}
	return list, nil
}

// Ack forgets changes of the outbox up to that sequence number. After a crash
// some may be handed out again.
func (s *Store) Ack(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.outbox
	if upTo = min(upTo, o.sequence); upTo <= o.acked {
		return
	}
	o.dirty = o.dirty || o.acked < o.written
	o.acked = upTo
	o.trim(upTo)
}

// OutboxReady yields a value after the outbox got something new.
func (s *Store) OutboxReady() <-chan struct{} { return s.outbox.ready }

// feedPending is how many changes of the feed may wait for the journal.
const feedPending = 500_000

// ApplyFeed merges wire forms from other gateways and remembers position, from
// where to read on after a restart. They are in force on return and saved
// together with position soon after, never after a later position. Those of
// another release are kept; malformed ones are skipped and counted. It waits
// until the list is loaded, and while the disk is far behind. Calls must not
// overlap.
func (s *Store) ApplyFeed(ctx context.Context, wire [][]byte, position []byte) (changed, malformed int, err error) {
	if err := s.Wait(ctx); err != nil {
		return 0, 0, err
	}
	changed, malformed = s.merge(wire)
	s.mu.Lock()
	s.position = bytes.Clone(position)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return changed, malformed, ErrClosed
	}
	_ = s.makeRoom() // failed logs what is wrong
	return changed, malformed, nil
}

// makeRoom has the journal written where much is pending, and waits for it
// where very much is.
func (s *Store) makeRoom() error {
	s.mu.Lock()
	waiting, failing := s.active.len(), s.health.failing
	s.mu.Unlock()
	switch {
	case waiting >= feedPending && !failing && s.journal != nil:
		return s.checkpoint(false)
	case waiting >= savePending:
		nudge(s.kick)
	}
	return nil
}

// merge folds wire forms into the list, without the outbox.
func (s *Store) merge(wire [][]byte) (changed, malformed int) {
	now := s.now()
	for _, w := range wire {
		e, err := DecodeEntry(w)
		switch {
		case errors.Is(err, ErrUnknownVersion):
			if s.keepForeign(w) {
				changed++
			}
		case err != nil:
			malformed++
		case e.Until.After(now) && s.fold(&e, changeSource{}):
			changed++
		}
	}
	return changed, malformed
}

// keepForeign keeps an entry of another release, once.
func (s *Store) keepForeign(wire []byte) bool {
	sum := sha256.Sum256(wire)
	id := Digest(sum[:16])
	until := wireUntil(wire)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.foreign[id]; ok || s.closed || until <= clampSeconds(s.now().Unix()) {
		return false
	}
	s.foreign[id] = until
	s.active.foreign[id] = bytes.Clone(wire)
	return true
}

// FeedPosition returns the last position that was given to ApplyFeed and is on
// disk, nil if there is none. A list in memory only has none on disk, and
// returns the last one.
func (s *Store) FeedPosition() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.journal == nil {
		return bytes.Clone(s.position)
	}
	return bytes.Clone(s.saved)
}
