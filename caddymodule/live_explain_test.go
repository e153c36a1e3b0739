package caddymodule

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
)

// explainSites is what most tests of explanations run.
const explainSites = `GATEWAY {
	handle /orders* {
		jwtgate {
			audience api
			require scope orders:read
			forward {
				X-User-ID sub
				X-Roles realm_access.roles join ,
				X-Tenant tenant
			}
		}
		reverse_proxy BACKEND
	}
	handle_path /v1/* {
		rewrite * /internal{uri}
		@inner path /internal/*
		jwtgate @inner {
			audience api
			optional
		}
		reverse_proxy BACKEND
	}
	handle /watch {
		jwtgate {
			audience api
			observe
		}
		reverse_proxy BACKEND
	}
	handle /open {
		jwtgate {
			public
		}
		respond "open"
	}
	handle /bye {
		jwtgate_logout {
			allow_expired 1h
		}
		jwtgate {
			audience api
		}
		reverse_proxy BACKEND
	}
	handle /reports* {
		reverse_proxy BACKEND
	}
}
`

// adminOf serves the admin API of the running configuration.
func adminOf(t testing.TB) *console {
	t.Helper()
	mux := http.NewServeMux()
	for _, route := range new(AdminAPI).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { _ = route.Handler.ServeHTTP(w, r) })
	}
	return serveAdmin(t, mux)
}

// explainLab is a gateway and the command.
type explainLab struct {
	*gateway
	*console
	t *testing.T
}

func newExplainLab(t *testing.T, sites string) *explainLab {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	l := &explainLab{gateway: live(t, sites), t: t}
	l.console = adminOf(t)
	l.eventually("keys", func() bool {
		return !l.once("GET", "/orders", "Authorization: Bearer "+l.sign(nil)).unavailable()
	})
	return l
}

func (l *explainLab) eventually(what string, ok func() bool) { eventually(l.t, what, ok) }

func (a got) unavailable() bool { return a.Status == http.StatusServiceUnavailable }

// sign mints a token that the gate at /orders accepts, with changes.
func (l *explainLab) sign(changes map[string]any, opts ...issuertest.Option) string {
	claims := map[string]any{"scope": "orders:read", "sub": "alice-the-subject", "realm_access": map[string]any{"roles": []string{"editor", "buyer"}}}
	for name, value := range changes {
		claims[name] = value
	}
	return l.Issuer.Sign(claims, opts...)
}

// explain runs the command on a token from standard input.
func (l *explainLab) explain(raw string, args ...string) (out string, code int) {
	l.t.Helper()
	out, errOut, err := l.run(raw, append([]string{"explain", "-"}, args...)...)
	if code = cli.Code(err); code > cli.Refused {
		l.t.Fatalf("%v: %v %s", args, err, errOut)
	}
	return out, code
}

// firstCross returns the first step that failed, and its hint.
func firstCross(out string) (step, hint string) {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if _, rest, ok := strings.Cut(line, "✗ FAIL "); ok {
			if i+1 < len(lines) && strings.Contains(lines[i+1], "→ ") {
				_, hint, _ = strings.Cut(lines[i+1], "→ ")
			}
			return rest, hint
		}
	}
	return "", ""
}

