package revocation

import (
	"context"
	"errors"
	"slices"
)

// slice returns live entries after a position, in order, where the next slice
// goes on, and whether there is none. It may be empty before the end. The
// pending changes are read before the journal: what moves there in between is
// seen twice and taken once.
func (s *Store) slice(after position) (list []stored, last position, end bool, err error) {
	pending := make(map[Digest]struct{})
	var mine []stored
	s.mu.Lock()
	for _, entries := range []map[Digest]change{s.active.entries, s.flushing.entries} {
		for id, c := range entries {
			if _, newer := pending[id]; newer {
				continue
			}
			pending[id] = struct{}{}
			if p := (position{wireHour(c.wire), id}); p.compare(after) > 0 {
				mine = append(mine, stored{p, c.wire})
			}
		}
	}
	s.mu.Unlock()
	end = true
	if s.journal != nil {
		if list, end, err = s.journal.page(entriesBucket, after, sliceSize); err != nil {
			return nil, position{}, false, err
		}
	}
	if !end {
		last = list[len(list)-1].position
		mine = slices.DeleteFunc(mine, func(e stored) bool { return e.compare(last) > 0 })
	}
	now := clampSeconds(s.now().Unix())
	list = slices.DeleteFunc(list, func(e stored) bool { _, ok := pending[e.digest]; return ok })
	list = slices.DeleteFunc(append(list, mine...), func(e stored) bool { return wireUntil(e.wire) <= now })
	slices.SortFunc(list, func(a, b stored) int { return a.compare(b.position) })
	return list, last, end, nil
}

// each calls f for every live entry, those of another release included if they
// lie among ours.
func (s *Store) each(ctx context.Context, f func(id Digest, wire []byte) error) error {
	if err := s.Wait(ctx); err != nil {
		return err
	}
	for after := (position{}); ; {
		list, last, end, err := s.slice(after)
		if err != nil {
			return err
		}
		for i := range list {
			if err := f(list[i].digest, list[i].wire); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		after = last
	}
}

// eachForeign calls f for every live entry that was kept for another release.
func (s *Store) eachForeign(f func(id Digest, wire []byte) error) error {
	now := clampSeconds(s.now().Unix())
	var list []stored
	s.mu.Lock()
	for _, foreign := range []map[Digest][]byte{s.active.foreign, s.flushing.foreign} {
		for id, wire := range foreign {
			list = append(list, stored{position{digest: id}, wire})
		}
	}
	s.mu.Unlock()
	for after, end := (position{}), s.journal == nil; !end; {
		var page []stored
		var err error
		if page, end, err = s.journal.page(foreignBucket, after, sliceSize); err != nil {
			return err
		}
		list = append(list, page...)
		if !end {
			after = page[len(page)-1].position
		}
	}
	given := make(map[Digest]struct{}, len(list))
	for i := range list {
		e := &list[i]
		if _, ok := given[e.digest]; ok || wireUntil(e.wire) <= now {
			continue
		}
		given[e.digest] = struct{}{}
		if err := f(e.digest, e.wire); err != nil {
			return err
		}
	}
	return nil
}

// Export calls yield for every live entry, also undone ones when asked, until
// it returns an error, which Export returns. Writers go on meanwhile; an entry
// that changes meanwhile may come twice, none is left out.
func (s *Store) Export(ctx context.Context, undone bool, yield func(*Entry) error) error {
	return s.each(ctx, func(_ Digest, wire []byte) error {
		e, err := DecodeEntry(wire)
		if errors.Is(err, ErrUnknownVersion) {
			return nil
		}
		if err != nil {
			return err
		}
		if !undone && !e.InForce() {
			return nil
		}
		return yield(&e)
	})
}

// ExportWire is Export for the feed: all live entries, undone ones and those of
// another release included, in wire form. The id of one of another release is
// only a name for its bytes.
func (s *Store) ExportWire(ctx context.Context, yield func(id Digest, wire []byte) error) error {
	if err := s.each(ctx, yield); err != nil {
		return err
	}
	return s.eachForeign(yield)
}

// copyBatch is how many entries CopyTo hands over at once.
const copyBatch = 10_000

// CopyTo merges everything that s holds into other, the outbox included, and
// returns when it is on other's disk. The feed's position is not copied: it
// would vouch for what other has not read.
func (s *Store) CopyTo(ctx context.Context, other *Store) error {
	if err := other.Wait(ctx); err != nil {
		return err
	}
	var batch [][]byte
	flush := func() error {
		other.merge(batch)
		batch = batch[:0]
		if other.isClosed() {
			return ErrClosed
		}
		return other.makeRoom()
	}
	err := s.ExportWire(ctx, func(_ Digest, wire []byte) error {
		if batch = append(batch, wire); len(batch) < copyBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = s.copyOutbox(other)
	}
	if err != nil {
		return err
	}
	for issuer, e := range *s.expiries.known.Load() {
		other.expiries.note(issuer, e.latest.Load())
	}
	return other.saveNow()
}

// copyOutbox puts what s has not fed into the outbox of other.
func (s *Store) copyOutbox(other *Store) error {
	s.mu.Lock()
	after := s.outbox.acked
	s.mu.Unlock()
	for {
		list, err := s.outgoing(after, copyBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		other.mu.Lock()
		for _, o := range list {
			other.outbox.add(o.Wire)
		}
		other.mu.Unlock()
		after = list[len(list)-1].Seq
	}
}

// Count returns how many entries of each kind are in force, some of which
// expired in the last half minute.
func (s *Store) Count() map[Kind]int {
	n := make(map[Kind]int, Issuer)
	for _, k := range Kinds() {
		n[k] = s.index.Len(k)
	}
	return n
}

// Stats returns figures of the store.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Entries: s.Count(), Undone: len(s.undone), Foreign: len(s.foreign),
		Pending: s.active.len() + s.flushing.len(), NotDurable: s.health.notDurable, Failing: s.health.failing,
		Outbox: int(s.outbox.sequence - s.outbox.acked), IndexBytes: s.index.Bytes(),
	}
	if s.journal == nil {
		stats.Pending = 0
		return stats
	}
	stats.DiskBytes = s.DiskSize()
	if s.health.failing && s.health.err != nil {
		stats.DiskError = s.health.err.Error()
	}
	return stats
}

// DiskSize returns the bytes of the journal and its log.
func (s *Store) DiskSize() int64 {
	if s.journal == nil {
		return 0
	}
	return s.journal.size() + s.journal.log.size()
}
