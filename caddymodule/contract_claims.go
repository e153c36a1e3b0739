package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// forwarded is what the gates on a way make of a claims set.
type forwarded struct {
	headers []gate.Header
	omitted []string
}

func (f *forwarded) value(name string) string {
	for _, h := range f.headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// run forwards claims as the gates of r do, one after the other. The error is a
// *token.Refusal when one of them refuses.
func (r *contractRoute) run(claims map[string]any) (*forwarded, error) {
	text, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	parsed, err := token.ParseClaims(string(text))
	if err != nil {
		return nil, fmt.Errorf("example claims: %w", err)
	}
	out := new(forwarded)
	for _, lane := range r.lanes {
		headers, omitted, err := lane.forward.Headers(parsed)
		if err != nil {
			return nil, err
		}
		for _, h := range headers {
			out.headers = slices.DeleteFunc(out.headers, func(other gate.Header) bool { return other.Name == h.Name })
			out.headers = append(out.headers, h)
		}
		out.omitted = append(out.omitted, omitted...)
	}
	slices.Sort(out.omitted)
	out.omitted = slices.Compact(out.omitted)
	out.omitted = slices.DeleteFunc(out.omitted, func(name string) bool { return out.value(name) != "" })
	return out, nil
}

// The times of example tokens: from 2025 to 2050, so that examples do not change
// and a token that is made of them is good.
const (
	exampleIssued  = 1735689600
	exampleExpires = 2524608000
)

// commonClaims are values for claims whose names are well known.
var commonClaims = map[string]any{
	"sub": "alice", "email": "alice@example.com", "email_verified": true, "name": "Alice Example", "given_name": "Alice", "family_name": "Example",
	"preferred_username": "alice", "username": "alice", "nickname": "alice", "phone_number": "+15550100", "locale": "en", "zoneinfo": "Europe/Berlin",
	"exp": exampleExpires, "iat": exampleIssued, "nbf": exampleIssued, "auth_time": exampleIssued,
	"jti": "6f1c2b7e", "sid": "s-41d8", "client_id": "mobile-app", "azp": "mobile-app", "tenant": "acme", "tenant_id": "acme", "org_id": "acme",
	"roles": []any{"reader", "editor"}, "groups": []any{"sales", "support"}, "permissions": []any{"orders:read"}, "amr": []any{"pwd", "otp"},
	"scope": "openid profile", "scp": "openid profile",
}

// exampleValue is a value for a claim, by its name or else by its form.
func exampleValue(path []string, form string) any {
	name := path[len(path)-1]
	if _, err := strconv.Atoi(name); err == nil {
		return "reader"
	}
	if i := strings.LastIndexAny(name, "/:"); i >= 0 {
		name = name[i+1:]
	}
	if v, ok := commonClaims[name]; ok {
		if elements, ok := v.([]any); ok {
			return slices.Clone(elements)
		}
		return v
	}
	switch form {
	case "join":
		return []any{"one", "two"}
	case "json":
		return map[string]any{"id": 1}
	}
	return "example-" + name
}

// claimPath splits a claim path as policies do: a name with :// is one name, one
// that begins with a slash a JSON pointer, and dots mean nesting.
func claimPath(path string) []string {
	switch {
	case strings.Contains(path, "://"):
		return []string{path}
	case strings.HasPrefix(path, "/"):
		parts := strings.Split(path[1:], "/")
		for i := range parts {
			parts[i] = unescapePointer.Replace(parts[i])
		}
		return parts
	}
	return strings.Split(path, ".")
}

// put sets what is at path below v, making objects and arrays on the way.
func put(v any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < 64 {
		if elements, ok := v.([]any); ok || v == nil {
			for len(elements) <= i {
				elements = append(elements, "reader")
			}
			elements[i] = put(nil, path[1:], value)
			return elements
		}
	}
	members, ok := v.(map[string]any)
	if !ok {
		members = make(map[string]any)
	}
	members[path[0]] = put(members[path[0]], path[1:], value)
	return members
}

// valueAt returns what is at path in decoded JSON, nil for nothing.
func valueAt(v any, path []string) any {
	for _, part := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// leastClaims are what a token needs to pass the gates of r, as far as that can
// be told: not for expressions.
func (r *contractRoute) leastClaims() map[string]any {
	claims := map[string]any{"iss": "https://id.example.com", "sub": "alice", "iat": exampleIssued, "exp": exampleExpires}
	if len(r.Issuers) > 0 {
		first := r.Issuers[0]
		claims["iss"] = first.Issuer
		if len(first.Audience) > 0 {
			claims["aud"] = first.Audience[0]
		}
		for _, name := range first.Claims {
			if claims[name] == nil {
				claims[name] = exampleValue([]string{name}, "")
			}
		}
	}
	var scopes []string
	for _, q := range r.Requirements {
		values := q.Values
		if !q.All && len(values) > 1 {
			values = values[:1]
		}
		switch q.Kind {
		case "scope":
			scopes = append(scopes, values...)
		case "claim":
			r.satisfy(claims, q.Claim, values)
		}
	}
	if len(scopes) > 0 {
		slices.Sort(scopes)
		claims["scope"] = strings.Join(slices.Compact(scopes), " ")
	}
	return claims
}

// satisfy sets a claim to values, or adds them to it.
func (r *contractRoute) satisfy(claims map[string]any, claim string, values []string) {
	path := claimPath(claim)
	form := ""
	for _, h := range r.Headers {
		if h.Claim == claim {
			form = h.Form
		}
	}
	have := valueAt(claims, path)
	example := exampleValue(path, form)
	if len(values) == 0 {
		if have == nil {
			put(claims, path, example)
		}
		return
	}
	elements, several := have.([]any)
	if _, plural := example.([]any); plural || several || len(values) > 1 {
		for _, v := range values {
			if !slices.Contains(elements, any(v)) {
				elements = append(elements, v)
			}
		}
		put(claims, path, elements)
		return
	}
	put(claims, path, scalarOf(values[0]))
}

// scalarOf is a value as a token would have it.
func scalarOf(text string) any {
	if text == "true" || text == "false" {
		return text == "true"
	}
	if n := json.Number(text); strings.Trim(text, "-0123456789") == "" && json.Valid([]byte(text)) {
		return n
	}
	return text
}

// exampleClaims are leastClaims with everything that r forwards.
func (r *contractRoute) exampleClaims() map[string]any {
	claims := r.leastClaims()
	for _, h := range r.Headers {
		if path := claimPath(h.Claim); h.Claim != "*" && valueAt(claims, path) == nil {
			put(claims, path, exampleValue(path, h.Form))
		}
	}
	return claims
}

// refusedBy returns the code of a refusal, empty for another error.
func refusedBy(err error) token.Code {
	var refused *token.Refusal
	if errors.As(err, &refused) {
		return refused.Reason.Code()
	}
	return ""
}