// TestExplainFindsTheCause: each thing that breaks in practice is the first
// cross of one command, with what to do about it.
func TestExplainFindsTheCause(t *testing.T) {
	l := newExplainLab(t, explainSites)
	now := time.Now()
	look := func(name, raw string, want, hint string, args ...string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			out, code := l.explain(raw, append([]string{"--route", "/orders"}, args...)...)
			step, said := firstCross(out)
			if code != cli.Refused || !strings.Contains(step, want) || !strings.Contains(said, hint) {
				t.Errorf("exit %d, cross %q, hint %q\nwant %q, %q\n%s", code, step, said, want, hint, out)
			}
			if strings.Contains(out, raw) || strings.Contains(out, "alice-the-subject") {
				t.Errorf("the token, or a claim, is in the output:\n%s", out)
			}
		})
	}
	look("wrong audience", l.sign(map[string]any{"aud": "https://billing.example.com"}),
		"audience        https://billing.example.com (expected: aud api)", "add `audience https://billing.example.com` to the gate")
	look("issuer with a slash", l.sign(map[string]any{"iss": l.Issuer.URL() + "/"}), "issuer ", "differs by the slash at the end")
	look("typo in an issuer", l.sign(map[string]any{"iss": strings.Replace(l.Issuer.URL(), "127", "172", 1)}), "issuer ", "the nearest that is configured is "+l.Issuer.URL())
	look("another issuer", l.sign(map[string]any{"iss": "urn:somebody:else"}), "issuer ", "this gate trusts "+l.Issuer.URL())
	look("clock behind", l.sign(map[string]any{"iat": now.Add(2 * time.Minute).Unix(), "exp": now.Add(7 * time.Minute).Unix()}),
		"times           issued 1 min 5", "the clock of this gateway may be 1 min 5")
	look("clock ahead", l.sign(map[string]any{"iat": now.Add(-2 * time.Minute).Unix(), "exp": now.Add(-time.Minute).Unix()}),
		"expiry          expired 1 min", "the clock of this gateway may be 2 min")
	look("long expired", l.sign(map[string]any{"exp": now.Add(-2*time.Hour - 3*time.Minute).Unix()}), "expired 2 h 3 min ago (exp ", "the app has to refresh it")
	look("unknown key", l.sign(nil, issuertest.Kid("other\x1b[2J")), "signature       kid other", "the keys here are "+l.Issuer.Key().ID()+" (RS256), fetched ")
	look("another key", l.sign(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[5] ^= 1; return s })), "signature ", "the token was changed or cut on its way")
	look("secret", l.sign(nil, issuertest.Header("alg", "HS256")), "algorithm       HS256", "name it with `secret {env.NAME}` at the issuer")
	look("not signed", l.sign(nil, issuertest.Header("alg", "none")), "syntax", "the token is not signed")
	look("opaque", "gho_16C7e42F292c6912E7710c838347Ae178B4a", "syntax", "this is no JWT but an opaque token")
	look("encrypted", l.sign(nil)+".x.y", "syntax", "an encrypted token (JWE)")
	look("cut", l.sign(nil)[:100], "syntax", "some of it may be missing")
	look("scope", l.sign(map[string]any{"scope": "profile"}), "rules           profile (expected: scope any of orders:read)", "ask the issuer for the scope")
	look("type", l.sign(nil, issuertest.Header("typ", "id+jwt")), "type            id+jwt", "`token_type id+jwt`")
	look("no route", l.sign(nil), "gate            No gate is on this route: the backend is reached without a check", "put `jwtgate` on this route", "--route", "/reports/1")
	look("no such route", l.sign(nil), "nobody answers it", "put `jwtgate`", "--route", "/nothing")

	t.Run("rotated key", func(t *testing.T) {
		l.Issuer.RotateWithdraw()
		raw := l.sign(nil)
		// The budget for unknown keys is spent by the case above.
		step, hint := firstCross(first(l.explain(raw, "--route", "/orders")))
		if !strings.Contains(step, "signature       kid ") || !strings.Contains(hint, "the issuer has changed its keys") {
			t.Errorf("%q %q", step, hint)
		}
	})
	t.Run("issuer down", func(t *testing.T) {
		l.Issuer.Down()
		defer l.Issuer.Up()
		raw := l.sign(nil)
		l.eventually("the failed fetch", func() bool {
			for _, issuer := range runningApp(t).state.trusts.list() {
				if issuer.source.RefreshNow(t.Context()) == nil {
					return false
				}
			}
			return true
		})
		out, _ := l.explain(raw, "--route", "/orders")
		step, hint := firstCross(out)
		if !strings.Contains(step, "the last fetch failed") && !strings.Contains(step, "signature") || !strings.Contains(hint, "last tried") || !strings.Contains(out, "503 Service Unavailable") {
			t.Errorf("%s", out)
		}
	})
}

