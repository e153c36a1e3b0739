package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// setup describes a live gateway of which a test decides more than the sites:
// its issuer may be down or hang, and nothing waits for keys.
type setup struct {
	Issuer     *issuertest.Issuer // nil: a healthy one
	Storage    string             // directory; empty: a fresh one
	Level      string             // of the log; empty: DEBUG
	Format     string             // of the log; empty: format json
	Options    string             // global options
	Keys       string             // lines of the issuer's block in the app
	Revocation string             // lines; empty: journal off
	Sites      string             // GATEWAY, PORT, BACKEND and ISSUER stand for addresses
}

// gateSite is a gate and nothing else.
const gateSite = `GATEWAY {
	jwtgate {
		forward {
			X-User-ID sub
		}
	}
	reverse_proxy BACKEND
}`

// prepare makes everything but Caddy.
func (s *setup) prepare(t testing.TB) *gateway {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	if s.Issuer == nil {
		s.Issuer = issuertest.New(t, "ES256")
	}
	if s.Storage == "" {
		s.Storage = t.TempDir()
	}
	g := &gateway{t: t, Issuer: s.Issuer, Backend: newBackend(t), Addr: freeAddress(t)}
	g.log = filepath.Join(t.TempDir(), "caddy.log")
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 400}
	g.client = &http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	return g
}

// config returns the configuration in JSON.
func (s *setup) config(g *gateway) []byte {
	g.t.Helper()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	port := g.Addr[strings.LastIndexByte(g.Addr, ':')+1:]
	adapted, err := adapt(strings.NewReplacer("GATEWAY", "http://"+g.Addr, "PORT", port, "BACKEND", g.Backend.addr, "ISSUER", g.Issuer.URL()).
		Replace(fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		grace_period 10s
		storage file_system %s
		log default {
			output file %s {
				roll_disabled
			}
			%s
			level %s
		}
		%s
		jwtgate {
			issuer ISSUER {
				audience api
				%s
			}
			revocation {
				%s
			}
		}
	}
	%s`, s.Storage, g.log, or(s.Format, "format json"), or(s.Level, "DEBUG"), s.Options, s.Keys, or(s.Revocation, "journal off"), s.Sites)))
	if err != nil {
		g.t.Fatal(err)
	}
	return []byte(adapted)
}

// start runs Caddy until the test ends.
func (s *setup) start(t testing.TB) *gateway {
	t.Helper()
	g := s.prepare(t)
	g.load(s.config(g))
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *gateway) load(config []byte) {
	g.t.Helper()
	if err := caddy.Load(config, true); err != nil {
		g.t.Fatal(err)
	}
}

// heard is what became of one request. Unlike once it may be asked for from any
// goroutine.
type heard struct {
	got
	began time.Time
	took  time.Duration
	err   error
}

func (h heard) String() string {
	return fmt.Sprintf("%d %s after %s, %v", h.Status, h.code(), h.took.Round(time.Millisecond), h.err)
}

// unavailable reports whether h says that we cannot know, and when to come back.
func (h heard) unavailable() bool {
	after := h.Header.Get("Retry-After")
	return h.err == nil && h.Status == http.StatusServiceUnavailable && h.code() == "keys_unavailable" &&
		after != "" && after != "0" && strings.Trim(after, "0123456789") == "" && h.Header.Get("Www-Authenticate") == ""
}

// ask sends one GET with a token.
func (g *gateway) ask(path, token string) (h heard) {
	h.began = time.Now()
	defer func() { h.took = time.Since(h.began) }()
	r, err := http.NewRequest(http.MethodGet, "http://"+g.Addr+path, nil)
	if err != nil {
		h.err = err
		return h
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := g.client.Do(r)
	if err != nil {
		h.err = err
		return h
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	h.got, h.err = got{resp.StatusCode, resp.Header, string(body)}, err
	return h
}

// again is ask for when a reload has just ended: a request whose connection was
// cut by it is sent again.
func (g *gateway) again(path, token string) (h heard) {
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if h = g.ask(path, token); !cutByReload(h.err) || time.Now().After(end) {
			return h
		}
	}
}

// patience is how long what has to come may take on a busy machine.
const patience = time.Minute

// passes waits until a token is let through.
func (g *gateway) passes(within time.Duration, path, token string) {
	g.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		h := g.ask(path, token)
		if h.err == nil && h.Status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s not let through within %s: %s", path, within, h)
		}
	}
}

// send sends a request with a body of that many bytes. Headers are lines.
func (g *gateway) send(method, path string, headers []string, size int) (got, error) {
	var body io.Reader
	if size > 0 {
		body = strings.NewReader(strings.Repeat("x", size))
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.Addr+path, body)
	if err != nil {
		return got{}, err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	resp, err := g.client.Do(r)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(answer)}, err
}
