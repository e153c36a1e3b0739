package ui_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/caddymodule/ui"
	"github.com/jwtgate/jwtgate/internal/browsertest"
	"github.com/jwtgate/jwtgate/revocation"
)

func TestPageLoads(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	for selector, part := range map[string]string{
		"#banner":        "Ready",
		"#tiles":         "60",
		"#issuer-list":   goodIssuer,
		"#reasons":       "expired: clocks",
		"#list-facts":    "256 KiB",
		"#feed-facts":    "This gateway is alone",
		"#cache-facts":   "64 MiB",
		"#o-gates":       "No gate observes",
		"#r-rows":        "value-00",
		"#where":         "localhost:2019",
		"#live":          "live",
		"#chart .legend": "exp_passed",
		"#chart svg":     "Passed",
	} {
		b.UntilText(selector, part)
	}
	if text := b.Text("#reasons"); strings.Contains(text, "aud_mismatch") {
		t.Errorf("a reason of long ago is in the table:\n%s", text)
	}
	b.Click("#all-reasons")
	b.UntilText("#reasons", "aud_mismatch")
	if text := b.Text("body"); strings.Contains(text, "undefined") || strings.Contains(text, "[object") || strings.Contains(text, "NaN") {
		t.Errorf("a value that was not meant:\n%s", text)
	}
}

func TestStates(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	issuer := g.issuers[0]
	for _, tt := range []struct {
		name     string
		change   func()
		state    string
		says     string
		selector string
		and      string
	}{
		{"stale keys", func() {
			issuer["stale"], issuer["last_error"], issuer["last_error_kind"] = true, "lookup id.example.com: no such host", "dns"
			g.state, g.summary = "warning", "In order, with 1 warning."
			g.problems = []object{{"level": "warning", "about": "issuer", "issuer": goodIssuer, "text": "Keys cannot be refreshed.", "cause": "no such host", "do": "Does this machine resolve it?"}}
		}, "warn", "Warning " + goodIssuer + ": Keys cannot be refreshed. Seen: no such host Does this machine resolve it?", "#issuer-list", "DNS"},
		{"no keys", func() { issuer["usable"], issuer["keys"] = false, []object{} }, "warn", "1 warning", "#issuer-list", "No keys"},
		{"not ready", func() {
			g.state, g.summary = "not_ready", "Every request with a token is answered with 503."
			g.problems = []object{{"level": "error", "about": "feed", "text": "What other gateways revoked meanwhile is not known here."}}
			g.feed = object{"state": "stale", "redis": "redis.internal:6379", "on_stale": "deny", "outbox": 4, "stream": 9, "lag_seconds": 0.004, "losses": 0, "malformed": 0, "last_error": "connection refused"}
		}, "bad", "Not ready: Every request with a token is answered with 503. Error What other gateways", "#feed-facts", "connection refused"},
		{"well again", func() {
			g.state, g.summary, g.problems, g.feed = "ok", "Everything is in order.", nil, nil
			issuer["usable"], issuer["stale"], issuer["last_error"], issuer["keys"] = true, false, "", []object{{"kid": "k-after", "kty": "EC", "crv": "P-256"}}
		}, "ok", "Ready: Everything is in order.", "#issuer-list", "k-after"},
	} {
		g.change(tt.change)
		b.Until(tt.name, func() bool { return b.One("#banner").Attribute("data-state") == tt.state })
		b.UntilText("#banner", tt.says)
		b.UntilText(tt.selector, tt.and)
	}
}

