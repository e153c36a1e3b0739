package caddymodule

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// answeredByErrorRoutes lets the operator's handle_errors answer, if there are
// any; false means that nothing has been written.
//
// A returned error would run them, too. But they belong to the server, which
// sites share, and a site without handle_errors on such a server would get a
// status without our body.
func (run *runtime) answeredByErrorRoutes(w http.ResponseWriter, r *http.Request, st *requestState) bool {
	ctx := r.Context()
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors == nil || len(server.Errors.Routes) == 0 {
		return false
	}
	// A gate inside error routes must not start them again.
	if ctx.Value(caddyhttp.ErrorCtxKey) != nil {
		return false
	}
	// As Caddy does before its error routes.
	if original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		r.Method, r.RemoteAddr, r.RequestURI = original.Method, original.RemoteAddr, original.RequestURI
		if st.repl != nil {
			r.RequestURI = originalURI(st.repl, original.RequestURI)
		}
		restoreURL(r.URL, original.URL)
	}
	code := errors.New("jwtgate: " + string(st.reply.code))
	r = server.Errors.WithError(r, caddyhttp.Error(st.reply.status, code))
	ew := &errorWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, expected: st.reply.status}
	if err := run.errorRoutes(server).ServeHTTP(ew, r); err != nil {
		if c := run.logger.Check(zap.DebugLevel, "handle_errors failed"); c != nil {
			c.Write(zap.Error(err))
		}
	}
	return ew.committed
}

func restoreURL(u, original *url.URL) {
	if u == nil || original == nil {
		return
	}
	*u = *original
	if original.User != nil {
		user := *original.User
		u.User = &user
	}
}

// errorRoutes returns the error routes of server with our answer behind them.
// The server lives as long as the gate: both belong to one configuration.
func (run *runtime) errorRoutes(server *caddyhttp.Server) caddyhttp.Handler {
	if compiled, ok := run.compiled.Load(server); ok {
		return compiled.(caddyhttp.Handler)
	}
	compiled, _ := run.compiled.LoadOrStore(server, server.Errors.Routes.Compile(caddyhttp.HandlerFunc(writeReply)))
	return compiled.(caddyhttp.Handler)
}

// writeReply is the handler behind the last error route.
func writeReply(w http.ResponseWriter, r *http.Request) error {
	st := stateFor(r)
	if st.reply == nil {
		return errors.New("jwtgate: no answer is under way")
	}
	st.reply.write(w, r)
	return nil
}

// errorWriter holds back a bare status equal to the expected one: routes that
// match the site but not the error end in an empty answer, in whose place comes
// ours.
type errorWriter struct {
	caddyhttp.ResponseWriterWrapper
	expected  int
	committed bool
}

// WriteHeader implements http.ResponseWriter.
func (w *errorWriter) WriteHeader(status int) {
	switch {
	case w.committed, informational(status):
		w.ResponseWriter.WriteHeader(status)
	case status == w.expected && w.Header().Get("Content-Type") == "":
	default:
		w.commit(status)
	}
}

func (w *errorWriter) commit(status int) {
	if !w.committed {
		w.committed = true
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *errorWriter) Write(p []byte) (int, error) {
	if len(p) == 0 && !w.committed {
		return 0, nil
	}
	w.commit(w.expected)
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *errorWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.committed {
		return w.ResponseWriterWrapper.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}

// FlushError is what http.ResponseController calls.
func (w *errorWriter) FlushError() error {
	w.commit(w.expected)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (w *errorWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.committed = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Interface guards.
var (
	_ http.ResponseWriter = (*errorWriter)(nil)
	_ io.ReaderFrom       = (*errorWriter)(nil)
	_ http.Hijacker       = (*errorWriter)(nil)
)
