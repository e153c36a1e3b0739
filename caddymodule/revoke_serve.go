package caddymodule

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// viaRevoke is the way in of the endpoint, as entries and metrics name it.
const viaRevoke = "revoke"

// maxRevokeBody is the longest body of a request, in bytes.
const maxRevokeBody = 64 << 10

// revokeCaller is who calls.
type revokeCaller struct {
	name string
	// issuer is whose tokens it may revoke; empty: everybody's.
	issuer string
}

// ServeHTTP answers the request itself. No body is read before the caller is
// known.
func (v *Revoke) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problem(codeMethod, "allowed here: POST").write(w)
		return nil
	}
	if v.gate != nil {
		return v.gate.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			id := stateFor(r).id
			name := id.Claims.ClientID
			if name == "" {
				name = id.Claims.Subject
			}
			v.run.serve(w, r, revokeCaller{name: callerWord(name), issuer: id.Claims.Issuer})
			return nil
		}))
	}
	if !v.run.secret.opens(r) {
		v.run.refuse(w, r)
		return nil
	}
	v.run.serve(w, r, revokeCaller{name: callerWord(newRequestView(r).ClientIP())})
	return nil
}

// refuse answers a caller who does not show the secret (RFC 6749 section 5.2).
func (run *revokeRuntime) refuse(w http.ResponseWriter, r *http.Request) {
	if c := run.logger.Check(zap.DebugLevel, "caller refused"); c != nil {
		c.Write(zap.String("client_ip", bounded(newRequestView(r).ClientIP())))
	}
	challenge := `Bearer realm="` + revokeRealm + `"`
	if len(r.Header["Authorization"]) > 0 {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answerBeforeBody(w.Header(), r)
	if form, _ := revokeForm(r); form {
		writeOAuthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	(&adminProblem{Type: adminProblemTypes + "caller_unauthorized", Title: "The caller is not known",
		Status: http.StatusUnauthorized, Code: "caller_unauthorized"}).write(w)
}

// revokeForm tells a form (RFC 7009) from JSON.
func revokeForm(r *http.Request) (form, object bool) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.Header.Get("Content-Encoding") != "" {
		return false, false
	}
	return t == "application/x-www-form-urlencoded", t == "application/json"
}

// serve reads what a known caller wants and does it.
func (run *revokeRuntime) serve(w http.ResponseWriter, r *http.Request, from revokeCaller) {
	form, object := revokeForm(r)
	if !form && !object {
		problem(codeMediaType, "send Content-Type: application/x-www-form-urlencoded with a token, or application/json").write(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRevokeBody))
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			problemf(codeTooLarge, "the body has more than %d bytes", maxRevokeBody).write(w)
			return
		}
		problem(codeInvalid, "the body could not be read to its end").write(w)
		return
	}
	list, release := run.app.list.open()
	defer release()
	view := &adminView{list: list, issuers: run.app.trusts.list(), circumstances: run.app.circumstances, fed: run.app.list.fed, now: run.now}
	if form {
		run.serveForm(w, r, from, view, string(body))
		return
	}
	if err := run.serveJSON(w, r, from, view, body); err != nil {
		revokeProblem(err).write(w)
	}
}

// serveForm revokes a token (RFC 7009). token_type_hint is only a hint, and we
// know one type.
func (run *revokeRuntime) serveForm(w http.ResponseWriter, r *http.Request, from revokeCaller, view *adminView, body string) {
	values, err := url.ParseQuery(body)
	// Parameters must not be repeated (RFC 6749 section 3.2).
	if err != nil || len(values["token"]) != 1 || values["token"][0] == "" || len(values["token_type_hint"]) > 1 {
		writeOAuthError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	t, err := view.verify(r.Context(), values["token"][0])
	if unavailable(err) {
		// Neither known nor unknown: 200 would be a promise.
		problem(codeNoKeys, "without the issuer's keys nobody can tell whether the token is genuine; try again").write(w)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	now := run.now()
	c := run.app.circumstances(t.Claims.Issuer, now)
	if !now.Before(t.Claims.Expires.Time().Add(c.Skew + c.AllowExpired)) {
		w.WriteHeader(http.StatusOK) // nothing is left of it
		return
	}
	if from.issuer != "" && from.issuer != t.Claims.Issuer {
		// RFC 7009 section 2.1: refused, and the caller is informed.
		writeOAuthError(w, http.StatusForbidden, "access_denied")
		return
	}
	e, _ := revocation.FromToken(revocation.Token, t, c)
	outlast(&e, c)
	if _, err := run.revoke(r.Context(), view.list, e, from); err != nil {
		revokeProblem(err).write(w)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// serveJSON revokes by name, or what a token names.
func (run *revokeRuntime) serveJSON(w http.ResponseWriter, r *http.Request, from revokeCaller, view *adminView, body []byte) error {
	m := readMembers(body, askedMembers...)
	var a asked
	if m.whole() {
		a = readAsked(m)
	}
	if err := faulty(m.faults); err != nil {
		return err
	}
	if from.issuer != "" && a.kind == revocation.Issuer {
		return errNotYours
	}
	now := run.now()
	e := view.entry(r.Context(), a, m, now)
	if err := faulty(m.faults); err != nil {
		return err
	}
	if from.issuer != "" && e.Issuer != from.issuer {
		return errNotYours
	}
	outlast(&e, run.app.circumstances(e.Issuer, now))
	result, err := run.revoke(r.Context(), view.list, e, from)
	if err != nil {
		p := revokeProblem(err)
		if errors.Is(err, revocation.ErrNotDurable) {
			p.Revocation = answerOf(result)
		}
		return p
	}
	answer := answerOf(result)
	answer.Fed = view.isFed(r.Context())
	writeAdminJSON(w, "application/json", statusFor(answer.Fed), answer)
	return nil
}

// errNotYours refuses what belongs to others.
var errNotYours = &adminProblem{Type: adminProblemTypes + "caller_forbidden", Title: "The caller may not do this", Status: http.StatusForbidden,
	Code: "caller_forbidden", Detail: "a caller with a token revokes what belongs to its own issuer, and not all of it"}

// revoke puts e in force and on disk.
func (run *revokeRuntime) revoke(ctx context.Context, list adminList, e revocation.Entry, from revokeCaller) (revocation.Result, error) {
	e.Via, e.By = viaRevoke, from.name
	e.RevokedAt = run.now()
	if err := e.Validate(); err != nil {
		m := new(members)
		m.entryFaults(err)
		return revocation.Result{}, faulty(m.faults)
	}
	// Now, or after an undoing that a faster clock dated ahead.
	e.RevokedAt = time.Time{}
	ctx, cancel := detached(ctx)
	defer cancel()
	return list.Revoke(ctx, e)
}

// revokeProblem is the answer to err for a backend, which hears nothing of our
// disk.
func revokeProblem(err error) *adminProblem {
	var p *adminProblem
	var refused *token.Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, revocation.ErrNotDurable):
		return problem(codeNotDurable, "it is in force on this gateway until the process ends; send it again")
	case errors.Is(err, revocation.ErrClosed):
		return problem(codeLoading, "the revocation list is not open; send it again")
	case errors.As(err, &refused):
		return problem(codeLoading, "send it again in a moment")
	}
	return problem(codeInternal, "")
}

// writeOAuthError sends an error as RFC 6749 section 5.2 has it.
func writeOAuthError(w http.ResponseWriter, status int, code string) {
	writeAdminJSON(w, "application/json", status, struct {
		Error string `json:"error"`
	}{code})
}
