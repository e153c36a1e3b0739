package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// foreignTypes are JWTs that the same key may sign and that are no access
// tokens (RFC 8725bis section 3.11); accepting one as such is a confusion that
// no configuration may ask for. In lower case.
var foreignTypes = map[string]string{
	"logout+jwt":                       "a back-channel logout token",
	"secevent+jwt":                     "a security event token",
	"dpop+jwt":                         "a DPoP proof",
	"statuslist+jwt":                   "a status list",
	"token-introspection+jwt":          "an introspection answer",
	"oauth-authz-req+jwt":              "an authorization request",
	"client-authentication+jwt":        "a client's authentication",
	"oauth-client-attestation+jwt":     "a client's attestation",
	"oauth-client-attestation-pop+jwt": "a client's proof",
	"oauth-id-jag+jwt":                 "an identity assertion grant",
	"kb+jwt":                           "a key binding proof",
	"openid4vci-proof+jwt":             "a key proof",
	"entity-statement+jwt":             "a federation statement",
	"resolve-response+jwt":             "a federation answer",
	"trust-mark+jwt":                   "a federation trust mark",
	"jwk-set+jwt":                      "a key set",
	"jose":                             "the name of the serialization",
	"jose+json":                        "the name of the serialization",
	"jwe":                              "an encrypted object",
	"jws":                              "the name of the serialization",
}

// compileTypes normalizes the configured types. untyped says whether a token
// without typ is let in.
func compileTypes(configured []string) (types []string, untyped bool, err error) {
	if len(configured) == 0 {
		return []string{"jwt", "at+jwt"}, true, nil
	}
	var errs []error
	for _, t := range configured {
		normal := strings.ToLower(t)
		if rest, ok := strings.CutPrefix(normal, "application/"); ok {
			normal = rest
		}
		what, foreign := foreignTypes[normal]
		switch {
		case normal == "none":
			untyped = true
		case foreign:
			errs = append(errs, fmt.Errorf("token_type: %s is %s, never an access token", t, what))
		case !mediaSubtype(normal):
			errs = append(errs, fmt.Errorf("token_type: %q is not a media type such as at+jwt", t))
		default:
			types = append(types, normal)
		}
	}
	return types, untyped, errors.Join(errs...)
}

// mediaSubtype reports whether s can stand behind "application/" (RFC 6838
// section 4.2).
func mediaSubtype(s string) bool {
	if s == "" || len(s) > 127 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || strings.IndexByte("!#$&-^_.+", c) < 0) {
			return false
		}
	}
	return true
}

// typeAllowed judges typ. Only ASCII letters fold: Unicode folding would let
// U+017F pass for s and U+212A for k.
func (p *Issuer) typeAllowed(h token.Header) bool {
	if !h.HasType {
		return p.untyped
	}
	const prefix = "application/"
	typ := h.Type
	if len(typ) >= len(prefix) && equalFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	for _, want := range p.types {
		if equalFold(typ, want) {
			return true
		}
	}
	return false
}

// equalFold reports whether s is lower, which is in lower case, but for the
// case of ASCII letters.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// wantTypes names what typeAllowed accepts.
func (p *Issuer) wantTypes() string {
	want := strings.Join(p.types, " or ")
	switch {
	case !p.untyped:
		return want
	case want == "":
		return "none"
	default:
		return want + " or none"
	}
}
