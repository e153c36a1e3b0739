package caddymodule

import (
	"net/http"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// credential is the one token of a request and where it was.
type credential struct {
	token  string       // empty: the request has none
	source *TokenSource // nil: Authorization
	// greeted says that the client offered ownProtocol beside a token, good or
	// not, and no subprotocol for the backend.
	greeted bool
}

// extract finds the token of r. Without one it returns a credential that is zero
// but for greeted.
// Tokens in the query and among the WebSocket subprotocols are removed from r,
// also when it is refused, so that nothing after us logs or proxies them; they
// cannot be found a second time.
//
// The reasons to refuse are AuthorizationMalformed, TokenDuplicate, CrossOrigin
// and TokenTooLong, in this order. Places that are not configured are never
// looked at.
func (h *Handler) extract(r *http.Request) (credential, *token.Refusal) {
	var s search
	s.authorization(r)
	for i := range h.run.sources {
		s.look(r, &h.run.sources[i])
	}
	return s.result(r, h.run.maxToken)
}

// stripToken removes the token from where it was, so that the backend does not
// see it.
func stripToken(r *http.Request, c credential) {
	switch {
	case c.token == "":
	case c.source == nil:
		delete(r.Header, "Authorization")
	case c.source.From == "header":
		delete(r.Header, http.CanonicalHeaderKey(c.source.Name))
	case c.source.From == "cookie":
		dropCookie(r.Header, c.source.Name)
	}
}

// leavesRequest reports whether extract takes tokens of this place out of the
// request.
func (t *TokenSource) leavesRequest() bool { return t.From == "query" || t.From == "websocket" }

// search collects what the places have.
type search struct {
	found     credential
	malformed string // what was expected, if something was malformed
	repeated  bool
	greeted   bool
}

// add notes the token of a place, where an empty text is none, and that the
// place has count of them.
func (s *search) add(text string, count int, source *TokenSource) {
	switch {
	case count > 1, text != "" && s.found.token != "":
		s.repeated = true
	case text == "":
	case !isB64Token(text):
		s.malformed = "a token of letters, digits and -._~+/"
	default:
		s.found = credential{token: text, source: source}
	}
}

// authorization looks at the Authorization header. It is a singleton (RFC 9110
// section 11.6.2): of two lines, another server might take the other one.
func (s *search) authorization(r *http.Request) {
	lines := r.Header["Authorization"]
	switch {
	case len(lines) == 0:
	case len(lines) > 1:
		s.malformed = "one Authorization field"
	default:
		text, bearer, ok := parseAuthorization(trimBlanks(lines[0]))
		switch {
		case !ok:
			s.malformed = "Authorization: Bearer <token>"
		case bearer:
			s.add(text, 1, nil)
		}
	}
}

// look looks at one of the configured places.
func (s *search) look(r *http.Request, source *TokenSource) {
	switch source.From {
	case "header":
		lines := r.Header[http.CanonicalHeaderKey(source.Name)]
		if len(lines) == 0 {
			return
		}
		value := trimBlanks(lines[0])
		text, bearer, ok := parseAuthorization(value)
		switch {
		case bearer && !ok:
			s.malformed = "Bearer <token>"
		case !bearer:
			text = value
		}
		s.add(text, len(lines), source)
	case "cookie":
		text, count := findCookie(r.Header, source.Name)
		s.add(text, count, source)
	case "query":
		text, count, ok := takeQuery(r, source.Name)
		if !ok {
			s.malformed = "a parameter without broken escapes"
		}
		s.add(text, count, source)
	case "websocket":
		text, count, greeted := takeProtocol(r)
		if isUpgrade(r) {
			s.add(text, count, source)
			s.greeted = greeted
		}
	}
}

// result judges what was found.
func (s *search) result(r *http.Request, maxToken int) (credential, *token.Refusal) {
	source, none := s.found.source, credential{greeted: s.greeted}
	s.found.greeted = s.greeted
	switch {
	case s.malformed != "":
		return none, token.Refuse(token.AuthorizationMalformed, s.malformed, "")
	case s.repeated:
		return none, token.Refuse(token.TokenDuplicate, "one token in one place", "")
	case source != nil && source.From == "cookie" && !fromOwnPage(r, source.Origins):
		return none, token.Refuse(token.CrossOrigin, "a page of this host or of a trusted origin", "")
	case len(s.found.token) > maxToken:
		return none, token.Refuse(token.TokenTooLong, "at most max_token bytes", "")
	}
	return s.found, nil
}

// parseAuthorization reads a field value without outer blanks (RFC 6750 section
// 2.1, RFC 9110 section 11.4). bearer tells the scheme; another one, and the
// empty value, are ok without a token. The text after the blanks is not judged.
func parseAuthorization(value string) (text string, bearer, ok bool) {
	end := 0
	for end < len(value) && isTokenByte(value[end]) {
		end++
	}
	if !strings.EqualFold(value[:end], "bearer") {
		return "", false, end > 0 || value == ""
	}
	rest := value[end:]
	text = strings.TrimLeft(rest, " ")
	return text, true, text != "" && len(text) < len(rest)
}

// isTokenByte reports whether c may be part of the name of a scheme (RFC 9110
// section 5.6.2).
func isTokenByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// notB64 is 1 for the bytes that a b64token has not before its padding.
var notB64 = func() (table [256]uint8) {
	for c := range table {
		if !isAlphanumeric(byte(c)) && strings.IndexByte("-._~+/", byte(c)) < 0 {
			table[c] = 1
		}
	}
	return table
}()

// isB64Token reports whether s is a b64token (RFC 6750 section 2.1).
func isB64Token(s string) bool {
	i := 0
	// Eight at a time: every request has some nine hundred of them.
	for ; len(s)-i >= 8; i += 8 {
		p := s[i : i+8]
		if notB64[p[0]]|notB64[p[1]]|notB64[p[2]]|notB64[p[3]]|notB64[p[4]]|notB64[p[5]]|notB64[p[6]]|notB64[p[7]] != 0 {
			break
		}
	}
	for i < len(s) && notB64[s[i]] == 0 {
		i++
	}
	return i > 0 && strings.Trim(s[i:], "=") == ""
}
