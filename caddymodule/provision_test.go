package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/jwtgate/jwtgate/token"
)

// provision loads a configuration without starting it and returns our app and
// gates, in the order of the routes.
func provision(t *testing.T, config string) (*App, []*Handler, error) {
	t.Helper()
	ctx, err := caddy.ProvisionContext(decode(t, config))
	if err != nil {
		return nil, nil, err
	}
	module, err := ctx.App("jwtgate")
	if err != nil {
		t.Fatal(err)
	}
	app := module.(*App)
	t.Cleanup(func() { _ = app.Cleanup() })
	server, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	var gates []*Handler
	var walk func(routes caddyhttp.RouteList)
	walk = func(routes caddyhttp.RouteList) {
		for _, route := range routes {
			for _, handler := range route.Handlers {
				switch h := handler.(type) {
				case *Handler:
					t.Cleanup(func() { _ = h.Cleanup() })
					gates = append(gates, h)
				case *caddyhttp.Subroute:
					walk(h.Routes)
				}
			}
		}
	}
	for _, s := range server.(*caddyhttp.App).Servers {
		walk(s.Routes)
	}
	return app, gates, nil
}

// load is provision of a Caddyfile that is right.
func load(t *testing.T, caddyfile string) (*App, []*Handler) {
	t.Helper()
	config, err := adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	app, gates, err := provision(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return app, gates
}

func site(lines ...string) string {
	return ":8080 {\n\tjwtgate {\n\t\t" + strings.Join(lines, "\n\t\t") + "\n\t}\n}\n"
}

// TestContradictionsInJSON covers what the Caddyfile refuses while it is read.
func TestContradictionsInJSON(t *testing.T) {
	issuer := func(members string) string {
		return `"handler": "jwtgate", "issuers": [{"issuer": "https://id.example.test", ` + members + `}]`
	}
	for name, c := range map[string]struct{ handler, want string }{
		"public and optional":    {`"handler": "jwtgate", "public": true, "optional": true`, "public contradicts optional"},
		"public and issuers":     {`"handler": "jwtgate", "public": true, "use_issuers": ["a"]`, "public contradicts use_issuers"},
		"public and max_token":   {`"handler": "jwtgate", "public": true, "max_token": "1KiB"`, "public contradicts max_token"},
		"two key sources":        {issuer(`"audience": ["a"], "jwks": "https://a.test", "pem_file": "testdata/key.pem"`), "jwks and pem_file contradict each other"},
		"any and named audience": {issuer(`"audience": ["a"], "any_audience": true`), "any_audience contradicts"},
		"gate any and named":     {issuer(`"audience": ["a"]`) + `, "audience": ["a"], "any_audience": true`, "any_audience contradicts"},
		"no name":                {`"handler": "jwtgate", "issuers": [{"issuer": ""}]`, "issuer: its name is missing"},
		"null issuer":            {`"handler": "jwtgate", "issuers": [null]`, "issuer: its name is missing"},
		"null require":           {issuer(`"audience": ["a"]`) + `, "require": [null]`, "require: line 1 is null"},
		"null forward":           {issuer(`"audience": ["a"]`) + `, "forward": [null]`, "forward: line 1 is null"},
		"null token_from":        {issuer(`"audience": ["a"]`) + `, "token_from": [null]`, "token_from: entry 1 is null"},
		"empty audience":         {issuer(`"audience": [""]`), "audience: an empty value"},
		"skew":                   {issuer(`"audience": ["a"], "skew": "1h"`), "skew: 1h0m0s is above 5m0s"},
		"unknown kind":           {issuer(`"audience": ["a"]`) + `, "require": [{"kind": "role", "values": ["x"]}]`, "kind 'role' is not"},
		"scope with expression":  {issuer(`"audience": ["a"]`) + `, "require": [{"kind": "scope", "values": ["x"], "expr": "true"}]`, "neither a claim nor an expression"},
		"separator without join": {issuer(`"audience": ["a"]`) + `, "forward": [{"header": "X-A", "claim": "a", "separator": ","}]`, "a separator needs the form join"},
		"header twice":           {issuer(`"audience": ["a"]`) + `, "forward": [{"header": "X-A", "claim": "a"}, {"header": "x-a", "claim": "b"}]`, "is given twice"},
		"strip":                  {issuer(`"audience": ["a"]`) + `, "strip": ["*"]`, "strip: header pattern"},
		"token source":           {issuer(`"audience": ["a"]`) + `, "token_from": [{"from": "header", "name": "Cookie"}]`, "no place for a token"},
		"realm":                  {issuer(`"audience": ["a"]`) + `, "realm": "a\nb"`, "realm:"},
		"max_header_action":      {issuer(`"audience": ["a"]`) + `, "max_header_action": "cut"`, "max_header_action: 'cut'"},
		"secret encoding":        {issuer(`"audience": ["a"], "secret": {"value": "x", "encoding": "rot13"}`), "secret: encoding: 'rot13'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := provision(t, gateJSON(c.handler))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %q in it", err, c.want)
			}
		})
	}
}

