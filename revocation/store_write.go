package revocation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// group is what goes into one record of the log: all who came while the record
// before was being synced share the next sync.
type group struct {
	payload []byte
	n       int
	done    chan struct{}
	err     error // valid when done is closed
}

// maxGroup bounds a record. A group that is larger by one entry still fits.
const maxGroup = 1 << 20

// enqueue adds a change to the group that is written next. mu is held.
func (s *Store) enqueue(sequence uint64, wire []byte) *group {
	var g *group
	if n := len(s.groups); n > 0 && len(s.groups[n-1].payload) < maxGroup {
		g = s.groups[n-1]
	} else {
		g = &group{done: make(chan struct{})}
		s.groups = append(s.groups, g)
	}
	g.payload = appendItem(g.payload, sequence, wire)
	g.n++
	nudge(s.wake)
	return g
}

// appendItem adds a change to the payload of a record.
func appendItem(payload []byte, sequence uint64, wire []byte) []byte {
	payload = binary.BigEndian.AppendUint64(payload, sequence)
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(wire)))
	return append(payload, wire...)
}

// eachItem calls f for what appendItem added.
func eachItem(payload []byte, f func(sequence uint64, wire []byte) error) error {
	for len(payload) > 0 {
		if len(payload) < 12 {
			return errors.New("cut off")
		}
		sequence, n := binary.BigEndian.Uint64(payload), binary.BigEndian.Uint32(payload[8:])
		payload = payload[12:]
		if uint64(n) > uint64(len(payload)) {
			return errors.New("cut off")
		}
		if err := f(sequence, payload[:n:n]); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait returns when the group is on disk, or why it is not.
func (g *group) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
	}
	return fmt.Errorf("%w: %w", ErrNotDurable, ctx.Err())
}

// writeLog is the goroutine that writes groups until the store is closed.
func (s *Store) writeLog() {
	for {
		s.mu.Lock()
		var g *group
		if len(s.groups) > 0 {
			g, s.groups = s.groups[0], s.groups[1:]
		}
		s.mu.Unlock()
		if g != nil {
			g.err = s.persist(g)
			close(g.done)
			continue
		}
		select {
		case <-s.wake:
		case <-s.stop:
			// Nothing is enqueued any more, but something may have been.
			s.mu.Lock()
			left := len(s.groups)
			s.mu.Unlock()
			if left == 0 {
				return
			}
		}
	}
}

// persist brings a group to the disk: into the log, or into the journal where
// the log fails.
func (s *Store) persist(g *group) error {
	err := s.damage()
	if err == nil {
		if err = s.journal.log.append(g.payload); err == nil {
			if s.journal.log.due() {
				nudge(s.kick)
			}
			return nil
		}
		s.mu.Lock()
		tryNow := !time.Now().Before(s.health.retry)
		s.mu.Unlock()
		if tryNow {
			if err = s.checkpoint(false); err == nil {
				return nil
			}
		}
	}
	s.mu.Lock()
	s.health.notDurable += g.n
	s.mu.Unlock()
	s.failed(err)
	return fmt.Errorf("%w: %w", ErrNotDurable, err)
}

// damage returns why the journal must not be written, if it was found damaged
// while it was loaded.
func (s *Store) damage() error {
	select {
	case <-s.loadEnd:
		return s.loadErr
	default:
		return nil
	}
}

// saveNow writes all that is pending into the journal.
func (s *Store) saveNow() error {
	if s.journal == nil {
		return nil
	}
	if err := s.checkpoint(false); err != nil {
		return fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return nil
}

// checkpoint writes what is pending into the journal, and lets the log begin
// anew. clean marks the journal as closed.
func (s *Store) checkpoint(clean bool) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	if s.journal == nil {
		return nil
	}
	if err := s.Ready(); err != nil {
		return err
	}
	if !clean && !s.unsaved() {
		return nil
	}
	// Before the pending changes are taken: those of a record up to mark are
	// among them.
	mark := s.journal.log.mark()
	b, notDurable, written := s.takePending(mark, clean)
	if err := s.journal.commit(b, s.now()); err != nil {
		s.expiries.failed(b.expiries)
		s.mu.Lock()
		s.outbox.dirty = true
		s.mu.Unlock()
		s.failed(err)
		return err
	}
	s.journal.log.release(mark)
	s.expiries.wrote(b.expiries)
	s.mu.Lock()
	s.flushing = newPending()
	s.saved = b.state.position
	s.outbox.wrote(b.state.acked, written)
	s.health.notDurable -= notDurable
	s.mu.Unlock()
	s.recovered()
	return nil
}

