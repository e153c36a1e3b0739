package caddymodule

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// guessable are words that secrets of examples and test systems are made of.
var guessable = []string{
	"secret", "password", "passwort", "changeme", "change-me", "change_me", "example", "default", "insecure", "testing",
	"12345678", "qwerty", "letmein", "abcdefgh", "01234567", "your-", "my-jwt", "supersecure", "development",
}

// leastEntropy is the least that the letters of a secret have to vary, in bits
// over its whole length. Random 32 bytes have about 150, 32 hex digits 115.
const leastEntropy = 90

// weakSecret says why a secret may be guessed, empty when nothing speaks for
// it. It never quotes the secret. It finds what is surely bad, and cannot tell
// that something is good.
func weakSecret(secret []byte) string {
	if len(secret) == 0 {
		return ""
	}
	for period := 1; period <= len(secret)/2; period++ {
		if bytes.Equal(secret[period:], secret[:len(secret)-period]) {
			return fmt.Sprintf("it repeats itself after %d bytes", period)
		}
	}
	if rising(secret) {
		return "it counts up or down"
	}
	text := strings.ToLower(string(secret))
	for _, word := range guessable {
		if strings.Contains(text, word) {
			return "it has a word in it that many examples use"
		}
	}
	var counts [256]int
	for _, b := range secret {
		counts[b]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(secret))
			bits -= float64(n) * math.Log2(p)
		}
	}
	if bits < leastEntropy {
		return "too few of its letters differ"
	}
	return ""
}

// rising reports whether most bytes are one more, or one less, than the one
// before.
func rising(secret []byte) bool {
	up, down := 0, 0
	for i := 1; i < len(secret); i++ {
		switch secret[i] - secret[i-1] {
		case 1:
			up++
		case 255:
			down++
		}
	}
	return max(up, down) > len(secret)*3/4
}
