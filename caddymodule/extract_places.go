package caddymodule

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// findCookie returns the value of the first cookie of that name and how many
// there are. Cookies with values that net/http's parser passes over count, too:
// a backend may read them.
func findCookie(header http.Header, name string) (value string, count int) {
	for _, line := range header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, _ := strings.Cut(pair, "=")
			if trimBlanks(n) != name {
				continue
			}
			if count == 0 {
				value = unquote(trimBlanks(v))
			}
			count++
		}
	}
	return value, count
}

// unquote removes the pair of quotes that a cookie value may have (RFC 6265
// section 4.1.1).
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// dropCookie removes the cookies of that name, and leaves the others as they
// are, byte for byte.
func dropCookie(header http.Header, name string) {
	var kept []string
	for _, line := range header["Cookie"] {
		line = dropPairs(line, ';', func(pair string) bool {
			n, _, _ := strings.Cut(pair, "=")
			return trimBlanks(n) == name
		})
		if line = strings.TrimLeft(line, " \t"); line != "" {
			kept = append(kept, line)
		}
	}
	setOrDelete(header, "Cookie", kept)
}

// dropPairs removes the parts between separators that drop wants removed. The
// rest stays as it is, in its order.
func dropPairs(s string, separator byte, drop func(pair string) bool) string {
	var kept strings.Builder
	first := true
	for pair := range strings.SplitSeq(s, string(separator)) {
		if drop(pair) {
			continue
		}
		if !first {
			kept.WriteByte(separator)
		}
		first = false
		kept.WriteString(pair)
	}
	return kept.String()
}

// takeQuery removes the parameters of that name from the URL of r and returns
// the value of the first and how many there were; not ok if it does not decode.
func takeQuery(r *http.Request, name string) (value string, count int, ok bool) {
	ok = true
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, v, _ := strings.Cut(pair, "=")
		if !isParameter(key, name) {
			continue
		}
		if count == 0 {
			var err error
			value, err = url.QueryUnescape(v)
			ok = err == nil
		}
		count++
	}
	if count > 0 {
		r.URL.RawQuery = dropParameter(r.URL.RawQuery, name)
	}
	// A rewrite changes URL alone: RequestURI may hold a token that URL has not.
	r.RequestURI = withoutParameter(r.RequestURI, name)
	hideOriginal(r, name)
	return value, count, ok
}

// hideOriginal removes the parameter from what Caddy remembers of the request
// as it came. That is where handle_errors, php_fastcgi and
// {http.request.orig_uri} take the URI from.
func hideOriginal(r *http.Request, name string) {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return
	}
	if u := original.URL; u != nil && u != r.URL && mayHaveParameter(u.RawQuery, name) {
		u.RawQuery = dropParameter(u.RawQuery, name)
	}
	// The string is in a copy that only the context has: what we leave in the
	// replacer is found before it.
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	if uri := originalURI(repl, original.RequestURI); uri != "" {
		if shown := withoutParameter(uri, name); shown != uri {
			repl.Set(originalURIVar, shown)
		}
	}
}

const originalURIVar = "http.request.orig_uri"

// originalURI returns the URI that the client asked for, without tokens.
func originalURI(repl *caddy.Replacer, uri string) string {
	if shown, ok := repl.GetString(originalURIVar); ok {
		return shown
	}
	return uri
}

// withoutParameter returns a request target without the parameter.
func withoutParameter(uri, name string) string {
	path, query, has := strings.Cut(uri, "?")
	if !has || !mayHaveParameter(query, name) {
		return uri
	}
	if query = dropParameter(query, name); query == "" {
		return path
	}
	return path + "?" + query
}

// isParameter reports whether key, as it stands in a query, is name.
func isParameter(key, name string) bool {
	if key == name {
		return true
	}
	if !strings.ContainsAny(key, "%+") {
		return false
	}
	decoded, err := url.QueryUnescape(key)
	return err == nil && decoded == name
}

// mayHaveParameter reports whether the query has a parameter of that name.
func mayHaveParameter(query, name string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if isParameter(key, name) {
			return true
		}
	}
	return false
}

func dropParameter(query, name string) string {
	rest := dropPairs(query, '&', func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return isParameter(key, name)
	})
	return rest
}
