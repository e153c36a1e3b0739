package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// finding is one thing that a check has to say.
type finding struct {
	// ID is one of checkRules.
	ID string `json:"id"`
	// Severity is error, warning or note.
	Severity string `json:"severity"`
	place
	// Route is the one concerned, empty when it is all of them.
	Route   string `json:"route,omitempty"`
	Message string `json:"message"`
	Why     string `json:"why"`
	Fix     string `json:"fix"`

	more int // findings that are the same at the same place
}

// The severities, the worst first.
const (
	severityError   = "error"
	severityWarning = "warning"
	severityNote    = "note"
)

// checkReport is the outcome of a check, and its JSON form.
type checkReport struct {
	File     string          `json:"file"`
	Issuers  []checkedIssuer `json:"issuers"`
	Findings []*finding      `json:"findings"`
	Errors   int             `json:"errors"`
	Warnings int             `json:"warnings"`
	Notes    int             `json:"notes"`
}

// checkOptions are the flags of a check.
type checkOptions struct {
	offline bool // asks no issuer
	timeout time.Duration
	// strict makes errors of warnings.
	strict bool
}

// checker looks through one configuration.
type checker struct {
	*offline
	places *places
	raw    map[string]any // Caddy's JSON
	routes []*mappedRoute
	errors []*mappedRoute // error routes
	labels map[*Handler]string
	gates  []*Handler // in the order of their places
	report *checkReport
}

// check looks through a configuration that is loaded.
func check(ctx context.Context, o *offline, options checkOptions) *checkReport {
	c := &checker{
		offline: o, routes: mapRoutes(o.http), errors: mapErrorRoutes(o.http), labels: gateLabels(o.http),
		report: &checkReport{File: o.file, Issuers: []checkedIssuer{}, Findings: []*finding{}},
	}
	// It was decoded when it was loaded.
	_ = json.Unmarshal(o.config, &c.raw)
	c.places = newPlaces(o, c.routes)
	eachHandler(o.http, func(h caddyhttp.MiddlewareHandler, _ string) {
		if g, ok := h.(*Handler); ok && !slices.Contains(c.gates, g) {
			c.gates = append(c.gates, g)
		}
	})
	c.checkIssuers(ctx, options)
	c.checkRoutes()
	c.checkGates()
	c.checkServers()
	c.checkRevocation()
	c.report.finish(options.strict)
	return c.report
}

// add takes note of a finding, once for each place and message. In JSON
// configurations every place is one of its own.
func (c *checker) add(id string, at place, m *mappedRoute, fix, format string, args ...any) {
	rule, ok := checkRules[id]
	if !ok {
		panic("check: there is no rule " + id)
	}
	f := &finding{ID: id, Severity: rule.severity, place: at, Message: fmt.Sprintf(format, args...), Why: rule.why, Fix: fix}
	if m != nil {
		f.Route = m.label()
		for _, other := range c.report.Findings {
			if other.ID == id && other.place == at && other.Route != "" {
				other.more++
				return
			}
		}
	}
	for _, other := range c.report.Findings {
		if other.ID == id && other.place == at && other.Message == f.Message {
			return
		}
	}
	c.report.Findings = append(c.report.Findings, f)
}

// finish orders and counts the findings.
func (r *checkReport) finish(strict bool) {
	rank := map[string]int{severityError: 0, severityWarning: 1, severityNote: 2}
	for _, f := range r.Findings {
		if strict && f.Severity == severityWarning {
			f.Severity = severityError
		}
		if f.more > 0 {
			f.Message += fmt.Sprintf(" (and %d more ways like it)", f.more)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b *finding) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.ID, b.ID), strings.Compare(a.Message, b.Message))
	})
	for _, f := range r.Findings {
		switch f.Severity {
		case severityError:
			r.Errors++
		case severityWarning:
			r.Warnings++
		default:
			r.Notes++
		}
	}
}

// failure is the report about a configuration that does not load.
func failure(file string, err error) *checkReport {
	rule := checkRules["load_failed"]
	f := &finding{ID: "load_failed", Severity: rule.severity, place: place{File: cmp.Or(file, "Caddyfile")}, Message: err.Error(), Why: rule.why, Fix: "correct what it says"}
	var located *loadError
	if errors.As(err, &located) {
		f.place, f.Message = located.place, located.err.Error()
	}
	r := &checkReport{File: cmp.Or(file, "Caddyfile"), Issuers: []checkedIssuer{}, Findings: []*finding{f}}
	r.finish(false)
	return r
}
