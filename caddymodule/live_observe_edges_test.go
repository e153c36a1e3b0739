package caddymodule

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// TestObserveBesideOthers has a gate with observe together with gates that
// enforce, with logouts, optional, cookies and strip_token. The backend is told
// of an identity only by a gate that accepted it.
func TestObserveBesideOthers(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate_logout /logout*
		jwtgate /o-then-e* {
			require scope nothing
			observe
			forward {
				X-Auth-First sub
			}
		}
		jwtgate /o-then-e* {
			forward {
				X-Auth-Sub sub
			}
		}
		jwtgate /e-then-o* {
			forward {
				X-Auth-Sub sub
			}
		}
		jwtgate /e-then-o* {
			require scope nothing
			observe
			forward {
				X-Auth-First sub
			}
		}
		jwtgate /two* {
			require scope nothing
			observe
			forward {
				X-Auth-First sub
			}
		}
		jwtgate /two* {
			observe
			forward {
				X-Auth-Sub sub
			}
		}
		jwtgate /logout* {
			observe
			forward {
				X-Auth-Sub sub
			}
		}
		jwtgate /optional* {
			optional
			observe
			forward {
				X-Auth-Sub sub
			}
		}
		jwtgate /cookie* {
			token_from cookie session
			observe
			strip_token
			forward {
				X-Auth-Sub sub
			}
		}
		reverse_proxy BACKEND
	}`)
	good := g.bearer(map[string]any{"sub": "alice"})
	eventually(t, "keys are there", func() bool { return g.once("GET", "/e-then-o", good).Status == 200 })
	g.Backend.take()
	expired := g.bearer(map[string]any{"sub": "alice", "exp": 1})
	forged := g.bearer(map[string]any{"sub": "mallory"}, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))
	cookie := func(line string) string {
		return strings.Replace(line, "Authorization: Bearer ", "Cookie: session=", 1)
	}
	const nobody, nothing = "", "X-Nothing: x"
	for _, tt := range []struct {
		name, method, path, header string
		status                     int
		first, sub                 string
	}{
		{"observe lets pass, the next gate accepts", "GET", "/o-then-e", good, 200, nobody, "alice"},
		{"observe lets pass, the next gate refuses", "GET", "/o-then-e", forged, 401, nobody, nobody},
		{"observe lets pass none, the next gate refuses", "GET", "/o-then-e", nothing, 401, nobody, nobody},
		{"a gate accepts, observe would not", "GET", "/e-then-o", good, 200, nobody, "alice"},
		{"a gate refuses before observe", "GET", "/e-then-o", expired, 401, nobody, nobody},
		{"one observe would refuse, the other accepts", "GET", "/two", good, 200, nobody, "alice"},
		{"both would refuse", "GET", "/two", forged, 200, nobody, nobody},
		{"a logout without a token", "POST", "/logout/a", nothing, 200, nobody, nobody},
		{"a logout with a forged token", "POST", "/logout/b", forged, 200, nobody, nobody},
		{"a logout with an expired token", "POST", "/logout/c", expired, 200, nobody, nobody},
		{"a logout", "POST", "/logout/d", good, 200, nobody, "alice"},
		{"the same logout again", "POST", "/logout/e", good, 200, nobody, nobody},
		{"what was logged out, at a gate", "GET", "/e-then-o", good, 401, nobody, nobody},
		{"optional without a token", "GET", "/optional/a", nothing, 200, nobody, nobody},
		{"optional with a forged token", "GET", "/optional/b", forged, 200, nobody, nobody},
		{"a cookie", "GET", "/cookie/a", cookie(g.bearer(map[string]any{"sub": "carol"})), 200, nobody, "carol"},
		{"a forged cookie", "GET", "/cookie/b", cookie(forged), 200, nobody, nobody},
		{"a cookie beside a token", "GET", "/cookie/c", cookie(forged) + "\n" + g.bearer(nil), 200, nobody, nobody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := append(strings.Split(tt.header, "\n"), "X-Auth-Sub: mallory", "X-Auth-First: mallory")
			a, err := g.send(tt.method, tt.path, headers, 0)
			if err != nil || a.Status != tt.status {
				t.Fatalf("%d %s %v, want %d", a.Status, a.Body, err, tt.status)
			}
			if tt.status != 200 {
				g.none()
				return
			}
			r := g.one()
			if first, sub := strings.Join(r.Header["X-Auth-First"], "|"), strings.Join(r.Header["X-Auth-Sub"], "|"); first != tt.first || sub != tt.sub {
				t.Errorf("the backend got %q and %q, want %q and %q", first, sub, tt.first, tt.sub)
			}
		})
	}
	for _, reason := range []string{"token_missing", "sig_invalid", "exp_passed", "token_revoked", "token_duplicate"} {
		g.logged("request would be refused", `"reason":"`+reason+`"`)
	}
	if n := len(g.linesWith(`"msg":"revoked"`)); n != 1 {
		t.Errorf("%d revocations, want that of the one genuine logout", n)
	}
}

// TestObservedWebsocketsOpen: a browser that offers its token as a subprotocol
// gets its connection with a bad one, too, and a subprotocol selected, without
// which it would close it. The backend sees neither token nor claims.
func TestObservedWebsocketsOpen(t *testing.T) {
	type handshake struct {
		header http.Header
		query  string
	}
	seen := make(chan handshake, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- handshake{r.Header.Clone(), r.URL.RawQuery}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
		if p := r.Header.Get("Sec-Websocket-Protocol"); p != "" {
			fmt.Fprintf(rw, "Sec-WebSocket-Protocol: %s\r\n", p)
		}
		fmt.Fprint(rw, "\r\nhello\n")
		_ = rw.Flush()
		_, _ = rw.ReadByte()
	}), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	g := live(t, `GATEWAY {
		handle /metrics {
			metrics
		}
		handle {
			jwtgate /o* {
				token_from websocket
				token_from query access_token
				observe
				forward {
					X-Auth-Sub sub
				}
			}
			jwtgate /optional {
				optional
				token_from websocket
			}
			jwtgate /e {
				token_from websocket
			}
			@socket path /o /optional /e
			reverse_proxy @socket `+l.Addr().String()+`
			reverse_proxy BACKEND
		}
	}`)
	good := g.Issuer.Sign(map[string]any{"sub": "alice"})
	eventually(t, "keys are there", func() bool { return g.ask("/other", good).Status == 200 && g.ask("/e", "x").code() == "token_invalid" })
	forged := g.Issuer.Sign(map[string]any{"sub": "mallory"}, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))
	for _, tt := range []struct {
		name, path, offered string
		selected, sub       string
	}{
		{"a good token", "/o", "jwtgate, jwtgate.bearer." + good, "jwtgate", "alice"},
		{"a forged token", "/o", "jwtgate, jwtgate.bearer." + forged, "jwtgate", ""},
		{"a malformed token", "/o", "jwtgate, jwtgate.bearer.a/b@c", "jwtgate", ""},
		{"two tokens", "/o", "jwtgate, jwtgate.bearer." + good + ", jwtgate.bearer." + good, "jwtgate", ""},
		{"an empty token", "/o", "jwtgate, jwtgate.bearer.", "jwtgate", ""},
		{"with a protocol of the backend's", "/o", "chat, jwtgate, jwtgate.bearer." + forged, "chat", ""},
		{"a token in the query as well", "/o?access_token=" + good + "&x=1", "jwtgate, jwtgate.bearer." + good, "jwtgate", ""},
		{"no token", "/o", "chat", "chat", ""},
		{"an empty token, optional", "/optional", "jwtgate, jwtgate.bearer.", "jwtgate", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", g.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Auth-Sub: mallory\r\nSec-WebSocket-Protocol: %s\r\n\r\n", tt.path, g.Addr, tt.offered)
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", resp, err)
			}
			if got := resp.Header["Sec-Websocket-Protocol"]; !slices.Equal(got, []string{tt.selected}) {
				t.Errorf("selected %q, want %q", got, tt.selected)
			}
			if line, err := br.ReadString('\n'); line != "hello\n" {
				t.Errorf("%q, %v", line, err)
			}
			h := <-seen
			if got := strings.Join(h.header["X-Auth-Sub"], "|"); got != tt.sub {
				t.Errorf("the backend got %q, want %q", got, tt.sub)
			}
			if text := fmt.Sprint(h); strings.Contains(text, "bearer") || strings.Contains(text, good[:40]) || strings.Contains(text, "mallory") {
				t.Errorf("the backend got %s", text)
			}
		})
	}
}
