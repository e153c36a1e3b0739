package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

func TestTrapCachedVerdictOutlivesExp(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"nbf": c.now().Unix()}))
	expect(t, g, raw, token.ReasonNone)
	settle(cache)
	c.advance(5*time.Minute + 30*time.Second - 1)
	expect(t, g, raw, token.ReasonNone)
	c.advance(1)
	expect(t, g, raw, token.Expired)
	// A clock that steps back does not bring a token to life early either.
	c.advance(-time.Hour)
	expect(t, g, raw, token.NotBeforeAhead)
	if s := cache.Stats(); s.Misses != 1 {
		t.Fatalf("%d misses: the verdict was not remembered, so this test showed nothing", s.Misses)
	}
}

func TestTrapCachedVerdictOutlivesWithdrawnKey(t *testing.T) {
	c := newClock()
	withdrawn, kept := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "k2")
	sameKid := signingKey(t, "ES256", "other").WithID("k1")
	for name, after := range map[string][]*signing.Key{
		"withdrawn":                    {kept},
		"replaced under the same kid":  {kept, sameKid},
		"same material, another kid":   {withdrawn.WithID("k3")},
		"same kid, another permission": {signingKey(t, "ES384", "k1")},
	} {
		t.Run(name, func(t *testing.T) {
			keys := keysOf(t, withdrawn, kept)
			cache := newCache(t)
			g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
			raw, other := mintToken(t, withdrawn, goodClaims(c, nil)), mintToken(t, kept, goodClaims(c, nil))
			expect(t, g, raw, token.ReasonNone)
			expect(t, g, other, token.ReasonNone)
			settle(cache)
			before := keys.set.Load()
			keys.set.Store(setOf(t, after...))
			for range 2 {
				if got := decide(t, g, raw); got.Code() != token.CodeTokenInvalid {
					t.Fatalf("decision %q", got)
				}
				settle(cache)
			}
			// While the issuer cannot be asked, nobody can tell.
			keys.outcome = jwks.Failed
			expect(t, g, raw, token.KeysFetchFailed)
			keys.set.Store(nil)
			expect(t, g, raw, token.KeysNeverObtained)
			// The key is back: so is the verdict.
			keys.set.Store(before)
			hits := cache.Stats().Hits
			expect(t, g, raw, token.ReasonNone)
			if cache.Stats().Hits != hits+1 {
				t.Error("the verdict of a key that is back was not used")
			}
		})
	}
}

func TestCachedVerdictSurvivesEqualKeySet(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, nil))
	expect(t, g, raw, token.ReasonNone)
	settle(cache)
	keys.set.Store(setOf(t, key, signingKey(t, "ES256", "k2")))
	expect(t, g, raw, token.ReasonNone)
	if s := cache.Stats(); s.Hits != 1 || s.Misses != 1 {
		t.Fatalf("stats %+v: a refresh that kept the key cost a signature check", s)
	}
}

func TestTrapCachedVerdictOutlivesRevocation(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	list := new(fakeList)
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Revocation: list, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, nil))
	expect(t, g, raw, token.ReasonNone)
	settle(cache)
	list.answer(revocation.Token, nil)
	expect(t, g, raw, token.RevokedToken)
	// A forged look-alike learns nothing of the revocation.
	expect(t, g, breakSignature(t, raw), token.SignatureInvalid)
	list.answer(0, nil)
	expect(t, g, raw, token.ReasonNone)
	if s := cache.Stats(); s.Misses != 2 { // the first look and the look-alike
		t.Fatalf("stats %+v: the verdict was not remembered, so this test showed nothing", s)
	}
}

func TestTrapCachedVerdictSharedBetweenRoutesWithDifferentRules(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	raw := mintToken(t, key, goodClaims(c, nil))
	route := func(name string, change func(*Config)) *Gate {
		cfg := Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now, Digest: digestFor(name)}
		change(&cfg)
		return newGate(t, cfg)
	}
	open := route("open", func(*Config) {})
	other := route("audience", func(cfg *Config) {
		cfg.Issuers[0].Policy = issuerPolicy(t, func(p *policy.IssuerConfig) { p.Audience = []string{"billing"} })
	})
	admin := route("scope", func(cfg *Config) {
		cfg.Rules = rulesOf(t, policy.RuleConfig{Kind: "scope", Values: []string{"admin"}})
	})
	for range 3 {
		expect(t, open, raw, token.ReasonNone)
		settle(cache)
		expect(t, other, raw, token.AudienceMismatch)
		settle(cache)
		expect(t, admin, raw, token.ScopeMissing)
		settle(cache)
	}
	if s := cache.Stats(); s.Misses != 1 || s.Entries != 1 {
		t.Fatalf("stats %+v: want one verification for all routes", s)
	}
}

