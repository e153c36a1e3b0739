package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// ready waits until tokens are accepted, and forgets what that took.
func (g *gateway) ready() {
	g.t.Helper()
	if a := g.do("GET", "/", g.bearer(nil)); a.Status != http.StatusOK {
		g.t.Fatalf("%d %s", a.Status, a.Body)
	}
	g.Backend.take()
}

// TestTokensOutsideAuthorizationArePrivate: a response to a token in a URL or
// cookie is for no shared cache, whatever the backend says (RFC 6750 section 2.3).
func TestTokensOutsideAuthorizationArePrivate(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			token_from query access_token
			token_from cookie session
		}
		reverse_proxy BACKEND
	}`)
	g.ready()
	raw := g.Issuer.Sign(nil)
	for backend, want := range map[string]string{
		"":                         "private",
		"max-age=60":               "max-age=60, private",
		"public, max-age=60":       "max-age=60, private",
		"s-maxage=9, Public":       "private",
		"no-store":                 "no-store",
		"private, max-age=60":      "private, max-age=60",
		`no-cache="X", max-age=60`: `no-cache="X", max-age=60, private`,
	} {
		path := "/?cache=" + url.QueryEscape(backend)
		for place, a := range map[string]got{
			"query":  g.do("GET", path+"&access_token="+raw),
			"cookie": g.do("GET", path, "Cookie: session="+raw),
		} {
			if got := strings.Join(a.Header["Cache-Control"], " | "); a.Status != 200 || got != want {
				t.Errorf("%s, backend %q: %d %q, want %q", place, backend, a.Status, got, want)
			}
		}
		if a := g.do("GET", path, "Authorization: Bearer "+raw); a.Header.Get("Cache-Control") != backend {
			t.Errorf("Authorization, backend %q: %q", backend, a.Header["Cache-Control"])
		}
	}
}

// TestQueryTokenIsInNoPlaceholder: Caddy remembers the URI as it came.
func TestQueryTokenIsInNoPlaceholder(t *testing.T) {
	g := live(t, `GATEWAY {
		rewrite /r* /rewritten?{query}
		jwtgate {
			token_from query access_token
			token_from query t
		}
		handle_errors {
			respond "{uri} {http.request.orig_uri} {http.request.orig_uri.query}"
		}
		reverse_proxy BACKEND {
			header_up X-Original {http.request.orig_uri}
		}
	}`)
	g.ready()
	expired, good := g.Issuer.Sign(map[string]any{"exp": 1000000000}), g.Issuer.Sign(nil)
	if a := g.do("GET", "/r?a=1&access_token="+expired+"&b=2&t=x"); a.Body != "/r?a=1&b=2 /r?a=1&b=2 a=1&b=2" {
		t.Errorf("refused: %.200s", a.Body)
	}
	g.do("GET", "/r?a=1&access%5Ftoken="+good+"&b=2")
	if r := g.one(); r.Header.Get("X-Original") != "/r?a=1&b=2" || r.URL.String() != "/rewritten?a=1&b=2" {
		t.Errorf("accepted: %.200s, %.200s", r.Header["X-Original"], r.URL)
	}
	g.do("GET", "/r?t="+good)
	if r := g.one(); r.Header.Get("X-Original") != "/r" {
		t.Errorf("accepted: %.200s", r.Header["X-Original"])
	}
}

// TestMethodOfAWebsocketIsGET over every version of HTTP: a rule about GET that
// HTTP/2 and 3 slip past is a trap.
func TestMethodOfAWebsocketIsGET(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    http.Request
		want string
	}{
		{"HTTP/1.1", http.Request{Method: "GET", ProtoMajor: 1, Header: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}}, "GET"},
		{"HTTP/2", http.Request{Method: "CONNECT", ProtoMajor: 2, Proto: "HTTP/2.0", Header: http.Header{":protocol": {"websocket"}}}, "GET"},
		{"HTTP/3", http.Request{Method: "CONNECT", ProtoMajor: 3, Proto: "websocket"}, "GET"},
		{"HTTP/2, another protocol", http.Request{Method: "CONNECT", ProtoMajor: 2, Proto: "HTTP/2.0", Header: http.Header{":protocol": {"connect-udp"}}}, "CONNECT"},
		{"HTTP/2, a tunnel", http.Request{Method: "CONNECT", ProtoMajor: 2, Proto: "HTTP/2.0"}, "CONNECT"},
		{"HTTP/1.1, a tunnel", http.Request{Method: "CONNECT", ProtoMajor: 1, Proto: "HTTP/1.1", Header: http.Header{":protocol": {"websocket"}}}, "CONNECT"},
	} {
		if got := newRequestView(&tt.r).Method(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestAliasesOfATokenHeaderAreDeleted: the gate would judge one token, and a
// backend that folds names read another one.
func TestAliasesOfATokenHeaderAreDeleted(t *testing.T) {
	for _, option := range []string{"", "strip_token", "optional"} {
		g := live(t, `GATEWAY {
			jwtgate {
				token_from header X-Access-Token
				`+option+`
			}
			reverse_proxy BACKEND
		}`)
		g.ready()
		for _, token := range []string{"X-Access-Token: " + g.Issuer.Sign(nil), g.bearer(nil)} {
			g.do("GET", "/", token, "X!Access!Token: mallory", "X-Access--Token: mallory", "x~access-TOKEN: mallory")
			for name, lines := range g.one().Header {
				if lines[0] == "mallory" {
					t.Errorf("%q: %s reached the backend", option, name)
				}
			}
		}
	}
}

// TestObservedTokensMeetTheNextGate: what a gate that only observes took out of
// the request still counts at a gate that refuses.
func TestObservedTokensMeetTheNextGate(t *testing.T) {
	g := live(t, `GATEWAY {
		route {
			jwtgate {
				observe
				token_from query t
			}
			jwtgate /header-only
			jwtgate /both {
				optional
				token_from query t
			}
			reverse_proxy BACKEND
		}
	}`)
	g.ready()
	raw := g.Issuer.Sign(nil)
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"two in the query", "/both?t=" + raw + "&t=" + raw, nil, 400},
		{"query and header", "/both?t=" + raw, []string{"Authorization: Bearer " + raw}, 400},
		{"a bad one", "/both?t=a.b.c", nil, 401},
		{"a malformed one", "/both?t=%7B", nil, 400},
		{"a broken escape", "/both?t=%zz", nil, 400},
		{"a good one", "/both?t=" + raw, nil, 200},
		{"none", "/both", nil, 200},
		{"a place that the next gate does not know", "/header-only?t=%7B", []string{"Authorization: Bearer " + raw}, 200},
		{"no gate follows", "/?t=%7B", nil, 200},
	} {
		if a := g.do("GET", tt.path, tt.headers...); a.Status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, a.Status, a.Body, tt.status)
		}
	}
}

// TestOriginIsTheHost compares hosts as origins are compared: with the default
// port of the scheme left out.
func TestOriginIsTheHost(t *testing.T) {
	for _, tt := range []struct {
		host, origin string
		want         bool
	}{
		{"api.example.test", "https://api.example.test", true},
		{"API.example.test:443", "https://api.example.test", true},
		{"api.example.test:80", "http://api.example.test", true},
		{"api.example.test:443", "http://api.example.test", false},
		{"api.example.test", "https://api.example.test:8443", false},
		{"api.example.test:8443", "https://api.example.test", false},
		{"api.example.test", "https://evil.test", false},
		{"api.example.test", "null", false},
		{"", "file://", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = tt.host
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Origin": {tt.origin}}
		if got := fromOwnPage(r, nil); got != tt.want {
			t.Errorf("Host %q, Origin %q: %v", tt.host, tt.origin, got)
		}
	}
}

// TestOwnSubprotocol: a browser closes a WebSocket on which the server selects
// none of the subprotocols offered.
func TestOwnSubprotocol(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			token_from websocket
		}
		reverse_proxy BACKEND
	}`)
	g.ready()
	raw := g.Issuer.Sign(nil)
	for _, tt := range []struct{ offered, backend, selected string }{
		{"jwtgate, jwtgate.bearer." + raw, "", "jwtgate"},
		{"jwtgate.bearer." + raw + ",jwtgate", "", "jwtgate"},
		{"jwtgate.bearer." + raw, "", ""},
		{"jwtgate, graphql-ws, jwtgate.bearer." + raw, "graphql-ws", ""},
		{"graphql-ws, jwtgate.bearer." + raw, "graphql-ws", ""},
	} {
		a := g.do("GET", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: "+tt.offered)
		offered := strings.ReplaceAll(tt.offered, raw, "T")
		if got := strings.Join(a.Header["Sec-Websocket-Protocol"], " | "); a.Status != 200 || got != tt.selected {
			t.Errorf("%s: %d, selected %q, want %q", offered, a.Status, got, tt.selected)
		}
		if got := strings.Join(g.one().Header["Sec-Websocket-Protocol"], " | "); got != tt.backend {
			t.Errorf("%s: the backend got %q, want %q", offered, got, tt.backend)
		}
	}
}

