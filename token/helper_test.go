package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"sync"
	"testing"
)

// keyPair is a private key for signing and what Verify takes for it.
type keyPair struct {
	private any
	public  any
}

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
	ecKeys = sync.OnceValue(func() map[Algorithm]*ecdsa.PrivateKey {
		keys := map[Algorithm]*ecdsa.PrivateKey{}
		for a, c := range map[Algorithm]elliptic.Curve{ES256: elliptic.P256(), ES384: elliptic.P384(), ES512: elliptic.P521()} {
			key, err := ecdsa.GenerateKey(c, rand.Reader)
			if err != nil {
				panic(err)
			}
			keys[a] = key
		}
		return keys
	})
	edKey = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
	secret = []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
)

func allAlgorithms() []Algorithm { return (AlgorithmSet(1<<algorithmCount) - 2).List() }

func keysFor(a Algorithm) keyPair {
	switch {
	case a.Symmetric():
		return keyPair{secret, secret}
	case a == EdDSA:
		return keyPair{edKey(), edKey().Public().(ed25519.PublicKey)}
	case a >= ES256:
		return keyPair{ecKeys()[a], &ecKeys()[a].PublicKey}
	}
	return keyPair{rsaKey(), &rsaKey().PublicKey}
}

// sign makes the signature of a over input, by the signing half of the
// standard library.
func sign(t testing.TB, a Algorithm, input string) []byte {
	t.Helper()
	var sig []byte
	var err error
	h := algorithms[a].hash
	var digest []byte
	if h != 0 {
		w := h.New()
		w.Write([]byte(input))
		digest = w.Sum(nil)
	}
	switch key := keysFor(a).private.(type) {
	case []byte:
		sig = hmacOf(h, key, input)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, key, digest)
		width := (key.Params().BitSize + 7) / 8
		sig, err = make([]byte, 2*width), e
		if e == nil {
			r.FillBytes(sig[:width])
			s.FillBytes(sig[width:])
		}
	case *rsa.PrivateKey:
		if a <= RS512 {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, h, digest)
		} else {
			sig, err = rsa.SignPSS(rand.Reader, key, h, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func hmacOf(h crypto.Hash, secret []byte, input string) []byte {
	mac := hmac.New(h.New, secret)
	mac.Write([]byte(input))
	return mac.Sum(nil)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// mint signs header and payload, as they are, with a.
func mint(t testing.TB, a Algorithm, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(string(sign(t, a, input)))
}

// unsigned is a token of good form whose signature is nobody's.
func unsigned(header, payload string) string {
	return b64(header) + "." + b64(payload) + "." + b64("signature")
}

const (
	goodHeader  = `{"alg":"RS256","kid":"k1","typ":"at+jwt"}`
	goodPayload = `{"iss":"https://id.example.com","sub":"alice","aud":["api","web"],"exp":2000000000,` +
		`"nbf":1700000000,"iat":1700000000,"jti":"j-1","sid":"s-1","client_id":"app","azp":"other"}`
)

// bigPayload makes a token of about 900 bytes with 15 claims.
const bigPayload = `{"iss":"https://id.example.com","sub":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","aud":["orders-api","mobile-api"],` +
	`"exp":2000000000,"nbf":1700000000,"iat":1700000000,"jti":"0f1e2d3c4b5a","sid":"8f7e6d5c","client_id":"mobile-app",` +
	`"scope":"openid profile orders:read","email":"alice@example.com","email_verified":true,"name":"Alice Example",` +
	`"realm_access":{"roles":["admin","editor"]},"tenant":4711}`

func wantReason(t testing.TB, err error, want Reason) {
	t.Helper()
	var refusal *Refusal
	switch {
	case want == ReasonNone && err != nil:
		t.Fatalf("refused: %v (got %q), want accepted", err, gotOf(err))
	case want == ReasonNone:
		return
	case err == nil:
		t.Fatalf("accepted, want %v", want)
	case !errors.As(err, &refusal):
		t.Fatalf("error %T %v, want a *Refusal", err, err)
	case refusal.Reason != want:
		t.Fatalf("reason %v (%v), want %v", refusal.Reason, err, want)
	}
}

func gotOf(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Got
	}
	return ""
}

// mustClaims parses a claims set in which iss and exp are added to members.
func mustClaims(t testing.TB, members string) *Claims {
	t.Helper()
	c, err := ParseClaims(`{"iss":"i","exp":2000000000,` + members + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
