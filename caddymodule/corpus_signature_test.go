package caddymodule_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

func thumbprintOf(t testing.TB, k *corpusKey) string {
	t.Helper()
	if k.ec == nil {
		t.Fatal("for P-256 keys")
	}
	w := width(k.ec.Curve)
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + b64(k.ec.X.FillBytes(make([]byte, w))) + `","y":"` + b64(k.ec.Y.FillBytes(make([]byte, w))) + `"}`))
	return b64(sum[:])
}

// signatures is a right header and right claims under a wrong signature
// (conformance 5.1, 5.4 to 5.6).
func (l *lab) signatures() []attack {
	return append(append(l.rsaSignatures(), l.ecdsaSignatures()...), l.otherSignatures()...)
}

// edit is one odd signature, made from the signing input and the right one.
type edit struct {
	name string
	make func(input string, good []byte) []byte
	ok   bool
}

func (l *lab) edited(k *corpusKey, edits ...edit) []attack {
	var attacks []attack
	for _, e := range edits {
		input := b64([]byte(header(k))) + "." + b64([]byte(l.claims()))
		w := refused(token.SignatureInvalid)
		if e.ok {
			w = accepted("X-Auth-Sub", "alice")
		}
		odd := e.make(input, k.sign(l.t, k.alg, input))
		if len(odd) == 0 {
			w = refused(token.TokenMalformed)
		}
		attacks = append(attacks, attack{name: k.alg + " " + e.name, gate: "main", token: input + "." + b64(odd), want: w})
	}
	return attacks
}

// lengths are edits that every algorithm knows.
func lengths() []edit {
	return []edit{
		{"empty", func(string, []byte) []byte { return nil }, false},
		{"one byte", func(string, []byte) []byte { return []byte{0} }, false},
		{"zeros", func(_ string, s []byte) []byte { return make([]byte, len(s)) }, false},
		{"ones", func(_ string, s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) }, false},
		{"cut at the end", func(_ string, s []byte) []byte { return s[:len(s)-1] }, false},
		{"cut at the start", func(_ string, s []byte) []byte { return s[1:] }, false},
		{"half", func(_ string, s []byte) []byte { return s[:len(s)/2] }, false},
		{"zero behind", func(_ string, s []byte) []byte { return append(bytes.Clone(s), 0) }, false},
		{"zero before", func(_ string, s []byte) []byte { return append([]byte{0}, s...) }, false},
		{"twice", func(_ string, s []byte) []byte { return append(bytes.Clone(s), s...) }, false},
		{"reversed", func(_ string, s []byte) []byte {
			r := bytes.Clone(s)
			for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
				r[i], r[j] = r[j], r[i]
			}
			return r
		}, false},
		{"first bit", func(_ string, s []byte) []byte { r := bytes.Clone(s); r[0] ^= 0x80; return r }, false},
		{"last bit", func(_ string, s []byte) []byte { r := bytes.Clone(s); r[len(r)-1] ^= 1; return r }, false},
		{"1,024 bytes", func(string, []byte) []byte { return make([]byte, 1024) }, false},
		{"control", func(_ string, s []byte) []byte { return s }, true},
	}
}

