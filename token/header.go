package token

import "strings"

// readHeader decodes and judges the first part of a token (RFC 7515 section 4).
// jwk, jku, x5u, x5c and whatever else it does not name have no effect: keys
// come from the configuration alone.
func (p *Parser) readHeader(part string) error {
	text, err := p.decode("header", part)
	if err != nil {
		return err
	}
	nodes, err := p.scan.object(text)
	if err != nil {
		return &Refusal{Reason: HeaderMalformed, Want: "strict JSON", Err: err}
	}
	h := &p.token.Header
	p.claims.src, p.claims.nodes = text, nodes // until the claims are read
	var alg Value
	for name, v := range p.claims.Root().Members() {
		switch name {
		case "alg":
			alg = v
		case "kid":
			if v.Kind() != String {
				return Refuse(HeaderMalformed, "kid: a string", v.Kind().String())
			}
			h.KeyID, h.HasKeyID = v.Text(), true
		case "typ":
			if v.Kind() != String {
				return Refuse(HeaderMalformed, "typ: a string", v.Kind().String())
			}
			h.Type, h.HasType = v.Text(), true
		case "crit", "b64", "zip", "enc":
			// crit names extensions of which there are none here; b64 changes
			// what is signed (RFC 7797 section 7); zip and enc are a JWE's.
			return Refuse(HeaderUnsupported, "no crit, b64, zip or enc", name)
		case "cty":
			if v.Kind() != String {
				return Refuse(HeaderMalformed, "cty: a string", v.Kind().String())
			}
			if nested(v.Text()) {
				return Refuse(HeaderUnsupported, "a payload that is no token", clip(v.Text()))
			}
		}
	}
	const want = "alg: a signature algorithm"
	if alg.Kind() != String {
		return Refuse(AlgNotAllowed, want, alg.Kind().String())
	}
	name := alg.Text()
	var ok bool
	if h.Algorithm, ok = ParseAlgorithm(name); !ok {
		return Refuse(AlgNotAllowed, want, clip(name))
	}
	h.Alg = h.Algorithm.String()
	return nil
}

// nested reports whether a cty says that the payload is a token itself (RFC
// 7519 section 5.2), in any spelling of a media type.
func nested(cty string) bool {
	cty = strings.ToLower(strings.TrimSpace(cty))
	cty, _, _ = strings.Cut(cty, ";")
	cty = strings.TrimPrefix(strings.TrimSpace(cty), "application/")
	return cty == "jwt" || strings.HasPrefix(cty, "jose") || strings.HasSuffix(cty, "+jwt")
}
