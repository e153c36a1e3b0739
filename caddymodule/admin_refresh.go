package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
)

// refreshWithin is how long a caller waits for keys. Caddy's admin endpoint
// ends a request after 10 s.
const refreshWithin = 8 * time.Second

// refreshAnswer is what became of each source of keys.
type refreshAnswer struct {
	Issuers []refreshedIssuer `json:"issuers"`
}

type refreshedIssuer struct {
	Issuer   string `json:"issuer"`
	Source   string `json:"source"`
	Location string `json:"location,omitempty"`
	OK       bool   `json:"ok"`
	Keys     int    `json:"keys"` // in use now
	// Changed says that keys came or went since the request came; Added and
	// Withdrawn name them by kid, or by thumbprint where there is none.
	Changed   bool     `json:"changed"`
	Added     []string `json:"added,omitempty"`
	Withdrawn []string `json:"withdrawn,omitempty"`
	Error     string   `json:"error"`
	ErrorKind string   `json:"error_kind"` // of jwks.ErrorKinds
}

// adminRefresh fetches the keys of one or all issuers past all caches. Each
// source makes one fetch at a time: callers who come meanwhile share the next.
func adminRefresh(v *adminView, w http.ResponseWriter, r *http.Request, _ []byte) error {
	name := r.PathValue("issuer")
	seen := make(map[*jwks.Source]bool)
	var chosen []*trustedIssuer
	for _, t := range v.issuers {
		if (name == "" || t.name == name) && !seen[t.source] {
			seen[t.source] = true
			chosen = append(chosen, t)
		}
	}
	if name != "" && len(chosen) == 0 {
		known := v.names()
		if len(known) == 0 {
			return problem(codeNotFound, "no issuer is configured")
		}
		return problemf(codeNotFound, "no issuer of that name is configured; those are compared byte by byte. Known: %s", strings.Join(known, " "))
	}
	patience := cmp.Or(v.about.patience, refreshWithin)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	answer := refreshAnswer{Issuers: make([]refreshedIssuer, len(chosen))}
	var work sync.WaitGroup
	for i, t := range chosen {
		work.Go(func() { answer.Issuers[i] = t.refresh(ctx, patience) })
	}
	work.Wait()
	slices.SortStableFunc(answer.Issuers, func(a, b refreshedIssuer) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Location, b.Location))
	})
	writeAdminJSON(w, "application/json", http.StatusOK, answer)
	return nil
}

func (t *trustedIssuer) refresh(ctx context.Context, patience time.Duration) refreshedIssuer {
	before := keyNames(t.source.Status().Keys)
	err := t.source.RefreshNow(ctx)
	st := t.source.Status()
	after := keyNames(st.Keys)
	answer := refreshedIssuer{
		Issuer: t.name, Source: st.Kind, Location: st.Location, OK: err == nil, Keys: len(st.Keys),
		Added: except(after, before), Withdrawn: except(before, after),
	}
	answer.Changed = len(answer.Added)+len(answer.Withdrawn) > 0
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		answer.Error, answer.ErrorKind = "no answer within "+patience.String()+"; the fetch goes on, and the status will tell", "timeout"
	default:
		answer.Error, answer.ErrorKind = err.Error(), jwks.ErrorKind(err)
	}
	return answer
}

// keyName tells keys apart: two may have one kid.
type keyName struct{ id, thumbprint string }

func keyNames(keys []jwks.KeyStatus) []keyName {
	var names []keyName
	for _, k := range keys {
		names = append(names, keyName{k.ID, k.Thumbprint})
	}
	return names
}

// except names those of some that are not in others.
func except(some, others []keyName) []string {
	var names []string
	for _, n := range some {
		if !slices.Contains(others, n) {
			names = append(names, cmp.Or(n.id, n.thumbprint))
		}
	}
	return names
}