// TestSecretsStayOutOfErrors provisions secrets that are wrong.
func TestSecretsStayOutOfErrors(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	t.Setenv("JWTGATE_TEST_SHORT", secret)
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, caddyfile := range map[string]string{
		"short":           site("issuer a {", "audience a", "secret "+secret, "}"),
		"short from env":  site("issuer a {", "audience a", "secret {env.JWTGATE_TEST_SHORT}", "}"),
		"short from file": site("issuer a {", "audience a", "secret {file."+file+"}", "}"),
		"not base64":      site("issuer a {", "audience a", "secret {env.JWTGATE_TEST_SHORT} base64", "}"),
		"not hex":         site("issuer a {", "audience a", "secret "+secret+" hex", "}"),
		"with braces":     site("issuer a {", "audience a", "secret {"+secret+"}", "}"),
		"redis URL": "{\njwtgate {\nissuer https://id.example.test {\naudience a\n}\nrevocation {\nredis redis://u:{env.JWTGATE_TEST_SHORT}@%zz\n}\n}\n}\n" +
			":8080 {\njwtgate\n}\n",
		"redis URL braces": "{\njwtgate {\nrevocation {\nredis redis://u:{" + secret + "}@host\n}\n}\n}\n:8080 {\njwtgate {\npublic\n}\n}\n",
		"redis password":   "{\njwtgate {\nrevocation {\nredis redis://host {\npassword {" + secret + "}\n}\n}\n}\n}\n:8080 {\njwtgate {\npublic\n}\n}\n",
		"issuer URL":       site("issuer a {", "audience a", "jwks https://u:{env.JWTGATE_TEST_SHORT}@id.example.test/keys", "}"),
	} {
		t.Run(name, func(t *testing.T) {
			config, err := adapt(caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err = provision(t, config); err == nil {
				t.Fatal("it loads")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

// TestSecretForms decodes one secret in each form.
func TestSecretForms(t *testing.T) {
	t.Setenv("JWTGATE_TEST_FORM", "0123456789abcdef0123456789abcdef")
	for _, s := range []Secret{
		{Value: "0123456789abcdef0123456789abcdef"},
		{Value: "{env.JWTGATE_TEST_FORM}", Encoding: "plain"},
		{Value: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", Encoding: "base64"},
		{Value: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", Encoding: "base64url"},
		{Value: "3031323334353637383961626364656630313233343536373839616263646566", Encoding: "hex"},
	} {
		got, err := s.bytes()
		if err != nil || string(got) != "0123456789abcdef0123456789abcdef" {
			t.Errorf("%+v: got %q, %v", s, got, err)
		}
	}
	plain := Secret{Value: `a\{b\}c`}
	if got, err := plain.bytes(); err != nil || string(got) != "a{b}c" {
		t.Errorf("escaped braces: got %q, %v", got, err)
	}
}

// TestAudiences pairs the audience of an issuer with that of a gate.
func TestAudiences(t *testing.T) {
	for name, c := range map[string]struct {
		issuer   []string
		any      bool
		gate     []string
		gateAny  bool
		want     []string
		wantAny  bool
		wantFail bool
	}{
		"issuer alone":       {issuer: []string{"a", "b"}, want: []string{"a", "b"}},
		"gate alone":         {gate: []string{"a"}, want: []string{"a"}},
		"subset":             {issuer: []string{"a", "b"}, gate: []string{"b"}, want: []string{"b"}},
		"part of it":         {issuer: []string{"a", "b"}, gate: []string{"b", "c"}, want: []string{"b"}},
		"nothing in common":  {issuer: []string{"a"}, gate: []string{"c"}, wantFail: true},
		"none":               {wantFail: true},
		"issuer any":         {any: true, wantAny: true},
		"gate any":           {gateAny: true, wantAny: true},
		"any, then narrowed": {any: true, gate: []string{"a"}, want: []string{"a"}},
		"widened to any":     {issuer: []string{"a"}, gateAny: true, wantFail: true},
	} {
		t.Run(name, func(t *testing.T) {
			i := &trustedIssuer{issuerSettings: &issuerSettings{name: "i", audience: c.issuer, anyAudience: c.any}}
			got, err := i.at(c.gate, c.gateAny)
			if (err != nil) != c.wantFail {
				t.Fatalf("error %v, want one: %t", err, c.wantFail)
			}
			if err == nil && (!slices.Equal(got.Audience, c.want) || got.AnyAudience != c.wantAny) {
				t.Errorf("got %q, any %t", got.Audience, got.AnyAudience)
			}
		})
	}
}

// TestIssuersOfAGate says which issuers a gate trusts, and that a block at a
// site replaces the app's for that gate alone.
func TestIssuersOfAGate(t *testing.T) {
	const app = `{
	jwtgate {
		issuer https://a.example.test {
			audience x
			jwks_file testdata/keys.json
		}
		issuer https://b.example.test {
			audience x
			jwks_file testdata/keys.json
		}
	}
}
`
	for name, c := range map[string]struct {
		gate  []string
		names []string
		own   []bool // not the app's
	}{
		"none named": {nil, []string{"https://a.example.test", "https://b.example.test"}, []bool{false, false}},
		"one named":  {[]string{"issuer https://b.example.test"}, []string{"https://b.example.test"}, []bool{false}},
		"replaced": {[]string{"issuer https://b.example.test {", "audience x", "pem_file testdata/key.pem", "}"},
			[]string{"https://b.example.test"}, []bool{true}},
		"unknown to the app": {[]string{"issuer https://c.example.test", "audience x"}, []string{"https://c.example.test"}, []bool{true}},
		"both": {[]string{"issuer https://a.example.test", "issuer c {", "audience x", "pem_file testdata/key.pem", "}"},
			[]string{"https://a.example.test", "c"}, []bool{false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			a, gates := load(t, app+site(c.gate...))
			h := gates[0]
			trusted, err := h.trusted(a, a.state.lender, h.run.logger)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			var own []bool
			for _, i := range trusted {
				names = append(names, i.name)
				own = append(own, !slices.Contains(a.state.issuers, i))
			}
			if !slices.Equal(names, c.names) || !slices.Equal(own, c.own) {
				t.Errorf("got %q %v, want %q %v", names, own, c.names, c.own)
			}
		})
	}
}

// TestManagedNamesAreTheUnionOverAllGates also covers public gates, and that
// one configuration's names are not another's.
func TestManagedNamesAreTheUnionOverAllGates(t *testing.T) {
	a, _ := load(t, ":8080 {\njwtgate /a {\npublic\nforward {\nX-One sub\n}\n}\nhandle /b {\njwtgate {\npublic\nstrip X-Two-* X-Three\n}\n}\n}\n")
	for name, want := range map[string]bool{
		"X-One": true, "x_one": true, "X.Two.Anything": true, "X-Three": true, "X-Two": false, "X-Four": false,
	} {
		if got := a.managed().Match(name); got != want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	b, _ := load(t, site("public", "strip X-Four"))
	if b.managed().Match("X-One") || !b.managed().Match("X-Four") {
		t.Error("names of one configuration are in another")
	}
}

// TestManagedNamesWithoutAny answers for a configuration that manages nothing.
func TestManagedNamesWithoutAny(t *testing.T) {
	a, _ := load(t, site("public"))
	if a.managed().Match("X-One") {
		t.Error("X-One is managed")
	}
}

// TestSettingsOfAGate compares what a request meets.
func TestSettingsOfAGate(t *testing.T) {
	_, gates := load(t, site("issuer a {", "pem_file testdata/key.pem", "audience x", "}",
		"cors HTTPS://App.Example.Test:443 http://localhost:80 https://b.example.test:8443",
		"token_from cookie session origins https://App.example.test:443",
		"max_token 1KiB", "realm orders"))
	run := gates[0].run
	for _, origin := range []string{"https://app.example.test", "http://localhost", "https://b.example.test:8443"} {
		if _, ok := run.cors[origin]; !ok {
			t.Errorf("cors lacks %s: %v", origin, run.cors)
		}
	}
	if len(run.cors) != 3 || run.maxToken != 1024 || run.realm != "orders" || run.gate == nil || run.now == nil {
		t.Errorf("got %+v", run)
	}
	if got := run.sources[0]; got.From != "cookie" || got.Name != "session" || !slices.Equal(got.Origins, []string{"https://app.example.test"}) {
		t.Errorf("source %+v", got)
	}
	_, gates = load(t, site("issuer a {", "pem_file testdata/key.pem", "audience x", "}"))
	if run := gates[0].run; run.maxToken != token.DefaultMaxLength || run.realm != "api" || run.preflight {
		t.Errorf("defaults: %+v", run)
	}
}

// TestWarningsAtLoad: what an operator chose in spite of its danger is said at
// each load.
func TestWarningsAtLoad(t *testing.T) {
	t.Setenv("JWTGATE_TEST_SECRET", "0123456789abcdef0123456789abcdef")
	for name, c := range map[string]struct {
		gate []string
		want string // empty: no warning
	}{
		"nothing special":    {[]string{"issuer a {", "audience x", "pem_file testdata/key.pem", "}"}, ""},
		"audience any":       {[]string{"issuer a {", "audience any", "pem_file testdata/key.pem", "}"}, "audience any"},
		"audience any there": {[]string{"issuer a {", "pem_file testdata/key.pem", "}", "audience any"}, "audience any"},
		"insecure":           {[]string{"issuer http://id.example.test {", "audience x", "insecure", "}"}, "insecure"},
		"observe":            {[]string{"issuer a {", "audience x", "pem_file testdata/key.pem", "}", "observe"}, "observe"},
		"query":              {[]string{"issuer a {", "audience x", "pem_file testdata/key.pem", "}", "token_from query jwt"}, "replace jwt REDACTED"},
		"open secret":        {[]string{"issuer a {", "audience x", "secret 0123456789abcdef0123456789abcdef", "}"}, "secret: it is part of the configuration"},
		"hidden secret":      {[]string{"issuer a {", "audience x", "secret {env.JWTGATE_TEST_SECRET}", "}"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			app, gates := load(t, site(c.gate...))
			core, logs := observer.New(zap.InfoLevel)
			if _, err := gates[0].build(app, app.state.lender, zap.New(core)); err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, entry := range logs.All() {
				said = append(said, fmt.Sprint(entry.Level, entry.Message, entry.ContextMap()))
			}
			all := strings.Join(said, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) || c.want != "" && len(said) != 1 {
				t.Errorf("want one warning with %q, got %q", c.want, said)
			}
			if strings.Contains(all, "0123456789abcdef") {
				t.Errorf("the secret is in the log: %s", all)
			}
		})
	}
}
