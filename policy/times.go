package policy

import (
	"strconv"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// limits are the texts of refusals for times, made once.
type limits struct{ exp, nbf, iat, age, lifetime string }

func newLimits(cfg IssuerConfig) limits {
	skew := " (skew " + cfg.Skew.String() + ")"
	return limits{
		exp:      "exp in the future" + skew,
		nbf:      "nbf in the past" + skew,
		iat:      "iat in the past" + skew,
		age:      "iat within max_age " + cfg.MaxAge.String() + skew,
		lifetime: "exp within max_token_lifetime " + cfg.MaxLifetime.String() + skew,
	}
}

// Times checks exp, nbf, iat, max_age and the lifetime against one reading of
// the clock. It allocates nothing on success. A token is
//
//	Expired           when now >= exp + skew (+ expiredGrace)
//	NotBeforeAhead    when now < nbf - skew
//	IssuedAtAhead     when now < iat - skew
//	TooOld            when now > iat + max_age + skew (+ expiredGrace)
//	LifetimeExceeded  when exp > now + max_token_lifetime + skew
//
// ClaimMissing means max_age without iat. expiredGrace lets a token pass that
// is past exp or max_age by up to that much more (`allow_expired`); 0
// otherwise. A Refusal's Seconds are: past exp, rounded down; until nbf - skew
// or iat - skew, rounded up; past iat + max_age, rounded down; beyond now + the
// lifetime + skew, rounded up.
func (p *Issuer) Times(now time.Time, c *token.Claims, expiredGrace time.Duration) error {
	if err := p.Expired(now, c, expiredGrace); err != nil {
		return err
	}
	if err := p.begun(now, c); err != nil {
		return err
	}
	if err := p.issued(now, c); err != nil {
		return err
	}
	if err := p.young(now, c, expiredGrace); err != nil {
		return err
	}
	return p.shortLived(now, c)
}

// begun is the check of nbf.
func (p *Issuer) begun(now time.Time, c *token.Claims) error {
	if !c.NotBefore.Present() {
		return nil
	}
	ahead := at(now.Add(p.skew))
	if nbf := of(c.NotBefore); ahead.before(nbf) {
		return missed(token.NotBeforeAhead, p.limits.nbf, c.NotBefore, ahead.until(nbf))
	}
	return nil
}

// issued is the check of iat.
func (p *Issuer) issued(now time.Time, c *token.Claims) error {
	if !c.IssuedAt.Present() {
		return nil
	}
	ahead := at(now.Add(p.skew))
	if iat := of(c.IssuedAt); ahead.before(iat) {
		return missed(token.IssuedAtAhead, p.limits.iat, c.IssuedAt, ahead.until(iat))
	}
	return nil
}

// young is the check of max_age.
func (p *Issuer) young(now time.Time, c *token.Claims, expiredGrace time.Duration) error {
	switch {
	case p.maxAge <= 0:
		return nil
	case !c.IssuedAt.Present():
		return token.Refuse(token.ClaimMissing, "iat, which max_age needs", "no iat")
	}
	oldest := now.Add(-p.maxAge)
	iat := of(c.IssuedAt)
	if limit := at(oldest.Add(-p.skew).Add(-max(expiredGrace, 0))); iat.before(limit) {
		return missed(token.TooOld, p.limits.age, c.IssuedAt, iat.since(at(oldest)))
	}
	return nil
}

// shortLived is the check of max_token_lifetime.
func (p *Issuer) shortLived(now time.Time, c *token.Claims) error {
	if p.maxLifetime <= 0 {
		return nil
	}
	latest := at(now.Add(p.maxLifetime).Add(p.skew))
	if exp := of(c.Expires); latest.before(exp) {
		return missed(token.LifetimeExceeded, p.limits.lifetime, c.Expires, latest.until(exp))
	}
	return nil
}

// Expired is the check of exp alone, for refusing before the signature.
func (p *Issuer) Expired(now time.Time, c *token.Claims, expiredGrace time.Duration) error {
	if !c.Expires.Present() {
		return token.Refuse(token.ExpiryMissing, "exp", "no exp")
	}
	exp := of(c.Expires)
	if limit := at(now.Add(-p.skew).Add(-max(expiredGrace, 0))); limit.before(exp) {
		return nil
	}
	return missed(token.Expired, p.limits.exp, c.Expires, exp.since(at(now)))
}

// missed is a refusal for a date that missed by so many seconds.
func missed(reason token.Reason, want string, got token.NumericDate, seconds int64) error {
	date, _ := got.Unix()
	r := token.Refuse(reason, want, strconv.FormatInt(date, 10))
	r.Seconds = seconds
	return r
}

// instant is a moment of Unix time with 0 <= nanos < 1e9. Durations are added on
// the clock's side alone, and claims are compared as exactly as they are.
type instant struct{ seconds, nanos int64 }

func at(t time.Time) instant { return instant{t.Unix(), int64(t.Nanosecond())} }

func of(d token.NumericDate) instant {
	seconds, nanos := d.Unix()
	return instant{seconds, int64(nanos)}
}

func (i instant) before(o instant) bool {
	return i.seconds < o.seconds || i.seconds == o.seconds && i.nanos < o.nanos
}

// until returns the seconds from i to the later o, rounded up.
func (i instant) until(o instant) int64 {
	d := o.seconds - i.seconds
	if o.nanos > i.nanos {
		d++
	}
	return d
}

// since returns the seconds from i to the later o, rounded down.
func (i instant) since(o instant) int64 {
	d := o.seconds - i.seconds
	if o.nanos < i.nanos {
		d--
	}
	return d
}
