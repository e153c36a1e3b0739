package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// contract is what backends are promised, and its JSON form. Its fields are
// described in docs/contract.md.
type contract struct {
	// Managed are the names and patterns that no client can send to a route with
	// a gate.
	Managed []string         `json:"managed"`
	Routes  []*contractRoute `json:"routes"`
}

// contractRoute is one way to a backend.
type contractRoute struct {
	Route   string   `json:"route"`
	Hosts   []string `json:"hosts"`
	Paths   []string `json:"paths"`
	Methods []string `json:"methods"`
	Others  []string `json:"other_matchers"`
	Except  []string `json:"except"`
	// StripPrefix is taken off the path before the backend sees it.
	StripPrefix string   `json:"strip_prefix"`
	Rewritten   bool     `json:"rewritten"`
	Backend     []string `json:"backend"`
	// Access is token, optional, observe, public, or none where there is no gate.
	Access        string                `json:"access"`
	Issuers       []contractIssuer      `json:"issuers"`
	Requirements  []contractRequirement `json:"requirements"`
	Headers       []contractHeader      `json:"headers"`
	Authorization string                `json:"authorization"` // unchanged or removed
	Preflight     bool                  `json:"preflight"`
	Answers       []contractAnswer      `json:"answers"`

	way     *mappedRoute
	example map[string]any // claims
	lanes   []contractLane
}

// contractLane is a gate on the way with what it forwards.
type contractLane struct {
	gate    *Handler
	forward *gate.Forward
}

// contractIssuer is whose tokens pass.
type contractIssuer struct {
	Issuer      string   `json:"issuer"`
	Audience    []string `json:"audience"` // any of them; empty: any at all
	Claims      []string `json:"claims"`   // that every token has
	SubOptional bool     `json:"sub_optional"`
}

// contractRequirement is a `require` line.
type contractRequirement struct {
	Kind   string   `json:"kind"`
	All    bool     `json:"all"`
	Claim  string   `json:"claim,omitempty"`
	Values []string `json:"values,omitempty"`
	Expr   string   `json:"expr,omitempty"`
	Text   string   `json:"text"`
}

// contractHeader is one header that the backend may get.
type contractHeader struct {
	Name  string `json:"name"`
	Claim string `json:"claim"`
	// Form is text, join, json, base64url or utf8.
	Form      string `json:"form"`
	Separator string `json:"separator,omitempty"`
	MaxBytes  int    `json:"max_bytes"`
	// TooLong is what happens beyond that: left_out or refused.
	TooLong string `json:"too_long"`
	// Always says that no request comes without it. A sub may be longer than
	// max_bytes, so that it takes `max_header ... refuse` to be sure of that.
	Always  bool     `json:"always"`
	Absent  []string `json:"absent"`  // when it is left out, in words
	Example string   `json:"example"` // empty if the example claims give none
}

// contractAnswer is what the gate says instead of the backend.
type contractAnswer struct {
	Status int        `json:"status"`
	Code   token.Code `json:"code"`
	Title  string     `json:"title"`
	Action string     `json:"action"`
	Retry  bool       `json:"retry_after"`
}

// newContract describes the ways to backends of a configuration that is loaded.
// pick chooses among them.
func newContract(o *offline, pick func(*mappedRoute) bool) (*contract, error) {
	c := &contract{Managed: []string{}, Routes: []*contractRoute{}}
	routes := mapRoutes(o.http)
	for _, m := range routes {
		for _, g := range m.Gates {
			for _, f := range g.Forward {
				c.Managed = append(c.Managed, http.CanonicalHeaderKey(f.Header))
			}
			c.Managed = append(c.Managed, g.Strip...)
		}
	}
	slices.Sort(c.Managed)
	c.Managed = slices.Compact(c.Managed)
	for _, m := range routes {
		if m.backend() == nil || !pick(m) {
			continue
		}
		r, err := newContractRoute(o.app, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.label(), err)
		}
		c.Routes = append(c.Routes, r)
	}
	return c, nil
}

