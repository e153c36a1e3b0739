package jwks

import (
	"context"
	"errors"
	"time"
)

const (
	// refetchInterval is the least time between two fetches that unknown keys
	// cause, counted from attempt to attempt, so that a failing issuer is not
	// asked more often than one that answers.
	refetchInterval = 30 * time.Second
	// maxWaiters bounds the requests that wait for the shared fetch.
	maxWaiters = 256
)

var errClosed = errors.New("key source is closed")

// flight is one fetch that any number of callers may wait for.
type flight struct {
	forced   bool // past all caches: a token or an operator asks
	operator bool // must take place, whatever comes before it
	budgeted bool // an unknown key paid for it
	before   time.Time

	done    chan struct{}
	err     error // set before done is closed
	changed bool
	result  string
	began   time.Time
}

// Refetch asks for the keys once more because a token that passed the cheap
// checks names a key that set lacks, or does not verify under a key of that
// name. It waits for the one shared fetch, at most the timeout, and at most
// 256 callers at once; with the budget of one fetch per 30 s spent, or for
// keys that do not come from the network, it answers at once. A caller who may
// not wait while that fetch is under way is told Failed.
func (s *Source) Refetch(ctx context.Context, set *Set) Outcome {
	if s.remote == nil {
		return Current
	}
	if outcome, known := s.compare(set); known {
		return outcome
	}
	f, outcome := s.join()
	if f == nil {
		return outcome
	}
	defer s.leave()
	timer := time.NewTimer(s.cfg.timeout())
	defer timer.Stop()
	select {
	case <-f.done:
	case <-ctx.Done():
	case <-timer.C:
	case <-s.ctx.Done():
	}
	if outcome, known := s.compare(set); known {
		return outcome
	}
	select {
	case <-f.done:
		if f.err == nil {
			return Current
		}
	default:
	}
	return Failed
}

// compare answers what needs no fetch: that there is another set already, or
// that there is none from the issuer, which the goroutine is busy to change.
func (s *Source) compare(set *Set) (outcome Outcome, known bool) {
	v := s.current.Load()
	now, _ := v.at(s.now())
	switch {
	case now == nil || now != v.set:
		return Failed, true
	case now != set:
		return Changed, true
	}
	return 0, false
}

// join returns the flight to wait for, or nil and what to answer at once. The
// caller of a flight must leave.
//
// A fetch that began before the token came may carry the keys from before a
// rotation, so while there is budget the flight is always one that is yet to
// begin. Without budget, a forced one that is under way is the best there is.
func (s *Source) join() (*flight, Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	since := now.Sub(s.lastRefetch)
	budget := s.lastRefetch.IsZero() || since >= refetchInterval || since < 0
	underway := s.running != nil && s.running.forced
	switch {
	case s.ctx.Err() != nil:
		return nil, Failed
	case s.queued == nil && !budget && !underway:
		if s.onSuppressed != nil {
			s.onSuppressed()
		}
		if s.failed {
			return nil, Failed
		}
		return nil, Current
	case s.waiters >= maxWaiters:
		return nil, Failed
	}
	s.waiters++
	switch {
	case s.queued != nil:
		return s.queued, 0
	case budget:
		f := s.queue(&flight{forced: true, budgeted: true, before: s.lastRefetch})
		s.lastRefetch = now
		return f, 0
	}
	return s.running, 0
}

func (s *Source) leave() {
	s.mu.Lock()
	s.waiters--
	s.mu.Unlock()
}

// queue makes f the next flight. s.mu is held.
func (s *Source) queue(f *flight) *flight {
	f.done = make(chan struct{})
	s.queued = f
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return f
}

// RefreshNow fetches the keys outside any budget, for an operator. Keys from a
// file are read again; a secret is always current.
func (s *Source) RefreshNow(ctx context.Context) error {
	if s.status.Kind == kindSecret {
		return nil
	}
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return errClosed
	}
	f := s.queued
	if f == nil {
		f = s.queue(&flight{forced: true})
	}
	f.operator = true
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errClosed
	}
}

// takeOff returns the flight to make now: one that is queued, or else a
// scheduled one when it is due. nil: none.
func (s *Source) takeOff(due bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		return nil
	case s.queued != nil:
		s.running, s.queued = s.queued, nil
	case due:
		s.running = &flight{done: make(chan struct{})}
	}
	return s.running
}

// finish ends a flight. One that is queued has what it wants when this one
// brought other keys; it gets its budget back.
func (s *Source) finish(f *flight, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.err = err
	close(f.done)
	s.running = nil
	if q := s.queued; q != nil && f.changed && q.budgeted && !q.operator {
		s.queued = nil
		s.lastRefetch = q.before
		close(q.done)
	}
}

// abandon tells all who still wait that nothing comes any more.
func (s *Source) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range []*flight{s.running, s.queued} {
		if f != nil {
			f.err = errClosed
			close(f.done)
		}
	}
	s.running, s.queued = nil, nil
}
