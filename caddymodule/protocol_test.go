package caddymodule

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// h2c returns a client that speaks HTTP/2 without TLS.
func h2c(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// liveH2C is live with HTTP/2 without TLS.
func liveH2C(t testing.TB, caddyfile string) *gateway {
	t.Helper()
	return liveWith(t, "servers {\n protocols h1 h2c\n }\n", caddyfile)
}

func TestGRPCOverHTTP2(t *testing.T) {
	g := liveH2C(t, `GATEWAY {
		jwtgate /orders.Orders/* {
			require scope orders:read
		}
		jwtgate
		reverse_proxy BACKEND
		handle_errors {
			respond "a page for people"
		}
	}`)
	g.do("GET", "/", g.bearer(nil)) // the keys are there
	g.Backend.take()
	client := h2c(t)
	for _, tt := range []struct {
		name, path, auth, status, message, retry string
	}{
		{"no token", "/", "", "16", "token_missing", ""},
		{"malformed", "/", "Bearer", "3", "request_invalid", ""},
		{"not yet valid", "/", "Bearer " + g.Issuer.Sign(map[string]any{"nbf": time.Now().Add(time.Hour)}), "16", "token_not_yet_valid", "300"},
		{"no scope", "/orders.Orders/Get", "Bearer " + g.Issuer.Sign(nil), "7", "insufficient_scope", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPost, "http://"+g.Addr+tt.path, strings.NewReader("\x00\x00\x00\x00\x00"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/grpc+proto")
			r.Header.Set("Te", "trailers")
			if tt.auth != "" {
				r.Header.Set("Authorization", tt.auth)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || len(body) > 0 || len(resp.Trailer) > 0 {
				t.Errorf("body %q, trailer %v, %v", body, resp.Trailer, err)
			}
			got := []string{resp.Proto, resp.Status, resp.Header.Get("Content-Type"), resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message"), resp.Header.Get("Retry-After")}
			want := []string{"HTTP/2.0", "200 OK", "application/grpc", tt.status, tt.message, tt.retry}
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%q\nwant %q", got, want)
			}
			g.none()
		})
	}
}

// TestRefusedUploadIsNotRead: the client waits for 100 Continue and hears 401.
func TestRefusedUploadIsNotRead(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate
		reverse_proxy BACKEND
	}`)
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+g.Addr+"\r\nAuthorization: Bearer abc\r\n"+
		"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 401 Unauthorized\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	rest, err := io.ReadAll(in) // to the end: the server does not wait for the body
	if err != nil || !strings.Contains(string(rest), `"code":"token_invalid"`) {
		t.Errorf("%q, %v", rest, err)
	}
	g.none()
}

// TestTrapCONNECTWithProtocol: a WebSocket over HTTP/2 meets the same gate, and
// no method rule or preflight lets it slip past. Go's server accepts extended
// CONNECT (RFC 8441) only if the process was started so.
func TestTrapCONNECTWithProtocol(t *testing.T) {
	const setting = "http2xconnect=1"
	if !strings.Contains(os.Getenv("GODEBUG"), setting) {
		if testing.Short() {
			t.Skip("runs Caddy")
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTrapCONNECTWithProtocol$", "-test.v", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), "GODEBUG="+setting)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestTrapCONNECTWithProtocol") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	g := liveH2C(t, `GATEWAY {
		jwtgate {
			preflight on
			forward {
				X-User-ID sub
			}
		}
		respond "in {method} {header.X-User-Id}"
	}`)
	g.do("GET", "/", g.bearer(nil)) // the keys are there
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	// The first exchange brings the server's settings, which allow CONNECT.
	if resp, err := client.Get("http://" + g.Addr); err != nil {
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"no token", nil, 401},
		{"dressed up as a preflight", []string{"Origin: https://a.example", "Access-Control-Request-Method: GET"}, 401},
		{"a bad token", []string{"Authorization: Bearer abc"}, 401},
		{"a good token", []string{g.bearer(nil), "X-User-ID: mallory"}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			body, open := io.Pipe()
			defer open.Close()
			r, err := http.NewRequestWithContext(ctx, http.MethodConnect, "http://"+g.Addr+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header[":protocol"] = []string{"websocket"}
			for _, line := range tt.headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Set(name, value)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || resp.Proto != "HTTP/2.0" {
				t.Errorf("%s %d %s, want %d", resp.Proto, resp.StatusCode, text, tt.status)
			}
			if tt.status == 200 && string(text) != "in CONNECT alice" {
				t.Errorf("%s", text)
			}
		})
	}
}
