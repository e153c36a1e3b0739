package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// scopeRule is `require [all] scope`.
type scopeRule struct {
	values []string
	all    bool
	joined string

	scope, scp token.Path
}

func compileScope(cfg RuleConfig) (*scopeRule, error) {
	if len(cfg.Values) == 0 {
		return nil, errors.New("no scope is named")
	}
	for _, v := range cfg.Values {
		if !scopeToken(v) {
			return nil, fmt.Errorf("%q is not a scope (RFC 6749 section 3.3: visible ASCII without quotes and backslashes)", v)
		}
	}
	r := &scopeRule{values: slices.Clone(cfg.Values), all: cfg.All, joined: strings.Join(cfg.Values, " ")}
	var err1, err2 error
	r.scope, err1 = token.ParsePath("scope")
	r.scp, err2 = token.ParsePath("scp")
	return r, errors.Join(err1, err2)
}

// scopeToken reports whether s is a scope-token, which may stand in a challenge
// as it is.
func scopeToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// judge reads `scope`, a string split at U+0020 only, and in its absence `scp`,
// such a string or an array of strings. Anything else, also one element that is
// no string, grants nothing; a scope that is there but is no string hides scp.
func (r *scopeRule) judge(s *subject) error {
	granted := r.granted(s.claims)
	for _, want := range r.values {
		if has := grants(granted, want); has && !r.all {
			return nil
		} else if !has && r.all {
			return r.refuse(granted)
		}
	}
	if r.all {
		return nil
	}
	return r.refuse(granted)
}

// granted returns what the token grants, Missing if that is nothing.
func (r *scopeRule) granted(c *token.Claims) token.Value {
	granted := c.Get(r.scope)
	switch granted.Kind() {
	case token.String:
		return granted
	case token.Missing:
		if granted = c.Get(r.scp); granted.Kind() == token.Array && !onlyStrings(granted) {
			return token.Value{}
		}
		return granted
	}
	return token.Value{}
}

func (r *scopeRule) want() string {
	if r.all {
		return "scope all of " + r.joined
	}
	return "scope any of " + r.joined
}

func (r *scopeRule) refuse(granted token.Value) error {
	refusal := token.Refuse(token.ScopeMissing, r.want(), show(granted))
	refusal.Scope = r.joined
	return refusal
}

func onlyStrings(v token.Value) bool {
	for e := range v.Elements() {
		if e.Kind() != token.String {
			return false
		}
	}
	return true
}

// grants reports whether v, a string or an array of strings, names want.
func grants(v token.Value, want string) bool {
	switch v.Kind() {
	case token.String:
		rest := v.Text()
		for rest != "" {
			var word string
			word, rest, _ = strings.Cut(rest, " ")
			if word == want {
				return true
			}
		}
	case token.Array:
		for e := range v.Elements() {
			if e.Text() == want {
				return true
			}
		}
	}
	return false
}
