package policy

import (
	"errors"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// claimRule is `require [all] claim`.
type claimRule struct {
	path   token.Path
	values []string
	all    bool
}

func compileClaim(cfg RuleConfig) (*claimRule, error) {
	if cfg.Claim == "" {
		return nil, errors.New("no claim is named")
	}
	path, err := token.ParsePath(cfg.Claim)
	if err != nil {
		return nil, err
	}
	if cfg.All && len(cfg.Values) == 0 {
		return nil, errors.New("`all` needs values")
	}
	if slices.Contains(cfg.Values, "") {
		return nil, errors.New("a value is empty")
	}
	return &claimRule{path: path, values: slices.Clone(cfg.Values), all: cfg.All}, nil
}

// judge compares strings exactly, numbers by their digits in the token (so 1
// is not 1.0), booleans as true and false, an array by its elements. Null,
// objects and arrays within arrays equal nothing.
func (r *claimRule) judge(s *subject) error {
	v := s.claims.Get(r.path)
	if len(r.values) == 0 {
		if v.Empty() {
			return r.refuse(v)
		}
		return nil
	}
	for _, want := range r.values {
		if has := holds(v, want); has && !r.all {
			return nil
		} else if !has && r.all {
			return r.refuse(v)
		}
	}
	if r.all {
		return nil
	}
	return r.refuse(v)
}

func (r *claimRule) want() string {
	want := "claim " + r.path.String()
	switch {
	case r.all:
		want += " all of " + strings.Join(r.values, " ")
	case len(r.values) > 0:
		want += " any of " + strings.Join(r.values, " ")
	}
	return want
}

func (r *claimRule) refuse(v token.Value) error {
	return token.Refuse(token.ClaimDenied, r.want(), show(v))
}

// holds reports whether v is the scalar want or an array with it.
func holds(v token.Value, want string) bool {
	if v.Kind() != token.Array {
		return equals(v, want)
	}
	for e := range v.Elements() {
		if equals(e, want) {
			return true
		}
	}
	return false
}

// equals compares a scalar.
func equals(v token.Value, want string) bool {
	switch v.Kind() {
	case token.String, token.Number, token.Bool:
		return v.Text() == want
	default:
		return false
	}
}
