package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// explain says what would become of the request that o describes. It contacts
// no backend, counts nothing and keeps nothing.
func (s *explainSite) explain(ctx context.Context, o *explainOrder) *explanation {
	start := s.choose(ctx, o)
	if start == nil {
		return &explanation{Verdict: "no_gate", Summary: "No server takes this request.", Request: o.described("", ""),
			Warnings: []string{"the configuration has no HTTP server that this request could reach"}}
	}
	k, w, failed := s.walk(ctx, o, start, false)
	k.warnings = append(start.notes, k.warnings...)
	if failed != nil && !k.refused {
		status := http.StatusInternalServerError
		var handled caddyhttp.HandlerError
		if errors.As(failed, &handled) && handled.StatusCode > 0 {
			status = handled.StatusCode
		}
		k.warn("a handler on this route ends the request with an error, status %d, which handle_errors or Caddy answers", status)
	}
	return k.report(o, start, w)
}

// beginning is where a walk starts.
type beginning struct {
	name         string
	server       *caddyhttp.Server
	scheme, host string
	notes        []string
	rank         int
}

// walk takes the request through a server. dry walks look for gates without
// asking them.
func (s *explainSite) walk(ctx context.Context, o *explainOrder, b *beginning, dry bool) (*walk, *answerRecorder, error) {
	w := new(answerRecorder)
	r := caddyhttp.PrepareRequest(o.request(ctx, b.scheme, b.host), caddy.NewReplacer(), w, b.server)
	k := &walk{site: s, server: b.server, groups: map[string]bool{}, refused: dry}
	err := k.run(w, r)
	return k, w, err
}

// choose finds the server, and where the order does not say, the host, by which
// the request meets a gate.
func (s *explainSite) choose(ctx context.Context, o *explainOrder) *beginning {
	if s.http == nil {
		return nil
	}
	var names []string
	for name := range s.http.Servers {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []*beginning
	for _, name := range names {
		server := s.http.Servers[name]
		scheme := s.scheme(server)
		if !listensOn(server, o.Host) || o.Scheme != "" && o.Scheme != scheme && slices.ContainsFunc(names, func(n string) bool {
			return s.scheme(s.http.Servers[n]) == o.Scheme
		}) {
			continue
		}
		scheme = cmp.Or(o.Scheme, scheme)
		hosts := []string{o.Host}
		if o.Host == "" {
			hosts = append(hostsOf(server.Routes, nil), "localhost")
		}
		for _, host := range hosts {
			all = append(all, &beginning{name: name, server: server, scheme: scheme, host: host})
		}
	}
	const most = 200 // hosts to try
	all = all[:min(len(all), most)]
	var gated []string
	for _, b := range all {
		k, _, _ := s.walk(ctx, o, b, true)
		switch {
		case len(k.gates) > 0:
			b.rank = 2
			gated = append(gated, b.host)
		case k.end != nil:
			b.rank = 1
		}
	}
	if len(all) == 0 {
		return nil
	}
	best := slices.MaxFunc(all, func(a, b *beginning) int { return cmp.Compare(a.rank, b.rank) })
	slices.Sort(gated)
	if gated = slices.Compact(gated); o.Host == "" && len(gated) > 1 {
		best.notes = append(best.notes, "no host was given: "+best.host+" is taken; there are gates for this path at "+words(gated))
	}
	return best
}

// scheme is what server speaks. What is loaded without being started has no
// certificates: then the port tells.
func (s *explainSite) scheme(server *caddyhttp.Server) string {
	port := s.http.HTTPSPort
	if port == 0 {
		port = caddyhttp.DefaultHTTPSPort
	}
	if len(server.TLSConnPolicies) > 0 || listensOn(server, net.JoinHostPort("", strconv.Itoa(port))) {
		return "https"
	}
	return "http"
}

// listensOn reports whether server listens on the port in host, if it names
// one.
func listensOn(server *caddyhttp.Server, host string) bool {
	_, port, err := net.SplitHostPort(host)
	if err != nil || port == "" {
		return true
	}
	return slices.ContainsFunc(server.Listen, func(address string) bool {
		parsed, err := caddy.ParseNetworkAddress(address)
		if err != nil {
			return false
		}
		for i := range parsed.PortRangeSize() {
			if _, p, err := net.SplitHostPort(parsed.JoinHostPort(i)); err == nil && p == port {
				return true
			}
		}
		return false
	})
}

// hostsOf appends the hosts that routes match, one of each wildcard.
func hostsOf(routes caddyhttp.RouteList, hosts []string) []string {
	add := func(host string) {
		if host = strings.Replace(host, "*", "any", 1); !strings.ContainsAny(host, "*{") && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for i := range routes {
		for _, set := range routes[i].MatcherSets {
			for _, m := range set {
				if list, ok := m.(*caddyhttp.MatchHost); ok {
					for _, host := range *list {
						add(host)
					}
				}
			}
		}
		for _, h := range routes[i].Handlers {
			if sub, ok := h.(*caddyhttp.Subroute); ok {
				hosts = hostsOf(sub.Routes, hosts)
			}
		}
	}
	return hosts
}

// described is the request as people see it. The query may hold a token.
func (o *explainOrder) described(scheme, host string) explainedRequest {
	return explainedRequest{Method: o.Method, Scheme: scheme, Host: host, Path: o.Path, RemoteIP: o.RemoteIP}
}

// answer returns what was recorded.
func (a *answerRecorder) answer(of *reply) *explainedAnswer {
	answer := &explainedAnswer{Status: a.status, Headers: map[string][]string{}, Body: a.body.String()}
	if of != nil {
		answer.Code, answer.Action = string(of.code), of.action
	}
	for name, values := range a.sent {
		if len(values) > 0 && name != "Content-Length" {
			answer.Headers[display(name)] = values
		}
	}
	return answer
}

// display writes a header as RFCs do, where that differs from Go.
func display(name string) string {
	if name == "Www-Authenticate" {
		return "WWW-Authenticate"
	}
	return http.CanonicalHeaderKey(name)
}
