package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
)

// TestLogoutKinds: what is revoked, and what a token that lacks the claim ends.
func TestLogoutKinds(t *testing.T) {
	before := time.Now()
	for _, tt := range []struct {
		directive string
		claims    map[string]any
		kind      revocation.Kind
		value     string
	}{
		{"jwtgate_logout", map[string]any{"jti": "j", "sid": "s"}, revocation.Token, "j"},
		{"jwtgate_logout token", map[string]any{"jti": "j", "sid": "s"}, revocation.Token, "j"},
		{"jwtgate_logout session", map[string]any{"jti": "j", "sid": "s"}, revocation.Session, "s"},
		{"jwtgate_logout session", map[string]any{"jti": "j"}, revocation.Token, "j"},
		{"jwtgate_logout subject", map[string]any{"jti": "j", "sub": strings.Repeat("å", 200)}, revocation.Subject, strings.Repeat("å", 200)},
	} {
		t.Run(fmt.Sprint(tt.directive, tt.claims), func(t *testing.T) {
			s := newLogoutSite(t, tt.directive+"\njwtgate", status(204))
			if a := s.ask("POST", s.issuer.Sign(tt.claims)); a.Status != 204 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			entries := s.entries()
			if len(entries) != 1 || entries[0].Kind != tt.kind || entries[0].Value != tt.value || entries[0].Issuer != s.issuer.URL() {
				t.Fatalf("entries: %+v", entries)
			}
			least := before.Add(issuertest.Lifetime)
			if tt.kind != revocation.Token {
				least = before.Add(24 * time.Hour)
			}
			if e := entries[0]; e.Until.Before(least) || e.Until.After(least.Add(time.Hour)) || e.RevokedAt.Before(before.Add(-time.Second)) {
				t.Errorf("until %s, revoked at %s", e.Until, e.RevokedAt)
			}
		})
	}
}

// TestLogoutNeedsAGateBehindIt: the mistake is a 500 and not a false comfort.
func TestLogoutNeedsAGateBehindIt(t *testing.T) {
	for _, tt := range []struct {
		name, route string
		backend     int
		status      int
	}{
		{"no gate", "jwtgate_logout", 204, 500},
		{"no gate, redirect", "jwtgate_logout", 302, 500},
		{"no gate, refused by another", "jwtgate_logout", 403, 403},
		{"gate before it", "jwtgate\njwtgate_logout", 204, 500},
		{"gate behind it", "jwtgate_logout\njwtgate", 204, 204},
		{"gates on both sides", "jwtgate\njwtgate_logout\njwtgate", 204, 204},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newLogoutSite(t, tt.route, func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Set-Cookie", "a=b")
				w.WriteHeader(tt.backend)
				return nil
			})
			raw := s.issuer.Sign(nil)
			a := s.ask("POST", raw)
			if a.Status != tt.status {
				t.Errorf("%d, want %d", a.Status, tt.status)
			}
			if entries := s.entries(); (len(entries) == 1) != (a.Status == 204) {
				t.Errorf("%d entries", len(entries))
			}
			if a.Status == 500 && (a.Header.Get("Set-Cookie") != "" || a.Header.Get("Content-Type") != "application/problem+json") {
				t.Errorf("%v", a.Header)
			}
		})
	}
}

// TestLogoutOfNobody: what the gate lets through without an identity is passed
// on as it is.
func TestLogoutOfNobody(t *testing.T) {
	for _, tt := range []struct {
		name, gate, method string
		token              bool
		headers            []string
		status             int
		code               string
	}{
		{"optional, anonymous", "optional", "POST", false, nil, 401, "token_missing"},
		{"optional, with a token", "optional", "POST", true, nil, 204, ""},
		{"public", "public", "POST", true, nil, 401, "token_missing"},
		{"preflight", "preflight on", "OPTIONS", false, []string{"Origin: https://a.example", "Access-Control-Request-Method: POST"}, 204, ""},
		{"observe, anonymous", "observe", "POST", false, nil, 204, ""},
		{"observe, with a token", "observe", "POST", true, nil, 204, ""},
		{"a gate that refuses", "require claim none", "POST", true, nil, 403, "access_denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newLogoutSite(t, "jwtgate_logout\njwtgate {\n"+tt.gate+"\n}", status(204))
			raw := ""
			if tt.token {
				raw = s.issuer.Sign(nil)
			}
			a := s.ask(tt.method, raw, tt.headers...)
			if a.Status != tt.status || a.code() != tt.code {
				t.Errorf("%d %s, want %d %s", a.Status, a.code(), tt.status, tt.code)
			}
			if entries := s.entries(); (len(entries) == 1) != (tt.token && tt.status == 204) {
				t.Errorf("%d entries", len(entries))
			}
		})
	}
}

