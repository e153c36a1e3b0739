package caddymodule

import (
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// stateVar is where the state of a request is kept in Caddy's table of
// variables. That costs nothing; a value in the context would cost a copy of
// the request.
const stateVar = "jwtgate.state"

// requestState is what our handlers on one request know of each other. The
// first of them makes it. It belongs to the request's goroutine.
type requestState struct {
	// id is who the last gate that verified a token let through; nil on
	// anonymous and on refused requests.
	id *gate.Identity
	// reason is why the last gate refused, or would have; ReasonNone otherwise.
	reason token.Reason
	// gated says that some gate saw the request.
	gated bool
	// hideUser keeps the user id out of the access log.
	hideUser bool
	// set are the headers that gates set for the backend.
	set []gate.Header
	// taken is the token that a gate took out of the request.
	taken credential
	// spoiled is why a gate that only observes could not make out the token, and
	// spoiledBy the places it looked at: what it took from query and
	// subprotocols, later gates cannot see.
	spoiled   *token.Refusal
	spoiledBy []TokenSource
	// logout is set by a logout handler ahead of the gates.
	logout *logoutMark
	// reply is our answer, once there is one.
	reply *reply

	// result is one of results, issuer the configured issuer that was chosen: of
	// the last decision, for the access log.
	result, issuer string

	// client is who asked for the token, in a gate that observes: here, where
	// its address costs no allocation.
	client string

	view   requestView
	stream streamWriter
	repl   *caddy.Replacer
}

// logoutMark makes a request a logout.
type logoutMark struct {
	// AllowExpired is by how much a genuine token may be past exp.
	AllowExpired time.Duration
	// gate is the last gate that saw the request behind the mark.
	gate *runtime
	// ids are whom gates behind the mark let through, once each.
	ids []*gate.Identity
	// outer is the mark of a logout before this one, nil if there is none.
	outer *logoutMark
}

// saw takes note of a gate.
func (m *logoutMark) saw(run *runtime) {
	for ; m != nil; m = m.outer {
		m.gate = run
	}
}

// accept takes note of whom a gate let through.
func (m *logoutMark) accept(id *gate.Identity) {
	for ; m != nil; m = m.outer {
		if !slices.ContainsFunc(m.ids, func(known *gate.Identity) bool { return known.Issuer == id.Issuer && known.IDs == id.IDs }) {
			m.ids = append(m.ids, id)
		}
	}
}

// reject forgets whom gates let through before one refused.
func (m *logoutMark) reject() {
	for ; m != nil; m = m.outer {
		m.ids = nil
	}
}

// String keeps the state out of {http.vars.*}.
func (*requestState) String() string { return "" }

// stateFor returns the state of r. The first call makes it and registers our
// placeholders.
func stateFor(r *http.Request) *requestState {
	ctx := r.Context()
	if st, ok := caddyhttp.GetVar(ctx, stateVar).(*requestState); ok {
		return st
	}
	st := new(requestState)
	caddyhttp.SetVar(ctx, stateVar, st)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		st.repl = repl
		repl.Map(st.placeholder)
	}
	st.tellAccessLog(r)
	return st
}

// wantsIdentity reports whether the request is a logout of nobody so far.
func (st *requestState) wantsIdentity() bool { return st.logout != nil && st.id == nil }

// accept remembers what a gate let through.
func (st *requestState) accept(id *gate.Identity) {
	st.id, st.reason = id, token.ReasonNone
	st.logout.accept(id)
	if len(st.set) == 0 {
		st.set = id.Headers[:len(id.Headers):len(id.Headers)]
		return
	}
	st.set = append(st.set[:len(st.set):len(st.set)], id.Headers...)
}

// reject forgets what earlier gates let through: error routes may send the
// request to a backend, too.
func (st *requestState) reject(r *http.Request, reason token.Reason) {
	for i := range st.set {
		delete(r.Header, st.set[i].Name)
	}
	st.id, st.set, st.reason = nil, nil, reason
	st.logout.reject()
}

// keep returns the names of the headers that are a gate's, not the client's.
func (st *requestState) keep() []string {
	if len(st.set) == 0 {
		return nil
	}
	names := make([]string, len(st.set))
	for i := range st.set {
		names[i] = st.set[i].Name
	}
	return names
}