// total sums a counter over its labels.
func total(t *testing.T, c prometheus.Collector) (sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

func first(out string, _ int) string { return out }

// runningApp returns the app of the running configuration.
func runningApp(t testing.TB) *App {
	t.Helper()
	module, err := caddy.ActiveContext().AppIfConfigured("jwtgate")
	if err != nil {
		t.Fatal(err)
	}
	return module.(*App)
}

// TestExplainRevocation says which entry, when, by whom.
func TestExplainRevocation(t *testing.T) {
	l := newExplainLab(t, explainSites)
	raw := l.sign(nil)
	if _, errOut, err := l.run("", "revoke", "--issuer", l.Issuer.URL(), "--subject", "alice-the-subject", "--note", "left the company"); err != nil {
		t.Fatal(err, errOut)
	}
	out, code := l.explain(raw, "--route", "/orders")
	step, hint := firstCross(out)
	for _, want := range []string{"revocation      subject revoked 20", "ago) via admin by ", `note "left the company", id `} {
		if !strings.Contains(step, want) {
			t.Errorf("%q lacks %q", step, want)
		}
	}
	if code != cli.Refused || !strings.Contains(hint, "revocations undo") || !strings.Contains(out, "session") && !strings.Contains(out, "token_revoked") {
		t.Errorf("%d %s", code, out)
	}
	id := revocation.DigestOf(revocation.Subject, l.Issuer.URL(), "alice-the-subject").String()
	if !strings.Contains(step, id) {
		t.Errorf("%q lacks the id %s", step, id)
	}
}

// TestExplainModes walks the other routes: rewriting, optional, observe,
// public, logout.
func TestExplainModes(t *testing.T) {
	l := newExplainLab(t, explainSites)
	good := l.sign(nil)
	bad := l.sign(map[string]any{"aud": "other"})
	old := l.sign(map[string]any{"exp": time.Now().Add(-10 * time.Minute).Unix()})
	for _, tt := range []struct {
		name, raw, route string
		code             int
		want             []string
	}{
		{"accepted", good, "/orders/5?page=2", 0, []string{"leads to reverse_proxy " + l.Backend.addr, "X-User-Id", "absent: the claim is missing", "The request is let through."}},
		{"behind handle_path", good, "/v1/x", 0, []string{"(optional: ", "The request is let through."}},
		{"bad token at optional", bad, "/v1/x", 1, []string{"✗ FAIL audience"}},
		{"observed", bad, "/watch", 0, []string{"✗ FAIL audience", "observes only", "(observe: decides and counts"}},
		{"public", bad, "/open", 0, []string{"public", "leads to static_response"}},
		{"expired", old, "/orders", 1, []string{"expired 10 min"}},
		{"expired at the logout", old, "/bye", 0, []string{"The request is let through."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := l.explain(tt.raw, "--route", tt.route)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		out, _, err := l.run("", "explain", "--route", "/v1/x")
		if err != nil || !strings.Contains(out, "– skip extract") || !strings.Contains(out, "let through as anonymous") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("no token", func(t *testing.T) {
		out, _, err := l.run("", "explain", "--route", "/orders", "--header", "Content-Type: application/grpc")
		if cli.Code(err) != 1 || !strings.Contains(out, "Grpc-Status: 16") || !strings.Contains(out, "send `Authorization: Bearer <token>`") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if n := len(l.Backend.take()); n != 1 {
		t.Errorf("%d requests at the backend, want the one that waited for the keys", n)
	}
}

// TestExplainIsNotSeen: neither decisions nor the cache count, no log has the
// token, and what looks like an order to the terminal is none.
func TestExplainIsNotSeen(t *testing.T) {
	l := newExplainLab(t, explainSites)
	raw := l.sign(nil)
	decisions := func() float64 { return total(t, process.decisions) }
	before, hits := decisions(), runningApp(t).state.cache.Stats()
	tokens := []string{raw, l.sign(map[string]any{"aud": "other"}), l.sign(map[string]any{"iss": "x\x1b]0;pwned\x07\u202e\u009b2J"}, issuertest.Kid("\x1b[2J"))}
	for _, tok := range tokens {
		for _, args := range [][]string{{"--route", "/orders"}, {"--route", "/v1/x?access_token=1"}, {"--json", "--show-claims"}} {
			out, _ := l.explain(tok, args...)
			if strings.ContainsAny(out, "\x1b\x07\u202e\u009b") {
				t.Errorf("the terminal would obey: %q", out)
			}
		}
	}
	if after := decisions(); after != before {
		t.Errorf("%v decisions counted", after-before)
	}
	if after := runningApp(t).state.cache.Stats(); after.Hits != hits.Hits || after.Misses != hits.Misses || after.Entries != hits.Entries {
		t.Errorf("cache %+v, before %+v", after, hits)
	}
	log, err := os.ReadFile(l.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range tokens {
		for _, part := range strings.Split(tok, ".")[1:] {
			if tok != raw && strings.Contains(string(log), part) {
				t.Errorf("the log has a part of a token: %.20s...", part)
			}
		}
	}
	if len(log) == 0 {
		t.Error("there is no log")
	}
}
