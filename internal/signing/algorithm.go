package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that algorithms names
	_ "crypto/sha512"
	"fmt"
	"slices"
)

type family uint8

const (
	rsaPKCS1 family = iota + 1
	rsaPSS
	ecDSA
	edDSA
	hmacSHA
)

type algorithm struct {
	name   string
	family family
	hash   crypto.Hash
	curve  elliptic.Curve
}

// algorithms is ordered by preference: the first that fits a key is its default.
var algorithms = []algorithm{
	{"RS256", rsaPKCS1, crypto.SHA256, nil},
	{"RS384", rsaPKCS1, crypto.SHA384, nil},
	{"RS512", rsaPKCS1, crypto.SHA512, nil},
	{"PS256", rsaPSS, crypto.SHA256, nil},
	{"PS384", rsaPSS, crypto.SHA384, nil},
	{"PS512", rsaPSS, crypto.SHA512, nil},
	{"ES256", ecDSA, crypto.SHA256, elliptic.P256()},
	{"ES384", ecDSA, crypto.SHA384, elliptic.P384()},
	{"ES512", ecDSA, crypto.SHA512, elliptic.P521()},
	{"EdDSA", edDSA, 0, nil},
	{"HS256", hmacSHA, crypto.SHA256, nil},
	{"HS384", hmacSHA, crypto.SHA384, nil},
	{"HS512", hmacSHA, crypto.SHA512, nil},
}

func algorithmByName(name string) (algorithm, error) {
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == name })
	if i < 0 {
		return algorithm{}, fmt.Errorf("algorithm %q is not one of %v", name, Algorithms())
	}
	return algorithms[i], nil
}

// Algorithms lists the names of all algorithms that keys can sign with.
func Algorithms() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return names
}

// Symmetric reports whether name is an HMAC algorithm.
func Symmetric(name string) bool {
	a, err := algorithmByName(name)
	return err == nil && a.family == hmacSHA
}

// fits reports whether a public key can be used with a.
func (a algorithm) fits(public crypto.PublicKey) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return a.family == rsaPKCS1 || a.family == rsaPSS
	case *ecdsa.PublicKey:
		return a.family == ecDSA && a.curve == k.Curve
	case ed25519.PublicKey:
		return a.family == edDSA
	}
	return false
}
