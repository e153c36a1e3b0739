package caddymodule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

const spoofedSite = `GATEWAY {
	jwtgate /token* {
		forward {
			X-User-ID sub
			X-User-Email email
		}
		strip X-Internal-*
	}
	jwtgate /optional {
		optional
	}
	jwtgate /public {
		public
	}
	jwtgate /preflight {
		preflight on
	}
	jwtgate /observe {
		observe
	}
	reverse_proxy BACKEND
}`

var spoofed = []string{
	"X-User-ID: mallory", "X-User-ID: mallory2", "X-User_ID: mallory", "X.User.ID: mallory", "x-user--id: mallory",
	"X!User!ID: mallory", "X-User-Email: mallory@evil", "X-Internal-Secret: mallory",
	"Connection: X-User-ID, X-User-Email, Authorization",
}

// TestEveryPathCleans: on no path a client's own identity header survives, also
// when the claim is absent (no email here).
func TestEveryPathCleans(t *testing.T) {
	g := live(t, spoofedSite)
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		user               string
	}{
		{"success", "GET", "/token", []string{g.bearer(nil)}, "alice"},
		{"anonymous", "GET", "/optional", nil, ""},
		{"public", "GET", "/public", nil, ""},
		{"public with a token", "GET", "/public", []string{g.bearer(nil)}, ""},
		{"preflight", "OPTIONS", "/preflight", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}, ""},
		{"observe without a token", "GET", "/observe", nil, ""},
		{"observe with a bad token", "GET", "/observe", []string{"Authorization: Bearer a.b.c"}, ""},
		{"observe with a malformed header", "GET", "/observe", []string{"Authorization: Bearer a b"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			a := g.do(tt.method, tt.path, append(slices.Clone(spoofed), tt.headers...)...)
			if a.Status != 200 || a.Body != "backend" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			r := g.one()
			for name, lines := range r.Header {
				for _, line := range lines {
					if strings.Contains(line, "mallory") {
						t.Errorf("%s: %s survived", name, line)
					}
				}
			}
			if got := strings.Join(r.Header["X-User-Id"], "|"); got != tt.user {
				t.Errorf("X-User-ID: %q, want %q", got, tt.user)
			}
		})
	}
}

// TestRefusals goes through what a client can hear, over HTTP.
func TestRefusals(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate /scope {
			require scope orders:read profile
		}
		jwtgate /claim {
			require claim tenant acme
		}
		jwtgate /expr {
			require expr `+"`claims.missing == 1`"+`
		}
		jwtgate /optional {
			optional
		}
		jwtgate
		reverse_proxy BACKEND
	}`)
	const invalid = `Bearer realm="api", error="invalid_token"`
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
		code       string
		challenge  string
		reason     string
	}{
		{"no token", "/", nil, 401, "token_missing", `Bearer realm="api"`, "token_missing"},
		{"another scheme", "/", []string{"Authorization: Basic YTpi"}, 401, "token_missing", `Bearer realm="api"`, "token_missing"},
		{"malformed", "/", []string{"Authorization: Bearer"}, 400, "request_invalid", `Bearer realm="api", error="invalid_request"`, "authorization_malformed"},
		{"two lines", "/", []string{g.bearer(nil), g.bearer(nil)}, 400, "request_invalid", `Bearer realm="api", error="invalid_request"`, "authorization_malformed"},
		{"no JWT", "/", []string{"Authorization: Bearer abc"}, 401, "token_invalid", invalid, "token_malformed"},
		{"expired", "/", []string{g.bearer(map[string]any{"exp": time.Now().Add(-time.Hour)})}, 401, "token_expired", invalid, "exp_passed"},
		{"not yet valid", "/", []string{g.bearer(map[string]any{"nbf": time.Now().Add(time.Hour)})}, 401, "token_not_yet_valid", invalid, "nbf_ahead"},
		{"another audience", "/", []string{g.bearer(map[string]any{"aud": "other"})}, 401, "token_invalid", invalid, "aud_mismatch"},
		{"another issuer", "/", []string{g.bearer(map[string]any{"iss": "https://evil.example"})}, 401, "token_invalid", invalid, "iss_unknown"},
		{"forged", "/", []string{g.bearer(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))}, 401, "token_invalid", invalid, "sig_invalid"},
		{"scope", "/scope", []string{g.bearer(nil)}, 403, "insufficient_scope", `Bearer realm="api", error="insufficient_scope", scope="orders:read profile"`, "scope_missing"},
		{"claim", "/claim", []string{g.bearer(nil)}, 403, "access_denied", `Bearer realm="api", error="insufficient_scope"`, "claim_denied"},
		{"expression", "/expr", []string{g.bearer(nil)}, 403, "access_denied", `Bearer realm="api", error="insufficient_scope"`, "expr_failed"},
		{"optional and bad", "/optional", []string{"Authorization: Bearer abc"}, 401, "token_invalid", invalid, "token_malformed"},
		{"expired and without scope", "/scope", []string{g.bearer(map[string]any{"exp": time.Now().Add(-time.Hour)})}, 401, "token_expired", invalid, "exp_passed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			a := g.do("POST", tt.path, tt.headers...)
			if a.Status != tt.status || a.code() != tt.code {
				t.Errorf("%d %s, want %d %s", a.Status, a.Body, tt.status, tt.code)
			}
			if got := strings.Join(a.Header["Www-Authenticate"], " | "); got != tt.challenge {
				t.Errorf("challenge %s\nwant %s", got, tt.challenge)
			}
			if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("header %v", a.Header)
			}
			if got := a.Header.Get("Retry-After") != ""; got != (tt.code == "token_not_yet_valid") {
				t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
			}
			g.none()
			line := g.logged(`"level":"debug"`, `"request refused"`, `"reason":"`+tt.reason+`"`)
			for _, header := range tt.headers {
				if raw, ok := strings.CutPrefix(header, "Authorization: Bearer "); ok && len(raw) > 10 && strings.Contains(line, raw) {
					t.Errorf("the token is in the log: %s", line)
				}
			}
		})
	}
	line := g.logged(`"exp_passed"`)
	for _, want := range []string{`"seconds":36`, `"alg":"RS256"`, `"kid":"`, `"issuer":"http://`, `"token_sha256":"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if a := g.do("HEAD", "/"); a.Status != 401 || a.Body != "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("HEAD: %d %v %q", a.Status, a.Header, a.Body)
	}
}

