package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the global option:
//
//	jwtgate {
//	    issuer <issuer> { ... }     # repeatable, see Issuer
//	    revocation { ... }          # see Revocation
//	    cache <size>|off
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume option name
	return a.unmarshal(d)
}

func (a *App) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("jwtgate: the global option takes no arguments, but there is '%s'", d.Val())
	}
	b := newBlock(d, "jwtgate")
	return b.each(func(word string) error {
		switch word {
		case "issuer":
			issuer, _, err := readIssuer(b)
			if err != nil {
				return err
			}
			for _, other := range a.Issuers {
				if other.Issuer == issuer.Issuer {
					return b.fail(word, "'%s' is given twice", issuer.Issuer)
				}
			}
			a.Issuers = append(a.Issuers, issuer)
			return nil
		case "revocation":
			if err := b.once(word); err != nil {
				return err
			}
			if err := b.openBlock(word); err != nil {
				return err
			}
			a.Revocation = new(Revocation)
			return a.Revocation.read(b.Dispenser)
		case "cache":
			if err := b.value(word, &a.Cache); err != nil {
				return err
			}
			_, err := cacheSize(a.Cache)
			return b.wrap(word, err)
		default:
			return b.unknown(word, "issuer", "revocation", "cache")
		}
	})
}

var _ caddyfile.Unmarshaler = (*App)(nil)
