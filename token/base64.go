package token

import (
	"fmt"
	"strconv"
)

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// base64Values maps a character to its six bits; 0xff is none of the alphabet.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for i := range len(base64Alphabet) {
		values[base64Alphabet[i]] = byte(i)
	}
	return values
}()

// decodedLen is the most bytes that n characters can stand for.
func decodedLen(n int) int { return n/4*3 + n%4*3/4 }

// decodeBase64 decodes unpadded base64url in its one canonical spelling
// (RFC 7515 section 2, RFC 4648 section 3.5): unlike encoding/base64 it skips
// no line breaks, and the unused bits of the last character must be zero, so
// that one token has one text. dst must hold decodedLen(len(src)) bytes. bad is
// the offset of the first offending character, negative if there is none.
func decodeBase64(dst []byte, src string) (n, bad int) {
	values := &base64Values
	i := 0
	for ; len(src)-i >= 4; i += 4 {
		a, b, c, d := values[src[i]], values[src[i+1]], values[src[i+2]], values[src[i+3]]
		if (a|b|c|d)&0xc0 != 0 {
			return 0, firstBad(src, i)
		}
		if len(dst)-n < 3 {
			return 0, i
		}
		dst[n], dst[n+1], dst[n+2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
		n += 3
	}
	switch len(src) - i {
	case 0:
		return n, -1
	case 2:
		a, b := values[src[i]], values[src[i+1]]
		if (a|b)&0xc0 != 0 {
			return 0, firstBad(src, i)
		}
		if b&0x0f != 0 {
			return 0, i + 1
		}
		dst[n] = a<<2 | b>>4
		return n + 1, -1
	case 3:
		a, b, c := values[src[i]], values[src[i+1]], values[src[i+2]]
		if (a|b|c)&0xc0 != 0 {
			return 0, firstBad(src, i)
		}
		if c&0x03 != 0 {
			return 0, i + 2
		}
		dst[n], dst[n+1] = a<<2|b>>4, b<<4|c>>2
		return n + 2, -1
	default: // one left over character stands for no byte
		return 0, i
	}
}

func firstBad(src string, i int) int {
	for base64Values[src[i]] != 0xff {
		i++
	}
	return i
}

func malformedBase64(part string, at int) error {
	return &Refusal{Reason: TokenMalformed, Want: "canonical base64url", Err: base64Error{part, at}}
}

// base64Error and its like format themselves only when somebody reads them:
// most refusals are never printed.
type base64Error struct {
	part string
	at   int
}

func (e base64Error) Error() string {
	return "byte " + strconv.Itoa(e.at) + " of the " + e.part + " part"
}

type lengthError struct{ length, limit int }

func (e lengthError) Error() string {
	return fmt.Sprintf("%d bytes, at most %d allowed", e.length, e.limit)
}
