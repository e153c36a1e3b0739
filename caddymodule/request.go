package caddymodule

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/policy"
)

// requestView is what expressions see of a request, computed when they ask and
// then remembered. For one goroutine, within one request.
type requestView struct {
	r        *http.Request
	path     string
	host     string
	remoteIP string
	header   map[string][]string
	query    map[string][]string
	have     viewField
}

// viewField marks the fields of a requestView that are computed.
type viewField uint8

const (
	havePath viewField = 1 << iota
	haveHost
	haveRemoteIP
	haveHeader
	haveQuery
)

// newRequestView returns the view of r, which must be clean already.
func newRequestView(r *http.Request) *requestView { return &requestView{r: r} }

// first reports whether field is asked for the first time.
func (v *requestView) first(field viewField) bool {
	if v.have&field != 0 {
		return false
	}
	v.have |= field
	return true
}

// Method implements policy.Request. A WebSocket over HTTP/2 and 3 comes as
// CONNECT with :protocol and goes to the backend as the GET that it is over
// HTTP/1.1: a rule about GET is about both.
func (v *requestView) Method() string {
	if isExtendedWebsocket(v.r) {
		return http.MethodGet
	}
	return v.r.Method
}

// Path implements policy.Request: without escapes, dot segments and repeated
// slashes, a trailing slash kept.
func (v *requestView) Path() string {
	if v.first(havePath) {
		v.path = cleanPath(v.r.URL.Path)
	}
	return v.path
}

func cleanPath(p string) string {
	if p == "" || p == "*" {
		return p
	}
	slash := strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")
	p = path.Clean("/" + p)
	if slash && p != "/" {
		p += "/"
	}
	return p
}

// Host implements policy.Request: IPv6 addresses are without brackets.
func (v *requestView) Host() string {
	if v.first(haveHost) {
		v.host = strings.ToLower(withoutPort(v.r.Host))
	}
	return v.host
}

// withoutPort returns the host of host:port, or all of it, without brackets.
func withoutPort(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	if host, ok := strings.CutPrefix(hostport, "["); ok {
		if host, ok := strings.CutSuffix(host, "]"); ok {
			return host
		}
	}
	return hostport
}

// Header implements policy.Request. Lines whose names differ by letter case
// alone are in one list.
func (v *requestView) Header() map[string][]string {
	if v.first(haveHeader) {
		v.header = make(map[string][]string, len(v.r.Header))
		for name, lines := range v.r.Header {
			name = strings.ToLower(name)
			if other, ok := v.header[name]; ok {
				lines = append(other[:len(other):len(other)], lines...)
			}
			v.header[name] = lines
		}
	}
	return v.header
}

// Query implements policy.Request. Pairs that do not decode are left out.
func (v *requestView) Query() map[string][]string {
	if v.first(haveQuery) {
		v.query, _ = url.ParseQuery(v.r.URL.RawQuery)
	}
	return v.query
}

// RemoteIP implements policy.Request: the peer of the connection, without port
// and zone.
func (v *requestView) RemoteIP() string {
	if v.first(haveRemoteIP) {
		v.remoteIP = withoutZone(withoutPort(v.r.RemoteAddr))
	}
	return v.remoteIP
}

// ClientIP implements policy.Request: what Caddy determined from the headers of
// its trusted proxies, else the remote address.
func (v *requestView) ClientIP() string {
	if ip, ok := caddyhttp.GetVar(v.r.Context(), caddyhttp.ClientIPVarKey).(string); ok && ip != "" {
		return withoutZone(withoutPort(ip))
	}
	return v.RemoteIP()
}

func withoutZone(ip string) string {
	if addr, err := netip.ParseAddr(ip); err == nil && addr.Zone() != "" {
		return addr.WithZone("").String()
	}
	return ip
}

// Interface guard.
var _ policy.Request = (*requestView)(nil)
