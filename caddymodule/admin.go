package caddymodule

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/revocation"
)

func init() { caddy.RegisterModule(new(AdminAPI)) }

// AdminAPI is what Caddy's admin endpoint offers under /jwtgate/. It has no
// settings and no state: Caddy makes it before the apps of a configuration, and
// keeps it when a later configuration fails to load, so that every request asks
// which configuration is running.
type AdminAPI struct {
	// open replaces openActive in tests.
	open func() (*adminView, error)
}

// CaddyModule returns the module information.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.jwtgate", New: func() caddy.Module { return new(AdminAPI) }}
}

// The sizes of what is read from a caller, in bytes.
const (
	maxAdminBody  = 2 << 20 // a token of the greatest max_token fits
	maxImportBody = 32 << 20
	maxNoteBody   = 16 << 10
)

// Routes returns the routes. Caddy labels its metrics with their patterns.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	route := func(pattern string, methods map[string]adminAction) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			a.serve(w, r, methods)
			return nil
		})}
	}
	return []caddy.AdminRoute{
		route("/jwtgate/", nil),
		route("/jwtgate/revocations", map[string]adminAction{http.MethodPost: {adminRevoke, maxImportBody}}),
		route("/jwtgate/revocations/query", map[string]adminAction{http.MethodPost: {adminQuery, maxAdminBody}}),
		route("/jwtgate/revocations/count", map[string]adminAction{http.MethodGet: {adminCount, 0}}),
		route("/jwtgate/revocations/export", map[string]adminAction{http.MethodGet: {adminExport, 0}}),
		route("/jwtgate/revocations/{id}", map[string]adminAction{http.MethodDelete: {adminUndo, maxNoteBody}}),
		route("/jwtgate/explain", map[string]adminAction{http.MethodPost: {adminExplain, maxAdminBody}}),
		route("/jwtgate/ready", map[string]adminAction{http.MethodGet: {adminReady, 0}}),
		route("/jwtgate/status", map[string]adminAction{http.MethodGet: {adminStatus, 0}}),
		route("/jwtgate/refresh", map[string]adminAction{http.MethodPost: {adminRefresh, 0}}),
		route("/jwtgate/refresh/{issuer}", map[string]adminAction{http.MethodPost: {adminRefresh, 0}}),
		route("/jwtgate/observe-report", map[string]adminAction{http.MethodGet: {adminObserveReport, 0}, http.MethodDelete: {adminObserveReset, 0}}),
	}
}

// adminAction does one thing to the running configuration.
type adminAction struct {
	// do answers, or returns an error before it has written anything.
	do      func(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error
	maxBody int64
}

// maxOpenings is how often a request asks for the running configuration again
// when a reload took the list away between question and answer.
const maxOpenings = 3

// serve answers every error itself: what Caddy makes of a returned one is not
// problem+json, and goes to its log as an ERROR.
func (a *AdminAPI) serve(w http.ResponseWriter, r *http.Request, methods map[string]adminAction) {
	w.Header().Set("Cache-Control", "no-store")
	action, err := chooseAction(w, r, methods)
	var body []byte
	if err == nil {
		body, err = readAdminBody(w, r, action.maxBody)
	}
	for attempt := 0; err == nil || errors.Is(err, revocation.ErrClosed) && attempt < maxOpenings; attempt++ {
		if err = a.once(action, w, r, body); err == nil {
			return
		}
	}
	problemOf(err).write(w)
}

func chooseAction(w http.ResponseWriter, r *http.Request, methods map[string]adminAction) (adminAction, error) {
	if methods == nil {
		return adminAction{}, problem(codeNotFound, "there is no such path; docs/revocations.md and docs/operate.md list them")
	}
	action, ok := methods[r.Method]
	if !ok {
		var allowed []string
		for method := range methods {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return adminAction{}, problem(codeMethod, "allowed here: "+strings.Join(allowed, ", "))
	}
	return action, nil
}

func (a *AdminAPI) once(action adminAction, w http.ResponseWriter, r *http.Request, body []byte) error {
	open := a.open
	if open == nil {
		open = openActive
	}
	v, err := open()
	if err != nil {
		return err
	}
	defer v.release()
	return action.do(v, w, r, body)
}

// readAdminBody reads the body before anything is asked or done. Nothing is
// expected where limit is 0.
func readAdminBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || limit == 0 {
		return nil, nil
	}
	if _, ndjson := mediaType(r); !ndjson && limit == maxImportBody {
		limit = maxAdminBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, problemf(codeTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problem(codeTimeout, "the body took longer than Caddy's admin endpoint waits; send less at a time")
	}
	return nil, problem(codeInvalid, "the body could not be read to its end")
}

// mediaType tells JSON from NDJSON. Neither is what a browser can send across
// origins without asking first.
func mediaType(r *http.Request) (object, ndjson bool) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return false, false
	}
	return t == "application/json", t == "application/x-ndjson" || t == "application/ndjson"
}

var errMediaType = problem(codeMediaType, "send Content-Type: application/json, or application/x-ndjson for many revocations")

// caller names who asks: the client certificate of a remote admin endpoint, the
// address, or that it came over a socket whose file says who may.
func caller(r *http.Request) string {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != "" {
			return bounded("cert " + strings.ToValidUTF8(name, "?"))
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || host == "" {
		return "unix socket"
	}
	return host
}

// writeTimeout bounds how long a caller waits for the disk.
const writeTimeout = 20 * time.Second

// Interface guards.
var (
	_ caddy.Module      = (*AdminAPI)(nil)
	_ caddy.AdminRouter = (*AdminAPI)(nil)
)
