package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// agree fails unless Explain says of raw what Check says: verdict, reason, all
// of the refusal, issuer, identity and headers. Each has a gate of its own,
// since asking may bring new keys. It returns the reason.
func agree(t testing.TB, make func() *Gate, raw string, req policy.Request, opts Options) token.Reason {
	t.Helper()
	id, issuer, err := make().Check(context.Background(), raw, req, opts)
	x := make().Explain(context.Background(), raw, req, ExplainOptions{Options: opts})
	if x.Issuer != issuer || x.Undecided {
		t.Fatalf("issuer %q, explained as %q (undecided: %v)", issuer, x.Issuer, x.Undecided)
	}
	failed := slices.IndexFunc(x.Steps, func(s Step) bool { return s.Result == Fail })
	if err == nil {
		if x.Refused != nil || x.Identity == nil || failed >= 0 {
			t.Fatalf("accepted, explained as %v %+v", x.Refused, x.Steps)
		}
		if !slices.Equal(id.Headers, x.Identity.Headers) || id.Claims.Subject != x.Identity.Claims.Subject || id.IDs != x.Identity.IDs ||
			id.KeyID != x.Identity.KeyID || id.Alg != x.Identity.Alg || id.Issuer != x.Identity.Issuer {
			t.Fatalf("identity %+v\nexplained as %+v", id, x.Identity)
		}
		var forwarded []Header
		for _, f := range x.Forward {
			if f.Absent == "" {
				forwarded = append(forwarded, Header{f.Header, f.Value})
			}
		}
		if !slices.Equal(id.Headers, forwarded) {
			t.Fatalf("headers %v, explained as %v", id.Headers, forwarded)
		}
		return token.ReasonNone
	}
	var refused *token.Refusal
	errors.As(err, &refused)
	if x.Identity != nil || x.Refused == nil || failed < 0 {
		t.Fatalf("refused (%v), explained as %v %+v", err, x.Refused, x.Steps)
	}
	shown := *x.Refused
	if fmt.Sprint(shown.Err) != fmt.Sprint(refused.Err) || shown.Reason != refused.Reason || shown.Want != refused.Want ||
		shown.Got != refused.Got || shown.Seconds != refused.Seconds || shown.Scope != refused.Scope {
		t.Fatalf("refused %+v\nexplained as %+v", *refused, shown)
	}
	if first := asRefusal(x.Steps[failed].Err); first == nil || first.Reason != refused.Reason {
		t.Fatalf("refused for %s, the first cross is %+v", refused.Reason, x.Steps[failed])
	}
	return refused.Reason
}

// world is a gate with everything on, whose circumstances a test draws.
type world struct {
	c       *clock
	keys    func() KeySource
	list    *fakeList
	policy  func(*policy.IssuerConfig)
	rules   []policy.RuleConfig
	refuse  bool
	allowed token.AlgorithmSet
	secret  bool
	cache   *Cache
}

func (w *world) gate(t testing.TB) *Gate {
	t.Helper()
	forward := mustForward(t, 40, w.refuse,
		ForwardConfig{Header: "X-Sub", Claim: "sub"}, ForwardConfig{Header: "X-Scope", Claim: "scope"},
		ForwardConfig{Header: "X-Roles", Claim: "roles", Form: "join", Sep: ","}, ForwardConfig{Header: "X-All", Claim: "address", Form: "json"})
	is := Issuer{Name: issuerA, Keys: w.keys(), Policy: issuerPolicy(t, w.policy), Algorithms: w.allowed, Secret: w.secret,
		Digest: digestFor("issuer", issuerA)}
	return newGate(t, Config{Issuers: []Issuer{is}, Rules: rulesOf(t, w.rules...), Forward: forward, Revocation: w.list, Cache: w.cache,
		MaxToken: 1500, Now: w.c.now})
}

