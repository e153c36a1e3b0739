package gate

import (
	"sync/atomic"
	"time"
	"unique"
	"unsafe"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// digest is an interned SHA-256: equality costs one word.
type digest = unique.Handle[[32]byte]

// maxKept bounds how many issuer configurations may leave a verdict on one
// token, and how many gates a result on one verdict. A list that is full
// begins anew: what was in it is a signature check or a policy evaluation away.
const maxKept = 64

// entry is what the cache knows of one token whose signature held at least
// once: nothing in it is true of another token, another issuer or another time.
// All but late and the head of verdicts is immutable.
type entry struct {
	key   [32]byte // SHA-256 of the whole token
	token *token.Token
	ids   revocation.IDs
	late  atomic.Uint32 // the step that later noted; 0: not seen past exp

	verdicts atomic.Pointer[verdict]
}

// verdict says that key vouched for the token under one issuer configuration.
// Whether the key may still do so is asked each time.
type verdict struct {
	issuer  digest
	key     *jwks.Key
	results atomic.Pointer[result]

	next  *verdict
	depth int
}

// result is what one gate's configuration makes of the claims, as far as that
// depends on them alone.
type result struct {
	gate     digest
	refused  *token.Refusal // by the issuer's policy or by the rules
	bound    *policy.Bound  // for the rules that ask for the request; may be nil
	oversize *token.Refusal // a forwarded header is too long to go on
	omitted  []string
	identity Identity

	next  *result
	depth int
	total int64 // bytes, with all that next leads to
}

// verdict returns the newest verdict under d, nil if there is none.
func (e *entry) verdict(d digest) *verdict {
	for v := e.verdicts.Load(); v != nil; v = v.next {
		if v.issuer == d {
			return v
		}
	}
	return nil
}

// vouch adds that key vouched for the token under d. It comes before an older
// verdict of the same configuration.
func (e *entry) vouch(d digest, key *jwks.Key) *verdict {
	v := &verdict{issuer: d, key: key}
	for {
		head := e.verdicts.Load()
		v.next, v.depth = head, 1
		if head != nil {
			v.depth = head.depth + 1
		}
		if v.depth > maxKept {
			v.next, v.depth = nil, 1
		}
		if e.verdicts.CompareAndSwap(head, v) {
			return v
		}
	}
}

// result returns what gates of digest d found, nil if none did yet.
func (v *verdict) result(d digest) *result { return v.results.Load().find(d) }

func (r *result) find(d digest) *result {
	for ; r != nil; r = r.next {
		if r.gate == d {
			return r
		}
	}
	return nil
}

// keep adds r, unless an equal gate was faster. It returns the one that is kept
// and whether v grew.
func (v *verdict) keep(r *result) (kept *result, grew bool) {
	size := r.size()
	for {
		head := v.results.Load()
		if found := head.find(r.gate); found != nil {
			return found, false
		}
		r.next, r.depth, r.total = head, 1, size
		if head != nil {
			r.depth, r.total = head.depth+1, head.total+size
		}
		if r.depth > maxKept {
			r.next, r.depth, r.total = nil, 1, size
		}
		if v.results.CompareAndSwap(head, r) {
			return r, true
		}
	}
}

// The bytes that an entry costs beyond what its parts say of themselves.
const (
	// overhead is ristretto's slots in its store (56 bytes), its policy (16) and
	// its expiry buckets (16), each in a map that is half to fully loaded, and
	// what the allocator rounds up. TestCacheCostIsHonest compares it with the heap.
	overhead    = 400
	entrySize   = int64(unsafe.Sizeof(entry{}))
	tokenSize   = int64(unsafe.Sizeof(token.Token{}))
	verdictSize = int64(unsafe.Sizeof(verdict{}))
	resultSize  = int64(unsafe.Sizeof(result{}))
	headerSize  = int64(unsafe.Sizeof(Header{}))
)

// size returns the bytes of r alone.
func (r *result) size() int64 {
	n := resultSize + headerSize*int64(len(r.identity.Headers)) + 16*int64(len(r.omitted))
	for _, h := range r.identity.Headers {
		n += int64(len(h.Value))
	}
	for _, refusal := range []*token.Refusal{r.refused, r.oversize} {
		if refusal != nil {
			n += int64(unsafe.Sizeof(*refusal)) + int64(len(refusal.Want)+len(refusal.Got))
		}
	}
	if r.bound != nil {
		// The claims once more, as values of the expression language.
		n += int64(r.identity.Claims.Size()) * 5 / 4
	}
	return n
}

// cost returns the bytes that e holds on to.
func (e *entry) cost() int64 {
	n := overhead + entrySize + tokenSize + int64(len(e.token.SigningInput())+len(e.token.Signature())+e.token.Claims.Size())
	for v := e.verdicts.Load(); v != nil; v = v.next {
		n += verdictSize
		if r := v.results.Load(); r != nil {
			n += r.total
		}
	}
	return n
}

// maxKeep bounds how long an entry stays; longer lived tokens are verified
// once more.
const maxKeep = 24 * time.Hour

// keepFor returns how long e can be of use: until no gate takes the token any
// more, whatever its skew. It frees memory and decides nothing.
func (e *entry) keepFor(now time.Time) time.Duration {
	seconds, _ := e.token.Claims.Expires.Unix()
	left := seconds + int64(policy.MaxSkew/time.Second) - now.Unix()
	if seconds > 1<<40 || left > int64(maxKeep/time.Second) {
		return maxKeep
	}
	return time.Duration(max(left, 0)) * time.Second
}
