package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// report puts what the walk found into words.
func (k *walk) report(o *explainOrder, b *beginning, w *answerRecorder) *explanation {
	x := &explanation{
		Request: o.described(b.scheme, b.host), Server: b.name, End: k.end,
		Gates: []explainedGate{}, Claims: map[string]json.RawMessage{}, Headers: []explainedHeader{}, Warnings: k.warnings,
	}
	in := k.scope
	if len(k.gates) > 0 {
		in = k.gates[0].scope
	}
	x.Route = k.label(in)
	labels := gateLabels(k.site.http)
	var last *gateWalk
	for _, g := range k.gates {
		x.Gates = append(x.Gates, k.gateReport(g, o, labels))
		x.Headers = append(x.Headers, k.headers(g, o.ShowClaims)...)
		if g.reached {
			last = g
		}
	}
	x.describe(k.token(o), o.ShowClaims)
	if x.Token != nil {
		x.Token.Verified = slices.ContainsFunc(k.gates, func(g *gateWalk) bool { return g.found != nil && g.found.Verified })
	}
	switch {
	case k.ungated:
		x.Verdict, x.Summary = "no_gate", "jwtgate_logout has no gate behind it: every logout is answered with 500."
		x.Answer = &explainedAnswer{Status: http.StatusInternalServerError, Headers: map[string][]string{}, Body: string(misconfigured.body)}
	case last == nil:
		x.Verdict, x.Summary = "no_gate", noGate(k.end)
	default:
		x.decide(last, k, w)
	}
	return x
}

// noGate is a finding by itself.
func noGate(end *explainedEnd) string {
	switch {
	case end == nil:
		return "No gate is on this route, and nobody answers it: the client gets an empty 200. Is the path right, and the host?"
	case end.Handler == "reverse_proxy":
		return "No gate is on this route: the backend is reached without a check, and headers are not cleaned."
	}
	return "No gate is on this route: " + end.Handler + " answers without a check."
}

// decide sums the gates up. last is the last one that was reached.
func (x *explanation) decide(last *gateWalk, k *walk, w *answerRecorder) {
	x.Verdict = last.result()
	for _, g := range k.gates {
		if r := g.result(); r == "observed" || r == "allowed" && x.Verdict != "observed" && last.passed {
			x.Verdict = r
		}
	}
	x.Allowed = last.passed
	reason := ""
	if refused := last.refusal(); refused != nil {
		reason = refused.Reason.String()
	}
	switch x.Verdict {
	case "allowed":
		x.Summary = "The request is let through."
	case "anonymous":
		x.Summary = "The request has no token and is let through as anonymous: the gate is optional."
	case "public":
		x.Summary = "The gate is public: no token is looked at, and the headers are cleaned."
	case "preflight":
		x.Summary = "This is a CORS preflight, which passes without a token."
	case "observed":
		x.Summary = "The gate observes only: the request is let through, and would be refused otherwise."
	case "undecided":
		x.Summary = "Nobody can tell offline: the signature could not be checked. Everything else is good."
	default:
		x.Summary = "The request is refused: " + reason + "."
		x.Answer = w.answer(last.reply)
	}
	if x.Allowed && x.End == nil {
		x.Warnings = append(x.Warnings, "nobody answers behind the gate: the client gets an empty 200")
	}
}

// refusal is why the gate refused, or would have.
func (g *gateWalk) refusal() *token.Refusal {
	switch {
	case g.found != nil:
		return g.found.Refused
	case g.extract != nil && g.result() != "preflight" && g.result() != "anonymous":
		return g.extract
	case g.reply != nil:
		return token.Refuse(token.TokenMissing, "a gate that verifies tokens", "a public one")
	}
	return nil
}

// result says what the gate did.
func (g *gateWalk) result() string {
	missing := g.extract != nil && g.extract.Reason == token.TokenMissing
	switch {
	case !g.reached:
		return "not_reached"
	case g.found != nil && g.found.Undecided && g.found.Refused == nil:
		return "undecided"
	case !g.passed:
		return "refused"
	case g.handler.Public:
		return "public"
	case g.found != nil && g.found.Identity != nil:
		return "allowed"
	case missing && g.preflight:
		return "preflight"
	case missing && g.handler.Optional && g.logout == nil:
		return "anonymous"
	}
	return "observed"
}

func (g *gateWalk) mode() string {
	switch {
	case g.handler.Public:
		return "public"
	case g.handler.Observe:
		return "observe"
	case g.handler.Optional:
		return "optional"
	}
	return "enforce"
}

// modes are the modes in words.
var modes = map[string]string{
	"public":   "looks at no token and only cleans headers",
	"observe":  "decides and counts, but lets every request through",
	"optional": "lets requests without a token through; a bad token is refused",
	"enforce":  "refuses what has no good token",
}

