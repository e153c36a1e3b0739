package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

func TestEntries(t *testing.T) {
	rsaPub := rsaJWKObject("r")
	ec := ecJWKObject("e")
	ed := edJWKObject("o")
	n := rsaKey().N
	even := new(big.Int).Lsh(n, 1)
	all := token.Algorithms(token.RS256, token.RS384, token.RS512, token.PS256, token.PS384, token.PS512)

	tests := []struct {
		name  string
		entry object
		want  token.AlgorithmSet // 0: skipped
		why   string             // words of the reason
	}{
		{"rsa without alg", rsaPub, all, ""},
		{"rsa with alg", rsaPub.with(object{"alg": "PS256"}), token.Algorithms(token.PS256), ""},
		{"rsa use sig", rsaPub.with(object{"use": "sig", "key_ops": []string{"verify", "x"}}), all, ""},
		{"rsa nulls", rsaPub.with(object{"use": json.RawMessage("null"), "alg": json.RawMessage("null"), "d": json.RawMessage("null"), "key_ops": json.RawMessage("null")}), all, ""},
		{"rsa modulus with a leading zero", rsaPub.with(object{"n": encode64(append([]byte{0}, n.Bytes()...))}), all, ""},
		{"rsa x5c of nonsense", rsaPub.with(object{"x5c": []string{"not a certificate"}, "x5t": "x"}), all, ""},
		{"p-256", ec, token.Algorithms(token.ES256), ""},
		{"p-384", publicJWK(&ec384Key().PublicKey), token.Algorithms(token.ES384), ""},
		{"p-521", publicJWK(&ec521Key().PublicKey), token.Algorithms(token.ES512), ""},
		{"ed25519", ed, token.Algorithms(token.EdDSA), ""},
		{"ed25519 alg EdDSA", ed.with(object{"alg": "EdDSA"}), token.Algorithms(token.EdDSA), ""},
		{"ed25519 alg Ed25519", ed.with(object{"alg": "Ed25519"}), token.Algorithms(token.EdDSA), ""},

		{"use enc", rsaPub.with(object{"use": "enc"}), 0, `use is "enc"`},
		{"use empty", rsaPub.with(object{"use": ""}), 0, "use is"},
		{"use number", rsaPub.with(object{"use": 1}), 0, "use is not a string"},
		{"key_ops without verify", rsaPub.with(object{"key_ops": []string{"encrypt"}}), 0, "key_ops"},
		{"key_ops empty", rsaPub.with(object{"key_ops": []string{}}), 0, "key_ops"},
		{"key_ops a string", rsaPub.with(object{"key_ops": "verify"}), 0, "key_ops"},
		{"key_ops of numbers", rsaPub.with(object{"key_ops": []any{"verify", 1}}), 0, "key_ops"},
		{"kid number", rsaPub.with(object{"kid": 7}), 0, "kid is not a string"},
		{"alg of encryption", rsaPub.with(object{"alg": "RSA-OAEP"}), 0, "does not fit"},
		{"alg of another type", rsaPub.with(object{"alg": "ES256"}), 0, "does not fit"},
		{"alg HS256 on rsa", rsaPub.with(object{"alg": "HS256"}), 0, "does not fit"},
		{"alg none", rsaPub.with(object{"alg": "none"}), 0, "does not fit"},
		{"alg in lower case", rsaPub.with(object{"alg": "rs256"}), 0, "does not fit"},
		{"alg with a blank", rsaPub.with(object{"alg": "RS256 "}), 0, "does not fit"},
		{"alg Ed25519 on rsa", rsaPub.with(object{"alg": "Ed25519"}), 0, "does not fit"},
		{"alg of another curve", ec.with(object{"alg": "ES384"}), 0, "does not fit"},

		{"oct", object{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "r"}, 0, "symmetric key published"},
		{"rsa with d", rsaPub.with(object{"d": "AQAB"}), 0, "private key published"},
		{"rsa with p", rsaPub.with(object{"p": "AQAB"}), 0, "private key published"},
		{"ec with d", ec.with(object{"d": "AQAB"}), 0, "private key published"},
		{"ed25519 with d", ed.with(object{"d": "AQAB"}), 0, "private key published"},
		{"ec with k", ec.with(object{"k": "AQAB"}), 0, "private key published"},

		{"no kty", rsaPub.with(object{"kty": nil}), 0, "kty is missing"},
		{"kty in lower case", rsaPub.with(object{"kty": "rsa"}), 0, "not supported"},
		{"post-quantum", object{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, 0, "not supported"},
		{"n missing", rsaPub.with(object{"n": nil}), 0, "n is missing"},
		{"e missing", rsaPub.with(object{"e": nil}), 0, "e is missing"},
		{"e empty", rsaPub.with(object{"e": ""}), 0, "e is missing"},
		{"e number", rsaPub.with(object{"e": 65537}), 0, "e is not a string"},
		{"e 1", rsaPub.with(object{"e": "AQ"}), 0, "exponent"},
		{"e 0", rsaPub.with(object{"e": "AA"}), 0, "exponent"},
		{"e even", rsaPub.with(object{"e": "AQAC"}), 0, "exponent"},
		{"e 2^31+1", rsaPub.with(object{"e": encode64([]byte{0x80, 0, 0, 1})}), 0, "exponent"},
		{"e 2^64+1", rsaPub.with(object{"e": encode64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})}), 0, "exponent"},
		{"e of a kilobyte", rsaPub.with(object{"e": strings.Repeat("B", 1024)}), 0, "too long"},
		{"n padded", rsaPub.with(object{"n": rsaPub["n"].(string) + "=="}), 0, "not base64url"},
		{"n with a line break", rsaPub.with(object{"n": "\n" + rsaPub["n"].(string)}), 0, "not base64url"},
		{"n of the standard alphabet", rsaPub.with(object{"n": "+/" + rsaPub["n"].(string)[2:]}), 0, "not base64url"},
		{"x with unused bits set", ec.with(object{"x": unusedBit(ec["x"].(string))}), 0, "not base64url"},
		{"n even", rsaPub.with(object{"n": encode64(even.Bytes())}), 0, "even"},
		{"n of 1024 bits", rsaPub.with(object{"n": encode64(new(big.Int).SetBit(big.NewInt(1), 1023, 1).Bytes())}), 0, "1024 bits"},
		{"n of 2047 bits", rsaPub.with(object{"n": encode64(new(big.Int).SetBit(big.NewInt(1), 2046, 1).Bytes())}), 0, "2047 bits"},
		{"n of 8193 bits", rsaPub.with(object{"n": encode64(new(big.Int).SetBit(big.NewInt(1), 8192, 1).Bytes())}), 0, "8193 bits"},
		{"n of 100,000 bits", rsaPub.with(object{"n": strings.Repeat("_", 16000)}), 0, "too long"},

		{"off the curve", ec.with(object{"y": ec["x"]}), 0, "not on the curve"},
		{"the point 0,0", ec.with(object{"x": encode64(make([]byte, 32)), "y": encode64(make([]byte, 32))}), 0, "not on the curve"},
		{"x one byte short", ec.with(object{"x": encode64(make([]byte, 31))}), 0, "bytes"},
		{"x one byte long", ec.with(object{"x": encode64(make([]byte, 33))}), 0, "bytes"},
		{"x missing", ec.with(object{"x": nil}), 0, "x is missing"},
		{"crv missing", ec.with(object{"crv": nil}), 0, "not supported"},
		{"crv of another width", ec.with(object{"crv": "P-384"}), 0, "bytes"},
		{"secp256k1", ec.with(object{"crv": "secp256k1"}), 0, "not supported"},
		{"ed25519 of 31 bytes", ed.with(object{"x": encode64(make([]byte, 31))}), 0, "31 bytes"},
		{"ed25519 of 33 bytes", ed.with(object{"x": encode64(make([]byte, 33))}), 0, "33 bytes"},
		{"ed25519 without x", ed.with(object{"x": nil}), 0, "x is missing"},
		{"x25519", ed.with(object{"crv": "X25519"}), 0, "not supported"},
		{"ed448", ed.with(object{"crv": "Ed448"}), 0, "not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// The good key beside it must survive whatever the entry is.
			companion := ecFresh("companion")
			doc := parse(t, keySet(tt.entry, companion))
			if tt.want == 0 {
				if len(doc.keys) != 1 || doc.keys[0].ID() != "companion" || len(doc.skipped) != 1 {
					t.Fatalf("keys %d, skipped %q; want the companion alone", len(doc.keys), doc.skipped)
				}
				if !strings.Contains(doc.skipped[0], tt.why) {
					t.Errorf("reason %q, want words %q", doc.skipped[0], tt.why)
				}
				for _, name := range []string{"n", "x", "y", "k", "d", "p"} {
					if v, ok := tt.entry[name].(string); ok && len(v) > 8 && strings.Contains(doc.skipped[0], v) {
						t.Errorf("reason %q holds key material", doc.skipped[0])
					}
				}
				if exposed := strings.Contains(tt.why, "published"); (doc.exposed == 1) != exposed {
					t.Errorf("exposed = %d", doc.exposed)
				}
				return
			}
			if len(doc.keys) != 2 {
				t.Fatalf("keys %d, skipped %q; want both", len(doc.keys), doc.skipped)
			}
			if got := doc.keys[0].Algorithms(); got != tt.want {
				t.Errorf("algorithms %v, want %v", got.List(), tt.want.List())
			}
		})
	}
}

