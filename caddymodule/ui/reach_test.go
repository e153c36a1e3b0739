package ui_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/caddymodule/ui"
	"github.com/jwtgate/jwtgate/internal/browsertest"
)

// TestGatewayGoesAway: the page says so, keeps what it knew, keeps trying, and
// recovers.
func TestGatewayGoesAway(t *testing.T) {
	g := newFakeGateway()
	b := open(t, g, "the server responded with a status of 502")
	g.change(func() { g.away = true })
	b.UntilText("#banner", "The gateway does not answer")
	b.UntilText("#banner", "connection refused")
	b.UntilText("#live", "no answer")
	if text := b.Text("#issuer-list"); !strings.Contains(text, goodIssuer) {
		t.Errorf("what was known is gone: %s", text)
	}
	b.Fill("#x-token", "a.b.c")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-said", "does not answer")
	g.change(func() { g.away, g.started = false, time.Now() })
	b.UntilText("#banner", "Ready")
	b.UntilText("#live", "live")
	if value := b.Script("return document.getElementById('x-token').value"); value != "a.b.c" {
		t.Errorf("what was typed is gone: %v", value)
	}
}

// TestPageGoesAway: the command behind the page has ended.
func TestPageGoesAway(t *testing.T) {
	b := browsertest.Start(t)
	url, stop := serve(t, ui.Options{Admin: newFakeGateway(), Address: "localhost:2019"})
	b.Open(url)
	b.UntilText("#banner", "Ready")
	stop()
	b.UntilText("#banner", "The command behind this page does not answer")
	b.UntilText("#banner", "it prints another URL")
	quiet(t, b, "net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_EMPTY_RESPONSE")
}

// TestOtherOrigins asks from a foreign page in a real browser.
func TestOtherOrigins(t *testing.T) {
	g := newFakeGateway()
	b := browsertest.Start(t)
	url, _ := serve(t, ui.Options{Admin: g})
	other, _ := serve(t, ui.Options{Admin: newFakeGateway()})
	foreign := strings.Replace(other, "127.0.0.1", "localhost", 1)
	b.Open(foreign)
	b.DevTools("Page.setBypassCSP", map[string]any{"enabled": true})
	defer b.DevTools("Page.setBypassCSP", map[string]any{"enabled": false})
	b.Open(foreign)
	asked := func() string { return strings.Join(g.calls(), "\n") }
	for _, script := range []string{
		`return fetch(arguments[0] + 'api/status').then(r => 'read ' + r.status, e => 'blocked')`,
		`return fetch(arguments[0] + 'api/status', {headers: {'X-Jwtgate-Page': '1'}}).then(r => 'read ' + r.status, e => 'blocked')`,
		`return fetch(arguments[0] + 'api/refresh', {method: 'POST', mode: 'no-cors'}).then(r => r.type === 'opaque' ? 'blocked' : 'read', e => 'blocked')`,
		`return fetch(arguments[0] + 'api/observe-report', {method: 'DELETE', headers: {'X-Jwtgate-Page': '1'}}).then(r => 'read', e => 'blocked')`,
	} {
		if got := b.Script(script, url); got != "blocked" {
			t.Errorf("%s: %v", script, got)
		}
	}
	if got := asked(); got != "" {
		t.Errorf("the gateway was asked: %s", got)
	}
	// A frame stays empty.
	b.Script(`const f = document.createElement('iframe'); f.src = arguments[0]; document.body.replaceChildren(f); return new Promise(done => f.onload = () => done())`, url)
	if got := asked(); got != "" {
		t.Errorf("the page ran in a frame: %s", got)
	}
}

