package caddymodule

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/browsertest"
)

// TestPageOfARealGateway: what an operator does at night, in a real browser, with
// the command and a real Caddy.
func TestPageOfARealGateway(t *testing.T) {
	browsertest.Need(t)
	g := newAdminGateway(t)
	g.mustLoad(true)
	b := browsertest.Start(t)
	b.Open(uiCommand(t, uiFlags{address: g.console.address}))
	b.UntilText("#banner", "Everything is in order")
	b.UntilText("#issuer-list", g.iss.URL()+" Fetch now usable")
	b.UntilText("#where", g.console.address)

	good := g.iss.Sign(map[string]any{"sub": "alice", "jti": "j1"})
	expired := g.iss.Sign(map[string]any{"sub": "alice", "iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix()})
	if got := g.use(good); got != "in" {
		t.Fatalf("a good token: %s", got)
	}
	for range 3 {
		g.use(expired)
	}
	b.UntilText("#reasons", "Refused exp_passed")
	b.Until("the chart has the refusals", func() bool {
		label, _ := b.Script(`return document.querySelector('#chart svg').getAttribute('aria-label')`).(string)
		return strings.Contains(label, "exp_passed 3")
	})

	explain := func(token, want string) {
		t.Helper()
		b.Fill("#x-token", "Bearer "+token)
		b.Click("#explain-form .primary")
		b.UntilText("#explain-result", want)
	}
	explain(good, "Allowed")
	if text := b.Text("#explain-result"); strings.Contains(text, "alice") {
		t.Errorf("a value of a claim, unasked: %s", text)
	}
	b.Click("#x-claims")
	explain(good, "alice")
	explain(expired, "Refused 401 token_expired")
	b.UntilText("#explain-result", "it is to refresh")
	explain(good[:len(good)-8]+"AAAAAAAA", "Refused 401 token_invalid")
	explain("not-a-token", "Refused")

	b.Click("#r-add")
	b.Choose("#v-kind", "subject")
	b.Fill("#v-value", "alice")
	b.Fill("#v-note", "left the company")
	b.Click("#revoke-form .primary")
	b.UntilText("#r-said", "Revoked subject alice")
	b.UntilText("#r-rows", "left the company")
	if got := g.use(good); got != "token_revoked" {
		t.Errorf("revoked: %s", got)
	}
	explain(good, "Refused 401 token_revoked")
	b.Click("#r-rows button")
	b.Click("#ask-yes")
	b.UntilText("#r-said", "Undone: subject alice")
	if got := g.use(good); got != "in" {
		t.Errorf("undone: %s", got)
	}

	before := g.iss.KeyRequests()
	key := g.iss.Rotate()
	b.Click("#issuer-list button")
	b.UntilText("#refresh-said", "Fetched "+g.iss.URL())
	b.UntilText("#refresh-said", "new: "+key.ID())
	if g.iss.KeyRequests() == before {
		t.Error("the issuer was not asked")
	}
	g.iss.Down()
	b.Click("#refresh-all")
	b.UntilText("#refresh-said", "Failed "+g.iss.URL())
	b.UntilText("#banner", "the last good ones stay in use")
	g.iss.Up()
	b.Click("#refresh-all")
	b.UntilText("#banner", "Everything is in order")

	g.mustLoad(false)
	b.UntilText("#banner", "The running configuration has no jwtgate")
	g.mustLoad(true)
	b.UntilText("#banner", "Everything is in order")
	if err := caddy.Load([]byte(`{"admin": {"disabled": true, "config": {"persist": false}}}`), true); err != nil {
		t.Fatal(err)
	}
	b.UntilText("#banner", "The gateway does not answer")
	g.mustLoad(true)
	b.UntilText("#banner", "Everything is in order")

	for _, e := range b.Log() {
		if !strings.Contains(e.Message, "the server responded with a status of 50") {
			t.Errorf("the browser logged %s", e.Message)
		}
	}
	log, err := os.ReadFile(g.log())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{good, expired, strings.Split(good, ".")[2]} {
		if strings.Contains(string(log), secret) {
			t.Errorf("a token is in the log of the gateway")
		}
	}
	if kept, _ := json.Marshal(b.Script(`return [location.href, document.cookie, {...localStorage}, {...sessionStorage}]`)); strings.Contains(string(kept), "eyJ") {
		t.Errorf("the browser kept %s", kept)
	}
}