// unusedBit sets the last of the two bits that the last character of 32 bytes
// in base64 has to spare.
func unusedBit(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[last|1:][:1]
}

func TestEntriesThatAreNoKeys(t *testing.T) {
	good := string(must(json.Marshal(ecJWKObject("e"))))
	for _, entry := range []string{`null`, `1`, `"x"`, `[]`, `{}`, `{"kty":"EC","kty":"EC"}`, `{"kty":["EC"]}`, strings.Repeat("[", 50) + strings.Repeat("]", 50),
		strings.Replace(good, `{`, `{"kty":"RSA",`, 1)} {
		doc, err := parseDocument([]byte(`{"keys":[` + entry + `,` + good + `]}`))
		if err != nil || len(doc.keys) != 1 || len(doc.skipped) != 1 {
			t.Errorf("%s: keys %d, skipped %q, %v; want the good one alone", entry, len(doc.keys), doc.skipped, err)
		}
	}
}

func TestKeysVerify(t *testing.T) {
	tests := []struct {
		alg   token.Algorithm
		other token.Algorithm
		priv  any
		jwk   object
	}{
		{token.RS256, token.PS256, rsaKey(), rsaJWKObject("k").with(object{"alg": "RS256"})},
		{token.PS256, token.RS256, rsaKey(), rsaJWKObject("k").with(object{"alg": "PS256"})},
		{token.ES256, token.ES384, ecKey(), ecJWKObject("k")},
		{token.EdDSA, token.ES256, edKey(), edJWKObject("k")},
	}
	for _, tt := range tests {
		t.Run(tt.alg.String(), func(t *testing.T) {
			k := setOf(t, tt.jwk).Candidates(tt.alg, "k", true)
			if len(k) != 1 {
				t.Fatalf("%d candidates, want 1", len(k))
			}
			signature := sign(tt.alg, tt.priv)
			if err := k[0].Verify(tt.alg, signingInput, signature); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if err := k[0].Verify(tt.alg, signingInput+"x", signature); err == nil {
				t.Error("another input verifies")
			}
			if err := k[0].Verify(tt.other, signingInput, signature); err == nil {
				t.Errorf("verifies as %s", tt.other)
			}
		})
	}
}

