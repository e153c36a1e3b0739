package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// The defaults that no other package has.
const (
	defaultRealm       = "api"
	defaultCache       = "64MiB"
	defaultMaxHeader   = 4 << 10
	defaultMaxLifetime = 24 * time.Hour
	defaultStaleAfter  = 5 * time.Minute
	defaultRedisPrefix = "jwtgate:"
	defaultRedisTime   = 5 * time.Second
)

// What an option may be, both ends included.
var (
	skewLimits        = durationLimits{0, policy.MaxSkew}
	maxAgeLimits      = durationLimits{time.Second, 0}
	refreshLimits     = durationLimits{time.Second, 24 * time.Hour}
	maxStaleLimits    = durationLimits{0, 0}
	timeoutLimits     = durationLimits{time.Millisecond, 10 * time.Second}
	maxLifetimeLimits = durationLimits{time.Second, 0}
	staleAfterLimits  = durationLimits{time.Second, 0}
	waitLimits        = durationLimits{time.Millisecond, 10 * time.Second}

	maxTokenLimits  = sizeLimits{128, 1 << 20}
	maxHeaderLimits = sizeLimits{16, 1 << 20}
	cacheLimits     = sizeLimits{gate.MinCacheSize, 1 << 40}
)

// maxReplicas bounds wait_replicas, against a slip of the finger that no write
// survives.
const maxReplicas = 100

// sizeLimits is an inclusive range in bytes.
type sizeLimits struct{ least, most uint64 }

// parseSize reads a size such as 16KiB, 64MB or 4096, in bytes.
func parseSize(s string, limits sizeLimits) (int64, error) {
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("'%s' is no size such as 4096, 16KiB or 64MiB", s)
	case n < limits.least:
		return 0, fmt.Errorf("%s is below %s", s, humanize.IBytes(limits.least))
	case n > limits.most:
		return 0, fmt.Errorf("%s is above %s", s, humanize.IBytes(limits.most))
	}
	return int64(n), nil
}

// cacheSize reads the size of the verdict cache; 0 is off.
func cacheSize(s string) (int64, error) {
	switch s {
	case "off":
		return 0, nil
	case "":
		s = defaultCache
	}
	size, err := parseSize(s, cacheLimits)
	if err != nil {
		err = fmt.Errorf("%w; or write off", err)
	}
	return size, err
}

// secretEncodings are the ways a secret may be written.
var secretEncodings = []string{"plain", "base64", "base64url", "hex"}

func errUnknownAlgorithm(name string) error {
	var known []string
	for a := token.RS256; a <= token.HS512; a++ {
		known = append(known, a.String())
	}
	return fmt.Errorf("'%s' is no algorithm that can be checked; known are: %s", name, strings.Join(known, ", "))
}

// mayHavePlaceholder reports whether s can only be judged once expanded.
func mayHavePlaceholder(s string) bool { return strings.ContainsAny(s, "{}") }

// noPlaceholder refuses placeholders where they are not expanded: taken
// literally, they would match nothing, and nobody would know why.
func noPlaceholder(s string) error {
	for _, kind := range []string{"{env.", "{file."} {
		if strings.Contains(s, kind) {
			return fmt.Errorf("'%s': placeholders are not expanded here; the Caddyfile's {$NAME} is", s)
		}
	}
	return nil
}

// checkRealm refuses what needs escapes in a quoted string (RFC 6750
// section 3).
func checkRealm(realm string) error {
	if err := noPlaceholder(realm); err != nil {
		return err
	}
	for _, c := range []byte(realm) {
		if c < 0x20 || c > 0x7E || c == '"' || c == '\\' {
			return fmt.Errorf("%q: only printable ASCII without quotes and backslashes", realm)
		}
	}
	return nil
}

// checkOriginText refuses what can be no origin, before placeholders are
// expanded.
func checkOriginText(s string) error {
	if mayHavePlaceholder(s) {
		return nil
	}
	_, err := parseOrigin(s)
	return err
}

// parseOrigin returns an origin as browsers send it (RFC 6454 section 6.2):
// lower case, without the scheme's default port.
func parseOrigin(s string) (string, error) {
	switch s {
	case "*":
		return "", errors.New("'*' is no origin: name each")
	case "null":
		return "", errors.New("'null' is the origin of every sandboxed page: it cannot be trusted")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" ||
		u.ForceQuery || u.Fragment != "" || strings.ContainsAny(s, "*#") {
		return "", fmt.Errorf("'%s' is no origin such as https://app.example.com, without a slash at its end", s)
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host, nil
}

// check refuses what no request could satisfy or what was meant otherwise; the
// rest is policy.Compile's.
func (r *Requirement) check() error {
	switch r.Kind {
	case "scope":
		if len(r.Values) == 0 {
			return errors.New("scope: a value is missing")
		}
		if r.Claim != "" || r.Expr != "" {
			return errors.New("scope: it takes neither a claim nor an expression")
		}
	case "claim":
		if r.Claim == "" {
			return errors.New("claim: the claim path is missing")
		}
		if r.Expr != "" {
			return errors.New("claim: it takes no expression")
		}
		if r.All && len(r.Values) == 0 {
			return errors.New("all claim: a value is missing")
		}
	case "expr":
		if r.Expr == "" {
			return errors.New("expr: the expression is missing")
		}
		if r.All {
			return errors.New("expr: it takes no 'all'")
		}
		if r.Claim != "" || len(r.Values) > 0 {
			return errors.New("expr: it takes neither a claim nor values")
		}
	default:
		return fmt.Errorf("kind '%s' is not scope, claim or expr", r.Kind)
	}
	for _, v := range r.Values {
		if err := noPlaceholder(v); err != nil {
			return err
		}
	}
	var seen []string
	return unique(&seen, r.Values...)
}

// rule is r as package policy wants it.
func (r *Requirement) rule() policy.RuleConfig {
	return policy.RuleConfig{Kind: r.Kind, All: r.All, Claim: r.Claim, Values: r.Values, Expr: r.Expr}
}

// check refuses places that cannot carry a token.
func (t *TokenSource) check() error {
	if t.From != "cookie" && len(t.Origins) > 0 {
		return errors.New("origins are for cookies")
	}
	switch t.From {
	case "header":
		if t.Name == "" {
			return errors.New("header: its name is missing")
		}
		// The names that a gate may not delete are no places for tokens either.
		if err := gate.CheckManagedName(t.Name); err != nil {
			return fmt.Errorf("no place for a token: %w", err)
		}
	case "cookie", "query":
		if t.Name == "" {
			return fmt.Errorf("%s: its name is missing", t.From)
		}
		for _, c := range []byte(t.Name) {
			if !isPlainNameByte(c) {
				return fmt.Errorf("%s %q: only letters, digits, '-', '_' and '.'", t.From, t.Name)
			}
		}
		for _, o := range t.Origins {
			if err := checkOriginText(o); err != nil {
				return err
			}
		}
		var seen []string
		return unique(&seen, t.Origins...)
	case "websocket":
		if t.Name != "" {
			return errors.New("websocket: it takes no name")
		}
	default:
		return fmt.Errorf("'%s' is not header, cookie, query or websocket", t.From)
	}
	return nil
}

func isPlainNameByte(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_' || c == '.'
}

// same reports whether t and o are one place.
func (t *TokenSource) same(o *TokenSource) bool {
	if t.From != o.From {
		return false
	}
	if t.From == "header" {
		return gate.Fold(t.Name) == gate.Fold(o.Name)
	}
	return t.Name == o.Name
}
