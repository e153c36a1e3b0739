package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// gateway is a real Caddy on a free port, with an issuer and a backend.
type gateway struct {
	t       testing.TB
	Issuer  *issuertest.Issuer
	Backend *backend
	Addr    string // host:port
	log     string // path of Caddy's log, JSON lines from DEBUG up
	client  *http.Client
}

// live runs a Caddyfile until the test ends. In it, GATEWAY stands for the
// address to listen on, BACKEND for the backend's and ISSUER for the issuer
// whose tokens are for "api". The app has that issuer already.
func live(t testing.TB, caddyfile string) *gateway {
	t.Helper()
	return liveWith(t, "", caddyfile)
}

// liveWith is live with further global options.
func liveWith(t testing.TB, options, caddyfile string) *gateway {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	g := &gateway{t: t, Issuer: issuertest.New(t), Backend: newBackend(t), Addr: freeAddress(t)}
	g.log = filepath.Join(t.TempDir(), "caddy.log")
	port := g.Addr[strings.LastIndexByte(g.Addr, ':')+1:]
	adapted, err := adapt(strings.NewReplacer("GATEWAY", "http://"+g.Addr, "PORT", port, "BACKEND", g.Backend.addr, "ISSUER", g.Issuer.URL()).Replace(`{
		admin off
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		grace_period 1s
		storage file_system ` + t.TempDir() + `
		log default {
			output file ` + g.log + ` {
				roll_disabled
			}
			format json
			level DEBUG
		}
		` + options + `
		jwtgate {
			issuer ISSUER {
				audience api
			}
			revocation {
				journal off
			}
		}
	}
	` + caddyfile))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load([]byte(adapted), true); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	g.client = &http.Client{Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	// The keys are fetched in the background: a gate without them says 503.
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if g.Issuer.KeyRequests() > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the keys were not fetched within a minute")
		}
	}
	return g
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// got is a response whose body has been read.
type got struct {
	Status int
	Header http.Header
	Body   string
}

// code returns the code of one of our answers.
func (a got) code() string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.Body), &problem)
	return problem.Code
}

// do sends a request; headers are lines like "Origin: x". Host sets the host.
// A 503 while the keys are on their way is tried again.
func (g *gateway) do(method, path string, headers ...string) got {
	g.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a := g.once(method, path, headers...)
		if a.code() != "keys_unavailable" || time.Now().After(end) {
			return a
		}
	}
}

func (g *gateway) once(method, path string, headers ...string) got {
	g.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+g.Addr+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	var resp *http.Response
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err = g.client.Do(r); !cutByReload(err) || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(body)}
}

// cutByReload reports whether err may be the end of a connection that Caddy's
// old listener accepted and closed during a reload, before it read a request.
func cutByReload(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED)
}

// bearer is the Authorization line with a token of these claims.
func (g *gateway) bearer(claims map[string]any, opts ...issuertest.Option) string {
	g.t.Helper()
	return "Authorization: Bearer " + g.Issuer.Sign(claims, opts...)
}

// logged waits for a line of Caddy's log that has all of these texts.
func (g *gateway) logged(texts ...string) string {
	g.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(g.log)
		if err != nil && !os.IsNotExist(err) {
			g.t.Fatal(err)
		}
	lines:
		for line := range strings.Lines(string(data)) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue lines
				}
			}
			return line
		}
		if time.Now().After(end) {
			g.t.Fatalf("no line with %q in the log:\n%s", texts, data)
		}
	}
}

// backend is an API behind the gate that remembers what reached it.
type backend struct {
	addr string

	mu   sync.Mutex
	seen []*http.Request
}

func newBackend(t testing.TB) *backend {
	b := new(backend)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		b.mu.Lock()
		b.seen = append(b.seen, r.Clone(context.Background()))
		b.mu.Unlock()
		if value := r.URL.Query().Get("cache"); value != "" {
			w.Header().Set("Cache-Control", value)
		}
		fmt.Fprint(w, "backend")
	}))
	t.Cleanup(server.Close)
	b.addr = server.Listener.Addr().String()
	return b
}

// take returns what reached the backend since the last call.
func (b *backend) take() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen
	b.seen = nil
	return seen
}

// one returns the one request that reached the backend.
func (g *gateway) one() *http.Request {
	g.t.Helper()
	seen := g.Backend.take()
	if len(seen) != 1 {
		g.t.Fatalf("%d requests reached the backend", len(seen))
	}
	return seen[0]
}

// none checks that no request reached the backend.
func (g *gateway) none() {
	g.t.Helper()
	if seen := g.Backend.take(); len(seen) > 0 {
		g.t.Fatalf("%d requests reached the backend", len(seen))
	}
}
