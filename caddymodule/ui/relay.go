package ui

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// call is what the page may ask of the admin endpoint with one method.
type call struct {
	path    string // below /jwtgate/; one that ends in / takes one more segment
	method  string
	changes bool  // refused with ReadOnly
	maxBody int64 // bytes; 0: none is taken
}

// The sizes of what passes, in bytes.
const (
	maxTokenBody = 2 << 20 // as the admin endpoint takes
	maxSmallBody = 256 << 10
	// maxAnswer holds a page of revocations with the longest values and notes.
	maxAnswer = 16 << 20
)

// askTimeout bounds an answer: a refresh waits for issuers.
const askTimeout = 60 * time.Second

// calls are all that passes.
var calls = []call{
	{path: "status", method: http.MethodGet},
	{path: "refresh", method: http.MethodPost, changes: true},
	{path: "refresh/", method: http.MethodPost, changes: true},
	{path: "explain", method: http.MethodPost, maxBody: maxTokenBody},
	{path: "observe-report", method: http.MethodGet},
	{path: "observe-report", method: http.MethodDelete, changes: true},
	{path: "revocations", method: http.MethodPost, changes: true, maxBody: maxTokenBody},
	{path: "revocations/query", method: http.MethodPost, maxBody: maxSmallBody},
	{path: "revocations/", method: http.MethodDelete, changes: true, maxBody: maxSmallBody},
}

// serveAPI answers a call of the page; name is what follows api/, still escaped.
func (p *Page) serveAPI(w http.ResponseWriter, r *http.Request, name string) {
	if name == "session" && r.Method == http.MethodGet {
		writeJSON(w, http.StatusOK, "application/json", map[string]any{"admin": p.options.Address, "read_only": p.options.ReadOnly})
		return
	}
	if r.URL.RawQuery != "" {
		refuse(w, http.StatusNotFound, "not_found", "no call of the page has a query")
		return
	}
	c, path, allowed := choose(r.Method, name)
	switch {
	case allowed == nil:
		refuse(w, http.StatusNotFound, "not_found", "the page has no such call")
		return
	case c == nil:
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "allowed here: "+strings.Join(allowed, ", "))
		return
	case c.changes && p.options.ReadOnly:
		refuse(w, http.StatusForbidden, "read_only", "this page was started with --read-only")
		return
	}
	body, ok := readBody(w, r, c.maxBody)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	p.relay(ctx, w, c.method, "/jwtgate/"+path, body)
}

// choose returns the call and its path below /jwtgate/, nil for a wrong method,
// and the methods of that path, nil for an unknown one.
func choose(method, name string) (chosen *call, path string, allowed []string) {
	dir, last, nested := strings.Cut(name, "/")
	for i := range calls {
		c := &calls[i]
		target := c.path
		if prefix, ok := strings.CutSuffix(c.path, "/"); ok {
			value, err := url.PathUnescape(last)
			if !nested || dir != prefix || err != nil || value == "" || strings.Contains(last, "/") {
				continue
			}
			// Escaped dots as well: a segment of dots alone would be a step up.
			target += strings.ReplaceAll(url.PathEscape(value), ".", "%2E")
		} else if c.path != name {
			continue
		}
		if c.method == method && chosen == nil {
			chosen, path = c, target
		}
		if !slices.Contains(allowed, c.method) {
			allowed = append(allowed, c.method)
		}
	}
	return chosen, path, allowed
}

// readBody reads what the page sent, which is JSON or nothing. It has answered
// itself when ok is false.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "body_too_large", "more than this call takes")
		return nil, false
	case err != nil:
		refuse(w, http.StatusBadRequest, "request_invalid", "the body could not be read to its end")
		return nil, false
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); len(body) > 0 && (err != nil || t != "application/json") {
		refuse(w, http.StatusUnsupportedMediaType, "media_type_unsupported", "send application/json")
		return nil, false
	}
	return body, true
}

// relay passes the answer on: its status, its kind of JSON, and its body.
func (p *Page) relay(ctx context.Context, w http.ResponseWriter, method, path string, body []byte) {
	response, err := p.options.Admin.Send(ctx, method, path, body)
	if err != nil {
		refuse(w, http.StatusBadGateway, "unreachable", err.Error())
		return
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		refuse(w, http.StatusBadGateway, "unreachable", "the answer of the admin endpoint broke off")
		return
	}
	if len(answer) > maxAnswer {
		refuse(w, http.StatusBadGateway, "answer_too_large", "the admin endpoint answered with more than the page takes")
		return
	}
	status := response.StatusCode
	if len(answer) == 0 && status < 300 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	t, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if code, detail := stranger(status, t, answer); code != "" {
		refuse(w, http.StatusBadGateway, code, detail)
		return
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.Header().Set("Content-Type", t)
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// stranger says what is wrong with an answer that no gateway gave, nothing for
// one of a gateway: whatever else listens there is not shown as if it were one.
func stranger(status int, contentType string, answer []byte) (code, detail string) {
	var body struct {
		Code  string `json:"code"`  // ours
		Error string `json:"error"` // Caddy's
	}
	known := contentType == "application/json" || contentType == "application/problem+json"
	ours := known && json.Valid(answer)
	if ours && status < 300 {
		return "", ""
	}
	if ours && json.Unmarshal(answer, &body) == nil && body.Code != "" {
		return "", ""
	}
	switch {
	case status == http.StatusNotFound:
		return "no_jwtgate", "something answers there, but has no such path: a Caddy without jwtgate, or an older one"
	case body.Error != "":
		return "not_a_gateway", "Caddy's admin endpoint answered " + http.StatusText(status) + ": " + body.Error
	}
	return "not_a_gateway", "what answers there does not speak as the admin endpoint of a gateway"
}

// refuse answers as the admin endpoint does when it says no.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	writeJSON(w, status, "application/problem+json", map[string]any{
		"title": http.StatusText(status), "status": status, "code": code, "detail": detail})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"status":500,"code":"internal_error"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
