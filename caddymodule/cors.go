package caddymodule

import (
	"net/http"
	"slices"
)

// allowOrigin makes our own answer readable for the pages of the configured
// origins. What the backend answers is the backend's business.
func (run *runtime) allowOrigin(header http.Header, r *http.Request) {
	if len(run.cors) == 0 {
		return
	}
	header.Add("Vary", "Origin")
	origins := r.Header["Origin"]
	if len(origins) != 1 {
		return
	}
	if _, ok := run.cors[origins[0]]; !ok {
		return
	}
	header["Access-Control-Allow-Origin"] = []string{origins[0]}
	// Date, because an app does not believe the clock of its device.
	header["Access-Control-Expose-Headers"] = []string{"WWW-Authenticate, Retry-After, Date"}
	if isGRPC(r) {
		header["Access-Control-Expose-Headers"] = []string{"Grpc-Status, Grpc-Message, Retry-After, Date"}
	}
	// Without this no page can read the answer to a request with a cookie.
	if slices.ContainsFunc(run.sources, func(s TokenSource) bool { return s.From == "cookie" }) {
		header["Access-Control-Allow-Credentials"] = []string{"true"}
	}
}
