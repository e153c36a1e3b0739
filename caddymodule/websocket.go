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

// ownProtocol is the subprotocol that we select when the backend gets none to
// select from. A browser closes a connection on which the server selects none
// of those offered, and to select the one with the token would repeat it.
const ownProtocol = "jwtgate"

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

// isExtendedWebsocket reports whether the proxy makes an HTTP/1.1 WebSocket
// handshake of r.
func isExtendedWebsocket(r *http.Request) bool {
	if !isExtendedConnect(r) {
		return false
	}
	if protocols := r.Header[":protocol"]; len(protocols) > 0 {
		return protocols[0] == "websocket"
	}
	return r.Proto == "websocket"
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

// takeProtocol removes the subprotocols that carry tokens from r, and with them
// ownProtocol. It returns the first token and the number of such protocols;
// greeted says that ownProtocol was there and that no protocol is left.
func takeProtocol(r *http.Request) (text string, count int, greeted bool) {
	const name = "Sec-Websocket-Protocol"
	lines := r.Header[name]
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			element = trimBlanks(element)
			if t, ok := strings.CutPrefix(element, tokenProtocol); ok {
				if count == 0 {
					text = t
				}
				count++
			}
			greeted = greeted || element == ownProtocol
		}
	}
	if count == 0 {
		return "", 0, false
	}
	rest := filterLists(lines, func(element string) bool {
		return element != ownProtocol && !strings.HasPrefix(element, tokenProtocol)
	})
	setOrDelete(r.Header, name, rest)
	return text, count, greeted && len(rest) == 0
}

// greet selects ownProtocol where the client has to be told of some protocol.
func (c *credential) greet(w http.ResponseWriter) {
	if c.greeted {
		w.Header()["Sec-Websocket-Protocol"] = []string{ownProtocol}
	}
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
	return err == nil && u.Scheme != "" && u.Host != "" &&
		strings.EqualFold(withoutDefaultPort(u.Scheme, u.Host), withoutDefaultPort(u.Scheme, r.Host))
}

// withoutDefaultPort returns host as it stands in an origin (RFC 6454 section
// 6.2). Clients other than browsers write the port.
func withoutDefaultPort(scheme, host string) string {
	switch scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}
