package caddymodule

import (
	"context"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// openList is the revocation list as one request holds it. Changes go to every
// list that is in use when they are made, and only when there is none to those
// that the request holds; questions go to the list that answers. It is what a
// *revocation.Store is to its callers, errors included.
type openList struct {
	view *listView
	held []*pooledStore
}

// Revoke puts e in force and then on disk. It is in force when Revoke returns,
// whatever the error, unless that is about e or wraps revocation.ErrClosed.
func (l *openList) Revoke(ctx context.Context, e revocation.Entry) (revocation.Result, error) {
	result, err := l.view.lists.change(l.held, func(s *revocation.Store) (revocation.Result, error) { return s.Revoke(ctx, e) })
	if err == nil {
		revocationMetrics.revoked(e.Kind, e.Via)
	}
	return result, err
}

// Undo takes the entry of that identity out of force.
func (l *openList) Undo(ctx context.Context, id revocation.Digest, via, by, note string) (revocation.Result, error) {
	if !l.view.lists.copying.TryRLock() {
		return revocation.Result{}, errCopying
	}
	defer l.view.lists.copying.RUnlock()
	return l.view.lists.change(l.held, func(s *revocation.Store) (revocation.Result, error) { return s.Undo(ctx, id, via, by, note) })
}

// Apply merges entries in bulk and returns how many changed a list.
func (l *openList) Apply(ctx context.Context, entries []revocation.Entry) (changed int, err error) {
	if !l.view.lists.copying.TryRLock() { // entries may be undone ones
		return 0, errCopying
	}
	defer l.view.lists.copying.RUnlock()
	_, err = l.view.lists.change(l.held, func(s *revocation.Store) (revocation.Result, error) {
		n, err := s.Apply(ctx, entries)
		changed = max(changed, n)
		return revocation.Result{}, err
	})
	if err == nil {
		for i := range entries {
			// The way in that an import names is any text, and no label.
			revocationMetrics.revoked(entries[i].Kind, viaImport)
		}
	}
	return changed, err
}

// Ready returns nil once the list is loaded, else why it is not.
func (l *openList) Ready() error {
	if s := l.view.current(); s != nil {
		return s.Ready()
	}
	return errNotStarted
}

// Progress is how many entries of the journal have been loaded, of how many.
func (l *openList) Progress() (done, total int) {
	if s := l.view.current(); s != nil {
		return s.Progress()
	}
	return 0, 0
}

// Get returns the live entry of that identity.
func (l *openList) Get(id revocation.Digest) (revocation.Entry, error) {
	if s := l.view.current(); s != nil {
		return s.Get(id)
	}
	return revocation.Entry{}, errNotStarted
}

// Query returns a page of entries and the cursor of the next one.
func (l *openList) Query(ctx context.Context, f revocation.Filter) (entries []revocation.Entry, next string, err error) {
	if s := l.view.current(); s != nil {
		return s.Query(ctx, f)
	}
	return nil, "", errNotStarted
}

// Count returns how many entries of each kind are in force.
func (l *openList) Count() map[revocation.Kind]int {
	if s := l.view.current(); s != nil {
		return s.Count()
	}
	return nil
}

// Stats returns figures of the list.
func (l *openList) Stats() revocation.Stats {
	if s := l.view.current(); s != nil {
		return s.Stats()
	}
	return revocation.Stats{}
}

// Export calls yield for every live entry.
func (l *openList) Export(ctx context.Context, undone bool, yield func(*revocation.Entry) error) error {
	if s := l.view.current(); s != nil {
		return s.Export(ctx, undone, yield)
	}
	return errNotStarted
}

// LongestExpiry returns the latest expiry noted for issuer, zero if none.
func (l *openList) LongestExpiry(issuer string) time.Time {
	if s := l.view.current(); s != nil {
		return s.LongestExpiry(issuer)
	}
	return time.Time{}
}
