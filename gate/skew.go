package gate

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// Bound is a time of a token that two clocks may disagree about.
type Bound uint8

// The bounds.
const (
	IssuedAt  Bound = iota // iat
	NotBefore              // nbf, where it is later than iat or there is no iat
	Expiry                 // exp
)

// Bounds lists them.
var Bounds = [...]Bound{IssuedAt, NotBefore, Expiry}

// String returns the name of the claim.
func (b Bound) String() string {
	switch b {
	case IssuedAt:
		return "iat"
	case NotBefore:
		return "nbf"
	}
	return "exp"
}

// SkewSteps are the seconds between which one observation of skew is told from
// another: the buckets of a histogram.
var SkewSteps = []float64{-300, -60, -30, -10, -5, -1, 0, 1, 2, 5, 10, 20, 30, 60, 120, 300}

const (
	// farthest is the most that is told, in seconds: tokens may name the year
	// 9999, which would spoil every sum.
	farthest = 24 * 3600
	// longPast is from when on an expired token says nothing about clocks.
	longPast = time.Hour
	// sampleEvery is the least time between two signature checks of one issuer's
	// tokens that are refused as expired anyway.
	sampleEvery = time.Second
)

// skewWatch tells how far the times of one issuer's tokens and this clock are
// apart. Only tokens whose signature holds count, otherwise anybody could make
// the figures up. exp is refused before the signature is looked at, so of the
// tokens that expired a verdict is asked for where it is remembered; of the
// others one a second is verified for this alone. What comes of that changes no
// answer and is not kept.
type skewWatch struct {
	tell   func(b Bound, seconds float64)
	sample atomic.Int64 // when the next may be verified, Unix nanoseconds
}

// verified tells of a token whose signature was just found good: how long ago
// it became valid (below 0) or how far ahead it is, and how much it had left
// (below 0) or how late it was. A logout that comes late by intention is not
// late.
func (w *skewWatch) verified(e *entry, now time.Time, opts Options) {
	if w.tell == nil {
		return
	}
	c := e.token.Claims
	if begin, b := begins(c); begin.Present() {
		w.tell(b, ahead(begin, now))
	}
	late := -ahead(c.Expires, now)
	if late >= 0 {
		if opts.AllowExpired > 0 || late > longPast.Seconds() {
			return
		}
		e.later(late)
	}
	w.tell(Expiry, late)
}

// seen tells of a token whose signature is known to be good that it is used
// past exp: once for each step, so that one client that goes on and on with the
// same token does not outweigh all others.
func (w *skewWatch) seen(e *entry, now time.Time, opts Options) {
	if w.tell == nil || opts.AllowExpired > 0 || !past(e.token.Claims.Expires, now) {
		return
	}
	if late := -ahead(e.token.Claims.Expires, now); late <= longPast.Seconds() && e.later(late) {
		w.tell(Expiry, late)
	}
}

// expired tells of a token that is refused as such. e is what is known of it,
// nil if nothing is; t is the token, with its signature when e is nil.
func (g *Gate) expired(ctx context.Context, e *entry, t *token.Token, is *issuer, now time.Time, opts Options) {
	w := &is.skew
	if w.tell == nil || ctx.Err() != nil || opts.AllowExpired > 0 {
		return
	}
	late := -ahead(t.Claims.Expires, now)
	if late < 0 || late > longPast.Seconds() {
		return
	}
	set, _ := is.keys.Keys(now)
	if set == nil {
		return
	}
	if e != nil {
		if e.standing(is, set) != nil {
			w.seen(e, now, opts)
		}
		return
	}
	if !w.due(now) {
		return
	}
	if key, _ := g.try(set, t); key != nil {
		w.tell(Expiry, late)
	}
}

// due reports whether another sample may be taken, and takes it.
func (w *skewWatch) due(now time.Time) bool {
	n, next := now.UnixNano(), w.sample.Load()
	if n < next && next-n <= int64(sampleEvery) { // farther ahead: the clock was set back
		return false
	}
	return w.sample.CompareAndSwap(next, n+int64(sampleEvery))
}

// begins returns from when on c is valid, and what says so.
func begins(c *token.Claims) (token.NumericDate, Bound) {
	if !c.IssuedAt.Present() || c.NotBefore.Present() && c.IssuedAt.UnixNano() < c.NotBefore.UnixNano() {
		return c.NotBefore, NotBefore
	}
	return c.IssuedAt, IssuedAt
}

// past reports whether now is at or after d. It is asked on every request.
func past(d token.NumericDate, now time.Time) bool {
	seconds, nanos := d.Unix()
	n := now.Unix()
	return n > seconds || n == seconds && now.Nanosecond() >= int(nanos)
}

// ahead returns the seconds from now to d.
func ahead(d token.NumericDate, now time.Time) float64 {
	seconds, nanos := d.Unix()
	apart := float64(seconds-now.Unix()) + float64(int(nanos)-now.Nanosecond())/1e9
	return min(max(apart, -farthest), farthest)
}

// later notes how late the token was seen, and reports whether that is a step
// later than before.
func (e *entry) later(seconds float64) bool {
	step := uint32(1)
	for _, s := range SkewSteps {
		if seconds > s {
			step++
		}
	}
	for {
		was := e.late.Load()
		if step <= was {
			return false
		}
		if e.late.CompareAndSwap(was, step) {
			return true
		}
	}
}
