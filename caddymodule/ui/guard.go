package ui

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// pageHeader is on every request of the page's scripts. A foreign page cannot
// send it without asking first, and nothing answers such a question.
const pageHeader = "X-Jwtgate-Page"

// policy allows what the page's own files need and nothing else. Trusted types
// without any policy turn every way of making HTML from text off.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy":      policy,
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"X-Robots-Tag":                 "noindex, nofollow",
		"Cache-Control":                "no-store",
	} {
		w.Header().Set(name, value)
	}
	// Before the path is looked at: a rebound name learns nothing, not even by
	// asking for it.
	if !p.knownHost(r.Host) {
		refuse(w, http.StatusForbidden, "wrong_host", "this page is asked for as localhost or 127.0.0.1, or under the name given with --expose")
		return
	}
	rest, ok := p.below(r.URL.EscapedPath())
	if !ok {
		refuse(w, http.StatusNotFound, "not_found", "there is nothing here; use the whole URL that was printed")
		return
	}
	if name, ok := strings.CutPrefix(rest, "api/"); ok {
		if reason := foreignCall(r); reason != "" {
			refuse(w, http.StatusForbidden, "foreign_origin", reason)
			return
		}
		p.serveAPI(w, r, name)
		return
	}
	if reason := foreignLoad(r); reason != "" {
		refuse(w, http.StatusForbidden, "foreign_origin", reason)
		return
	}
	p.serveAsset(w, r, rest)
}

// knownHost keeps out names of others that were made to resolve to this machine
// (DNS rebinding). The port is not looked at: a tunnel may end at another one.
func (p *Page) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return p.hosts[strings.ToLower(strings.Trim(name, "[]"))]
}

// below returns what follows the secret path, in time that does not tell how
// much of it was right.
func (p *Page) below(path string) (rest string, ok bool) {
	secret, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	same := subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret)) == 1
	return rest, same && found
}

// foreignCall says why a request for data is not one of the page's, empty if it
// is.
func foreignCall(r *http.Request) string {
	origin := r.Header.Values("Origin")
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case r.Header.Get(pageHeader) != "1":
		return "only the page's own scripts may ask this"
	case site != "" && site != "same-origin":
		return "the request comes from another site"
	case len(origin) > 1, len(origin) == 1 && origin[0] != "http://"+r.Host:
		return "the request comes from another origin"
	case len(origin) == 0 && r.Method != http.MethodGet:
		// Every browser sends it with every other method.
		return "the request names no origin"
	}
	return ""
}

// foreignLoad says why a request for a file comes from another page, empty if it
// does not. A link may lead here from anywhere, such as a terminal in a browser:
// whoever made it knows the path. The page does nothing by being loaded, and is
// never framed.
func foreignLoad(r *http.Request) string {
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" || site == "same-origin" || site == "none" {
		return ""
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return ""
	}
	return "the request comes from another site"
}
