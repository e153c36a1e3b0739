package caddymodule

import (
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/jwtgate/jwtgate/token"
)

// refuse counts, logs and answers. The answer is complete when it returns, so
// that Caddy sees a handled request and not an error.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, st *requestState, cred credential, issuer string, refused *token.Refusal) error {
	run := h.run
	st.reject(r, refused.Reason)
	st.reply = run.reply(refused)
	result := "deny"
	if st.reply.status == http.StatusServiceUnavailable {
		result = "error"
	}
	run.decided(st, result, refused.Reason, issuer)
	h.logRefusal("request refused", r, cred, issuer, refused)

	st.reply.announce(w.Header())
	run.allowOrigin(w.Header(), r)
	answerBeforeBody(w.Header(), r)
	switch {
	case isGRPC(r):
		st.reply.writeGRPC(w)
	case !run.answeredByErrorRoutes(w, r, st):
		st.reply.write(w, r)
	}
	return nil
}

// smallBody is how long a declared body may be, in bytes, that costs a refused
// client no new connection.
const smallBody = 64 << 10

// answerBeforeBody sees to it that the answer does not wait for the body. Over
// HTTP/1.1 net/http reads up to 256 KiB of what is left before it sends a
// response, unless the connection is going to be closed. (Full duplex is no way
// out: net/http fails on the next request when the body of this one was left
// unread.)
func answerBeforeBody(header http.Header, r *http.Request) {
	if r.ProtoMajor == 1 && (r.ContentLength < 0 || r.ContentLength > smallBody || awaitsContinue(r)) {
		header["Connection"] = []string{"close"}
	}
}

// awaitsContinue reports whether the client waits for us to ask for the body.
// net/http closes such a connection by itself instead of waiting for a body
// that does not come, but not when a wrapped body hides from it what it is, as
// Caddy's is: the answer would be held back until a timeout.
func awaitsContinue(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ContentLength != 0 && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
}

// observe counts and logs a refusal that does not happen. Identity and headers
// that earlier gates left stay.
func (h *Handler) observe(r *http.Request, st *requestState, cred credential, issuer, client string, refused *token.Refusal) {
	st.reason = refused.Reason
	h.run.decided(st, "observe", refused.Reason, issuer)
	h.run.observed.refuse(refused.Reason, issuer, client)
	h.logRefusal("request would be refused", r, cred, issuer, refused)
}