// The public half of a key that everybody has is no HMAC secret, in any spelling.
func TestPublicKeyIsNoSecret(t *testing.T) {
	k := setOf(t, rsaJWKObject("k"), ecJWKObject("e"), edJWKObject("o"))
	for _, a := range []token.Algorithm{token.HS256, token.HS384, token.HS512} {
		if got := k.Candidates(a, "k", true); got != nil {
			t.Errorf("%s: %d candidates", a, len(got))
		}
		for _, key := range k.keys {
			if err := key.Verify(a, signingInput, sign(token.HS256, rsaKey().N.Bytes())); err == nil {
				t.Errorf("%s verifies under %s", a, key.kty)
			}
		}
	}
}

func TestThumbprints(t *testing.T) {
	tests := []struct{ name, jwk, want string }{
		{"RFC 7638 section 3.1", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, `{"keys":[`+tt.jwk+`]}`).keys[0].status().Thumbprint; got != tt.want {
				t.Errorf("thumbprint %s, want %s", got, tt.want)
			}
		})
	}
}

// What a set stores of itself leads to the same keys again.
func TestDocumentRoundTrip(t *testing.T) {
	set := setOf(t, rsaJWKObject(`with "quotes" and ☃`), rsaJWKObject("ps").with(object{"alg": "PS384"}), ecJWKObject("e"), edJWKObject(""))
	doc, err := parseDocument(set.document())
	if err != nil {
		t.Fatal(err)
	}
	if again := newSet(doc.keys, nil, false); !again.sameKeys(set) {
		t.Errorf("document %s gives other keys", set.document())
	}
}

