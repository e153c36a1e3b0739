package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// backendWords are the directives that end in a reverse proxy.
var backendWords = []string{"reverse_proxy", "php_fastcgi", "forward_auth"}

// backend returns the first handler on m that hands requests to a program that
// may believe headers: a proxy, or a handler of another origin. nil: none, such
// as where files are served.
func (m *mappedRoute) backend() caddyhttp.MiddlewareHandler {
	for _, s := range m.steps {
		if _, ok := s.handler.(*reverseproxy.Handler); ok {
			return s.handler
		}
	}
	if len(m.steps) == 0 || m.End == "" {
		return nil
	}
	switch last := m.steps[len(m.steps)-1].handler; m.End {
	case "static_response", "error", "metrics", "jwtgate_revoke", "jwtgate_ready", "file_server":
		return nil
	default:
		return last
	}
}

// guards returns the gates of m that look at tokens.
func (m *mappedRoute) guards() []*Handler {
	return slices.DeleteFunc(slices.Clone(m.Gates), func(g *Handler) bool { return g.Public })
}

// checkRoutes looks for ways around the gates, and for what undoes them.
func (c *checker) checkRoutes() {
	if len(c.gates) == 0 {
		if c.http != nil {
			c.add("no_gate", place{File: c.file}, nil, "write a gate into a site: `jwtgate {` with `issuer` and `audience`", "there is no gate in this configuration")
		}
		return
	}
	trusting := c.trusting()
	for _, m := range c.routes {
		if len(m.Gates) == 0 {
			c.ungated(m, trusting)
		}
		c.publicPrefix(m, trusting)
		c.optional(m)
		c.logout(m)
		c.changed(m)
		c.basicAuth(m)
		c.addresses(m)
		c.revoker(m)
	}
	for _, m := range c.errors {
		if b := m.backend(); b != nil {
			c.add("error_route_proxies", c.places.handler(m, b, inErrorRoute, backendWords...), m, "answer there with `respond` or `file_server`, unless that is what you want",
				"handle_errors proxies to %s", upstreams(m))
		}
	}
	c.unreachable()
	c.rewritten()
}

func inErrorRoute(n *caddyNode) bool {
	for ; n != nil; n = n.parent {
		if n.name == "handle_errors" {
			return true
		}
	}
	return false
}

// trusting maps each upstream behind a gate to the headers that it is given
// there. Public gates give none, but what they forward elsewhere is not theirs.
func (c *checker) trusting() map[string][]string {
	out := make(map[string][]string)
	for _, m := range c.routes {
		for _, g := range m.guards() {
			for _, u := range m.Upstreams {
				for _, f := range g.Forward {
					if !slices.Contains(out[u], f.Header) {
						out[u] = append(out[u], f.Header)
					}
				}
			}
		}
	}
	return out
}

// ungated reports a way to a backend on which there is no gate.
func (c *checker) ungated(m *mappedRoute, trusting map[string][]string) {
	backend := m.backend()
	if backend == nil {
		return
	}
	at := c.places.handler(m, backend, func(n *caddyNode) bool {
		return !inErrorRoute(n) && (len(m.Upstreams) == 0 || slices.ContainsFunc(m.Upstreams, func(u string) bool { return nodeNames(n, u) }))
	}, append([]string{m.End}, backendWords...)...)
	fix := publicGate(m)
	var believed []string
	copied := copiedHeaders(m)
	for _, u := range m.Upstreams {
		for _, header := range trusting[u] {
			if !slices.ContainsFunc(copied, func(name string) bool { return strings.EqualFold(name, header) }) {
				believed = append(believed, header)
			}
		}
	}
	if len(believed) > 0 {
		c.add("forgeable_headers", at, m, fix, "%s reaches %s without a gate, and that backend is given %s by a gate elsewhere",
			describe(m), upstreams(m), strings.Join(believed, ", "))
	} else {
		c.add("ungated_backend", at, m, fix, "%s reaches %s without a gate", describe(m), upstreams(m))
	}
	for _, e := range m.Except {
		base, slash := strings.CutSuffix(e, "/*")
		if !slash || !strings.HasPrefix(base, "/") || slices.ContainsFunc(m.Except, func(other string) bool { return other != e && pathCovers(other, base) }) {
			continue
		}
		if gated := c.gateAt(e, m); gated != nil && (len(m.Paths) == 0 || allCovered(m.Paths, []string{base}, pathCovers)) {
			c.add("path_gap", c.places.gate(gated), m, fmt.Sprintf("write a matcher for both, `@name path %s %s`, or `%s*` if nothing else begins so", base, e, base),
				"the gate on %s does not cover %s, which reaches %s without a gate", e, base, upstreams(m))
		}
	}
}

