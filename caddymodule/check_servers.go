package caddymodule

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/gate"
)

// checkServers looks at what is around the gates: listeners, admin endpoint,
// logs.
func (c *checker) checkServers() {
	c.admin()
	for _, w := range c.warnings {
		text := w.Message
		if w.Directive != "" {
			text = w.Directive + ": " + text
		}
		c.add("adapter_warning", place{File: cmp.Or(w.File, c.file), Line: w.Line}, nil, "see what it says", "%s", text)
	}
	if c.http == nil || len(c.gates) == 0 {
		return
	}
	if level, _ := object(object(object(c.raw["logging"])["logs"])["default"])["level"].(string); strings.EqualFold(level, "debug") {
		c.add("debug_on", c.global([]string{"debug"}, "/logging/logs/default/level"), nil, "leave `debug` out when you are done", "logs are at DEBUG")
	}
	for _, name := range slices.Sorted(maps.Keys(c.http.Servers)) {
		server := c.http.Servers[name]
		if !slices.ContainsFunc(c.routes, func(m *mappedRoute) bool { return m.Server == name && len(m.Gates) > 0 }) {
			continue
		}
		base := "/apps/http/servers/" + escapePointer.Replace(name)
		raw := object(object(object(object(c.raw["apps"])["http"])["servers"])[name])
		c.aliases("expected_underscore_headers", server.ExpectedUnderscoreHeaders, base)
		c.aliases("expected_dot_headers", server.ExpectedDotHeaders, base)
		if server.Logs != nil && server.Logs.ShouldLogCredentials {
			c.add("credentials_logged", c.global([]string{"servers", "log_credentials"}, base+"/logs/should_log_credentials"), nil, "leave `log_credentials` out", "server %s logs the Authorization header", name)
		}
		if public := plainListeners(server, raw, object(object(c.raw["apps"])["http"])); len(public) > 0 {
			c.add("plain_http", c.site(name, base), nil, "name the site by its domain for automatic HTTPS, or `bind 127.0.0.1`; behind a load balancer that ends TLS it is meant so",
				"server %s takes tokens over plain http on %s", name, strings.Join(public, ", "))
		}
	}
}

// global is the place of a global option, or of a pointer.
func (c *checker) global(words []string, pointer string) place {
	if c.places.tree == nil {
		return c.places.pointer(pointer)
	}
	return c.places.option(words, nil)
}

// site is the place of the first site of a server.
func (c *checker) site(server, pointer string) place {
	if c.places.tree == nil {
		return c.places.pointer(pointer + "/listen")
	}
	for _, m := range c.routes {
		for _, site := range c.places.tree.sites {
			if m.Server == server && site.at(m) {
				return c.places.node(site)
			}
		}
	}
	return place{File: c.file}
}

// aliases reports spellings of managed headers that Caddy was told to let
// through. Others do no harm here.
func (c *checker) aliases(option string, names []string, base string) {
	for _, name := range names {
		prefix, wild := strings.CutSuffix(name, "*")
		folded := gate.Fold(prefix)
		hit := slices.IndexFunc(c.managedNames(), func(managed string) bool {
			m := gate.Fold(strings.TrimSuffix(managed, "*"))
			return m == folded || wild && strings.HasPrefix(m, folded) || strings.HasSuffix(managed, "*") && strings.HasPrefix(folded, m)
		})
		if hit >= 0 {
			c.add("aliased_headers", c.global([]string{"servers", option}, base+"/"+option), nil, "take it out of `"+option+"`, and put a `public` gate on routes that have none",
				"%s lets %s through, which many backends take for %s", option, name, c.managedNames()[hit])
		}
	}
}