// TestExplainAgreesWithCheck draws thousands of tokens and gates. Every reason
// for which Check can refuse has to come.
func TestExplainAgreesWithCheck(t *testing.T) {
	const seed = 20261121
	random := rand.New(rand.NewPCG(seed, 1))
	c := newClock()
	key, twin, rsa := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "twin").WithID("k1"), signingKey(t, "RS256", "r1")
	set, later := setOf(t, key), setOf(t, key, rsa)
	chance := func(n int) bool { return random.IntN(n) == 0 }
	seen := map[token.Reason]int{}
	for i := range 2500 {
		w := &world{c: c, list: new(fakeList), refuse: chance(2), rules: []policy.RuleConfig{
			{Kind: "scope", Values: []string{"orders:read", "admin"}},
			{Kind: "claim", Claim: "roles", Values: []string{"editor"}, All: true},
			{Kind: "expr", Expr: `claims.tenant == "t1"`},
			{Kind: "expr", Expr: `request.method == "GET" || claims.level > 3`},
		}}
		missing := []token.Reason{token.KeysNeverObtained, token.KeysStale}[random.IntN(2)]
		outcome := []jwks.Outcome{jwks.Current, jwks.Changed, jwks.Failed}[random.IntN(3)]
		gone := chance(12)
		w.keys = func() KeySource {
			k := &fakeKeys{missing: missing, outcome: outcome, next: later}
			if !gone {
				k.set.Store(set)
			}
			return k
		}
		maxAge, maxLife, typ := chance(5), chance(6), chance(6)
		w.policy = func(p *policy.IssuerConfig) {
			p.Require = []string{"roles"}
			if maxAge {
				p.MaxAge = time.Minute
			}
			if maxLife {
				p.MaxLifetime = 2 * time.Minute
			}
			if typ {
				p.Types = []string{"JWT"}
			}
		}
		switch random.IntN(14) {
		case 0:
			w.list.answer(revocation.Kinds()[random.IntN(5)], nil)
		case 1:
			w.list.answer(0, token.Refuse([]token.Reason{token.RevocationLoading, token.RevocationStale}[random.IntN(2)], "a list", ""))
		case 2:
			w.list.answer(0, errors.New("no refusal"))
		}
		claims := goodClaims(c, map[string]any{"roles": []string{"editor", "x"}, "tenant": "t1", "level": 5})
		for range random.IntN(4) {
			change := changes[random.IntN(len(changes))]
			claims[change.name] = change.value(c)
			if claims[change.name] == nil {
				delete(claims, change.name)
			}
		}
		header := map[string]any{}
		switch random.IntN(12) {
		case 0:
			header["typ"] = "logout+jwt"
		case 1:
			header["kid"] = "unknown"
		case 2:
			header["crit"] = []string{"x"}
		case 3:
			header["kid"] = 1
		case 4:
			header["kid"] = nil
		}
		signer := key
		switch random.IntN(10) {
		case 0:
			signer = twin
		case 1:
			signer = rsa
		case 2:
			w.allowed = token.Algorithms(token.RS256)
		}
		raw := mintWith(t, signer, claims, header)
		switch random.IntN(24) {
		case 0:
			raw = breakSignature(t, raw)
		case 1:
			raw = raw[:random.IntN(len(raw))]
		case 2:
			raw += strings.Repeat("A", 1500)
		case 3:
			header["alg"] = "HS256"
			raw = mintWith(t, signer, claims, map[string]any{"alg": "HS256"})
		}
		opts := Options{}
		if chance(8) {
			opts.AllowExpired = time.Hour
		}
		req := fakeRequest{method: []string{"GET", "POST"}[random.IntN(2)]}
		reason := agree(t, func() *Gate { return w.gate(t) }, raw, req, opts)
		if seen[reason]++; t.Failed() {
			t.Fatalf("case %d of seed %d", i, seed)
		}
	}
	beforeTheGate := []token.Reason{token.TokenMissing, token.AuthorizationMalformed, token.TokenDuplicate, token.CrossOrigin}
	for _, r := range append(token.Reasons(), token.ReasonNone) {
		if seen[r] == 0 && !slices.Contains(beforeTheGate, r) {
			t.Errorf("nothing was refused for %q", r)
		}
	}
	t.Logf("%v", seen)
}

// changes are what can be wrong with claims; nil removes one.
var changes = []struct {
	name  string
	value func(c *clock) any
}{
	{"iss", func(*clock) any { return nil }},
	{"iss", func(*clock) any { return issuerA + "/" }},
	{"aud", func(*clock) any { return "other" }},
	{"aud", func(*clock) any { return nil }},
	{"aud", func(*clock) any { return 5 }},
	{"sub", func(*clock) any { return " " }},
	{"sub", func(*clock) any { return strings.Repeat("long ", 20) }},
	{"exp", func(*clock) any { return nil }},
	{"exp", func(c *clock) any { return c.now().Add(-time.Minute).Unix() }},
	{"exp", func(c *clock) any { return c.now().Add(-10 * time.Second).Unix() }},
	{"exp", func(c *clock) any { return c.now().Add(time.Hour).Unix() }},
	{"nbf", func(c *clock) any { return c.now().Add(time.Minute).Unix() }},
	{"iat", func(c *clock) any { return c.now().Add(2 * time.Minute).Unix() }},
	{"iat", func(c *clock) any { return c.now().Add(-time.Hour).Unix() }},
	{"iat", func(*clock) any { return nil }},
	{"scope", func(*clock) any { return "other" }},
	{"scope", func(*clock) any { return nil }},
	{"roles", func(*clock) any { return []string{"reader"} }},
	{"roles", func(*clock) any { return nil }},
	{"roles", func(*clock) any { return []any{"editor", nil} }},
	{"tenant", func(*clock) any { return "t2" }},
	{"tenant", func(*clock) any { return nil }},
	{"level", func(*clock) any { return 1 }},
	{"level", func(*clock) any { return nil }},
	{"cnf", func(*clock) any { return map[string]any{"jkt": "x"} }},
	{"events", func(*clock) any { return map[string]any{} }},
	{"address", func(*clock) any { return map[string]any{"city": "here"} }},
}