// gateAt returns a gate on another way to a backend of m, by that path pattern.
func (c *checker) gateAt(pattern string, m *mappedRoute) *Handler {
	for _, other := range c.routes {
		shared := slices.ContainsFunc(other.Upstreams, func(u string) bool { return slices.Contains(m.Upstreams, u) })
		if guards := other.guards(); shared && len(guards) > 0 && slices.Contains(other.Paths, pattern) && slices.Equal(other.Hosts, m.Hosts) {
			return guards[0]
		}
	}
	return nil
}

// copiedHeaders are those that forward_auth takes from its own server's answer,
// in the place of the client's.
func copiedHeaders(m *mappedRoute) []string {
	var names []string
	for _, s := range m.steps {
		proxy, ok := s.handler.(*reverseproxy.Handler)
		if !ok || !isForwardAuth(proxy) {
			continue
		}
		for _, response := range proxy.HandleResponse {
			for _, route := range response.Routes {
				for _, h := range route.Handlers {
					if set, ok := h.(*headers.Handler); ok && set.Request != nil && len(route.MatcherSets) == 0 {
						names = append(names, set.Request.Delete...)
					}
				}
			}
		}
	}
	return names
}

// nodeNames reports whether the directive n may be the one that leads to an
// upstream, which Caddy gives the scheme's port and no scheme.
func nodeNames(n *caddyNode, upstream string) bool {
	bare := func(s string) string {
		if _, after, ok := strings.Cut(s, "://"); ok {
			s = after
		}
		return strings.TrimSuffix(strings.TrimSuffix(s, ":443"), ":80")
	}
	found := false
	n.each(func(c *caddyNode) {
		for _, word := range c.args {
			found = found || bare(word) == bare(upstream) || strings.HasPrefix(word, ":") && strings.HasSuffix(upstream, word)
		}
	})
	return found
}

// publicGate is what to write for a way that shall need no token.
func publicGate(m *mappedRoute) string {
	matcher, definition := "", ""
	switch {
	case len(m.Paths) == 1 && !strings.Contains(m.Paths[0], " "):
		matcher = " " + m.Paths[0]
	case len(m.Paths) > 1:
		matcher, definition = " @open", "`@open path "+strings.Join(m.Paths, " ")+"` and "
	case len(m.Except) > 0 && !slices.ContainsFunc(m.Except, func(e string) bool { return strings.Contains(e, " ") }):
		matcher, definition = " @rest", "`@rest not path "+strings.Join(m.Except, " ")+"` and "
	}
	return "if it is to need no token, write " + definition + "`jwtgate" + matcher + " {` with `public`, which cleans headers; else put a gate there"
}

// describe is a route with what other ways take.
func describe(m *mappedRoute) string {
	s := m.label()
	if len(m.Except) > 0 {
		s += " (except " + strings.Join(m.Except, ", ") + ")"
	}
	return s
}

// upstreams names the backend of m.
func upstreams(m *mappedRoute) string {
	if len(m.Upstreams) > 0 {
		return strings.Join(m.Upstreams, ", ")
	}
	if m.End == "reverse_proxy" {
		return "a backend"
	}
	return "the handler " + m.End
}

// publicPrefix reports patterns behind which no token is asked for.
func (c *checker) publicPrefix(m *mappedRoute, trusting map[string][]string) {
	if len(m.Gates) == 0 || len(m.guards()) > 0 || m.backend() == nil {
		return
	}
	for _, p := range m.Paths {
		if strings.HasSuffix(p, "*") && p != "/*" && p != "*" && slices.ContainsFunc(m.Upstreams, func(u string) bool { return len(trusting[u]) > 0 }) {
			c.add("public_prefix", c.places.gate(m.Gates[0]), m, "name public paths exactly: `path /public /public/logo.svg`", "%s needs no token, and the same backend serves protected paths", m.label())
		}
	}
}