func TestTrapKeyOfIssuerAVouchesForIssuerB(t *testing.T) {
	c := newClock()
	keyA, keyB := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "other").WithID("k1")
	a, b := trust(t, keysOf(t, keyA)), trust(t, keysOf(t, keyB))
	b.Name, b.Digest = issuerB, digestFor("issuer", issuerB)
	// The same issuer string under another configuration, with B's keys.
	aWithKeysOfB := trust(t, keysOf(t, keyB))
	aWithKeysOfB.Digest = digestFor("issuer", issuerA, "keys of B")

	honest := mintToken(t, keyA, goodClaims(c, nil))
	forged := mintToken(t, keyB, goodClaims(c, nil)) // iss A, key of B, kid of both
	stranger := mintToken(t, keyB, goodClaims(c, map[string]any{"iss": "https://stranger.example"}))
	for _, cache := range []*Cache{nil, newCache(t)} {
		both := newGate(t, Config{Issuers: []Issuer{a, b}, Cache: cache, Now: c.now, Digest: digestFor("both")})
		swapped := newGate(t, Config{Issuers: []Issuer{aWithKeysOfB}, Cache: cache, Now: c.now, Digest: digestFor("swapped")})
		onlyB := newGate(t, Config{Issuers: []Issuer{b}, Cache: cache, Now: c.now, Digest: digestFor("only B")})
		for range 3 {
			expect(t, both, honest, token.ReasonNone)
			settle(cache)
			expect(t, swapped, honest, token.SignatureInvalid)
			expect(t, onlyB, honest, token.IssuerUnknown)
			settle(cache)
			// What one configuration vouches for, warm, is nothing to the other.
			expect(t, swapped, forged, token.ReasonNone)
			settle(cache)
			expect(t, both, forged, token.SignatureInvalid)
			expect(t, onlyB, stranger, token.IssuerUnknown)
		}
	}
}

func TestTrapTokensAlgOutranksTheConfiguredOne(t *testing.T) {
	c := newClock()
	key := signingKey(t, "RS256", "k1")
	pem, err := key.MarshalPublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	confused, err := signing.FromSecret(pem, "HS256")
	if err != nil {
		t.Fatal(err)
	}
	narrow := trust(t, keysOf(t, key))
	narrow.Algorithms, narrow.Digest = token.Algorithms(token.ES256, token.PS256), digestFor("narrow")
	wide := trust(t, keysOf(t, key))
	secret := trust(t, keysOf(t, key))
	secret.Secret, secret.Digest = true, digestFor("secret")

	good := mintToken(t, key, goodClaims(c, nil))
	hmac := mintWith(t, confused, goodClaims(c, nil), map[string]any{"kid": "k1"})
	renamed := mintWith(t, key, goodClaims(c, nil), map[string]any{"alg": "PS256"})
	cache := newCache(t)
	gates := map[string]*Gate{}
	for name, is := range map[string]Issuer{"wide": wide, "narrow": narrow, "secret": secret} {
		gates[name] = newGate(t, Config{Issuers: []Issuer{is}, Cache: cache, Now: c.now, Digest: digestFor(name)})
	}
	for range 2 {
		expect(t, gates["wide"], good, token.ReasonNone)
		settle(cache)
		expect(t, gates["narrow"], good, token.AlgNotAllowed)
		expect(t, gates["wide"], hmac, token.AlgNotAllowed)
		// HS256 is allowed here, and yet no public key is a secret.
		if got := decide(t, gates["secret"], hmac); got.Code() != token.CodeTokenInvalid {
			t.Fatalf("HS256 with a public key as the secret: %q", got)
		}
		for _, name := range []string{"wide", "narrow"} {
			if got := decide(t, gates[name], renamed); got != token.SignatureInvalid && got != token.KeyMismatch {
				t.Fatalf("an RS256 signature called PS256 at %s: %q", name, got)
			}
		}
		for _, alg := range []any{"none", "None", "", nil, "rs256", "RS256 ", 256} {
			raw := mintWith(t, key, goodClaims(c, nil), map[string]any{"alg": alg})
			if got := decide(t, gates["wide"], raw); got.Code() != token.CodeTokenInvalid {
				t.Fatalf("alg %v: %q", alg, got)
			}
		}
	}
}

