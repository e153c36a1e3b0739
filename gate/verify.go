package gate

import (
	"context"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// maxCandidates bounds the signature checks with one key set.
const maxCandidates = 4

// verify checks the signature of raw with the keys of its issuer alone and
// notes in e, which it makes when nil, which key vouched. t is raw parsed; that
// of an entry has left its signature behind.
func (g *Gate) verify(ctx context.Context, raw string, key [32]byte, e *entry, t *token.Token, is *issuer, set *jwks.Set, now time.Time) (*entry, *verdict, *token.Refusal) {
	if e != nil {
		p := token.Acquire()
		defer p.Release()
		var err error
		if t, err = p.Parse(raw, g.maxToken); err != nil {
			return nil, nil, refusal(err, token.TokenMalformed)
		}
	}
	vouched, refused := g.vouch(ctx, is, set, t, now)
	if refused != nil {
		return nil, nil, refused
	}
	if e == nil {
		kept := t.Detach()
		e = &entry{key: key, token: kept, ids: revocation.IDsOf(kept)}
	}
	return e, e.vouch(is.digest, vouched), nil
}

// vouch returns the key of the issuer under which the signature holds. When
// there is none in set, keys that come from the network are asked for once
// more, in the budget that their source has for that: the issuer may have
// rotated, to a new kid or to new material under the same one.
func (g *Gate) vouch(ctx context.Context, is *issuer, set *jwks.Set, t *token.Token, now time.Time) (*jwks.Key, *token.Refusal) {
	key, why := g.try(set, t)
	if key != nil {
		return key, nil
	}
	if t.Header.Algorithm.Symmetric() {
		// A secret is configured, not fetched: no refetch can help.
		return nil, unvouched(why, t)
	}
	switch is.keys.Refetch(ctx, set) {
	case jwks.Current:
		return nil, unvouched(why, t)
	case jwks.Changed:
		set, refused := is.current(now)
		if refused != nil {
			return nil, refused
		}
		if key, why = g.try(set, t); key != nil {
			return key, nil
		}
		return nil, unvouched(why, t)
	}
	// Nobody can tell whether the key exists: an outage is never the client's
	// fault, and a 401 would make apps throw their refresh token away.
	return nil, token.Refuse(token.KeysFetchFailed, "keys of "+excerpt(is.name), "the last fetch failed")
}

// try checks t with the keys of set that may have signed it.
func (g *Gate) try(set *jwks.Set, t *token.Token) (*jwks.Key, token.Reason) {
	h := &t.Header
	candidates := set.Candidates(h.Algorithm, h.KeyID, h.HasKeyID)
	if len(candidates) == 0 {
		if h.HasKeyID && !set.HasKid(h.KeyID) {
			return nil, token.KidUnknown
		}
		return nil, token.KeyMismatch
	}
	for _, key := range candidates[:min(len(candidates), maxCandidates)] {
		if g.holds(key, t) {
			return key, token.ReasonNone
		}
	}
	return nil, token.SignatureInvalid
}

// holds is one signature check.
func (g *Gate) holds(key *jwks.Key, t *token.Token) bool {
	if g.onVerify == nil {
		return key.Verify(t.Header.Algorithm, t.SigningInput(), t.Signature()) == nil
	}
	// A duration for a histogram: not a matter of the injected clock.
	start := time.Now()
	err := key.Verify(t.Header.Algorithm, t.SigningInput(), t.Signature())
	g.onVerify(t.Header.Algorithm, time.Since(start))
	return err == nil
}

// unvouched says why no key vouched for t.
func unvouched(why token.Reason, t *token.Token) *token.Refusal {
	kid := "no kid"
	if t.Header.HasKeyID {
		kid = "kid " + excerpt(t.Header.KeyID)
	}
	switch why {
	case token.KidUnknown:
		return token.Refuse(why, "a kid of the issuer", kid)
	case token.KeyMismatch:
		return token.Refuse(why, "a key for "+t.Header.Algorithm.String(), kid)
	}
	return token.Refuse(why, "a signature of the issuer", kid)
}
