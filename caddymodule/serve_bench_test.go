package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/token"
)

// benchRequest returns what makes requests as Caddy's server hands them on.
func benchRequest(auth string) func() *http.Request {
	base := httptest.NewRequest("GET", "http://api.example.test/orders?x=1", nil)
	base.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}}
	server := new(caddyhttp.Server)
	return func() *http.Request {
		header := make(http.Header, 8)
		for k, v := range base.Header {
			header[k] = v
		}
		if auth != "" {
			header["Authorization"] = []string{auth}
		}
		repl := caddy.NewReplacer()
		ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, repl)
		ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, server)
		ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.TrustedProxyVarKey: false, caddyhttp.ClientIPVarKey: "192.0.2.1", "start_time": time.Time{}})
		r := base.WithContext(ctx)
		r.Header = header
		return r
	}
}

type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

func benchGate(b testing.TB) (*Handler, *issuertest.Issuer) {
	iss := issuertest.New(b)
	config, err := adapt(fmt.Sprintf("{\n jwtgate {\n revocation {\n journal off\n }\n }\n}\n:8080 {\n jwtgate {\n issuer %s {\n audience api\n }\n forward {\n X-User-ID sub\n X-User-Email email\n X-User-Roles realm_access.roles join ,\n }\n }\n}", iss.URL()))
	if err != nil {
		b.Fatal(err)
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON([]byte(config), cfg); err != nil {
		b.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		b.Fatal(err)
	}
	app, err := ctx.App("http")
	if err != nil {
		b.Fatal(err)
	}
	own, err := ctx.App("jwtgate")
	if err != nil {
		b.Fatal(err)
	}
	if err := own.(*App).Start(); err != nil { // the revocation list; nothing listens
		b.Fatal(err)
	}
	var found *Handler
	// Nobody else can end what ProvisionContext began.
	b.Cleanup(func() {
		if err := errors.Join(found.Cleanup(), own.(*App).Cleanup()); err != nil {
			b.Error(err)
		}
	})
	for _, s := range app.(*caddyhttp.App).Servers {
		for _, r := range s.Routes {
			for _, h := range r.Handlers {
				switch h := h.(type) {
				case *Handler:
					found = h
				case *caddyhttp.Subroute:
					for _, r := range h.Routes {
						for _, h := range r.Handlers {
							if h, ok := h.(*Handler); ok {
								found = h
							}
						}
					}
				}
			}
		}
	}
	return found, iss
}

var pass = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// settled returns a gate that decides about auth as want says, and what makes
// the requests.
func settled(b testing.TB, auth func(*issuertest.Issuer) string, want token.Reason) (*Handler, func() *http.Request) {
	h, iss := benchGate(b)
	fresh := benchRequest(auth(iss))
	w := &nullWriter{http.Header{}}
	// Until keys and list are there, every token gets 503.
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
		clear(w.h)
		r := fresh()
		if err := h.ServeHTTP(w, r, pass); err != nil {
			b.Fatal(err)
		}
		reason := stateFor(r).reason
		if code := reason.Code(); code != token.CodeKeysUnavailable && code != token.CodeRevocationUnavailable {
			if reason != want {
				b.Fatalf("%v, want %v", reason, want)
			}
			return h, fresh
		}
		if time.Now().After(end) {
			b.Fatalf("%v for 30 s", reason)
		}
	}
}

func benchServe(b *testing.B, auth func(*issuertest.Issuer) string, prepareOnly bool, want token.Reason) {
	h, fresh := settled(b, auth, want)
	w := &nullWriter{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r := fresh()
		if prepareOnly {
			continue
		}
		clear(w.h)
		_ = h.ServeHTTP(w, r, pass)
	}
}

func good(i *issuertest.Issuer) string {
	return "Bearer " + i.Sign(map[string]any{"aud": "api", "email": "a@example.test", "realm_access": map[string]any{"roles": []string{"a", "b"}}})
}

// BenchmarkServeNothing is what the others spend on making a request.
func BenchmarkServeNothing(b *testing.B) { benchServe(b, good, true, token.ReasonNone) }
func BenchmarkServeWarm(b *testing.B)    { benchServe(b, good, false, token.ReasonNone) }
func BenchmarkRefuseMissing(b *testing.B) {
	benchServe(b, func(*issuertest.Issuer) string { return "" }, false, token.TokenMissing)
}
func BenchmarkRefuseExpired(b *testing.B) {
	benchServe(b, func(i *issuertest.Issuer) string { return "Bearer " + i.Sign(map[string]any{"exp": 1000000000}) }, false, token.Expired)
}
