package jwks

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/big"
	"sync"
)

// rocaPrimes are the odd primes up to 167, the part of the modulus of
// Infineon's generator that every key length has (Nemec et al., "The Return of
// Coppersmith's Attack", 2017).
var rocaPrimes = []uint64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
	97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// rocaResidues holds, for each of rocaPrimes, the powers of 65537 modulo it.
var rocaResidues = sync.OnceValue(func() []map[uint64]bool {
	all := make([]map[uint64]bool, len(rocaPrimes))
	for i, p := range rocaPrimes {
		powers := map[uint64]bool{}
		for x := uint64(1); !powers[x]; x = x * 65537 % p {
			powers[x] = true
		}
		all[i] = powers
	}
	return all
})

// roca reports whether n has the fingerprint of CVE-2017-15361: its residues
// modulo small primes are all powers of 65537. An honest key has it with a
// chance of about 2^-154.
func roca(n *big.Int) bool {
	var p, r big.Int
	for i, residues := range rocaResidues() {
		if !residues[r.Mod(n, p.SetUint64(rocaPrimes[i])).Uint64()] {
			return false
		}
	}
	return true
}

// The field and constant of edwards25519 (RFC 8032 section 5.1).
var (
	edP = func() *big.Int {
		p := new(big.Int).Lsh(big.NewInt(1), 255)
		return p.Sub(p, big.NewInt(19))
	}()
	edD, _ = new(big.Int).SetString("37095705934669439343138083508754565189542113879843219016388785533085940283555", 10)
)

// edSmallOrder are the y coordinates, little-endian, of the eight points whose
// order divides the cofactor. Under such a public key anyone can make
// signatures that verify.
var edSmallOrder = [][32]byte{
	{}, // order 4
	{0: 1},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, // order 2
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}, // order 8
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}, // order 8
}

// checkEd25519 checks that pub is the canonical encoding of a point of the
// curve that is not of small order.
func checkEd25519(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return errors.New("Ed25519 key must have 32 bytes")
	}
	y := bytes.Clone(pub)
	y[31] &= 0x7f // the rest of the last byte is the sign of x
	for _, small := range edSmallOrder {
		if bytes.Equal(y, small[:]) {
			return errors.New("Ed25519 point has a small order: anyone could sign for it")
		}
	}
	for i, j := 0, len(y)-1; i < j; i, j = i+1, j-1 {
		y[i], y[j] = y[j], y[i]
	}
	Y := new(big.Int).SetBytes(y)
	if Y.Cmp(edP) >= 0 {
		return errors.New("Ed25519 point is not canonical")
	}
	// x^2 = (y^2-1) / (d*y^2+1) must have a root; u/v has one exactly when u*v
	// has, and v is never zero.
	one := big.NewInt(1)
	Y.Mul(Y, Y).Mod(Y, edP)
	u := new(big.Int).Sub(Y, one)
	v := new(big.Int).Mul(Y, edD)
	v.Add(v, one)
	if big.Jacobi(u.Mul(u, v).Mod(u, edP), edP) < 0 {
		return errors.New("Ed25519 point is not on the curve")
	}
	return nil
}
