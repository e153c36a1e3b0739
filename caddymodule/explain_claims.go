package caddymodule

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// token returns the token of the request as far as it can be read.
func (k *walk) token(o *explainOrder) *token.Token {
	raw := o.Token
	for _, g := range k.gates {
		if g.found != nil && g.found.Token != nil {
			return g.found.Token
		}
		if g.cred.token != "" {
			raw = g.cred.token
		}
	}
	if raw == "" {
		return nil
	}
	t, err := token.Parse(raw, int(maxTokenLimits.most))
	if err != nil {
		return nil
	}
	return t
}

// describe fills in what the token says: types of claims, values only if show.
func (x *explanation) describe(t *token.Token, show bool) {
	if t == nil {
		return
	}
	x.Token = &explainedToken{Alg: t.Header.Alg, Kid: excerptOf(t.Header.KeyID), Typ: excerptOf(t.Header.Type)}
	for name, v := range t.Claims.Root().Members() {
		value := v.AppendJSON(nil)
		if !show {
			value, _ = json.Marshal(v.Kind().String())
		}
		x.Claims[name] = value
	}
}

// headers says which headers of the gate the backend gets.
func (k *walk) headers(g *gateWalk, show bool) []explainedHeader {
	var out []explainedHeader
	switch result := g.result(); {
	case g.found != nil && (result == "allowed" || result == "undecided") && !(k.refused && result == "allowed"):
		for i := range g.found.Forward {
			out = append(out, k.header(&g.found.Forward[i], show, result == "allowed"))
		}
	default:
		absent := "no token was let through"
		if k.refused {
			absent = "the request is refused"
		}
		for _, f := range g.handler.Forward {
			form := cmp.Or(f.Form, "default")
			if f.Separator != "" {
				form += " " + strconv.Quote(f.Separator)
			}
			out = append(out, explainedHeader{Name: http.CanonicalHeaderKey(f.Header), Claim: f.Claim, Form: form, Absent: absent})
		}
	}
	return out
}

func (k *walk) header(f *gate.ForwardFinding, show, sent bool) explainedHeader {
	out := explainedHeader{Name: f.Header, Claim: f.Claim, Form: f.Form, Absent: f.Absent}
	switch {
	case f.Absent != "":
		return out
	case sent && k.final != nil && len(k.final[f.Header]) == 0:
		out.Absent = "the gate sets it, and a handler behind the gate deletes it: look for request_header and header_up"
		return out
	case sent && k.final != nil && !slices.Equal(k.final[f.Header], []string{f.Value}):
		k.warn("%s: a handler behind the gate changes what the gate has set: look for request_header and header_up", f.Header)
	}
	if show {
		out.Value = f.Value
	}
	return out
}