// An Ed25519 key of small order verifies signatures that nobody made; each of
// the encodings we refuse is shown to be one.
func TestSmallOrderEd25519(t *testing.T) {
	for i, y := range edSmallOrder {
		for _, sign := range []byte{0, 0x80} {
			pub := ed25519.PublicKey(append([]byte(nil), y[:]...))
			pub[31] |= sign
			if err := checkEd25519(pub); err == nil {
				t.Errorf("%d: %x is accepted", i, pub)
			}
			// R the neutral element and s = 0 verify whenever the challenge is
			// a multiple of the order, at most 8.
			forged := make([]byte, 64)
			forged[0] = 1
			hit := false
			for n := 0; n < 300 && !hit; n++ {
				hit = ed25519.Verify(pub, fmt.Appendf(nil, "message %d", n), forged)
			}
			if !hit && !(sign != 0 && (y == [32]byte{0: 1} || y[0] == 0xec)) { // x = 0 has no negative
				t.Errorf("%d: %x is not of small order", i, pub)
			}
		}
	}
	for range 200 {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkEd25519(pub); err != nil {
			t.Fatalf("an honest key: %v", err)
		}
	}
	// y = 2 is on no point of the curve, y = p+3 is a second spelling of y = 3.
	for _, pub := range [][]byte{append([]byte{2}, make([]byte, 31)...), append([]byte{0xf0}, edSmallOrder[2][1:]...)} {
		if err := checkEd25519(pub); err == nil {
			t.Errorf("%x is accepted", pub)
		}
	}
}

func TestHonestRSAKeyIsNotROCA(t *testing.T) {
	if roca(rsaKey().N) || roca(rsaOther().N) {
		t.Error("an honest key has the fingerprint")
	}
	// A modulus of the generator's form: a power of 65537 modulo the product of
	// all the primes.
	m := big.NewInt(1)
	for _, p := range rocaPrimes {
		m.Mul(m, new(big.Int).SetUint64(p))
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), m)
	n.Add(n, new(big.Int).Mul(m, new(big.Int).Lsh(big.NewInt(2), 1900)))
	if !roca(n) {
		t.Error("a modulus of the weak form is not found")
	}
}

func TestKeysThatAreNoJWK(t *testing.T) {
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, raw := range map[string]any{
		"p-224": &p224.PublicKey, "rsa private": rsaKey(), "nil rsa": (*rsa.PublicKey)(nil), "nil ec": (*ecdsa.PublicKey)(nil),
		"rsa without modulus": &rsa.PublicKey{E: 65537}, "short ed25519": ed25519.PublicKey("short"), "bytes": []byte("x"), "nil": nil,
	} {
		if _, err := newKey(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
