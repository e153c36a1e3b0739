package token

import "unsafe"

// Claims is the claims set of a token: immutable, members in the order of the
// token, numbers verbatim. Safe for concurrent use, as far as its Token is.
type Claims struct {
	Issuer    string
	Subject   string // empty if absent
	ID        string // jti, empty if absent
	SessionID string // sid, empty if absent
	ClientID  string // client_id, in its absence azp; empty if absent
	Audience  []string

	// What is finer than a nanosecond is rounded against the token: exp towards
	// the past, nbf and iat towards the future.
	Expires   NumericDate // always present in a parsed token
	NotBefore NumericDate
	IssuedAt  NumericDate // for cutoffs see NumericDate.UnixNano

	src   string
	nodes []node
}

// ParseClaims reads a claims set by itself, under the rules that Parse has for
// the payload of a token.
func ParseClaims(text string) (*Claims, error) {
	p := Acquire()
	defer p.Release()
	if len(text) > maxRaw {
		return nil, &Refusal{Reason: TokenTooLong, Err: lengthError{len(text), maxRaw}}
	}
	if err := p.readClaims(text); err != nil {
		return nil, err
	}
	c := p.claims
	c.Audience = cloneExact(c.Audience)
	c.nodes = cloneExact(c.nodes)
	return &c, nil
}

// readClaims scans text and reads the registered claims out of it.
func (p *Parser) readClaims(text string) error {
	nodes, err := p.scan.object(text)
	if err != nil {
		return &Refusal{Reason: ClaimsMalformed, Want: "strict JSON", Err: err}
	}
	c := &p.claims
	c.src, c.nodes = text, nodes
	var hasClientID bool
	var party string // azp
	for name, v := range c.Root().Members() {
		var err error
		switch name {
		case "iss":
			c.Issuer, err = stringClaim(name, v)
		case "sub":
			c.Subject, err = stringClaim(name, v)
		case "jti":
			// An empty name would be shared by all that have it.
			if c.ID, err = stringClaim(name, v); err == nil && c.ID == "" {
				err = Refuse(ClaimsMalformed, "jti: a string that is not empty", `""`)
			}
		case "sid":
			c.SessionID, err = stringClaim(name, v)
		case "client_id":
			hasClientID = true
			c.ClientID, err = stringClaim(name, v)
		case "azp":
			party, err = stringClaim(name, v)
		case "aud":
			err = p.readAudience(v)
		case "exp":
			if c.Expires, err = dateClaim(name, v, false); err == nil && c.Expires.seconds >= maxSeconds {
				err = Refuse(ClaimsMalformed, "exp: a time before the year 10000", clip(v.Text()))
			}
		case "nbf":
			c.NotBefore, err = dateClaim(name, v, true)
		case "iat":
			c.IssuedAt, err = dateClaim(name, v, true)
		}
		if err != nil {
			return err
		}
	}
	if !hasClientID {
		c.ClientID = party
	}
	if c.Issuer == "" {
		return Refuse(IssuerMissing, "iss: a string that is not empty", "")
	}
	if !c.Expires.present {
		return Refuse(ExpiryMissing, "exp: a number", "")
	}
	return nil
}

// readAudience takes a string or an array of strings (RFC 7519 section 4.1.3).
func (p *Parser) readAudience(v Value) error {
	const want = "aud: a string or an array of strings"
	switch v.Kind() {
	case String:
		p.audience = append(p.audience, v.Text())
	case Array:
		for element := range v.Elements() {
			if element.Kind() != String {
				return Refuse(ClaimsMalformed, want, "an array with "+element.Kind().String())
			}
			p.audience = append(p.audience, element.Text())
		}
	default:
		return Refuse(ClaimsMalformed, want, v.Kind().String())
	}
	p.claims.Audience = p.audience
	return nil
}

func stringClaim(name string, v Value) (string, error) {
	if v.Kind() != String {
		return "", Refuse(ClaimsMalformed, name+": a string", v.Kind().String())
	}
	return v.Text(), nil
}

func dateClaim(name string, v Value, up bool) (NumericDate, error) {
	if v.Kind() != Number {
		return NumericDate{}, Refuse(ClaimsMalformed, name+": a number", v.Kind().String())
	}
	return parseDate(v.Text(), up), nil
}

// Get returns the value at p; its Kind is Missing when there is none.
func (c *Claims) Get(p Path) Value {
	if len(p.steps) == 0 {
		return Value{}
	}
	v := c.Root()
	for _, step := range p.steps {
		switch v.Kind() {
		case Object:
			v = v.member(step)
		case Array:
			i, ok := arrayIndex(step)
			if !ok || !p.pointer {
				return Value{}
			}
			v = v.element(i)
		default:
			return Value{}
		}
	}
	return v
}

// Root returns the whole claims set as an object.
func (c *Claims) Root() Value {
	if len(c.nodes) == 0 {
		return Value{}
	}
	return Value{claims: c}
}

// Size estimates the bytes of memory that c holds on to.
func (c *Claims) Size() int {
	return int(unsafe.Sizeof(*c)) + len(c.src) +
		cap(c.nodes)*int(unsafe.Sizeof(node{})) +
		cap(c.Audience)*int(unsafe.Sizeof(""))
}