func (l *lab) rsaSignatures() []attack {
	k := l.keys.rsa
	n, size := k.rsa.N, k.rsa.Size()
	number := func(name string, f func(s *big.Int) *big.Int) edit {
		return edit{name, func(_ string, good []byte) []byte {
			v := f(new(big.Int).SetBytes(good))
			return v.FillBytes(make([]byte, max(size, (v.BitLen()+7)/8)))
		}, false}
	}
	edits := append(lengths(),
		number("zero", func(*big.Int) *big.Int { return new(big.Int) }), number("one", func(*big.Int) *big.Int { return big.NewInt(1) }),
		number("n-1", func(*big.Int) *big.Int { return new(big.Int).Sub(n, big.NewInt(1)) }), number("n", func(*big.Int) *big.Int { return n }),
		number("n-s", func(s *big.Int) *big.Int { return s.Sub(n, s) }), number("s+n", func(s *big.Int) *big.Int { return s.Add(s, n) }),
		number("s+1", func(s *big.Int) *big.Int { return s.Add(s, big.NewInt(1)) }), number("s*s", func(s *big.Int) *big.Int { return s.Mul(s, s).Mod(s, n) }),
		number("s+n in 257 bytes", func(s *big.Int) *big.Int { return s.Add(s, n).Add(s, new(big.Int).Lsh(n, 1)) }),
	)
	attacks := l.edited(k, edits...)

	// The private key signs encodings of our own making (RFC 8017 section 9.2).
	info := func(h crypto.Hash) []byte {
		return map[crypto.Hash][]byte{
			crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
			crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
			crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
		}[h]
	}
	em := func(kind, padding byte, length int, rest []byte) []byte {
		out := append([]byte{0, kind}, bytes.Repeat([]byte{padding}, length)...)
		out = append(append(out, 0), rest...)
		return append(out, make([]byte, size-len(out))...)
	}
	full := func(kind, padding byte, rest []byte) []byte { return em(kind, padding, size-3-len(rest), rest) }
	encoded := func(name string, ok bool, f func(sum []byte, input string) []byte) edit {
		return edit{name, func(input string, _ []byte) []byte { return k.power(f(digest(crypto.SHA256, input), input)) }, ok}
	}
	nullless := append([]byte{0x30, 0x2f, 0x30, 0x0b}, append(info(crypto.SHA256)[4:15:15], 0x04, 0x20)...)
	attacks = append(attacks, l.edited(k,
		encoded("own encoding, right", true, func(sum []byte, _ string) []byte { return full(1, 0xff, append(info(crypto.SHA256), sum...)) }),
		encoded("block type 0", false, func(sum []byte, _ string) []byte { return full(0, 0xff, append(info(crypto.SHA256), sum...)) }),
		encoded("block type 2", false, func(sum []byte, _ string) []byte { return full(2, 0xff, append(info(crypto.SHA256), sum...)) }),
		encoded("padding of zeros", false, func(sum []byte, _ string) []byte { return full(1, 0, append(info(crypto.SHA256), sum...)) }),
		encoded("padding of 0xfe", false, func(sum []byte, _ string) []byte { return full(1, 0xfe, append(info(crypto.SHA256), sum...)) }),
		encoded("8 bytes of padding, garbage behind", false, func(sum []byte, _ string) []byte {
			return em(1, 0xff, 8, append(info(crypto.SHA256), sum...))
		}),
		encoded("no padding", false, func(sum []byte, _ string) []byte { return em(1, 0xff, 0, append(info(crypto.SHA256), sum...)) }),
		encoded("no NULL parameter", false, func(sum []byte, _ string) []byte { return full(1, 0xff, append(nullless, sum...)) }),
		encoded("no DigestInfo", false, func(sum []byte, _ string) []byte { return full(1, 0xff, sum) }),
		encoded("digest twice", false, func(sum []byte, _ string) []byte {
			return full(1, 0xff, append(append(info(crypto.SHA256), sum...), sum...))
		}),
		encoded("digest cut", false, func(sum []byte, _ string) []byte { return full(1, 0xff, append(info(crypto.SHA256), sum[:31]...)) }),
		encoded("SHA-1", false, func(_ []byte, input string) []byte {
			return full(1, 0xff, append(info(crypto.SHA1), digest(crypto.SHA1, input)...))
		}),
		encoded("SHA-512", false, func(_ []byte, input string) []byte {
			return full(1, 0xff, append(info(crypto.SHA512), digest(crypto.SHA512, input)...))
		}),
		encoded("SHA-512 called SHA-256", false, func(_ []byte, input string) []byte {
			return full(1, 0xff, append(info(crypto.SHA256), digest(crypto.SHA512, input)...))
		}),
		encoded("garbage before the DigestInfo", false, func(sum []byte, _ string) []byte {
			return full(1, 0xff, append([]byte{0, 0}, append(info(crypto.SHA256), sum...)...))
		}),
	)...)

	p := l.keys.ps
	pss := func(name string, salt int, h crypto.Hash, ok bool) edit {
		return edit{name, func(input string, _ []byte) []byte { return p.pss(l.t, h, input, salt) }, ok}
	}
	return append(attacks, l.edited(p, append(lengths(),
		pss("salt 0", 0, crypto.SHA256, false), pss("salt 1", 1, crypto.SHA256, false), pss("salt 20", 20, crypto.SHA256, false), pss("salt 31", 31, crypto.SHA256, false), pss("salt 32", 32, crypto.SHA256, true),
		pss("salt 33", 33, crypto.SHA256, false), pss("salt 64", 64, crypto.SHA256, false), pss("salt as long as can be", rsa.PSSSaltLengthAuto, crypto.SHA256, false),
		pss("SHA-1", 20, crypto.SHA1, false), pss("SHA-384", 48, crypto.SHA384, false), pss("SHA-512", 64, crypto.SHA512, false), pss("SHA-384, salt 32", 32, crypto.SHA384, false),
		edit{"MGF1 with SHA-1", func(input string, _ []byte) []byte {
			return p.power(pssEncode(p.rsa.N.BitLen()-1, input, crypto.SHA1, 0xbc))
		}, false},
		edit{"MGF1 with SHA-256, own encoding", func(input string, _ []byte) []byte {
			return p.power(pssEncode(p.rsa.N.BitLen()-1, input, crypto.SHA256, 0xbc))
		}, true},
		edit{"trailer 0xcc", func(input string, _ []byte) []byte {
			return p.power(pssEncode(p.rsa.N.BitLen()-1, input, crypto.SHA256, 0xcc))
		}, false},
		edit{"PKCS #1", func(input string, _ []byte) []byte { return p.sign(l.t, "RS256", input) }, false},
	)...)...)
}

