package caddymodule

import (
	"encoding/json"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/revocation"
)

// explanation is what would become of a request, and why: the answer of the
// admin API and the output of `caddy jwtgate explain --json`. Names in it are
// public.
type explanation struct {
	// Allowed says that there is a gate on the route and that every one lets the
	// request through.
	Allowed bool `json:"allowed"`
	// Verdict is allowed, anonymous, public, preflight, observed, refused,
	// undecided or no_gate.
	Verdict string `json:"verdict"`
	Summary string `json:"summary"`

	Request explainedRequest `json:"request"`
	Server  string           `json:"server,omitempty"`
	Route   string           `json:"route"`
	End     *explainedEnd    `json:"end"` // null: nobody answers

	Gates    []explainedGate            `json:"gates"`
	Token    *explainedToken            `json:"token"` // null: none, or not readable
	Claims   map[string]json.RawMessage `json:"claims"`
	Headers  []explainedHeader          `json:"headers"`
	Answer   *explainedAnswer           `json:"answer"` // null: none of ours
	Warnings []string                   `json:"warnings"`
}

// explainedRequest is the request as it was put together.
type explainedRequest struct {
	Method   string `json:"method"`
	Scheme   string `json:"scheme"`
	Host     string `json:"host"`
	Path     string `json:"path"`
	RemoteIP string `json:"remote_ip"`
}

// explainedEnd is the handler that answers requests that pass.
type explainedEnd struct {
	Handler   string   `json:"handler"`
	Upstreams []string `json:"upstreams,omitempty"`
}

// explainedGate is one gate on the way.
type explainedGate struct {
	Gate   string `json:"gate"`
	Mode   string `json:"mode"` // enforce, observe, optional, public
	Note   string `json:"note"` // the mode in words
	Issuer string `json:"issuer"`
	// Result is allowed, anonymous, public, preflight, observed, refused,
	// undecided or not_reached.
	Result string          `json:"result"`
	Reason string          `json:"reason,omitempty"`
	Code   string          `json:"code,omitempty"`
	Steps  []explainedStep `json:"steps"`
}

// explainedStep is one check.
type explainedStep struct {
	Step     string `json:"step"`
	Result   string `json:"result"` // pass, fail, skip
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Note     string `json:"note"`
	Hint     string `json:"hint,omitempty"` // what to do about it
}

// explainedToken is what the token says of itself.
type explainedToken struct {
	Alg string `json:"alg"`
	Kid string `json:"kid,omitempty"`
	Typ string `json:"typ,omitempty"`
	// Verified says that a gate checked the signature and that it holds.
	Verified bool `json:"verified"`
}

// explainedHeader is one header that a gate forwards.
type explainedHeader struct {
	Name   string `json:"name"`
	Claim  string `json:"claim"`
	Form   string `json:"form"`
	Value  string `json:"value,omitempty"` // when values are asked for
	Absent string `json:"absent,omitempty"`
}

// explainedAnswer is what the client would see.
type explainedAnswer struct {
	Status  int                 `json:"status"`
	Code    string              `json:"code,omitempty"`
	Action  string              `json:"action,omitempty"`
	Headers map[string][]string `json:"headers"`
	Body    string              `json:"body"`
}

// explainSite is a provisioned configuration to explain requests with.
type explainSite struct {
	http *caddyhttp.App
	// list is asked for the entry behind a revocation; nil: the list is not
	// asked at all.
	list interface {
		Get(id revocation.Digest) (revocation.Entry, error)
	}
	// offline says that no issuer is asked.
	offline bool
	now     func() time.Time
}

// notAsked is why a configuration that does not run knows of no revocation.
const notAsked = "not asked: the running gateway holds the list; ask it with --address instead of --config"
