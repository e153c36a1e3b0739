package caddymodule

import (
	"slices"
	"sync"
)

// trustRegistry is every issuer of a configuration, those of single gates
// included: for what concerns an issuer whichever gate it is at.
type trustRegistry struct {
	mu  sync.Mutex
	all []*trustedIssuer
}

// add takes note of t. What several gates trust alike counts once.
func (r *trustRegistry) add(t *trustedIssuer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.all {
		if other.digest == t.digest && other.name == t.name && other.skew == t.skew && slices.Equal(other.types, t.types) {
			return
		}
	}
	r.all = append(r.all, t)
}

// list returns all issuers. Several may have one name, with keys or settings of
// their own.
func (r *trustRegistry) list() []*trustedIssuer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// named returns the issuers of that name.
func (r *trustRegistry) named(name string) []*trustedIssuer {
	return slices.DeleteFunc(r.list(), func(t *trustedIssuer) bool { return t.name != name })
}
