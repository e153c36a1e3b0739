package caddymodule

import "github.com/caddyserver/caddy/v2/modules/caddyhttp"

// mappedRoute is one way that requests can take through a configuration: from a
// server's first route to the handler that answers.
type mappedRoute struct {
	Server  string
	Hosts   []string // of the host matchers on the way; empty: any
	Paths   []string // of the path matchers on the way; empty: any
	Methods []string // of the method matchers on the way; empty: any
	Others  []string // further matchers, by module id
	// Handlers are the ids of the handlers on the way, in order; our own
	// included.
	Handlers []string
	Gates    []*Handler
	// End is the id of the handler that answers, empty if none does.
	End       string
	Upstreams []string // of a reverse proxy
}

// label names the route for people: "api.example.com /orders*".
func (m *mappedRoute) label() string { return "" }

// mapRoutes lists the ways through all servers of app, in the order in which
// Caddy tries them. app is provisioned.
func mapRoutes(_ *caddyhttp.App) []*mappedRoute { return nil }

// gateLabels names every gate of app by the routes that it stands on.
func gateLabels(_ *caddyhttp.App) map[*Handler]string { return nil }