// pssEncode is EMSA-PSS (RFC 8017 section 9.1.1) with SHA-256, a salt of 32 and
// a hash of its own for MGF1.
func pssEncode(bits int, input string, mgf crypto.Hash, trailer byte) []byte {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt)
	h := digest(crypto.SHA256, string(make([]byte, 8))+string(digest(crypto.SHA256, input))+string(salt))
	length := (bits + 7) / 8
	db := make([]byte, length-len(h)-1)
	copy(db[len(db)-len(salt):], salt)
	db[len(db)-len(salt)-1] = 1
	var mask []byte
	for i := uint32(0); len(mask) < len(db); i++ {
		mask = append(mask, digest(mgf, string(binary.BigEndian.AppendUint32(bytes.Clone(h), i)))...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0xff >> (8*length - bits)
	return append(append(db, h...), trailer)
}

func (l *lab) ecdsaSignatures() []attack {
	var attacks []attack
	for _, k := range []*corpusKey{l.keys.ec, l.keys.ec384, l.keys.ec521} {
		c, n, w := k.ec.Curve, k.ec.Params().N, width(k.ec.Curve)
		pair := func(name string, f func(r, s *big.Int) (*big.Int, *big.Int), ok bool) edit {
			return edit{name, func(_ string, good []byte) []byte {
				r, s := f(new(big.Int).SetBytes(good[:w]), new(big.Int).SetBytes(good[w:]))
				return raw(c, r, s)
			}, ok}
		}
		zero, one, last := new(big.Int), big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1))
		edits := lengths()
		for i, a := range []*big.Int{zero, one, last, n} {
			for j, b := range []*big.Int{zero, one, last, n} {
				edits = append(edits, pair("r and s "+[]string{"0", "1", "n-1", "n"}[i]+" "+[]string{"0", "1", "n-1", "n"}[j], func(*big.Int, *big.Int) (*big.Int, *big.Int) { return a, b }, false))
			}
		}
		edits = append(edits,
			pair("r is 0", func(_, s *big.Int) (*big.Int, *big.Int) { return zero, s }, false), pair("s is 0", func(r, _ *big.Int) (*big.Int, *big.Int) { return r, zero }, false),
			pair("r is n", func(_, s *big.Int) (*big.Int, *big.Int) { return n, s }, false), pair("s is n", func(r, _ *big.Int) (*big.Int, *big.Int) { return r, n }, false),
			pair("swapped", func(r, s *big.Int) (*big.Int, *big.Int) { return s, r }, false), pair("n-r", func(r, s *big.Int) (*big.Int, *big.Int) { return new(big.Int).Sub(n, r), s }, false),
			pair("n-s, which is as good", func(r, s *big.Int) (*big.Int, *big.Int) { return r, new(big.Int).Sub(n, s) }, true),
			pair("s+1", func(r, s *big.Int) (*big.Int, *big.Int) { return r, new(big.Int).Add(s, one) }, false),
			edit{"DER", func(_ string, good []byte) []byte { return der(l.t, good, w) }, false},
			edit{"DER, cut to width", func(_ string, good []byte) []byte { return der(l.t, good, w)[:2*w] }, false},
			edit{"halves a byte wider", func(_ string, good []byte) []byte {
				return append(append([]byte{0}, good[:w]...), append([]byte{0}, good[w:]...)...)
			}, false},
			edit{"other hash", func(input string, _ []byte) []byte {
				other := crypto.SHA512
				if hashOf(k.alg) == crypto.SHA512 {
					other = crypto.SHA256
				}
				r, s := k.ecdsa(l.t, other, input)
				return raw(c, r, s)
			}, false},
			edit{"leading zero kept", func(input string, _ []byte) []byte { return l.withLeadingZero(k, input) }, true},
			edit{"leading zero dropped", func(input string, _ []byte) []byte { return l.withLeadingZero(k, input)[1:] }, false},
			edit{"leading zero dropped, both padded", func(input string, _ []byte) []byte {
				return append(l.withLeadingZero(k, input)[1:], 0)
			}, false},
		)
		attacks = append(attacks, l.edited(k, edits...)...)
	}
	return attacks
}

