package revocation

import (
	"time"
)

const (
	tickEvery = time.Second
	// saveEvery is how long changes that are not in the log, those of the feed
	// and expiries, wait for the journal.
	saveEvery = 5 * time.Second
	// savePending is how many changes make a checkpoint due.
	savePending = 50_000
	// sweepEvery is how often the small maps are swept, in ticks.
	sweepEvery = 60
)

// keep is the goroutine that sweeps and makes checkpoints.
func (s *Store) keep() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	last := time.Now()
	for n := uint(0); ; n++ {
		select {
		case <-s.stop:
			return
		case <-s.kick:
			s.save(&last)
			continue
		case <-ticker.C:
		}
		s.sweep(n%sweepEvery == 0)
		if s.due(time.Since(last)) {
			s.save(&last)
		}
	}
}

func (s *Store) save(last *time.Time) {
	s.mu.Lock()
	wait := time.Now().Before(s.health.retry)
	s.mu.Unlock()
	if wait || s.journal == nil || !s.loaded.Load() {
		return
	}
	_ = s.checkpoint(false) // failed logs what is wrong
	*last = time.Now()
}

// due reports whether a checkpoint is.
func (s *Store) due(since time.Duration) bool {
	if s.journal == nil || !s.loaded.Load() {
		return false
	}
	s.mu.Lock()
	now := s.health.failing || s.active.len()+s.flushing.len() >= savePending
	s.mu.Unlock()
	if now || s.journal.log.due() || s.journal.oldest().over(s.now()) {
		return true
	}
	return since >= saveEvery && s.unsaved()
}

// sweep frees what has expired in memory.
func (s *Store) sweep(maps bool) {
	now := s.now()
	s.index.Sweep(now)
	if !maps {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	second := clampSeconds(now.Unix())
	for _, m := range []map[Digest]uint32{s.undone, s.foreign} {
		for id, until := range m {
			if until <= second {
				delete(m, id)
			}
		}
	}
	if s.journal != nil {
		return
	}
	for id, c := range s.active.entries {
		if wireUntil(c.wire) <= second {
			delete(s.active.entries, id)
		}
	}
	for id, wire := range s.active.foreign {
		if wireUntil(wire) <= second {
			delete(s.active.foreign, id)
		}
	}
}