func newContractRoute(app *App, m *mappedRoute) (*contractRoute, error) {
	r := &contractRoute{
		Route: m.label(), Hosts: list(m.Hosts), Paths: list(m.Paths), Methods: list(m.Methods), Others: list(m.Others), Except: list(m.Except),
		StripPrefix: m.Stripped, Rewritten: m.Rewritten, Backend: list(m.Upstreams), Access: "none", Authorization: "unchanged",
		Issuers: []contractIssuer{}, Requirements: []contractRequirement{}, Headers: []contractHeader{}, Answers: []contractAnswer{}, way: m,
	}
	for _, g := range m.Gates {
		settings, err := g.settings()
		if err != nil {
			return nil, err
		}
		forward, err := gate.NewForward(settings.Forward, settings.MaxHeader, settings.RefuseTooLong)
		if err != nil {
			return nil, err
		}
		r.meet(app, g, contractLane{g, forward}, settings)
	}
	r.finish()
	return r, nil
}

// list keeps null out of JSON.
func list(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}

// ranks of what a way asks for: where several gates stand, the strictest counts.
var accessRank = []string{"none", "public", "observe", "optional", "token"}

// meet adds what one gate does.
func (r *contractRoute) meet(app *App, g *Handler, lane contractLane, settings *gateSettings) {
	access := "token"
	switch {
	case g.Public:
		access = "public"
	case g.Observe:
		access = "observe"
	case g.Optional:
		access = "optional"
	}
	if slices.Index(accessRank, access) > slices.Index(accessRank, r.Access) {
		r.Access = access
	}
	if g.Public {
		return
	}
	r.lanes = append(r.lanes, lane)
	if g.StripToken {
		r.Authorization = "removed"
	}
	r.Preflight = r.Preflight || g.run.preflight
	for _, issuer := range g.contractIssuers(app) {
		if !slices.ContainsFunc(r.Issuers, func(i contractIssuer) bool { return i.Issuer == issuer.Issuer }) {
			r.Issuers = append(r.Issuers, issuer)
		}
	}
	for _, line := range g.Require {
		r.Requirements = append(r.Requirements, line.contract())
	}
	for _, f := range settings.Forward {
		tooLong := "left_out"
		if settings.RefuseTooLong {
			tooLong = "refused"
		}
		h := contractHeader{Name: http.CanonicalHeaderKey(f.Header), Claim: f.Claim, Form: cmp.Or(f.Form, "text"), Separator: f.Sep, MaxBytes: settings.MaxHeader, TooLong: tooLong}
		// What a later gate sets takes the place of what an earlier one did.
		if i := slices.IndexFunc(r.Headers, func(other contractHeader) bool { return other.Name == h.Name }); i >= 0 {
			r.Headers[i] = h
			continue
		}
		r.Headers = append(r.Headers, h)
	}
}

// contractIssuers returns whose tokens pass the gate.
func (h *Handler) contractIssuers(app *App) []contractIssuer {
	var names []string
	switch {
	case len(h.UseIssuers)+len(h.Issuers) == 0:
		for _, t := range app.state.issuers {
			names = append(names, t.name)
		}
	default:
		// Both were expanded when the gate was loaded.
		names, _ = expandNames("issuer", h.UseIssuers)
		for _, own := range h.Issuers {
			if name, err := expandName("issuer", own.Issuer); err == nil {
				names = append(names, name)
			}
		}
	}
	audience, _ := expandNames("audience", h.Audience)
	var out []contractIssuer
	for _, name := range names {
		for _, t := range app.state.trusts.named(name) {
			asked, err := t.at(audience, h.AnyAudience)
			if err != nil {
				continue
			}
			out = append(out, contractIssuer{Issuer: name, Audience: list(asked.Audience), Claims: list(t.requireClaims), SubOptional: t.subOptional})
			break
		}
	}
	return out
}