// withLeadingZero signs until r begins with a zero byte.
func (l *lab) withLeadingZero(k *corpusKey, input string) []byte {
	for range 100000 {
		if signature := k.sign(l.t, k.alg, input); signature[0] == 0 {
			return signature
		}
	}
	l.t.Fatal("no signature with a leading zero")
	return nil
}

func der(t testing.TB, good []byte, w int) []byte {
	t.Helper()
	out, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(good[:w]), new(big.Int).SetBytes(good[w:])})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *lab) otherSignatures() []attack {
	k := l.keys.ed
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	scalar := func(name string, f func(s *big.Int) *big.Int) edit {
		return edit{name, func(_ string, good []byte) []byte {
			s := f(new(big.Int).SetBytes(reversed(good[32:])))
			return append(bytes.Clone(good[:32]), reversed(s.FillBytes(make([]byte, 32)))...)
		}, false}
	}
	identity := append([]byte{1}, make([]byte, 63)...)
	attacks := l.edited(k, append(lengths(),
		scalar("s+L", func(s *big.Int) *big.Int { return s.Add(s, order) }), scalar("s is L", func(*big.Int) *big.Int { return order }), scalar("s is 0", func(*big.Int) *big.Int { return new(big.Int) }),
		scalar("L-s", func(s *big.Int) *big.Int { return s.Sub(order, s) }),
		edit{"R is the identity, s is 0", func(string, []byte) []byte { return identity }, false},
		edit{"halves swapped", func(_ string, good []byte) []byte { return append(bytes.Clone(good[32:]), good[:32]...) }, false},
		edit{"Ed25519ph", func(input string, _ []byte) []byte {
			s, err := k.ed.Sign(rand.Reader, digest(crypto.SHA512, input), &ed25519.Options{Hash: crypto.SHA512})
			if err != nil {
				l.t.Fatal(err)
			}
			return s
		}, false},
		edit{"Ed25519ctx", func(input string, _ []byte) []byte {
			s, err := k.ed.Sign(rand.Reader, []byte(input), &ed25519.Options{Context: "jwt"})
			if err != nil {
				l.t.Fatal(err)
			}
			return s
		}, false},
		edit{"over the hash", func(input string, _ []byte) []byte { return ed25519.Sign(k.ed, digest(crypto.SHA256, input)) }, false},
	)...)
	// The same for a MAC, at the gate with the secret.
	macs := l.edited(l.keys.hmac, append(lengths(),
		edit{"half the MAC", func(_ string, good []byte) []byte { return good[:16] }, false},
		edit{"SHA-512, cut", func(input string, _ []byte) []byte { return mac(crypto.SHA512, l.keys.hmac.secret, input)[:32] }, false},
		edit{"SHA-384", func(input string, _ []byte) []byte { return mac(crypto.SHA384, l.keys.hmac.secret, input) }, false},
		edit{"the hash alone", func(input string, _ []byte) []byte { return digest(crypto.SHA256, input) }, false},
	)...)
	for i := range macs {
		macs[i].gate = "hs"
	}
	return append(attacks, macs...)
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}
