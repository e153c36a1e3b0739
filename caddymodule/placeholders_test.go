package caddymodule

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPlaceholders: known on every path, empty when there is nothing to say,
// and never expanded.
func TestPlaceholders(t *testing.T) {
	t.Setenv("JWTGATE_TEST_SECRET", "expanded")
	g := live(t, `GATEWAY {
		jwtgate /token
		jwtgate /optional {
			optional
		}
		jwtgate /public {
			public
		}
		jwtgate /observe {
			observe
		}
		jwtgate /preflight {
			preflight on
		}
		reverse_proxy BACKEND {
			header_up X-Out "[{http.auth.user.id}|{http.auth.user.name}|{http.auth.user.realm_access.roles}|{http.auth.user.n}|{http.auth.user./a.b}|{http.auth.user.https://x.example/r}|{http.auth.user.none}|{jwtgate.code}|{jwtgate.reason}]"
		}
	}`)
	bearer := g.bearer(map[string]any{
		"sub": "Zoë", "name": "{env.JWTGATE_TEST_SECRET}", "realm_access": map[string]any{"roles": "r"},
		"n": json.RawMessage("9007199254740993"), "a.b": true, "https://x.example/r": "url", "id": "never",
	})
	for _, tt := range []struct {
		name, method, path, want string
		headers                  []string
	}{
		{"success", "GET", "/token", "[Zo%C3%AB|{env.JWTGATE_TEST_SECRET}|r|9007199254740993|true|url|||]", []string{bearer}},
		{"anonymous", "GET", "/optional", "[||||||||]", nil},
		{"public", "GET", "/public", "[||||||||]", []string{bearer}},
		{"observe, bad", "GET", "/observe", "[|||||||token_invalid|token_malformed]", []string{"Authorization: Bearer x"}},
		{"preflight", "OPTIONS", "/preflight", "[||||||||]", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.t = t
			if a := g.do(tt.method, tt.path, tt.headers...); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if got := g.one().Header.Get("X-Out"); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestTrapClaimValueEnvSecretExpanded: a claim is data, also where Caddy
// replaces placeholders in the header that carries it.
func TestTrapClaimValueEnvSecretExpanded(t *testing.T) {
	t.Setenv("JWTGATE_TEST_SECRET", "expanded")
	g := live(t, `GATEWAY {
		jwtgate {
			forward {
				X-Name name
			}
		}
		reverse_proxy BACKEND {
			header_up X-Copy {http.auth.user.name}
			header_up X-Again {http.request.header.X-Name}
		}
	}`)
	const claim = "{env.JWTGATE_TEST_SECRET}{http.request.host}{file./etc/hostname}"
	if a := g.do("GET", "/", g.bearer(map[string]any{"name": claim})); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	r := g.one()
	for _, name := range []string{"X-Name", "X-Copy", "X-Again"} {
		if got := r.Header.Get(name); got != claim {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestUserInTheAccessLog(t *testing.T) {
	g := live(t, `GATEWAY {
		log
		jwtgate /quiet {
			log_user off
		}
		jwtgate /loud
		jwtgate /both {
			log_user off
		}
		jwtgate /both
		reverse_proxy BACKEND {
			header_up X-User {http.auth.user.id}
		}
	}`)
	for path, want := range map[string]string{"/loud": "alice", "/quiet": "", "/both": ""} {
		if a := g.do("GET", path+"?ok", g.bearer(nil)); a.Status != 200 {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
		if got := g.one().Header.Get("X-User"); got != "alice" {
			t.Errorf("%s: the backend got %q", path, got)
		}
		line := g.logged(`"handled request"`, `"uri":"`+path+`?ok"`)
		if !strings.Contains(line, `"user_id":"`+want+`"`) {
			t.Errorf("%s: want user_id %q in %s", path, want, line)
		}
		// A refused request has no user, and its status is logged.
		if a := g.do("GET", path+"?bad", g.bearer(map[string]any{"aud": "other"})); a.Status != 401 {
			t.Fatalf("%s: %d", path, a.Status)
		}
		g.logged(`"handled request"`, `"uri":"`+path+`?bad"`, `"user_id":""`, `"status":401`)
	}
}