func TestChartMoves(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	b.Choose("#span", "300")
	height := func() float64 {
		h, _ := b.Script(`return Math.max(0, ...[...document.querySelectorAll('#chart rect')].filter(r => r.classList.contains('s0')).map(r => Number(r.getAttribute('height'))))`).(float64)
		return h
	}
	label := func() string {
		s, _ := b.Script(`return document.querySelector('#chart svg').getAttribute('aria-label')`).(string)
		return s
	}
	b.Until("the chart has the averages", func() bool { return regexp.MustCompile(`exp_passed (19|20)\b`).MatchString(label()) })
	before := height()
	g.change(func() { g.decisions[1]["total"] = 5400 })
	b.Until("the chart moves", func() bool {
		return regexp.MustCompile(`exp_passed 5,0[012]\d`).MatchString(label()) && height() > before
	})
	b.UntilText("#reasons", "5,400")

	// A restart counts from zero, which is not minus 5,400.
	g.change(func() {
		g.started = time.Now()
		g.decisions = []object{{"result": "deny", "reason": "sig_invalid", "code": "token_invalid", "issuer": goodIssuer, "total": 7, "last_1m": 7, "last_5m": 7, "last_15m": 7}}
	})
	b.Until("the chart goes on after a restart", func() bool { return strings.Contains(label(), "sig_invalid 7") })
	b.UntilText("#chart .legend", "sig_invalid")
}

func TestRefresh(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	b.Click("#issuer-list button")
	b.UntilText("#refresh-said", "Fetched "+goodIssuer+": 2 keys, changed")
	g.change(func() { g.issuers[1]["usable"], g.issuers[1]["last_error"] = false, "TLS: certificate has expired" })
	b.Click("#refresh-all")
	b.UntilText("#refresh-said", "Failed "+partnerIssuer+": TLS: certificate has expired")
	if !slices.Contains(g.calls(), "POST /jwtgate/refresh/https:%2F%2Fid%2Eexample%2Ecom ") {
		t.Errorf("calls %q", g.calls())
	}
}

func TestRevokeSearchUndo(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g, "/api/revocations - Failed to load resource: the server responded with a status of 400")
	b.Click("#r-add")
	b.Choose("#v-kind", "subject")
	b.Click("#revoke-form .primary")
	b.UntilText("#v-said", "The issuer is missing")
	b.Fill("#v-issuer", "https://nobody.example")
	b.Fill("#v-value", "alice")
	b.Fill("#v-before", "yesterday")
	b.Click("#revoke-form .primary")
	b.UntilText("#v-said", "A time is wanted")
	b.Fill("#v-before", "2h")
	b.Fill("#v-note", "left the company")
	b.Click("#revoke-form .primary")
	b.UntilText("#v-said", "issuer: not configured; known are "+goodIssuer)
	b.Fill("#v-issuer", goodIssuer)
	b.Click("#revoke-form .primary")
	b.UntilText("#r-said", "Revoked subject alice of "+goodIssuer)
	b.UntilText("#r-rows", "left the company")
	b.UntilText("#list-facts", "21")

	b.Click("#r-rows button")
	b.Fill("#ask-note", "came back")
	b.Click("#ask-yes")
	b.UntilText("#r-said", "Undone: subject alice")
	if text := b.Text("#r-rows"); text != "" {
		t.Errorf("it is still shown: %s", text)
	}
	b.Click("#r-undone")
	b.UntilText("#r-rows", "undone")
	calls := strings.Join(g.calls(), "\n")
	for _, part := range []string{`"before":"20`, `"note":"left the company"`, `{"note":"came back"}`, `"kind":"subject"`} {
		if !strings.Contains(calls, part) {
			t.Errorf("no call with %s", part)
		}
	}
}

