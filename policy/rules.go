package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// Rules are the `require` lines of a gate, compiled. Every one must hold. The
// nil *Rules requires nothing. Immutable; safe for concurrent use.
type Rules struct {
	claims  []rule // depend on claims alone, in the order of the configuration
	request []*expression
	convert bool // one of claims is an expression
}

// rule is one line that depends on claims alone.
type rule interface {
	judge(s *subject) error
	// explain is the rule and what of s it looks at, without a judgement.
	explain(s *subject) Finding
}

// subject is a claims set on trial. values is set when there are expressions.
type subject struct {
	claims *token.Claims
	values map[string]any
}

// RuleConfig is one `require` line.
type RuleConfig struct {
	Kind   string   // scope, claim, expr
	All    bool     // all of Values instead of any
	Claim  string   // path, for kind claim
	Values []string // for scope and claim; a claim without values must be present and not empty
	Expr   string   // for kind expr
}

// Compile checks and compiles rules and reports all mistakes; one in an
// expression with its line, its column and the place.
func Compile(rules []RuleConfig) (*Rules, error) {
	var compiled Rules
	var errs []error
	for _, cfg := range rules {
		if err := compiled.add(cfg); err != nil {
			errs = append(errs, fmt.Errorf("require %s: %w", cfg.heading(), err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &compiled, nil
}

// add compiles one line.
func (r *Rules) add(cfg RuleConfig) error {
	if cfg.Kind != "claim" && cfg.Claim != "" {
		return errors.New("a claim path belongs to `require claim`")
	}
	if cfg.Kind != "expr" && cfg.Expr != "" {
		return errors.New("an expression belongs to `require expr`")
	}
	switch cfg.Kind {
	case "scope":
		s, err := compileScope(cfg)
		if err != nil {
			return err
		}
		r.claims = append(r.claims, s)
	case "claim":
		c, err := compileClaim(cfg)
		if err != nil {
			return err
		}
		r.claims = append(r.claims, c)
	case "expr":
		if cfg.All || len(cfg.Values) > 0 {
			return errors.New("an expression takes neither `all` nor values")
		}
		e, err := compileExpression(cfg.Expr)
		if err != nil {
			return err
		}
		if e.needsRequest {
			r.request = append(r.request, e)
		} else {
			r.claims = append(r.claims, e)
			r.convert = true
		}
	default:
		return errors.New("unknown kind; there are scope, claim and expr")
	}
	return nil
}

// heading names the line without its values.
func (cfg RuleConfig) heading() string {
	words := make([]string, 0, 3)
	if cfg.All {
		words = append(words, "all")
	}
	words = append(words, cfg.Kind)
	if cfg.Claim != "" {
		words = append(words, cfg.Claim)
	}
	return strings.Join(words, " ")
}

// Claims checks the rules that depend on claims alone, in the order of the
// configuration; the answer may be kept with the token.
func (r *Rules) Claims(c *token.Claims) error {
	if r == nil || len(r.claims) == 0 {
		return nil
	}
	s := subject{claims: c}
	if r.convert {
		s.values = celClaims(c)
	}
	for _, rule := range r.claims {
		if err := rule.judge(&s); err != nil {
			return err
		}
	}
	return nil
}

// NeedsRequest reports whether some rule asks for the request.
func (r *Rules) NeedsRequest() bool { return r != nil && len(r.request) > 0 }

// Bind prepares c for the rules that ask for the request (their claims as CEL
// values), so that it is done once per token. nil when NeedsRequest is false.
func (r *Rules) Bind(c *token.Claims) *Bound {
	if !r.NeedsRequest() {
		return nil
	}
	return &Bound{rules: r.request, claims: celClaims(c)}
}

// Bound is a claims set ready for the rules of one Rules. Immutable, safe for
// concurrent use. The nil *Bound requires nothing.
type Bound struct {
	rules  []*expression
	claims map[string]any
}

// Request checks the rules that ask for the request, in the order of the
// configuration. Without a request every one of them fails.
func (b *Bound) Request(req Request) error {
	if b == nil {
		return nil
	}
	for _, e := range b.rules {
		if err := e.eval(b.claims, req); err != nil {
			return err
		}
	}
	return nil
}
