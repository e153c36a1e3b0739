package token

import (
	"crypto"
	"crypto/dsa"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

const input = "eyJhbGciOiJub25lIn0.e30"

func TestVerify(t *testing.T) {
	for _, a := range allAlgorithms() {
		t.Run(a.String(), func(t *testing.T) {
			sig := sign(t, a, input)
			key := keysFor(a).public
			if err := Verify(a, key, input, sig); err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]struct {
				input string
				sig   []byte
			}{
				"other input":   {input + "x", sig},
				"empty input":   {"", sig},
				"no signature":  {input, nil},
				"short by one":  {input, sig[:len(sig)-1]},
				"long by one":   {input, append(sig[:len(sig):len(sig)], 0)},
				"zero in front": {input, append([]byte{0}, sig...)},
				"zeros":         {input, make([]byte, len(sig))},
				"ones":          {input, bytesOf(0xff, len(sig))},
				"first bit":     {input, flip(sig, 0)},
				"last bit":      {input, flip(sig, 8*len(sig)-1)},
				"twice":         {input, append(sig[:len(sig):len(sig)], sig...)},
			} {
				if err := Verify(a, key, c.input, c.sig); !errors.Is(err, ErrSignature) {
					t.Errorf("%s: %v, want %v", name, err, ErrSignature)
				}
			}
		})
	}
}

func bytesOf(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}

func flip(s []byte, bit int) []byte {
	c := append([]byte(nil), s...)
	c[bit/8] ^= 0x80 >> (bit % 8)
	return c
}

// TestTrapAlgorithmConfusion signs with one algorithm and claims another, over
// all pairs and every key.
func TestTrapAlgorithmConfusion(t *testing.T) {
	for _, signed := range allAlgorithms() {
		sig := sign(t, signed, input)
		for _, named := range allAlgorithms() {
			for _, owner := range allAlgorithms() {
				err := Verify(named, keysFor(owner).public, input, sig)
				if (err == nil) != (signed == named && sameKey(owner, named)) {
					t.Errorf("signed %v, named %v, key of %v: %v", signed, named, owner, err)
				}
			}
		}
	}
}

func sameKey(a, b Algorithm) bool {
	return a == b || a <= PS512 && b <= PS512 || a.Symmetric() && b.Symmetric()
}

// TestTrapPublicKeyAsSecret: an HMAC under any form of a public key does not
// verify with that key, because a public key is no secret for HS*.
func TestTrapPublicKeyAsSecret(t *testing.T) {
	for _, a := range []Algorithm{RS256, ES256, EdDSA} {
		public := keysFor(a).public
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string][]byte{"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
		if key, ok := public.(*rsa.PublicKey); ok {
			forms["modulus"] = key.N.Bytes()
			forms["PKCS1"] = x509.MarshalPKCS1PublicKey(key)
		}
		if key, ok := public.(ed25519.PublicKey); ok {
			forms["raw"] = key
		}
		for name, secret := range forms {
			mac := hmacOf(crypto.SHA256, secret, input)
			if err := Verify(HS256, public, input, mac); !errors.Is(err, ErrKey) {
				t.Errorf("%v as %s: %v, want %v", a, name, err, ErrKey)
			}
		}
	}
}

func TestVerifyRefusesKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := rsaKey().PublicKey
	with := func(change func(*rsa.PublicKey)) *rsa.PublicKey {
		key := rsa.PublicKey{N: new(big.Int).Set(good.N), E: good.E}
		change(&key)
		return &key
	}
	p256 := &ecKeys()[ES256].PublicKey
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type foreign struct{ elliptic.Curve }
	cases := []struct {
		name string
		a    Algorithm
		key  any
	}{
		{"nil", RS256, nil},
		{"nil", ES256, nil},
		{"nil", EdDSA, nil},
		{"nil", HS256, nil},
		{"typed nil", RS256, (*rsa.PublicKey)(nil)},
		{"typed nil", PS512, (*rsa.PublicKey)(nil)},
		{"typed nil", ES384, (*ecdsa.PublicKey)(nil)},
		{"typed nil", EdDSA, ed25519.PublicKey(nil)},
		{"typed nil", HS256, []byte(nil)},
		{"zero", RS256, new(rsa.PublicKey)},
		{"zero", ES256, new(ecdsa.PublicKey)},
		{"no modulus", RS256, &rsa.PublicKey{E: 65537}},
		{"negative modulus", RS256, with(func(k *rsa.PublicKey) { k.N.Neg(k.N) })},
		{"even modulus", RS256, with(func(k *rsa.PublicKey) { k.N.SetBit(k.N, 0, 0) })},
		{"even modulus", PS256, with(func(k *rsa.PublicKey) { k.N.SetBit(k.N, 0, 0) })},
		{"exponent 1", RS256, with(func(k *rsa.PublicKey) { k.E = 1 })},
		{"exponent 0", RS256, with(func(k *rsa.PublicKey) { k.E = 0 })},
		{"exponent even", RS256, with(func(k *rsa.PublicKey) { k.E = 65538 })},
		{"exponent negative", PS256, with(func(k *rsa.PublicKey) { k.E = -65537 })},
		{"exponent too big", PS256, with(func(k *rsa.PublicKey) { k.E = 1<<31 + 1 })},
		{"1024 bits", RS256, &small.PublicKey},
		{"1024 bits", PS256, &small.PublicKey},
		{"2047 bits", RS256, with(func(k *rsa.PublicKey) { k.N.Rsh(k.N, 1).SetBit(k.N, 0, 1) })},
		{"8200 bits", RS256, with(func(k *rsa.PublicKey) { k.N.Lsh(k.N, 8200-2048).SetBit(k.N, 0, 1) })},
		{"value instead of pointer", RS256, good},
		{"private key", RS256, rsaKey()},
		{"private key", ES256, ecKeys()[ES256]},
		{"private key", EdDSA, edKey()},
		{"other curve", ES256, &ecKeys()[ES384].PublicKey},
		{"other curve", ES384, p256},
		{"other curve", ES512, p256},
		{"curve of our own", ES256, &ecdsa.PublicKey{Curve: foreign{elliptic.P256()}, X: p256.X, Y: p256.Y}},
		{"P-224", ES256, &ecdsa.PublicKey{Curve: elliptic.P224(), X: p256.X, Y: p256.Y}},
		{"no y", ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.X}},
		{"not on the curve", ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.X, Y: new(big.Int).Add(p256.Y, big.NewInt(1))}},
		{"point 0, 0", ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}},
		{"negative point", ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.X, Y: new(big.Int).Neg(p256.Y)}},
		{"huge point", ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).Lsh(p256.X, 256), Y: p256.Y}},
		{"31 bytes", EdDSA, ed25519.PublicKey(make([]byte, 31))},
		{"33 bytes", EdDSA, ed25519.PublicKey(make([]byte, 33))},
		{"bytes", EdDSA, []byte(edKey().Public().(ed25519.PublicKey))},
		{"X25519", EdDSA, x25519.PublicKey()},
		{"secret for an asymmetric algorithm", RS256, secret},
		{"31 bytes", HS256, secret[:31]},
		{"47 bytes", HS384, secret[:47]},
		{"63 bytes", HS512, secret[:63]},
		{"string", HS256, string(secret)},
		{"public key as secret", HS256, edKey().Public()},
		{"DSA", RS256, new(dsa.PublicKey)},
		{"no algorithm", 0, secret},
		{"algorithm beyond", algorithmCount, secret},
		{"algorithm 255", 255, &good},
	}
	// What only the arithmetic finds is a signature that does not verify.
	foundByCrypto := map[string]bool{"even modulus": true, "exponent too big": true, "not on the curve": true, "point 0, 0": true, "negative point": true, "huge point": true}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%v %s", c.a, c.name), func(t *testing.T) {
			length := 256
			switch c.a {
			case EdDSA, ES256:
				length = 64
			case ES384:
				length = 96
			case ES512:
				length = 132
			case HS256:
				length = 32
			}
			for _, sig := range [][]byte{nil, {1}, bytesOf(1, length)} {
				err := Verify(c.a, c.key, input, sig)
				if !errors.Is(err, ErrKey) && !(foundByCrypto[c.name] && errors.Is(err, ErrSignature)) {
					t.Errorf("%d bytes of signature: %v", len(sig), err)
				}
			}
		})
	}
	// A true signature does not make up for a bad key.
	digest := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, small, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(RS256, &small.PublicKey, input, sig); !errors.Is(err, ErrKey) {
		t.Errorf("signed with 1024 bits: %v", err)
	}
	if err := Verify(HS256, secret[:31], input, hmacOf(crypto.SHA256, secret[:31], input)); !errors.Is(err, ErrKey) {
		t.Errorf("MAC under a short secret: %v", err)
	}
	disguised := &ecdsa.PublicKey{Curve: foreign{elliptic.P256()}, X: p256.X, Y: p256.Y}
	if err := Verify(ES256, disguised, input, sign(t, ES256, input)); !errors.Is(err, ErrKey) {
		t.Errorf("curve of our own: %v", err)
	}
	if err := Verify(HS256, secret[:32], input, hmacOf(crypto.SHA256, secret[:32], input)); err != nil {
		t.Errorf("secret as long as the hash: %v", err)
	}
}

func TestAlgorithms(t *testing.T) {
	for _, a := range allAlgorithms() {
		if got, ok := ParseAlgorithm(a.String()); got != a || !ok {
			t.Errorf("%v: %v %v", a, got, ok)
		}
		if want := map[Algorithm]int{HS256: 32, HS384: 48, HS512: 64}[a]; a.MinSecret() != want || a.Symmetric() != (want > 0) {
			t.Errorf("%v: secret of %d", a, a.MinSecret())
		}
		if set := Algorithms(a); !set.Has(a) || set.Has(0) || len(set.List()) != 1 {
			t.Errorf("%v: set %v", a, set.List())
		}
	}
	for _, name := range []string{"", "none", "rs256", "RS256 ", "ES256K"} {
		if a, ok := ParseAlgorithm(name); ok || a != 0 {
			t.Errorf("%q: %v", name, a)
		}
	}
	if Algorithm(0).String() != "" || Algorithm(200).String() != "" || len(allAlgorithms()) != 13 {
		t.Error("names beyond the list")
	}
}
