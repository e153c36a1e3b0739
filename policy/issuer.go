package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// Issuer is what one gate asks of every token of one issuer. Immutable after
// NewIssuer; safe for concurrent use.
type Issuer struct {
	audience    []string
	anyAudience bool
	types       []string // lower case, without "application/"
	untyped     bool     // a token without typ is welcome
	require     []token.Path
	subOptional bool

	skew, maxAge, maxLifetime time.Duration
	limits                    limits

	cnf, events token.Path
}

// IssuerConfig configures an Issuer.
type IssuerConfig struct {
	Audience    []string      // any of; empty only with AnyAudience
	AnyAudience bool          // `audience any`
	Skew        time.Duration // 0 to MaxSkew; the zero means zero
	MaxAge      time.Duration // 0: no limit; otherwise iat is required
	// Types are the values of typ that are let in, compared without case and
	// without "application/". Empty: JWT, at+jwt or no typ. Not empty: a token
	// without typ is refused, unless the word none is among them.
	Types       []string
	Require     []string // claim paths that must be there and neither null nor an empty string
	SubOptional bool     // `require_claims none`
	// MaxLifetime is the operator's max_token_lifetime: exp beyond now + it +
	// skew is refused. 0: no limit.
	MaxLifetime time.Duration
}

// The bounds and defaults of skew.
const (
	DefaultSkew = 30 * time.Second
	MaxSkew     = 5 * time.Minute
)

// NewIssuer checks cfg and reports all its mistakes at once.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	p := &Issuer{
		audience:    slices.Clone(cfg.Audience),
		anyAudience: cfg.AnyAudience,
		subOptional: cfg.SubOptional,
		skew:        cfg.Skew,
		maxAge:      cfg.MaxAge,
		maxLifetime: cfg.MaxLifetime,
	}
	switch {
	case cfg.AnyAudience && len(cfg.Audience) > 0:
		fail("audience: `any` and named audiences contradict each other")
	case !cfg.AnyAudience && len(cfg.Audience) == 0:
		fail("audience: missing; name what this API is called in `aud`, or write `audience any` to let tokens for every other API in")
	case slices.Contains(cfg.Audience, ""):
		fail("audience: an audience is empty")
	}
	if cfg.Skew < 0 || cfg.Skew > MaxSkew {
		fail("skew: %s is not between 0s and %s", cfg.Skew, MaxSkew)
	}
	if cfg.MaxAge < 0 {
		fail("max_age: %s is negative", cfg.MaxAge)
	}
	if cfg.MaxLifetime < 0 {
		fail("max_token_lifetime: %s is negative", cfg.MaxLifetime)
	}
	var err error
	if p.types, p.untyped, err = compileTypes(cfg.Types); err != nil {
		errs = append(errs, err)
	}
	path := func(where, name string) token.Path {
		parsed, err := token.ParsePath(name)
		if err != nil {
			fail("%s: %w", where, err)
		}
		return parsed
	}
	for _, name := range cfg.Require {
		p.require = append(p.require, path("require_claims", name))
	}
	p.cnf, p.events = path("cnf", "cnf"), path("events", "events")
	p.limits = newLimits(cfg)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Skew returns the configured skew.
func (p *Issuer) Skew() time.Duration { return p.skew }

// Claims checks what cannot change for the same token: typ, sub and other
// required claims, cnf, events, audience. It allocates nothing on success.
//
// A token bound to a key (cnf, RFC 7800) is refused because the proof cannot be
// checked here and treating it as a bearer token would undo the binding; one
// with events is a security event or logout token (RFC 8417). Either member
// counts as there whatever its value, null included.
func (p *Issuer) Claims(h token.Header, c *token.Claims) error {
	if err := p.checkType(h); err != nil {
		return err
	}
	if err := p.checkSubject(c); err != nil {
		return err
	}
	for i := range p.require {
		if err := p.checkRequired(c, i); err != nil {
			return err
		}
	}
	if err := p.checkUnbound(c); err != nil {
		return err
	}
	if err := p.checkEvents(c); err != nil {
		return err
	}
	return p.checkAudience(c)
}

func (p *Issuer) checkType(h token.Header) error {
	if p.typeAllowed(h) {
		return nil
	}
	return token.Refuse(token.TypeMismatch, "typ "+p.wantTypes(), gotType(h))
}

func gotType(h token.Header) string {
	if !h.HasType {
		return "no typ"
	}
	return shorten(h.Type)
}

func (p *Issuer) checkSubject(c *token.Claims) error {
	if p.subOptional || strings.TrimSpace(c.Subject) != "" {
		return nil
	}
	return token.Refuse(token.ClaimMissing, "sub", "none, or blanks")
}

// checkRequired is the check of the claim i of require_claims.
func (p *Issuer) checkRequired(c *token.Claims, i int) error {
	v := c.Get(p.require[i])
	switch v.Kind() {
	case token.Missing, token.Null:
	case token.String:
		if v.Text() != "" {
			return nil
		}
	default:
		return nil
	}
	return token.Refuse(token.ClaimMissing, p.require[i].String(), show(v))
}

func (p *Issuer) checkUnbound(c *token.Claims) error {
	if c.Get(p.cnf).Kind() == token.Missing {
		return nil
	}
	return token.Refuse(token.ProofUnsupported, "a token without cnf", "cnf")
}

func (p *Issuer) checkEvents(c *token.Claims) error {
	if c.Get(p.events).Kind() == token.Missing {
		return nil
	}
	return token.Refuse(token.EventsPresent, "a token without events", "events")
}

func (p *Issuer) checkAudience(c *token.Claims) error {
	if p.audienceAllowed(c.Audience) {
		return nil
	}
	return token.Refuse(token.AudienceMismatch, p.wantAudience(), shorten(strings.Join(c.Audience, " ")))
}

func (p *Issuer) wantAudience() string { return "aud " + strings.Join(p.audience, " or ") }

// audienceAllowed compares whole strings, byte by byte.
func (p *Issuer) audienceAllowed(aud []string) bool {
	if p.anyAudience {
		return true
	}
	for _, a := range aud {
		for _, want := range p.audience {
			if a == want {
				return true
			}
		}
	}
	return false
}
