package token

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

// TestVerifyECDSAEdges sets r and s to the edges of their range, moves them and
// changes their width (RFC 7518 section 3.4).
func TestVerifyECDSAEdges(t *testing.T) {
	for _, a := range []Algorithm{ES256, ES384, ES512} {
		key := &ecKeys()[a].PublicKey
		n := key.Params().N
		width := (n.BitLen() + 7) / 8
		sig := sign(t, a, input)
		r, s := new(big.Int).SetBytes(sig[:width]), new(big.Int).SetBytes(sig[width:])
		raw := func(r, s *big.Int) []byte {
			out := make([]byte, 2*width)
			r.FillBytes(out[:width])
			s.FillBytes(out[width:])
			return out
		}
		one := big.NewInt(1)
		edges := map[string]*big.Int{"0": new(big.Int), "1": one, "n-1": new(big.Int).Sub(n, one), "n": n, "n+1": new(big.Int).Add(n, one),
			"all ones": new(big.Int).SetBytes(bytesOf(0xff, width)), "r": r, "s": s}
		for rn, rv := range edges {
			for sn, sv := range edges {
				err := Verify(a, key, input, raw(rv, sv))
				if (err == nil) != (rn == "r" && sn == "s") {
					t.Errorf("%v r=%s s=%s: %v", a, rn, sn, err)
				}
			}
		}
		// JWS has no rule of a low s: the other half of the pair verifies too.
		if err := Verify(a, key, input, raw(r, new(big.Int).Sub(n, s))); err != nil {
			t.Errorf("%v (r, n-s): %v", a, err)
		}
		if sum := new(big.Int).Add(r, n); sum.BitLen() <= 8*width {
			if Verify(a, key, input, raw(sum, s)) == nil {
				t.Errorf("%v r+n accepted", a)
			}
		}
		der := appendDER(nil, sig[:width], sig[width:])
		wider := append(append([]byte{0}, sig[:width]...), append([]byte{0}, sig[width:]...)...)
		for name, odd := range map[string][]byte{
			"DER": der, "DER padded to the width": append(der, make([]byte, max(0, 2*width-len(der)))...),
			"a zero before each": wider, "a zero behind": append(append([]byte(nil), sig...), 0),
			"r alone": sig[:width], "a byte of r lost": sig[1:], "a byte of each lost": append(append([]byte(nil), sig[1:width]...), sig[width+1:]...),
		} {
			if Verify(a, key, input, odd) == nil {
				t.Errorf("%v %s accepted", a, name)
			}
		}
	}
}

// TestVerifyECDSALeadingZeros: signatures whose r or s is short keep their width
// and verify, and do not without the zero.
func TestVerifyECDSALeadingZeros(t *testing.T) {
	found := 0
	for i := 0; found < 4 && i < 20000; i++ {
		message := fmt.Sprint(input, i)
		sig := sign(t, ES256, message)
		if sig[0] != 0 && sig[32] != 0 {
			continue
		}
		found++
		if err := Verify(ES256, keysFor(ES256).public, message, sig); err != nil {
			t.Errorf("%x: %v", sig, err)
		}
		short := append([]byte(nil), sig[:32]...)
		if sig[0] == 0 {
			short = short[1:]
		}
		tail := sig[32:]
		if tail[0] == 0 {
			tail = tail[1:]
		}
		if Verify(ES256, keysFor(ES256).public, message, append(short, tail...)) == nil {
			t.Errorf("%x accepted without its zero", sig)
		}
	}
	if found == 0 {
		t.Skip("no signature with a leading zero")
	}
}

// TestVerifyEdDSAEdges adds the group order to s and swaps its halves
// (RFC 8032 section 5.1.7: s < L).
func TestVerifyEdDSAEdges(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	sig := sign(t, EdDSA, input)
	s := new(big.Int)
	for i := 63; i >= 32; i-- {
		s.Lsh(s, 8).Or(s, big.NewInt(int64(sig[i])))
	}
	s.Add(s, order)
	odd := append([]byte(nil), sig[:32]...)
	for range 32 {
		odd = append(odd, byte(s.Uint64()))
		s.Rsh(s, 8)
	}
	for name, sig := range map[string][]byte{"s + L": odd, "halves swapped": append(append([]byte(nil), sig[32:]...), sig[:32]...)} {
		if Verify(EdDSA, keysFor(EdDSA).public, input, sig) == nil {
			t.Errorf("%s accepted", name)
		}
	}
	// A key of small order would let one signature fit any message.
	weak := make(ed25519.PublicKey, 32)
	weak[0] = 1
	if Verify(EdDSA, weak, input, make([]byte, 64)) == nil {
		t.Error("zeros under the neutral key accepted")
	}
}

