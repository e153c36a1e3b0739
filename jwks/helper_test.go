package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// The proxies of whoever runs the tests are no business of theirs.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// Keys are made once: RSA takes its time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaOther = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ec384Key = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	ec521Key = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type object map[string]any

// with returns a copy of o with more members; a nil value takes one away.
func (o object) with(more object) object {
	o = maps.Clone(o)
	for k, v := range more {
		if v == nil {
			delete(o, k)
		} else {
			o[k] = v
		}
	}
	return o
}

func publicJWK(pub crypto.PublicKey) object {
	switch p := pub.(type) {
	case *rsa.PublicKey:
		return object{"kty": "RSA", "n": encode64(p.N.Bytes()), "e": encode64(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		b := must(p.Bytes())
		half := len(b) / 2
		return object{"kty": "EC", "crv": p.Curve.Params().Name, "x": encode64(b[1 : 1+half]), "y": encode64(b[1+half:])}
	case ed25519.PublicKey:
		return object{"kty": "OKP", "crv": "Ed25519", "x": encode64(p)}
	}
	panic("unknown key")
}

func rsaJWKObject(kid string) object { return publicJWK(&rsaKey().PublicKey).with(object{"kid": kid}) }
func ecJWKObject(kid string) object  { return publicJWK(&ecKey().PublicKey).with(object{"kid": kid}) }
func edJWKObject(kid string) object {
	return publicJWK(edKey().Public()).with(object{"kid": kid})
}

// ecFresh returns the JWK of a new key.
func ecFresh(kid string) object {
	return publicJWK(&must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).PublicKey).with(object{"kid": kid})
}

func keySet(keys ...object) string {
	if keys == nil {
		keys = []object{}
	}
	return string(must(json.Marshal(object{"keys": keys})))
}

func parse(t testing.TB, text string) document {
	t.Helper()
	doc, err := parseDocument([]byte(text))
	if err != nil {
		t.Fatalf("parseDocument: %v", err)
	}
	return doc
}

func setOf(t testing.TB, keys ...object) *Set {
	t.Helper()
	return newSet(parse(t, keySet(keys...)).keys, nil, false)
}

const signingInput = "header.payload"

// sign makes a signature of signingInput.
func sign(a token.Algorithm, key any) []byte {
	digest := sha256.Sum256([]byte(signingInput))
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if a == token.PS256 {
			return must(rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:]))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			panic(err)
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(signingInput))
	case []byte:
		m := hmac.New(sha256.New, k)
		m.Write([]byte(signingInput))
		return m.Sum(nil)
	}
	panic("unknown key")
}

func start(t testing.TB, cfg Config, opts Options) *Source {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(cfg, opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// eventually waits for cond, up to a deadline far beyond what it needs.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func hasKeys(s *Source) bool {
	set, _ := s.Keys(s.now())
	return set != nil
}

// write puts text into a file of a directory of the test.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.TempDir(), path)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