// TestKeyboardOnly revokes, undoes and explains without a mouse.
func TestKeyboardOnly(t *testing.T) {
	g := newFakeGateway()
	g.answer = func(object) object { return verdict(true, object{"sub": "string"}) }
	b := open(t, g)
	b.Press(browsertest.Tab)
	if label := b.Focused().Label(); label != "Skip to the content" {
		t.Errorf("the first stop is %q", label)
	}
	b.Press(browsertest.Enter)
	b.Until("the skip link leads to the content", func() bool { return b.Focused().Attribute("id") == "main" })

	tabTo := func(id string) {
		t.Helper()
		for range 100 {
			if b.Focused().Attribute("id") == id {
				outline, _ := b.Script(`const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2`).(bool)
				if !outline {
					t.Errorf("the focus on %s is not seen", id)
				}
				return
			}
			b.Press(browsertest.Tab)
		}
		t.Fatalf("Tab does not lead to %s", id)
	}
	tabTo("x-token")
	b.Type("aaaa.bbbb.cccc")
	tabTo("x-path")
	b.Press(browsertest.Enter)
	b.UntilText("#explain-result", "Allowed")

	tabTo("r-add")
	b.Press(browsertest.Enter)
	b.Until("the dialog is open", func() bool { return len(b.All("#revoke-dialog[open]")) == 1 })
	for _, step := range []struct{ id, text string }{{"v-kind", "c"}, {"v-issuer", goodIssuer}, {"v-value", "old-app"}, {"v-note", "leaked"}} {
		tabTo(step.id)
		b.Type(step.text)
	}
	b.Press(browsertest.Enter)
	b.UntilText("#r-said", "Revoked client old-app")
	if id := b.Focused().Attribute("id"); id != "r-add" {
		t.Errorf("after the dialog the focus is on %q", id)
	}
	b.UntilText("#r-rows", "old-app")
	for range 40 {
		if strings.HasPrefix(b.Focused().Label(), "Undo client old-app") {
			break
		}
		b.Press(browsertest.Tab)
	}
	b.Press(browsertest.Enter)
	b.Until("it asks back", func() bool { return len(b.All("#ask-dialog[open]")) == 1 })
	b.Press(browsertest.Escape)
	b.Until("Escape closes it", func() bool { return len(b.All("#ask-dialog[open]")) == 0 })
	if label := b.Focused().Label(); !strings.HasPrefix(label, "Undo client old-app") {
		t.Errorf("after Escape the focus is on %q", label)
	}
	b.Press(browsertest.Enter)
	tabTo("ask-note")
	b.Press(browsertest.Enter)
	b.UntilText("#r-said", "Undone: client old-app")
	b.Until("the focus is not lost", func() bool { return b.Focused().Attribute("id") == "r-value" })
}

// TestPollingLeavesTheFocus: what is open stays open, what has the focus keeps
// it, and what is not new is not read out again.
func TestPollingLeavesTheFocus(t *testing.T) {
	g := newFakeGateway()
	g.issuers = append(g.issuers, g.issuers[0]) // with other settings
	b := open(t, g)
	b.Click(".issuer details summary")
	b.Script(`window.spoken = 0; new MutationObserver(l => { window.spoken += l.length }).observe(document.getElementById('banner'), {subtree: true, childList: true, characterData: true})`)
	asked := len(g.calls())
	b.Until("the page asked three times more", func() bool { return len(g.calls()) >= asked+4 })
	state, _ := b.Script(`return document.querySelector('.issuer details').open + ' ' + document.activeElement.tagName + ' ' + window.spoken`).(string)
	if n := len(b.All(".issuer")); n != 3 {
		t.Errorf("%d issuers are shown, want 3", n)
	}
	if state != "true SUMMARY 0" {
		t.Errorf("open, focus, spoken: %s", state)
	}
}

