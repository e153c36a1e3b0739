// Package signing makes keys and compact JWS for development: the local issuer,
// the token command and the tests. It signs whatever bytes it is given and
// judges none of them; the gate's own path does not import it.
package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// rsaBits is the size of generated RSA keys.
const rsaBits = 2048

// Key is a private key or a shared secret, for one algorithm. Immutable and
// safe for concurrent use.
type Key struct {
	id      string
	alg     algorithm
	private crypto.Signer // nil for a secret
	secret  []byte
}

// Generate makes a new key for the algorithm of that name. The ID of an
// asymmetric key is its RFC 7638 thumbprint; a secret has none.
func Generate(alg string) (*Key, error) {
	a, err := algorithmByName(alg)
	if err != nil {
		return nil, err
	}
	switch a.family {
	case rsaPKCS1, rsaPSS:
		k, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, err
		}
		return FromPrivate(k, alg)
	case ecDSA:
		k, err := ecdsa.GenerateKey(a.curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		return FromPrivate(k, alg)
	case edDSA:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return FromPrivate(k, alg)
	}
	secret := make([]byte, a.hash.Size())
	rand.Read(secret)
	return FromSecret(secret, alg)
}

// FromPrivate wraps an RSA, ECDSA or Ed25519 private key. An empty alg stands
// for the first that fits the key: RS256, the ES* of its curve, or EdDSA.
func FromPrivate(private crypto.Signer, alg string) (*Key, error) {
	k := &Key{private: private}
	if alg == "" {
		for _, a := range algorithms {
			if a.fits(private.Public()) {
				k.alg = a
				break
			}
		}
		if k.alg.name == "" {
			return nil, fmt.Errorf("no algorithm fits a key of type %T", private)
		}
	} else {
		a, err := algorithmByName(alg)
		if err != nil {
			return nil, err
		}
		if !a.fits(private.Public()) {
			return nil, fmt.Errorf("algorithm %s does not fit a key of type %T", alg, private)
		}
		k.alg = a
	}
	if err := k.checkSize(); err != nil {
		return nil, err
	}
	k.id = k.Thumbprint()
	return k, nil
}

func (k *Key) checkSize() error {
	if r, ok := k.private.(*rsa.PrivateKey); ok {
		// RS512 and PS512 need 2*64+2 bytes at most; 1024 bits is the least that all of them take.
		if r.N.BitLen() < 1024 {
			return fmt.Errorf("RSA key of %d bits is too small to sign with", r.N.BitLen())
		}
	}
	return nil
}

// FromSecret wraps a shared secret for HS256, HS384 or HS512. It must be at
// least as long as the hash (RFC 7518 section 3.2).
func FromSecret(secret []byte, alg string) (*Key, error) {
	a, err := algorithmByName(alg)
	if err != nil {
		return nil, err
	}
	if a.family != hmacSHA {
		return nil, fmt.Errorf("algorithm %s needs a private key, not a secret", alg)
	}
	if len(secret) < a.hash.Size() {
		return nil, fmt.Errorf("a secret for %s must have at least %d bytes, this one has %d", alg, a.hash.Size(), len(secret))
	}
	return &Key{alg: a, secret: append([]byte(nil), secret...)}, nil
}

// ParsePEM reads one unencrypted private key: PKCS #8, PKCS #1 or SEC 1. See
// FromPrivate for an empty alg.
func ParsePEM(data []byte, alg string) (*Key, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("no PEM block with a private key in it")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted; a development key must not be")
		default: // such as the EC PARAMETERS that openssl puts first
			data = rest
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %q: %w", block.Type, err)
		}
		private, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("a key of type %T cannot sign", key)
		}
		return FromPrivate(private, alg)
	}
}

// WithID returns a copy of k with another ID.
func (k *Key) WithID(id string) *Key {
	c := *k
	c.id = id
	return &c
}

// ID returns the key ID, empty for none.
func (k *Key) ID() string { return k.id }

// Algorithm returns the name of the algorithm that k signs with.
func (k *Key) Algorithm() string { return k.alg.name }

// Public returns the public key; nil for a secret.
func (k *Key) Public() crypto.PublicKey {
	if k.private == nil {
		return nil
	}
	return k.private.Public()
}

// Secret returns a copy of the secret; nil for an asymmetric key.
func (k *Key) Secret() []byte { return append([]byte(nil), k.secret...) }

// MarshalPEM returns the private key as unencrypted PKCS #8.
func (k *Key) MarshalPEM() ([]byte, error) {
	if k.private == nil {
		return nil, errors.New("a secret has no PEM form")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// MarshalPublicPEM returns the public key as a SubjectPublicKeyInfo block.
func (k *Key) MarshalPublicPEM() ([]byte, error) {
	if k.private == nil {
		return nil, errors.New("a secret has no public key")
	}
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
