package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// revokeWords are the words of a revocation endpoint's block.
var revokeWords = []string{"secret", "secret_file", "issuer", "scope"}

// parseRevoke reads the handler directive.
func parseRevoke(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Revoke)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive:
//
//	jwtgate_revoke [<matcher>] {
//	    secret      <secret>           # one of these three
//	    secret_file <path>
//	    issuer      <issuer>
//	    scope       <scope...>         # with issuer: any of them
//	}
func (v *Revoke) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("jwtgate_revoke takes no arguments besides a matcher, but there is '%s'; a path to match begins with '/'", d.Val())
	}
	const oneWay = "one of them tells who may call"
	b := newBlock(d, "jwtgate_revoke")
	err := b.each(func(word string) error {
		switch word {
		case "secret":
			if err := b.excludes(word, oneWay, "secret_file", "issuer"); err != nil {
				return err
			}
			return b.value(word, &v.Secret)
		case "secret_file":
			if err := b.excludes(word, oneWay, "secret", "issuer"); err != nil {
				return err
			}
			return b.value(word, &v.SecretFile)
		case "issuer":
			if err := b.excludes(word, oneWay, "secret", "secret_file"); err != nil {
				return err
			}
			return b.value(word, &v.Issuer)
		case "scope":
			if err := b.once(word); err != nil {
				return err
			}
			values, err := b.values(word, 1, -1)
			if err != nil {
				return err
			}
			if err := unique(&v.Scope, values...); err != nil {
				return b.wrap(word, err)
			}
			return b.wrap(word, (&Requirement{Kind: "scope", Values: v.Scope}).check())
		default:
			return b.unknown(word, revokeWords...)
		}
	})
	if err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return d.Errf("jwtgate_revoke: %w", err)
	}
	return nil
}
