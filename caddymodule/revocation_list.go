package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// lists are the revocation lists of the process.
var lists = newListRegistry()

// memoryKey is the key of the list without a journal. No path is equal to it,
// for paths are absolute.
const memoryKey = "memory"

// listRegistry knows which lists the configurations of the process use. Most of
// the time that is one configuration and one list. While a reload changes the
// journal's path there are two of each, and requests of the old configuration
// go on for as long as their backends take. So what is revoked belongs to the
// process and not to a configuration:
//
//   - A change is made in every list that is in use at the time it is made, and
//     is acknowledged when it is in all of them. It looks again afterwards,
//     because another may have come into use meanwhile.
//   - A list comes into use before what others hold is copied to it. Whatever
//     the copy missed was written after that, and therefore to both.
//   - Requests are answered by one list: that of the configuration started
//     last, once it holds everything. Should that configuration fail to start
//     in the end, the list before it has missed nothing.
type listRegistry struct {
	pool *caddy.UsagePool // key -> *pooledStore
	// feeds joins the list that answers to those of other gateways.
	feeds feedKeeper

	// answering is the list that requests ask; nil before the first one is open
	// and when there is no configuration.
	answering atomic.Pointer[revocation.Store]
	// inUse is what changes go to, immutable.
	inUse atomic.Pointer[[]*pooledStore]

	// copying is held for writing while one list is copied to another.
	copying sync.RWMutex
	// changes serialises opening and closing, which take time.
	changes sync.Mutex
	// kept is a list without a journal that no configuration uses any more: what
	// it holds is nowhere else. Guarded by changes.
	kept *pooledStore
	last string // key of the list that went out of use last; guarded by changes

	mu   sync.Mutex
	uses []*pooledStore // one for each configuration, in the order of their start
}

func newListRegistry() *listRegistry {
	l := &listRegistry{pool: caddy.NewUsagePool()}
	l.inUse.Store(new([]*pooledStore))
	return l
}

// pooledStore is a list with what it borrows from the configurations that use
// it.
type pooledStore struct {
	*revocation.Store
	key  string
	loan *loan

	// Guarded by the registry's mu.
	holders  int // requests that need it open
	orphaned int // leases left behind for them
}

// errNoList means that no list is open that could take a change.
var errNoList = fmt.Errorf("no revocation list is in use: %w", revocation.ErrClosed)

// lease opens the list of that key, or shares it if it is open.
func (l *listRegistry) lease(key string, renameDamaged bool, from *lender) (*pooledStore, error) {
	fresh := newLoan(from)
	value, loaded, err := l.pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		opts := revocation.Options{RenameDamaged: renameDamaged, Logger: fresh.logger()}
		if key != memoryKey {
			opts.Path = key
		}
		store, err := revocation.Open(opts)
		if err != nil {
			return nil, err
		}
		return &pooledStore{Store: store, key: key, loan: fresh}, nil
	})
	if err != nil {
		return nil, err
	}
	p := value.(*pooledStore)
	if loaded {
		p.loan.join(from)
	}
	return p, nil
}

func (l *listRegistry) release(p *pooledStore) error {
	_, err := l.pool.Delete(p.key)
	return err
}

// use puts the list of that key into use for one configuration. It returns when
// the list answers, or at once if it is the first: then it is loaded in the
// background. ctx bounds the copying of what another list holds.
func (l *listRegistry) use(ctx context.Context, key string, renameDamaged bool, from *lender) (*pooledStore, error) {
	l.changes.Lock()
	defer l.changes.Unlock()
	p, err := l.lease(key, renameDamaged, from)
	if err != nil {
		return nil, err
	}
	source, done := l.source(p, from)
	l.mu.Lock()
	l.uses = append(l.uses, p)
	l.publish()
	l.mu.Unlock()
	if source != nil {
		err = l.copyTo(ctx, source, p)
		err = errors.Join(err, done(err == nil))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("copying the revocations of %s to %s: %w", source.key, key, err), l.leave(p, from))
		}
	}
	l.answering.Store(p.Store)
	return p, nil
}

