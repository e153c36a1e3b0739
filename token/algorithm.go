package token

import "crypto"

// Algorithm is a JWS signature algorithm that the gate can check
// (RFC 7518 section 3.1, RFC 8037 section 3.1).
type Algorithm uint8

// The algorithms. The zero Algorithm is none of them.
const (
	RS256 Algorithm = iota + 1
	RS384
	RS512
	PS256
	PS384
	PS512
	ES256
	ES384
	ES512
	EdDSA
	HS256
	HS384
	HS512
	algorithmCount
)

var algorithms = [algorithmCount]struct {
	name string
	hash crypto.Hash
}{
	RS256: {"RS256", crypto.SHA256},
	RS384: {"RS384", crypto.SHA384},
	RS512: {"RS512", crypto.SHA512},
	PS256: {"PS256", crypto.SHA256},
	PS384: {"PS384", crypto.SHA384},
	PS512: {"PS512", crypto.SHA512},
	ES256: {"ES256", crypto.SHA256},
	ES384: {"ES384", crypto.SHA384},
	ES512: {"ES512", crypto.SHA512},
	EdDSA: {"EdDSA", 0},
	HS256: {"HS256", crypto.SHA256},
	HS384: {"HS384", crypto.SHA384},
	HS512: {"HS512", crypto.SHA512},
}

// ParseAlgorithm returns the algorithm of that exact name.
func ParseAlgorithm(name string) (Algorithm, bool) {
	for a := RS256; a < algorithmCount; a++ {
		if algorithms[a].name == name {
			return a, true
		}
	}
	return 0, false
}

// String returns the registered name, empty for the zero Algorithm.
func (a Algorithm) String() string {
	if a >= algorithmCount {
		return ""
	}
	return algorithms[a].name
}

// Symmetric reports whether a is an HMAC algorithm.
func (a Algorithm) Symmetric() bool { return a >= HS256 && a <= HS512 }

// MinSecret returns the least number of bytes of a secret for a symmetric
// algorithm: the length of its hash (RFC 7518 section 3.2). 0 for others.
func (a Algorithm) MinSecret() int {
	if !a.Symmetric() {
		return 0
	}
	return algorithms[a].hash.Size()
}

// AlgorithmSet is a set of algorithms.
type AlgorithmSet uint16

// Algorithms returns the set of as.
func Algorithms(as ...Algorithm) AlgorithmSet {
	var s AlgorithmSet
	for _, a := range as {
		s |= 1 << a
	}
	return s
}

// Has reports whether a is in s.
func (s AlgorithmSet) Has(a Algorithm) bool { return a != 0 && s&(1<<a) != 0 }

// List returns the algorithms of s in their fixed order.
func (s AlgorithmSet) List() []Algorithm {
	var as []Algorithm
	for a := RS256; a < algorithmCount; a++ {
		if s.Has(a) {
			as = append(as, a)
		}
	}
	return as
}
