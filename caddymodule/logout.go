package caddymodule

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/revocation"
)

func init() {
	caddy.RegisterModule(new(Logout))
}

// Logout revokes the token of a request, or its session or subject, when what
// stands behind it succeeds. It stands before the gate, and acts only on whom a
// gate behind it verified: where no gate is, the answer is replaced by a 500.
//
// Success is a 2xx, and the revocation is on disk before the client sees it. If
// it cannot be written, the client gets 503 and tries again; the revocation is
// in force all the same. With any other status nothing is revoked, and no
// status is ever changed.
//
// Behind it, a gate refuses anonymous requests even where it is optional or
// public.
type Logout struct {
	// Kind is what is revoked: token (default), session or subject. A token
	// without sid or sub is revoked itself instead.
	Kind string `json:"kind,omitempty"`
	// AllowExpired is by how much a genuine token may be past its exp here, so
	// that a logout which an app queued while offline still counts. Default: 0.
	AllowExpired caddy.Duration `json:"allow_expired,omitempty"`

	run *logoutRuntime
}

// CaddyModule returns the module information.
func (*Logout) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.jwtgate_logout", New: func() caddy.Module { return new(Logout) }}
}

// logoutRuntime is what Provision makes of a Logout. It is valid after the
// configuration is gone: requests outlive it.
type logoutRuntime struct {
	kind         revocation.Kind
	allowExpired time.Duration
	app          *appState
	logger       *zap.Logger
	now          func() time.Time

	ungated, fellBack, failing atomic.Bool // said already
}

// allowExpiredLimits are wide enough for an app that was offline for a year.
var allowExpiredLimits = durationLimits{0, 366 * 24 * time.Hour}

// logoutKinds are what a token may revoke of its own.
var logoutKinds = []string{"token", "session", "subject"}

// Provision checks the settings.
func (l *Logout) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	word, err := wordOr("kind", l.Kind, logoutKinds...)
	if err != nil {
		return err
	}
	kind, _ := revocation.ParseKind(word)
	allow := time.Duration(l.AllowExpired)
	if err := allowExpiredLimits.check(allow); err != nil {
		return fmt.Errorf("allow_expired: %w", err)
	}
	app.state.allowExpiredUpTo(allow)
	l.run = &logoutRuntime{kind: kind, allowExpired: allow, app: app.state, logger: ctx.Logger(), now: time.Now}
	return nil
}

// appOf returns the app of the configuration, which need not name it.
func appOf(ctx caddy.Context) (*App, error) {
	module, err := ctx.App("jwtgate")
	if err != nil {
		return nil, err
	}
	app, ok := module.(*App)
	if !ok {
		return nil, fmt.Errorf("the app jwtgate is a %T", module)
	}
	return app, nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Logout)(nil)
	_ caddyhttp.MiddlewareHandler = (*Logout)(nil)
	_ caddyfile.Unmarshaler       = (*Logout)(nil)
)
