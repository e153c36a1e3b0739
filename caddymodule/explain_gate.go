package caddymodule

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// gateWalk is what one gate made of the request.
type gateWalk struct {
	handler *Handler
	scope   scope
	reached bool
	passed  bool
	cred    credential
	extract *token.Refusal // of find, TokenMissing included; nil: there is a token
	found   *gate.Explanation
	reply   *reply // of a gate that refused
	// preflight says that it may pass as a CORS preflight.
	preflight bool
	logout    *logoutMark // nil: the request is none
	schemed   bool        // there is an Authorization header
}

// judgeAloud stands in for the gate while a request is explained.
type judgeAloud struct {
	gate  *gate.Gate
	opts  gate.ExplainOptions
	found *gate.Explanation
}

// Check implements judge.
func (j *judgeAloud) Check(ctx context.Context, raw string, req policy.Request, opts gate.Options) (*gate.Identity, string, error) {
	o := j.opts
	o.Options = opts
	j.found = j.gate.Explain(ctx, raw, req, o)
	switch {
	case j.found.Refused != nil:
		return nil, j.found.Issuer, j.found.Refused
	case j.found.Identity == nil:
		return nil, j.found.Issuer, token.Refuse(token.KeysNeverObtained, "keys of the issuer", "not asked for")
	}
	return j.found.Identity, j.found.Issuer, nil
}

// aloud returns a gate that decides and answers as h does, but tells j instead
// of metrics, logs, reports and the verdict cache. What it shares with h is
// listed one by one, so that nothing that counts is shared by accident.
func (h *Handler) aloud(j *judgeAloud, errorRoutes *sync.Map) *Handler {
	run := h.run
	quiet := *h
	quiet.leases = nil
	quiet.run = &runtime{
		app: run.app, sources: run.sources, aliases: run.aliases, cors: run.cors, preflight: run.preflight, logUser: run.logUser,
		realm: run.realm, maxToken: run.maxToken, logger: zap.NewNop(), now: run.now, compiled: errorRoutes,
	}
	if real, ok := run.gate.(*gate.Gate); ok {
		j.gate = real
		quiet.run.gate = j
	}
	return &quiet
}

// gate has h decide about the request, and goes on also when it is refused, to
// see what stands behind.
func (k *walk) gate(h *Handler, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, in scope) error {
	g := &gateWalk{handler: h, scope: in}
	k.gates = append(k.gates, g)
	st := stateFor(r)
	if k.refused {
		st.gated = true
		return next.ServeHTTP(w, r)
	}
	g.reached, g.logout = true, st.logout
	h.look(r, st, g)
	j := &judgeAloud{opts: gate.ExplainOptions{Offline: k.site.offline}}
	if k.site.list == nil {
		j.opts.NoRevocation = notAsked
	}
	routes := new(sync.Map)
	if k.server.Errors != nil {
		routes.Store(k.server, k.errorRoutes())
	}
	method, target, uri, remote := r.Method, originalOf(r.URL), r.RequestURI, r.RemoteAddr
	err := h.aloud(j, routes).ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		g.passed, g.found = true, j.found
		return next.ServeHTTP(w, r)
	}))
	g.found = j.found
	if g.passed {
		return err
	}
	g.reply, k.refused = st.reply, true
	// Error routes are given the request as it came.
	r.Method, r.URL, r.RequestURI, r.RemoteAddr = method, target, uri, remote
	_ = next.ServeHTTP(new(answerRecorder), r) // the answer is given
	return nil
}

// look finds the token as ServeHTTP does, in a copy of the request: what finds
// one may take it out.
func (h *Handler) look(r *http.Request, st *requestState, g *gateWalk) {
	if h.Public {
		return
	}
	same := r.Clone(r.Context())
	state := *st
	clean(same, h.run.app.managed(), state.keep())
	dropAliases(same.Header, h.run)
	g.preflight = h.run.preflight && isPreflight(same)
	g.schemed = len(same.Header["Authorization"]) > 0
	g.cred, g.extract = h.find(same, &state)
}

// errorRoutes stands for the server's error routes behind a refusal. Only what
// answers by itself is run.
func (k *walk) errorRoutes() caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		e := &walk{site: k.site, server: k.server, groups: map[string]bool{}, refused: true}
		own := caddyhttp.HandlerFunc(writeReply)
		return e.answers(k, k.server.Errors.Routes, own).ServeHTTP(w, r)
	})
}

// answers is routes for error routes: fixed responses are given.
func (k *walk) answers(parent *walk, list caddyhttp.RouteList, next caddyhttp.Handler) caddyhttp.Handler {
	for i := len(list) - 1; i >= 0; i-- {
		route, after := list[i], next
		handlers := make([]caddyhttp.MiddlewareHandler, len(route.Handlers))
		for n, h := range route.Handlers {
			handlers[n] = &answering{walk: k, parent: parent, handler: h}
		}
		route.Handlers = handlers
		next = k.route(&route, after, scope{})
	}
	return next
}

// answering is a handler of an error route.
type answering struct {
	walk    *walk
	parent  *walk
	handler caddyhttp.MiddlewareHandler
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch h := a.handler.(type) {
	case *caddyhttp.StaticResponse:
		if h.Abort {
			a.parent.warn("handle_errors closes the connection instead of answering")
			return nil
		}
		return h.ServeHTTP(w, r, next)
	case *caddyhttp.Subroute:
		return a.walk.answers(a.parent, h.Routes, next).ServeHTTP(w, r)
	case *Handler, *Logout:
		return next.ServeHTTP(w, r)
	}
	switch id := moduleID(a.handler); id {
	case "http.handlers.vars", "http.handlers.map", "http.handlers.headers", "http.handlers.rewrite":
		return a.walk.handler(a.handler, next, scope{}).ServeHTTP(w, r)
	case "http.handlers.encode", "http.handlers.tracing", "http.handlers.log_append":
		return next.ServeHTTP(w, r)
	default:
		a.parent.warn("handle_errors answers with %s, which was not run: the client may see another body than the one shown", shortID(id))
		return nil
	}
}

// answerRecorder keeps an answer.
type answerRecorder struct {
	header http.Header
	status int
	sent   http.Header // as of the status
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answerRecorder) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answerRecorder) WriteHeader(status int) {
	if a.status == 0 && !informational(status) {
		a.status, a.sent = status, a.Header().Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answerRecorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	const most = 64 << 10
	if room := most - a.body.Len(); room > 0 {
		a.body.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// originalOf keeps a URL apart from what handlers do to it.
func originalOf(u *url.URL) *url.URL {
	c := *u
	return &c
}
