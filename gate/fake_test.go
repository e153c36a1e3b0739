package gate

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// fakeKeys is a KeySource whose behaviour a test sets.
type fakeKeys struct {
	set       atomic.Pointer[jwks.Set]
	missing   token.Reason // when set is nil
	outcome   jwks.Outcome // of Refetch
	next      *jwks.Set    // becomes the set on a Refetch that is Changed
	gone      bool         // a Refetch that is Changed leaves no keys
	refetches atomic.Int64
}

func keysOf(t testing.TB, keys ...*signing.Key) *fakeKeys {
	t.Helper()
	f := &fakeKeys{missing: token.KeysNeverObtained}
	f.set.Store(setOf(t, keys...))
	return f
}

func (f *fakeKeys) Keys(time.Time) (*jwks.Set, token.Reason) {
	if set := f.set.Load(); set != nil {
		return set, token.ReasonNone
	}
	return nil, f.missing
}

func (f *fakeKeys) Refetch(_ context.Context, set *jwks.Set) jwks.Outcome {
	f.refetches.Add(1)
	if f.outcome == jwks.Changed {
		if f.next != nil || f.gone {
			f.set.CompareAndSwap(set, f.next)
		}
	}
	return f.outcome
}

// fakeList is a revocation.Checker whose answer a test sets.
type fakeList struct {
	mu   sync.Mutex
	kind revocation.Kind
	err  error
	only revocation.Digest // of token; zero: all
}

func (f *fakeList) Revoked(ids *revocation.IDs) (revocation.Kind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.only != (revocation.Digest{}) && ids.Token != f.only {
		return 0, nil
	}
	return f.kind, f.err
}

func (f *fakeList) answer(kind revocation.Kind, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.err = kind, err
}

// fakeRequest is a policy.Request for expressions.
type fakeRequest struct{ method, path, host string }

func (r fakeRequest) Method() string              { return r.method }
func (r fakeRequest) Path() string                { return r.path }
func (r fakeRequest) Host() string                { return r.host }
func (r fakeRequest) Header() map[string][]string { return nil }
func (r fakeRequest) Query() map[string][]string  { return nil }
func (r fakeRequest) RemoteIP() string            { return "192.0.2.1" }
func (r fakeRequest) ClientIP() string            { return "192.0.2.1" }