// managedNames lists the names and patterns that gates manage.
func (c *checker) managedNames() []string {
	var names []string
	for _, g := range c.gates {
		for _, f := range g.Forward {
			names = append(names, http.CanonicalHeaderKey(f.Header))
		}
		names = append(names, g.Strip...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// plainListeners lists the addresses off loopback on which a server speaks
// plain http, as far as the configuration tells. raw and web are the server and
// the app in Caddy's JSON.
func plainListeners(server *caddyhttp.Server, raw, web map[string]any) []string {
	if policies, _ := raw["tls_connection_policies"].([]any); len(policies) > 0 {
		return nil
	}
	httpPort, httpsPort := uint(caddyhttp.DefaultHTTPPort), uint(caddyhttp.DefaultHTTPSPort)
	for name, port := range map[string]*uint{"http_port": &httpPort, "https_port": &httpsPort} {
		if n, ok := web[name].(float64); ok && n > 0 {
			*port = uint(n)
		}
	}
	automatic := object(raw["automatic_https"])
	off := automatic["disable"] == true
	hosts := false
	for _, route := range server.Routes {
		for _, set := range route.MatcherSets {
			for _, host := range demandsOf(set).hosts {
				hosts = hosts || !isListed(automatic["skip"], host)
			}
		}
	}
	var plain []string
	for _, listen := range server.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil || address.IsUnixNetwork() || loopback(address.Host) {
			continue
		}
		if address.StartPort == httpsPort && !off || hosts && !off && address.StartPort != httpPort {
			continue
		}
		plain = append(plain, listen)
	}
	return plain
}

func isListed(list any, s string) bool {
	values, _ := list.([]any)
	return slices.Contains(values, any(s))
}

// loopback reports whether only this machine reaches a listener on host.
func loopback(host string) bool {
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

func (c *checker) admin() {
	admin := object(c.raw["admin"])
	if admin["disabled"] == true {
		c.add("admin_off", c.global([]string{"admin"}, "/admin/disabled"), nil, "write `admin unix//run/caddy/admin.sock`; with `admin off`, backends revoke through `jwtgate_revoke`", "the admin endpoint is off")
		return
	}
	listen, _ := admin["listen"].(string)
	if listen == "" {
		return
	}
	expanded, err := caddy.NewReplacer().ReplaceOrErr(listen, true, true)
	if err != nil {
		return
	}
	address, err := caddy.ParseNetworkAddressWithDefaults(expanded, "tcp", 2019)
	if err == nil && !address.IsUnixNetwork() && !loopback(address.Host) {
		c.add("admin_exposed", c.global([]string{"admin"}, "/admin/listen"), nil, "write `admin unix//run/caddy/admin.sock`, or `admin localhost:2019`", "the admin endpoint listens on %s", listen)
	}
}

// addresses looks at rules that go by the client's address.
func (c *checker) addresses(m *mappedRoute) {
	if len(m.Gates) == 0 && m.End != "jwtgate_revoke" {
		return
	}
	raw := object(object(object(object(c.raw["apps"])["http"])["servers"])[m.Server])
	trusts := raw["trusted_proxies"] != nil
	uses := func(what string) (at place, where string) {
		for _, g := range m.Gates {
			for _, r := range g.Require {
				if strings.Contains(r.Expr, "request."+what) {
					return c.places.gate(g, "require"), "an expression asks for request." + what
				}
			}
		}
		for _, other := range m.Others {
			if strings.TrimPrefix(other, "not ") == what {
				if m.End == "jwtgate_revoke" {
					return c.places.handler(m, m.steps[len(m.steps)-1].handler, nil, "jwtgate_revoke"), "a matcher asks for " + what
				}
				return c.places.gate(m.Gates[0]), "a matcher asks for " + what
			}
		}
		return place{}, ""
	}
	if at, where := uses("client_ip"); where != "" && !trusts {
		c.add("client_ip_untrusted", at, m, "write `servers { trusted_proxies static RANGES }` into the global options, or ask for remote_ip", "%s: %s, and server %s has no trusted_proxies", m.label(), where, m.Server)
	}
	if at, where := uses("remote_ip"); where != "" && trusts {
		c.add("remote_ip_proxy", at, m, "ask for client_ip", "%s: %s, and server %s is behind proxies", m.label(), where, fmt.Sprint(m.Server))
	}
}
