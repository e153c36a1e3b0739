package caddymodule

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// explainOrder is a request to explain.
type explainOrder struct {
	Token      string              `json:"token,omitempty"`
	Method     string              `json:"method,omitempty"` // default GET; methods have upper and lower case
	Scheme     string              `json:"scheme,omitempty"` // default: what the server speaks
	Host       string              `json:"host,omitempty"`   // default: what leads to a gate
	Path       string              `json:"path,omitempty"`   // as in a URL; default /
	Query      string              `json:"query,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	RemoteIP   string              `json:"remote_ip,omitempty"` // default: a stranger's
	ShowClaims bool                `json:"show_claims,omitempty"`
}

// stranger is the address of a client of whom nothing is known (RFC 5737): no
// private or loopback range matches it.
const stranger = "192.0.2.1"

// readExplainOrder reads the body of POST /jwtgate/explain.
func readExplainOrder(body []byte) (*explainOrder, error) {
	m := readMembers(body, "token", "method", "scheme", "host", "path", "query", "headers", "remote_ip", "show_claims")
	o := &explainOrder{
		Token: m.text("token"), Method: m.text("method"), Scheme: m.text("scheme"), Host: m.text("host"), Path: m.text("path"),
		Query: m.text("query"), Headers: m.lists("headers"), RemoteIP: m.text("remote_ip"), ShowClaims: m.boolean("show_claims"),
	}
	if m.whole() {
		m.faults = append(m.faults, o.faults()...)
	}
	return o, faulty(m.faults)
}

// faults lists what is wrong with o, and fills in defaults.
func (o *explainOrder) faults() []fault {
	var found []fault
	refuse := func(field, detail string) { found = append(found, fault{Field: field, Detail: detail}) }
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(o.Method) {
		refuse("method", "no method of HTTP")
	}
	switch o.Scheme = strings.ToLower(o.Scheme); o.Scheme {
	case "", "http", "https":
	default:
		refuse("scheme", "http or https is wanted")
	}
	if !httpguts.ValidHostHeader(o.Host) || strings.Contains(o.Host, "/") {
		refuse("host", "a host is wanted, such as api.example.com or api.example.com:8443")
	}
	if o.Path == "" {
		o.Path = "/"
	}
	if path, query, ok := strings.Cut(o.Path, "?"); ok && o.Query == "" {
		o.Path, o.Query = path, query
	}
	if _, err := url.ParseRequestURI(o.target()); err != nil || !strings.HasPrefix(o.Path, "/") {
		refuse("path", "a path is wanted as it stands in a URL, beginning with /")
	}
	if o.RemoteIP == "" {
		o.RemoteIP = stranger
	}
	if _, err := netip.ParseAddr(o.RemoteIP); err != nil {
		refuse("remote_ip", "an IP address is wanted")
	}
	for name, values := range o.Headers {
		if !httpguts.ValidHeaderFieldName(name) {
			refuse("headers", "a name that no header can have")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				refuse("headers", "a value that no header can have")
			}
		}
		if o.Token != "" && strings.EqualFold(name, "Authorization") {
			refuse("headers", "Authorization beside token: the token is sent in that header")
		}
	}
	return found
}

func (o *explainOrder) target() string {
	if o.Query == "" {
		return o.Path
	}
	return o.Path + "?" + o.Query
}

// request returns the request that o describes, as net/http would give it to
// Caddy.
func (o *explainOrder) request(ctx context.Context, scheme, host string) *http.Request {
	u, err := url.ParseRequestURI(o.target())
	if err != nil { // faults has refused it
		u = &url.URL{Path: "/"}
	}
	r := (&http.Request{
		Method: o.Method, URL: u, RequestURI: o.target(), Host: host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: http.NoBody, RemoteAddr: net.JoinHostPort(o.RemoteIP, "49152"),
	}).WithContext(ctx)
	if scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, ServerName: withoutPort(host)}
	}
	for name, values := range o.Headers {
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], values...)
	}
	if o.Token != "" {
		r.Header["Authorization"] = []string{"Bearer " + o.Token}
	}
	if isGRPC(r) {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	}
	return r
}

// unpaste takes off what comes along when a token is copied from somewhere, and
// says so.
func unpaste(text string) (raw string, notes []string) {
	raw = strings.TrimSpace(text)
	trim := func(what string, to string) {
		if to != raw {
			raw, notes = strings.TrimSpace(to), append(notes, what)
		}
	}
	if raw != text {
		notes = append(notes, "blanks or line breaks around the token were left out")
	}
	if name, value, ok := strings.Cut(raw, ":"); ok && strings.EqualFold(strings.TrimSpace(strings.Trim(name, `"'`)), "authorization") {
		trim("the name of the header was left out", value)
	}
	quotes := func() {
		if len(raw) >= 2 && strings.IndexByte("\"'`", raw[0]) >= 0 && raw[len(raw)-1] == raw[0] {
			trim("quotes around the token were left out", raw[1:len(raw)-1])
		}
	}
	quotes()
	if scheme, value, ok := strings.Cut(raw, " "); ok && strings.EqualFold(scheme, "bearer") {
		trim("the word Bearer was left out", value)
	}
	quotes()
	if strings.ContainsAny(raw, "\r\n\t ") && looksLikeToken(strings.Join(strings.Fields(raw), "")) {
		trim("line breaks within the token were left out", strings.Join(strings.Fields(raw), ""))
	}
	return raw, notes
}
