package caddymodule

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// listView is how one configuration sees the revocation list. It is made when
// the configuration is provisioned and opens nothing until it starts; requests
// may ask it before that, and after the configuration is gone. It implements
// revocation.Checker. Safe for concurrent use.
type listView struct {
	lists    *listRegistry
	settings *revocationSettings
	from     *lender
	ctx      context.Context // ends with the configuration
	now      func() time.Time

	// own is the list that the configuration opened. It goes on answering when
	// it is closed, for the last requests of a process or of a configuration
	// after which there is no list.
	own atomic.Pointer[pooledStore]
	// used says that own is to be given back.
	used atomic.Bool
	// want is set by start, joined when its feed is there.
	want   *feedWant
	joined atomic.Bool
}

func newListView(ctx context.Context, registry *listRegistry, settings *revocationSettings, from *lender) *listView {
	return &listView{lists: registry, settings: settings, from: from, ctx: ctx, now: time.Now}
}

// start opens the list, or joins those who use it already.
func (v *listView) start() error {
	key := memoryKey
	if v.settings.journal != "" {
		var err error
		if key, err = resolveJournal(v.settings.journal); err != nil {
			return err
		}
	}
	p, err := v.lists.use(v.ctx, key, v.settings.onDamage == "rename", v.from)
	if err != nil {
		return err
	}
	v.own.Store(p)
	v.used.Store(true)
	v.want = &feedWant{p, v.settings}
	if err := v.lists.feeds.join(v.want); err != nil {
		return err
	}
	v.joined.Store(true)
	return nil
}

// end lets go of the list. It is idempotent, may be called on nil and on a view
// that was never started.
func (v *listView) end() error {
	if v == nil || !v.used.CompareAndSwap(true, false) {
		return nil
	}
	// The feed needs an open list.
	err := v.lists.feeds.leave(v.want)
	return errors.Join(err, v.lists.end(v.own.Load(), v.from))
}

// errNotStarted is shared: nobody changes a refusal.
var errNotStarted error = token.Refuse(token.RevocationLoading, "an open revocation list", "")

// current returns the list that answers, nil before the first one is open.
func (v *listView) current() *revocation.Store {
	if s := v.lists.answering.Load(); s != nil {
		return s
	}
	if p := v.own.Load(); p != nil {
		return p.Store
	}
	return nil
}

// Revoked implements revocation.Checker.
func (v *listView) Revoked(ids *revocation.IDs) (revocation.Kind, error) {
	s := v.current()
	if s == nil {
		return 0, errNotStarted
	}
	kind, err := s.Revoked(ids)
	if kind == 0 && err == nil {
		err = v.knows()
	}
	return kind, err
}

// open keeps the list open for one request until release is called, also when
// the configuration ends meanwhile.
func (v *listView) open() (list *openList, release func()) {
	held, release := v.lists.hold()
	return &openList{view: v, held: held}, release
}

// Interface guard.
var _ revocation.Checker = (*listView)(nil)
