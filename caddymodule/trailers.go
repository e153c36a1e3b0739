package caddymodule

import (
	"io"
	"net/http"

	"github.com/jwtgate/jwtgate/gate"
)

// cleanTrailers gives r a trailer map of its own that never holds a forbidden
// name, when trailers can come at all.
//
// The server keeps a reference to the map that it made, and at the end of the
// body it puts in there what came: over HTTP/1.1 also names that were not
// announced. Proxies read Trailer right after they have seen that end, so
// filtering the announced names in time is not enough.
func cleanTrailers(r *http.Request, managed *gate.ManagedNames) {
	// HTTP/2 and 3 deliver announced trailers alone. HTTP/1.1 puts unannounced
	// ones into the request that the server made, which r may be.
	unannounced := r.ProtoMajor < 2 && r.ContentLength < 0
	if r.Trailer == nil && !unannounced {
		return
	}
	if b, ok := r.Body.(*trailerBody); ok && b.managed == managed {
		return
	}
	own := make(http.Header, len(r.Trailer))
	copyAllowed(own, r.Trailer, managed)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &trailerBody{ReadCloser: r.Body, server: r.Trailer, own: own, managed: managed}
	}
	r.Trailer = own
}

// copyAllowed copies the trailers of src to dst that are not forbidden. Those
// that were announced and did not come replace nothing.
func copyAllowed(dst, src http.Header, managed *gate.ManagedNames) {
	for name, lines := range src {
		if !forbidden(name, managed) && (len(lines) > 0 || !hasField(dst, name)) {
			dst[name] = lines
		}
	}
}

// trailerBody is a request body that hands the trailers on when it ends, but
// for the forbidden ones. Like the body below it, for one reader.
type trailerBody struct {
	io.ReadCloser
	server  http.Header // the server's; nil when none were announced
	own     http.Header // the request's
	managed *gate.ManagedNames
	done    bool // own is complete
}

// Read implements io.Reader. When it returns io.EOF, the trailers are there.
func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.done {
		b.done = true
		copyAllowed(b.own, b.server, b.managed)
		b.purge()
	}
	return n, err
}

// Close implements io.Closer. It hands on no trailers.
func (b *trailerBody) Close() error {
	err := b.ReadCloser.Close()
	b.purge() // closing may read up to the end
	return err
}

// purge deletes what the server put into our map itself, which it does when the
// request that was cleaned is the very one that it made. Otherwise purge writes
// nothing, so that it may run beside readers of the map.
func (b *trailerBody) purge() {
	for name := range b.own {
		if forbidden(name, b.managed) {
			delete(b.own, name)
		}
	}
}
