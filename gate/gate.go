// Package gate is the decision, without HTTP: verdict cache, verification,
// revocation, policy, identity. Check reads as the list of its steps.
package gate

import (
	"context"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// KeySource is where an issuer's keys come from; *jwks.Source is one.
type KeySource interface {
	Keys(now time.Time) (*jwks.Set, token.Reason)
	Refetch(ctx context.Context, set *jwks.Set) jwks.Outcome
}

// Issuer is one issuer as one gate trusts it.
type Issuer struct {
	Name   string // compared byte by byte with iss
	Keys   KeySource
	Policy *policy.Issuer
	// Algorithms is what the operator allows; 0: every asymmetric one that the
	// keys allow, and HS* when Secret.
	Algorithms token.AlgorithmSet
	Secret     bool // a shared secret is configured
	// OnSkew is told how many seconds a time of a genuine token is beyond this
	// clock: iat and nbf above 0 are ahead of it, exp above 0 is past. Nothing
	// above the skew passes. It is called when a signature was checked and when
	// a token is used past exp, and not on other requests; nil: nobody.
	OnSkew func(b Bound, seconds float64)
	// Digest identifies everything that a signature verdict depends on: iss,
	// key source and settings, secret digest, algorithms. Verdicts are shared
	// between issuers of equal Digest and no others. It must not be zero beside
	// a Cache.
	Digest [32]byte
}

// Config configures a Gate.
type Config struct {
	Issuers    []Issuer
	Rules      *policy.Rules      // nil: none
	Forward    *Forward           // nil: nothing is forwarded
	Revocation revocation.Checker // nil: nothing is revoked
	Cache      *Cache             // nil: every token is verified each time
	MaxToken   int                // bytes; 0: token.DefaultMaxLength
	Now        func() time.Time   // nil: time.Now
	// Digest identifies all of the gate's configuration that results kept
	// beside a verdict depend on (issuer policies, rules, forward, max sizes).
	// It must not be zero beside a Cache.
	Digest [32]byte
	// OnVerify is told the time each signature check took; nil: nobody.
	OnVerify func(alg token.Algorithm, took time.Duration)
	// OnOmitted is told, on each accepted request, of each forwarded header that
	// had to be left out because its claim has no safe form or is too long.
	OnOmitted func(header string)
}

// Gate decides about tokens for one protected place. Safe for concurrent use.
type Gate struct {
	issuers    map[string]*issuer
	names      string // of the issuers, for refusals
	rules      *policy.Rules
	forward    *Forward
	revocation revocation.Checker
	cache      *Cache
	maxToken   int
	now        func() time.Time
	digest     digest
	onVerify   func(token.Algorithm, time.Duration)
	onOmitted  func(string)
}

// issuer is an Issuer made ready.
type issuer struct {
	name    string
	keys    KeySource
	policy  *policy.Issuer
	allowed token.AlgorithmSet
	digest  digest
	skew    skewWatch
}

// Options are the circumstances of one Check.
type Options struct {
	// AllowExpired lets a genuine token pass that is past exp by up to that
	// much: behind a logout's mark only.
	AllowExpired time.Duration
	// Client, unless nil, is set to the client_id or azp of a token whose
	// signature held, whatever becomes of it after that; else it stays as it is.
	Client *string
}

// Identity is who a good token speaks for. It is shared between requests:
// nothing in it may be changed.
type Identity struct {
	Issuer  string
	Claims  *token.Claims
	Token   *token.Token // header, signing input
	IDs     revocation.IDs
	Headers []Header // what the backend is told, in the order of the configuration
	Alg     token.Algorithm
	KeyID   string // of the key that vouched; empty if its document gave none
}

// Header is one prepared header. Name is canonical.
type Header struct{ Name, Value string }

// Check decides about raw. The error is a *token.Refusal, whose Reason leads to
// the answer; issuer is the configured issuer that was chosen, empty if none
// was, also beside an error. On a warm verdict it allocates nothing.
//
// A token that is wrong in several ways is refused for the first in this order:
// length and syntax, issuer, algorithm, exp, keys, signature, times,
// revocation, the issuer's policy, rules, size of the forwarded headers. It is
// the same with and without a remembered verdict. Only exp is looked at before
// the signature, because it is cheap; nothing finer is said about a token
// whose signature does not hold.
func (g *Gate) Check(ctx context.Context, raw string, req policy.Request, opts Options) (id *Identity, issuer string, err error) {
	if refused := g.tooLong(raw); refused != nil {
		return nil, "", refused
	}
	now := g.now() // one reading for all checks
	key, e, tally := g.recall(raw)
	var t *token.Token
	if e != nil {
		t = e.token
	} else {
		p := token.Acquire()
		defer p.Release()
		if t, err = p.Parse(raw, g.maxToken); err != nil {
			return nil, "", refusal(err, token.TokenMalformed)
		}
	}
	is, refused := g.choose(t.Claims.Issuer)
	if refused != nil {
		return nil, "", refused
	}
	if refused = is.permits(&t.Header); refused != nil {
		return nil, is.name, refused
	}
	if refused = is.unexpired(t.Claims, now, opts); refused != nil {
		g.expired(ctx, e, t, is, now, opts)
		return nil, is.name, refused
	}
	set, refused := is.current(now)
	if refused != nil {
		return nil, is.name, refused
	}
	v := e.standing(is, set)
	recalled, known := e != nil, v != nil
	tally.count(known)
	if !known {
		if e, v, refused = g.verify(ctx, raw, key, e, t, is, set, now); refused != nil {
			return nil, is.name, refused
		}
		is.skew.verified(e, now, opts)
	} else {
		is.skew.seen(e, now, opts)
	}
	if opts.Client != nil {
		*opts.Client = e.token.Claims.ClientID
	}
	id, grew, refused := g.judge(e, v, is, req, now, opts)
	if (!known || grew) && tally != nil {
		g.cache.put(e, now, recalled)
	}
	if refused != nil {
		return nil, is.name, refused
	}
	return id, is.name, nil
}
