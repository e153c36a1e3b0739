package revocation

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// expiries are the latest expiries of tokens by issuer.
type expiries struct {
	mu    sync.Mutex // of those who add an issuer
	known atomic.Pointer[map[string]*expiry]
	dirty atomic.Bool
}

type expiry struct {
	latest atomic.Int64 // nanoseconds
	saved  atomic.Int64 // what the journal has; not earlier than any before
}

// expiryGrain is by how much a saved expiry may be too late, so that not every
// token makes a write necessary.
const expiryGrain = int64(time.Minute)

// NoteExpiry remembers exp as the latest of the tokens accepted from issuer, if
// it is. It is cheap when it is not, and saved within seconds when it is. A
// restart may round it up to a minute. issuer has to come from the
// configuration: what is noted stays.
func (s *Store) NoteExpiry(issuer string, exp time.Time) { s.expiries.note(issuer, nanos(exp)) }

func (x *expiries) note(issuer string, at int64) {
	e := (*x.known.Load())[issuer]
	if e == nil {
		e = x.add(issuer)
	}
	for {
		old := e.latest.Load()
		if at <= old {
			return
		}
		if e.latest.CompareAndSwap(old, at) {
			break
		}
	}
	if at > e.saved.Load() {
		x.dirty.Store(true)
	}
}

func (x *expiries) add(issuer string) *expiry {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := (*x.known.Load())[issuer]; e != nil {
		return e
	}
	grown := maps.Clone(*x.known.Load())
	e := new(expiry)
	e.latest.Store(math.MinInt64)
	e.saved.Store(math.MinInt64)
	grown[issuer] = e
	x.known.Store(&grown)
	return e
}

// LongestExpiry returns the latest expiry noted for issuer, zero if none.
func (s *Store) LongestExpiry(issuer string) time.Time {
	e := (*s.expiries.known.Load())[issuer]
	if e == nil || e.latest.Load() == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, e.latest.Load()).UTC()
}

// restore takes over what the journal has.
func (x *expiries) restore(saved map[string]int64) {
	known := make(map[string]*expiry, len(saved))
	for issuer, at := range saved {
		e := new(expiry)
		e.latest.Store(at)
		e.saved.Store(at)
		known[issuer] = e
	}
	x.known.Store(&known)
}

// unsaved returns what the journal should have, where it is later than what it
// has.
func (x *expiries) unsaved() map[string]int64 {
	if !x.dirty.Swap(false) {
		return nil
	}
	list := make(map[string]int64)
	for issuer, e := range *x.known.Load() {
		if at := e.latest.Load(); at > e.saved.Load() {
			if at < math.MaxInt64-expiryGrain {
				at = (at/expiryGrain + 1) * expiryGrain
			}
			list[issuer] = at
		}
	}
	return list
}

func (x *expiries) wrote(list map[string]int64) {
	for issuer, at := range list {
		(*x.known.Load())[issuer].saved.Store(at)
	}
}

// failed puts back what could not be written.
func (x *expiries) failed(list map[string]int64) {
	if len(list) > 0 {
		x.dirty.Store(true)
	}
}
