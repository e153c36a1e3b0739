package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
)

const bigHeader = `{"alg":"RS256","kid":"2026-01-key","typ":"at+jwt"}`

func BenchmarkParse(b *testing.B) {
	raw := mint(b, RS256, bigHeader, bigPayload)
	b.Logf("%d bytes", len(raw))
	b.Run("permanent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(raw, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pooled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := Acquire()
			if _, err := p.Parse(raw, 0); err != nil {
				b.Fatal(err)
			}
			p.Release()
		}
	})
	b.Run("pooled and detached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := Acquire()
			t, err := p.Parse(raw, 0)
			if err != nil {
				b.Fatal(err)
			}
			t.Detach()
			p.Release()
		}
	})
}

// BenchmarkRefuse is what a bad token costs before its signature is looked at.
func BenchmarkRefuse(b *testing.B) {
	good := mint(b, RS256, bigHeader, bigPayload)
	cases := []struct{ name, raw string }{
		{"a megabyte of dots", strings.Repeat(".", 1<<20)},
		{"12000 dots", strings.Repeat(".", 12000)},
		{"no dot", strings.Repeat("a", 900)},
		{"bad base64 at the end", good[:len(good)-1] + "="},
		{"unknown alg", strings.Replace(good, b64(bigHeader), b64(strings.Replace(bigHeader, "RS256", "none", 1)), 1)},
		{"text after the claims", mint(b, RS256, bigHeader, bigPayload+"x")},
		{"duplicate claim", mint(b, RS256, bigHeader, bigPayload[:len(bigPayload)-1]+`,"iss":"x"}`)},
		{"no exp", mint(b, RS256, bigHeader, strings.Replace(bigPayload, `"exp"`, `"exq"`, 1))},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := Acquire()
				if _, err := p.Parse(c.raw, 0); err == nil {
					b.Fatal("accepted")
				}
				p.Release()
			}
		})
	}
}

// BenchmarkVerify sets our check beside the bare one of the standard library
// with everything prepared for it, and beside the whole cold path.
func BenchmarkVerify(b *testing.B) {
	for _, a := range []Algorithm{RS256, ES256, EdDSA} {
		header := strings.Replace(bigHeader, "RS256", a.String(), 1)
		raw := mint(b, a, header, bigPayload)
		tok, err := Parse(raw, 0)
		if err != nil {
			b.Fatal(err)
		}
		key := keysFor(a).public
		input := []byte(tok.SigningInput())
		sig := tok.Signature()
		r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
		b.Run(a.String()+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ok := false
				switch key := key.(type) {
				case *rsa.PublicKey:
					sum := sha256.Sum256(input)
					ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil
				case *ecdsa.PublicKey:
					sum := sha256.Sum256(input)
					ok = ecdsa.Verify(key, sum[:], r, s)
				case ed25519.PublicKey:
					ok = ed25519.Verify(key, input, sig)
				}
				if !ok {
					b.Fatal("bad signature")
				}
			}
		})
		b.Run(a.String()+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Verify(a, key, tok.SigningInput(), sig); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(a.String()+"/parse verify detach", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := Acquire()
				t, err := p.Parse(raw, 0)
				if err != nil {
					b.Fatal(err)
				}
				if err := Verify(a, key, t.SigningInput(), t.Signature()); err != nil {
					b.Fatal(err)
				}
				t.Detach()
				p.Release()
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	c, err := ParseClaims(bigPayload)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 2*len(bigPayload))
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Root().AppendJSON(buf[:0])
	}
}