// TestRefusedUploadIsAnsweredAtOnce: the answer waits for no byte of the body,
// unless that is small.
func TestRefusedUploadIsAnsweredAtOnce(t *testing.T) {
	for name, pages := range map[string]string{"our body": "", "handle_errors": "handle_errors {\n respond page\n }"} {
		g := live(t, "GATEWAY {\n jwtgate\n reverse_proxy BACKEND\n "+pages+"\n}")
		for _, framing := range []string{
			"Content-Length: 1000000000", "Content-Length: 100000", "Transfer-Encoding: chunked",
			"Content-Length: 100000\r\nContent-Type: application/grpc", "Content-Length: 1000\r\nExpect: 100-continue",
		} {
			t.Run(name+" "+framing, func(t *testing.T) {
				resp, err := http.ReadResponse(g.dial(t, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"+framing+"\r\n\r\n"), nil)
				if err != nil || resp.StatusCode != 401 && resp.Header.Get("Grpc-Status") != "16" {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		g.none()
	}
}

// TestConnectionOutlivesARefusedUpload: what is left of a small body is read
// and the next request on the connection is understood.
func TestConnectionOutlivesARefusedUpload(t *testing.T) {
	g := live(t, "GATEWAY {\n jwtgate\n reverse_proxy BACKEND\n}")
	g.ready()
	body := strings.Repeat("a", 60_000)
	in := g.dial(t, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n"+body+
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"+g.bearer(nil)+"\r\n\r\n")
	for _, want := range []int{401, 200} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%d, %v, want %d", resp.StatusCode, err, want)
		}
	}
}

// dial sends raw bytes over a connection of its own.
func (g *gateway) dial(t *testing.T, request string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

// TestAuthorizationOnTheWire is conformance 1.1 to 1.5 and 2.1 to 2.6 as bytes.
func TestAuthorizationOnTheWire(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			forward {
				X-User-ID sub
			}
		}
		reverse_proxy BACKEND
	}`)
	g.ready()
	raw := g.Issuer.Sign(nil)
	for _, tt := range []struct {
		name, head string
		want       int
	}{
		{"one", "Authorization: Bearer " + raw, 200},
		{"obs-fold", "Authorization: Bearer\r\n " + raw, 200}, // net/http makes it one blank
		{"many blanks", "Authorization:    Bearer    " + raw + "   ", 200},
		{"letter case", "authorization: bEaReR " + raw, 200},
		{"tab", "Authorization: Bearer\t" + raw, 400},
		{"two equal lines", "Authorization: Bearer " + raw + "\r\nauthorization: Bearer " + raw, 400},
		{"Basic and Bearer", "Authorization: Basic YTpi\r\nAuthorization: Bearer " + raw, 400},
		{"a list", "Authorization: Bearer " + raw + ", Bearer " + raw, 400},
		{"quotes", `Authorization: Bearer "` + raw + `"`, 400},
		{"percent", "Authorization: Bearer %65" + raw, 400},
		{"padding", "Authorization: Bearer " + raw + "=", 401},
		{"padding alone", "Authorization: Bearer =", 400},
		{"not ASCII", "Authorization: Bearer \xff" + raw, 400},
		{"NUL", "Authorization: Bearer \x00" + raw, 400},
		{"no token", "Authorization: Bearer", 400},
		{"comma", "Authorization: Bearer,", 400},
		{"colon", "Authorization: Bearer: " + raw, 400},
		{"quoted scheme", `Authorization: "Bearer" ` + raw, 400},
		{"empty", "Authorization:", 401},
		{"another scheme", "Authorization: Token " + raw, 401},
		{"DPoP", "Authorization: DPoP " + raw, 401},
		{"Proxy-Authorization", "Proxy-Authorization: Bearer " + raw, 401},
		{"X-Authorization", "X-Authorization: Bearer " + raw, 401},
		{"Authorization_", "Authorization_: Bearer " + raw, 401},
		{"query alone", "X-A: 1", 401},
		{"cookie alone", "Cookie: access_token=" + raw, 401},
		{"named in Connection", "Connection: close, Authorization, X-User-ID\r\nAuthorization: Bearer " + raw, 200},
		{"in several lines", "Connection: x-user-id\r\nConnection: keep-alive , X-USER-ID,close\r\nAuthorization: Bearer " + raw, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.ReadResponse(g.dial(t, fmt.Sprintf("GET /?access_token=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n", raw, tt.head)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.want {
				t.Errorf("%d, want %d", resp.StatusCode, tt.want)
			}
			for _, r := range g.Backend.take() {
				if r.Header.Get("X-User-Id") != "alice" || r.Header.Get("Authorization") == "" {
					t.Errorf("the backend got %v", r.Header)
				}
			}
		})
	}
}
