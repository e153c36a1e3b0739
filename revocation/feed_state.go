package revocation

import (
	"context"
	"time"
)

// FeedState is what a gateway knows of the others.
type FeedState uint8

// The states of a feed.
const (
	// FeedStarting: Redis is being read, or was not silent for long yet.
	FeedStarting FeedState = iota
	// FeedFresh: all that the others revoked is here, but for what they did in
	// the last moment.
	FeedFresh
	// FeedStale: for longer than the options say nobody knows what the others
	// revoked.
	FeedStale
)

// String returns the word for s.
func (s FeedState) String() string {
	switch s {
	case FeedStarting:
		return "starting"
	case FeedFresh:
		return "fresh"
	}
	return "stale"
}

// State returns the state. It costs a look at the clock.
func (f *Feed) State() FeedState {
	now := f.clock()
	if fresh := f.fresh.Load(); fresh != 0 {
		if now-fresh < int64(f.stale.Load().after) {
			return FeedFresh
		}
		return FeedStale
	}
	if now-f.answered.Load() < int64(f.options.StartWithin) {
		return FeedStarting
	}
	return FeedStale
}

// staleRule is what SetStale set.
type staleRule struct {
	after time.Duration
	when  string
}

// SetStale changes StaleAfter and WhenStale of the options.
func (f *Feed) SetStale(after time.Duration, when string) {
	f.stale.Store(&staleRule{after, when})
}

// Follow takes over how fresh another feed is, whose place f takes, with a list
// that holds what the other's held. It is called before Start.
func (f *Feed) Follow(other *Feed) {
	if fresh := other.fresh.Load(); fresh != 0 {
		f.fresh.Store(max(fresh-int64(f.began.Sub(other.began)), 1))
	}
}

// Stale reports whether State is FeedStale.
func (f *Feed) Stale() bool { return f.State() == FeedStale }

// CaughtUp returns when the stream was read to its end for the first time, with
// an error when ctx or the feed ended first.
func (f *Feed) CaughtUp(ctx context.Context) error {
	select {
	case <-f.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.ctx.Done():
		return ErrClosed
	}
}

// FeedStatus is how a feed does.
type FeedStatus struct {
	State FeedState
	// Redis is the address, without credentials.
	Redis string
	// Synced is whether the stream was ever read to its end.
	Synced bool
	// Age is how long ago its end was reached; 0 before Synced.
	Age time.Duration
	// Lag is how old the last change was when it arrived.
	Lag time.Duration
	// Outbox is how many changes wait, Stream how long the stream was when it
	// was asked last.
	Outbox int
	Stream int64
	// Read entries of the stream, Malformed ones among them, changes Appended,
	// entries Restored after Redis lost data, and how often it did.
	Read, Malformed, Appended, Restored, Losses uint64
	// Errors say what is wrong and what is needed, one line each.
	Errors []string
}

// Status returns how the feed does.
func (f *Feed) Status() FeedStatus {
	acked, last := f.store.outboxEnds()
	f.mu.Lock()
	defer f.mu.Unlock()
	status := FeedStatus{
		State: f.State(), Redis: f.endpoint, Outbox: int(last - max(acked, f.fed)), Stream: f.figures.length, Lag: f.figures.lag,
		Read: f.figures.read, Malformed: f.figures.malformed, Appended: f.figures.appended,
		Restored: f.figures.restored, Losses: f.figures.losses,
	}
	select {
	case <-f.synced:
		status.Synced = true
	default:
	}
	if fresh := f.fresh.Load(); fresh != 0 {
		status.Age = time.Duration(f.clock() - fresh)
	}
	for s, p := range f.problems {
		if p.kind != "" {
			status.Errors = append(status.Errors, sideNames[s]+": "+p.words)
		}
	}
	return status
}

// watchEvery is how often the state is looked at for the log.
const watchEvery = time.Second

// watchLoop is the goroutine that logs changes of the state.
func (f *Feed) watchLoop() {
	ticker := time.NewTicker(max(min(watchEvery, f.options.StaleAfter/4), blockLeast))
	defer ticker.Stop()
	last := FeedStarting
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		state := f.State()
		if state == last {
			continue
		}
		switch state {
		case FeedStale:
			status := f.Status()
			f.log.Error("the feed between gateways is stale: what others revoked meanwhile is not known here",
				"redis", f.endpoint, "stale_after", f.stale.Load().after.String(), "therefore", f.stale.Load().when, "errors", status.Errors)
		case FeedFresh:
			if last == FeedStale {
				f.log.Info("the feed between gateways is fresh again", "redis", f.endpoint)
			} else {
				f.log.Info("joined the other gateways", "redis", f.endpoint)
			}
		}
		last = state
	}
}
