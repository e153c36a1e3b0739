package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// viaLogout is the way in of a logout, as entries and metrics name it.
const viaLogout = "logout"

// ServeHTTP marks the request as a logout, lets gate and backend answer, and
// revokes before a 2xx goes out.
func (l *Logout) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	st := stateFor(r)
	outer, gated, id := st.logout, st.gated, st.id
	mark := &logoutMark{AllowExpired: l.run.allowExpired, outer: outer}
	if outer != nil {
		mark.AllowExpired = max(mark.AllowExpired, outer.AllowExpired)
	}
	// Whom a gate before us let through is none of our business: that gate did
	// not know of the logout.
	st.logout, st.gated, st.id = mark, false, nil
	list, release := l.run.app.list.open()
	defer release()
	defer func() {
		st.logout, st.gated = outer, st.gated || gated
		if st.id == nil && st.reason == token.ReasonNone {
			st.id = id
		}
	}()
	ctx, cancel := stay(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	lw := &logoutWriter{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		before:                w.Header().Clone(),
		settle: func(w http.ResponseWriter, before http.Header, status int) (replaced bool) {
			return l.run.settle(w, r, st, mark, list, before, status)
		},
	}
	if err := next.ServeHTTP(lw, r); err != nil {
		return err
	}
	lw.finish()
	return nil
}

// stayFor is how much longer a backend may take after the client has left.
const stayFor = 30 * time.Second

// stay returns a context that a client who leaves does not end at once: an app
// that says goodbye and closes its connection has logged out.
func stay(ctx context.Context) (context.Context, context.CancelFunc) {
	staying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(stayFor)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-staying.Done():
		}
	})
	return staying, func() {
		stop()
		cancel()
	}
}

// settle does what has to be done before the status goes to the client, and
// reports whether it answered in the backend's place. before are the headers
// from before the backend.
func (run *logoutRuntime) settle(w http.ResponseWriter, r *http.Request, st *requestState, mark *logoutMark, list *openList, before http.Header, status int) (replaced bool) {
	if !st.gated && status < 400 && status != http.StatusSwitchingProtocols {
		run.misplaced(w, r, before)
		return true
	}
	if !succeeded(r, w.Header(), status) {
		return false
	}
	ctx, cancel := detached(r.Context())
	defer cancel()
	var errs collector
	for _, id := range mark.ids {
		errs.check(run.revoke(ctx, list, id))
	}
	if len(errs) == 0 {
		return false
	}
	restore(w.Header(), before, readable)
	run.unavailable(w, r, st, mark.gate)
	return true
}

// succeeded reports whether the backend says that the logout is done. A gRPC
// status comes with HTTP 200, and in the header when there is no message.
func succeeded(r *http.Request, header http.Header, status int) bool {
	if status < 200 || status > 299 {
		return false
	}
	code := header.Get("Grpc-Status")
	return !isGRPC(r) || code == "" || code == "0"
}

// revoke withdraws what the token of id stands for.
func (run *logoutRuntime) revoke(ctx context.Context, list *openList, id *gate.Identity) error {
	c := run.app.circumstances(id.Claims.Issuer, run.now())
	e, fellBack := revocation.FromToken(run.kind, id.Token, c)
	outlast(&e, c)
	e.Via, e.By = viaLogout, callerWord(id.Claims.Subject)
	if fellBack {
		revocationMetrics.fallbacks.WithLabelValues(run.kind.String()).Inc()
		if !run.fellBack.Swap(true) {
			run.logger.Warn("a token lacks the claim for the kind of logout, so the token alone was revoked; it is counted in jwtgate_revocation_fallbacks_total",
				zap.Stringer("kind", run.kind), zap.String("issuer", id.Issuer))
		}
	}
	// Now, or after an undoing that a faster clock dated ahead.
	e.RevokedAt = time.Time{}
	_, err := list.Revoke(ctx, e)
	switch {
	case errors.Is(err, revocation.ErrNotDurable):
		// What is not on disk yet, the list tells of by itself.
	case err == nil:
		if run.failing.Load() && run.failing.Swap(false) {
			run.logger.Info("logouts are revoked again")
		}
	case !run.failing.Swap(true):
		run.logger.Error("logout failed: nothing was revoked", zap.Stringer("kind", run.kind), zap.String("issuer", id.Issuer), zap.Error(err))
	}
	return err
}

// unavailable answers 503 in the backend's place, as the gate would.
func (run *logoutRuntime) unavailable(w http.ResponseWriter, r *http.Request, st *requestState, by *runtime) {
	a := answers[token.CodeRevocationUnavailable]
	st.reason = token.RevocationLoading
	st.reply = &reply{answer: a, retryAfter: a.retry}
	st.reply.announce(w.Header())
	if by != nil {
		by.allowOrigin(w.Header(), r)
	}
	if isGRPC(r) {
		st.reply.writeGRPC(w)
		return
	}
	// The error routes rewrite the request, which the backend's handler still
	// uses.
	again := r.WithContext(r.Context())
	again.URL = new(url.URL)
	*again.URL = *r.URL
	if by == nil || !by.answeredByErrorRoutes(w, again, st) {
		st.reply.write(w, r)
	}
}

// misplaced answers 500: what is configured as a logout logs nobody out.
func (run *logoutRuntime) misplaced(w http.ResponseWriter, r *http.Request, before http.Header) {
	if !run.ungated.Swap(true) {
		run.logger.Error("jwtgate_logout: no gate behind it saw the request, so nobody could be logged out and the answer was replaced by a 500; jwtgate has to match the same request and, within a route block, to stand after jwtgate_logout",
			zap.String("host", bounded(r.Host)), zap.String("path", bounded(r.URL.Path)))
	}
	restore(w.Header(), before, func(string) bool { return false })
	a := &reply{answer: misconfigured}
	a.announce(w.Header())
	a.write(w, r)
}

// misconfigured has no code: it is nothing that an app could act on.
var misconfigured = &answer{
	status: http.StatusInternalServerError,
	body:   []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`),
}

// restore makes header what it was before the backend answered, but for what
// keep says: the backend's cookies do not belong to an answer that says that
// nothing was done.
func restore(header, before http.Header, keep func(name string) bool) {
	for name := range header {
		if _, ok := before[name]; !ok && !keep(name) {
			delete(header, name)
		}
	}
	for name, values := range before {
		if !keep(name) {
			header[name] = values
		}
	}
}

// readable reports whether a page of another origin needs the header to read
// the answer.
func readable(name string) bool {
	return name == "Vary" || strings.HasPrefix(name, "Access-Control-")
}

// maxCaller is how long the name of a caller may be in an entry, in bytes.
const maxCaller = 250

// callerWord cuts the name of a caller, between characters.
func callerWord(name string) string {
	name = strings.ToValidUTF8(name, "?")
	if len(name) <= maxCaller {
		return name
	}
	end := maxCaller - len("...")
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "..."
}
