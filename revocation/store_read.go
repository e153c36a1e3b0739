package revocation

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Get returns the live entry of that identity, in force or undone, or
// ErrNotFound.
func (s *Store) Get(id Digest) (Entry, error) {
	c, err := s.known(id)
	if err != nil {
		return Entry{}, err
	}
	if c.wire == nil {
		return Entry{}, ErrNotFound
	}
	e, err := DecodeEntry(c.wire)
	if err != nil {
		return Entry{}, err
	}
	if !e.Until.After(s.now()) {
		return Entry{}, ErrNotFound
	}
	return e, nil
}

const (
	defaultLimit = 100
	maxLimit     = 10_000
	// scanned bounds how many entries one Query looks at.
	scanned = 100_000
	// sliceSize is how many entries are read in one transaction.
	sliceSize = 8192
)

// Query returns a page of the entries that f chooses, in the order of the hours
// in which they expire, and the cursor of the next page, empty after the last
// one. A page may be short of its limit, or empty, before the last. A filter
// that names kind, issuer and value is answered at once.
func (s *Store) Query(ctx context.Context, f Filter) (entries []Entry, next string, err error) {
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	if f.Limit < 1 || f.Limit > maxLimit {
		return nil, "", fmt.Errorf("limit: %d is not between 1 and %d", f.Limit, maxLimit)
	}
	after, err := parseCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	if err := s.Wait(ctx); err != nil {
		return nil, "", err
	}
	if f.Kind != 0 && f.Issuer != "" && (f.Value != "" || f.Kind == Issuer) {
		e, err := s.Get(DigestOf(f.Kind, f.Issuer, f.Value))
		if errors.Is(err, ErrNotFound) || err == nil && (!f.matches(&e) || f.Cursor != "") {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		return []Entry{e}, "", nil
	}
	for looked := 0; looked < scanned; {
		list, last, end, err := s.slice(after)
		if err != nil {
			return nil, "", err
		}
		for i := range list {
			e, err := DecodeEntry(list[i].wire)
			if errors.Is(err, ErrUnknownVersion) {
				continue
			}
			if err != nil {
				return nil, "", err
			}
			if !f.matches(&e) {
				continue
			}
			if entries = append(entries, e); len(entries) == f.Limit {
				return entries, list[i].cursor(), nil
			}
		}
		if end {
			return entries, "", nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		looked += len(list)
		after = last
	}
	return entries, after.cursor(), nil
}

func (f *Filter) matches(e *Entry) bool {
	return (f.Kind == 0 || f.Kind == e.Kind) && (f.Issuer == "" || f.Issuer == e.Issuer) &&
		(f.Value == "" || f.Value == e.Value) && (f.Undone || e.InForce())
}

// cursor is a position as text.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString(append(p.hour.key(), p.digest[:]...))
}

func parseCursor(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 4+len(Digest{}) {
		return position{}, fmt.Errorf("cursor: %q is none", truncate(s, 64))
	}
	return position{hour(binary.BigEndian.Uint32(b)), Digest(b[4:])}, nil
}
