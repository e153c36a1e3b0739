package caddymodule

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// privateWriter marks what comes of a token in a URL as private, unless the
// response says something about caching itself (RFC 6750 section 2.3).
type privateWriter struct {
	caddyhttp.ResponseWriterWrapper
	done bool
}

func (w *privateWriter) mark() {
	if w.done {
		return
	}
	w.done = true
	if header := w.Header(); len(header["Cache-Control"]) == 0 {
		header["Cache-Control"] = []string{"private"}
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *privateWriter) WriteHeader(status int) {
	if !informational(status) {
		w.mark()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *privateWriter) Write(p []byte) (int, error) {
	w.mark()
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *privateWriter) FlushError() error {
	w.mark()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// ReadFrom implements io.ReaderFrom.
func (w *privateWriter) ReadFrom(r io.Reader) (int64, error) {
	w.mark()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// informational reports whether another status follows this one.
func informational(status int) bool {
	return status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
}

// Interface guards.
var (
	_ http.ResponseWriter = (*privateWriter)(nil)
	_ io.ReaderFrom       = (*privateWriter)(nil)
)
