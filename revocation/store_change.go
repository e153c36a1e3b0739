package revocation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pending are changes that the journal lacks.
type pending struct {
	entries map[Digest]change
	foreign map[Digest][]byte
}

func newPending() pending {
	return pending{entries: make(map[Digest]change), foreign: make(map[Digest][]byte)}
}

func (p *pending) len() int { return len(p.entries) + len(p.foreign) }

func (s *Store) stripe(id Digest) *sync.Mutex { return &s.stripes[int(id[15])%len(s.stripes)] }

// changeSource says what else has to happen with a change.
type changeSource struct {
	logged bool // it is to be written to the log and waited for
	feed   bool // it goes to the outbox
}

// normalize brings e into the form that survives encoding.
func (e *Entry) normalize() {
	for _, at := range []*time.Time{&e.Cutoff, &e.Until, &e.RevokedAt, &e.UndoneAt} {
		if !at.IsZero() {
			*at = at.Round(0).UTC()
		}
	}
	if !e.Until.IsZero() {
		e.Until = time.Unix(int64(ceilSeconds(e.Until)), 0).UTC()
	}
}

// enforce makes the index say what e says. The stripe of id is held.
func (s *Store) enforce(id Digest, e *Entry) {
	if e.InForce() {
		s.index.Put(e.Kind, id, e.Cutoff, e.Until)
		s.mu.Lock()
		delete(s.undone, id)
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	s.undone[id] = ceilSeconds(e.Until)
	s.mu.Unlock()
	s.index.Remove(e.Kind, id)
}

// known returns what is known of an identity, nil if nothing is. The stripe of
// id is held, or the answer may be out of date.
func (s *Store) known(id Digest) (change, error) { return s.lookup(id, s.hourOf(id)) }

// lookup is known, for one whose hour is known.
func (s *Store) lookup(id Digest, h hour) (change, error) {
	s.mu.Lock()
	c, ok := s.active.entries[id]
	if !ok {
		if c, ok = s.flushing.entries[id]; ok {
			c.stored = wireHour(c.wire)
		}
	}
	s.mu.Unlock()
	if ok || s.journal == nil {
		return c, nil
	}
	var err error
	if s.loaded.Load() {
		if h == noHour {
			return change{}, nil
		}
		c.wire, err = s.journal.get(h, id)
	} else {
		c.wire, err = s.journal.find(id, s.now())
	}
	s.tellReading(id, err)
	if c.wire == nil || err != nil {
		return change{}, err
	}
	c.stored = wireHour(c.wire)
	return c, nil
}

// hourOf returns the hour of the entry of that identity, noHour if the list has
// none.
func (s *Store) hourOf(id Digest) hour {
	s.mu.Lock()
	until, ok := s.undone[id]
	s.mu.Unlock()
	if ok {
		return hour(until / 3600)
	}
	for kind := Token; kind <= Issuer; kind++ {
		if _, until, ok := s.index.Get(kind, id); ok {
			return hour(until.Unix() / 3600)
		}
	}
	return noHour
}

// old decodes what is known of id.
func (s *Store) old(id Digest, h hour) (e Entry, c change, ok bool) {
	c, err := s.lookup(id, h)
	if err == nil && c.wire != nil {
		if e, err = DecodeEntry(c.wire); err == nil {
			return e, c, true
		}
	}
	return Entry{}, c, false
}

// tellReading says once that the journal cannot be read, and once that it can
// again.
func (s *Store) tellReading(id Digest, err error) {
	failed := err != nil && !errors.Is(err, ErrUnknownVersion) && !errors.Is(err, ErrClosed)
	if s.unreadable.Load() == failed || !s.unreadable.CompareAndSwap(!failed, failed) {
		return
	}
	if failed {
		s.log.Error("revocation journal cannot be read", "path", s.options.Path, "id", id.String(), "error", err)
		return
	}
	s.log.Info("revocation journal can be read again", "path", s.options.Path)
}

// fold merges e, valid and normalized, into the list, and reports whether that
// changed anything.
func (s *Store) fold(e *Entry, from changeSource) bool {
	id := e.Digest()
	stripe := s.stripe(id)
	stripe.Lock()
	defer stripe.Unlock()
	old, c, ok := s.old(id, s.hourOf(id))
	merged := *e
	if ok {
		merged = old
		merged.Merge(e)
	}
	wire := AppendEntry(nil, &merged)
	if ok && bytes.Equal(wire, c.wire) {
		return false
	}
	s.enforce(id, &merged)
	_, err := s.record(id, change{wire: wire, stored: c.stored}, from)
	return err == nil
}

// record puts a change among the pending ones. The stripe of id is held.
func (s *Store) record(id Digest, c change, from changeSource) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.active.entries[id] = c
	var sequence uint64
	if from.feed {
		sequence = s.outbox.add(c.wire)
	}
	if !from.logged || s.journal == nil {
		return nil, nil
	}
	return s.enqueue(sequence, c.wire), nil
}

