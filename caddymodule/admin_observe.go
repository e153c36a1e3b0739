package caddymodule

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// observeReport is what observing gates would have refused.
type observeReport struct {
	// Since is when the oldest of the counts began.
	Since time.Time     `json:"since"`
	Gates []observeGate `json:"gates"`
}

// observeGate is one observing gate.
type observeGate struct {
	Route       string        `json:"route"`
	Since       time.Time     `json:"since"`
	WouldPass   uint64        `json:"would_pass"`
	WouldRefuse []observedRow `json:"would_refuse"` // the most frequent first
	// Unlisted are refusals beyond those that are listed: there is room for so
	// many kinds only.
	Unlisted uint64 `json:"unlisted"`
}

// observedRow is one kind of refusal.
type observedRow struct {
	Reason  string    `json:"reason"`
	Code    string    `json:"code"`
	Issuer  string    `json:"issuer"`
	Client  string    `json:"client"`
	Count   uint64    `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
}

// refused is how many requests the gate would have refused.
func (g *observeGate) refused() uint64 {
	n := g.Unlisted
	for i := range g.WouldRefuse {
		n += g.WouldRefuse[i].Count
	}
	return n
}

// report returns the counts of all observing gates, ordered by route.
func (r *observerRegistry) report(now time.Time) *observeReport {
	report := &observeReport{Since: now.UTC(), Gates: []observeGate{}}
	seen := make(map[*observations]bool)
	for _, o := range r.list() {
		counts := o.counts.Load()
		if seen[counts] {
			continue
		}
		seen[counts] = true
		g := counts.report()
		g.Route = o.label
		if g.Since.Before(report.Since) {
			report.Since = g.Since
		}
		report.Gates = append(report.Gates, g)
	}
	slices.SortStableFunc(report.Gates, func(a, b observeGate) int { return cmp.Compare(a.Route, b.Route) })
	return report
}

func (o *observations) report() observeGate {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := observeGate{Since: o.since.UTC(), WouldPass: o.passed.Load(), WouldRefuse: []observedRow{}, Unlisted: o.unlisted}
	for refusal, row := range o.rows {
		g.WouldRefuse = append(g.WouldRefuse, observedRow{
			Reason: refusal.reason.String(), Code: string(refusal.reason.Code()), Issuer: refusal.issuer, Client: refusal.client,
			Count: row.count, FirstAt: row.first.UTC(), LastAt: row.last.UTC(),
		})
	}
	sortObserved(g.WouldRefuse)
	return g
}

// adminObserveReport tells what would have been refused.
func adminObserveReport(v *adminView, w http.ResponseWriter, _ *http.Request, _ []byte) error {
	registry := v.about.observed
	if registry == nil {
		registry = new(observerRegistry)
	}
	writeAdminJSON(w, "application/json", http.StatusOK, registry.report(v.now()))
	return nil
}

// adminObserveReset lets the counts begin again.
func adminObserveReset(v *adminView, w http.ResponseWriter, _ *http.Request, _ []byte) error {
	if v.about.observed != nil {
		v.about.observed.reset()
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
