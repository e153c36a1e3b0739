package signing

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// JWK is a public key as RFC 7517 and RFC 8037 write it.
type JWK struct {
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// JWK returns the public half of k; the zero JWK for a secret, which is never
// published.
func (k *Key) JWK() JWK {
	j := JWK{KeyID: k.id, Use: "sig", Algorithm: k.alg.name}
	switch p := k.Public().(type) {
	case *rsa.PublicKey:
		j.KeyType = "RSA"
		j.N = Encode(p.N.Bytes())
		j.E = Encode(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		j.KeyType = "EC"
		j.Curve = p.Curve.Params().Name
		// An uncompressed point: 0x04, X, Y, both of the field's full width.
		point, err := p.Bytes()
		if err != nil {
			return JWK{}
		}
		half := (len(point) - 1) / 2
		j.X, j.Y = Encode(point[1:1+half]), Encode(point[1+half:])
	case ed25519.PublicKey:
		j.KeyType = "OKP"
		j.Curve = "Ed25519"
		j.X = Encode(p)
	default:
		return JWK{}
	}
	return j
}

// Thumbprint returns the RFC 7638 SHA-256 thumbprint in base64url; empty for a
// secret.
func (k *Key) Thumbprint() string {
	j := k.JWK()
	var canonical string
	switch j.KeyType {
	case "RSA":
		canonical = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, j.E, j.N)
	case "EC":
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, j.Curve, j.X, j.Y)
	case "OKP":
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, j.Curve, j.X)
	default:
		return ""
	}
	sum := sha256.Sum256([]byte(canonical))
	return Encode(sum[:])
}

// MarshalJWKS returns the JWK Set of the public halves of keys; secrets are
// left out.
func MarshalJWKS(keys ...*Key) []byte {
	set := struct {
		Keys []JWK `json:"keys"`
	}{Keys: []JWK{}}
	for _, k := range keys {
		if j := k.JWK(); j.KeyType != "" {
			set.Keys = append(set.Keys, j)
		}
	}
	data, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		panic(err) // strings alone cannot fail to marshal
	}
	return append(data, '\n')
}

// Encode is base64url without padding (RFC 7515 section 2).
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Decode undoes Encode.
func Decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }
