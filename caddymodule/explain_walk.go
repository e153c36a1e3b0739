package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// walk takes one request through the routes of a server as Caddy would, without
// a backend: matchers are asked, what changes the request is applied, gates are
// explained, and whatever would answer is noted and not run. It belongs to one
// goroutine.
type walk struct {
	site   *explainSite
	server *caddyhttp.Server
	groups map[string]bool
	// refused says that a gate before has answered: what follows is looked at,
	// not explained.
	refused bool
	depth   int

	gates    []*gateWalk
	scope    scope // of the end
	end      *explainedEnd
	final    http.Header // as the backend would get it; nil without an end
	ungated  bool        // a logout without a gate behind it
	warnings []string
}

// maxWalk bounds how deep routes may invoke each other.
const maxWalk = 100

// scope is what the matchers on the way to a handler asked for.
type scope struct{ hosts, paths, methods []string }

// within returns s narrowed by the matchers of a route.
func (s scope) within(sets caddyhttp.MatcherSets) scope {
	var inner scope
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				inner.hosts = append(inner.hosts, *m...)
			case *caddyhttp.MatchPath:
				inner.paths = append(inner.paths, *m...)
			case *caddyhttp.MatchMethod:
				inner.methods = append(inner.methods, *m...)
			}
		}
	}
	if inner.hosts == nil {
		inner.hosts = s.hosts
	}
	if inner.paths == nil {
		inner.paths = s.paths
	}
	if inner.methods == nil {
		inner.methods = s.methods
	}
	return inner
}

// label names a way as mapRoutes does.
func (k *walk) label(s scope) string {
	return (&mappedRoute{Listen: k.server.Listen, Hosts: s.hosts, Paths: s.paths, Methods: s.methods}).label()
}

func (k *walk) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(k.warnings, text) {
		k.warnings = append(k.warnings, text)
	}
}

// run walks from the first route of the server. The error is what Caddy would
// run the server's error routes for.
func (k *walk) run(w http.ResponseWriter, r *http.Request) error {
	nobody := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	return k.routes(k.server.Routes, nobody, scope{}).ServeHTTP(w, r)
}

// routes is what RouteList.Compile makes of routes, with our own handlers.
func (k *walk) routes(list caddyhttp.RouteList, next caddyhttp.Handler, in scope) caddyhttp.Handler {
	for i := len(list) - 1; i >= 0; i-- {
		next = k.route(&list[i], next, in)
	}
	return next
}

// route is what Route.Compile makes of a route.
func (k *walk) route(route *caddyhttp.Route, next caddyhttp.Handler, in scope) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if k.groups[route.Group] {
			return next.ServeHTTP(w, r)
		}
		matches, err := route.MatcherSets.AnyMatchWithError(r)
		if err != nil {
			return err
		}
		if !matches {
			return next.ServeHTTP(w, r)
		}
		if route.Group != "" {
			k.groups[route.Group] = true
		}
		stack := next
		if route.Terminal {
			stack = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
		}
		here := in.within(route.MatcherSets)
		for _, h := range slices.Backward(route.Handlers) {
			stack = k.handler(h, stack, here)
		}
		return stack.ServeHTTP(w, r)
	})
}

// passers are handlers that change neither the request nor what answers it.
var passers = []string{
	"http.handlers.encode", "http.handlers.templates", "http.handlers.push", "http.handlers.intercept", "http.handlers.tracing",
	"http.handlers.timeouts", "http.handlers.request_body", "http.handlers.log_append", "http.handlers.copy_response_headers",
}

