package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// answer is what a client hears for one code. docs/mobile.md is the contract.
type answer struct {
	status int
	title  string
	action string
	grpc   int    // https://grpc.io/docs/guides/status-codes/
	oauth  string // error parameter of the challenge (RFC 6750 section 3.1)
	retry  int64  // seconds, where the refusal knows none
	code   token.Code
	body   []byte
	length string // of body, as Content-Length says it; empty: not counted yet
}

// answers is the one table of what codes mean for clients.
var answers = map[token.Code]*answer{
	token.CodeTokenMissing:          {status: 401, title: "No access token came with the request", action: "login", grpc: 16},
	token.CodeRequestInvalid:        {status: 400, title: "The request carries its access token in a wrong way", action: "none", grpc: 3, oauth: "invalid_request"},
	token.CodeTokenInvalid:          {status: 401, title: "The access token is not valid here", action: "refresh", grpc: 16, oauth: "invalid_token"},
	token.CodeTokenNotYetValid:      {status: 401, title: "The access token is not valid yet", action: "retry", grpc: 16, oauth: "invalid_token", retry: 1},
	token.CodeTokenExpired:          {status: 401, title: "The access token has expired", action: "refresh", grpc: 16, oauth: "invalid_token"},
	token.CodeTokenRevoked:          {status: 401, title: "The access token has been revoked", action: "login", grpc: 16, oauth: "invalid_token"},
	token.CodeInsufficientScope:     {status: 403, title: "The access token lacks a required scope", action: "none", grpc: 7, oauth: "insufficient_scope"},
	token.CodeAccessDenied:          {status: 403, title: "The access token does not allow this request", action: "none", grpc: 7, oauth: "insufficient_scope"},
	token.CodeKeysUnavailable:       {status: 503, title: "The keys that verify access tokens are not available", action: "retry", grpc: 14, retry: 5},
	token.CodeRevocationUnavailable: {status: 503, title: "The list of revoked access tokens is not available", action: "retry", grpc: 14, retry: 5},
}

// maxRetryAfter keeps an app from going to sleep over a token whose nbf is far
// away: it may get another one meanwhile.
const maxRetryAfter = 300

const problemTypes = "https://github.com/jwtgate/jwtgate/blob/main/docs/mobile.md#"

func init() {
	for code, a := range answers {
		a.code = code
		body, err := json.Marshal(struct {
			Type   string     `json:"type"`
			Title  string     `json:"title"`
			Status int        `json:"status"`
			Code   token.Code `json:"code"`
			Action string     `json:"action"`
		}{problemTypes + string(code), a.title, a.status, code, a.action})
		if err != nil {
			panic(fmt.Sprintf("answer %s: %v", code, err))
		}
		a.body, a.length = body, strconv.Itoa(len(body))
	}
}

// reply is our answer to one request. Nothing in it comes from the token.
type reply struct {
	*answer
	challenge  string // empty: none
	retryAfter int64  // seconds; 0: none

	// lines are the values of the answer's headers. Handlers around us edit
	// values in place, so that no two answers may share them.
	lines [5]string
	used  int
}

// line returns value as that of a header, in memory of the reply's own.
func (a *reply) line(value string) []string {
	if a.used == len(a.lines) {
		return []string{value}
	}
	i := a.used
	a.used++
	a.lines[i] = value
	return a.lines[i : i+1 : i+1]
}

// reply returns the answer to refused.
func (run *runtime) reply(refused *token.Refusal) *reply {
	a := answers[refused.Reason.Code()]
	if a == nil {
		a = answers[token.CodeAccessDenied]
	}
	out := &reply{answer: a}
	if a.retry > 0 {
		out.retryAfter = min(max(a.retry, refused.Seconds), maxRetryAfter)
	}
	if a.status != http.StatusServiceUnavailable {
		if out.challenge = run.challenges[a.code]; out.challenge == "" || refused.Scope != "" {
			out.challenge = challenge(run.realm, a, refused.Scope)
		}
	}
	return out
}

// challengesOf are the challenges of a realm that say nothing about the request.
func challengesOf(realm string) map[token.Code]string {
	all := make(map[token.Code]string, len(answers))
	for code, a := range answers {
		all[code] = challenge(realm, a, "")
	}
	return all
}

// challenge returns the value of WWW-Authenticate. RFC 6750 section 3 wants at
// least one parameter, and no error where no token was sent.
func challenge(realm string, a *answer, scope string) string {
	var b strings.Builder
	b.Grow(64 + len(realm) + len(scope))
	b.WriteString(`Bearer realm="`)
	for i := range len(realm) {
		if c := realm[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(realm[i])
	}
	b.WriteByte('"')
	if a.oauth != "" {
		b.WriteString(`, error="` + a.oauth + `"`)
	}
	if a.code == token.CodeInsufficientScope && scopeSafe(scope) {
		b.WriteString(`, scope="` + scope + `"`)
	}
	return b.String()
}

// scopeSafe reports whether scope may stand in a challenge (RFC 6750 section
// 3: %x21 / %x23-5B / %x5D-7E and blanks).
func scopeSafe(scope string) bool {
	for i := range len(scope) {
		if c := scope[i]; c < 0x20 || c > 0x7E || c == '"' || c == '\\' {
			return false
		}
	}
	return scope != ""
}

// announce sets what the answer says besides its body. What handlers before us
// prepared for another body is taken back.
func (a *reply) announce(header http.Header) {
	for _, name := range [...]string{"Content-Encoding", "Content-Length", "Content-Type", "Etag", "Last-Modified"} {
		delete(header, name)
	}
	header["Cache-Control"] = a.line("no-store")
	if a.challenge != "" {
		header["Www-Authenticate"] = a.line(a.challenge)
	} else {
		delete(header, "Www-Authenticate")
	}
	if a.retryAfter > 0 {
		header["Retry-After"] = a.line(strconv.FormatInt(a.retryAfter, 10))
	} else {
		delete(header, "Retry-After")
	}
}

// write sends status and body. What fails here is the client's connection.
func (a *reply) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Content-Type"] = a.line("application/problem+json")
	length := a.length
	if length == "" {
		length = strconv.Itoa(len(a.body))
	}
	header["Content-Length"] = a.line(length)
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}
