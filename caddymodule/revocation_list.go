package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/revocation"
)

// listPool holds the revocation list of the process: what is revoked stays so
// over reloads.
var listPool = caddy.NewUsagePool() // memoryListKey -> *memoryList

const memoryListKey = "memory"

// memoryList is a revocation list that lives in memory alone, exact and without
// a limit on how many entries it holds. It implements revocation.Checker.
type memoryList struct {
	index *revocation.Index
	now   func() time.Time
	end   chan struct{}
	ended chan struct{}
}

// sweepEvery is how often expired entries are freed.
const sweepEvery = time.Second

// checker returns the list that the gates of this configuration ask.
func (s *revocationSettings) checker(held *leases) (revocation.Checker, error) {
	value, _, err := listPool.LoadOrNew(memoryListKey, func() (caddy.Destructor, error) {
		l := &memoryList{
			index: revocation.NewIndex(),
			now:   time.Now,
			end:   make(chan struct{}),
			ended: make(chan struct{}),
		}
		go l.sweep()
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	held.add(func() error {
		_, err := listPool.Delete(memoryListKey)
		return err
	})
	return value.(*memoryList), nil
}

// Revoked implements revocation.Checker. It goes on answering after the list
// was released.
func (l *memoryList) Revoked(ids *revocation.IDs) (revocation.Kind, error) {
	return l.index.Revoked(ids, l.now()), nil
}

func (l *memoryList) sweep() {
	defer close(l.ended)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.end:
			return
		case <-tick.C:
			l.index.Sweep(l.now())
		}
	}
}

// Destruct implements caddy.Destructor.
func (l *memoryList) Destruct() error {
	close(l.end)
	<-l.ended
	return nil
}
