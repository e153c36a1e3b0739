package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// gates provisions one gate for each list of options, which trust the issuer
// returned.
func gates(t testing.TB, options ...string) ([]*Handler, *issuertest.Issuer) {
	t.Helper()
	iss := issuertest.New(t)
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, iss.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("{\n jwtgate {\n issuer " + iss.URL() + " {\n audience api\n jwks_file " + file + "\n}\n revocation {\n journal off\n}\n}\n}\n:8080 {\nroute {\n")
	for _, o := range options {
		b.WriteString("jwtgate {\n" + o + "\n}\n")
	}
	b.WriteString("}\n}\n")
	config, err := adapt(b.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(decodeQuietly(t, config))
	if err != nil {
		t.Fatal(err)
	}
	app, err := appOf(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Cleanup() })
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	server, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	var found []*Handler
	var walk func(routes caddyhttp.RouteList)
	walk = func(routes caddyhttp.RouteList) {
		for _, route := range routes {
			for _, handler := range route.Handlers {
				switch h := handler.(type) {
				case *Handler:
					t.Cleanup(func() { _ = h.Cleanup() })
					found = append(found, h)
				case *caddyhttp.Subroute:
					walk(h.Routes)
				}
			}
		}
	}
	for _, s := range server.(*caddyhttp.App).Servers {
		walk(s.Routes)
	}
	if len(found) != len(options) {
		t.Fatalf("%d gates, want %d", len(found), len(options))
	}
	return found, iss
}

// decodeQuietly is decode for benchmarks as well.
func decodeQuietly(t testing.TB, config string) *caddy.Config {
	t.Helper()
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON([]byte(config), cfg); err != nil {
		t.Fatal(err)
	}
	cfg.StorageRaw = []byte(`{"module": "file_system", "root": "` + t.TempDir() + `"}`)
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: []byte(`{"output": "discard"}`)}}}}
	return cfg
}

// prepared makes of r what Caddy hands to handlers.
func prepared(r *http.Request, w http.ResponseWriter) *http.Request {
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
}

// chain runs the gates one behind the other, and next behind them.
func chain(hs []*Handler, next caddyhttp.HandlerFunc) caddyhttp.Handler {
	var h caddyhttp.Handler = next
	for i := len(hs) - 1; i >= 0; i-- {
		gate, behind := hs[i], h
		h = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return gate.ServeHTTP(w, r, behind) })
	}
	return h
}

// TestGatesBehindALogoutMark: nobody cannot log out, and allow_expired is in
// force there and nowhere else.
func TestGatesBehindALogoutMark(t *testing.T) {
	preflight := []string{"Origin: https://a.example", "Access-Control-Request-Method: POST"}
	for _, tt := range []struct {
		name    string
		gates   []string
		mark    *logoutMark
		method  string
		bearer  map[string]any // nil: no token
		headers []string
		status  int
		code    string
		user    string
	}{
		{"optional, anonymous", []string{"optional"}, new(logoutMark), "POST", nil, nil, 401, "token_missing", ""},
		{"optional, with a token", []string{"optional"}, new(logoutMark), "POST", map[string]any{}, nil, 200, "", "alice"},
		{"optional, without a mark", []string{"optional"}, nil, "POST", nil, nil, 200, "", ""},
		{"public", []string{"public"}, new(logoutMark), "POST", map[string]any{}, nil, 401, "token_missing", ""},
		{"public, without a mark", []string{"public"}, nil, "POST", nil, nil, 200, "", ""},
		{"public behind a gate", []string{"", "public"}, new(logoutMark), "POST", map[string]any{}, nil, 200, "", "alice"},
		{"preflight", []string{"preflight on"}, new(logoutMark), "OPTIONS", nil, preflight, 200, "", ""},
		{"observe", []string{"observe"}, new(logoutMark), "POST", nil, nil, 200, "token_missing", ""},
		{"expired, within", []string{""}, &logoutMark{AllowExpired: time.Hour}, "POST", map[string]any{"exp": time.Now().Add(-30 * time.Minute)}, nil, 200, "", "alice"},
		{"expired, beyond", []string{""}, &logoutMark{AllowExpired: time.Hour}, "POST", map[string]any{"exp": time.Now().Add(-2 * time.Hour)}, nil, 401, "token_expired", ""},
		{"expired, without a mark", []string{""}, nil, "POST", map[string]any{"exp": time.Now().Add(-30 * time.Minute)}, nil, 401, "token_expired", ""},
		{"the second gate refuses", []string{"", "require claim none"}, new(logoutMark), "POST", map[string]any{}, nil, 403, "access_denied", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hs, iss := gates(t, tt.gates...)
			w := httptest.NewRecorder()
			r := httptest.NewRequest(tt.method, "/", nil)
			for _, line := range tt.headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Set(name, value)
			}
			if tt.bearer != nil {
				r.Header.Set("Authorization", "Bearer "+iss.Sign(tt.bearer))
			}
			r = prepared(r, w)
			st := stateFor(r)
			st.logout = tt.mark
			next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
			if err := chain(hs, next).ServeHTTP(w, r); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || string(st.reason.Code()) != tt.code {
				t.Errorf("%d %q, want %d %q", w.Code, st.reason.Code(), tt.status, tt.code)
			}
			user := ""
			if st.id != nil {
				user = st.id.Claims.Subject
			}
			if user != tt.user || !st.gated {
				t.Errorf("user %q, gated %v; want %q", user, st.gated, tt.user)
			}
		})
	}
}

