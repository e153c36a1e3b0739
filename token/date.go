package token

import (
	"math"
	"time"
)

// NumericDate is a JSON number of seconds since 1970 (RFC 7519 section 2),
// exact to the nanosecond. The zero NumericDate is absent.
//
// Times outside the years 1 to 9999 stand at either end of them, so that
// adding a skew or an age to one never wraps: every clock finds them long past
// or far ahead.
type NumericDate struct {
	seconds int64
	nanos   int32
	present bool
	// roundedUp: the number has digits beyond the nanosecond, and this is the
	// next nanosecond after it.
	roundedUp bool
}

const (
	maxSeconds = 253402300800 // 10000-01-01
	minSeconds = -62135510400 // 0001-01-02, which is not the zero time
)

// Present reports whether the claim was there.
func (d NumericDate) Present() bool { return d.present }

// Unix returns d as seconds and nanoseconds (0 to 999,999,999) since 1970.
func (d NumericDate) Unix() (seconds int64, nanos int32) { return d.seconds, d.nanos }

// Time returns d as a time in UTC; the zero time if absent.
func (d NumericDate) Time() time.Time {
	if !d.present {
		return time.Time{}
	}
	return time.Unix(d.seconds, int64(d.nanos)).UTC()
}

// UnixNano returns nanoseconds since 1970 rounded down, which is against the
// token where cutoffs of a revocation are compared. What int64 cannot hold
// (before 1678, after 2261) is its least value but one, which leaves that one
// free to mean absence, or its greatest. 0 if absent.
func (d NumericDate) UnixNano() int64 {
	const (
		last  = math.MaxInt64 / int64(time.Second)
		first = -last
	)
	switch {
	case d.seconds >= last:
		return math.MaxInt64
	case d.seconds <= first:
		return math.MinInt64 + 1
	}
	n := d.seconds*int64(time.Second) + int64(d.nanos)
	if d.roundedUp {
		n--
	}
	return n
}

// parseDate reads a JSON number literal in a time linear in its length, whatever
// its exponent. What is finer than a nanosecond is rounded up or down.
func parseDate(literal string, up bool) NumericDate {
	negative := literal[0] == '-'
	if negative {
		literal = literal[1:]
	}
	first, dot, end := -1, -1, 0
	for end < len(literal) && literal[end]|0x20 != 'e' {
		switch c := literal[end]; {
		case c == '.':
			dot = end
		case c != '0' && first < 0:
			first = end
		}
		end++
	}
	if first < 0 {
		return NumericDate{present: true}
	}
	if dot < 0 {
		dot = end
	}
	// The value is 0.d1d2d3... * 10^point, where d1 is the first digit above 0.
	point := exponentOf(literal[end:]) + int64(dot-first)
	if first > dot {
		point++
	}
	if point > int64(len(powers)) {
		return edge(negative)
	}
	var seconds, nanos int64
	finer := false
	place := -point // 0 is the tenths of a second
	for i := first; i < end; i++ {
		if i == dot {
			continue
		}
		digit := int64(literal[i] - '0')
		switch {
		case place < 0:
			seconds += digit * powers[-place-1]
		case place < 9:
			nanos += digit * powers[8-place]
		case digit != 0:
			finer = true
		}
		place++
	}
	if negative {
		seconds, nanos = -seconds, -nanos
		if finer {
			nanos--
		}
	}
	d := NumericDate{present: true}
	if finer && up {
		nanos++
		d.roundedUp = true
	}
	switch {
	case nanos < 0:
		seconds, nanos = seconds-1, nanos+int64(time.Second)
	case nanos == int64(time.Second):
		seconds, nanos = seconds+1, 0
	}
	if seconds < minSeconds || seconds >= maxSeconds {
		return edge(seconds < 0)
	}
	d.seconds, d.nanos = seconds, int32(nanos)
	return d
}

// powers of ten, up to that of the longest number of seconds within the edges.
var powers = [12]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11}

func edge(past bool) NumericDate {
	if past {
		return NumericDate{seconds: minSeconds, present: true}
	}
	return NumericDate{seconds: maxSeconds, present: true}
}

// exponentOf reads the tail of a number literal: nothing, or e, a sign and
// digits. It stops growing far beyond what the digits of any token could make
// up for.
func exponentOf(tail string) (exponent int64) {
	if tail == "" {
		return 0
	}
	tail = tail[1:]
	negative := tail[0] == '-'
	if negative || tail[0] == '+' {
		tail = tail[1:]
	}
	for i := range len(tail) {
		if exponent < 1<<40 {
			exponent = 10*exponent + int64(tail[i]-'0')
		}
	}
	if negative {
		return -exponent
	}
	return exponent
}
