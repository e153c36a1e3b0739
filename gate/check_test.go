package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

func TestCheckAccepts(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			c := newClock()
			key := signingKey(t, alg, "k1")
			cache := newCache(t)
			forward, err := NewForward([]ForwardConfig{{Header: "X-User-ID", Claim: "sub"}}, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Forward: forward, Cache: cache, Now: c.now})
			raw := mintToken(t, key, goodClaims(c, nil))
			for _, state := range []string{"cold", "warm"} {
				id, issuer, err := g.Check(context.Background(), raw, nil, Options{})
				if err != nil {
					t.Fatalf("%s: %v", state, err)
				}
				settle(cache)
				if issuer != issuerA || id.Issuer != issuerA || id.Claims.Subject != "alice" || id.KeyID != "k1" || id.Alg.String() != alg {
					t.Fatalf("%s: identity %+v of %q", state, id, issuer)
				}
				if len(id.Headers) != 1 || id.Headers[0] != (Header{"X-User-Id", "alice"}) {
					t.Fatalf("%s: headers %v", state, id.Headers)
				}
				if id.IDs != revocation.IDsOf(id.Token) || id.Token.SigningInput() != raw[:strings.LastIndexByte(raw, '.')] {
					t.Fatalf("%s: the identity is of another token", state)
				}
			}
			if s := cache.Stats(); s.Hits != 1 || s.Misses != 1 || s.Entries != 1 || s.Bytes <= 0 {
				t.Fatalf("stats %+v, want one hit, one miss, one entry", s)
			}
		})
	}
}

func TestCheckWithSecret(t *testing.T) {
	c := newClock()
	secret := []byte("0123456789abcdef0123456789abcdef")
	key, err := signing.FromSecret(secret, "HS256")
	if err != nil {
		t.Fatal(err)
	}
	keys := &fakeKeys{outcome: jwks.Failed}
	keys.set.Store(secretSet(t, secret))
	is := trust(t, keys)
	is.Secret = true
	g := newGate(t, Config{Issuers: []Issuer{is}, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, nil))
	expect(t, g, raw, token.ReasonNone)
	// A secret is not fetched: a bad MAC is a 401 however the issuer is.
	expect(t, g, breakSignature(t, raw), token.SignatureInvalid)
	if n := keys.refetches.Load(); n != 0 {
		t.Fatalf("%d refetches for a shared secret", n)
	}
}