// TestTrapIdPOutageAnsweredWith401: apps throw their refresh token away on 401.
func TestTrapIdPOutageAnsweredWith401(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			issuer http://127.0.0.1:1 {
				audience api
			}
		}
		reverse_proxy BACKEND
	}`)
	a := g.once("GET", "/", g.bearer(map[string]any{"iss": "http://127.0.0.1:1"}))
	if a.Status != 503 || a.code() != "keys_unavailable" || a.Header.Get("Retry-After") != "5" || a.Header.Get("Www-Authenticate") != "" {
		t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
	}
	g.none()
}

// TestTwoGatesOnOneRequest: both have to pass, and the second does not take the
// first one's headers for the client's.
func TestTwoGatesOnOneRequest(t *testing.T) {
	g := live(t, `GATEWAY {
		route {
			jwtgate {
				strip_token
				forward {
					X-User-ID sub
				}
			}
			jwtgate /admin* {
				require claim role admin
				forward {
					X-Role role
				}
			}
			jwtgate /public* {
				public
			}
			reverse_proxy BACKEND
		}
	}`)
	for _, tt := range []struct {
		name, path string
		claims     map[string]any
		status     int
		user, role string
	}{
		{"both", "/admin", map[string]any{"role": "admin"}, 200, "alice", "admin"},
		{"one of two refuses", "/admin", map[string]any{"role": "user"}, 403, "", ""},
		{"first alone", "/", map[string]any{"role": "user"}, 200, "alice", ""},
		{"public behind a gate", "/public", nil, 200, "alice", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			a := g.do("GET", tt.path, g.bearer(tt.claims), "X-User-ID: mallory", "X-Role: mallory")
			if a.Status != tt.status {
				t.Fatalf("%d %s, want %d", a.Status, a.Body, tt.status)
			}
			if tt.status != 200 {
				g.none()
				return
			}
			r := g.one()
			if got := strings.Join(r.Header["X-User-Id"], "|"); got != tt.user {
				t.Errorf("X-User-ID %q, want %q", got, tt.user)
			}
			if got := strings.Join(r.Header["X-Role"], "|"); got != tt.role {
				t.Errorf("X-Role %q, want %q", got, tt.role)
			}
			if got := r.Header.Get("Authorization"); got != "" {
				t.Errorf("the token reached the backend: %.20s", got)
			}
		})
	}
	if a := g.do("GET", "/admin"); a.Status != 401 {
		t.Errorf("without a token: %d", a.Status)
	}
}

// TestTrapConnectionXUserID: a client cannot have the proxy delete our header.
func TestTrapConnectionXUserID(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			forward {
				X-User-ID sub
			}
		}
		reverse_proxy BACKEND
	}`)
	a := g.do("GET", "/", g.bearer(nil), "Connection: close, X-User-ID, authorization")
	r := g.one()
	if a.Status != 200 || r.Header.Get("X-User-Id") != "alice" || r.Header.Get("Authorization") == "" {
		t.Errorf("%d %v", a.Status, r.Header)
	}
}

