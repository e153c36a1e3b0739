package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/policy"
)

// gateWords are the words of a gate's block.
var gateWords = []string{
	"issuer", "audience", "require", "forward", "strip", "strip_token", "token_from", "optional", "public",
	"preflight", "cors", "observe", "realm", "max_token", "max_header", "log_user",
}

// looksAtToken are the words that mean nothing where no token is looked at.
var looksAtToken = []string{
	"issuer", "audience", "require", "strip_token", "token_from", "optional", "observe", "max_token",
}

// UnmarshalCaddyfile reads the directive:
//
//	jwtgate [<matcher>] {
//	    issuer      <issuer> [{ ... }]                  # repeatable
//	    audience    <audience...> | any                 # repeatable
//	    require     [all] scope <scope...>              # repeatable, every line must hold
//	    require     [all] claim <claim> [<value...>]
//	    require     expr <cel>
//	    forward {                                       # repeatable
//	        <header> <claim> [join <separator> | json | base64url | utf8]
//	    }
//	    strip       <header|prefix-*...>                # repeatable
//	    strip_token
//	    token_from  header <name> | cookie <name> [[origins] <origin...>] | query <name> | websocket
//	    optional
//	    public
//	    preflight   on|off
//	    cors        <origin...>
//	    observe
//	    realm       <realm>
//	    max_token   <size>
//	    max_header  <size> [drop|refuse]
//	    log_user    on|off
//	}
//
// Without a block it asks for a token of any issuer of the app.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("%w, but there is '%s'", errNoArguments, d.Val())
	}
	b := newBlock(d, "jwtgate")
	return b.each(func(word string) error { return h.read(b, word) })
}

func (h *Handler) read(b *block, word string) error {
	if word == "public" {
		if err := b.excludes(word, "a public gate looks at no token", looksAtToken...); err != nil {
			return err
		}
	}
	for _, w := range looksAtToken {
		if w == word {
			if err := b.excludes(word, "a public gate looks at no token", "public"); err != nil {
				return err
			}
		}
	}
	switch word {
	case "issuer":
		return h.readIssuer(b)
	case "audience":
		return readAudience(b, &h.Audience, &h.AnyAudience)
	case "require":
		return h.readRequire(b)
	case "forward":
		return h.readForward(b)
	case "strip":
		return h.readStrip(b)
	case "strip_token":
		return b.flag(word, &h.StripToken)
	case "token_from":
		return h.readTokenFrom(b)
	case "optional":
		return b.flag(word, &h.Optional)
	case "public":
		return b.flag(word, &h.Public)
	case "observe":
		return b.flag(word, &h.Observe)
	case "preflight":
		if err := b.toggle(word, &h.Preflight); err != nil {
			return err
		}
		return h.checkPreflight(b, word, "cors")
	case "cors":
		return h.readCORS(b)
	case "realm":
		if err := b.value(word, &h.Realm); err != nil {
			return err
		}
		return b.wrap(word, checkRealm(h.Realm))
	case "max_token":
		if err := b.value(word, &h.MaxToken); err != nil {
			return err
		}
		_, err := parseSize(h.MaxToken, maxTokenLimits)
		return b.wrap(word, err)
	case "max_header":
		return h.readMaxHeader(b)
	case "log_user":
		return b.toggle(word, &h.LogUser)
	default:
		return b.unknown(word, gateWords...)
	}
}

func (h *Handler) readIssuer(b *block) error {
	issuer, hasBlock, err := readIssuer(b)
	if err != nil {
		return err
	}
	for _, other := range h.issuerNames() {
		if other == issuer.Issuer {
			return b.fail("issuer", "'%s' is given twice", issuer.Issuer)
		}
	}
	if hasBlock {
		h.Issuers = append(h.Issuers, issuer)
	} else {
		h.UseIssuers = append(h.UseIssuers, issuer.Issuer)
	}
	return nil
}

// issuerNames returns the issuers of the gate as configured.
func (h *Handler) issuerNames() []string {
	names := append([]string(nil), h.UseIssuers...)
	for _, i := range h.Issuers {
		names = append(names, i.Issuer)
	}
	return names
}

func (h *Handler) readRequire(b *block) error {
	const word = "require"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	r := &Requirement{}
	if values[0] == "all" {
		if r.All, values = true, values[1:]; len(values) == 0 {
			return b.fail(word, "after 'all' scope or claim is missing")
		}
	}
	r.Kind, values = values[0], values[1:]
	switch r.Kind {
	case "scope":
		r.Values = values
	case "claim":
		if len(values) == 0 {
			return b.fail(word, "after 'claim' its path is missing")
		}
		r.Claim, r.Values = values[0], values[1:]
	case "expr":
		if len(values) != 1 {
			return b.fail(word, "an expression is one value: quote it with backticks")
		}
		r.Expr = values[0]
	default:
		return b.fail(word, "'%s' is not scope, claim, expr, all scope or all claim", r.Kind)
	}
	if len(r.Values) == 0 {
		r.Values = nil
	}
	if err := r.check(); err != nil {
		return b.wrap(word, err)
	}
	if _, err := policy.Compile([]policy.RuleConfig{r.rule()}); err != nil {
		return b.wrap(word, err)
	}
	h.Require = append(h.Require, r)
	return nil
}