// Revoke puts e in force and then on disk. It is in force from before Revoke
// returns, whatever the error is, unless e is invalid or the store closed. A
// zero RevokedAt means now; it is moved past an undoing that was known. ctx
// bounds the waiting only, not the writing.
func (s *Store) Revoke(ctx context.Context, e Entry) (Result, error) {
	e.UndoneAt = time.Time{}
	if e.RevokedAt.IsZero() {
		e.RevokedAt = s.now()
	}
	e.normalize()
	if err := e.Validate(); err != nil {
		return Result{}, err
	}
	id := e.Digest()
	stripe := s.stripe(id)
	stripe.Lock()
	h := s.hourOf(id)
	// Before the journal is asked, which may take a disk's time.
	s.index.Put(e.Kind, id, e.Cutoff, e.Until)
	old, c, ok := s.old(id, h)
	merged := e
	if ok {
		if !old.UndoneAt.IsZero() && !e.RevokedAt.After(old.UndoneAt) {
			e.RevokedAt = bounded(old.UndoneAt.Add(1))
		}
		merged = old
		merged.Merge(&e)
	}
	s.enforce(id, &merged)
	g, err := s.record(id, change{wire: AppendEntry(nil, &merged), stored: c.stored}, changeSource{logged: true, feed: true})
	stripe.Unlock()
	if err != nil {
		return Result{}, err
	}
	return s.finish(ctx, "revoked", merged, g)
}

// Undo takes the entry of that identity out of force; like a revocation, it
// applies at once and is then written. The error is ErrNotFound when there is
// none in force.
func (s *Store) Undo(ctx context.Context, id Digest, via, by, note string) (Result, error) {
	stripe := s.stripe(id)
	stripe.Lock()
	e, g, err := s.undo(id, via, by, note)
	stripe.Unlock()
	if err != nil {
		return Result{}, err
	}
	return s.finish(ctx, "revocation undone", e, g)
}

func (s *Store) undo(id Digest, via, by, note string) (Entry, *group, error) {
	c, err := s.known(id)
	if err != nil {
		return Entry{}, nil, err
	}
	if c.wire == nil {
		return Entry{}, nil, ErrNotFound
	}
	e, err := DecodeEntry(c.wire)
	if err != nil {
		return Entry{}, nil, err
	}
	now := s.now()
	if !e.InForce() || !e.Until.After(now) {
		return Entry{}, nil, ErrNotFound
	}
	e.UndoneAt = bounded(later(now, e.RevokedAt.Add(1)))
	e.Via, e.By, e.Note = via, by, note
	e.normalize()
	if err := e.Validate(); err != nil {
		return Entry{}, nil, err
	}
	if e.InForce() {
		return Entry{}, nil, fmt.Errorf("revoked_at: %s cannot be undone", e.RevokedAt.Format(time.RFC3339))
	}
	s.enforce(id, &e)
	g, err := s.record(id, change{wire: AppendEntry(nil, &e), stored: c.stored}, changeSource{logged: true, feed: true})
	return e, g, err
}

// finish waits until a change is on disk, and logs it.
func (s *Store) finish(ctx context.Context, what string, e Entry, g *group) (Result, error) {
	r := Result{Entry: e}
	var err error
	if g != nil {
		err = g.wait(ctx)
		r.Durable = err == nil
	}
	s.audit(ctx, what, &r)
	return r, err
}

// applyBatch is how many entries Apply writes in one transaction.
const applyBatch = 50_000

// Apply merges entries in bulk, for an import, and returns how many changed the
// list. It waits until the list is loaded and then until they are on disk. When
// one is invalid none is applied.
func (s *Store) Apply(ctx context.Context, entries []Entry) (changed int, err error) {
	entries = slices.Clone(entries)
	var errs []error
	for i := range entries {
		entries[i].normalize()
		if err := entries[i].Validate(); err != nil && len(errs) < 10 {
			errs = append(errs, fmt.Errorf("entry %d: %w", i+1, err))
		}
	}
	if len(errs) > 0 {
		return 0, errors.Join(errs...)
	}
	if err := s.Wait(ctx); err != nil {
		return 0, err
	}
	all := len(entries)
	for batch := range slices.Chunk(entries, applyBatch) {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		changed += s.foldAll(batch, changeSource{feed: true})
		if s.isClosed() {
			return changed, ErrClosed
		}
		// Also when nothing changed: an earlier try may have failed to save it.
		if err := s.saveNow(); err != nil {
			return changed, err
		}
	}
	s.log.InfoContext(ctx, "revocations applied", "entries", all, "changed", changed)
	return changed, nil
}

// foldAll merges entries that are live.
func (s *Store) foldAll(entries []Entry, from changeSource) (changed int) {
	now := s.now()
	for i := range entries {
		if entries[i].Until.After(now) && s.fold(&entries[i], from) {
			changed++
		}
	}
	return changed
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