func TestRevokeEveryKind(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	for _, kind := range revocation.Kinds() {
		b.Click("#r-add")
		b.Choose("#v-kind", kind.String())
		b.Fill("#v-issuer", goodIssuer)
		if kind == revocation.Issuer {
			b.Fill("#v-confirm", "yes")
			b.Click("#revoke-form .primary")
			b.UntilText("#v-said", "nothing was revoked")
			b.Fill("#v-confirm", goodIssuer)
		} else {
			b.Fill("#v-value", "mine-"+kind.String())
		}
		if shown, want := b.One("#v-before").Shown(), kind != revocation.Token && kind != revocation.Session; shown != want {
			t.Errorf("%s: the cutoff is shown: %v", kind, shown)
		}
		b.Click("#revoke-form .primary")
		b.UntilText("#r-said", "Revoked "+kind.String())
		b.Until("the dialog is closed", func() bool { return len(b.All("dialog[open]")) == 0 })
	}
	b.Click("#r-add")
	b.Choose("#v-kind", "session")
	b.Choose("#v-by", "token")
	b.Fill("#v-token", "Bearer aaaaaaaaaa.bbbbbbbbbb.cccccccc")
	b.Click("#revoke-form .primary")
	b.UntilText("#r-said", "Revoked session of-the-token")
	if !slices.Contains(g.calls(), `POST /jwtgate/revocations {"kind":"session","token":"aaaaaaaaaa.bbbbbbbbbb.cccccccc"}`) {
		t.Errorf("calls %q", g.calls())
	}
	b.Click("#r-add")
	b.Choose("#v-kind", "session")
	if kept := b.Script("return document.getElementById('v-token').value"); kept != "" {
		t.Errorf("the dialog kept the token: %v", kept)
	}
	b.Fill("#v-issuer", goodIssuer)
	b.Fill("#v-value", "aaaaaaaaaa.bbbbbbbbbb.cccccccc")
	b.Click("#revoke-form .primary")
	b.UntilText("#v-said", "That is a whole token")
	b.Press(browsertest.Escape)
	b.Until("the dialog is closed", func() bool { return len(b.All("dialog[open]")) == 0 })
}

func TestPaging(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g)
	for _, step := range []struct{ button, first, said string }{
		{"#r-next", "value-25", "page 2, there are more"},
		{"#r-next", "value-50", "10 revocations, page 3"},
		{"#r-prev", "value-25", "page 2"},
		{"#r-prev", "value-00", "page 1"},
	} {
		b.Click(step.button)
		b.UntilText("#r-rows tr", step.first)
		b.UntilText("#r-said", step.said)
	}
	b.Choose("#r-kind", "session")
	b.UntilText("#r-said", "20 revocations")
	b.Fill("#r-value", "value-04")
	b.Press(browsertest.Enter)
	b.UntilText("#r-said", "1 revocation")
	b.Fill("#r-value", "nobody")
	b.Press(browsertest.Enter)
	b.UntilText("#r-said", "Nothing was found")
}

// verdict is an explanation in the shape of the real one.
func verdict(allowed bool, claims object) object {
	last := object{"step": "times", "result": "pass", "found": "exp in 4 min"}
	v := object{"allowed": allowed, "verdict": map[bool]string{true: "allowed", false: "refused"}[allowed], "route": "api.example.com /orders*", "claims": claims, "warnings": []string{},
		"headers": []object{{"name": "X-User-ID", "claim": "sub", "form": "", "value": "alice"}, {"name": "X-User-Roles", "claim": "realm_access.roles", "form": "join ,", "absent": "no such claim"}}}
	if !allowed {
		last = object{"step": "times", "result": "fail", "expected": "exp after now, skew 30s", "found": "exp 40 min ago", "hint": "does the app refresh?"}
		v["answer"] = object{"status": 401, "code": "token_expired", "action": "refresh", "headers": object{"WWW-Authenticate": []string{`Bearer error="invalid_token"`}}, "body": `{"code":"token_expired"}`}
	}
	v["gates"] = []object{{"gate": "api.example.com /orders*", "mode": "enforce", "issuer": goodIssuer, "steps": []object{
		{"step": "extract", "result": "pass", "found": "Authorization: Bearer"}, {"step": "required_claims", "result": "skip"}, last}}}
	return v
}