// TestHeaderEditedInPlaceDownstream: a replace operation on one route must not
// reach into the verdict that another route's requests share.
func TestHeaderEditedInPlaceDownstream(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			forward {
				X-User-ID sub
				X-User-Name name
			}
		}
		request_header /edit X-User-ID alice mallory
		reverse_proxy BACKEND
	}`)
	bearer := g.bearer(map[string]any{"name": "Alice"})
	for i, path := range []string{"/edit", "/", "/edit", "/"} {
		if a := g.do("GET", path, bearer); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		r := g.one()
		want := []string{"mallory", "alice"}[i%2]
		if got := strings.Join(r.Header["X-User-Id"], "|"); got != want || r.Header.Get("X-User-Name") != "Alice" {
			t.Errorf("%s: %q %q, want %q", path, got, r.Header.Get("X-User-Name"), want)
		}
	}
}

func TestQueryTokenIsPrivate(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			token_from query access_token
		}
		jwtgate /again
		jwtgate /twice {
			token_from query access_token
		}
		reverse_proxy BACKEND
	}`)
	raw := g.Issuer.Sign(nil)
	for _, tt := range []struct {
		name, path, want string
		headers          []string
		status           int
	}{
		{"the backend says nothing", "/?access_token=" + raw, "private", nil, 200},
		{"the backend says something", "/?cache=max-age%3D1&access_token=" + raw, "max-age=1, private", nil, 200},
		{"no query token", "/", "", []string{"Authorization: Bearer " + raw}, 200},
		{"another gate that reads the query", "/twice?access_token=" + raw, "private", nil, 200},
		{"another gate that does not", "/again?access_token=" + raw, "no-store", nil, 401},
		{"another gate and another token", "/twice?access_token=" + raw, "no-store", []string{"Authorization: Bearer " + raw}, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			a := g.do("GET", tt.path, tt.headers...)
			if got := strings.Join(a.Header["Cache-Control"], " | "); a.Status != tt.status || got != tt.want {
				t.Errorf("%d %s, Cache-Control %q, want %d %q", a.Status, a.Body, got, tt.status, tt.want)
			}
			for _, r := range g.Backend.take() {
				if strings.Contains(r.URL.RawQuery, raw) {
					t.Error("the token reached the backend in the URL")
				}
			}
		})
	}
}

// TestPreflightOverHTTP: a true preflight passes, as OPTIONS alone, and our own
// answers are readable for the page.
func TestPreflightOverHTTP(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate {
			cors https://app.example.com
		}
		reverse_proxy BACKEND
	}`)
	preflight := []string{"Origin: https://app.example.com", "Access-Control-Request-Method: PUT"}
	if a := g.do("OPTIONS", "/", append(preflight, "X-HTTP-Method-Override: DELETE")...); a.Status != 200 {
		t.Errorf("a preflight: %d %s", a.Status, a.Body)
	} else if r := g.one(); r.Header.Get("X-Http-Method-Override") != "" {
		t.Error("the method override reached the backend")
	}
	for name, headers := range map[string][]string{
		"no origin":    preflight[1:],
		"no method":    preflight[:1],
		"with a token": append(preflight, "Authorization: Bearer x"),
	} {
		if a := g.do("OPTIONS", "/", headers...); a.Status != 401 {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	a := g.do("GET", "/", "Origin: https://app.example.com")
	if a.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || !slices.Contains(a.Header["Vary"], "Origin") ||
		a.Header.Get("Access-Control-Expose-Headers") != "WWW-Authenticate, Retry-After, Date" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	g.none()
}