func TestNewReportsAllMistakes(t *testing.T) {
	p := issuerPolicy(t, nil)
	good := trust(t, &fakeKeys{})
	_, err := New(Config{
		MaxToken: -1,
		Cache:    newCache(t),
		Issuers: []Issuer{
			{Name: "", Keys: &fakeKeys{}, Policy: p, Digest: digestFor("1")},
			{Name: "b", Policy: p, Digest: digestFor("2")},
			{Name: "c", Keys: &fakeKeys{}, Digest: digestFor("3")},
			{Name: "d", Keys: &fakeKeys{}, Policy: p, Digest: digestFor("4"), Algorithms: token.Algorithms(token.HS256)},
			{Name: "e", Keys: &fakeKeys{}, Policy: p},
			good, good,
			{Name: "f", Keys: &fakeKeys{}, Policy: p, Digest: good.Digest},
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		"max token", "digest of its configuration", "no name", "no source of keys", "no policy",
		"HMAC algorithm without a secret", "digest of what verdicts depend on", "named twice", "same digest",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not mention %q:\n%v", part, err)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "no issuers") {
		t.Errorf("no issuers: %v", err)
	}
}

// TestOrderOfRefusals has tokens that are wrong in several ways: the first in
// the order counts, with and without a remembered verdict.
func TestOrderOfRefusals(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	late := goodClaims(c, map[string]any{"nbf": c.now().Add(time.Hour).Unix(), "aud": "other", "scope": "none"})
	cases := []struct {
		name   string
		raw    string
		revoke revocation.Kind
		err    error
		nokeys bool
		want   token.Reason
	}{
		{name: "syntax before all", raw: "a.b", nokeys: true, want: token.TokenMalformed},
		{name: "issuer before algorithm", raw: mintToken(t, signingKey(t, "RS256", "k1"), goodClaims(c, map[string]any{"iss": "x"})), want: token.IssuerUnknown},
		{name: "algorithm before exp", raw: mintToken(t, signingKey(t, "RS256", "k1"), goodClaims(c, map[string]any{"exp": 1})), want: token.AlgNotAllowed},
		{name: "exp before keys", raw: mintToken(t, key, goodClaims(c, map[string]any{"exp": 1})), nokeys: true, want: token.Expired},
		{name: "exp before signature", raw: breakSignature(t, mintToken(t, key, goodClaims(c, map[string]any{"exp": 1}))), want: token.Expired},
		{name: "keys before signature", raw: breakSignature(t, mintToken(t, key, late)), nokeys: true, want: token.KeysNeverObtained},
		{name: "signature before times", raw: breakSignature(t, mintToken(t, key, late)), revoke: revocation.Token, want: token.SignatureInvalid},
		{name: "times before revocation", raw: mintToken(t, key, late), revoke: revocation.Token, want: token.NotBeforeAhead},
		{name: "revocation before policy", raw: mintToken(t, key, goodClaims(c, map[string]any{"aud": "other"})), revoke: revocation.Subject, want: token.RevokedSubject},
		{name: "no list before policy", raw: mintToken(t, key, goodClaims(c, map[string]any{"aud": "other"})), err: token.Refuse(token.RevocationLoading, "", ""), want: token.RevocationLoading},
		{name: "policy before rules", raw: mintToken(t, key, goodClaims(c, map[string]any{"aud": "other", "scope": "none"})), want: token.AudienceMismatch},
		{name: "rules before expressions on the request", raw: mintToken(t, key, goodClaims(c, map[string]any{"scope": "none"})), want: token.ScopeMissing},
		{name: "expressions before header size", raw: mintToken(t, key, goodClaims(c, map[string]any{"tenant": "b", "sub": strings.Repeat("x", 100)})), want: token.ExpressionDenied},
		{name: "header size last", raw: mintToken(t, key, goodClaims(c, map[string]any{"tenant": "a", "sub": strings.Repeat("x", 100)})), want: token.HeaderTooLarge},
	}
	for _, cached := range []bool{false, true} {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				keys := keysOf(t, key)
				is := trust(t, keys)
				is.Algorithms = token.Algorithms(token.ES256)
				list := new(fakeList)
				forward, err := NewForward([]ForwardConfig{{Header: "X-User", Claim: "sub"}}, 64, true)
				if err != nil {
					t.Fatal(err)
				}
				cfg := Config{
					Issuers: []Issuer{is}, Revocation: list, Forward: forward, Now: c.now,
					Rules: rulesOf(t, policy.RuleConfig{Kind: "expr", Expr: `claims.tenant == request.host`}, policy.RuleConfig{Kind: "scope", Values: []string{"orders:read"}}),
				}
				if cached {
					cfg.Cache = newCache(t)
				}
				g := newGate(t, cfg)
				req := fakeRequest{host: "a"}
				// An innocent first look fills the cache where a token can get there.
				decideWith(t, g, tc.raw, req, Options{})
				settle(cfg.Cache)
				list.answer(tc.revoke, tc.err)
				if tc.nokeys {
					keys.set.Store(nil)
				}
				for range 2 {
					if got := decideWith(t, g, tc.raw, req, Options{}); got != tc.want {
						t.Fatalf("cached %v: decision %q, want %q", cached, got, tc.want)
					}
				}
			})
		}
	}
}

func TestRevocationKinds(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	list := new(fakeList)
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Revocation: list, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, nil))
	for _, tc := range []struct {
		kind revocation.Kind
		err  error
		want token.Reason
	}{
		{0, nil, token.ReasonNone},
		{revocation.Token, nil, token.RevokedToken},
		{revocation.Session, nil, token.RevokedSession},
		{revocation.Subject, nil, token.RevokedSubject},
		{revocation.Client, nil, token.RevokedClient},
		{revocation.Issuer, nil, token.RevokedIssuer},
		{99, nil, token.RevokedToken},
		{0, token.Refuse(token.RevocationStale, "", ""), token.RevocationStale},
		{0, errors.New("on fire"), token.RevocationStale},
		{0, nil, token.ReasonNone},
	} {
		list.answer(tc.kind, tc.err)
		if got := decide(t, g, raw); got != tc.want {
			t.Errorf("kind %d, error %v: %q, want %q", tc.kind, tc.err, got, tc.want)
		}
		settle(cache)
	}
}

