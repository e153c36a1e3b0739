package revocation

import (
	"errors"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// DefaultMaxTokenLifetime is how long an entry lives that can match many
// tokens, when the operator does not say how long a token may live.
const DefaultMaxTokenLifetime = 24 * time.Hour

// Circumstances are what the life of an entry follows from.
type Circumstances struct {
	Now  time.Time
	Skew time.Duration // of the issuer's policy
	// AllowExpired is how long past its exp a token may still ask for its own
	// logout.
	AllowExpired time.Duration
	// MaxTokenLifetime is the longest that a token may live; 0:
	// DefaultMaxTokenLifetime.
	MaxTokenLifetime time.Duration
	// LongestExpiry is the latest exp accepted from the issuer: entries live at
	// least as long. Zero: none known.
	LongestExpiry time.Time
}

// horizon is when the last token issued until cutoff is over: a token may be
// dated ahead by the skew, and lives past its exp by as much.
func (c *Circumstances) horizon(cutoff time.Time) time.Time {
	lifetime := c.MaxTokenLifetime
	if lifetime == 0 {
		lifetime = DefaultMaxTokenLifetime
	}
	return bounded(later(later(c.Now, cutoff).Add(lifetime+2*c.Skew), c.LongestExpiry.Add(c.Skew)))
}

// bounded keeps a time within what an entry can hold.
func bounded(t time.Time) time.Time {
	if t.After(latest) {
		return latest
	}
	return t
}

// FromToken returns the entry by which t, a verified token, withdraws itself,
// its session or its subject, and whether it fell back to the token itself
// because t lacks the claim for kind.
//
// The cutoff is now, or the token's iat if the issuer's clock is ahead: the
// token must not survive its own logout. For a token that is past its exp it is
// not later than that exp, so that a logout that was queued for weeks does not
// end the login made since.
func FromToken(kind Kind, t *token.Token, c Circumstances) (e Entry, fellBack bool) {
	claims := t.Claims
	e = Entry{Kind: kind, Issuer: claims.Issuer, RevokedAt: c.Now}
	switch kind {
	case Session:
		e.Value = claims.SessionID
	case Subject:
		e.Value = claims.Subject
	case Client:
		e.Value = claims.ClientID
	}
	expires := claims.Expires.Time()
	if e.Value == "" {
		fellBack = kind != Token
		e.Kind, e.Value = Token, TokenValue(t)
		e.Until = bounded(expires.Add(c.Skew + c.AllowExpired))
		return e, fellBack
	}
	if e.Kind.hasCutoff() {
		e.Cutoff = c.Now
		if expires.Before(c.Now) {
			e.Cutoff = expires
		}
		if claims.IssuedAt.Present() {
			e.Cutoff = later(e.Cutoff, claims.IssuedAt.Time())
		}
	}
	// A queued logout's own token may be let in for longer than any other.
	e.Until = later(c.horizon(e.Cutoff), bounded(expires.Add(c.Skew+c.AllowExpired)))
	return e, fellBack
}

// ErrFutureCutoff is returned for a cutoff that lies ahead: it would refuse
// logins that have not happened yet, and outlive its own undoing.
var ErrFutureCutoff = errors.New("before: lies in the future")

// FromOperator returns an entry for value of issuer; before is the cutoff, zero
// for now, at most the skew ahead of now. For kind Token, expires is the token's
// exp if it is known; without it the entry lives as long as any token may.
func FromOperator(kind Kind, issuer, value string, before, expires time.Time, c Circumstances) (Entry, error) {
	e := Entry{Kind: kind, Issuer: issuer, Value: value, RevokedAt: c.Now}
	if kind.hasCutoff() {
		e.Cutoff = before
		if before.IsZero() {
			e.Cutoff = c.Now
		}
		if before.After(c.Now.Add(c.Skew)) {
			return Entry{}, ErrFutureCutoff
		}
	}
	e.Until = c.horizon(e.Cutoff)
	if kind == Token && !expires.IsZero() {
		e.Until = bounded(expires.Add(c.Skew + c.AllowExpired))
	}
	return e, nil
}
