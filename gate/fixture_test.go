package gate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

const (
	issuerA = "https://id.example.com"
	issuerB = "https://other.example.net"
)

// clock is a settable clock. It starts at the real time, because key sets are
// read under that.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// signingKey returns one key for each algorithm and name, made once.
func signingKey(t testing.TB, alg, kid string) *signing.Key {
	t.Helper()
	keysMu.Lock()
	defer keysMu.Unlock()
	name := alg + " " + kid
	if madeKeys[name] == nil {
		k, err := signing.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		madeKeys[name] = k.WithID(kid)
	}
	return madeKeys[name]
}

var (
	keysMu   sync.Mutex
	madeKeys = map[string]*signing.Key{}
)

// setOf returns a key set as jwks reads it.
func setOf(t testing.TB, keys ...*signing.Key) *jwks.Set {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, signing.MarshalJWKS(keys...), 0o600); err != nil {
		t.Fatal(err)
	}
	return setFrom(t, jwks.Config{Issuer: issuerA, JWKSFile: file})
}

func secretSet(t testing.TB, secret []byte) *jwks.Set {
	t.Helper()
	return setFrom(t, jwks.Config{Issuer: issuerA, Secret: secret})
}

func setFrom(t testing.TB, cfg jwks.Config) *jwks.Set {
	t.Helper()
	source, err := jwks.New(cfg, jwks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	set, why := source.Keys(time.Now())
	if set == nil {
		t.Fatalf("no keys: %v", why)
	}
	return set
}

// goodClaims are the claims of a good token of issuer A, with changes; nil removes.
func goodClaims(c *clock, changes map[string]any) map[string]any {
	all := map[string]any{
		"iss": issuerA, "aud": "api", "sub": "alice", "jti": "id-1", "scope": "orders:read profile",
		"iat": c.now().Unix(), "exp": c.now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// mintWith signs claims; header replaces or, with nil, removes parameters.
func mintWith(t testing.TB, key *signing.Key, claims, header map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": key.Algorithm(), "typ": "at+jwt"}
	if key.ID() != "" {
		h["kid"] = key.ID()
	}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	rawHeader, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	rawClaims, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Sign(rawHeader, rawClaims)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mintToken(t testing.TB, key *signing.Key, claims map[string]any) string {
	t.Helper()
	return mintWith(t, key, claims, nil)
}

// breakSignature keeps header and payload and makes the signature another one,
// canonically encoded.
func breakSignature(t testing.TB, raw string) string {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	signature, err := signing.Decode(raw[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	signature[len(signature)/2] ^= 1
	return raw[:dot+1] + signing.Encode(signature)
}

// digestFor makes a digest from words.
func digestFor(words ...string) [32]byte { return sha256.Sum256([]byte(strings.Join(words, "\x00"))) }

func issuerPolicy(t testing.TB, change func(*policy.IssuerConfig)) *policy.Issuer {
	t.Helper()
	cfg := policy.IssuerConfig{Audience: []string{"api"}, Skew: policy.DefaultSkew}
	if change != nil {
		change(&cfg)
	}
	p, err := policy.NewIssuer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rulesOf(t testing.TB, rules ...policy.RuleConfig) *policy.Rules {
	t.Helper()
	r, err := policy.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// trust is issuer A with keys and the default policy.
func trust(t testing.TB, keys KeySource) Issuer {
	t.Helper()
	return Issuer{Name: issuerA, Keys: keys, Policy: issuerPolicy(t, nil), Digest: digestFor("issuer", issuerA)}
}

func newGate(t testing.TB, cfg Config) *Gate {
	t.Helper()
	if cfg.Digest == ([32]byte{}) {
		cfg.Digest = digestFor("gate")
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newCache(t testing.TB) *Cache {
	t.Helper()
	c, err := NewCache(8 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// settle waits until what was put into c can be got.
func settle(c *Cache) {
	if c != nil && !c.closed.Load() {
		c.store.Wait()
	}
}

// forget empties c.
func forget(c *Cache) {
	for range c.fresh.drain() {
	}
	settle(c)
	c.store.Clear()
}

// handOver gives ristretto what waits for it.
func handOver(c *Cache, now time.Time) {
	for e := range c.fresh.drain() {
		c.give(e, now)
	}
	settle(c)
}

// decide is Check without circumstances; it returns the reason, ReasonNone for
// an accepted token.
func decide(t testing.TB, g *Gate, raw string) token.Reason {
	t.Helper()
	return decideWith(t, g, raw, nil, Options{})
}

func decideWith(t testing.TB, g *Gate, raw string, req policy.Request, opts Options) token.Reason {
	t.Helper()
	id, issuer, err := g.Check(context.Background(), raw, req, opts)
	if err == nil {
		if id == nil || id.Issuer != issuer || id.Claims == nil || id.Token == nil {
			t.Fatalf("accepted with identity %+v, issuer %q", id, issuer)
		}
		return token.ReasonNone
	}
	if id != nil {
		t.Fatalf("refused (%v) with an identity", err)
	}
	var refused *token.Refusal
	if !errors.As(err, &refused) || refused.Reason == token.ReasonNone {
		t.Fatalf("error %v (%T) is no refusal with a reason", err, err)
	}
	return refused.Reason
}

// expect fails unless g decides so about raw.
func expect(t testing.TB, g *Gate, raw string, reason token.Reason) {
	t.Helper()
	if got := decide(t, g, raw); got != reason {
		t.Fatalf("decision %q, want %q", got, reason)
	}
}