func TestExplain(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	g := newFakeGateway()
	var asked object
	g.answer = func(q object) object {
		asked = q
		if q["token"] == token {
			return verdict(true, object{"sub": "alice"})
		}
		return verdict(false, object{"sub": "string"})
	}
	b := open(t, g)
	b.Fill("#x-token", "  Authorization: Bearer "+token[:30]+"\n"+token[30:])
	b.Fill("#x-host", "api.example.com")
	b.Fill("#x-path", "/orders?page=2")
	b.Fill("#x-method", "post")
	b.Click("#explain details summary")
	b.Fill("#x-headers", "Origin: https://app.example.com\nX-Two: a: b")
	b.Click("#x-claims")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-result", "Allowed")
	b.UntilText("#explain-result", "absent: no such claim")
	var headers string
	g.change(func() {
		headers = fmt.Sprint(asked["headers"])
		delete(asked, "headers")
		if got, want := fmt.Sprint(asked), fmt.Sprint(object{"token": token, "method": "POST", "host": "api.example.com", "path": "/orders", "query": "page=2", "show_claims": true}); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	})
	if headers != "map[Origin:[https://app.example.com] X-Two:[a: b]]" {
		t.Errorf("headers %s", headers)
	}
	if label := b.Focused().Label(); label != "Explanation" {
		t.Errorf("the focus is on %q", label)
	}

	b.Fill("#x-token", "another.token.here")
	b.Click("#explain-form .primary")
	for _, part := range []string{"Refused", "401 token_expired", "fail", "required claims", "skew 30s", "exp 40 min ago", "WWW-Authenticate", `"code": "token_expired"`, "refresh", "to do does the app refresh?"} {
		b.UntilText("#explain-result", part)
	}
	kept := b.Script(`return JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}, history.state])`).(string)
	if strings.Contains(kept, "token.here") || strings.Contains(kept, "eyJ") {
		t.Errorf("kept: %s", kept)
	}
	b.Click("#x-clear")
	if value := b.Script("return document.getElementById('x-token').value"); value != "" || b.One("#explain-result").Shown() {
		t.Errorf("after Clear: %q", value)
	}
	b.Fill("#x-token", token)
	url := b.URL()
	b.Open("about:blank")
	b.Back()
	b.Until("the page is back", func() bool { return b.URL() == url && strings.Contains(b.Text("#banner"), "Ready") })
	if value := b.Script("return document.getElementById('x-token').value"); value != "" {
		t.Errorf("the token outlived leaving the page: %v", value)
	}
}

func TestObserve(t *testing.T) {
	g := newFakeGateway()
	g.observed = []object{{"route": "api.example.com /reports*", "would_pass": 1200, "unlisted": 2, "would_refuse": []object{
		{"reason": "aud_mismatch", "code": "token_invalid", "issuer": partnerIssuer, "client": "legacy-app", "count": 90, "first_at": time.Now().Add(-time.Hour), "last_at": time.Now()}}}}
	b := open(t, g)
	for _, part := range []string{"api.example.com /reports*", "1,200 would pass, 92 would be refused (7.1 %), since", "legacy-app", "aud_mismatch", partnerIssuer} {
		b.UntilText("#o-gates", part)
	}
	b.Click("#o-reset")
	b.Press(browsertest.Escape)
	b.Until("the dialog is closed", func() bool { return len(b.All("dialog[open]")) == 0 })
	b.UntilText("#o-gates", "legacy-app")
	b.Click("#o-reset")
	b.Click("#ask-yes")
	b.UntilText("#o-said", "The counts begin again")
	b.UntilText("#o-gates", "No gate observes")
}

func TestReadOnly(t *testing.T) {
	b := browsertest.Start(t)
	g := newFakeGateway()
	url, _ := serve(t, ui.Options{Admin: g, Address: "localhost:2019", ReadOnly: true})
	b.Open(url)
	b.UntilText("#where", "read only")
	b.UntilText("#r-rows", "value-00")
	for _, e := range b.All("[data-changes]") {
		if e.Shown() {
			t.Errorf("%s is shown", e.Label())
		}
	}
	quiet(t, b)
}