// TestNextsErrorIsUnchanged: what backends do wrong is not ours.
func TestNextsErrorIsUnchanged(t *testing.T) {
	want := errors.New("from the proxy")
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return want })
	for _, options := range []string{"optional", "public", "observe"} {
		hs, _ := gates(t, options)
		w := httptest.NewRecorder()
		if err := hs[0].ServeHTTP(w, prepared(httptest.NewRequest("GET", "/", nil), w), next); err != want {
			t.Errorf("%s: %v", options, err)
		}
	}
}

// TestStateIsNoPlaceholder: what we know of a request does not leak through
// {http.vars.*}.
func TestStateIsNoPlaceholder(t *testing.T) {
	hs, iss := gates(t, "")
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+iss.Sign(nil))
	r = prepared(r, w)
	var got string
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		got = repl.ReplaceAll("[{http.vars."+stateVar+"}] {http.auth.user.id} [{http.auth.user.}] [{http.auth.user.a..b}] {jwtgate.other}", "")
		return nil
	})
	if err := hs[0].ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	if got != "[] alice [] [] " {
		t.Errorf("%q", got)
	}
}

// TestForwardedValuesShareNothing: Caddy edits and appends in place.
func TestForwardedValuesShareNothing(t *testing.T) {
	hs, iss := gates(t, "forward {\nX-User-ID sub\nX-Issuer iss\n}")
	raw := iss.Sign(nil)
	var seen []http.Header
	for range 3 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			seen = append(seen, r.Header)
			if got := r.Header["X-User-Id"]; len(got) != 1 || cap(got) != 1 || got[0] != "alice" {
				t.Errorf("%q of capacity %d", got, cap(got))
			}
			r.Header["X-User-Id"][0] = "mallory"
			r.Header["X-User-Id"] = append(r.Header["X-User-Id"], "more")
			return nil
		})
		if err := hs[0].ServeHTTP(w, prepared(r, w), next); err != nil {
			t.Fatal(err)
		}
	}
	for _, header := range seen {
		if got := header["X-Issuer"]; len(got) != 1 || got[0] != iss.URL() {
			t.Errorf("X-Issuer %q", got)
		}
	}
}

func TestTwoDifferentTokensForTwoGates(t *testing.T) {
	hs, iss := gates(t, "strip_token\ntoken_from header X-Token", "token_from header X-Token")
	raw := iss.Sign(nil)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Token", raw)
	r = prepared(r, w)
	reached := 0
	// Between the gates something puts another token in.
	second := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-Token") != "" {
			t.Error("the token was not taken out")
		}
		r.Header.Set("X-Token", iss.Sign(nil))
		return hs[1].ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { reached++; return nil }))
	})
	if err := hs[0].ServeHTTP(w, r, second); err != nil {
		t.Fatal(err)
	}
	if w.Code != 400 || reached != 0 {
		t.Errorf("%d, reached %d times", w.Code, reached)
	}
}

// TestTokenOfAnEarlierGate: a token that one gate took out of the request
// counts at another one only if that would have accepted it from there.
func TestTokenOfAnEarlierGate(t *testing.T) {
	query := &TokenSource{From: "query", Name: "t"}
	cookie := func(origins ...string) *TokenSource {
		return &TokenSource{From: "cookie", Name: "t", Origins: origins}
	}
	for _, tt := range []struct {
		name string
		from *TokenSource
		own  []TokenSource
		want bool
	}{
		{"Authorization", nil, nil, true},
		{"no such source", query, nil, false},
		{"the same", query, []TokenSource{{From: "header", Name: "t"}, *query}, true},
		{"another name", query, []TokenSource{{From: "query", Name: "u"}}, false},
		{"a cookie from the same origins", cookie("https://a"), []TokenSource{*cookie("https://a")}, true},
		{"a cookie from other origins", cookie("https://a"), []TokenSource{*cookie()}, false},
	} {
		h := &Handler{run: &runtime{sources: tt.own}}
		if got := h.reads(tt.from); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