// unsaved reports whether the journal lacks anything, or has what it should
// not.
func (s *Store) unsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active.len()+s.flushing.len() > 0 || s.health.failing || s.health.notDurable > 0 ||
		s.outbox.dirty || !bytes.Equal(s.position, s.saved) ||
		s.expiries.dirty.Load() || s.journal.oldest().over(s.now())
}

// takePending makes the active changes those that are being written, together
// with what failed to be written before.
func (s *Store) takePending(mark uint64, clean bool) (b *batch, notDurable int, written uint64) {
	expiries := s.expiries.unsaved()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flushing.len() == 0 {
		s.flushing = s.active
	} else {
		for id, c := range s.active.entries {
			if failed, ok := s.flushing.entries[id]; ok {
				c.stored = failed.stored
			}
			s.flushing.entries[id] = c
		}
		for id, wire := range s.active.foreign {
			s.flushing.foreign[id] = wire
		}
	}
	s.active = newPending()
	s.outbox.dirty = false
	outgoing := s.outbox.unwritten()
	written = s.outbox.written
	if n := len(outgoing); n > 0 {
		written = outgoing[n-1].Seq
	}
	return &batch{
		entries: s.flushing.entries, foreign: s.flushing.foreign, outgoing: outgoing, expiries: expiries,
		state: state{
			applied: mark, clean: clean, outboxOn: s.outbox.on,
			acked: s.outbox.acked, sequence: s.outbox.sequence, position: s.position,
		},
	}, s.health.notDurable, written
}

// health is how the disk does. Guarded by mu.
type health struct {
	notDurable int // changes that are in memory only
	failing    bool
	err        error // of the last failure
	delay      time.Duration
	retry      time.Time // no try before
}

const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// failed notes that the disk failed, and says so once.
func (s *Store) failed(err error) {
	if errors.Is(err, errLoading) || errors.Is(err, errLoadCanceled) {
		return
	}
	s.mu.Lock()
	first := !s.health.failing
	s.health.failing, s.health.err = true, err
	if now := time.Now(); !now.Before(s.health.retry) {
		s.health.delay = min(max(2*s.health.delay, retryFirst), retryLast)
		s.health.retry = now.Add(s.health.delay)
	}
	s.mu.Unlock()
	if first {
		s.log.Error("revocations cannot be saved; they are in force, but a restart forgets them", "path", s.options.Path, "error", err)
	}
}

// recovered notes that everything is on disk again.
func (s *Store) recovered() {
	s.mu.Lock()
	was := s.health.failing
	s.health.failing, s.health.err, s.health.delay, s.health.retry = false, nil, 0, time.Time{}
	s.mu.Unlock()
	if was {
		s.log.Info("revocations are saved again", "path", s.options.Path)
	}
}

// audit logs who changed what. It never sees a token.
func (s *Store) audit(ctx context.Context, what string, r *Result) {
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	e := &r.Entry
	attrs := []slog.Attr{
		slog.String("id", e.ID()), slog.String("kind", e.Kind.String()),
		slog.String("issuer", e.Issuer), slog.String("value", e.Value),
	}
	if !e.Cutoff.IsZero() {
		attrs = append(attrs, slog.Time("cutoff", e.Cutoff))
	}
	attrs = append(attrs, slog.Time("until", e.Until), slog.String("via", e.Via),
		slog.String("by", e.By), slog.String("note", e.Note), slog.Bool("durable", r.Durable))
	s.log.LogAttrs(ctx, slog.LevelInfo, what, attrs...)
}
