package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"unsafe"
)

// The errors of Verify.
var (
	// ErrKey says that the key cannot be used with the algorithm: wrong type,
	// curve or size.
	ErrKey = errors.New("key does not fit the algorithm")
	// ErrSignature says that the signature is not one of the key over the input.
	ErrSignature = errors.New("signature does not verify")
)

// RSA moduli are between these: shorter ones are weak, longer ones are a way
// to make a check expensive.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Verify checks signature over signingInput with algorithm a and key, which is
// an *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or, for HS*, a []byte
// secret. A key that does not fit a (type, curve, size) never verifies. It
// returns nil, ErrKey or ErrSignature; it never panics.
func Verify(a Algorithm, key any, signingInput string, signature []byte) (err error) {
	// Whatever a strange key does to the arithmetic below is no verification.
	defer func() {
		if recover() != nil {
			err = ErrKey
		}
	}()
	// A view instead of a copy: nothing below writes to it or keeps it.
	message := unsafe.Slice(unsafe.StringData(signingInput), len(signingInput)) //nolint:gosec // as the line above says
	switch a {
	case RS256, RS384, RS512, PS256, PS384, PS512:
		return verifyRSA(a, key, message, signature)
	case ES256, ES384, ES512:
		return verifyECDSA(a, key, message, signature)
	case EdDSA:
		public, ok := key.(ed25519.PublicKey)
		if !ok || len(public) != ed25519.PublicKeySize {
			return ErrKey
		}
		// RFC 8032: s < L is checked by crypto/ed25519.
		if len(signature) != ed25519.SignatureSize || !ed25519.Verify(public, message, signature) {
			return ErrSignature
		}
		return nil
	case HS256, HS384, HS512:
		return verifyHMAC(a, key, message, signature)
	}
	return ErrKey
}

func verifyRSA(a Algorithm, key any, message, signature []byte) error {
	public, ok := key.(*rsa.PublicKey)
	if !ok || public == nil || public.N == nil || public.N.Sign() <= 0 {
		return ErrKey
	}
	// With an exponent of 1 everybody can sign.
	if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits || public.E < 3 || public.E&1 == 0 {
		return ErrKey
	}
	if len(signature) != public.Size() {
		return ErrSignature
	}
	var buf [sha512.Size]byte
	digest := digestOf(a, message, &buf)
	hash := algorithms[a].hash
	var err error
	if a <= RS512 {
		err = rsa.VerifyPKCS1v15(public, hash, digest, signature)
	} else {
		// RFC 7518 section 3.5: the salt is as long as the hash, never "auto".
		err = rsa.VerifyPSS(public, hash, digest, signature, &pssOptions)
	}
	if err != nil {
		return ErrSignature
	}
	return nil
}

var pssOptions = rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

// curves are the one curve of each algorithm and its order as bytes, as long
// as each half of a signature.
var curves = func() map[Algorithm]curve {
	of := func(c elliptic.Curve) curve { return curve{c, c.Params().N.Bytes()} }
	return map[Algorithm]curve{ES256: of(elliptic.P256()), ES384: of(elliptic.P384()), ES512: of(elliptic.P521())}
}()

type curve struct {
	elliptic.Curve
	order []byte
}

func verifyECDSA(a Algorithm, key any, message, signature []byte) error {
	public, ok := key.(*ecdsa.PublicKey)
	c := curves[a]
	if !ok || public == nil || public.Curve != c.Curve ||
		public.X == nil || public.Y == nil { //nolint:staticcheck // only whether they are there; a foreign key may lack them
		return ErrKey
	}
	// RFC 7518 section 3.4: r and s, each of full width, never DER.
	width := len(c.order)
	if len(signature) != 2*width {
		return ErrSignature
	}
	r, s := signature[:width], signature[width:]
	if !inRange(r, c.order) || !inRange(s, c.order) {
		return ErrSignature
	}
	var der [maxDER]byte
	var buf [sha512.Size]byte
	if !ecdsa.VerifyASN1(public, digestOf(a, message, &buf), appendDER(der[:0], r, s)) {
		return ErrSignature
	}
	return nil
}

// inRange reports 1 <= n < order, both big-endian and of one length.
func inRange(n, order []byte) bool {
	for _, b := range n {
		if b != 0 {
			return bytes.Compare(n, order) < 0
		}
	}
	return false
}

// maxDER holds two integers of 66 bytes, a sign byte and two bytes of header
// each, behind a header of three.
const maxDER = 3 + 2*(2+1+66)

// appendDER appends the ASN.1 form of r and s, which are not zero: the only one
// that crypto/ecdsa takes without big integers.
func appendDER(dst, r, s []byte) []byte {
	r, s = bytes.TrimLeft(r, "\x00"), bytes.TrimLeft(s, "\x00")
	length := 2 + len(r) + int(r[0]>>7) + 2 + len(s) + int(s[0]>>7)
	dst = append(dst, 0x30)
	if length > 127 {
		dst = append(dst, 0x81)
	}
	dst = append(dst, byte(length))
	for _, n := range [...][]byte{r, s} {
		dst = append(dst, 0x02, byte(len(n)+int(n[0]>>7)))
		if n[0]>>7 == 1 {
			dst = append(dst, 0) // a leading one bit would make it negative
		}
		dst = append(dst, n...)
	}
	return dst
}

func verifyHMAC(a Algorithm, key any, message, signature []byte) error {
	secret, ok := key.([]byte)
	if !ok || len(secret) < a.MinSecret() {
		return ErrKey
	}
	var mac hash.Hash
	switch a {
	case HS256:
		mac = hmac.New(sha256.New, secret)
	case HS384:
		mac = hmac.New(sha512.New384, secret)
	default:
		mac = hmac.New(sha512.New, secret)
	}
	mac.Write(message)
	var buf [sha512.Size]byte
	if !hmac.Equal(mac.Sum(buf[:0]), signature) {
		return ErrSignature
	}
	return nil
}

// digestOf hashes message with the hash of a into buf.
func digestOf(a Algorithm, message []byte, buf *[sha512.Size]byte) []byte {
	switch algorithms[a].hash.Size() {
	case sha256.Size:
		*(*[sha256.Size]byte)(buf[:]) = sha256.Sum256(message)
		return buf[:sha256.Size]
	case sha512.Size384:
		*(*[sha512.Size384]byte)(buf[:]) = sha512.Sum384(message)
		return buf[:sha512.Size384]
	}
	*buf = sha512.Sum512(message)
	return buf[:]
}
