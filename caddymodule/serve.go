package caddymodule

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// ServeHTTP decides about one request. It answers refused ones itself, without
// reading their body, and returns what next returns for the others.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	run := h.run
	st := stateFor(r)
	st.gated = true
	st.hideUser = st.hideUser || !run.logUser
	st.logout.saw(run)

	clean(r, run.app.managed(), st.keep())

	if h.Public {
		if st.wantsIdentity() {
			return h.refuse(w, r, st, credential{}, "", token.Refuse(token.TokenMissing, "a gate that verifies tokens", "a public one"))
		}
		run.decided(st, "public", token.ReasonNone, "")
		return st.pass(w, r, next)
	}

	dropAliases(r.Header, run)
	cred, refused := h.find(r, st)
	if refused != nil && refused.Reason == token.TokenMissing {
		switch {
		case run.preflight && isPreflight(r):
			dropMethodOverrides(r)
			run.decided(st, "preflight", token.ReasonNone, "")
			run.observed.pass()
			return st.pass(w, r, next)
		case h.Optional && !st.wantsIdentity():
			run.decided(st, "anonymous", token.ReasonNone, "")
			run.observed.pass()
			cred.greet(w)
			return st.pass(w, r, next)
		}
	}

	var id *gate.Identity
	var issuer, client string
	if refused == nil {
		id, issuer, client, refused = h.check(r, st, cred)
	}
	if refused != nil && !h.Observe {
		return h.refuse(w, r, st, cred, issuer, refused)
	}
	if refused != nil {
		if cred.token == "" && refused.Reason != token.TokenMissing {
			st.spoiled, st.spoiledBy = refused, run.sources
		}
		h.observe(r, st, cred, issuer, client, refused)
	} else {
		run.decided(st, "allow", token.ReasonNone, issuer)
		run.observed.pass()
		st.accept(id)
		if watch := run.lifetimes[issuer]; watch != nil {
			watch.accepted(id.Claims.Expires)
		}
		forward(r, id.Headers)
	}

	h.take(r, st, cred)
	if cred.source != nil && (cred.source.From == "query" || cred.source.From == "cookie") {
		w = &privateWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	}
	cred.greet(w)
	return st.pass(w, r, next)
}

// find is extract that knows of a token which an earlier gate took out of the
// request. This gate sees it if it would have found it there.
func (h *Handler) find(r *http.Request, st *requestState) (credential, *token.Refusal) {
	cred, refused := h.extract(r)
	if refused == nil && cred.token == "" {
		refused = token.Refuse(token.TokenMissing, "a Bearer token", "")
	}
	if st.spoiled != nil {
		for i := range st.spoiledBy {
			if s := &st.spoiledBy[i]; s.leavesRequest() && h.reads(s) {
				return credential{}, st.spoiled
			}
		}
	}
	if st.taken.token == "" || !h.reads(st.taken.source) {
		return cred, refused
	}
	switch {
	case refused == nil:
		return credential{}, token.Refuse(token.TokenDuplicate, "one token", "two")
	case refused.Reason == token.TokenMissing:
		return st.taken, nil
	}
	return cred, refused
}

// reads reports whether this gate accepts tokens from source.
func (h *Handler) reads(source *TokenSource) bool {
	if source == nil {
		return true
	}
	for i := range h.run.sources {
		own := &h.run.sources[i]
		if own.From == source.From && own.Name == source.Name && slices.Equal(own.Origins, source.Origins) {
			return true
		}
	}
	return false
}

// check asks the gate. What is neither an identity nor a refusal refuses. client
// is who asked for the token, if this gate observes and the signature held.
func (h *Handler) check(r *http.Request, st *requestState, cred credential) (_ *gate.Identity, issuer, client string, _ *token.Refusal) {
	var opts gate.Options
	if st.logout != nil {
		opts.AllowExpired = st.logout.AllowExpired
	}
	if h.run.observed != nil {
		st.client = ""
		opts.Client = &st.client
	}
	st.view = requestView{r: r}
	id, issuer, err := h.run.gate.Check(r.Context(), cred.token, &st.view, opts)
	if err == nil && id != nil {
		return id, issuer, st.client, nil
	}
	refused, ok := err.(*token.Refusal) //nolint:errorlint // the way without allocation
	if ok && refused != nil || errors.As(err, &refused) && refused != nil {
		return nil, issuer, st.client, refused
	}
	return nil, issuer, st.client, &token.Refusal{Reason: token.TokenMalformed, Err: err}
}

// forward sets the headers for the backend. Handlers behind us edit values in
// place, so every request has strings of its own slice, each cut off from the
// next (capacity 1).
func forward(r *http.Request, headers []gate.Header) {
	if len(headers) == 0 {
		return
	}
	values := make([]string, len(headers))
	for i := range headers {
		values[i] = headers[i].Value
		r.Header[headers[i].Name] = values[i : i+1 : i+1]
	}
}

// take removes the token from the request if the gate is told to. What is gone
// from there, as tokens in the query and among subprotocols always are, later
// gates still have to know.
func (h *Handler) take(r *http.Request, st *requestState, cred credential) {
	if cred.token == "" {
		return
	}
	if h.StripToken || cred.source != nil && cred.source.leavesRequest() {
		stripToken(r, cred)
		st.taken = cred
	}
}

// Interface guards.
var _ caddyhttp.MiddlewareHandler = (*Handler)(nil)
