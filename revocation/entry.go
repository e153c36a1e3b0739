package revocation

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The longest fields of an entry, in bytes.
const (
	MaxIssuer = 2 << 10
	MaxValue  = 16 << 10 // whatever a token can hold can be withdrawn
	MaxNote   = 1 << 10
	maxWord   = 256 // Via and By
)

// Entry withdraws tokens. Its identity is (Kind, Issuer, Value); everything
// else merges: see Merge. All times are UTC.
type Entry struct {
	Kind   Kind
	Issuer string
	Value  string // jti or digest, sid, sub, client id; empty for kind Issuer

	// Cutoff spares tokens issued after it (kinds Subject, Client, Issuer).
	Cutoff time.Time
	// Until is when no token that the entry could match is alive.
	Until time.Time
	// RevokedAt is the time of the latest revocation, UndoneAt of the latest
	// undoing; zero if there was none. The entry is in force unless it was
	// undone later.
	RevokedAt, UndoneAt time.Time

	// Who changed it last: the way in (logout, revoke, admin, import, feed...),
	// the caller there, and a note for people.
	Via, By, Note string
}

// Digest returns the name of what e withdraws.
func (e *Entry) Digest() Digest { return DigestOf(e.Kind, e.Issuer, e.Value) }

// ID is the identity of e as text, for URLs.
func (e *Entry) ID() string { return e.Digest().String() }

// String returns d as 22 characters of base64url.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// ParseDigest reads what String wrote.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("id %q is not 22 characters of base64url", truncate(s, 64))
	}
	copy(d[:], b)
	return d, nil
}

// InForce reports whether e withdraws anything: it was not undone since.
// At the same instant the revocation wins.
func (e *Entry) InForce() bool { return !e.RevokedAt.Before(e.UndoneAt) }

// changed is when e was last revoked or undone.
func (e *Entry) changed() time.Time {
	if e.UndoneAt.After(e.RevokedAt) {
		return e.UndoneAt
	}
	return e.RevokedAt
}

// Merge folds other, an entry of the same identity, into e: the later of each
// time, and the words of whoever changed it last. Merging is commutative,
// associative and idempotent, so that gateways that hear of the same entries in
// any order, any number of times, hold the same list.
func (e *Entry) Merge(other *Entry) {
	if older(e, other) {
		e.Via, e.By, e.Note = other.Via, other.By, other.Note
	}
	e.Cutoff = later(e.Cutoff, other.Cutoff)
	e.Until = later(e.Until, other.Until)
	e.RevokedAt = later(e.RevokedAt, other.RevokedAt)
	e.UndoneAt = later(e.UndoneAt, other.UndoneAt)
}

// older reports whether the words of b outlive those of a. At the same instant
// the greater words win, so that the order of arrival does not matter.
func older(a, b *Entry) bool {
	if x, y := a.changed(), b.changed(); !x.Equal(y) {
		return x.Before(y)
	}
	if a.Via != b.Via {
		return a.Via < b.Via
	}
	if a.By != b.By {
		return a.By < b.By
	}
	return a.Note < b.Note
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Validate reports everything that is wrong with e, field by field.
func (e *Entry) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if e.Kind < Token || e.Kind > Issuer {
		fault("kind: %d is none of token, session, subject, client, issuer", e.Kind)
	}
	for _, f := range []struct {
		name, text string
		max        int
		required   bool
	}{
		{"issuer", e.Issuer, MaxIssuer, true},
		{"value", e.Value, MaxValue, e.Kind != Issuer},
		{"via", e.Via, maxWord, true},
		{"by", e.By, maxWord, false},
		{"note", e.Note, MaxNote, false},
	} {
		switch {
		case f.text == "" && f.required:
			fault("%s: missing", f.name)
		case len(f.text) > f.max:
			fault("%s: %d bytes; at most %d", f.name, len(f.text), f.max)
		case !utf8.ValidString(f.text):
			fault("%s: not UTF-8", f.name)
		}
	}
	if e.Kind == Issuer && e.Value != "" {
		fault("value: an entry of kind issuer has none")
	}
	if e.RevokedAt.IsZero() && e.UndoneAt.IsZero() {
		fault("revoked_at: missing")
	}
	for _, f := range []struct {
		name     string
		at       time.Time
		required bool
	}{
		{"cutoff", e.Cutoff, e.Kind.hasCutoff()},
		{"until", e.Until, true},
		{"revoked_at", e.RevokedAt, false},
		{"undone_at", e.UndoneAt, false},
	} {
		switch {
		case f.at.IsZero():
			if f.required {
				fault("%s: missing", f.name)
			}
		case f.at.Before(earliest) || f.at.After(latest):
			fault("%s: %s is not between %d and %d", f.name, f.at.UTC().Format(time.RFC3339), earliest.Year(), latest.Year())
		}
	}
	return errors.Join(errs...)
}

// Times of entries are kept as nanoseconds in 64 bits, and Until as seconds in
// 32 unsigned bits in the index.
var (
	earliest = time.Unix(1, 0).UTC()
	latest   = time.Date(2105, 12, 31, 0, 0, 0, 0, time.UTC)
)

// truncate shortens attacker-chosen text for an error.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}
