package caddymodule

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// backendSites forward one claim in every form, and one identity on routes of
// every kind.
const backendSites = `
http://forms.example.com:PORT {
	jwtgate {
		forward {
			X-Default v
			X-Join v join ,
			X-Json v json
			X-Base64url v base64url
			X-Utf8 v utf8
		}
	}
	reverse_proxy RAW
}
(user) {
	forward {
		X-User-ID sub
		X-User-Name name
		X-User-Roles realm_access.roles join ,
		X-User-Address address json
	}
	strip X-User-*
}
http://api.example.com:PORT {
	@public path /public
	jwtgate @public {
		public
	}
	@optional path /optional
	jwtgate @optional {
		optional
		import user
	}
	@observe path /observe
	jwtgate @observe {
		observe
		import user
	}
	@web path /web
	jwtgate @web {
		preflight on
		import user
	}
	@stripped path /stripped
	jwtgate @stripped {
		strip_token
		import user
	}
	@small path /small
	jwtgate @small {
		max_header 16
		import user
	}
	@strict path /strict
	jwtgate @strict {
		max_header 16 refuse
		import user
	}
	@orders path /orders
	jwtgate @orders {
		import user
	}
	reverse_proxy RAW
}
`

var theForms = []string{"X-Default", "X-Join", "X-Json", "X-Base64url", "X-Utf8"}

// documentedClaims are claims of every type, as JSON. Empty: not in the token.
var documentedClaims = []struct{ name, json string }{
	{"a plain string", `"alice@example.com"`},
	{"with blanks inside", `"Ada  Lovelace"`},
	{"with letters beyond ASCII", `"Zoë"`},
	{"beyond the BMP", `"😀"`},
	{"with `%`", `"50%"`},
	{"that looks encoded", `"a%2Cb"`},
	{"with `+`", `"a+b c"`},
	{"with a comma", `"a,b"`},
	{"with quotes and a backslash", `"\"a\" \\"`},
	{"with a control character", `"a\r\nX-Admin: 1"`},
	{"with a C1 control character", `"a\u0085b"`},
	{"with outer blanks", `" admin "`},
	{"with an outer no-break space", `"\u00a0admin"`},
	{"a blank alone", `" "`},
	{"that looks like a placeholder", `"{env.HOME}"`},
	{"that looks like a number", `"007"`},
	{"an empty string", `""`},
	{"an integer", `42`},
	{"a large integer", `9007199254740993`},
	{"a larger one", `98765432109876543210`},
	{"a fraction", `1.50`},
	{"an exponent", `1E+6`},
	{"negative zero", `-0`},
	{"a boolean", `true`},
	{"the other one", `false`},
	{"null", `null`},
	{"a missing claim", ``},
	{"an array of strings", `["reader","admin"]`},
	{"of strings with the separator", `["a,b","c"]`},
	{"of strings beyond ASCII", `["größe","50%"]`},
	{"of numbers", `[1,2.50,98765432109876543210]`},
	{"of booleans", `[true,false]`},
	{"of everything", `["a",7,true]`},
	{"with one element", `["reader"]`},
	{"with an empty string", `["a",""]`},
	{"with null", `["a",null]`},
	{"with an array", `["a",["b"]]`},
	{"with an object", `["a",{"b":1}]`},
	{"an empty array", `[]`},
	{"an object", `{"b":"Zoë","a":1.50}`},
	{"a nested object", `{"a":{"b":[1,{"c":null}]}}`},
	{"an empty object", `{}`},
}

// TestBackendContractIsDocumented captures every value of docs/backend.md as
// bytes that reached a backend.
func TestBackendContractIsDocumented(t *testing.T) {
	raw := newRawBackend(t)
	g := (&setup{Sites: strings.ReplaceAll(backendSites, "RAW", raw.addr)}).start(t)
	got := captures{}
	g.wire("GET", "/", "forms.example.com", g.authorization(nil)) // the keys are there
	g.captureForms(t, got, raw)
	g.captureRequest(t, got, raw)
	g.captureRoutes(t, got, raw)
	g.captureSizes(t, got, raw)
	if !t.Failed() {
		got.check(t, "../docs/backend.md")
	}
}

// omitted returns how often each form has been left out.
func omitted(t *testing.T) map[string]float64 {
	t.Helper()
	ctx := caddy.ActiveContext()
	series := gather(t, ctx.GetMetricsRegistry())
	counts := map[string]float64{}
	for _, name := range theForms {
		counts[name] = series[fmt.Sprintf(`jwtgate_headers_omitted_total{header=%q}`, name)]
	}
	return counts
}

func (g *gateway) captureForms(t *testing.T, got captures, raw *rawBackend) {
	rows := "| claim | in the token | default | `join ,` | `json` | `base64url` | `utf8` |\n|---|---|---|---|---|---|---|\n"
	for _, c := range documentedClaims {
		claims := ""
		shown := "(nothing)"
		if c.json != "" {
			claims = `,"v":` + c.json
			shown = "`" + strings.ReplaceAll(c.json, "|", `\|`) + "`"
		}
		before := omitted(t)
		a := g.wire("GET", "/", "forms.example.com", g.authorizationOf(claims))
		if a.status != 200 {
			t.Fatalf("%s: %s", c.json, a.raw)
		}
		after := omitted(t)
		block, _ := raw.last()
		rows += "| " + c.name + " | " + shown
		for _, name := range theForms {
			value, present := field(t, block, name)
			switch {
			case present && after[name] == before[name]:
				rows += " | " + code(value)
			case !present && after[name] == before[name]+1:
				rows += " | left out"
			case !present && after[name] == before[name]:
				rows += " | no header"
			default:
				t.Errorf("%s, %s: %q, counted %v times", c.json, name, value, after[name]-before[name])
			}
		}
		rows += " |\n"
	}
	got["forms"] = rows
}

