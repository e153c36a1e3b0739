package gate

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// tooLong refuses before anything looks at the text.
func (g *Gate) tooLong(raw string) *token.Refusal {
	if len(raw) <= g.maxToken {
		return nil
	}
	return token.Refuse(token.TokenTooLong, "at most "+strconv.Itoa(g.maxToken)+" bytes", strconv.Itoa(len(raw))+" bytes")
}

// recall looks raw up in the cache. What cannot be a token is not worth its
// hash; the parser says why. tally is nil, and key no key, when nothing may be
// kept.
func (g *Gate) recall(raw string) (key [32]byte, e *entry, tally *stripe) {
	if g.cache == nil || strings.Count(raw, ".") != 2 {
		return key, nil, nil
	}
	key = keyOf(raw)
	e, tally = g.cache.get(&key)
	return key, e, tally
}

// choose picks the issuer that a token claims, yet unverified, among those of
// this gate: byte by byte (RFC 7519 section 4.1.1, RFC 8725 section 3.8).
func (g *Gate) choose(name string) (*issuer, *token.Refusal) {
	if is := g.issuers[name]; is != nil {
		return is, nil
	}
	return nil, token.Refuse(token.IssuerUnknown, g.names, excerpt(name))
}

// permits is the operator's word on the algorithm. The key has its own.
func (is *issuer) permits(h *token.Header) *token.Refusal {
	if is.allowed.Has(h.Algorithm) {
		return nil
	}
	return token.Refuse(token.AlgNotAllowed, is.algorithms(), excerpt(h.Alg))
}

// unexpired is exp, looked at before keys and signature so that an old token
// costs neither a signature check nor a fetch.
func (is *issuer) unexpired(c *token.Claims, now time.Time, opts Options) *token.Refusal {
	return refusal(is.policy.Expired(now, c, opts.AllowExpired), token.Expired)
}

// algorithms lists what is allowed, for a refusal.
func (is *issuer) algorithms() string {
	var b strings.Builder
	for _, a := range is.allowed.List() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// current returns the keys that the issuer vouches with at now.
func (is *issuer) current(now time.Time) (*jwks.Set, *token.Refusal) {
	set, why := is.keys.Keys(now)
	if set != nil {
		return set, nil
	}
	if why.Code() != token.CodeKeysUnavailable {
		why = token.KeysNeverObtained
	}
	return nil, token.Refuse(why, "keys of "+excerpt(is.name), "none")
}

// standing returns the verdict of e under the issuer's configuration, if the
// key that vouched is still among its keys.
func (e *entry) standing(is *issuer, set *jwks.Set) *verdict {
	if e == nil {
		return nil
	}
	if v := e.verdict(is.digest); v != nil && set.Has(v.key) {
		return v
	}
	return nil
}

// judge is everything after the signature: times, revocation, policy,
// identity. grew says that e holds more than before.
func (g *Gate) judge(e *entry, v *verdict, is *issuer, req policy.Request, now time.Time, opts Options) (id *Identity, grew bool, refused *token.Refusal) {
	if refused = refusal(is.policy.Times(now, e.token.Claims, opts.AllowExpired), token.Expired); refused != nil {
		return nil, false, refused
	}
	if refused = g.withdrawn(&e.ids); refused != nil {
		return nil, false, refused
	}
	r := v.result(g.digest)
	if r == nil {
		r, grew = v.keep(g.evaluate(e, v, is))
	}
	if refused = r.answer(req); refused != nil {
		return nil, grew, refused
	}
	if g.onOmitted != nil {
		for _, header := range r.omitted {
			g.onOmitted(header)
		}
	}
	return &r.identity, grew, nil
}

// withdrawn asks the revocation list.
func (g *Gate) withdrawn(ids *revocation.IDs) *token.Refusal {
	if g.revocation == nil {
		return nil
	}
	kind, err := g.revocation.Revoked(ids)
	if err != nil {
		return refusal(err, token.RevocationStale)
	}
	switch kind {
	case 0:
		return nil
	case revocation.Session:
		return token.Refuse(token.RevokedSession, "", "")
	case revocation.Subject:
		return token.Refuse(token.RevokedSubject, "", "")
	case revocation.Client:
		return token.Refuse(token.RevokedClient, "", "")
	case revocation.Issuer:
		return token.Refuse(token.RevokedIssuer, "", "")
	}
	return token.Refuse(token.RevokedToken, "", "")
}

// evaluate asks all that depends on the claims and on the gate's configuration
// alone, and prepares what a request needs.
func (g *Gate) evaluate(e *entry, v *verdict, is *issuer) *result {
	claims := e.token.Claims
	r := &result{gate: g.digest}
	if r.refused = refusal(is.policy.Claims(e.token.Header, claims), token.ClaimMissing); r.refused != nil {
		return r
	}
	if r.refused = refusal(g.rules.Claims(claims), token.ClaimDenied); r.refused != nil {
		return r
	}
	r.identity = Identity{
		Issuer: is.name,
		Claims: claims,
		Token:  e.token,
		IDs:    e.ids,
		Alg:    e.token.Header.Algorithm,
		KeyID:  v.key.ID(),
	}
	r.bound = g.rules.Bind(claims)
	headers, omitted, err := g.forward.Headers(claims)
	if r.oversize = refusal(err, token.HeaderTooLarge); r.oversize == nil {
		r.identity.Headers, r.omitted = headers, omitted
	}
	return r
}

// answer turns r into the answer for one request.
func (r *result) answer(req policy.Request) *token.Refusal {
	if r.refused != nil {
		return clone(r.refused)
	}
	if refused := refusal(r.bound.Request(req), token.ExpressionFailed); refused != nil {
		return refused
	}
	if r.oversize != nil {
		return clone(r.oversize)
	}
	return nil
}

// clone gives each request a refusal of its own: a kept one is shared.
func clone(r *token.Refusal) *token.Refusal {
	c := *r
	return &c
}

// refusal returns err as what it has to be. An error of another kind refuses
// all the same, for reason.
func refusal(err error, reason token.Reason) *token.Refusal {
	if err == nil {
		return nil
	}
	if r, ok := err.(*token.Refusal); ok && r != nil { //nolint:errorlint // the way without allocation
		return r
	}
	var r *token.Refusal
	if errors.As(err, &r) && r != nil {
		return r
	}
	return &token.Refusal{Reason: reason, Err: err}
}

// maxExcerpt bounds what a refusal quotes from a token.
const maxExcerpt = 128

// excerpt returns the head of s. It shares no memory with a long s.
func excerpt(s string) string {
	if len(s) <= maxExcerpt {
		return s
	}
	return strings.Clone(s[:maxExcerpt]) + "..."
}
