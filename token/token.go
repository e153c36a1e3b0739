// Package token turns a compact JWS from a stranger into values: strict
// parsing, NumericDates and the signature check. It knows no network, no
// configuration and no clock.
//
// There are two ways in. Parse gives a permanent Token. A Parser, taken from a
// pool, gives one that lives in the Parser's memory, so that a token that is
// refused before its signature check costs next to nothing:
//
//	p := token.Acquire()
//	defer p.Release()
//	t, err := p.Parse(raw, maxLength)
//	// ... issuer unknown, expired: return; nothing to free but p
//	// ... token.Verify(t.Header.Algorithm, key, t.SigningInput(), t.Signature())
//	kept := t.Detach() // valid for good, without the signature
package token

import (
	"strings"
	"unsafe"
)

// DefaultMaxLength is the longest token, in bytes, that Parse takes when the
// caller has no other limit.
const DefaultMaxLength = 16 << 10

// MaxDepth is how deep JSON in a token may nest: the objects and arrays open
// at one place, the outermost object counted.
const MaxDepth = 32

// Header is what a token says of itself. None of it is verified.
type Header struct {
	Algorithm Algorithm // one that we know, in a parsed token
	Alg       string    // its name
	KeyID     string    // kid; see HasKeyID
	HasKeyID  bool
	Type      string // typ as written; see HasType
	HasType   bool
}

// Token is a parsed token. Until Verify succeeded nothing in it may be
// believed. A Token from Parse or Detach is immutable and safe for concurrent
// use; one from a Parser is so until that Parser parses again or is released.
type Token struct {
	Header Header
	Claims *Claims

	signingInput string
	signature    []byte
}

// Parse reads a compact JWS of at most maxLength bytes (DefaultMaxLength if
// that is not positive) into a permanent Token. The error is a *Refusal whose
// reason is TokenTooLong, TokenMalformed, HeaderMalformed, HeaderUnsupported,
// AlgNotAllowed, ClaimsMalformed, IssuerMissing or ExpiryMissing.
//
// The order of the checks is the order of their cost: length, three parts,
// header, claims, alphabet of the signature.
func Parse(raw string, maxLength int) (*Token, error) {
	p := Acquire()
	defer p.Release()
	t, err := p.Parse(raw, maxLength)
	if err != nil {
		return nil, err
	}
	kept := t.Detach()
	kept.signature = append([]byte(nil), t.signature...)
	return kept, nil
}

// SigningInput returns the received bytes that the signature covers
// (RFC 7515 section 5.2), never a re-encoding.
func (t *Token) SigningInput() string { return t.signingInput }

// Signature returns the decoded signature, nil for a detached token. The
// caller must not change it, nor keep it past the Parser's release.
func (t *Token) Signature() []byte { return t.signature }

// Detach returns a compact copy of t that shares no memory with a Parser or
// with the string that was parsed. It leaves the signature behind: it has done
// its work when a token is worth keeping, and Verify with none fails.
func (t *Token) Detach() *Token {
	kept := &struct {
		token  Token
		claims Claims
	}{
		token:  Token{Header: t.Header, signingInput: strings.Clone(t.signingInput)},
		claims: *t.Claims,
	}
	// The header's strings are pieces of its text, which may be long.
	kept.token.Header.KeyID = strings.Clone(t.Header.KeyID)
	kept.token.Header.Type = strings.Clone(t.Header.Type)
	kept.claims.Audience = cloneExact(t.Claims.Audience)
	kept.claims.nodes = cloneExact(t.Claims.nodes)
	kept.token.Claims = &kept.claims
	return &kept.token
}

// Size estimates the bytes of memory that a detached t holds on to, its Claims
// included.
func (t *Token) Size() int {
	return int(unsafe.Sizeof(*t)) + t.Claims.Size() + len(t.signingInput) + len(t.signature) + len(t.Header.KeyID) + len(t.Header.Type)
}

// cloneExact copies s without spare capacity; a nil s stays nil.
func cloneExact[T any](s []T) []T {
	if s == nil {
		return nil
	}
	c := make([]T, len(s))
	copy(c, s)
	return c
}
