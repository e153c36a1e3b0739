package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// fixture is a request as the API gets it from the gateway, and its JSON form.
type fixture struct {
	Route string `json:"route"`
	// Case is typical, least, special, wrong_type, long, too_long, anonymous or
	// public.
	Case  string `json:"case"`
	Shows string `json:"shows"`
	// Claims are those of the token; null where there is none.
	Claims map[string]any `json:"claims"`
	// Refused is the code of the gate's answer; the API gets no request then.
	Refused token.Code `json:"refused"`
	Method  string     `json:"method"`
	// Target is path and query.
	Target  string          `json:"target"`
	Headers []fixtureHeader `json:"headers"`
	// Missing are headers of the contract that this request lacks.
	Missing []string `json:"missing"`
}

type fixtureHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// fixtures are the requests of all routes that have a gate.
func (c *contract) fixtures() ([]*fixture, error) {
	out := []*fixture{}
	for _, r := range c.Routes {
		if r.Access == "none" {
			continue
		}
		made, err := r.fixtures()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Route, err)
		}
		out = append(out, made...)
	}
	return out, nil
}

func (r *contractRoute) fixtures() ([]*fixture, error) {
	var out []*fixture
	if r.Access == "public" {
		return append(out, r.request("public", "no token was looked at, and what clients sent under managed names is gone", nil, nil)), nil
	}
	for _, c := range []struct {
		name, shows string
		claims      map[string]any
	}{
		{"typical", "a token with every claim", r.example},
		{"least", "a token without any claim that may be missing", r.leastClaims()},
		{"special", "letters beyond ASCII, a percent sign, a separator and blanks inside elements", r.altered(specialValue)},
		{"wrong_type", "claims of a type that the form cannot say", r.altered(wrongValue)},
		{"long", "values about as long as they may be", r.altered(r.longValue(-1))},
		{"too_long", "values longer than they may be", r.altered(r.longValue(1))},
	} {
		got, err := r.run(c.claims)
		if code := refusedBy(err); code != "" {
			out = append(out, &fixture{Route: r.Route, Case: c.name, Shows: c.shows, Claims: c.claims, Refused: code, Headers: []fixtureHeader{}, Missing: []string{}})
			continue
		}
		if err != nil {
			return nil, err
		}
		made := r.request(c.name, c.shows, c.claims, got)
		if slices.ContainsFunc(out, func(f *fixture) bool { return slices.Equal(f.forwarded(), made.forwarded()) }) {
			continue // it would show nothing else
		}
		out = append(out, made)
	}
	if r.Access == "optional" || r.Access == "observe" {
		out = append(out, r.request("anonymous", "no token, so that every header of the contract is missing", nil, nil))
	}
	return out, nil
}

// forwarded are the headers without the token, which differs in every request.
func (f *fixture) forwarded() []fixtureHeader {
	return slices.DeleteFunc(slices.Clone(f.Headers), func(h fixtureHeader) bool { return h.Name == "Authorization" })
}

// request is a request with what the gates forwarded, nil for none.
func (r *contractRoute) request(name, shows string, claims map[string]any, got *forwarded) *fixture {
	f := &fixture{Route: r.Route, Case: name, Shows: shows, Claims: claims, Method: http.MethodGet, Target: examplePath(r.Paths, r.StripPrefix), Headers: []fixtureHeader{}, Missing: []string{}}
	if len(r.Methods) > 0 {
		f.Method = r.Methods[0]
	}
	host := "api.example.com"
	if len(r.Hosts) > 0 && !strings.ContainsAny(r.Hosts[0], "{") {
		host = strings.Replace(r.Hosts[0], "*", "www", 1)
	}
	add := func(name, value string) { f.Headers = append(f.Headers, fixtureHeader{name, value}) }
	add("Host", host)
	if claims != nil && r.Authorization == "unchanged" {
		add("Authorization", "Bearer "+exampleToken(claims))
	}
	if got != nil {
		for _, h := range got.headers {
			add(h.Name, h.Value)
		}
	}
	for _, h := range r.Headers {
		if got == nil || !slices.ContainsFunc(got.headers, func(g gate.Header) bool { return g.Name == h.Name }) {
			f.Missing = append(f.Missing, h.Name)
		}
	}
	return f
}