// source returns the list whose entries p has to have before it answers, nil if
// there is none, and what to call when they are copied.
func (l *listRegistry) source(p *pooledStore, from *lender) (source *pooledStore, done func(copied bool) error) {
	none := func(bool) error { return nil }
	if inUse := *l.inUse.Load(); slices.Contains(inUse, p) {
		return nil, none
	} else if len(inUse) > 0 {
		// Every list in use holds everything.
		return inUse[len(inUse)-1], none
	}
	if kept := l.kept; kept != nil {
		return kept, func(copied bool) error {
			if !copied {
				return nil
			}
			l.kept = nil
			return l.release(kept)
		}
	}
	if l.last == "" || l.last == p.key || l.last == memoryKey {
		return nil, none
	}
	if _, err := os.Stat(l.last); errors.Is(err, fs.ErrNotExist) {
		return nil, none
	}
	// The app was taken out of the configuration and is back with another
	// journal.
	old, err := l.lease(l.last, false, from)
	if err != nil {
		from.logger.Error("what the journal before this one holds is not revoked any more: it cannot be opened", "journal", l.last, "error", err)
		return nil, none
	}
	return old, func(bool) error {
		old.loan.leave(from)
		return l.release(old)
	}
}

func (l *listRegistry) copyTo(ctx context.Context, source, p *pooledStore) error {
	if source == p {
		return nil
	}
	l.copying.Lock()
	defer l.copying.Unlock()
	for _, s := range []*pooledStore{source, p} {
		if err := s.Wait(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
	}
	return source.CopyTo(ctx, p.Store)
}

// end takes the list of one configuration out of use.
func (l *listRegistry) end(p *pooledStore, from *lender) error {
	l.changes.Lock()
	defer l.changes.Unlock()
	return l.leave(p, from)
}

// leave is called with changes held.
func (l *listRegistry) leave(p *pooledStore, from *lender) error {
	l.last = p.key
	l.mu.Lock()
	for i := len(l.uses) - 1; i >= 0; i-- {
		if l.uses[i] == p {
			l.uses = slices.Delete(l.uses, i, i+1)
			break
		}
	}
	l.publish()
	var next *revocation.Store
	if n := len(l.uses); n > 0 {
		next = l.uses[n-1].Store
	}
	if !slices.Contains(l.uses, p) {
		l.answering.CompareAndSwap(p.Store, next)
	}
	p.loan.leave(from)
	if p.holders > 0 {
		p.orphaned++
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	return l.giveBack(p)
}

// giveBack ends one lease of p. A list without a journal is kept in its place
// when nobody else has what it holds. It is called with changes held.
func (l *listRegistry) giveBack(p *pooledStore) error {
	if p.key == memoryKey && l.kept == nil && len(*l.inUse.Load()) == 0 && holds(p.Store) {
		l.kept = p
		return nil
	}
	return l.release(p)
}

func holds(s *revocation.Store) bool {
	for _, n := range s.Count() {
		if n > 0 {
			return true
		}
	}
	return false
}

// publish is called with mu held.
func (l *listRegistry) publish() {
	var inUse []*pooledStore
	for _, p := range l.uses {
		if !slices.Contains(inUse, p) {
			inUse = append(inUse, p)
		}
	}
	l.inUse.Store(&inUse)
}

// hold keeps the lists that are in use open until the returned function is
// called: a request may have to write to one after its configuration is gone.
func (l *listRegistry) hold() (held []*pooledStore, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held = *l.inUse.Load()
	for _, p := range held {
		p.holders++
	}
	return held, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range held {
			p.holders--
			if p.holders > 0 || p.orphaned == 0 {
				continue
			}
			leases := p.orphaned
			p.orphaned = 0
			// Closing waits for the disk, and the request's answer must not.
			go func() {
				l.changes.Lock()
				defer l.changes.Unlock()
				for range leases {
					if err := l.giveBack(p); err != nil {
						p.loan.current().logger.Error("closing the revocation journal", "journal", p.key, "error", err)
					}
				}
			}()
		}
	}
}

// change makes a change in every list that is in use, or, when there is none,
// in those that the caller holds. The result is durable when it is in all.
func (l *listRegistry) change(held []*pooledStore, do func(*revocation.Store) (revocation.Result, error)) (revocation.Result, error) {
	type outcome struct {
		revocation.Result
		err error
	}
	outcomes := map[*pooledStore]outcome{}
	for {
		targets := *l.inUse.Load()
		if len(targets) == 0 {
			targets = held
		}
		if len(targets) == 0 {
			return revocation.Result{}, errNoList
		}
		var errs collector
		result := revocation.Result{Durable: true}
		more := false
		for _, p := range targets {
			made, ok := outcomes[p]
			if !ok {
				more = true
				made.Result, made.err = do(p.Store)
				outcomes[p] = made
			}
			errs.check(made.err)
			result.Entry = made.Entry
			result.Durable = result.Durable && made.Durable
		}
		if !more {
			return result, errs.join()
		}
	}
}

// errCopying is the answer to an undoing while its entry may be on its way from
// one list to another.
var errCopying = fmt.Errorf("the list is being copied to another journal: %w", token.Refuse(token.RevocationLoading, "", ""))