func (k *walk) gateReport(g *gateWalk, o *explainOrder, labels map[*Handler]string) explainedGate {
	out := explainedGate{Gate: cmp.Or(labels[g.handler], k.label(g.scope)), Mode: g.mode(), Note: modes[g.mode()], Result: g.result(), Steps: []explainedStep{}}
	if !g.reached {
		out.Steps = append(out.Steps, explainedStep{Step: "extract", Result: "skip", Note: "not reached: a gate before has refused"})
		return out
	}
	if refused := g.refusal(); refused != nil {
		out.Reason, out.Code = refused.Reason.String(), string(refused.Reason.Code())
	}
	out.Steps = append(out.Steps, g.extraction())
	if g.found == nil {
		return out
	}
	out.Issuer = g.found.Issuer
	for i := range g.found.Steps {
		out.Steps = append(out.Steps, k.step(g, &g.found.Steps[i], o.ShowClaims))
	}
	return out
}

// extraction is the step that finds the token.
func (g *gateWalk) extraction() explainedStep {
	s := explainedStep{Step: "extract", Expected: "one token: " + words(g.places())}
	switch {
	case g.handler.Public && g.passed:
		s.Result, s.Expected, s.Note = "skip", "", "the gate is public"
	case g.handler.Public:
		s.Result, s.Found, s.Hint = "fail", "a public gate", "behind jwtgate_logout a gate has to verify tokens: take `public` out there"
	case g.extract == nil:
		s.Result, s.Found = "pass", g.cred.place()
	default:
		s.Result, s.Found, s.Hint = "fail", cmp.Or(g.extract.Got, "none"), g.extractHint(g.extract)
		if g.extract.Want != "" {
			s.Expected = g.extract.Want
		}
		if r := g.result(); r == "anonymous" || r == "preflight" {
			s.Result, s.Hint, s.Note = "skip", "", map[string]string{
				"anonymous": "the gate is optional", "preflight": "a CORS preflight carries none"}[r]
		}
	}
	return s
}

// places names where the gate looks for a token.
func (g *gateWalk) places() []string {
	places := []string{"Authorization: Bearer"}
	for i := range g.handler.run.sources {
		places = append(places, (&credential{source: &g.handler.run.sources[i]}).place())
	}
	return places
}

// place names where the token was.
func (c *credential) place() string {
	switch {
	case c.source == nil:
		return "Authorization: Bearer"
	case c.source.Name == "":
		return c.source.From
	}
	return c.source.From + " " + c.source.Name
}

func (k *walk) step(g *gateWalk, s *gate.Step, show bool) explainedStep {
	out := explainedStep{Step: s.Step, Result: string(s.Result), Expected: s.Want, Found: s.Got, Note: s.Note}
	if s.Shape != "" && !show {
		out.Found = s.Shape
	}
	if s.Date.Present() {
		out.Found = dated(g.found, s)
	}
	refused, _ := s.Err.(*token.Refusal) //nolint:errorlint // a step's error is a refusal
	if s.Result == gate.Fail && refused != nil {
		out.Hint = g.hint(refused, g.cred.token)
	}
	if s.Step == "keys" && s.Result == gate.Pass {
		out.Found = keysFound(g.found)
	}
	if s.Step == "revocation" && g.found.Withdrawn != 0 {
		out.Found = strings.Join(k.withdrawals(g.found, show), "; ")
	}
	if s.Result == gate.Pass && !g.found.Verified && afterSignature[s.Step] {
		out.Note = strings.TrimSpace(out.Note + " by what the token says of itself; its signature is not known to hold")
	}
	return out
}

// afterSignature are the steps that a request with a bad signature never comes
// to.
var afterSignature = map[string]bool{"times": true, "revocation": true, "type": true, "required_claims": true, "binding": true,
	"audience": true, "rules": true, "forward": true}

// withdrawals describes the entries that withdraw the token.
func (k *walk) withdrawals(x *gate.Explanation, show bool) []string {
	var found []string
	ids := map[revocation.Kind]revocation.Digest{
		revocation.Token: x.IDs.Token, revocation.Session: x.IDs.Session, revocation.Subject: x.IDs.Subject,
		revocation.Client: x.IDs.Client, revocation.Issuer: x.IDs.Issuer,
	}
	for _, kind := range revocation.Kinds() {
		id := ids[kind]
		if id.IsZero() || k.site.list == nil {
			continue
		}
		e, err := k.site.list.Get(id)
		spared := kind >= revocation.Subject && !e.Cutoff.IsZero() && x.IDs.IssuedAt > e.Cutoff.UnixNano()
		if err != nil || !e.InForce() || spared {
			continue
		}
		text := fmt.Sprintf("%s revoked %s (%s)", kind, shortTime(e.RevokedAt), ago(x.Now, e.RevokedAt))
		if e.Via != "" {
			text += " via " + e.Via
		}
		if e.By != "" && (show || e.Via != viaLogout) {
			text += " by " + e.By
		}
		if e.Note != "" {
			text += fmt.Sprintf(", note %q", e.Note)
		}
		found = append(found, text+", id "+e.ID())
	}
	if len(found) == 0 {
		found = append(found, x.Withdrawn.String()+" revoked")
	}
	return found
}