// exampleToken has the form of a token and the claims, and a signature that
// nothing verifies.
func exampleToken(claims map[string]any) string {
	// A claims set that was forwarded has been written as JSON before.
	body, _ := json.Marshal(claims)
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"example"}`)) + "." + part(body) + "." + part([]byte("no signature: an example"))
}

// examplePath is a path that the patterns match, as the backend sees it.
func examplePath(patterns []string, strip string) string {
	path := "/"
	if len(patterns) > 0 {
		path, _, _ = strings.Cut(patterns[0], " & ")
		path = strings.ReplaceAll(path, "*", "example")
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if strings.HasSuffix(patterns[0], "/*") || !strings.HasSuffix(patterns[0], "*") {
			path = strings.TrimPrefix(path, strip)
		} else {
			path = strings.TrimPrefix(strings.TrimSuffix(path, "example"), strip)
		}
	}
	if path == "" {
		path = "/"
	}
	return path
}

// registered are claims whose types the gate itself wants to be right.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp"}

// altered are the example claims with other values for what is forwarded and
// not needed by a rule.
func (r *contractRoute) altered(value func(h *contractHeader, old any) any) map[string]any {
	claims := clone(r.example)
	needed := r.leastClaims()
	var done [][]string
	// A claim that two lines forward, or that is part of another one, is altered
	// once: parts go before wholes.
	for _, whole := range []bool{false, true} {
		for i := range r.Headers {
			h := &r.Headers[i]
			path := claimPath(h.Claim)
			old := valueAt(r.example, path)
			if _, object := old.(map[string]any); h.Claim == "*" || object != whole || slices.Contains(registered, path[0]) || valueAt(needed, path) != nil {
				continue
			}
			if slices.ContainsFunc(done, func(other []string) bool { return within(path, other) || within(other, path) }) {
				continue
			}
			done = append(done, path)
			put(claims, path, value(h, old))
		}
	}
	return claims
}

// within reports whether path is whole or leads to a part of it.
func within(path, whole []string) bool {
	return len(path) >= len(whole) && slices.Equal(path[:len(whole)], whole)
}

// clone copies claims and the objects in them.
func clone(claims map[string]any) map[string]any {
	out := maps.Clone(claims)
	for name, v := range out {
		switch v := v.(type) {
		case map[string]any:
			out[name] = clone(v)
		case []any:
			out[name] = slices.Clone(v)
		}
	}
	return out
}

// specialValue has characters that need care.
func specialValue(h *contractHeader, old any) any {
	switch old := old.(type) {
	case []any:
		return []any{"größe", "a" + h.Separator + "b", "50%", " blank "}
	case string:
		return "Zoë Müller, 李雷 50%"
	default:
		return old
	}
}

// wrongValue is of a type that the form cannot say, where there is one.
func wrongValue(h *contractHeader, old any) any {
	switch h.Form {
	case "json", "base64url":
		return old
	case "join":
		return []any{"one", nil, map[string]any{"id": 1}}
	}
	return map[string]any{"id": 1}
}

// longValue makes values that are longer, or shorter, than they may be by about
// that many steps.
func (r *contractRoute) longValue(by int) func(h *contractHeader, old any) any {
	return func(h *contractHeader, old any) any {
		// In base64url three bytes take four.
		most := h.MaxBytes
		if h.Form == "base64url" {
			most = most / 4 * 3
		}
		if _, several := old.([]any); several || h.Form == "join" {
			const element = "role-0000"
			n := max(most/(len(element)+1)+by, 1)
			if h.Form != "join" {
				n = max(most/(len(element)+3)+by, 1) // quotes and a comma
			}
			elements := make([]any, n)
			for i := range elements {
				elements[i] = fmt.Sprintf("role-%04d", i%10000)
			}
			return elements
		}
		if _, ok := old.(string); !ok {
			return old
		}
		return strings.Repeat("x", max(most+3*by, 1))
	}
}