// contract describes a `require` line.
func (r *Requirement) contract() contractRequirement {
	c := contractRequirement{Kind: r.Kind, All: r.All, Claim: r.Claim, Values: r.Values, Expr: r.Expr}
	some := "one of "
	switch {
	case r.All:
		some = "all of "
	case len(r.Values) == 1:
		some = ""
	}
	switch {
	case r.Kind == "scope":
		c.Text = "the token has the scope " + some + strings.Join(r.Values, ", ")
	case r.Kind == "claim" && len(r.Values) == 0:
		c.Text = "the claim " + r.Claim + " is there, and neither null, false nor empty"
	case r.Kind == "claim":
		c.Text = "the claim " + r.Claim + " is or holds " + some + strings.Join(r.Values, ", ")
	default:
		c.Text = "the expression " + r.Expr + " is true"
	}
	return c
}

// finish fills in what follows from all gates together.
func (r *contractRoute) finish() {
	for i := range r.Headers {
		r.Headers[i].absence(r)
	}
	r.example = r.exampleClaims()
	if got, err := r.run(r.example); err == nil {
		for i := range r.Headers {
			r.Headers[i].Example = got.value(r.Headers[i].Name)
		}
	}
	r.Answers = r.answers()
}

// absence says when the header is not there.
func (h *contractHeader) absence(r *contractRoute) {
	sub := !slices.ContainsFunc(r.Issuers, func(i contractIssuer) bool { return i.SubOptional })
	sure := h.Claim == "*" || h.Claim == "iss" || h.Claim == "exp" || h.Claim == "sub" && sub
	h.Absent = []string{}
	if !sure {
		h.Absent = append(h.Absent, "the claim is missing, null or empty")
	}
	scalar := h.Claim == "iss" || h.Claim == "sub" || h.Claim == "exp"
	switch {
	case h.Form == "text" && !scalar:
		h.Absent = append(h.Absent, "the claim is an array or an object")
	case h.Form == "join" && !scalar:
		h.Absent = append(h.Absent, "the claim is an object, or has an element that is empty, null, an array or an object")
	case h.Form == "utf8":
		h.Absent = append(h.Absent, "the claim has a control character or a blank at an end, or is an array or an object")
	}
	if h.TooLong == "left_out" && h.Claim != "exp" {
		h.Absent = append(h.Absent, fmt.Sprintf("the value is longer than %d bytes", h.MaxBytes))
	}
	switch r.Access {
	case "optional":
		h.Absent = append(h.Absent, "the request came without a token")
	case "observe":
		h.Absent = append(h.Absent, "the request came without a good token")
	}
	if r.Preflight {
		h.Absent = append(h.Absent, "the request is a CORS preflight")
	}
	bounded := h.Claim == "exp" || h.TooLong == "refused"
	h.Always = sure && bounded && r.Access == "token" && !r.Preflight && (h.Form != "utf8" || h.Claim == "exp")
	if h.Always {
		h.Absent = []string{}
	}
}

// answers lists what the gates of r answer by themselves, as docs/mobile.md has
// it.
func (r *contractRoute) answers() []contractAnswer {
	out := []contractAnswer{}
	if r.Access != "token" && r.Access != "optional" {
		return out
	}
	codes := []token.Code{token.CodeRequestInvalid, token.CodeTokenInvalid, token.CodeTokenNotYetValid, token.CodeTokenExpired, token.CodeTokenRevoked}
	if r.Access == "token" || slices.Contains(r.way.Handlers, "jwtgate_logout") {
		codes = slices.Insert(codes, 0, token.CodeTokenMissing)
	}
	scope := slices.ContainsFunc(r.Requirements, func(q contractRequirement) bool { return q.Kind == "scope" })
	denied := slices.ContainsFunc(r.Requirements, func(q contractRequirement) bool { return q.Kind != "scope" }) ||
		slices.ContainsFunc(r.Headers, func(h contractHeader) bool { return h.TooLong == "refused" })
	if scope {
		codes = append(codes, token.CodeInsufficientScope)
	}
	if denied {
		codes = append(codes, token.CodeAccessDenied)
	}
	for _, code := range append(codes, token.CodeKeysUnavailable, token.CodeRevocationUnavailable) {
		a := answers[code]
		out = append(out, contractAnswer{Status: a.status, Code: code, Title: a.title, Action: a.action, Retry: a.retry > 0})
	}
	return out
}
