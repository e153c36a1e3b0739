package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(Ready))
}

// Ready answers the probes of load balancers: 200 when the gateway can decide
// about tokens, that is when the revocation list is loaded, what other gateways
// revoked is known (or on_stale is allow), and at least one issuer has usable
// keys; else 503 with the reasons. It names issuers, and asks for no token:
// match the path or the port that load balancers use.
type Ready struct {
	state *appState
}

// CaddyModule returns the module information.
func (*Ready) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.jwtgate_ready", New: func() caddy.Module { return new(Ready) }}
}

// Provision takes the app.
func (h *Ready) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.state = app.state
	return nil
}

// ServeHTTP answers every request that reaches it.
func (h *Ready) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(codeMethod, "allowed here: GET, HEAD").write(w)
		return nil
	}
	list, release := h.state.list.open()
	defer release()
	v := &adminView{list: list, issuers: h.state.trusts.list(), feed: h.state.list.knows, now: time.Now}
	if err := adminReady(v, w, r, nil); err != nil {
		problemOf(err).write(w)
	}
	return nil
}

// parseReady reads the handler directive:
//
//	jwtgate_ready [<matcher>]
func parseReady(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Ready)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive, which takes nothing.
func (*Ready) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("jwtgate_ready takes no arguments besides a matcher, but there is '%s'; a path to match begins with '/'", d.Val())
	}
	if d.NextBlock(0) {
		return d.Err("jwtgate_ready takes no block")
	}
	return nil
}

// feedReason says in words why the feed keeps the gateway from being ready.
func feedReason(err error) string {
	if errors.Is(err, errFeedStarting) {
		return "the revocations of the other gateways are being read"
	}
	return "the feed between gateways is stale; the log says why"
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Ready)(nil)
	_ caddyhttp.MiddlewareHandler = (*Ready)(nil)
	_ caddyfile.Unmarshaler       = (*Ready)(nil)
)