// handler returns what stands for h on the walk.
func (k *walk) handler(h caddyhttp.MiddlewareHandler, next caddyhttp.Handler, in scope) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if k.depth++; k.depth > maxWalk*maxWalk {
			return errors.New("the routes invoke each other without end")
		}
		switch h := h.(type) {
		case *Handler:
			return k.gate(h, w, r, next, in)
		case *answering:
			return h.ServeHTTP(w, r, next)
		case *Logout:
			return k.logout(h, w, r, next, in)
		case *Ready, *Revoke, *caddyhttp.StaticResponse:
			return k.ends(h, r, in)
		case *caddyhttp.Subroute:
			err := k.routes(h.Routes, next, in).ServeHTTP(w, r)
			if err != nil && h.Errors != nil {
				return k.routes(h.Errors.Routes, next, in).ServeHTTP(w, h.Errors.WithError(r, err))
			}
			return err
		case *caddyhttp.Invoke:
			route, ok := k.server.NamedRoutes[h.Name]
			if !ok {
				return fmt.Errorf("invoke: route '%s' not found", h.Name)
			}
			return k.route(route, next, in).ServeHTTP(w, r)
		case *rewrite.Rewrite:
			// Its ServeHTTP would log the request.
			if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
				h.Rewrite(r, repl)
			}
			return next.ServeHTTP(w, r)
		case *caddyhttp.StaticError:
			err := h.ServeHTTP(w, r, next)
			k.note(h, r, in)
			return err
		case *reverseproxy.Handler:
			if len(h.HandleResponse) > 0 {
				k.warn("reverse_proxy with handle_response, such as forward_auth, was not asked; it may answer before the routes behind it")
				k.note(h, r, in)
				return next.ServeHTTP(w, r)
			}
			return k.ends(h, r, in)
		case *fileserver.FileServer:
			if h.PassThru {
				k.note(h, r, in)
				return next.ServeHTTP(w, r)
			}
			return k.ends(h, r, in)
		}
		return k.other(h, w, r, next, in)
	})
}

// other is for handlers that are told apart by their id.
func (k *walk) other(h caddyhttp.MiddlewareHandler, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, in scope) error {
	switch id := moduleID(h); {
	case id == "http.handlers.vars", id == "http.handlers.map", id == "http.handlers.headers":
		return h.ServeHTTP(w, r, next)
	case slices.Contains(passers, id):
		return next.ServeHTTP(w, r)
	case id == "http.handlers.authentication":
		k.warn("basic_auth or another authentication stands on this route and was not asked; it may refuse the request")
		return next.ServeHTTP(w, r)
	case id == "http.handlers.acme_server", id == "http.handlers.metrics":
		return k.ends(h, r, in)
	default:
		k.warn("%s stands on this route and was not run; it is taken to pass the request on as it is", id)
		return next.ServeHTTP(w, r)
	}
}

// ends notes the handler that answers. No other one is asked.
func (k *walk) ends(h caddyhttp.MiddlewareHandler, r *http.Request, in scope) error {
	k.note(h, r, in)
	return nil
}

// note takes down h as the last one that may answer.
func (k *walk) note(h caddyhttp.MiddlewareHandler, r *http.Request, in scope) {
	k.end, k.scope, k.final = &explainedEnd{Handler: shortID(moduleID(h))}, in, r.Header.Clone()
	proxy, ok := h.(*reverseproxy.Handler)
	if !ok {
		return
	}
	for _, u := range proxy.Upstreams {
		k.end.Upstreams = append(k.end.Upstreams, u.Dial)
	}
	if proxy.Headers != nil && proxy.Headers.Request != nil {
		k.final = appliedTo(r, proxy.Headers.Request)
	}
}

// appliedTo returns the header of r after the operations of `header_up`.
func appliedTo(r *http.Request, ops *headers.HeaderOps) http.Header {
	sent := r.Clone(r.Context())
	ops.ApplyToRequest(sent)
	return sent.Header
}

// logout marks the request as Logout does, and revokes nothing.
func (k *walk) logout(h *Logout, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, _ scope) error {
	st := stateFor(r)
	mark := &logoutMark{AllowExpired: h.run.allowExpired, outer: st.logout}
	if st.logout != nil {
		mark.AllowExpired = max(mark.AllowExpired, st.logout.AllowExpired)
	}
	outer, gated := st.logout, st.gated
	st.logout, st.gated, st.id = mark, false, nil
	err := next.ServeHTTP(w, r)
	if !st.gated && !k.refused {
		k.ungated = true
	}
	st.logout, st.gated = outer, st.gated || gated
	return err
}

// moduleID returns the id of a handler, empty if it is no module.
func moduleID(h any) string {
	if m, ok := h.(caddy.Module); ok {
		return string(m.CaddyModule().ID)
	}
	return ""
}

// shortID returns the last part of an id.
func shortID(id string) string { return caddy.ModuleID(id).Name() }