// rawRSA applies the private key to a padded block, as a forger with the key
// would: what is odd is the padding alone.
func rawRSA(block []byte) []byte {
	key := rsaKey()
	c := new(big.Int).Exp(new(big.Int).SetBytes(block), key.D, key.N)
	return c.FillBytes(make([]byte, key.Size()))
}

// sha256Prefix is the DigestInfo of SHA-256 (RFC 8017 section 9.2, note 1).
var sha256Prefix = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// TestVerifyRSAPaddings edits every byte of the padding and knows the forgeries
// of its history (short padding, trailing bytes, lenient DigestInfo).
func TestVerifyRSAPaddings(t *testing.T) {
	digest := sha256.Sum256([]byte(input))
	size := rsaKey().Size()
	block := func(info []byte) []byte {
		b := append([]byte{0, 1}, bytesOf(0xff, size-3-len(info))...)
		return append(append(b, 0), info...)
	}
	info := append(append([]byte(nil), sha256Prefix...), digest[:]...)
	key := keysFor(RS256).public
	if err := Verify(RS256, key, input, rawRSA(block(info))); err != nil {
		t.Fatal(err)
	}
	odd := map[string][]byte{
		"no NULL parameter":       block(append(append([]byte{0x30, 0x2f, 0x30, 0x0b}, append(append([]byte(nil), sha256Prefix[4:15]...), 0x04, 0x20)...), digest[:]...)),
		"digest alone":            block(digest[:]),
		"SHA-512's name":          block(append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x20}, digest[:]...)),
		"long form of a length":   block(append(append([]byte{0x30, 0x81, 0x31}, sha256Prefix[2:]...), digest[:]...)),
		"bytes behind the digest": append(append([]byte{0, 1}, bytesOf(0xff, 8)...), append(append([]byte{0}, info...), make([]byte, size-11-len(info))...)...),
		"padding of type 2":       append([]byte{0, 2}, block(info)[2:]...),
		"padding of type 0":       append([]byte{0, 0}, block(info)[2:]...),
		"no separator":            append(append([]byte{0, 1}, bytesOf(0xff, size-2-len(info))...), info...),
	}
	for i, b := range block(info) {
		edited := append([]byte(nil), block(info)...)
		edited[i] = b ^ 0x01
		if i > 0 { // the first byte cannot grow: the block must stay below n
			odd[fmt.Sprintf("byte %d", i)] = edited
		}
	}
	for name, b := range odd {
		if err := Verify(RS256, key, input, rawRSA(b)); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := rsaKey().N
	sig := new(big.Int).SetBytes(rawRSA(block(info)))
	for name, v := range map[string]*big.Int{"0": new(big.Int), "1": big.NewInt(1), "n-1": new(big.Int).Sub(n, big.NewInt(1)), "n": n,
		"s+n": new(big.Int).Add(sig, n), "n-s": new(big.Int).Sub(n, sig)} {
		if v.BitLen() > 8*size {
			continue
		}
		for _, a := range []Algorithm{RS256, PS256} {
			if Verify(a, key, input, v.FillBytes(make([]byte, size))) == nil {
				t.Errorf("%v %s accepted", a, name)
			}
		}
	}
}

// TestVerifyPSSSaltLength: any salt but one as long as the hash is refused
// (RFC 7518 section 3.5).
func TestVerifyPSSSaltLength(t *testing.T) {
	digest := sha256.Sum256([]byte(input))
	for _, salt := range []int{1, 20, 31, 32, 33, 48, 64, 222, rsa.PSSSaltLengthAuto} {
		sig, err := rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(PS256, keysFor(PS256).public, input, sig); (err == nil) != (salt == 32) {
			t.Errorf("salt of %d: %v", salt, err)
		}
	}
}
