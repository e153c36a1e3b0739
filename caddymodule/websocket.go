package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// tokenProtocol begins the WebSocket subprotocol that carries a token: browsers
// let a page choose no other header of the handshake.
const tokenProtocol = "jwtgate.bearer."

// isUpgrade reports whether r asks for another protocol on its connection or
// stream: with Upgrade over HTTP/1.1, with CONNECT and :protocol over HTTP/2
// (RFC 8441) and HTTP/3 (RFC 9220).
func isUpgrade(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 {
		for _, line := range r.Header["Connection"] {
			if listHas(line, "upgrade") {
				return true
			}
		}
	}
	return isExtendedConnect(r)
}

// isExtendedConnect reports whether r is CONNECT with :protocol. The HTTP/2
// server puts that into the header, the HTTP/3 server in place of the version.
func isExtendedConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect || r.ProtoMajor < 2 {
		return false
	}
	return len(r.Header[":protocol"]) > 0 || !strings.HasPrefix(r.Proto, "HTTP/")
}

// listHas reports whether a comma-separated list has the element, in whatever
// letter case.
func listHas(line, want string) bool {
	for element := range strings.SplitSeq(line, ",") {
		if strings.EqualFold(trimBlanks(element), want) {
			return true
		}
	}
	return false
}

// takeProtocol removes the subprotocols that carry tokens from r and returns the
// first token and the number of such protocols.
func takeProtocol(r *http.Request) (text string, count int) {
	const name = "Sec-Websocket-Protocol"
	lines := r.Header[name]
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if t, ok := strings.CutPrefix(trimBlanks(element), tokenProtocol); ok {
				if count == 0 {
					text = t
				}
				count++
			}
		}
	}
	if count > 0 {
		setOrDelete(r.Header, name, filterLists(lines, func(element string) bool {
			return !strings.HasPrefix(element, tokenProtocol)
		}))
	}
	return text, count
}

// crossOrigin judges methods that change something, by Sec-Fetch-Site and
// Origin. It knows no trusted origins: those differ per source.
var crossOrigin = http.NewCrossOriginProtection()

// fromOwnPage reports whether a request whose token a browser added on its own
// was meant by a page of this host or of one of the origins. Reading across
// origins is what CORS and SameSite are for, but an upgrade is a GET that may do
// anything and that CORS does not cover: it must name its origin.
func fromOwnPage(r *http.Request, origins []string) bool {
	lines := r.Header["Origin"]
	if len(lines) > 1 {
		return false
	}
	if len(lines) == 1 && slices.Contains(origins, lines[0]) {
		return true
	}
	if !isUpgrade(r) {
		return crossOrigin.Check(r) == nil
	}
	if len(lines) == 0 {
		return false
	}
	u, err := url.Parse(lines[0])
	return err == nil && u.Scheme != "" && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
