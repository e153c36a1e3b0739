package caddymodule

import (
	"cmp"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// gatewayStatus is everything about the gateway that somebody who looks for a
// fault may need. No part of it is a secret, a token or a claim.
type gatewayStatus struct {
	Time      time.Time `json:"time"`
	StartedAt time.Time `json:"started_at"` // of the process
	Version   string    `json:"version"`
	Caddy     string    `json:"caddy"`
	// State is ok, warning, degraded (some tokens are answered with 503, or
	// something may be lost) or not_ready (all are).
	State    string           `json:"state"`
	Summary  string           `json:"summary"`
	Problems []statusProblem  `json:"problems"` // what matters most first
	Ready    bool             `json:"ready"`
	Reasons  []string         `json:"reasons"`
	Degraded []degradedIssuer `json:"degraded"`

	Issuers     []issuerStatus   `json:"issuers"`
	Cache       *cacheStatus     `json:"cache"` // null: off
	Revocations revocationStatus `json:"revocations"`
	Feed        *feedStatus      `json:"feed"` // null: this gateway is alone
	Streams     streamStatus     `json:"streams"`
	Decisions   []decisionStatus `json:"decisions"`
}

// issuerStatus is one source of keys of an issuer. An issuer with several blocks
// that differ in it is listed with each.
type issuerStatus struct {
	Issuer       string      `json:"issuer"`
	Source       string      `json:"source"`             // discovery, jwks, jwks_file, pem_file, secret
	Location     string      `json:"location,omitempty"` // URL without query, or file; never of a secret
	KeysURL      string      `json:"keys_url,omitempty"` // where discovery led to
	Keys         []keyStatus `json:"keys"`
	Skipped      []string    `json:"skipped"` // keys that cannot be used, and why
	FetchedAt    *time.Time  `json:"fetched_at,omitempty"`
	AgeSeconds   *float64    `json:"age_seconds,omitempty"`
	NextRefresh  *time.Time  `json:"next_refresh,omitempty"`
	UsableUntil  *time.Time  `json:"usable_until,omitempty"`
	Stale        bool        `json:"stale"`            // past their refresh, still in use
	Usable       bool        `json:"usable"`           // tokens can be verified
	Reason       string      `json:"reason,omitempty"` // why not
	LastError    string      `json:"last_error,omitempty"`
	LastErrorFor string      `json:"last_error_kind,omitempty"` // of jwks.ErrorKinds
	LastErrorAt  *time.Time  `json:"last_error_at,omitempty"`
}

// keyStatus is one key. Of a secret there is kty alone, which is oct.
type keyStatus struct {
	ID         string     `json:"kid"`
	Type       string     `json:"kty"`
	Algorithms string     `json:"alg"` // those it may be used with, separated by blanks
	Curve      string     `json:"crv,omitempty"`
	Bits       int        `json:"bits,omitempty"`
	Use        string     `json:"use,omitempty"`
	Thumbprint string     `json:"thumbprint,omitempty"` // RFC 7638, SHA-256
	SeenAt     *time.Time `json:"seen_at,omitempty"`    // the first time, by this process
}

type cacheStatus struct {
	Entries  uint64 `json:"entries"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Hits     uint64 `json:"hits"`
	Misses   uint64 `json:"misses"`
}

// streamStatus counts what passed a gate and is still open.
type streamStatus struct {
	Upgraded int64 `json:"upgraded"` // WebSockets and the like
	Events   int64 `json:"events"`   // text/event-stream
}

// decisionStatus is one series of jwtgate_decisions_total. The last minutes may
// reach back up to ten seconds more.
type decisionStatus struct {
	Result    string `json:"result"`
	Reason    string `json:"reason"`
	Code      string `json:"code"`
	Issuer    string `json:"issuer"`
	Total     uint64 `json:"total"` // since the process started
	Last1Min  uint64 `json:"last_1m"`
	Last5Min  uint64 `json:"last_5m"`
	Last15Min uint64 `json:"last_15m"`
}

// statusSources are what the status and the reports tell beyond what a view
// needs to change anything. All may be missing.
type statusSources struct {
	cache    *gate.Cache
	journal  string // path, empty when off
	settings *revocationSettings
	feed     func() *revocation.FeedStatus // nil: none runs
	window   *decisionWindow
	observed *observerRegistry
	patience time.Duration // with issuers that are asked; 0: refreshWithin
}

func (s *appState) about() statusSources {
	about := statusSources{cache: s.cache, settings: s.revocation, journal: s.revocation.journal, window: s.window, observed: &s.observed}
	about.feed = func() *revocation.FeedStatus {
		feed := s.list.lists.feeds.current.Load()
		if feed == nil || s.revocation.redis == nil {
			return nil
		}
		status := feed.Status()
		return &status
	}
	return about
}

// startedAt is about when the process started.
var startedAt = time.Now()

// adminStatus tells how the gateway does.
func adminStatus(v *adminView, w http.ResponseWriter, _ *http.Request, _ []byte) error {
	writeAdminJSON(w, "application/json", http.StatusOK, v.status())
	return nil
}

func (v *adminView) status() *gatewayStatus {
	now := v.now()
	caddys, _ := caddy.Version()
	ready := v.readiness()
	s := &gatewayStatus{
		Time: now.UTC(), StartedAt: startedAt.UTC(), Version: buildVersion(), Caddy: caddys,
		Ready: ready.Ready, Reasons: orEmpty(ready.Reasons), Degraded: orEmpty(ready.Degraded),
		Issuers: []issuerStatus{}, Revocations: v.revocationStatus(), Feed: v.feedStatus(now),
		Streams: streamStatus{streams[upgraded].Load(), streams[events].Load()}, Decisions: v.decisionStatus(),
	}
	seen := make(map[*jwks.Source]bool)
	for _, t := range v.issuers {
		if !seen[t.source] {
			seen[t.source] = true
			s.Issuers = append(s.Issuers, t.status(now))
		}
	}
	slices.SortStableFunc(s.Issuers, func(a, b issuerStatus) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Location, b.Location))
	})
	if v.about.cache != nil {
		stats := v.about.cache.Stats()
		s.Cache = &cacheStatus{stats.Entries, stats.Bytes, stats.MaxBytes, stats.Hits, stats.Misses}
	}
	s.judge()
	return s
}

func (t *trustedIssuer) status(now time.Time) issuerStatus {
	st := t.source.Status()
	set, why := t.source.Keys(now)
	s := issuerStatus{
		Issuer: t.name, Source: st.Kind, Location: st.Location, KeysURL: st.KeysURL, Keys: []keyStatus{}, Skipped: orEmpty(st.Skipped),
		FetchedAt: timeOrNil(st.FetchedAt), NextRefresh: timeOrNil(st.NextRefresh), UsableUntil: timeOrNil(st.UsableUntil),
		Stale: st.Stale, Usable: set != nil, Reason: why.String(),
		LastError: st.LastError, LastErrorFor: st.LastErrorKind, LastErrorAt: timeOrNil(st.LastErrorAt),
	}
	if !st.FetchedAt.IsZero() {
		age := max(now.Sub(st.FetchedAt), 0).Round(time.Millisecond).Seconds()
		s.AgeSeconds = &age
	}
	for _, k := range st.Keys {
		s.Keys = append(s.Keys, keyStatus{
			ID: k.ID, Type: k.Type, Algorithms: strings.Join(k.Algorithms, " "), Curve: k.Curve, Bits: k.Bits, Use: k.Use,
			Thumbprint: k.Thumbprint, SeenAt: timeOrNil(k.Since),
		})
	}
	return s
}

// decisionStatus lists the series that ever counted anything: what was refused
// most in the last minutes first. Issuers that are not configured any more are
// left out once they are quiet.
func (v *adminView) decisionStatus() []decisionStatus {
	all := []decisionStatus{}
	if v.about.window == nil {
		return all
	}
	for _, c := range v.about.window.counts() {
		if c.total == 0 || c.last15min == 0 && c.issuer != "" && !v.knows(c.issuer) {
			continue
		}
		all = append(all, decisionStatus{c.result, c.reason, reasonCodes()[c.reason], c.issuer, c.total, c.lastMinute, c.last5, c.last15min})
	}
	rank := func(d *decisionStatus) int {
		if d.Reason != "" {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b decisionStatus) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(b.Last15Min, a.Last15Min), cmp.Compare(b.Total, a.Total),
			cmp.Compare(a.Result, b.Result), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Issuer, b.Issuer))
	})
	return all
}

// reasonCodes leads from the label of a reason to what clients hear.
var reasonCodes = sync.OnceValue(func() map[string]string {
	codes := make(map[string]string)
	for _, reason := range token.Reasons() {
		codes[reason.String()] = string(reason.Code())
	}
	return codes
})

// buildVersion is the version of this module in the binary.
var buildVersion = sync.OnceValue(func() string {
	const path = "github.com/jwtgate/jwtgate"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if module.Path == path {
			if module.Replace != nil && module.Replace.Version != "" {
				return module.Replace.Version
			}
			return cmp.Or(module.Version, "(devel)")
		}
	}
	return "unknown"
})

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// orEmpty keeps null out of lists.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// address returns where a feed that has not begun yet will connect to,
// without credentials.
func (s *redisSettings) address() string {
	var hosts []string
	for _, u := range s.urls {
		hosts = append(hosts, cmp.Or(u.Host, u.Path))
	}
	return strings.Join(hosts, " ")
}
