package caddymodule

import (
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
)

// What outlives a configuration: on a reload the new one is provisioned while
// the old one still serves, and whatever both ask for stays as it is. Every
// module releases what it took in Cleanup, also after a half-done Provision.
var (
	keyPool   = caddy.NewUsagePool() // jwks.Config.PoolKey -> *pooledKeys
	cachePool = caddy.NewUsagePool() // size in bytes -> *pooledCache

	windowPool   = caddy.NewUsagePool() // windowKey -> *pooledWindow
	observedPool = caddy.NewUsagePool() // observedGate -> *observations
)

// leases are the pooled values that one module holds.
type leases struct {
	mu       sync.Mutex
	releases []func() error
}

// add takes note of how a value is released.
func (l *leases) add(release func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releases = append(l.releases, release)
}

// end releases everything, the last value first. It is idempotent and may be
// called on nil.
func (l *leases) end() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	releases := l.releases
	l.releases = nil
	l.mu.Unlock()
	var errs collector
	for i := len(releases) - 1; i >= 0; i-- {
		errs.check(releases[i]())
	}
	return errs.join()
}

// pooledKeys is a source of keys together with what it borrows from the
// configurations that hold it. Requests outlive Cleanup: a closed source still
// answers from the last set it had, it only learns nothing new.
type pooledKeys struct {
	*jwks.Source
	loan *loan
}

// leaseKeys returns the source of keys that cfg leads to, starting it if no
// configuration has it yet. It does not wait for the network.
func leaseKeys(cfg jwks.Config, from *lender, held *leases) (source *jwks.Source, poolKey string, err error) {
	poolKey, err = cfg.PoolKey()
	if err != nil {
		return nil, "", fmt.Errorf("issuer %s: %w", cfg.Issuer, err)
	}
	place := poolKey
	if from.idle {
		place = "idle " + poolKey
	}
	// Taken before the pool is asked, so that a source that starts has somebody
	// to borrow from.
	fresh := newLoan(from)
	value, loaded, err := keyPool.LoadOrNew(place, func() (caddy.Destructor, error) {
		source, err := jwks.New(cfg, jwks.Options{
			Logger:       fresh.logger(),
			Storage:      fresh,
			OnDemand:     from.idle,
			OnFetch:      process.fetched(cfg.Issuer),
			OnFetchTime:  process.fetchTook(cfg.Issuer),
			OnSuppressed: process.suppressed(cfg.Issuer),
		})
		if err != nil {
			return nil, err
		}
		return &pooledKeys{Source: source, loan: fresh}, nil
	})
	if err != nil {
		return nil, "", err
	}
	pooled := value.(*pooledKeys)
	if loaded {
		pooled.loan.join(from)
	}
	held.add(func() error {
		pooled.loan.leave(from)
		_, err := keyPool.Delete(place)
		return err
	})
	return pooled.Source, poolKey, nil
}

// pooledCache is a verdict cache whose counters are kept when it goes.
type pooledCache struct{ *gate.Cache }

// leaseCache returns the verdict cache of that size, nil when it is 0.
func leaseCache(size int64, held *leases) (*gate.Cache, error) {
	if size == 0 {
		return nil, nil
	}
	value, _, err := cachePool.LoadOrNew(size, func() (caddy.Destructor, error) {
		cache, err := gate.NewCache(size)
		if err != nil {
			return nil, err
		}
		process.caches.opened(cache)
		return pooledCache{cache}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	held.add(func() error {
		_, err := cachePool.Delete(size)
		return err
	})
	return value.(pooledCache).Cache, nil
}

// Destruct implements caddy.Destructor. Late requests find nothing in a closed
// cache and verify their tokens.
func (c pooledCache) Destruct() error {
	process.caches.closed(c.Cache)
	c.Close()
	return nil
}
