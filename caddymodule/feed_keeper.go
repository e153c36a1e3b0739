package caddymodule

import (
	"context"
	"crypto/tls"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// feedKeeper runs the feed between gateways, one for the process: that of the
// configuration started last. A reload that changes nothing about Redis and the
// journal leaves it alone; else it ends before the next one begins, so that an
// outbox has one feed at a time.
type feedKeeper struct {
	current atomic.Pointer[revocation.Feed] // nil: this gateway is alone

	mu      sync.Mutex
	wants   []*feedWant // in the order of their start
	running *feedWant   // of current
}

// feedWant is what one configuration wants.
type feedWant struct {
	list     *pooledStore
	settings *revocationSettings
}

func (k *feedKeeper) join(w *feedWant) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wants = append(k.wants, w)
	err := k.follow()
	if err != nil {
		k.wants = k.wants[:len(k.wants)-1]
	}
	return err
}

func (k *feedKeeper) leave(w *feedWant) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.Index(k.wants, w); i >= 0 {
		k.wants = slices.Delete(k.wants, i, i+1)
	}
	return k.follow()
}

// follow makes the feed that of the last want. It is called with mu held.
func (k *feedKeeper) follow() error {
	var w *feedWant
	if n := len(k.wants); n > 0 {
		w = k.wants[n-1]
	}
	old := k.current.Load()
	if w == nil || w.settings.redis == nil {
		k.current.Store(nil)
		k.running = nil
		if w != nil {
			// Nobody would empty it.
			w.list.EnableOutbox(false)
		}
		if old != nil {
			return old.Close()
		}
		return nil
	}
	options := w.options()
	if old != nil && k.running.list == w.list && k.running.settings.redis.same(w.settings.redis) {
		old.SetStale(options.StaleAfter, options.WhenStale)
		k.running = w
		return nil
	}
	// It connects nowhere yet.
	next, err := revocation.NewFeed(w.list.Store, options)
	if err != nil {
		return err
	}
	if old != nil {
		next.Follow(old)
		err = old.Close()
	}
	next.Start()
	k.current.Store(next)
	k.running = w
	return err
}

func (w *feedWant) options() revocation.FeedOptions {
	o := w.settings.redis.options()
	o.StaleAfter = w.settings.staleAfter
	o.WhenStale = "requests are refused until then (on_stale deny)"
	if w.settings.onStale == "allow" {
		o.WhenStale = "requests pass all the same (on_stale allow)"
	}
	o.Logger = w.list.loan.logger()
	o.Lag = func(d time.Duration) { feedMetrics.lag.Observe(d.Seconds()) }
	return o
}

// options are those of the feed that s says.
func (s *redisSettings) options() revocation.FeedOptions {
	return revocation.FeedOptions{
		URLs: s.urls, Username: s.username, Password: s.password, Prefix: s.prefix, Timeout: s.timeout, TLS: s.tls,
		Sentinel: s.sentinel, Cluster: s.cluster, WaitReplicas: s.waitReplicas, WaitTimeout: s.waitTimeout,
	}
}

// same reports whether two configurations mean the same connection.
func (s *redisSettings) same(other *redisSettings) bool {
	a, b := *s, *other
	a.tls, b.tls = nil, nil
	return reflect.DeepEqual(a, b) && sameTLS(s.tls, other.tls)
}

func sameTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	if (a.RootCAs == nil) != (b.RootCAs == nil) || a.RootCAs != nil && !a.RootCAs.Equal(b.RootCAs) || len(a.Certificates) != len(b.Certificates) {
		return false
	}
	for i := range a.Certificates {
		if !reflect.DeepEqual(a.Certificates[i].Certificate, b.Certificates[i].Certificate) {
			return false
		}
	}
	return true
}

// Shared: nobody changes a refusal.
var (
	errFeedStarting error = token.Refuse(token.RevocationLoading, "the revocations of the other gateways", "")
	errFeedStale    error = token.Refuse(token.RevocationStale, "", "")
)

// knows returns nil when what the other gateways revoked is known here, or when
// it is not and the operator chose to go on. Before the stream was read for the
// first time nobody goes on, unless Redis is silent.
func (v *listView) knows() error {
	if v.settings.redis == nil {
		return nil
	}
	feed := v.lists.feeds.current.Load()
	if feed == nil {
		return v.withoutFeed()
	}
	switch feed.State() {
	case revocation.FeedFresh:
		return nil
	case revocation.FeedStarting:
		return errFeedStarting
	}
	if v.settings.onStale == "allow" {
		return nil
	}
	return errFeedStale
}

// withoutFeed is the answer before the feed began and, to the last requests of
// a configuration, after it ended or gave way to a configuration without one.
func (v *listView) withoutFeed() error {
	if v.joined.Load() {
		return nil
	}
	return errFeedStarting
}

// fedWithin is how long a caller waits to hear that others have its change.
const fedWithin = 250 * time.Millisecond

// fed reports whether the changes made so far are where other gateways read
// them, and waits a moment for that.
func (v *listView) fed(ctx context.Context) bool {
	feed := v.lists.feeds.current.Load()
	if feed == nil {
		return v.settings.redis == nil
	}
	ctx, cancel := context.WithTimeout(ctx, fedWithin)
	defer cancel()
	return feed.Fed(ctx)
}
