package caddymodule

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// logoutWriter holds a final status back until it is settled what that means.
// Nothing of the response precedes it: whatever would write the header, settles
// first. Used by one goroutine, like every http.ResponseWriter.
type logoutWriter struct {
	caddyhttp.ResponseWriterWrapper
	// settle is called once, with the headers from before the backend and the
	// status that it chose. When it returns true it has written another answer.
	settle func(w http.ResponseWriter, before http.Header, status int) (replaced bool)
	before http.Header

	settled, replaced bool
}

// WriteHeader implements http.ResponseWriter. Informational statuses pass, any
// number of them.
func (w *logoutWriter) WriteHeader(status int) {
	if informational(status) {
		if !w.replaced {
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if w.decide(status) {
		w.ResponseWriter.WriteHeader(status)
	}
}

// decide reports whether the backend's answer is the one that goes out.
func (w *logoutWriter) decide(status int) bool {
	if !w.settled {
		// Before settling: a panic in it must not be followed by another try.
		w.settled, w.replaced = true, true
		w.replaced = w.settle(w.ResponseWriter, w.before, status)
	}
	return !w.replaced
}

// ready makes what precedes a body go out.
func (w *logoutWriter) ready() bool {
	if !w.settled {
		w.WriteHeader(http.StatusOK)
	}
	return !w.replaced
}

// finish settles a response that nobody has begun: net/http makes a 200 of it.
func (w *logoutWriter) finish() { w.decide(http.StatusOK) }

// Write implements http.ResponseWriter. A body whose answer was replaced
// vanishes: an error here would make the proxy break the connection.
func (w *logoutWriter) Write(p []byte) (int, error) {
	if !w.ready() {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *logoutWriter) ReadFrom(r io.Reader) (int64, error) {
	if !w.ready() {
		return io.Copy(io.Discard, r)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController calls.
func (w *logoutWriter) FlushError() error {
	if !w.ready() {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *logoutWriter) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker. A connection that is taken over has no
// status, so nothing is revoked.
func (w *logoutWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.settled && !w.decide(http.StatusSwitchingProtocols) || w.replaced {
		return nil, nil, http.ErrHijacked
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Interface guards.
var (
	_ http.ResponseWriter = (*logoutWriter)(nil)
	_ http.Flusher        = (*logoutWriter)(nil)
	_ http.Hijacker       = (*logoutWriter)(nil)
	_ io.ReaderFrom       = (*logoutWriter)(nil)
)
