package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// Source holds the keys of one issuer. It is safe for concurrent use; asking
// it for keys takes no lock and never waits. One goroutine of its own does all
// fetching and reading; it alone publishes sets.
type Source struct {
	cfg          Config
	log          *slog.Logger
	now          func() time.Time
	onFetch      func(string)
	onFetchTime  func(time.Duration)
	onSuppressed func()
	onDemand     bool
	secret       *Key // nil: none

	current atomic.Pointer[view]

	ctx    context.Context // ends at Close; no caller's context is kept
	cancel context.CancelFunc
	work   sync.WaitGroup

	// Of remote sources, used by the goroutine alone.
	remote *remote
	store  *store

	file *file // of sources that read a file, used by the goroutine alone
	plan schedule

	wake chan struct{} // a flight is queued

	mu          sync.Mutex // guards what follows; never held over I/O
	status      Status     // without Keys, which come from current
	running     *flight
	queued      *flight
	waiters     int
	lastRefetch time.Time // when the last budgeted refetch was asked for
	failed      bool      // the last attempt failed, or none has succeeded yet
}

// view is what Keys answers with. Immutable.
type view struct {
	set     *Set
	limited bool      // due and until count; otherwise set never goes stale
	due     time.Time // set is fresh until then
	until   time.Time // and may be used until then
	// rest is what remains when set is not usable: the secret's set, or nil.
	rest *Set
}

// at returns the set to use at now.
func (v *view) at(now time.Time) (*Set, token.Reason) {
	switch {
	case v.set != nil && (!v.limited || now.Before(v.until)):
		return v.set, token.ReasonNone
	case v.rest != nil:
		return v.rest, token.ReasonNone
	case v.set != nil:
		return nil, token.KeysStale
	}
	return nil, token.KeysNeverObtained
}

// New starts a Source. It does not wait for the network; files are read before
// it returns, and a file that is missing or unusable is an error.
func New(cfg Config, opts Options) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{
		cfg: cfg, log: opts.Logger, now: opts.Now, onDemand: opts.OnDemand,
		onFetch: opts.OnFetch, onFetchTime: opts.OnFetchTime, onSuppressed: opts.OnSuppressed,
		wake: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("issuer", cfg.Issuer)
	if s.now == nil {
		s.now = time.Now
	}
	s.status = Status{Issuer: cfg.Issuer, Kind: cfg.kind(), Location: cfg.location()}
	if cfg.Secret != nil {
		s.secret = newSecretKey(cfg.Secret)
		s.cfg.Secret = nil // the copy in the key is enough
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.start(opts); err != nil {
		s.cancel()
		return nil, fmt.Errorf("issuer %q: %w", cfg.Issuer, err)
	}
	return s, nil
}

func (s *Source) start(opts Options) error {
	var rest *Set
	if s.secret != nil {
		rest = newSet(nil, s.secret, s.status.Kind == kindSecret)
	}
	s.current.Store(&view{rest: rest})

	switch s.status.Kind {
	case kindSecret:
		s.current.Store(&view{set: rest, rest: rest})
	case kindJWKSFile, kindPEMFile:
		f, doc, err := openFile(&s.cfg)
		if err != nil {
			return err
		}
		s.file = f
		s.plan.condition = good
		s.publish(doc.keys, time.Time{}, time.Time{})
		s.noteGood(s.now())
		s.reportSkipped(doc)
		s.work.Go(s.watch)
	default:
		var ca []byte
		if s.cfg.CAFile != "" {
			var err error
			if ca, err = readFile("tls_ca", s.cfg.CAFile); err != nil {
				return err
			}
		}
		c, err := newClient(ca, opts.transport)
		if err != nil {
			return fmt.Errorf("tls_ca %s: %w", s.cfg.CAFile, err)
		}
		s.remote = &remote{cfg: &s.cfg, client: c, now: s.now}
		s.failed = true
		if opts.Storage != nil {
			s.store = &store{storage: opts.Storage, name: s.cfg.storageName(ca)}
		}
		s.work.Go(s.run)
	}
	return nil
}

// Close ends all background work and waits for it. It is idempotent. Keys
// goes on answering with what was there last, for requests that are still
// under way; nothing is refreshed any more.
func (s *Source) Close() {
	s.cancel()
	s.work.Wait()
	if s.remote != nil {
		s.remote.client.close()
	}
}

// Destruct implements the destructor of pooled values.
func (s *Source) Destruct() error { s.Close(); return nil }

// Keys returns the set to verify with at now. When there is none it returns
// nil and why: KeysNeverObtained or KeysStale (token.Reason). A secret beside
// keys from the network is always there: without them the set is the secret's
// alone.
func (s *Source) Keys(now time.Time) (*Set, token.Reason) { return s.current.Load().at(now) }

// publish makes keys the current ones, fresh until due and usable until until
// (zero: without limit). Keys that were there before keep their pointers, and an
// unchanged set keeps its own. It returns the set before and the one now.
func (s *Source) publish(keys []*Key, due, until time.Time) (before, after *Set) {
	old := s.current.Load()
	before, after = old.set, old.set
	kept := make([]*Key, len(keys))
	for i, k := range keys {
		kept[i] = k
		if before != nil {
			kept[i] = before.identical(k)
		}
		if kept[i].since.IsZero() {
			k.since = s.now()
		}
	}
	if next := newSet(kept, s.secret, false); !next.sameKeys(before) {
		after = next
	}
	s.current.Store(&view{set: after, limited: !until.IsZero(), due: due, until: until, rest: old.rest})
	return before, after
}

// extend lets the current keys, which the issuer has just confirmed, be fresh
// until due and usable until until.
func (s *Source) extend(due, until time.Time) {
	v := *s.current.Load()
	v.limited, v.due, v.until = true, due, until
	s.current.Store(&v)
}

// Status returns a snapshot of s.
func (s *Source) Status() Status {
	now := s.now()
	s.mu.Lock()
	st := s.status
	s.mu.Unlock()
	st.Skipped = slices.Clone(st.Skipped)
	v := s.current.Load()
	set, _ := v.at(now)
	if set != nil {
		for _, k := range set.keys {
			st.Keys = append(st.Keys, k.status())
		}
	}
	if v.limited {
		st.UsableUntil = v.until
	}
	st.Stale = v.limited && set != nil && set == v.set && !now.Before(v.due)
	return st
}

// location returns where the keys come from, for people.
func (c *Config) location() string {
	switch c.kind() {
	case kindJWKS:
		return plain(c.JWKS)
	case kindJWKSFile:
		return c.JWKSFile
	case kindPEMFile:
		return c.PEMFile
	case kindSecret:
		return ""
	}
	if c.Discovery != "" {
		return plain(c.Discovery)
	}
	if oidc, _, err := discoveryURLs(c.Issuer); err == nil {
		return place(oidc)
	}
	return c.Issuer
}

// plain is place for a URL in text: a query may hold a key to the issuer.
func plain(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return place(u)
}

// refresh and timeout return the settings with their defaults.
func (c *Config) refresh() time.Duration {
	if c.Refresh == 0 {
		return DefaultRefresh
	}
	return c.Refresh
}

func (c *Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}
