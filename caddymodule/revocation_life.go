package caddymodule

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// circumstances are what the life of an entry for a token of issuer follows
// from. Where several gates trust one issuer, the greatest skew of all counts:
// the token would live longest there. The same goes for allow_expired.
func (s *appState) circumstances(issuer string, now time.Time) revocation.Circumstances {
	c := revocation.Circumstances{
		Now:              now,
		AllowExpired:     time.Duration(s.allowExpired.Load()),
		MaxTokenLifetime: s.revocation.maxLifetime,
	}
	trusted := s.trusts.named(issuer)
	for _, t := range trusted {
		c.Skew = max(c.Skew, t.skew)
	}
	if len(trusted) == 0 {
		c.Skew = policy.DefaultSkew
	}
	if list := s.list.current(); list != nil {
		c.LongestExpiry = list.LongestExpiry(issuer)
	}
	return c
}

// lastEntry is when the last entry can expire.
var lastEntry = time.Date(2105, 12, 31, 0, 0, 0, 0, time.UTC)

// outlast lets e live on until no configuration that may come would accept the
// token again by a greater skew.
func outlast(e *revocation.Entry, c revocation.Circumstances) {
	if until := e.Until.Add(policy.MaxSkew - c.Skew); until.Before(lastEntry) {
		e.Until = until
	}
}

// allowExpiredUpTo takes note of a logout's allow_expired.
func (s *appState) allowExpiredUpTo(d time.Duration) {
	for {
		known := s.allowExpired.Load()
		if int64(d) <= known || s.allowExpired.CompareAndSwap(known, int64(d)) {
			return
		}
	}
}

// lifetimes watches for tokens that live longer than entries do by default, in
// a configuration that does not refuse them. Their greatest exp is remembered,
// so that entries which may have to match them live as long.
type lifetimes struct {
	list     *listView
	lifetime time.Duration
	logger   *zap.Logger

	mu       sync.Mutex
	byIssuer map[string]*lifetimeWatch
}

func newLifetimes(list *listView, lifetime time.Duration, logger *zap.Logger) *lifetimes {
	return &lifetimes{list: list, lifetime: lifetime, logger: logger, byIssuer: make(map[string]*lifetimeWatch)}
}

// watch returns what watches over issuer, the same for all gates.
func (l *lifetimes) watch(issuer string) *lifetimeWatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.byIssuer[issuer]
	if w == nil {
		w = &lifetimeWatch{lifetimes: l, issuer: issuer, counter: revocationMetrics.longLived.WithLabelValues(issuer)}
		l.byIssuer[issuer] = w
	}
	return w
}

// lifetimeWatch watches over the tokens of one issuer.
type lifetimeWatch struct {
	*lifetimes
	issuer  string
	counter prometheus.Counter
	// within is a second of Unix time up to which an exp is within the lifetime.
	// Time only moves it ahead, so that most tokens cost one comparison and no
	// look at the clock.
	within atomic.Int64
	warned atomic.Bool
}

// accepted is told the exp of every token that a gate let through.
func (w *lifetimeWatch) accepted(exp token.NumericDate) {
	seconds, _ := exp.Unix()
	if seconds <= w.within.Load() {
		return
	}
	within := w.list.now().Add(w.lifetime).Unix()
	w.within.Store(within)
	if seconds <= within {
		return
	}
	w.counter.Inc()
	for _, p := range *w.list.lists.inUse.Load() {
		p.NoteExpiry(w.issuer, exp.Time())
	}
	if !w.warned.Swap(true) {
		w.logger.Warn("tokens of this issuer live longer than max_token_lifetime: revocations of sessions, subjects and clients are kept as long as the longest lived token seen; write max_token_lifetime to refuse such tokens or to raise the limit",
			zap.String("issuer", w.issuer), zap.Duration("max_token_lifetime", w.lifetime), zap.Time("exp", exp.Time()))
	}
}

// watch makes the gate tell of the tokens of issuer that it lets through.
func (run *runtime) watch(issuer string) {
	if l := run.app.state.lifetimes; l != nil {
		if run.lifetimes == nil {
			run.lifetimes = make(map[string]*lifetimeWatch)
		}
		run.lifetimes[issuer] = l.watch(issuer)
	}
}
