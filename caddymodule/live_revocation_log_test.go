package caddymodule

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestRevocationsAreLoggedOnceAndCounted, without the token.
func TestRevocationsAreLoggedOnceAndCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(revocationMetrics.all()...)
	before := gather(t, registry)
	g := live(t, `GATEWAY {
		jwtgate_logout /session session
		jwtgate_logout /auth/logout
		jwtgate_revoke /internal {
			secret `+testSecret+`
		}
		jwtgate
		respond 204
	}
	`)
	first := g.bearer(map[string]any{"jti": "first-jti"})
	if a := g.do("POST", "/auth/logout", first); a.Status != 204 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for range 2 { // no sid: the token alone, warned about once
		if a := g.do("POST", "/session", g.bearer(nil)); a.Status != 204 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if a := g.do("POST", "/auth/logout", first); a.code() != "token_revoked" {
		t.Errorf("again: %d %s", a.Status, a.code())
	}
	line := g.logged(`"first-jti"`, `"info"`)
	for _, want := range []string{`"msg":"revoked"`, `"kind":"token"`, `"via":"logout"`, `"by":"alice"`, `"until"`, g.Issuer.URL()} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
	g.logged("lacks the claim", `"warn"`)
	data, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), `"msg":"revoked"`); n != 3 {
		t.Errorf("%d lines about revocations, want 3", n)
	}
	if n := strings.Count(string(data), "lacks the claim"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	if strings.Contains(string(data), strings.TrimPrefix(first, "Authorization: Bearer ")) || strings.Contains(string(data), testSecret) {
		t.Error("the token or the secret is in the log")
	}
	after := gather(t, registry)
	for series, want := range map[string]float64{
		`jwtgate_revocations_total{kind="token",via="logout"}`:      3,
		`jwtgate_revocation_fallbacks_total{kind="session"}`:        2,
		`jwtgate_revocation_fallbacks_total{kind="token"}`:          0,
		`jwtgate_revocations_total{kind="session",via="logout"}`:    0,
		`jwtgate_long_lived_tokens_total{issuer="` + g.Issuer.URL(): 0,
	} {
		if got := after[series] - before[series]; got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	if n := after[`jwtgate_revocation_entries{kind="token"}`]; n < 3 {
		t.Errorf("%v entries", n)
	}
}

// TestMisplacedLogoutIsSaidOnce, by an ERROR that names the mistake.
func TestMisplacedLogoutIsSaidOnce(t *testing.T) {
	g := live(t, `GATEWAY {
		route {
			jwtgate
			jwtgate_logout
			respond 204
		}
	}
	`)
	for range 3 {
		if a := g.do("POST", "/", g.bearer(nil)); a.Status != 500 {
			t.Errorf("%d", a.Status)
		}
	}
	g.logged("jwtgate_logout: no gate behind it", `"error"`)
	data, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "no gate behind it"); n != 1 {
		t.Errorf("said %d times", n)
	}
}