var varies = regexp.MustCompile(`127\.0\.0\.1:\d+|Bearer [A-Za-z0-9_.-]+`)

// shown is a request at the backend as a fenced block, without what varies.
func shown(block string) string {
	text := varies.ReplaceAllStringFunc(block, func(s string) string {
		if strings.HasPrefix(s, "Bearer ") {
			return "Bearer <the token>"
		}
		return "127.0.0.1"
	})
	return "```http\n" + strings.ReplaceAll(text, "\r\n", "\n") + "\n```\n"
}

// authorizationOf signs claims that are written down, beside what a good token
// must have.
func (g *gateway) authorizationOf(members string) string {
	g.t.Helper()
	return "Authorization: Bearer " + g.Issuer.Sign(nil, rawMembers(g, members))
}

const zoe = `,"sub":"auth0|42","name":"Zoë Müller","realm_access":{"roles":["reader","a,b"]},"address":{"locality":"Köln"}`

func (g *gateway) captureRequest(t *testing.T, got captures, raw *rawBackend) {
	forged := []string{"X-User-ID: mallory", "X_User_ID: mallory", "x.user.name: mallory", "X-User-Admin: true", "Connection: keep-alive, X-User-ID", "X-Trace: 1"}
	if a := g.wire("GET", "/orders?page=2", "api.example.com", append(forged, g.authorizationOf(zoe))...); a.status != 200 {
		t.Fatalf("%s", a.raw)
	}
	block, _ := raw.last()
	if strings.Contains(block, "mallory") || strings.Contains(block, "Admin") {
		t.Errorf("forged headers arrived: %q", block)
	}
	got["request"] = "```http\nGET /orders?page=2 HTTP/1.1\nHost: api.example.com\n" + strings.Join(forged, "\n") + "\nAuthorization: Bearer <the token>\n```\n\narrives as\n\n" + shown(block)
}

// captureRoutes has a row for each kind of route.
func (g *gateway) captureRoutes(t *testing.T, got captures, raw *rawBackend) {
	good, bad := g.authorization(nil), "Authorization: Bearer a.b.c"
	preflight := []string{"Origin: https://app.example.com", "Access-Control-Request-Method: GET"}
	rows := "| route | request | reaches you | with `X-User-ID` | with `Authorization` |\n|---|---|---|---|---|\n"
	for _, r := range []struct {
		route, request, method, path string
		lines                        []string
	}{
		{"a plain gate", "a good token", "GET", "/orders", []string{good}},
		{"a plain gate", "a bad token", "GET", "/orders", []string{bad}},
		{"a plain gate", "no token", "GET", "/orders", nil},
		{"`optional`", "a good token", "GET", "/optional", []string{good}},
		{"`optional`", "a bad token", "GET", "/optional", []string{bad}},
		{"`optional`", "no token", "GET", "/optional", nil},
		{"`public`", "a good token", "GET", "/public", []string{good}},
		{"`public`", "no token", "GET", "/public", nil},
		{"`observe`", "a good token", "GET", "/observe", []string{good}},
		{"`observe`", "a bad token", "GET", "/observe", []string{bad}},
		{"`observe`", "no token", "GET", "/observe", nil},
		{"`preflight on`", "a preflight", "OPTIONS", "/web", preflight},
		{"`strip_token`", "a good token", "GET", "/stripped", []string{good}},
	} {
		_, before := raw.last()
		a := g.wire(r.method, r.path, "api.example.com", append([]string{"X-User-ID: mallory", "X-User-Admin: true"}, r.lines...)...)
		block, after := raw.last()
		reaches, user, auth := "no: "+a.cell(), "", ""
		if after > before {
			reaches, user, auth = "yes", "no", "no"
			if id, present := field(t, block, "X-User-Id"); present {
				user = code(id)
			}
			if _, present := field(t, block, "Authorization"); present {
				auth = "yes"
			}
			if strings.Contains(block, "mallory") || strings.Contains(block, "X-User-Admin") {
				t.Errorf("%s, %s: a forged header arrived: %q", r.route, r.request, block)
			}
		}
		rows += "| " + strings.Join([]string{r.route, r.request, reaches, user, auth}, " | ") + " |\n"
	}
	got["routes"] = rows
}

func (g *gateway) captureSizes(t *testing.T, got captures, raw *rawBackend) {
	rows := "| `max_header 16` | `name` in the token | reaches you | with `X-User-Name` |\n|---|---|---|---|\n"
	for _, r := range []struct{ word, path, name string }{
		{"drop (default)", "/small", "sixteen letters."}, {"drop (default)", "/small", "seventeen letters"}, {"drop (default)", "/small", "Zoë Müller"},
		{"`refuse`", "/strict", "sixteen letters."}, {"`refuse`", "/strict", "seventeen letters"},
	} {
		_, before := raw.last()
		a := g.wire("GET", r.path, "api.example.com", g.authorizationOf(`,"name":"`+r.name+`"`))
		block, after := raw.last()
		reaches, value := "no: "+a.cell(), ""
		if after > before {
			reaches, value = "yes", "no"
			if v, present := field(t, block, "X-User-Name"); present {
				value = code(v)
			}
		}
		rows += "| " + strings.Join([]string{r.word, "`" + r.name + "`", reaches, value}, " | ") + " |\n"
	}
	got["sizes"] = rows
}
