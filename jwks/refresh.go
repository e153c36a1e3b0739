package jwks

import (
	"context"
	"math/rand/v2"
	"time"
)

// condition is what the log was told last about a source's keys. Each change is
// logged once.
type condition uint8

const (
	starting condition = iota // nothing was tried yet
	good                      // the last attempt was good
	failing                   // attempts fail, the keys are still used
	ending                    // and will not be for much longer
	unusable                  // there are no keys to use
)

// schedule is when a remote source does what. It belongs to its goroutine.
type schedule struct {
	condition condition
	failures  int       // since the last good attempt
	next      time.Time // the next attempt
	warn      time.Time // when to say that max_stale comes near
}

// run is the goroutine of a remote source.
func (s *Source) run() {
	defer s.abandon()
	loaded := s.load()
	s.plan.next = s.now()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		pause, fetch := s.pause()
		timer.Reset(pause)
		due := false
		select {
		case <-s.ctx.Done():
			return
		case rec := <-loaded:
			s.adopt(rec)
		case <-s.wake:
		case <-timer.C:
			due = fetch
		}
		s.judge(s.now())
		if f := s.takeOff(due); f != nil {
			start := time.Now() // a duration for a histogram: not a matter of the injected clock
			err := s.attempt(f)
			took := time.Since(start)
			if s.ctx.Err() != nil {
				return // the attempt was cut off, and says nothing
			}
			if s.onFetchTime != nil {
				s.onFetchTime(took)
			}
			s.settle(f, err)
			s.finish(f, err)
		}
	}
}

// pause returns how long there is nothing to do, and whether what comes then
// is a fetch.
func (s *Source) pause() (d time.Duration, fetch bool) {
	now := s.now()
	at := s.plan.next
	fetch = true
	if v := s.current.Load(); v.set != nil && v.limited && s.plan.condition != unusable {
		if v.until.Before(at) {
			at, fetch = v.until, false
		}
		if s.plan.condition == failing && s.plan.warn.Before(at) {
			at, fetch = s.plan.warn, false
		}
	}
	if s.onDemand && fetch {
		return time.Hour, false
	}
	return max(at.Sub(now), 0), fetch
}

// judge says what the mere passing of time has done to the keys.
func (s *Source) judge(now time.Time) {
	v := s.current.Load()
	if v.set == nil || !v.limited {
		return
	}
	switch p := &s.plan; {
	case !now.Before(v.until) && p.condition != unusable:
		p.condition = unusable
		p.next = now
		s.log.Error("no usable keys: the last good ones have passed max_stale; tokens of this issuer are answered with 503",
			"fetched_at", s.fetchedAt(), "usable_until", v.until, "error", s.lastError())
	case p.condition == failing && !now.Before(p.warn):
		p.condition = ending
		s.log.Warn("keys will soon pass max_stale; tokens of this issuer will then be answered with 503",
			"fetched_at", s.fetchedAt(), "usable_until", v.until, "error", s.lastError())
	}
}

// attempt makes one fetch and puts its result to use.
func (s *Source) attempt(f *flight) (err error) {
	// Whatever an answer makes of the code that reads it ends as a failed
	// attempt, not as the end of the process.
	defer func() {
		if v := recover(); v != nil {
			err = faultf(resultContent, "reading the answer failed: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.timeout())
	defer cancel()
	if f.operator {
		s.remote.discovered = time.Time{}
	}
	got, err := s.remote.fetch(ctx, f.forced)
	if err != nil {
		return err
	}
	fresh := got.fresh
	if fresh == 0 {
		fresh = s.cfg.refresh()
	}
	f.began = got.began
	due := got.began.Add(fresh)
	until := due.Add(s.cfg.MaxStale)
	s.plan.next = jittered(got.began, fresh)
	if least := s.now().Add(fresh / 2); s.plan.next.Before(least) {
		s.plan.next = least
	}
	s.plan.warn = due.Add(s.cfg.MaxStale / 5 * 4)
	if got.notModified {
		s.extend(due, until)
		f.result = resultNotModified
	} else {
		f.result = resultOK
		before, after := s.publish(got.doc.keys, due, until)
		f.changed = before != after
		s.reportChange(before, after)
		s.reportSkipped(got.doc)
	}
	s.save(got, f.changed)
	return nil
}

// jittered returns when keys that are fresh for d from began on are fetched
// anew: ahead of their end, and not at the same moment on every gateway.
func jittered(began time.Time, d time.Duration) time.Time {
	return began.Add(time.Duration((0.75 + 0.15*rand.Float64()) * float64(d)))
}

// settle notes the result of an attempt: for the next one, for the log, for
// the status.
func (s *Source) settle(f *flight, err error) {
	now := s.now()
	p := &s.plan
	was := p.condition
	if err == nil {
		p.failures, p.condition = 0, good
		s.noteGood(f.began)
		s.tell(f.result)
		s.log.Debug("keys fetched", "result", f.result, "next_refresh", p.next)
		if was >= failing {
			s.log.Info("keys are refreshed again")
		}
		return
	}
	p.failures++
	v := s.current.Load()
	set := v.set
	if set != nil && v.limited && !now.Before(v.until) {
		set = nil
	}
	p.next = now.Add(retry(p.failures, set != nil))
	s.noteFailure(now, err)
	s.tell(resultOf(err))
	s.log.Debug("fetching keys failed", "error", err, "result", resultOf(err), "next_attempt", p.next)
	switch {
	case set != nil && was < failing:
		p.condition = failing
		s.log.Warn("keys cannot be refreshed; the last good ones stay in use",
			"error", err, "result", resultOf(err), "usable_until", v.until)
	case set == nil && was != unusable:
		p.condition = unusable
		s.log.Error("no usable keys: tokens of this issuer are answered with 503",
			"error", err, "result", resultOf(err))
	}
}

// retry returns the pause after so many failures: 1 to 5 s while there are no
// keys, otherwise doubling from 2 s to 30 s.
func retry(failures int, usable bool) time.Duration {
	if !usable {
		least := time.Second * time.Duration(min(failures, 4))
		return least + time.Duration(rand.Float64()*float64(time.Second))
	}
	d := min(time.Second<<min(failures, 5), 30*time.Second)
	return time.Duration((0.8 + 0.4*rand.Float64()) * float64(d))
}

func (s *Source) tell(result string) {
	if s.onFetch != nil {
		s.onFetch(result)
	}
}