// TestAccessibleNames asks the browser's own accessibility tree.
func TestAccessibleNames(t *testing.T) {
	g := newFakeGateway()
	g.answer = func(object) object { return verdict(false, object{"sub": "string"}) }
	g.observed = []object{{"route": "/reports*", "would_pass": 1, "unlisted": 0, "would_refuse": []object{{"reason": "exp_passed", "code": "token_expired", "issuer": goodIssuer, "client": "app", "count": 1, "first_at": time.Now(), "last_at": time.Now()}}}}
	b := open(t, g)
	b.Fill("#x-token", "a.b.c")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-result", "Refused")
	b.UntilText("#o-gates", "/reports*")
	b.Script(`document.querySelectorAll('details').forEach(d => { d.open = true })`)
	// What is polled anew meanwhile would be another element.
	b.Choose("#every", "0")
	b.UntilText("#live", "stopped")
	// An open dialog makes the rest of the page inert.
	named := func(within string) {
		t.Helper()
		labels := make(map[string]string)
		for _, e := range b.All(within + " :is(a, button, input, select, textarea, summary, [tabindex='0'], [role=region], [role=search], section, nav, dialog[open], table, form[aria-label], svg[role=img])") {
			if !e.Shown() {
				continue
			}
			label, role := e.Label(), e.Role()
			if strings.TrimSpace(label) == "" {
				t.Errorf("%s has no name: %.200s", role, e.Script("return arguments[0].outerHTML"))
			}
			if role == "button" {
				if other, again := labels[label]; again {
					t.Errorf("two buttons are %q: %s", label, other)
				}
				labels[label] = fmt.Sprint(e.Script("return arguments[0].outerHTML"))
			}
		}
	}
	named("body")
	for _, role := range []string{"banner", "navigation", "main", "contentinfo", "search"} {
		selector := map[string]string{"banner": "header", "navigation": "nav", "main": "main", "contentinfo": "footer", "search": "#r-search"}[role]
		if got := b.One(selector).Role(); got != role {
			t.Errorf("%s is a %s, want %s", selector, got, role)
		}
	}
	for _, selector := range []string{"#banner", "#refresh-said", "#explain-said", "#r-said", "#o-said"} {
		if got := b.One(selector).Role(); got != "status" {
			t.Errorf("%s is a %s and not read out", selector, got)
		}
	}
	levels, _ := b.Script(`return [...document.querySelectorAll('main h2, main h3, h1')].map(h => h.tagName[1]).join('')`).(string)
	if !strings.HasPrefix(levels, "1") || strings.Contains(levels, "13") {
		t.Errorf("levels of headings %s", levels)
	}
	b.Click("#r-add")
	for _, kind := range []string{"token", "subject", "issuer"} {
		b.Choose("#v-kind", kind)
		named("body > dialog[open]")
	}
	b.Press(browsertest.Escape)
}

// TestLooks: contrast in both schemes, reduced motion, and no sideways scrolling
// on a phone.
func TestLooks(t *testing.T) {
	g := newFakeGateway()
	g.answer = func(object) object { return verdict(false, object{"sub": "string"}) }
	g.issuers[1]["usable"], g.issuers[1]["last_error"] = false, "TLS: certificate has expired"
	b := open(t, g)
	b.Fill("#x-token", "a.b.c")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-result", "Refused")
	backgrounds := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		b.Prefer(map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
		backgrounds[fmt.Sprint(b.Script("return getComputedStyle(document.body).backgroundColor"))] = true
		if low := b.Script(contrast); low != "" {
			t.Errorf("%s: too little contrast:\n%v", scheme, low)
		}
		if got := b.Script("return getComputedStyle(document.documentElement).scrollBehavior"); got != "auto" {
			t.Errorf("%s: scrolls %v although motion is to be reduced", scheme, got)
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("light and dark look the same: %v", backgrounds)
	}
	for _, width := range []int{320, 390, 768, 1024, 1440} {
		b.Resize(width, 800)
		if sideways := b.Script(`const w = document.documentElement.clientWidth; return document.documentElement.scrollWidth <= w ? '' : [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest('.scroll, nav')).map(e => e.tagName + '.' + e.className + '#' + e.id).slice(0, 5).join(' ')`); sideways != "" {
			t.Errorf("%d pixels wide: scrolls sideways: %v", width, sideways)
		}
	}
}

// contrast lists texts below 4.5:1 (WCAG 2.2, 1.4.3), with the ratio.
const contrast = `
const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
const lum = c => c.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((a, v, i) => a + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
const low = new Set();
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility() || e.closest('svg, :disabled, .unseen, option')) continue;
  const a = lum(rgb(getComputedStyle(e).color)), b = lum(behind(e));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) low.add(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40));
}
return [...low].join('\n');`
