package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// adminCode is what went wrong, for programs; docs/revocations.md is the
// contract.
type adminCode string

const (
	codeInvalid         adminCode = "request_invalid"
	codeTokenUnverified adminCode = "token_unverified"
	codeNotFound        adminCode = "not_found"
	codeMethod          adminCode = "method_not_allowed"
	codeTimeout         adminCode = "body_timeout"
	codeTooLarge        adminCode = "body_too_large"
	codeMediaType       adminCode = "media_type_unsupported"
	codeInternal        adminCode = "internal_error"
	codeNotConfigured   adminCode = "not_configured"
	codeNotReady        adminCode = "not_ready"
	codeLoading         adminCode = "list_loading"
	codeNotDurable      adminCode = "not_durable"
	codeNoKeys          adminCode = "keys_unavailable"
)

// adminCodes is the one table of statuses and titles.
var adminCodes = map[adminCode]struct {
	status int
	title  string
	retry  int // seconds; 0: no use
}{
	codeInvalid:         {400, "The request is not valid", 0},
	codeTokenUnverified: {422, "The token could not be verified", 0},
	codeNotFound:        {404, "There is no such thing", 0},
	codeMethod:          {405, "The method is not allowed here", 0},
	codeTimeout:         {408, "The body did not arrive in time", 0},
	codeTooLarge:        {413, "The body is too large", 0},
	codeMediaType:       {415, "The body is of an unsupported type", 0},
	codeInternal:        {500, "The gateway failed", 0},
	codeNotConfigured:   {503, "The running configuration has no jwtgate", 5},
	codeNotReady:        {503, "The gateway is not ready", 1},
	codeLoading:         {503, "The revocation list is being loaded", 1},
	codeNotDurable:      {503, "The change is in force, but not on disk", 5},
	codeNoKeys:          {503, "The keys of the issuer are not available", 5},
}

const adminProblemTypes = "https://github.com/jwtgate/jwtgate/blob/main/docs/revocations.md#"

// fault is one thing that is wrong with a request. Nothing in it is quoted from
// the request: it might be a token.
type fault struct {
	Line   int    `json:"line,omitempty"` // of NDJSON, from 1
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`

	code adminCode // empty: codeInvalid
}

// adminProblem is an answer that says no (RFC 9457).
type adminProblem struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Code   adminCode `json:"code"`
	Detail string    `json:"detail,omitempty"`
	// Errors are the first faults of ErrorCount.
	Errors     []fault `json:"errors,omitempty"`
	ErrorCount int     `json:"error_count,omitempty"`
	// Revocation is what is in force all the same.
	Revocation *revocationAnswer `json:"revocation,omitempty"`
	// What the probe says besides.
	Ready    *bool            `json:"ready,omitempty"`
	Reasons  []string         `json:"reasons,omitempty"`
	Degraded []degradedIssuer `json:"degraded,omitempty"`

	retry int
}

// Error implements error.
func (p *adminProblem) Error() string { return string(p.Code) + ": " + p.Detail }

func problem(code adminCode, detail string) *adminProblem {
	known := adminCodes[code]
	return &adminProblem{Type: adminProblemTypes + string(code), Title: known.title, Status: known.status,
		Code: code, Detail: detail, retry: known.retry}
}

func problemf(code adminCode, format string, args ...any) *adminProblem {
	return problem(code, fmt.Sprintf(format, args...))
}

// maxFaults bounds what an answer lists.
const maxFaults = 100

// faulty returns the problem that faults are, nil for none. What the caller has
// to mend goes before what may pass by itself.
func faulty(faults []fault) error {
	if len(faults) == 0 {
		return nil
	}
	code := codeNoKeys
	for i := range faults {
		switch {
		case faults[i].code == "":
			code = codeInvalid
		case faults[i].code == codeTokenUnverified && code == codeNoKeys:
			code = codeTokenUnverified
		}
	}
	p := problem(code, "nothing was applied")
	p.ErrorCount = len(faults)
	p.Errors = faults[:min(len(faults), maxFaults)]
	return p
}

// problemOf returns the answer to err. Of an error that nobody foresaw, the
// caller hears the text: an operator of this machine may, and it names no
// token.
func problemOf(err error) *adminProblem {
	var p *adminProblem
	var refused *token.Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, revocation.ErrNotFound):
		return problem(codeNotFound, "no revocation of that id is in force")
	case errors.Is(err, revocation.ErrNotDurable):
		return problem(codeNotDurable, "it holds until this process ends and is written again until it is on disk; look at the disk, then send it again to be sure: "+err.Error())
	case errors.Is(err, revocation.ErrClosed):
		return problem(codeNotConfigured, "the list was closed by a reload or the end of the process")
	case errors.As(err, &refused):
		return problem(codeLoading, "try again in a moment: "+refused.Reason.String())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem(codeLoading, "the list did not answer in time")
	}
	return problem(codeInternal, err.Error())
}

func (p *adminProblem) write(w http.ResponseWriter) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	writeAdminJSON(w, "application/problem+json", p.Status, p)
}

// writeAdminJSON sends v. What fails here is the caller's connection.
func writeAdminJSON(w http.ResponseWriter, contentType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, contentType = http.StatusInternalServerError, "application/problem+json"
		body = []byte(`{"title":"The answer could not be encoded","status":500,"code":"internal_error"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
