package caddymodule

import (
	"strings"
	"testing"
)

// TestHandleErrorsOfTwoSites: Caddy's error routes belong to the server that
// both sites share. One site has its own page, the other one gets our body.
func TestHandleErrorsOfTwoSites(t *testing.T) {
	g := live(t, `http://one.localhost:PORT {
		jwtgate
		rewrite * /rewritten
		handle_errors 404 {
			respond "not this one"
		}
		handle_errors 401 403 {
			@expired expression {jwtgate.code} == 'token_expired'
			respond @expired "expired {http.request.uri}"
			@broken path /broken
			error @broken "broken" 500
			@empty path /empty
			respond @empty 401
			@hidden path /hidden
			respond @hidden 404
			@moved path /moved
			header @moved X-Page {jwtgate.code}
			@body not path /moved
			respond @body "{jwtgate.code} {jwtgate.reason} {http.error.status_code} {http.error.message} [{http.auth.user.id}]"
		}
		reverse_proxy BACKEND
	}
	http://two.localhost:PORT {
		jwtgate
		reverse_proxy BACKEND
	}
	http://three.localhost:PORT {
		jwtgate
		handle_errors {
			jwtgate
			respond "never"
		}
		reverse_proxy BACKEND
	}
	`)
	expired := g.bearer(map[string]any{"exp": 1000000000})
	for _, tt := range []struct {
		name, method, host, path string
		headers                  []string
		status                   int
		body                     string // empty: ours
		challenge                string
	}{
		{"its own page", "GET", "one", "/", nil, 401, "token_missing token_missing 401 jwtgate: token_missing []", `Bearer realm="api"`},
		{"a matcher in it, and the original URI", "GET", "one", "/x?y", []string{expired}, 401, "expired /x?y", `Bearer realm="api", error="invalid_token"`},
		{"a page for other errors", "GET", "one", "/", []string{"Authorization: Bearer"}, 400, "", `Bearer realm="api", error="invalid_request"`},
		{"a page that fails", "GET", "one", "/broken", nil, 401, "", `Bearer realm="api"`},
		{"an empty page", "GET", "one", "/empty", nil, 401, "", `Bearer realm="api"`},
		{"a page that changes headers alone", "GET", "one", "/moved", nil, 401, "", `Bearer realm="api"`},
		{"a site without pages", "GET", "two", "/", nil, 401, "", `Bearer realm="api"`},
		{"HEAD on a site without pages", "HEAD", "two", "/", nil, 401, "", `Bearer realm="api"`},
		{"a gate in front of the pages", "GET", "three", "/", nil, 401, "", `Bearer realm="api"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			a := g.do(tt.method, tt.path, append([]string{"Host: " + tt.host + ".localhost"}, tt.headers...)...)
			if a.Status != tt.status {
				t.Errorf("status %d, want %d", a.Status, tt.status)
			}
			switch {
			case tt.body != "" && a.Body != tt.body:
				t.Errorf("body %q, want %q", a.Body, tt.body)
			case tt.body == "" && tt.method != "HEAD" && a.code() == "",
				tt.body == "" && a.Header.Get("Content-Type") != "application/problem+json":
				t.Errorf("not our body: %q %v", a.Body, a.Header)
			}
			if got := strings.Join(a.Header["Www-Authenticate"], " | "); got != tt.challenge {
				t.Errorf("challenge %q", got)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", a.Header)
			}
			g.none()
		})
	}
	if a := g.do("GET", "/hidden", "Host: one.localhost"); a.Status != 404 || a.Body != "" {
		t.Errorf("a status of the operator's choice: %d %q", a.Status, a.Body)
	}
	if a := g.do("GET", "/moved", "Host: one.localhost"); a.Header.Get("X-Page") != "token_missing" {
		t.Errorf("the header of the error route is missing: %v", a.Header)
	}
	if a := g.do("GET", "/", "Host: one.localhost", g.bearer(nil)); a.Status != 200 {
		t.Errorf("a good token: %d %s", a.Status, a.Body)
	}
}

// TestErrorRoutesGetNoIdentity: a backend that serves the error page sees
// neither the client's own headers nor those of a gate that was content.
func TestErrorRoutesGetNoIdentity(t *testing.T) {
	g := live(t, `GATEWAY {
		jwtgate /both {
			require claim none
		}
		jwtgate {
			forward {
				X-User-ID sub
			}
		}
		handle_errors {
			jwtgate /page {
				public
			}
			reverse_proxy BACKEND {
				header_up X-Code {jwtgate.code}
			}
		}
		route /twice {
			jwtgate {
				require claim none
			}
		}
		respond ok
	}`)
	for path, code := range map[string]string{"/": "token_missing", "/both": "access_denied", "/twice": "access_denied", "/page": "token_missing"} {
		headers := []string{"X-User-ID: mallory"}
		if code == "access_denied" {
			headers = append(headers, g.bearer(nil))
		}
		a := g.do("GET", path, headers...)
		r := g.one()
		if got := r.Header.Get("X-Code"); got != code || a.Body != "backend" {
			t.Errorf("%s: code %q, body %q", path, got, a.Body)
		}
		if got := r.Header["X-User-Id"]; got != nil {
			t.Errorf("%s: X-User-ID %q reached the page", path, got)
		}
	}
}