// TestTrapLookAlikeTokens has tokens that differ from a remembered one in a
// part only, and one that shares its slot in the store.
func TestTrapLookAlikeTokens(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now})
	raw := mintToken(t, key, goodClaims(c, nil))
	mallory := mintToken(t, key, goodClaims(c, map[string]any{"sub": "mallory"}))
	expect(t, g, raw, token.ReasonNone)
	settle(cache)
	part, evil := strings.Split(raw, "."), strings.Split(mallory, ".")
	for name, alike := range map[string]string{
		"other signature":          breakSignature(t, raw),
		"signature of another":     part[0] + "." + part[1] + "." + evil[2],
		"payload of another":       part[0] + "." + evil[1] + "." + part[2],
		"no signature":             part[0] + "." + part[1] + ".",
		"cut signature":            raw[:len(raw)-4],
		"signature with a tail":    raw + "AAAA",
		"padding":                  raw + "=",
		"a blank":                  raw + " ",
		"a fourth part":            raw + ".AAAA",
		"standard base64 alphabet": part[0] + "." + part[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(part[2]) + "=",
	} {
		got := decide(t, g, alike)
		if got.Code() != token.CodeTokenInvalid {
			t.Errorf("%s: %q", name, got)
		}
	}
	// ristretto knows 64 bits of the key; whoever finds two tokens that share
	// them gets nothing of the other's.
	k := keyOf(mallory)
	e, _ := cache.get(ptr(keyOf(raw)))
	cache.store.Set(slot(&k), e, 1)
	settle(cache)
	id, _, err := g.Check(context.Background(), mallory, nil, Options{})
	if err != nil || id.Claims.Subject != "mallory" {
		t.Fatalf("a shared slot gave %+v, %v", id, err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTrapRandomKidsAmplifiedIntoFetches(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	keys := keysOf(t, key)
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
	const n = 500
	for i := range n {
		kid := fmt.Sprintf("random-%d", i)
		// Cheap refusals never get as far as asking for a fetch.
		expect(t, g, mintToken(t, key.WithID(kid), goodClaims(c, map[string]any{"exp": 1})), token.Expired)
		expect(t, g, mintToken(t, key.WithID(kid), goodClaims(c, map[string]any{"iss": kid})), token.IssuerUnknown)
	}
	if got := keys.refetches.Load(); got != 0 {
		t.Fatalf("%d refetches for tokens that fail the cheap checks", got)
	}
	for i := range n {
		expect(t, g, mintToken(t, key.WithID(fmt.Sprintf("random-%d", i)), goodClaims(c, nil)), token.KidUnknown)
	}
	if got := keys.refetches.Load(); got != n {
		t.Fatalf("%d refetches asked for, want one a request: the source has the budget", got)
	}
	settle(cache)
	if s := cache.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Fatalf("stats %+v: bogus kids took memory", s)
	}
}

// TestRefusedTokensAreNotRemembered: a refusal for want of a key must not stand
// in the way of the key.
func TestRefusedTokensAreNotRemembered(t *testing.T) {
	c := newClock()
	old, rotated := signingKey(t, "ES256", "k1"), signingKey(t, "ES256", "k2")
	keys := keysOf(t, old)
	cache := newCache(t)
	g := newGate(t, Config{Issuers: []Issuer{trust(t, keys)}, Cache: cache, Now: c.now})
	raw := mintToken(t, rotated, goodClaims(c, nil))
	expect(t, g, raw, token.KidUnknown)
	settle(cache)
	keys.set.Store(setOf(t, old, rotated))
	expect(t, g, raw, token.ReasonNone)
}

// TestTrapParserMemoryIsReusedUnderCachedClaims: what a request holds on to is
// detached from the memory that the parser of the next token uses again.
func TestTrapParserMemoryIsReusedUnderCachedClaims(t *testing.T) {
	c := newClock()
	key := signingKey(t, "ES256", "k1")
	cache := newCache(t)
	g := newGate(t, Config{
		Issuers: []Issuer{trust(t, keysOf(t, key))}, Cache: cache, Now: c.now,
		Rules: rulesOf(t, policy.RuleConfig{Kind: "claim", Claim: "role", Values: []string{"admin"}}),
	})
	raw := mintToken(t, key, goodClaims(c, map[string]any{"role": "admin", "aud": []string{"x", "api"}}))
	id, _, err := g.Check(context.Background(), raw, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	settle(cache)
	for i := range 50 { // overwrite pooled memory with other tokens
		expect(t, g, mintToken(t, key, goodClaims(c, map[string]any{"sub": fmt.Sprint("mallory", i), "role": "guest", "aud": []string{"y", "api"}})), token.ClaimDenied)
	}
	if id.Claims.Subject != "alice" || id.Claims.Audience[0] != "x" || id.Token.Header.KeyID != "k1" {
		t.Fatalf("identity changed under the request: %+v", id.Claims)
	}
	expect(t, g, raw, token.ReasonNone)
}