func (h *Handler) readForward(b *block) error {
	if err := b.openBlock("forward"); err != nil {
		return err
	}
	inner := newBlock(b.Dispenser, "forward")
	return inner.each(func(header string) error {
		values, err := inner.values(header, 1, 3)
		if err != nil {
			return err
		}
		f := &ForwardedClaim{Header: header, Claim: values[0]}
		if len(values) > 1 {
			f.Form = values[1]
		}
		switch {
		case f.Form == "join" && len(values) < 3:
			return inner.fail(header, "after 'join' the separator is missing")
		case f.Form == "join":
			f.Separator = values[2]
		case len(values) == 3:
			return inner.fail(header, "nothing may follow '%s', but there is '%s'", f.Form, values[2])
		}
		if err := f.check(); err != nil {
			return inner.WrapErr(err)
		}
		for _, other := range h.Forward {
			if gate.Fold(other.Header) == gate.Fold(header) {
				return inner.fail(header, "the header is forwarded twice, also as '%s'", other.Header)
			}
		}
		h.Forward = append(h.Forward, f)
		return nil
	})
}

func (h *Handler) readStrip(b *block) error {
	const word = "strip"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	for _, v := range values {
		if err := gate.CheckManagedPattern(v); err != nil {
			return b.wrap(word, err)
		}
	}
	return b.wrap(word, unique(&h.Strip, values...))
}

func (h *Handler) readTokenFrom(b *block) error {
	const word = "token_from"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	t := &TokenSource{From: values[0]}
	rest := values[1:]
	if len(rest) > 0 {
		t.Name, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 && t.From == "cookie" {
		if rest[0] == "origins" { // the word may stand before them
			rest = rest[1:]
		}
		if t.Origins = rest; len(rest) == 0 {
			return b.fail(word, "after 'origins' an origin is missing")
		}
		rest = nil
	}
	if len(rest) > 0 {
		return b.fail(word, "'%s' is too much; write header NAME, cookie NAME [ORIGIN...], query NAME or websocket", rest[0])
	}
	if err := t.check(); err != nil {
		return b.wrap(word, err)
	}
	for _, other := range h.TokenFrom {
		if other.same(t) {
			return b.fail(word, "'%s' is given twice", strings.TrimSpace(t.From+" "+t.Name))
		}
	}
	h.TokenFrom = append(h.TokenFrom, t)
	return nil
}

func (h *Handler) readCORS(b *block) error {
	const word = "cors"
	if err := b.once(word); err != nil {
		return err
	}
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	for _, v := range values {
		if err := checkOriginText(v); err != nil {
			return b.wrap(word, err)
		}
	}
	if err := unique(&h.CORS, values...); err != nil {
		return b.wrap(word, err)
	}
	return h.checkPreflight(b, word, "preflight")
}

// checkPreflight refuses `preflight off` beside `cors`, which is of no use to a
// browser whose preflights are refused.
func (h *Handler) checkPreflight(b *block, word, other string) error {
	if h.Preflight == nil || *h.Preflight {
		return nil
	}
	return b.excludes(word, "with cors, preflights have to pass", other)
}

func (h *Handler) readMaxHeader(b *block) error {
	const word = "max_header"
	if err := b.once(word); err != nil {
		return err
	}
	values, err := b.values(word, 1, 2)
	if err != nil {
		return err
	}
	h.MaxHeader = values[0]
	if _, err := parseSize(h.MaxHeader, maxHeaderLimits); err != nil {
		return b.wrap(word, err)
	}
	if len(values) == 2 {
		h.MaxHeaderAction = values[1]
		return b.wrap(word, checkWord(values[1], "drop", "refuse"))
	}
	return nil
}

// check refuses what no gate could make sense of. Its errors begin with forward.
func (f *ForwardedClaim) check() error {
	if err := gate.CheckManagedName(f.Header); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	if f.Form != "join" && f.Separator != "" {
		return fmt.Errorf("forward %s: a separator needs the form join", f.Header)
	}
	_, err := gate.NewForward([]gate.ForwardConfig{f.line()}, defaultMaxHeader, false)
	return err
}

// line is f as package gate wants it.
func (f *ForwardedClaim) line() gate.ForwardConfig {
	return gate.ForwardConfig{Header: f.Header, Claim: f.Claim, Form: f.Form, Sep: f.Separator}
}
