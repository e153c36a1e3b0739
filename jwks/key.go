package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// RSA moduli outside these bits are refused: shorter ones are weak, longer ones
// make a signature check expensive.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// The algorithms of each type of key, before a key's own alg narrows them.
var (
	rsaAlgorithms = token.Algorithms(token.RS256, token.RS384, token.RS512, token.PS256, token.PS384, token.PS512)
	ed25519Algs   = token.Algorithms(token.EdDSA)
)

// Key is one verification key of one issuer. Immutable.
type Key struct {
	id    string
	use   string // as the document has it, for people
	anyID bool   // configured as the one key: answers to every kid
	algs  token.AlgorithmSet
	raw   any // what token.Verify takes

	kty    string
	bits   int
	curve  string
	thumb  string // RFC 7638, SHA-256, base64url; empty for a secret
	digest [sha256.Size]byte
	since  time.Time // for people; set before the key is published
}

// ID returns the kid that the document gave the key; empty if none.
func (k *Key) ID() string { return k.id }

// Algorithms returns what k may be used with: its type and curve, narrowed by
// its own alg, use and key_ops.
func (k *Key) Algorithms() token.AlgorithmSet { return k.algs }

// Verify checks a signature with k (token.Verify).
func (k *Key) Verify(a token.Algorithm, signingInput string, signature []byte) error {
	if !k.algs.Has(a) {
		return errors.New("algorithm is not one of the key's")
	}
	return token.Verify(a, k.raw, signingInput, signature)
}

// newKey checks public key material and makes a Key of it that answers to no
// kid yet and may do what its type can.
func newKey(raw any) (*Key, error) {
	k := &Key{raw: raw}
	switch pub := raw.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(pub); err != nil {
			return nil, err
		}
		k.kty, k.bits, k.algs = "RSA", pub.N.BitLen(), rsaAlgorithms
	case *ecdsa.PublicKey:
		alg, err := checkEC(pub)
		if err != nil {
			return nil, err
		}
		k.kty, k.bits, k.algs = "EC", pub.Curve.Params().BitSize, token.Algorithms(alg)
		k.curve = pub.Curve.Params().Name
	case ed25519.PublicKey:
		if err := checkEd25519(pub); err != nil {
			return nil, err
		}
		k.kty, k.bits, k.algs, k.curve = "OKP", 256, ed25519Algs, "Ed25519"
	default:
		return nil, fmt.Errorf("keys of type %T cannot verify tokens", raw)
	}
	sum := sha256.Sum256(k.publicJWK())
	k.thumb = base64.RawURLEncoding.EncodeToString(sum[:])
	k.seal()
	return k, nil
}

// newSecretKey makes a Key of a shared secret, for every HMAC whose hash is not
// longer than it (RFC 7518 section 3.2).
func newSecretKey(secret []byte) *Key {
	k := &Key{anyID: true, raw: append([]byte(nil), secret...), kty: "oct", bits: 8 * len(secret)}
	for _, a := range []token.Algorithm{token.HS256, token.HS384, token.HS512} {
		if len(secret) >= a.MinSecret() {
			k.algs |= token.Algorithms(a)
		}
	}
	k.seal()
	return k
}

// publicJWK returns the required members of k's public key in the form that
// RFC 7638 section 3 hashes: in lexicographic order, without white space.
func (k *Key) publicJWK() []byte {
	switch pub := k.raw.(type) {
	case *rsa.PublicKey:
		return rsaJWK(pub.N.Bytes(), big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4 || x || y, checked by newKey
		if err != nil {
			return nil
		}
		half := (len(point) - 1) / 2
		return ecJWK(k.curve, point[1:1+half], point[1+half:])
	case ed25519.PublicKey:
		return okpJWK(pub)
	}
	return nil
}

func rsaJWK(n, e []byte) []byte {
	return fmt.Appendf(nil, `{"e":"%s","kty":"RSA","n":"%s"}`, encode64(e), encode64(n))
}

func ecJWK(curve string, x, y []byte) []byte {
	return fmt.Appendf(nil, `{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, curve, encode64(x), encode64(y))
}

func okpJWK(x []byte) []byte {
	return fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode64(x))
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// seal computes what two keys are compared by: material, kid and permitted use.
func (k *Key) seal() {
	h := sha256.New()
	writeField(h, []byte(k.kty))
	if secret, ok := k.raw.([]byte); ok {
		writeField(h, secret)
	} else {
		writeField(h, k.publicJWK())
	}
	writeField(h, []byte(k.id))
	writeField(h, flag(k.anyID))
	writeField(h, binary.BigEndian.AppendUint16(nil, uint16(k.algs)))
	h.Sum(k.digest[:0])
}

// status describes k for people.
func (k *Key) status() KeyStatus {
	if k.kty == "oct" {
		return KeyStatus{Type: k.kty}
	}
	s := KeyStatus{ID: k.id, Type: k.kty, Bits: k.bits, Curve: k.curve, Use: k.use, Thumbprint: k.thumb, Since: k.since}
	for _, a := range k.algs.List() {
		s.Algorithms = append(s.Algorithms, a.String())
	}
	return s
}

func checkRSA(pub *rsa.PublicKey) error {
	switch {
	case pub == nil || pub.N == nil || pub.N.Sign() <= 0:
		return errors.New("RSA modulus is missing")
	case pub.N.BitLen() < minRSABits:
		return fmt.Errorf("RSA key has %d bits, needs at least %d", pub.N.BitLen(), minRSABits)
	case pub.N.BitLen() > maxRSABits:
		return fmt.Errorf("RSA key has %d bits, may have at most %d", pub.N.BitLen(), maxRSABits)
	case pub.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case pub.E < 3 || pub.E > 1<<31-1 || pub.E&1 == 0:
		// With an exponent of 1 everybody can sign.
		return errors.New("RSA exponent must be odd, at least 3 and at most 2^31-1")
	case roca(pub.N):
		return errors.New("RSA key has the ROCA weakness (CVE-2017-15361): its private key can be computed")
	}
	return nil
}

// checkEC checks the curve and that the point is on it, and returns the one
// algorithm of the curve (RFC 7518 section 3.4).
func checkEC(pub *ecdsa.PublicKey) (token.Algorithm, error) {
	var alg token.Algorithm
	switch {
	case pub == nil:
		return 0, errors.New("EC point is missing")
	case pub.Curve == elliptic.P256():
		alg = token.ES256
	case pub.Curve == elliptic.P384():
		alg = token.ES384
	case pub.Curve == elliptic.P521():
		alg = token.ES512
	default:
		return 0, errors.New("EC curve must be P-256, P-384 or P-521")
	}
	if _, err := pub.ECDH(); err != nil {
		return 0, fmt.Errorf("EC point is not on the curve %s", pub.Curve.Params().Name)
	}
	return alg, nil
}
