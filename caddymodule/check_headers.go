package caddymodule

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// changed looks for handlers behind a gate that change the headers which it
// forwards.
func (c *checker) changed(m *mappedRoute) {
	forwards := make(map[string]string) // canonical name -> as it is written, of the gates so far
	for _, s := range m.steps {
		switch h := s.handler.(type) {
		case *Handler:
			for _, f := range h.Forward {
				forwards[http.CanonicalHeaderKey(f.Header)] = f.Header
			}
		case *headers.Handler:
			c.changes(m, h, h.Request, forwards, "request_header")
		case *reverseproxy.Handler:
			if h.Headers != nil {
				c.changes(m, h, h.Headers.Request, forwards, "header_up")
			}
			for _, response := range h.HandleResponse {
				for _, route := range response.Routes {
					for _, inner := range route.Handlers {
						if set, ok := inner.(*headers.Handler); ok {
							c.changes(m, h, set.Request, forwards, "copy_headers")
						}
					}
				}
			}
		}
	}
}

// changes reports what ops does to the headers that gates forward.
func (c *checker) changes(m *mappedRoute, h caddyhttp.MiddlewareHandler, ops *headers.HeaderOps, forwards map[string]string, word string) {
	if ops == nil {
		return
	}
	report := func(name, does string) {
		for _, forwarded := range slices.Sorted(maps.Keys(forwards)) {
			if !headerMatches(name, forwarded) {
				continue
			}
			names := backendWords
			if word == "request_header" {
				names = []string{word}
			}
			at := c.places.handler(m, h, func(n *caddyNode) bool { return n.mentionsHeader(name) || n.mentionsHeader(forwarded) }, names...)
			if n := c.headerLine(m, word, name, names); n != nil {
				at = c.places.node(n)
			}
			c.add("managed_header_changed", at, m, "remove it: the gate deletes what clients send, and sets the header itself", "`%s` %s %s, which the gate forwards", word, does, forwards[forwarded])
		}
	}
	for _, name := range ops.Delete {
		report(name, "deletes")
	}
	for _, name := range slices.Sorted(maps.Keys(ops.Set)) {
		report(name, "replaces")
	}
	for _, name := range slices.Sorted(maps.Keys(ops.Add)) {
		report(name, "adds a second")
	}
	for _, name := range slices.Sorted(maps.Keys(ops.Replace)) {
		report(name, "changes")
	}
}

// headerLine finds the line itself inside a proxy's block.
func (c *checker) headerLine(m *mappedRoute, word, name string, within []string) *caddyNode {
	if word != "header_up" {
		return nil
	}
	proxy := c.places.tree.find(m, func(n *caddyNode) bool { return slices.Contains(within, n.name) && n.mentionsHeader(name) })
	if proxy == nil {
		return nil
	}
	var line *caddyNode
	proxy.each(func(n *caddyNode) {
		if line == nil && n.name == word && n.mentionsHeader(name) {
			line = n
		}
	})
	return line
}

// headerMatches reports whether a name in Caddy's header operations, which may
// begin or end with a star, stands for that header.
func headerMatches(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	core := strings.Trim(pattern, "*")
	first, last := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	switch {
	case pattern == "*":
		return true
	case first && last:
		return strings.Contains(name, core)
	case first:
		return strings.HasSuffix(name, core)
	case last:
		return strings.HasPrefix(name, core)
	}
	return pattern == name
}
