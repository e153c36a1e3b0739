package caddymodule

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// mappedRoute is one way that requests can take through a configuration: from a
// server's first route to the handler that answers.
type mappedRoute struct {
	Server string
	Listen []string
	// Hosts, Paths and Methods are those of the matchers on the way; empty: any.
	// Paths are as clients send them, also behind handle_path. Several patterns
	// that all have to match are joined by " & ".
	Hosts   []string
	Paths   []string
	Methods []string
	// Others are the names of further matchers on the way, "not header" for one
	// that must not match.
	Others []string
	// Except is what other ways take: "/api/*", "method POST", "host a.example".
	Except []string
	// Handlers are the names of the handlers on the way, in order; our own
	// included. One that may be passed by, since it has matchers of its own that
	// decide nothing for us, is among them.
	Handlers []string
	Gates    []*Handler
	// End is the name of the handler that answers, empty if none does. What Caddy
	// then sends is an empty 200.
	End       string
	Upstreams []string // of a reverse proxy
	// Stripped is the prefix that handle_path or `uri strip_prefix` takes away.
	Stripped string
	// Rewritten says that the path was changed in another way before End.
	Rewritten bool

	server *caddyhttp.Server
	steps  []mappedStep
}

// mappedStep is one handler on the way.
type mappedStep struct {
	handler caddyhttp.MiddlewareHandler
	// maybe says that matchers of its own decide whether it runs.
	maybe bool
}

// label names the route for people: "api.example.com /orders*".
func (m *mappedRoute) label() string {
	var b strings.Builder
	switch {
	case len(m.Hosts) > 0:
		b.WriteString(strings.Join(m.Hosts, ","))
	case len(m.Listen) > 0:
		b.WriteString(strings.Join(m.Listen, ","))
	default:
		b.WriteString("*")
	}
	b.WriteByte(' ')
	if len(m.Paths) > 0 {
		b.WriteString(strings.Join(m.Paths, ","))
	} else {
		b.WriteString("/*")
	}
	if len(m.Methods) > 0 {
		b.WriteString(" " + strings.Join(m.Methods, ","))
	}
	if len(m.Others) > 0 {
		b.WriteString(" (" + strings.Join(m.Others, ", ") + ")")
	}
	return b.String()
}

// maxWays bounds how many ways are told apart at one server. Beyond it, matchers
// that decide on a gate no longer make two ways out of one.
const maxWays = 4096

// mapRoutes lists the ways through all servers of app, in the order in which
// Caddy tries them, servers by name. app is provisioned, and may be in use. Ways
// on which there is nothing at all are left out. app may be nil.
func mapRoutes(app *caddyhttp.App) []*mappedRoute {
	return mapServers(app, func(s *caddyhttp.Server) []caddyhttp.RouteList { return []caddyhttp.RouteList{s.Routes} }, nil)
}

// mapErrorRoutes lists the ways through the error routes of app likewise, those
// of subroutes included.
func mapErrorRoutes(app *caddyhttp.App) []*mappedRoute {
	return mapServers(app, func(s *caddyhttp.Server) []caddyhttp.RouteList {
		var lists []caddyhttp.RouteList
		if s.Errors != nil {
			lists = append(lists, s.Errors.Routes)
		}
		walkSubroutes(s.Routes, func(sub *caddyhttp.Subroute) {
			if sub.Errors != nil {
				lists = append(lists, sub.Errors.Routes)
			}
		})
		return lists
	}, nil)
}

// gateLabels names every gate of app by the routes that it stands on. No two
// gates have the same name.
func gateLabels(app *caddyhttp.App) map[*Handler]string {
	found := make(map[*Handler][]string)
	var order []*Handler
	mapServers(app, func(s *caddyhttp.Server) []caddyhttp.RouteList {
		lists := []caddyhttp.RouteList{s.Routes}
		if s.Errors != nil {
			lists = append(lists, s.Errors.Routes)
		}
		return lists
	}, func(gate *Handler, at *mappedRoute) {
		if _, known := found[gate]; !known {
			order = append(order, gate)
		}
		if label := at.label(); !slices.Contains(found[gate], label) {
			found[gate] = append(found[gate], label)
		}
	})
	labels := make(map[*Handler]string, len(found))
	taken := make(map[string]int)
	for _, gate := range order {
		const shown = 3
		names := found[gate]
		label := strings.Join(names[:min(shown, len(names))], "; ")
		if more := len(names) - shown; more > 0 {
			label += "; and " + strconv.Itoa(more) + " more"
		}
		if taken[label]++; taken[label] > 1 {
			label += " #" + strconv.Itoa(taken[label])
		}
		labels[gate] = label
	}
	return labels
}

// mapServers walks the lists of routes that of each server.
func mapServers(app *caddyhttp.App, of func(*caddyhttp.Server) []caddyhttp.RouteList, onGate func(*Handler, *mappedRoute)) []*mappedRoute {
	if app == nil {
		return nil
	}
	var all []*mappedRoute
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		server := app.Servers[name]
		if server == nil || name == "remaining_auto_https_redirects" {
			continue
		}
		w := &siteWalk{server: server, onGate: onGate}
		for _, routes := range of(server) {
			start := &way{mappedRoute: mappedRoute{Server: name, Listen: server.Listen, server: server}}
			w.routes(routes, start, w.arrived)
		}
		all = append(all, w.found...)
	}
	return all
}

// walkSubroutes calls visit for every subroute below routes.
func walkSubroutes(routes caddyhttp.RouteList, visit func(*caddyhttp.Subroute)) {
	for _, route := range routes {
		for _, h := range route.Handlers {
			if sub, ok := h.(*caddyhttp.Subroute); ok {
				visit(sub)
				walkSubroutes(sub.Routes, visit)
			}
		}
	}
}

// shortName is a module's id without its namespace: "reverse_proxy".
func shortName(module any) string {
	m, ok := module.(caddy.Module)
	if !ok {
		return "?"
	}
	return m.CaddyModule().ID.Name()
}
