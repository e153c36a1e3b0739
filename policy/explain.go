package policy

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// Finding is one check and what came of it, for people.
type Finding struct {
	Step string // times, type, required_claims, binding, audience, rules
	// Claim names the claim that was looked at; empty for several.
	Claim string
	Want  string
	Got   string // may quote a claim
	// Shape is Got without the value of a claim that may be about a person;
	// empty where Got is none.
	Shape string
	// Date is what was compared, in the step times.
	Date token.NumericDate
	Err  error // a *token.Refusal; nil when the check passed
}

// because completes f with what the check says.
func (f Finding) because(err error) Finding {
	f.Err = err
	var refused *token.Refusal
	if !errors.As(err, &refused) {
		return f
	}
	if refused.Want != "" {
		f.Want = refused.Want
	}
	if refused.Got != "" {
		f.Got = refused.Got
	}
	return f
}

// ExplainTimes is Times after its check of exp, one finding a check, and goes
// on after one that failed. The first failure is what Times refuses for, given
// that exp is good.
func (p *Issuer) ExplainTimes(now time.Time, c *token.Claims, expiredGrace time.Duration) []Finding {
	date := func(claim, want string, d token.NumericDate, err error) Finding {
		f := Finding{Step: "times", Claim: claim, Want: want, Got: "no " + claim, Date: d}
		if d.Present() {
			seconds, _ := d.Unix()
			f.Got = strconv.FormatInt(seconds, 10)
		}
		return f.because(err)
	}
	found := []Finding{
		date("nbf", p.limits.nbf, c.NotBefore, p.begun(now, c)),
		date("iat", p.limits.iat, c.IssuedAt, p.issued(now, c)),
	}
	if p.maxAge > 0 {
		found = append(found, date("iat", p.limits.age, c.IssuedAt, p.young(now, c, expiredGrace)))
	}
	if p.maxLifetime > 0 {
		found = append(found, date("exp", p.limits.lifetime, c.Expires, p.shortLived(now, c)))
	}
	return found
}

// ExplainExpiry is Expired as a finding.
func (p *Issuer) ExplainExpiry(now time.Time, c *token.Claims, expiredGrace time.Duration) Finding {
	f := Finding{Step: "expiry", Claim: "exp", Want: p.limits.exp, Date: c.Expires}
	seconds, _ := c.Expires.Unix()
	f.Got = strconv.FormatInt(seconds, 10)
	return f.because(p.Expired(now, c, expiredGrace))
}

// ExplainClaims is Claims, one finding a check, and goes on after one that
// failed. The first failure is what Claims refuses for.
func (p *Issuer) ExplainClaims(h token.Header, c *token.Claims) []Finding {
	found := []Finding{Finding{Step: "type", Want: "typ " + p.wantTypes(), Got: gotType(h)}.because(p.checkType(h))}
	if !p.subOptional {
		found = append(found, Finding{
			Step: "required_claims", Claim: "sub", Want: "sub", Got: shorten(c.Subject), Shape: "string",
		}.because(p.checkSubject(c)))
	}
	for i, path := range p.require {
		v := c.Get(path)
		found = append(found, Finding{
			Step: "required_claims", Claim: path.String(), Want: path.String(), Got: show(v), Shape: shape(v),
		}.because(p.checkRequired(c, i)))
	}
	audience := Finding{Step: "audience", Claim: "aud", Want: p.wantAudience(), Got: shorten(strings.Join(c.Audience, " "))}
	if p.anyAudience {
		audience.Want = "any aud"
	}
	if len(c.Audience) == 0 {
		audience.Got = "no aud"
	}
	return append(found,
		Finding{Step: "binding", Claim: "cnf", Want: "a token without cnf", Got: "no cnf"}.because(p.checkUnbound(c)),
		Finding{Step: "binding", Claim: "events", Want: "a token without events", Got: "no events"}.because(p.checkEvents(c)),
		audience.because(p.checkAudience(c)))
}

// Explain is Claims and then Bind and Request, one finding a line of the
// configuration, and goes on after one that failed. The first failure is what
// they refuse for: the lines that ask for the request come last.
func (r *Rules) Explain(c *token.Claims, req Request) []Finding {
	if r == nil {
		return nil
	}
	s := subject{claims: c}
	if r.convert || r.NeedsRequest() {
		s.values = celClaims(c)
	}
	var found []Finding
	for _, rule := range r.claims {
		found = append(found, rule.explain(&s).because(rule.judge(&s)))
	}
	for _, e := range r.request {
		found = append(found, e.explain(&s).because(e.eval(s.values, req)))
	}
	for i := range found {
		// What fails in an expression may quote claims.
		if refused, ok := found[i].Err.(*token.Refusal); ok && refused.Reason == token.ExpressionFailed { //nolint:errorlint // because made it
			found[i].Shape = "an error"
		}
	}
	return found
}

func (r *scopeRule) explain(s *subject) Finding {
	return Finding{Step: "rules", Claim: "scope", Want: r.want(), Got: show(r.granted(s.claims))}
}

func (r *claimRule) explain(s *subject) Finding {
	v := s.claims.Get(r.path)
	return Finding{Step: "rules", Claim: r.path.String(), Want: r.want(), Got: show(v), Shape: shape(v)}
}

func (e *expression) explain(*subject) Finding {
	return Finding{Step: "rules", Want: "expr " + e.source, Got: "true"}
}

// shape says what kind of value v is.
func shape(v token.Value) string {
	switch v.Kind() {
	case token.Array:
		if n := v.Len(); n != 1 {
			return "array of " + strconv.Itoa(n)
		}
		return "array of 1"
	case token.String:
		if v.Text() == "" {
			return "empty string"
		}
	case token.Bool:
		return v.Text()
	}
	return v.Kind().String()
}
