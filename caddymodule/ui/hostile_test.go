package ui_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// probes are texts that become more than text where they are not treated as
// text: markup, attributes, addresses, templates, and characters that turn the
// line around or hide.
var probes = []string{
	`<script>window.probed=1</script>`,
	`<img src=x onerror="window.probed=2">`,
	`"><svg onload=window.probed=3>`,
	`' onfocus='window.probed=4' autofocus='`,
	`javascript:window.probed=5`,
	`</title></textarea></style><iframe srcdoc="<script>parent.probed=6</script>">`,
	`{{constructor.constructor('window.probed=7')()}}${window.probed=8}`,
	"admin\u202Enimda\u2066\u200B\x00\x1b[2J",
	`__proto__`,
}

// TestHostileText: kids, notes, issuers, claims and errors are chosen by
// strangers.
func TestHostileText(t *testing.T) {
	g := newFakeGateway()
	all := strings.Join(probes, " ")
	claims := object{}
	for i, probe := range probes {
		claims[probe] = probe
		g.issuers = append(g.issuers, object{"issuer": "https://evil.example/" + probe, "source": probe, "location": probe, "usable": i%2 == 0, "stale": true,
			"keys":    []object{{"kid": probe, "kty": probe, "alg": probe, "crv": probe, "use": probe, "thumbprint": probe}},
			"skipped": []string{probe}, "fetched_at": probe, "next_refresh": probe, "last_error": probe, "last_error_kind": probe, "last_error_at": probe})
		g.decisions = append(g.decisions, object{"result": probe, "reason": probe, "code": probe, "issuer": probe, "total": 5, "last_1m": 5, "last_5m": 5, "last_15m": 5})
		g.entries = append([]revocation.Entry{{Kind: revocation.Subject, Issuer: goodIssuer, Value: probe, Note: probe, Via: probe, By: probe,
			RevokedAt: time.Now(), Until: time.Now().Add(time.Hour)}}, g.entries...)
	}
	g.summary, g.problems = all, []object{{"level": all, "about": all, "issuer": all, "text": all, "cause": all, "do": all}}
	g.feed = object{"state": all, "redis": all, "outbox": 1, "stream": 0, "lag_seconds": 0, "last_answer": all, "losses": 0, "malformed": 0, "last_error": all}
	g.observed = []object{{"route": all, "would_pass": 1, "unlisted": 0, "would_refuse": []object{{"reason": all, "code": all, "issuer": all, "client": all, "count": 1, "first_at": all, "last_at": all}}}}
	g.answer = func(object) object {
		return object{"allowed": false, "verdict": all, "summary": all, "route": all, "server": all, "request": object{"method": all, "scheme": all, "host": all, "path": all},
			"end": object{"handler": all, "upstreams": probes}, "token": object{"alg": all, "kid": all, "typ": all, "verified": false}, "warnings": probes, "claims": claims,
			"gates":   []object{{"gate": all, "mode": all, "issuer": all, "note": all, "result": all, "reason": all, "steps": []object{{"step": all, "result": all, "expected": all, "found": all, "note": all, "hint": all}}}},
			"headers": []object{{"name": all, "claim": all, "form": all, "value": all}},
			"answer":  object{"status": 401, "code": all, "action": all, "headers": object{all: probes}, "body": all}}
	}
	b := open(t, g)
	b.Script(`document.querySelectorAll('details').forEach(d => { d.open = true })`)
	b.Fill("#x-token", `<script>window.probed=9</script>`)
	b.Click("#x-claims")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-result", "<iframe srcdoc=")
	b.UntilText("#o-gates", "<img src=x")
	b.UntilText("#r-rows", "onfocus=")
	b.Click("#all-reasons")
	b.UntilText("#reasons", "<script>")
	b.UntilText("#issuer-list", "Key id Type Algorithm Size Use Seen Thumbprint <script>")
	b.Click("#r-rows button")
	b.UntilText("#ask-text", "subject __proto__")
	b.Click("#ask-yes")
	b.UntilText("#r-said", "Undone")
	b.Click("#refresh-all")
	b.UntilText("#refresh-said", "<script>")

	if probed := b.Script("return window.probed ?? null"); probed != nil {
		t.Errorf("probe %v ran", probed)
	}
	strange := b.Script(`return [...document.querySelectorAll('iframe, img:not([src="icon.svg"]), script:not([src="main.js"]), style, object, embed, base, a:not([href^="#"]), [onfocus], [onerror], [onload], [srcdoc]')].map(e => e.outerHTML).join('\n')`)
	if strange != "" {
		t.Errorf("a probe became markup: %v", strange)
	}
	text, _ := b.Script("return document.body.textContent").(string)
	if strings.ContainsAny(text, "\u202E\u2066\u200B\x00\x1b") {
		t.Error("a character that hides, or turns the line around, is in the page")
	}
	if title, _ := b.Script("return document.title").(string); title != "jwtgate at localhost:2019" {
		t.Errorf("title %q", title)
	}
	wide, _ := b.Script("return document.documentElement.scrollWidth > document.documentElement.clientWidth").(bool)
	if wide {
		t.Error("the page became wider than the window")
	}
}
