package caddymodule

import (
	"net/http"
	"testing"
)

func TestIsUpgrade(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method string
		proto  string
		major  int
		header http.Header
		want   bool
	}{
		{"plain", "GET", "HTTP/1.1", 1, nil, false},
		{"websocket", "GET", "HTTP/1.1", 1, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, true},
		{"in a list, in a second line", "GET", "HTTP/1.1", 1, http.Header{"Connection": {"close", "keep-alive,\tuPGRADE "}, "Upgrade": {"websocket"}}, true},
		{"other method, other protocol", "POST", "HTTP/1.1", 1, http.Header{"Connection": {"upgrade"}, "Upgrade": {"h2c"}}, true},
		{"Connection alone", "GET", "HTTP/1.1", 1, http.Header{"Connection": {"Upgrade"}}, false},
		{"Upgrade alone", "GET", "HTTP/1.1", 1, http.Header{"Upgrade": {"websocket"}}, false},
		{"Connection names something longer", "GET", "HTTP/1.1", 1, http.Header{"Connection": {"Upgrade-Insecure-Requests"}, "Upgrade": {"websocket"}}, false},
		{"CONNECT", "CONNECT", "HTTP/1.1", 1, nil, false},
		{"CONNECT over HTTP/2", "CONNECT", "HTTP/2.0", 2, http.Header{}, false},
		{"CONNECT over HTTP/3", "CONNECT", "HTTP/3.0", 3, http.Header{}, false},
		{"TrapConnectWithProtocolOverHTTP2", "CONNECT", "HTTP/2.0", 2, http.Header{":protocol": {"websocket"}}, true},
		{"TrapConnectWithProtocolOverHTTP3", "CONNECT", "websocket", 3, http.Header{}, true},
		{"other protocol over HTTP/3", "CONNECT", "webtransport", 3, http.Header{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &http.Request{Method: tc.method, Proto: tc.proto, ProtoMajor: tc.major, Header: tc.header}
			if got := isUpgrade(r); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestTrapConnectWithProtocolNeedsItsOrigin: CONNECT is no GET to Go's
// cross-origin protection, which lets it pass without Origin.
func TestTrapConnectWithProtocolNeedsItsOrigin(t *testing.T) {
	for _, tc := range []struct {
		origin string
		ok     bool
	}{
		{"", false},
		{"https://evil.example", false},
		{"https://api.example.com", true},
	} {
		r := request("/", "Cookie: session=a.b.c\nSec-Fetch-Site: same-origin")
		r.Method, r.Proto, r.ProtoMajor = "CONNECT", "HTTP/2.0", 2
		r.Header[":protocol"] = []string{"websocket"}
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		c, refusal := testHandler(fromCookie).extract(r)
		if ok := refusal == nil && c.token == "a.b.c"; ok != tc.ok {
			t.Errorf("origin %q: got %v", tc.origin, refusal)
		}
	}
}

// TestUpgradeWithoutHost: HTTP/1.0 requests may have none, and some origins have
// none either.
func TestUpgradeWithoutHost(t *testing.T) {
	r := request("/", upgrade+"Origin: file:///\nCookie: session=a.b.c")
	r.Host = ""
	if c, refusal := testHandler(fromCookie).extract(r); refusal == nil {
		t.Errorf("accepted %q", c.token)
	}
}
