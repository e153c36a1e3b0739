package caddymodule

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is the gate. It verifies the Bearer token of a request, refuses
// revoked and insufficient ones, and hands claims to the backend as headers
// that clients cannot forge. Without any option it wants a token of one of the
// app's issuers.
//
// Every header that any gate of the configuration forwards or strips is deleted
// from every request that passes a gate, in every spelling.
//
// Placeholders, known on every request that met a gate and empty when there is
// nothing to say:
//
// Placeholder | Description
// ------------|---------------
// `{http.auth.user.id}` | The sub claim of the token that was let through
// `{http.auth.user.<claim path>}` | Another claim; `/id` for one named id
// `{jwtgate.code}` | What the client was told: the code of docs/mobile.md
// `{jwtgate.reason}` | Why the request was refused, or would have been with observe
type Handler struct {
	// UseIssuers names issuers of the app. One that the app does not know is a
	// new one with defaults. When issuers is empty, too, the gate trusts all of
	// the app's. Placeholders {env.*} and {file.*} are expanded.
	UseIssuers []string `json:"use_issuers,omitempty"`
	// Issuers are the gate's own. One replaces the app's of the same name, for
	// this gate alone.
	Issuers []*Issuer `json:"issuers,omitempty"`
	// Audience narrows what the issuers accept, to a subset of their own
	// audiences; at an issuer without any it is what is accepted. Placeholders
	// {env.*} and {file.*} are expanded.
	Audience []string `json:"audience,omitempty"`
	// AnyAudience accepts tokens that were made for anybody, of issuers that
	// have no audience of their own. Dangerous: a token that the issuer gave to
	// any other application opens this API too.
	AnyAudience bool `json:"any_audience,omitempty"`
	// Require lists what claims and request must satisfy, every one of them.
	// Default: any valid token will do.
	Require []*Requirement `json:"require,omitempty"`
	// Forward lists the claims that the backend receives as headers.
	Forward []*ForwardedClaim `json:"forward,omitempty"`
	// Strip lists further header names, or patterns such as X-User-*, that
	// clients may never send.
	Strip []string `json:"strip,omitempty"`
	// StripToken removes the token from the request before the backend sees it.
	// Default: the Authorization header goes on unchanged.
	StripToken bool `json:"strip_token,omitempty"`
	// TokenFrom lists places besides `Authorization: Bearer` that may carry the
	// token. Default: none.
	TokenFrom []*TokenSource `json:"token_from,omitempty"`
	// Optional lets requests without a token pass as anonymous. A bad token is
	// still refused. Dangerous in front of a backend that does not tell the two
	// apart by a forwarded header.
	Optional bool `json:"optional,omitempty"`
	// Public looks at no token and only cleans headers.
	Public bool `json:"public,omitempty"`
	// Observe decides, counts and logs, but never refuses. Dangerous beyond the
	// time of a roll-out: nothing is protected.
	Observe bool `json:"observe,omitempty"`
	// Preflight lets true CORS preflights pass without a token. Default: false,
	// true with cors.
	Preflight *bool `json:"preflight,omitempty"`
	// CORS lists the origins of pages that may read our own answers, such as
	// https://app.example.com. Placeholders {env.*} and {file.*} are expanded.
	CORS []string `json:"cors,omitempty"`
	// Realm is the realm of the challenge. Default: api.
	Realm string `json:"realm,omitempty"`
	// MaxToken is the size of the longest token that is looked at. Default:
	// 16KiB, which is also what Caddy allows all request headers together.
	MaxToken string `json:"max_token,omitempty"`
	// MaxHeader is the size of the longest value that is forwarded. Default:
	// 4KiB.
	MaxHeader string `json:"max_header,omitempty"`
	// MaxHeaderAction says what happens beyond max_header: drop leaves the
	// header out and counts it (default), refuse answers 403.
	MaxHeaderAction string `json:"max_header_action,omitempty"`
	// LogUser tells the access log the user id, the token's sub. Default: true.
	LogUser *bool `json:"log_user,omitempty"`

	run    *runtime
	leases *leases
}

// CaddyModule returns the module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.jwtgate", New: func() caddy.Module { return new(Handler) }}
}

// runtime is what Provision makes of a Handler and ServeHTTP uses. Immutable
// after provisioning, and valid after Cleanup: requests outlive it.
type runtime struct {
	gate judge // a *gate.Gate but for explanations; nil when public
	app  *App  // for the managed names of all gates of the configuration
	// sources are the places besides Authorization, origins normalized.
	sources []TokenSource
	// aliases matches the headers among sources in every spelling; nil: none.
	aliases            *gate.ManagedNames
	cors               map[string]struct{} // normalized origins, as browsers send them
	preflight, logUser bool
	realm              string
	challenges         map[token.Code]string // of realm; those that name a scope are made on request
	maxToken           int
	metrics            *metrics
	keys               map[string]*jwks.Source // by issuer, for the log
	observed           *gateObserver           // nil unless the gate observes
	logger             *zap.Logger
	now                func() time.Time
	// lifetimes watch over the tokens of each issuer; empty where those that
	// live too long are refused.
	lifetimes map[string]*lifetimeWatch
	// compiled holds *caddyhttp.Server -> caddyhttp.Handler, the error routes
	// of each server that the gate is on.
	compiled *sync.Map
}

// judge decides about a token as gate.Gate does.
type judge interface {
	Check(ctx context.Context, raw string, req policy.Request, opts gate.Options) (id *gate.Identity, issuer string, err error)
}

// Provision expands and checks the settings, registers the names of managed
// headers with the app and builds the gate. It waits for no network.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.leases = new(leases)
	module, err := ctx.App("jwtgate")
	if err != nil {
		return err
	}
	app, ok := module.(*App)
	if !ok {
		return fmt.Errorf("the app jwtgate is a %T", module)
	}
	lender := &lender{logger: ctx.Slogger(), storage: ctx.Storage(), idle: ctx.Value(offlineKey{}) != nil}
	h.run, err = h.build(app, lender, ctx.Logger())
	return err
}

// Cleanup releases what Provision took.
func (h *Handler) Cleanup() error { return h.leases.end() }

// Interface guards.
var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.CleanerUpper    = (*App)(nil)
	_ caddy.Provisioner     = (*Handler)(nil)
	_ caddy.CleanerUpper    = (*Handler)(nil)
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
