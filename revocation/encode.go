package revocation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Wire form of an entry, the same in the journal and on the feed:
//
//	version  1 byte
//	kind     1 byte
//	until    4 bytes, seconds since 1970 rounded up, big endian
//	-- version 1 --
//	cutoff, revoked_at, undone_at   8 bytes each, nanoseconds, 0 for none
//	issuer, value, via, by, note    length as uvarint, then UTF-8
//
// The first six bytes are the same in every version, so that a gateway of an
// older release can keep, expire and pass on what it does not understand.
const (
	wireVersion = 1
	wireHead    = 1 + 1 + 4
	wireTimes   = 3 * 8

	// MaxEncoded is the longest wire form that is taken from anywhere.
	MaxEncoded = wireHead + wireTimes + 5*binary.MaxVarintLen32 + MaxIssuer + MaxValue + 2*maxWord + MaxNote + 1<<10
)

// ErrUnknownVersion is wrapped by DecodeEntry for an entry of a version or kind
// that this release does not know. It is to be kept and passed on.
var ErrUnknownVersion = errors.New("entry of another release")

// AppendEntry appends the wire form of e, which must be valid.
func AppendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, wireVersion, byte(e.Kind))
	dst = binary.BigEndian.AppendUint32(dst, ceilSeconds(e.Until))
	for _, at := range []time.Time{e.Cutoff, e.RevokedAt, e.UndoneAt} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(wireNanos(at)))
	}
	for _, text := range []string{e.Issuer, e.Value, e.Via, e.By, e.Note} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

func wireNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return nanos(t)
}

// DecodeHead reads what every version has: when the entry is over, and whether
// this release understands the rest.
func DecodeHead(b []byte) (kind Kind, until time.Time, known bool, err error) {
	if len(b) < wireHead {
		return 0, time.Time{}, false, fmt.Errorf("entry of %d bytes is cut off", len(b))
	}
	if len(b) > MaxEncoded {
		return 0, time.Time{}, false, fmt.Errorf("entry of %d bytes; at most %d", len(b), MaxEncoded)
	}
	kind = Kind(b[1])
	until = time.Unix(int64(binary.BigEndian.Uint32(b[2:])), 0).UTC()
	known = b[0] == wireVersion && kind >= Token && kind <= Issuer
	return kind, until, known, nil
}

// DecodeEntry reads a wire form, strictly: all of it, or an error and no entry.
// The error wraps ErrUnknownVersion when it comes from another release.
func DecodeEntry(b []byte) (Entry, error) {
	kind, until, known, err := DecodeHead(b)
	if err != nil {
		return Entry{}, err
	}
	if !known {
		return Entry{}, fmt.Errorf("%w: version %d, kind %d", ErrUnknownVersion, b[0], kind)
	}
	e := Entry{Kind: kind, Until: until}
	rest := b[wireHead:]
	if len(rest) < wireTimes {
		return Entry{}, errors.New("entry is cut off in its times")
	}
	for i, at := range []*time.Time{&e.Cutoff, &e.RevokedAt, &e.UndoneAt} {
		n := binary.BigEndian.Uint64(rest[8*i:])
		if n > math.MaxInt64 {
			return Entry{}, errors.New("entry has a time before 1970")
		}
		if n != 0 {
			*at = time.Unix(0, int64(n)).UTC()
		}
	}
	rest = rest[wireTimes:]
	for _, text := range []*string{&e.Issuer, &e.Value, &e.Via, &e.By, &e.Note} {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return Entry{}, errors.New("entry is cut off in its texts")
		}
		if used > 1 && rest[used-1] == 0 {
			return Entry{}, errors.New("entry has a length that is not in its shortest form")
		}
		*text = string(rest[used : used+int(n)])
		rest = rest[used+int(n):]
	}
	if len(rest) > 0 {
		return Entry{}, fmt.Errorf("entry has %d bytes too many", len(rest))
	}
	if err := e.Validate(); err != nil {
		return Entry{}, fmt.Errorf("entry: %w", err)
	}
	return e, nil
}
