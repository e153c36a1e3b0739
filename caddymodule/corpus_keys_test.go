package caddymodule_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // RS1 and hash swaps
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// corpusKey is a key of the corpus. It signs whatever it is told to: nothing
// here knows what a token should look like.
type corpusKey struct {
	kid    string
	alg    string // the algorithm that its tokens name
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

// hashOf returns the hash of an algorithm by the digits of its name.
func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		return crypto.SHA512
	}
	return crypto.SHA256
}

func digest(h crypto.Hash, input string) []byte {
	sum := h.New()
	sum.Write([]byte(input))
	return sum.Sum(nil)
}

// sign computes the signature that alg asks for.
func (k *corpusKey) sign(t testing.TB, alg, input string) []byte {
	t.Helper()
	h := hashOf(alg)
	var signature []byte
	var err error
	switch alg[:2] {
	case "RS":
		signature, err = rsa.SignPKCS1v15(nil, k.rsa, h, digest(h, input))
	case "PS":
		signature = k.pss(t, h, input, h.Size())
	case "ES":
		r, s := k.ecdsa(t, h, input)
		signature = raw(k.ec.Curve, r, s)
	case "Ed":
		signature = ed25519.Sign(k.ed, []byte(input))
	case "HS":
		signature = mac(h, k.secret, input)
	default:
		t.Fatalf("no algorithm %q", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func mac(h crypto.Hash, secret []byte, input string) []byte {
	m := hmac.New(h.New, secret)
	m.Write([]byte(input))
	return m.Sum(nil)
}

func (k *corpusKey) pss(t testing.TB, h crypto.Hash, input string, salt int) []byte {
	t.Helper()
	signature, err := rsa.SignPSS(rand.Reader, k.rsa, h, digest(h, input), &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (k *corpusKey) ecdsa(t testing.TB, h crypto.Hash, input string) (r, s *big.Int) {
	t.Helper()
	r, s, err := ecdsa.Sign(rand.Reader, k.ec, digest(h, input))
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// width is the length of a coordinate and of half a signature.
func width(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// raw is r and s in full width (RFC 7518 section 3.4).
func raw(c elliptic.Curve, r, s *big.Int) []byte {
	w := width(c)
	out := make([]byte, 2*w)
	r.FillBytes(out[:w])
	s.FillBytes(out[w:])
	return out
}

// power is the RSA private operation on an encoded message of our own making.
func (k *corpusKey) power(em []byte) []byte {
	m := new(big.Int).SetBytes(em)
	return m.Exp(m, k.rsa.D, k.rsa.N).FillBytes(make([]byte, k.rsa.Size()))
}

// public returns the public key.
func (k *corpusKey) public() crypto.PublicKey {
	switch {
	case k.rsa != nil:
		return &k.rsa.PublicKey
	case k.ec != nil:
		return &k.ec.PublicKey
	}
	return k.ed.Public()
}

// jwk returns the public key as a JWK. Each extra is a further member, such as
// `"use":"sig"`; the kid is left out when empty.
func (k *corpusKey) jwk(extra ...string) string {
	var members []string
	switch {
	case k.rsa != nil:
		members = []string{`"kty":"RSA"`, fmt.Sprintf(`"n":%q`, b64(k.rsa.N.Bytes())), fmt.Sprintf(`"e":%q`, b64(big.NewInt(int64(k.rsa.E)).Bytes()))}
	case k.ec != nil:
		w := width(k.ec.Curve)
		members = []string{`"kty":"EC"`, fmt.Sprintf(`"crv":%q`, k.ec.Params().Name),
			fmt.Sprintf(`"x":%q`, b64(k.ec.X.FillBytes(make([]byte, w)))), fmt.Sprintf(`"y":%q`, b64(k.ec.Y.FillBytes(make([]byte, w))))}
	case k.ed != nil:
		members = []string{`"kty":"OKP"`, `"crv":"Ed25519"`, fmt.Sprintf(`"x":%q`, b64(k.ed.Public().(ed25519.PublicKey)))}
	default:
		members = []string{`"kty":"oct"`, fmt.Sprintf(`"k":%q`, b64(k.secret))}
	}
	if k.kid != "" {
		members = append(members, `"kid":`+quoted(k.kid))
	}
	return "{" + strings.Join(append(members, extra...), ",") + "}"
}

// as returns k under another kid.
func (k *corpusKey) as(kid string) *corpusKey {
	c := *k
	c.kid = kid
	return &c
}

// with returns k for another algorithm.
func (k *corpusKey) with(alg string) *corpusKey {
	c := *k
	c.alg = alg
	return &c
}

// keySet returns a key set document.
func keySet(jwks ...string) string { return `{"keys":[` + strings.Join(jwks, ",") + `]}` }

// quoted returns s as a JSON string.
func quoted(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always have a form
	}
	return string(out)
}

// corpusKeys are the keys of all issuers of the corpus and of those who would
// like to be one.
type corpusKeys struct {
	rsa, rsa2, ps, weak *corpusKey
	ec, ec2, ec384      *corpusKey
	ec521, ed, ed2      *corpusKey
	rogueRSA, rogueEC   *corpusKey
	rogueEd, hmac       *corpusKey
	spare               []*corpusKey // P-256
}

func newCorpusKeys(t testing.TB) *corpusKeys {
	t.Helper()
	var wait sync.WaitGroup
	newRSA := func(kid, alg string, bits int) *corpusKey {
		k := &corpusKey{kid: kid, alg: alg}
		wait.Go(func() {
			private, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				t.Error(err)
			}
			k.rsa = private
		})
		return k
	}
	newEC := func(kid, alg string, c elliptic.Curve) *corpusKey {
		private, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &corpusKey{kid: kid, alg: alg, ec: private}
	}
	newEd := func(kid string) *corpusKey {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &corpusKey{kid: kid, alg: "EdDSA", ed: private}
	}
	keys := &corpusKeys{
		rsa: newRSA("rsa-1", "RS256", 2048), rsa2: newRSA("rsa-2", "RS256", 2048), ps: newRSA("ps-1", "PS256", 2048),
		weak: newRSA("weak", "RS256", 1024), rogueRSA: newRSA("rsa-1", "RS256", 2048),
		ec: newEC("ec-1", "ES256", elliptic.P256()), ec2: newEC("ec-2", "ES256", elliptic.P256()),
		ec384: newEC("ec-384", "ES384", elliptic.P384()), ec521: newEC("ec-521", "ES512", elliptic.P521()),
		ed: newEd("ed-1"), ed2: newEd("ed-2"),
		rogueEC: newEC("ec-1", "ES256", elliptic.P256()), rogueEd: newEd("ed-1"),
		hmac: &corpusKey{alg: "HS256", secret: []byte("a secret of the corpus which has sixty-four bytes, and not fewer")},
	}
	for i := range 5 {
		keys.spare = append(keys.spare, newEC(fmt.Sprintf("spare-%d", i), "ES256", elliptic.P256()))
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return keys
}
