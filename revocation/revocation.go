// Package revocation answers whether a token was withdrawn, exactly: no false
// positive, no false negative, and nothing forgotten that was acknowledged. It
// holds the index in memory, the journal on disk and the feed between gateways.
package revocation

import "math"

// Kind is what an entry withdraws.
type Kind uint8

// The kinds of entries.
const (
	Token   Kind = iota + 1 // one token: iss + jti, or the digest of its signing input
	Session                 // iss + sid
	Subject                 // iss + sub, issued up to the cutoff
	Client                  // iss + client_id/azp, issued up to the cutoff
	Issuer                  // iss, issued up to the cutoff
)

// kindNames are the words for kinds in APIs, logs and metrics.
var kindNames = [...]string{Token: "token", Session: "session", Subject: "subject", Client: "client", Issuer: "issuer"}

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{Token, Session, Subject, Client, Issuer} }

// String returns the word for k; "unknown" for a kind of another release.
func (k Kind) String() string {
	if k >= Token && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind returns the kind of that name.
func ParseKind(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if kindNames[k] == name {
			return k, true
		}
	}
	return 0, false
}

// hasCutoff reports whether entries of kind k spare tokens issued later.
func (k Kind) hasCutoff() bool { return k == Subject || k == Client || k == Issuer }

// NoIssuedAt stands for a token without iat: it counts as issued before any
// cutoff.
const NoIssuedAt = math.MinInt64

// Checker is what a gate asks on every request.
type Checker interface {
	// Revoked returns the kind of the entry that withdraws the token, 0 when
	// none does. The error is a *token.Refusal when nobody can tell
	// (RevocationLoading, RevocationStale). It allocates nothing and takes no
	// lock that a writer can hold for long.
	Revoked(ids *IDs) (Kind, error)
}
