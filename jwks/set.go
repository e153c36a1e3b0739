package jwks

import (
	"crypto/sha256"

	"github.com/jwtgate/jwtgate/token"
)

// maxCandidates bounds the signature checks that one token can cause.
const maxCandidates = 4

// candidates are the keys to try, by algorithm.
type candidates [token.HS512 + 1][]*Key

func (c *candidates) add(k *Key) {
	for _, a := range k.algs.List() {
		if len(c[a]) < maxCandidates {
			c[a] = append(c[a], k)
		}
	}
}

// clip takes the spare capacity from all lists, so that an append by a caller
// can not reach another caller's.
func (c *candidates) clip() {
	for a := range c {
		c[a] = c[a][:len(c[a]):len(c[a])]
	}
}

// Set is an immutable snapshot of an issuer's keys.
type Set struct {
	keys  []*Key // in the order of the document, a shared secret last
	all   candidates
	byKid map[string]*candidates
	// kidless: there are public keys and none of them has a kid, so a kid that
	// is no thumbprint selects nothing.
	kidless bool
	secret  bool // the secret is the only key there can be
	digests map[[sha256.Size]byte]struct{}
}

// newSet makes a Set of keys and of secret, which may be nil. secretOnly says
// that the issuer has no other keys anywhere.
func newSet(keys []*Key, secret *Key, secretOnly bool) *Set {
	s := &Set{
		byKid:   make(map[string]*candidates, len(keys)),
		kidless: len(keys) > 0,
		secret:  secretOnly,
		digests: make(map[[sha256.Size]byte]struct{}, len(keys)+1),
	}
	for _, k := range keys {
		if k.id != "" {
			s.kidless = false
		}
	}
	for _, k := range keys {
		s.keys = append(s.keys, k)
		s.all.add(k)
		switch {
		case k.id != "":
			s.at(k.id).add(k)
		case s.kidless && !k.anyID:
			s.at(k.thumb).add(k)
		}
	}
	if secret != nil {
		s.keys = append(s.keys, secret)
		s.all.add(secret)
	}
	for _, k := range s.keys {
		s.digests[k.digest] = struct{}{}
	}
	s.all.clip()
	for _, c := range s.byKid {
		c.clip()
	}
	return s
}

func (s *Set) at(kid string) *candidates {
	c := s.byKid[kid]
	if c == nil {
		c = new(candidates)
		s.byKid[kid] = c
	}
	return c
}

// Candidates returns the keys to try for a token, at most four: those that fit
// a and, when hasKid, carry exactly that kid (or were configured to match any).
// In a set in which no key has a kid, the RFC 7638 SHA-256 thumbprint of a key
// selects it, and any other kid selects as if there were none. HMAC algorithms
// are offered the configured secret alone. The slice belongs to the set.
func (s *Set) Candidates(a token.Algorithm, kid string, hasKid bool) []*Key {
	if s == nil || int(a) >= len(s.all) {
		return nil
	}
	// No public key offers an HMAC algorithm, so the list holds the secret or
	// nothing, whatever the kid.
	if !hasKid || a.Symmetric() {
		return s.all[a]
	}
	if c := s.byKid[kid]; c != nil {
		return c[a]
	}
	if s.kidless {
		return s.all[a]
	}
	return nil
}

// HasKid reports whether any key of s answers to kid, whatever its algorithm. A
// secret beside keys of other kinds answers to none here: it says nothing about
// which keys the issuer has.
func (s *Set) HasKid(kid string) bool {
	if s == nil {
		return false
	}
	return s.kidless || s.secret || s.byKid[kid] != nil
}

// Has reports whether k, or a key identical to it in material, kid and
// permitted use, is in s: whether a verdict that k gave still stands.
func (s *Set) Has(k *Key) bool {
	if s == nil || k == nil {
		return false
	}
	// Sources carry unchanged keys over from set to set, so that the pointer is
	// nearly always found among the first few.
	for i := 0; i < len(s.keys) && i < 8; i++ {
		if s.keys[i] == k {
			return true
		}
	}
	_, ok := s.digests[k.digest]
	return ok
}

// sameKeys reports whether s holds exactly the keys of t, in whatever order.
func (s *Set) sameKeys(t *Set) bool {
	if s == nil || t == nil || len(s.digests) != len(t.digests) {
		return false
	}
	for d := range s.digests {
		if _, ok := t.digests[d]; !ok {
			return false
		}
	}
	return true
}

// identical returns the key of s that is identical to k, or k itself.
func (s *Set) identical(k *Key) *Key {
	for _, have := range s.keys {
		if have.digest == k.digest {
			return have
		}
	}
	return k
}
