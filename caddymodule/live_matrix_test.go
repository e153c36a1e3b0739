package caddymodule

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// oneOption are gates that differ from the first in one option each, and what
// each makes of one and the same token.
var oneOption = []struct {
	name   string
	issuer string // lines of an issuer block of the gate; empty: the app's
	gate   string // further lines
	status int
	code   string
	user   string // X-User-ID at the backend
	other  string // X-Other at the backend
	// checks names the verification settings under which the gate checks the
	// signature; gates that refuse before do not.
	checks string
}{
	{"nothing", "", "", 200, "", "alice", "", "app"},
	{"another audience", "", "audience orders", 401, "token_invalid", "", "", "app"},
	{"a scope that it has", "", "require scope orders:read", 200, "", "alice", "", "app"},
	{"a scope that it lacks", "", "require scope orders:write", 403, "insufficient_scope", "", "", "app"},
	{"a claim that it has", "", "require claim roles admin", 200, "", "alice", "", "app"},
	{"a claim that it lacks", "", "require claim roles owner", 403, "access_denied", "", "", "app"},
	{"an expression over claims", "", "require expr `claims.tenant == \"beta\"`", 403, "access_denied", "", "", "app"},
	{"an expression over the request", "", "require expr `request.path.startsWith(\"/7\")`", 200, "", "alice", "", "app"},
	{"a further header", "", "forward {\nX-Other tenant\n}", 200, "", "alice", "acme", "app"},
	{"the same header from another claim", "", "forward {\nX-Other email\n}", 200, "", "alice", "alice.of.acme@example.com", "app"},
	{"small headers", "", "forward {\nX-Other email\n}\nmax_header 16B refuse", 403, "access_denied", "", "", "app"},
	{"small headers that are dropped", "", "forward {\nX-Other email\n}\nmax_header 16B", 200, "", "alice", "", "app"},
	{"small tokens", "", "max_token 128B", 401, "token_invalid", "", "", ""},
	{"observe", "", "require scope nothing\nobserve", 200, "", "", "", "app"},
	{"another type", "token_type JWT", "", 401, "token_invalid", "", "", "app"},
	{"required claims", "require_claims client_id", "", 401, "token_invalid", "", "", "app"},
	{"an age", "max_age 1m", "", 401, "token_invalid", "", "", "app"},
	{"no skew", "skew 0s", "", 401, "token_not_yet_valid", "", "", "app"},
	{"other algorithms", "algorithms RS256", "", 401, "token_invalid", "", "", ""},
	{"fewer algorithms", "algorithms ES256", "", 200, "", "alice", "", "algorithms"},
	{"another place of keys", "jwks ISSUER/keys", "", 200, "", "alice", "", "jwks"},
	{"a secret besides", "discovery ISSUER/.well-known/openid-configuration\nsecret 0123456789abcdef0123456789abcdef", "", 200, "", "alice", "", "secret"},
	{"optional", "", "optional", 200, "", "alice", "", "app"},
	{"a token that goes no further", "", "strip_token", 200, "", "alice", "", "app"},
}

// TestOneTokenOnGatesThatDifferInOneOption: whatever a token met before, every
// gate answers as it answers a token that nobody has seen. There is one
// signature check for all gates of equal verification settings, and each other
// setting has its own.
func TestOneTokenOnGatesThatDifferInOneOption(t *testing.T) {
	var sites strings.Builder
	sites.WriteString("GATEWAY {\n")
	for i, o := range oneOption {
		block := ""
		if o.issuer != "" {
			block = "issuer ISSUER {\naudience api orders\n" + o.issuer + "\n}\n"
		}
		if !strings.Contains(o.gate, "forward {") {
			o.gate += "\nforward {\nX-User-ID sub\n}"
		} else {
			o.gate = strings.Replace(o.gate, "forward {", "forward {\nX-User-ID sub", 1)
		}
		fmt.Fprintf(&sites, "jwtgate /%d {\n%s%s\n}\n", i, block, o.gate)
	}
	sites.WriteString("reverse_proxy BACKEND\n}")
	g := (&setup{Keys: "audience orders", Sites: sites.String(), Level: "INFO"}).start(t)
	now := time.Now()
	// Old enough for one gate, too new for another.
	claims := map[string]any{"scope": "orders:read profile", "roles": []string{"admin"}, "tenant": "acme", "email": "alice.of.acme@example.com",
		"iat": now.Add(-2 * time.Minute), "nbf": now.Add(25 * time.Second)}
	for i := range oneOption { // until every source has its keys
		eventually(t, "keys", func() bool { return g.ask(fmt.Sprintf("/%d", i), g.Issuer.Sign(claims)).code() != "keys_unavailable" })
	}
	g.Backend.take()

	meet := func(how string, i int, raw string) {
		t.Helper()
		o := oneOption[i]
		h := g.ask(fmt.Sprintf("/%d", i), raw)
		if h.err != nil || h.Status != o.status || h.code() != o.code {
			t.Errorf("%s, %s: %s %s, want %d %s", how, o.name, h, h.Header.Get("Www-Authenticate"), o.status, o.code)
		}
		user, other := "", ""
		for _, r := range g.Backend.take() {
			user += strings.Join(r.Header["X-User-Id"], "|")
			other += strings.Join(r.Header["X-Other"], "|")
			if got := r.Header.Get("Authorization") != ""; got != !strings.Contains(o.gate, "strip_token") {
				t.Errorf("%s, %s: the token at the backend: %v", how, o.name, got)
			}
		}
		if user != o.user || other != o.other {
			t.Errorf("%s, %s: the backend got %q and %q, want %q and %q", how, o.name, user, other, o.user, o.other)
		}
	}
	checks := func() float64 {
		ctx := caddy.ActiveContext()
		return gather(t, ctx.GetMetricsRegistry())[`jwtgate_verify_seconds{alg="ES256"}`]
	}

	for i, o := range oneOption {
		before, want := checks(), 0.0
		if o.checks != "" {
			want = 1
		}
		meet("cold", i, g.Issuer.Sign(claims))
		if got := checks() - before; got != want {
			t.Errorf("cold, %s: %v signature checks, want %v", o.name, got, want)
		}
	}
	settings := make(map[string]bool)
	for _, o := range oneOption {
		if o.checks != "" {
			settings[o.checks] = true
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	const orders = 40
	for range orders {
		raw, before := g.Issuer.Sign(claims), checks()
		order := append(random.Perm(len(oneOption)), random.Perm(len(oneOption))...)
		for _, i := range order {
			meet(fmt.Sprintf("seed %d, order %v", seed, order), i, raw)
			if t.Failed() {
				return
			}
		}
		if got := checks() - before; got != float64(len(settings)) {
			t.Errorf("seed %d, order %v: %v signature checks, want %d, one for each of the verification settings", seed, order, got, len(settings))
		}
	}
	if h := g.ask("/0", g.Issuer.Sign(claims)+"A"); h.Status != http.StatusUnauthorized {
		t.Errorf("another token: %s", h)
	}
}
