package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
)

// logoutSite is a server whose handlers are those of a route block, our own
// alone, with a backend of the test behind them.
type logoutSite struct {
	t      *testing.T
	issuer *issuertest.Issuer
	app    *App
	server *httptest.Server
	// backend is what stands behind the handlers.
	backend caddyhttp.HandlerFunc

	mu     sync.Mutex
	failed []error // what the handlers returned
}

func newLogoutSite(t *testing.T, route string, backend caddyhttp.HandlerFunc) *logoutSite {
	t.Helper()
	s := &logoutSite{t: t, issuer: issuertest.New(t), backend: backend}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, s.issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := adapt(fmt.Sprintf(`{
		jwtgate {
			issuer %s {
				audience api
				jwks_file %s
			}
			revocation {
				journal %s
			}
		}
	}
	:8080 {
		route {
			%s
		}
	}
	`, s.issuer.URL(), file, filepath.Join(t.TempDir(), "revocations.db"), route))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(decodeQuietly(t, config))
	if err != nil {
		t.Fatal(err)
	}
	if s.app, err = appOf(ctx); err != nil {
		t.Fatal(err)
	}
	// A registry of its own, so that no other test has a say.
	s.app.state.list.lists = newListRegistry()
	t.Cleanup(func() {
		if err := s.app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	if err := s.app.Start(); err != nil {
		t.Fatal(err)
	}
	handlers := handlersOf(t, ctx)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h caddyhttp.Handler = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return s.backend(w, r) })
		for i := len(handlers) - 1; i >= 0; i-- {
			ours, behind := handlers[i], h
			h = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return ours.ServeHTTP(w, r, behind) })
		}
		if err := h.ServeHTTP(w, prepared(r, w)); err != nil {
			s.mu.Lock()
			s.failed = append(s.failed, err)
			s.mu.Unlock()
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(s.server.Close)
	return s
}

// handlersOf returns our handlers in the order of the routes.
func handlersOf(t *testing.T, ctx caddy.Context) []caddyhttp.MiddlewareHandler {
	t.Helper()
	server, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	var found []caddyhttp.MiddlewareHandler
	var walk func(routes caddyhttp.RouteList)
	walk = func(routes caddyhttp.RouteList) {
		for _, route := range routes {
			for _, handler := range route.Handlers {
				if sub, ok := handler.(*caddyhttp.Subroute); ok {
					walk(sub.Routes)
					continue
				}
				if cleaner, ok := handler.(caddy.CleanerUpper); ok {
					t.Cleanup(func() { _ = cleaner.Cleanup() })
				}
				found = append(found, handler)
			}
		}
	}
	for _, s := range server.(*caddyhttp.App).Servers {
		walk(s.Routes)
	}
	return found
}

// ask sends a request with a token, without one when it is empty.
func (s *logoutSite) ask(method, token string, headers ...string) got {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+"/auth/logout", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(body)}
}

// entries returns what is in force.
func (s *logoutSite) entries() []revocation.Entry {
	s.t.Helper()
	list, release := s.app.state.list.open()
	defer release()
	entries, _, err := list.Query(s.t.Context(), revocation.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	return entries
}

// gated is the ordinary route.
const gated = "jwtgate_logout\njwtgate"

func status(code int) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(code)
		return nil
	}
}
