package caddymodule

import (
	"net/http"

	"github.com/jwtgate/jwtgate/gate"
)

// isPreflight reports whether r is a true CORS preflight, as browsers send it:
// OPTIONS with one Origin and one Access-Control-Request-Method, without
// credentials, body and upgrade. Whether r has a token in one of the places
// configured is for the caller to find out.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions &&
		oneLine(r.Header, "Origin") &&
		oneLine(r.Header, "Access-Control-Request-Method") &&
		!hasField(r.Header, "Authorization") &&
		r.ContentLength == 0 && len(r.TransferEncoding) == 0 &&
		!hasField(r.Header, "Upgrade") && !isUpgrade(r)
}

func hasField(header http.Header, name string) bool {
	_, ok := header[name]
	return ok
}

func oneLine(header http.Header, name string) bool {
	lines := header[name]
	return len(lines) == 1 && lines[0] != ""
}

var methodOverrides = gate.NewManagedNames("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")

// dropMethodOverrides deletes the headers by which frameworks let a request be
// of another method than its own, in every spelling: what passes as a preflight
// must stay OPTIONS.
func dropMethodOverrides(r *http.Request) {
	for name := range r.Header {
		if methodOverrides.Match(name) {
			delete(r.Header, name)
		}
	}
}
