package revocation

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/jwtgate/jwtgate/token"
)

// Digest is a 128-bit name of (kind, issuer, value): truncated SHA-256 over a
// length-prefixed encoding. The zero Digest is absent.
type Digest [16]byte

// IsZero reports whether d is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// DigestOf names what an entry of kind for value of issuer withdraws. For kind
// Issuer the value is empty.
func DigestOf(kind Kind, issuer, value string) Digest {
	var stack [256]byte
	b := append(stack[:0], byte(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(issuer)))
	b = append(b, issuer...)
	b = append(b, value...)
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

// IDs are the names under which one token can be withdrawn, computed once when
// it is verified and kept with its verdict.
type IDs struct {
	Token, Session, Subject, Client, Issuer Digest
	IssuedAt                                int64 // nanoseconds since 1970, rounded down
}

// IDsOf computes the names of t. A token without jti is named by the digest of
// its signing input, not of its signature, which others can change (ECDSA
// signatures are malleable).
func IDsOf(t *token.Token) IDs {
	c := t.Claims
	ids := IDs{
		Token:    DigestOf(Token, c.Issuer, TokenValue(t)),
		Issuer:   DigestOf(Issuer, c.Issuer, ""),
		IssuedAt: NoIssuedAt,
	}
	if c.SessionID != "" {
		ids.Session = DigestOf(Session, c.Issuer, c.SessionID)
	}
	if c.Subject != "" {
		ids.Subject = DigestOf(Subject, c.Issuer, c.Subject)
	}
	if c.ClientID != "" {
		ids.Client = DigestOf(Client, c.Issuer, c.ClientID)
	}
	if c.IssuedAt.Present() {
		ids.IssuedAt = c.IssuedAt.UnixNano()
	}
	return ids
}

// signingInputPrefix keeps the values of tokens without jti apart from jtis: an
// issuer that chose such a jti could only withdraw a token of its own.
const signingInputPrefix = "sha256:"

// TokenValue is the value of an entry that withdraws t alone: its jti, or
// without one "sha256:" and the hex digest of its signing input.
func TokenValue(t *token.Token) string {
	if t.Claims.ID != "" {
		return t.Claims.ID
	}
	sum := sha256.Sum256([]byte(t.SigningInput()))
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(signingInputPrefix)+2*len(sum))
	b = append(b, signingInputPrefix...)
	for _, c := range sum {
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(b)
}
