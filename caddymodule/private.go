package caddymodule

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// privateWriter marks what comes of a token in a URL or cookie as private (RFC
// 6750 section 2.3): unlike Authorization (RFC 9111 section 3.5), neither keeps a
// shared cache from handing the response to others, and a backend that knows of
// no tokens may well say public.
type privateWriter struct {
	caddyhttp.ResponseWriterWrapper
	done bool
}

func (w *privateWriter) mark() {
	if w.done {
		return
	}
	w.done = true
	header := w.Header()
	lines := header["Cache-Control"]
	for _, line := range lines {
		if listHas(line, "private") || listHas(line, "no-store") {
			return
		}
	}
	own := filterLists(lines, func(directive string) bool {
		return !strings.EqualFold(directive, "public") && !isSharedAge(directive)
	})
	header["Cache-Control"] = []string{strings.Join(append(own, "private"), ", ")}
}

// isSharedAge reports whether a Cache-Control directive is s-maxage, which is
// about shared caches alone.
func isSharedAge(directive string) bool {
	name, _, _ := strings.Cut(directive, "=")
	return strings.EqualFold(trimBlanks(name), "s-maxage")
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
