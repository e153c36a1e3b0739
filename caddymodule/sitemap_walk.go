package caddymodule

import (
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// way is a mappedRoute that is still being walked.
type way struct {
	mappedRoute
	// exceptPaths, exceptHosts and exceptMethods took other ways.
	exceptPaths, exceptHosts, exceptMethods []string
	// keys are those of the matchers that this way met, "not ..." of those that
	// it did not.
	keys []string
	// groups are the groups that are satisfied.
	groups map[string]bool
	// rewrites tells apart what one path matcher says before and after a rewrite.
	rewrites int
	depth    int // of invoked routes, which may invoke themselves
}

// clone returns a copy that shares no slice that grows.
func (w *way) clone() *way {
	c := *w
	for _, s := range []*[]string{&c.Hosts, &c.Paths, &c.Methods, &c.Others, &c.Except, &c.Handlers, &c.Upstreams, &c.keys, &c.exceptPaths, &c.exceptHosts, &c.exceptMethods} {
		*s = slices.Clip(*s)
	}
	c.Gates, c.steps = slices.Clip(c.Gates), slices.Clip(c.steps)
	c.groups = maps.Clone(w.groups)
	return &c
}

// siteWalk finds the ways through one server. It follows each route once with
// and once without its matchers where that decides on a gate or on what
// answers; other conditional handlers are noted and walked through.
type siteWalk struct {
	server *caddyhttp.Server
	onGate func(*Handler, *mappedRoute)
	found  []*mappedRoute
}

// arrived takes note of a way that came to its end.
func (s *siteWalk) arrived(w *way) {
	if len(w.Handlers) == 0 {
		return
	}
	if last := len(w.steps) - 1; w.End == "" && !w.steps[last].maybe && !passesOn[w.Handlers[last]] {
		w.End = w.Handlers[last]
	}
	found := w.mappedRoute
	found.Except = nil
	add := func(except string) {
		if !slices.Contains(found.Except, except) {
			found.Except = append(found.Except, except)
		}
	}
	for _, e := range w.Except {
		add(e)
	}
	for _, p := range w.exceptPaths {
		if len(w.Paths) == 0 || !pathsDisjoint(w.Paths, []string{p}) {
			add(p)
		}
	}
	for _, h := range w.exceptHosts {
		if len(w.Hosts) == 0 || !hostsDisjoint(w.Hosts, []string{h}) {
			add("host " + h)
		}
	}
	for _, m := range w.exceptMethods {
		if len(w.Methods) == 0 {
			add("method " + m)
		}
	}
	s.found = append(s.found, &found)
}

// routes walks a list of routes; next goes on behind it.
func (s *siteWalk) routes(routes caddyhttp.RouteList, w *way, next func(*way)) {
	// A group is one of this list alone as far as the Caddyfile writes them, and
	// of the whole request in Caddy; its names are unique then.
	if len(routes) == 0 {
		next(w)
		return
	}
	route, rest := routes[0], routes[1:]
	onward := func(w *way) { s.routes(rest, w, next) }
	if route.Group != "" && w.groups[route.Group] {
		onward(w)
		return
	}
	if len(route.MatcherSets) == 0 {
		s.take(route, w.clone(), onward)
		return
	}
	if !s.decides(route.Handlers, route.Group != "" || route.Terminal, 0) || len(s.found) >= maxWays {
		w = w.clone()
		for _, h := range route.Handlers {
			s.pass(h, w, true)
		}
		onward(w)
		return
	}
	without := w.clone()
	possible := true
	for _, set := range route.MatcherSets {
		if with := without.clone(); with.match(set) {
			s.take(route, with, onward)
		}
		if possible = without.exclude(set); !possible {
			break
		}
	}
	if possible {
		onward(without)
	}
}

// take walks a route that matched.
func (s *siteWalk) take(route caddyhttp.Route, w *way, onward func(*way)) {
	if route.Group != "" {
		if w.groups == nil {
			w.groups = make(map[string]bool)
		}
		w.groups[route.Group] = true
	}
	if route.Terminal {
		onward = s.arrived // Caddy leaves the outer routes, too
	}
	s.handlers(route.Handlers, w, onward)
}

// handlers walks the handlers of a route that matched.
func (s *siteWalk) handlers(handlers []caddyhttp.MiddlewareHandler, w *way, next func(*way)) {
	if len(handlers) == 0 {
		next(w)
		return
	}
	onward := func(w *way) { s.handlers(handlers[1:], w, next) }
	switch h := handlers[0].(type) {
	case *caddyhttp.Subroute:
		s.routes(h.Routes, w, onward)
		return
	case *caddyhttp.Invoke:
		route := s.server.NamedRoutes[h.Name]
		if route == nil || w.depth > 8 {
			onward(w)
			return
		}
		w.depth++
		s.routes(caddyhttp.RouteList{*route}, w, onward)
		return
	}
	if s.pass(handlers[0], w, false) {
		w.End = shortName(handlers[0])
		s.arrived(w)
		return
	}
	onward(w)
}

// pass takes note of a handler and reports whether it always answers.
func (s *siteWalk) pass(handler caddyhttp.MiddlewareHandler, w *way, maybe bool) (answers bool) {
	if sub, ok := handler.(*caddyhttp.Subroute); ok && maybe {
		for _, route := range sub.Routes {
			for _, h := range route.Handlers {
				s.pass(h, w, true)
			}
		}
		return false
	}
	w.Handlers = append(w.Handlers, shortName(handler))
	w.steps = append(w.steps, mappedStep{handler, maybe})
	switch h := handler.(type) {
	case *Handler:
		if s.onGate != nil {
			s.onGate(h, &w.mappedRoute)
		}
		if !maybe {
			w.Gates = append(w.Gates, h)
		}
	case *rewrite.Rewrite:
		switch {
		case h.StripPathPrefix != "" && !maybe && !w.Rewritten && h.URI == "" && h.StripPathSuffix == "" && len(h.URISubstring) == 0 && len(h.PathRegexp) == 0:
			w.Stripped += h.StripPathPrefix
		case h.URI != "" || h.StripPathPrefix != "" || h.StripPathSuffix != "" || len(h.URISubstring) > 0 || len(h.PathRegexp) > 0:
			w.Rewritten = true
			w.rewrites++
		}
	case *reverseproxy.Handler:
		for _, u := range h.Upstreams {
			w.Upstreams = append(w.Upstreams, u.Dial)
		}
	}
	return answersAlways(handler)
}

// passesOn are the standard handlers that call the next one, and so do not
// answer by themselves. One of another origin that stands last does.
var passesOn = map[string]bool{
	"jwtgate": true, "jwtgate_logout": true,
	"authentication": true, "copy_response": true, "copy_response_headers": true, "encode": true, "headers": true,
	"intercept": true, "log_append": true, "map": true, "push": true, "request_body": true, "rewrite": true,
	"templates": true, "tracing": true, "vars": true, "acme_server": true, "file_server": true, "reverse_proxy": true,
}

// answersAlways reports whether no handler behind this one is ever reached.
func answersAlways(handler caddyhttp.MiddlewareHandler) bool {
	switch h := handler.(type) {
	case *reverseproxy.Handler:
		return !isForwardAuth(h)
	case *fileserver.FileServer:
		return !h.PassThru
	}
	switch shortName(handler) {
	case "static_response", "error", "metrics", "jwtgate_revoke", "jwtgate_ready":
		return true
	}
	return false
}

// isForwardAuth reports whether h asks another server whether the request may
// pass, as the directive forward_auth does.
func isForwardAuth(h *reverseproxy.Handler) bool {
	if h.Rewrite == nil || h.Rewrite.Method == "" {
		return false
	}
	for _, response := range h.HandleResponse {
		if response.Match != nil && slices.Contains(response.Match.StatusCode, 2) {
			return true
		}
	}
	return false
}

// decides reports whether it matters to a way if these handlers run.
func (s *siteWalk) decides(handlers []caddyhttp.MiddlewareHandler, ends bool, depth int) bool {
	if ends {
		return true
	}
	for _, h := range handlers {
		switch h := h.(type) {
		case *Handler, *Logout:
			return true
		case *rewrite.Rewrite:
			if h.StripPathPrefix != "" {
				return true
			}
		case *caddyhttp.Subroute:
			for _, route := range h.Routes {
				if s.decides(route.Handlers, route.Terminal, depth) {
					return true
				}
			}
		case *caddyhttp.Invoke:
			if route := s.server.NamedRoutes[h.Name]; route != nil && depth <= 8 && s.decides(route.Handlers, route.Terminal, depth+1) {
				return true
			}
		default:
			if answersAlways(h) {
				return true
			}
		}
	}
	return false
}
