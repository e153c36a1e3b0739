package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// serveBackend is the legacy API: it answers every path with the request as it
// arrived, and knows nothing of tokens.
func serveBackend(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.URL.Path == "/auth/logout" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	headers := map[string][]string{}
	for name, values := range r.Header {
		headers[name] = values
		if name == "Authorization" || name == "Cookie" {
			// Answers end up in terminals and bug reports: no token in them.
			headers[name] = nil
			for _, v := range values {
				scheme, rest, _ := strings.Cut(v, " ")
				headers[name] = append(headers[name], fmt.Sprintf("%s (%d bytes)", scheme, len(rest)))
			}
		}
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(map[string]any{"method": r.Method, "path": r.URL.Path, "headers": headers})
		return
	}
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "The legacy backend received %s %s with\n", r.Method, r.URL.Path) //nolint:gosec // plain text, on loopback
	for _, name := range names {
		for _, v := range headers[name] {
			fmt.Fprintf(w, "  %s: %s\n", name, v)
		}
	}
}