// FuzzExplain has arbitrary bytes explained.
func FuzzExplain(f *testing.F) {
	c := newClock()
	key := signingKey(f, "ES256", "k1")
	set := setOf(f, key)
	w := &world{c: c, list: new(fakeList), keys: func() KeySource {
		k := &fakeKeys{}
		k.set.Store(set)
		return k
	}}
	g := w.gate(f)
	good := mintToken(f, key, goodClaims(c, nil))
	for _, seed := range []string{"", ".", "..", "....", good, good + ".", good[:len(good)-2], "Bearer " + good, breakSignature(f, good),
		mintToken(f, key, goodClaims(c, map[string]any{"aud": "x", "exp": 1}))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) { agree(t, func() *Gate { return g }, raw, fakeRequest{}, Options{}) })
}

// TestExplainLeavesNoTrace: no entry, no tally, no hook, and no fetch for a
// token that something else is wrong with.
func TestExplainLeavesNoTrace(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	told := 0
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now,
		Forward:   mustForward(t, 2, false, ForwardConfig{Header: "X-Sub", Claim: "sub"}),
		OnVerify:  func(token.Algorithm, time.Duration) { told++ },
		OnOmitted: func(string) { told++ }})
	good := mintToken(t, key, goodClaims(c, nil))
	explain := func(raw string) *Explanation {
		return g.Explain(context.Background(), raw, fakeRequest{}, ExplainOptions{})
	}
	for range 3 {
		if x := explain(good); x.Identity == nil || !x.Verified || len(x.Forward) != 1 || !strings.Contains(x.Forward[0].Absent, "max_header") {
			t.Fatalf("%+v", x)
		}
	}
	handOver(cache, c.now())
	if s := cache.Stats(); s.Hits+s.Misses+s.Entries != 0 || told != 0 {
		t.Errorf("%+v, %d hooks", s, told)
	}
	if _, _, err := g.Check(context.Background(), good, fakeRequest{}, Options{}); err != nil {
		t.Fatal(err)
	}
	handOver(cache, c.now())
	before, hooks := cache.Stats(), told
	if x := explain(good); x.Identity == nil || !slices.ContainsFunc(x.Steps, func(s Step) bool { return strings.Contains(s.Note, "remembered") }) {
		t.Errorf("%+v", x)
	}
	handOver(cache, c.now())
	if after := cache.Stats(); after != before || told != hooks {
		t.Errorf("%+v, before %+v; %d hooks", after, before, told-hooks)
	}

	unknown := func(changes map[string]any) string {
		return mintWith(t, key, goodClaims(c, changes), map[string]any{"kid": "unknown"})
	}
	explain(unknown(map[string]any{"exp": 1}))
	if n := keys.refetches.Load(); n != 0 {
		t.Errorf("%d fetches for an expired token", n)
	}
	if x := explain(unknown(nil)); x.Refused.Reason != token.KidUnknown || keys.refetches.Load() != 1 {
		t.Errorf("%v after %d fetches, want one as for a request", x.Refused, keys.refetches.Load())
	}
}

// TestExplainListsAllFailures of a token that is wrong in every way that can be
// told.
func TestExplainListsAllFailures(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	w := &world{c: c, list: new(fakeList), refuse: true, keys: func() KeySource { return keysOf(t, key) },
		rules: []policy.RuleConfig{{Kind: "scope", Values: []string{"admin"}}, {Kind: "claim", Claim: "tenant", Values: []string{"t1"}}}}
	w.list.answer(revocation.Subject, nil)
	raw := mintWith(t, key, goodClaims(c, map[string]any{"exp": 1, "nbf": c.now().Add(time.Hour).Unix(), "aud": "other", "sub": strings.Repeat("s", 50),
		"cnf": true, "events": true, "tenant": "t2"}), map[string]any{"typ": "logout+jwt"})
	x := w.gate(t).Explain(context.Background(), raw, fakeRequest{}, ExplainOptions{})
	var failed []string
	for _, s := range x.Steps {
		if s.Result == Fail {
			failed = append(failed, s.Step)
		}
	}
	want := []string{"expiry", "times", "revocation", "type", "binding", "binding", "audience", "rules", "rules", "forward"}
	if !slices.Equal(failed, want) || x.Refused.Reason != token.Expired || !x.Verified || x.Withdrawn != revocation.Subject {
		t.Errorf("%v, refused for %s\nwant %v", failed, x.Refused.Reason, want)
	}
}

// TestExplainOffline decides nothing that only the issuer knows.
func TestExplainOffline(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	g := newGate(t, Config{Issuers: []Issuer{trust(t, &fakeKeys{missing: token.KeysNeverObtained})}, Now: c.now, Revocation: &fakeList{kind: revocation.Token}})
	opts := ExplainOptions{Offline: true, NoRevocation: "not asked"}
	x := g.Explain(context.Background(), mintToken(t, key, goodClaims(c, nil)), fakeRequest{}, opts)
	if !x.Undecided || x.Refused != nil || x.Identity != nil {
		t.Errorf("%+v", x)
	}
	x = g.Explain(context.Background(), mintToken(t, key, goodClaims(c, map[string]any{"aud": "other"})), fakeRequest{}, opts)
	if x.Refused == nil || x.Refused.Reason != token.AudienceMismatch || x.Identity != nil {
		t.Errorf("%+v", x)
	}
}
