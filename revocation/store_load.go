package revocation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

var errLoadCanceled = errors.New("revocation list was closed while it was loaded")

// restore takes over the small things of the journal and what its log holds.
func (s *Store) restore() error {
	st := s.journal.state
	last, expiries, err := s.journal.side()
	if err != nil {
		return err
	}
	s.position, s.saved = st.position, st.position
	s.outbox.on, s.outbox.acked = st.outboxOn, st.acked
	s.outbox.written = max(last, st.acked)
	s.outbox.sequence = max(st.sequence, s.outbox.written)
	s.expiries.restore(expiries)
	total, err := s.journal.total()
	if err != nil {
		return err
	}
	s.loadTotal = int64(total)
	return s.journal.log.replay(func(payload []byte) error {
		return eachItem(payload, s.replayed)
	})
}

// replayed puts back a change from the log. What the journal has of the same
// identity joins when it is loaded.
func (s *Store) replayed(sequence uint64, wire []byte) error {
	e, err := DecodeEntry(wire)
	if errors.Is(err, ErrUnknownVersion) {
		return fmt.Errorf("written by another release: start that one once more: %w", err)
	}
	if err != nil {
		return err
	}
	id := e.Digest()
	s.active.entries[id] = change{wire: wire}
	s.enforce(id, &e)
	if sequence > s.outbox.sequence {
		s.outbox.sequence = sequence
	}
	if sequence > s.outbox.written && s.outbox.on {
		s.outbox.tail = append(s.outbox.tail, Outgoing{sequence, wire})
	}
	return nil
}

// progressEvery is how often loading says how far it is.
const progressEvery = 3 * time.Second

// load reads the whole journal into the index. No checkpoint is made before it
// has ended: it reads within one transaction, and waits for stripes in it.
func (s *Store) load() error {
	began := time.Now()
	said := began
	now := s.now()
	n := 0
	each := func(put func(h hour, id Digest, wire []byte) error) func(hour, Digest, []byte) error {
		return func(h hour, id Digest, wire []byte) error {
			if n++; n%4096 == 0 {
				s.progress.Store(int64(n))
				if s.cancelLoad.Load() {
					return errLoadCanceled
				}
				if t := time.Now(); t.Sub(said) >= progressEvery {
					said = t
					s.log.Info("loading the revocation journal", "path", s.journal.path, "entries", n, "of", s.loadTotal)
				}
			}
			if int64(wireUntil(wire)) <= now.Unix() {
				return nil
			}
			return put(h, id, wire)
		}
	}
	if err := s.journal.scan(entriesBucket, each(s.loadEntry)); err != nil {
		return err
	}
	var understood []Entry
	err := s.journal.scan(foreignBucket, each(func(_ hour, id Digest, wire []byte) error {
		s.mu.Lock()
		s.foreign[id] = wireUntil(wire)
		s.mu.Unlock()
		if e, err := DecodeEntry(wire); err == nil {
			understood = append(understood, e)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	s.progress.Store(int64(n))
	for i := range understood {
		s.fold(&understood[i], changeSource{})
	}
	if err := s.markOpen(); err != nil {
		return err
	}
	if said.After(began) {
		s.log.Info("revocation journal loaded", "path", s.journal.path, "entries", n, "seconds", time.Since(began).Seconds())
	}
	return nil
}

// markOpen notes in the journal, found whole, that its log may hold what it
// lacks. Where the disk is full the mark is missing, which only hides it if
// somebody deletes the log.
func (s *Store) markOpen() error {
	st := s.journal.state
	st.clean = false
	err := s.journal.commit(&batch{state: st}, time.Unix(0, 0))
	var damage *DamageError
	if err != nil && !errors.As(err, &damage) {
		s.log.Warn("revocation journal cannot be written", "path", s.journal.path, "error", err)
		return nil
	}
	return err
}

// loadEntry puts one entry of the journal into the index. The checksum has
// vouched for it: only what the index needs is decoded.
func (s *Store) loadEntry(h hour, id Digest, wire []byte) error {
	kind, until, known, err := DecodeHead(wire)
	if err == nil && known && len(wire) < wireHead+wireTimes {
		err = errors.New("cut off in its times")
	}
	if err != nil {
		return s.journal.damaged(entriesBucket, id[:], err)
	}
	stripe := s.stripe(id)
	stripe.Lock()
	defer stripe.Unlock()
	s.mu.Lock()
	c, pending := s.active.entries[id]
	if !known {
		s.foreign[id] = wireUntil(wire)
	}
	s.mu.Unlock()
	if pending {
		return s.joinPending(h, id, wire, c)
	}
	if !known {
		return nil
	}
	cutoff := int64(binary.BigEndian.Uint64(wire[wireHead:]))
	revoked := binary.BigEndian.Uint64(wire[wireHead+8:])
	undone := binary.BigEndian.Uint64(wire[wireHead+16:])
	if revoked >= undone {
		s.index.Put(kind, id, time.Unix(0, cutoff), until)
		return nil
	}
	s.mu.Lock()
	s.undone[id] = wireUntil(wire)
	s.mu.Unlock()
	return nil
}

// joinPending merges what the journal has into a change that came while it was
// being loaded, or from the log.
func (s *Store) joinPending(h hour, id Digest, wire []byte, c change) error {
	e, err := DecodeEntry(c.wire)
	if err != nil {
		return err
	}
	old, err := DecodeEntry(wire)
	if err != nil && !errors.Is(err, ErrUnknownVersion) {
		return s.journal.damaged(entriesBucket, id[:], err)
	}
	if err == nil {
		e.Merge(&old)
	}
	s.mu.Lock()
	s.active.entries[id] = change{wire: AppendEntry(nil, &e), stored: h}
	s.mu.Unlock()
	s.enforce(id, &e)
	return nil
}

// endLoad says how loading ended.
func (s *Store) endLoad(err error) {
	if err != nil && !errors.Is(err, errLoadCanceled) {
		s.log.Error("revocation journal cannot be loaded; requests are refused", "path", s.journal.path, "error", err)
	}
	s.loadErr = err
	s.loaded.Store(err == nil)
	close(s.loadEnd)
}

// Progress is how many entries of the journal have been loaded, of how many.
func (s *Store) Progress() (done, total int) { return int(s.progress.Load()), int(s.loadTotal) }
