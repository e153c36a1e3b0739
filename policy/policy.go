// Package policy judges verified claims: audience, times, type, required
// claims, scopes, claim rules and CEL expressions. It knows no network and no
// HTTP; what it needs of a request it takes through an interface.
//
// An Issuer holds what every token of an issuer must satisfy, Rules hold the
// `require` lines of a gate. Each is compiled once and then only read. What
// they cannot understand they refuse.
package policy

import (
	"unicode/utf8"

	"github.com/jwtgate/jwtgate/token"
)

// Request is what an expression can ask of a request. Implementations compute
// lazily; every method may be called several times. Expressions only read what
// the methods return.
type Request interface {
	Method() string
	Path() string // decoded, cleaned, as proxied
	Host() string // lower case, no port
	// Header returns the header fields after cleaning, names in lower case.
	Header() map[string][]string
	Query() map[string][]string
	RemoteIP() string
	ClientIP() string
}

// maxGot bounds what a Refusal quotes of a token.
const maxGot = 256

// shorten cuts s to at most maxGot bytes, between characters.
func shorten(s string) string {
	if len(s) <= maxGot {
		return s
	}
	end := maxGot
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// show renders v for Refusal.Got, bounded.
func show(v token.Value) string {
	switch v.Kind() {
	case token.String, token.Number, token.Bool:
		return shorten(v.Text())
	case token.Array:
		return shorten(string(v.AppendJSON(nil)))
	default:
		return v.Kind().String()
	}
}