func (c *checker) optional(m *mappedRoute) {
	guards := m.guards()
	if m.backend() == nil || len(guards) == 0 || slices.ContainsFunc(guards, func(g *Handler) bool { return !g.Optional }) {
		return
	}
	says := "is given nothing that tells it who is anonymous"
	if names := guards[0].Forward; len(names) > 0 {
		says = "has to take a request without " + names[0].Header + " for anonymous"
	}
	c.add("optional_backend", c.places.gate(guards[0], "optional"), m, "leave `optional` out, unless the backend serves anonymous requests on purpose",
		"%s is optional: %s %s", m.label(), upstreams(m), says)
}

// logout wants a gate behind each logout.
func (c *checker) logout(m *mappedRoute) {
	for i, s := range m.steps {
		l, ok := s.handler.(*Logout)
		if !ok || s.maybe {
			continue
		}
		behind, before, looks := 0, 0, false
		for j, other := range m.steps {
			g, ok := other.handler.(*Handler)
			switch {
			case !ok:
			case j < i:
				before++
			default:
				behind++
				looks = looks || !g.Public
			}
		}
		at := c.places.handler(m, l, nil, "jwtgate_logout")
		switch {
		case behind == 0 && before > 0:
			c.add("logout_no_gate", at, m, "write `jwtgate_logout` before the gate; outside of `route` Caddy does that by itself", "%s: the gate stands before the logout instead of behind it", m.label())
		case behind == 0:
			c.add("logout_no_gate", at, m, "put a gate there; a matcher of the gate has to cover the path of the logout", "%s: no gate stands behind the logout", m.label())
		case !looks:
			c.add("logout_public", at, m, "let a gate that looks at tokens cover the path of the logout", "%s: the gate behind the logout is public", m.label())
		}
	}
}

func (c *checker) basicAuth(m *mappedRoute) {
	guards := m.guards()
	if len(guards) == 0 || slices.ContainsFunc(guards, func(g *Handler) bool { return g.Optional || g.Observe || len(g.TokenFrom) > 0 }) {
		return
	}
	for _, s := range m.steps {
		if auth, ok := s.handler.(*caddyauth.Authentication); ok && !s.maybe && auth.Providers["http_basic"] != nil {
			c.add("basic_auth_with_gate", c.places.handler(m, auth, nil, "basic_auth", "basicauth"), m, "protect each path by one of the two, or let the token come from elsewhere with `token_from`",
				"%s asks for a password and a token", m.label())
		}
	}
}

// rewritten reports gates that are chosen by a path which is not the client's.
func (c *checker) rewritten() {
	for _, g := range c.gates {
		if label := c.labels[g]; strings.Contains(label, "rewritten path") {
			c.add("rewrite_before_gate", c.places.gate(g), nil, "see that the matcher names what the backend sees; put the gate first inside `route` to go by the client's path",
				"%s: the path is rewritten before this gate is chosen by it", label)
		}
	}
}

func (c *checker) revoker(m *mappedRoute) {
	if m.End != "jwtgate_revoke" {
		return
	}
	if !slices.Contains(m.Others, "remote_ip") && !slices.Contains(m.Others, "client_ip") {
		c.add("revoke_open_to_all", c.places.handler(m, m.steps[len(m.steps)-1].handler, nil, "jwtgate_revoke"), m,
			"write a matcher with `path` and `remote_ip private_ranges`, or let a server of its own listen on a private address", "%s can be reached from anywhere", m.label())
	}
}

// unreachable reports gates that are on no way.
func (c *checker) unreachable() {
	for _, g := range c.gates {
		if c.labels[g] == "" {
			c.add("gate_unreachable", c.places.gate(g), nil, "write the gate before what answers: inside `route` the order is as written, and of `handle` blocks the first that matches wins", "no request comes to this gate")
		}
	}
}