// TestLogoutOfSeveral: every token that gates let through is over, and two
// logouts on one request both happen.
func TestLogoutOfSeveral(t *testing.T) {
	s := newLogoutSite(t, `jwtgate_logout session
		jwtgate_logout
		jwtgate {
			token_from header X-A
		}
		jwtgate {
			token_from header X-B
		}`, status(204))
	first, second := s.issuer.Sign(map[string]any{"sub": "a", "sid": "1"}), s.issuer.Sign(map[string]any{"sub": "b", "sid": "2"})
	if a := s.ask("POST", "", "X-A: "+first, "X-B: "+second); a.Status != 204 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	kinds := map[revocation.Kind]int{}
	for _, e := range s.entries() {
		kinds[e.Kind]++
	}
	if kinds[revocation.Token] != 2 || kinds[revocation.Session] != 2 {
		t.Errorf("%v", kinds)
	}
	one := newLogoutSite(t, "jwtgate_logout\njwtgate\njwtgate {\nforward {\nX-A sub\n}\n}", status(204))
	if a := one.ask("POST", one.issuer.Sign(nil)); a.Status != 204 || len(one.entries()) != 1 {
		t.Errorf("two gates, one token: %d, %d entries", a.Status, len(one.entries()))
	}
}

// TestTrapSubjectRevokedByAFlagThatBlocksTheNextLogin, and one whose issuer's
// clock is fast.
func TestTrapSubjectRevokedByAFlagThatBlocksTheNextLogin(t *testing.T) {
	for _, fast := range []time.Duration{0, 20 * time.Second} {
		s := newLogoutSite(t, "jwtgate_logout subject\njwtgate", status(204))
		now := time.Now()
		claims := func(at time.Time) map[string]any {
			return map[string]any{"iat": at.Unix(), "exp": at.Add(5 * time.Minute).Unix()}
		}
		old, asking := s.issuer.Sign(claims(now.Add(-time.Minute))), s.issuer.Sign(claims(now.Add(fast)))
		if a := s.ask("POST", asking); a.Status != 204 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for name, raw := range map[string]string{"asking": asking, "older": old} {
			if a := s.ask("POST", raw); a.code() != "token_revoked" {
				t.Errorf("clock %s ahead, %s: %d %s", fast, name, a.Status, a.code())
			}
		}
		renewed := s.issuer.Sign(claims(now.Add(fast + 2*time.Second)))
		if a := s.ask("POST", renewed); a.Status != 204 {
			t.Errorf("clock %s ahead, the next login: %d %s", fast, a.Status, a.code())
		}
		other := s.issuer.Sign(map[string]any{"sub": "bob", "iat": now.Add(-time.Minute).Unix()})
		if a := s.ask("POST", other); a.Status != 204 {
			t.Errorf("another subject: %d %s", a.Status, a.code())
		}
	}
}

// TestTrapLogoutQueuedOffline: it counts although its token has expired, and
// does not end the login made since.
func TestTrapLogoutQueuedOffline(t *testing.T) {
	const week = 7 * 24 * time.Hour
	s := newLogoutSite(t, "jwtgate_logout subject {\nallow_expired 720h\n}\njwtgate", status(204))
	now := time.Now()
	at := func(ago time.Duration) string {
		return s.issuer.Sign(map[string]any{"iat": now.Add(-ago).Unix(), "exp": now.Add(-ago + 15*time.Minute).Unix()})
	}
	queued, later := at(3*week), at(time.Minute)
	if a := s.ask("POST", queued); a.Status != 204 {
		t.Fatalf("three weeks late: %d %s", a.Status, a.Body)
	}
	if a := s.ask("POST", queued); a.code() != "token_revoked" {
		t.Errorf("sent again: %d %s", a.Status, a.code())
	}
	if a := s.ask("POST", at(5*week)); a.code() != "token_expired" {
		t.Errorf("five weeks late: %d %s", a.Status, a.code())
	}
	if a := s.ask("POST", later); a.Status != 204 {
		t.Errorf("the login made since: %d %s", a.Status, a.code())
	}
}

// TestLogoutJSONMistakes covers what the Caddyfile refuses while it is read.
func TestLogoutJSONMistakes(t *testing.T) {
	for members, want := range map[string]string{
		`"handler": "jwtgate_logout", "kind": "client"`:                                  "kind: 'client' is not token or session or subject",
		`"handler": "jwtgate_logout", "allow_expired": -1`:                               "allow_expired: -1ns is negative",
		`"handler": "jwtgate_logout", "alow_expired": 1`:                                 "unknown field",
		`"handler": "jwtgate_revoke"`:                                                    "nobody may call it",
		`"handler": "jwtgate_revoke", "secret": "0123456789abcdef", "scope": ["a"]`:      "scope: only with issuer",
		`"handler": "jwtgate_revoke", "secret": "0123456789abcdef", "secret_file": "a"`:  "contradict each other",
		`"handler": "jwtgate_revoke", "secret": "0123456789abcdef", "secert_file": "a"`:  "unknown field",
		`"handler": "jwtgate_revoke", "issuer": "https://id.example.test"`:               "scope: missing",
		`"handler": "jwtgate_revoke", "secret": "{not.a.placeholder}-and-a-long-secret"`: "placeholders here are",
	} {
		_, _, err := provision(t, gateJSON(members))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", members, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "0123456789abcdef") || strings.Contains(err.Error(), "not.a.placeholder")) {
			t.Errorf("%s: the error quotes the secret: %v", members, err)
		}
	}
}
