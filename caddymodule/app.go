package caddymodule

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/gate"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App is the Caddy app `jwtgate`: issuers, revocation list and verdict cache,
// shared by all gates of a configuration. It need not be configured: gates that
// bring issuers of their own make do with its defaults.
type App struct {
	// Issuers are those that gates may name. A gate that names none trusts all
	// of them.
	Issuers []*Issuer `json:"issuers,omitempty"`
	// Revocation configures the revocation list.
	Revocation *Revocation `json:"revocation,omitempty"`
	// Cache is the size of the verdict cache, such as 64MiB, or "off", with
	// which every request costs a signature check. Default: 64MiB.
	Cache string `json:"cache,omitempty"`

	state  *appState
	leases *leases
	ctx    caddy.Context
}

// appState is what Provision makes of an App. Gates of the same configuration
// add to it while they are provisioned; requests only read.
type appState struct {
	lender     *lender
	issuers    []*trustedIssuer // in the order of the configuration
	revocation *revocationSettings
	list       *listView
	lifetimes  *lifetimes  // nil: longer lived tokens are refused
	cache      *gate.Cache // nil: off
	keys       *keyCollector
	names      nameRegistry
	trusts     trustRegistry
	observed   observerRegistry
	window     *decisionWindow // from Start on
	// allowExpired is the greatest allow_expired of all logouts.
	allowExpired atomic.Int64
}

// CaddyModule returns the module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "jwtgate", New: func() caddy.Module { return new(App) }}
}

// Provision expands and checks the settings and takes keys and cache. It waits
// for no network and opens no journal, so that `caddy validate` may run beside
// a gateway.
func (a *App) Provision(ctx caddy.Context) error {
	logger := ctx.Logger()
	a.leases, a.ctx = new(leases), ctx
	a.state = &appState{
		lender: &lender{logger: ctx.Slogger(), storage: ctx.Storage(), idle: ctx.Value(offlineKey{}) != nil},
		keys:   newKeyCollector(time.Now),
	}
	if err := process.register(ctx.GetMetricsRegistry(), a.state.collectors()...); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	var errs collector
	size, err := cacheSize(a.Cache)
	if errs.check(err) {
		a.state.cache, err = leaseCache(size, a.leases)
		errs.check(err)
	} else {
		errs[len(errs)-1] = fmt.Errorf("cache: %w", err)
	}
	if a.state.revocation, err = a.Revocation.settings(); errs.check(err) {
		for _, warning := range a.state.revocation.warnings(a.Revocation) {
			logger.Warn(warning)
		}
		a.state.list = newListView(ctx, lists, a.state.revocation, a.state.lender)
		if a.state.revocation.limit() == 0 {
			a.state.lifetimes = newLifetimes(a.state.list, a.state.revocation.maxLifetime, logger)
		}
	}
	for _, configured := range a.Issuers {
		settings, err := configured.settings()
		if !errs.check(err) {
			continue
		}
		if a.state.issuer(settings.name) != nil {
			errs.check(fmt.Errorf("issuer %s: given twice", settings.name))
			continue
		}
		trusted, err := a.state.trust(settings, a.state.lender, a.leases, logger)
		if errs.check(err) {
			a.state.issuers = append(a.state.issuers, trusted)
		}
	}
	return errs.join()
}

// Start opens the revocation list, which is then loaded in the background, or
// joins the configuration that has it open. Until it is there, gates refuse.
func (a *App) Start() error {
	a.state.window = leaseWindow(a.leases)
	a.state.observed.bind(a.gateLabels(), a.leases)
	return a.state.list.start()
}

// gateLabels names the gates of the configuration by the routes that they stand
// on.
func (a *App) gateLabels() map[*Handler]string {
	module, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	app, ok := module.(*caddyhttp.App)
	if !ok {
		return nil
	}
	return gateLabels(app)
}

// Stop implements caddy.App.
func (a *App) Stop() error { return nil }

// Cleanup releases what Provision took. Requests may still be under way: what
// they use stays usable.
func (a *App) Cleanup() error {
	var errs collector
	if a.state != nil {
		errs.check(a.state.list.end())
	}
	errs.check(a.leases.end())
	return errs.join()
}

// managed returns the names of all headers that gates of the configuration own.
// It is complete once the configuration is provisioned.
func (a *App) managed() *gate.ManagedNames { return a.state.names.snapshot.Load() }

// collectors lists what is registered beside the collectors of the process
// about requests.
func (s *appState) collectors() []prometheus.Collector {
	return slices.Concat(revocationMetrics.all(), feedMetrics.all(), []prometheus.Collector{s.keys, newReadyCollector(s)})
}

// issuer returns the app's issuer of that name, nil if there is none.
func (s *appState) issuer(name string) *trustedIssuer {
	for _, i := range s.issuers {
		if i.name == name {
			return i
		}
	}
	return nil
}

// nameRegistry is the union of the header names of all gates of a
// configuration. Readers get immutable snapshots.
type nameRegistry struct {
	snapshot atomic.Pointer[gate.ManagedNames] // nil: none yet

	mu      sync.Mutex
	names   []string            // managed names and patterns
	known   map[string]struct{} // the same
	carries []string            // headers that carry tokens
}

// register adds what one gate manages and the headers that carry its tokens. A
// managed header is deleted from every request before a gate looks for a
// token, so one name cannot be both, in no two gates.
func (r *nameRegistry) register(managed, carries []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[string]struct{})
	}
	grown := false
	for _, name := range managed {
		if _, ok := r.known[name]; !ok {
			grown = true
			r.known[name] = struct{}{}
			r.names = append(r.names, name)
		}
	}
	r.carries = append(r.carries, carries...)
	snapshot := r.snapshot.Load()
	if grown || snapshot == nil {
		snapshot = gate.NewManagedNames(r.names...)
		r.snapshot.Store(snapshot)
	}
	var errs collector
	for _, name := range r.carries {
		if snapshot.Match(name) {
			errs.check(fmt.Errorf("header %s: it cannot carry a token at one gate and be forwarded or stripped at this or another gate of the configuration", name))
		}
	}
	return errs.join()
}