func TestAllowExpired(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	for _, cache := range []*Cache{nil, newCache(t)} {
		g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
		raw := mintToken(t, key, goodClaims(c, nil))
		day := Options{AllowExpired: 24 * time.Hour}
		expect(t, g, raw, token.ReasonNone)
		settle(cache)
		c.advance(time.Hour)
		for range 2 {
			if got := decideWith(t, g, raw, nil, day); got != token.ReasonNone {
				t.Errorf("an hour past exp with a day's grace: %q", got)
			}
			settle(cache)
			expect(t, g, raw, token.Expired)
		}
		c.advance(24 * time.Hour)
		if got := decideWith(t, g, raw, nil, day); got != token.Expired {
			t.Errorf("past the grace: %q", got)
		}
	}
}

func TestExpressionsSeeEachRequest(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	g := newGate(t, Config{
		Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now,
		Rules: rulesOf(t, policy.RuleConfig{Kind: "expr", Expr: `request.method == "GET" && claims.sub == "alice"`}),
	})
	raw := mintToken(t, key, goodClaims(c, nil))
	for i := range 6 {
		method, want := "GET", token.ReasonNone
		if i%2 == 1 {
			method, want = "DELETE", token.ExpressionDenied
		}
		if got := decideWith(t, g, raw, fakeRequest{method: method}, Options{}); got != want {
			t.Errorf("%s: %q, want %q", method, got, want)
		}
		settle(cache)
	}
	if got := decideWith(t, g, raw, nil, Options{}); got.Code() != token.CodeAccessDenied {
		t.Errorf("without a request: %q", got)
	}
}

func TestRefusalsAreNotShared(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"aud": "other"}))
	expect(t, g, raw, token.AudienceMismatch)
	settle(cache)
	_, _, first := g.Check(context.Background(), raw, nil, Options{})
	first.(*token.Refusal).Reason = token.ReasonNone
	expect(t, g, raw, token.AudienceMismatch)
}

func TestObserversAreTold(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	forward, err := NewForward([]ForwardConfig{{Header: "X-User", Claim: "sub"}, {Header: "X-Name", Claim: "name"}}, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	verified, omitted := 0, map[string]int{}
	g := newGate(t, Config{
		Issuers: []Issuer{trust(t, keysOf(t, key))}, Forward: forward, Cache: cache, Now: c.now,
		OnVerify: func(alg token.Algorithm, took time.Duration) {
			if alg != token.ES256 || took <= 0 {
				t.Errorf("told %v, %v", alg, took)
			}
			verified++
		},
		OnOmitted: func(header string) { omitted[header]++ },
	})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"name": strings.Repeat("n", 17)}))
	for range 3 {
		expect(t, g, raw, token.ReasonNone)
		settle(cache)
	}
	if verified != 1 {
		t.Errorf("%d signature checks, want 1", verified)
	}
	if len(omitted) != 1 || omitted["X-Name"] != 3 {
		t.Errorf("omitted %v, want X-Name on each of three requests", omitted)
	}
}

func TestRefusalQuotesLittle(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	long := strings.Repeat("x", 4000)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Now: c.now})
	for name, raw := range map[string]string{
		"iss": mintToken(t, key, goodClaims(c, map[string]any{"iss": long})),
		"kid": mintToken(t, key.WithID(long), goodClaims(c, nil)),
	} {
		_, _, err := g.Check(context.Background(), raw, nil, Options{})
		var refused *token.Refusal
		if !errors.As(err, &refused) || len(refused.Got) > 2*maxExcerpt || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: quotes %d bytes: %v", name, len(refused.Got), refused.Reason)
		}
	}
}

func TestIssuerComparesByteByByte(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Now: c.now})
	for _, iss := range []string{issuerA + "/", strings.ToUpper(issuerA), issuerA + " ", issuerA + "\x00", "https://id.example.com:443", "https://x@id.example.com", ""} {
		got := decide(t, g, mintToken(t, key, goodClaims(c, map[string]any{"iss": iss})))
		if got != token.IssuerUnknown && got != token.IssuerMissing {
			t.Errorf("iss %q: %q", iss, got)
		}
	}
}

func TestMaxToken(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	raw := mintToken(t, key, goodClaims(c, nil))
	cache := newCache(t)
	wide := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now, MaxToken: len(raw)})
	narrow := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now, MaxToken: len(raw) - 1, Digest: digestFor("narrow")})
	expect(t, wide, raw, token.ReasonNone)
	settle(cache)
	expect(t, narrow, raw, token.TokenTooLong)
}
