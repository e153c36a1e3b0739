package token

import (
	"strings"
	"sync"
)

const (
	// maxSignature is the longest signature any of the algorithms yields: RSA
	// with 8192 bits.
	maxSignature = maxRSABits / 8
	// A Parser that an unusually big token has grown is not pooled.
	maxPooledBuffer = 32 << 10
	maxPooledNodes  = 2 << 10
	// maxRaw keeps offsets and counts within a node, whatever the caller's limit.
	maxRaw = 1 << 28
)

// Parser parses one token at a time into memory that it uses again. It is not
// safe for concurrent use.
type Parser struct {
	token  Token
	claims Claims

	text      []byte // decoded header, then claims
	scan      scanner
	audience  []string
	signature [maxSignature]byte
}

var parsers = sync.Pool{New: func() any { return new(Parser) }}

// Acquire takes a Parser from the pool.
func Acquire() *Parser { return parsers.Get().(*Parser) }

// Release gives p back. Neither p nor a Token that it gave may be used after;
// strings and detached Tokens taken from it stay good.
func (p *Parser) Release() {
	p.reset()
	if cap(p.text) > maxPooledBuffer || cap(p.scan.nodes) > maxPooledNodes {
		return
	}
	parsers.Put(p)
}

func (p *Parser) reset() {
	p.token = Token{}
	p.claims = Claims{}
	p.scan.src = ""
	clear(p.audience)
	p.audience = p.audience[:0]
}

// Parse is like the function Parse, but the Token lives in p: it is good until
// p parses again or is released, unless detached. Strings in it, and in the
// error, are good for ever.
func (p *Parser) Parse(raw string, maxLength int) (*Token, error) {
	p.reset()
	header, payload, signature, err := split(raw, maxLength)
	if err != nil {
		return nil, err
	}
	if err := p.readHeader(header); err != nil {
		return nil, err
	}
	text, err := p.decode("claims", payload)
	if err != nil {
		return nil, err
	}
	if err := p.readClaims(text); err != nil {
		return nil, err
	}
	if decodedLen(len(signature)) > maxSignature {
		return nil, Refuse(TokenMalformed, "a signature of at most 1024 bytes", "a longer one")
	}
	n, bad := decodeBase64(p.signature[:], signature)
	if bad >= 0 {
		return nil, malformedBase64("signature", bad)
	}
	p.token.signature = p.signature[:n:n]
	p.token.signingInput = raw[:len(header)+1+len(payload)]
	p.token.Claims = &p.claims
	return &p.token, nil
}

// split cuts raw at its dots. It looks at no more of it than up to a third
// dot, and at nothing of a token that is too long.
func split(raw string, maxLength int) (header, payload, signature string, err error) {
	if maxLength <= 0 {
		maxLength = DefaultMaxLength
	}
	if len(raw) > min(maxLength, maxRaw) {
		return "", "", "", &Refusal{Reason: TokenTooLong, Err: lengthError{len(raw), maxLength}}
	}
	const want = "three non-empty parts"
	header, rest, ok := strings.Cut(raw, ".")
	if !ok {
		return "", "", "", Refuse(TokenMalformed, want, "no dot")
	}
	if header == "" {
		return "", "", "", Refuse(TokenMalformed, want, "an empty header")
	}
	payload, signature, ok = strings.Cut(rest, ".")
	if !ok {
		return "", "", "", Refuse(TokenMalformed, want, "one dot")
	}
	if payload == "" {
		// A detached payload (RFC 7515 appendix F) is no claims set.
		return "", "", "", Refuse(TokenMalformed, want, "an empty payload")
	}
	if signature == "" {
		return "", "", "", Refuse(TokenMalformed, want, "an empty signature")
	}
	if strings.IndexByte(signature, '.') >= 0 {
		// Five parts are a JWE (RFC 7516 section 3.1).
		return "", "", "", Refuse(TokenMalformed, want, "more than two dots")
	}
	return header, payload, signature, nil
}

// decode decodes one part into an immutable string.
func (p *Parser) decode(part, src string) (string, error) {
	n := decodedLen(len(src))
	if cap(p.text) < n {
		p.text = make([]byte, max(n, 1<<10))
	}
	n, bad := decodeBase64(p.text[:n], src)
	if bad >= 0 {
		return "", malformedBase64(part, bad)
	}
	return string(p.text[:n]), nil
}
