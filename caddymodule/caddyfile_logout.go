package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// logoutWords are the words of a logout's block.
var logoutWords = []string{"allow_expired"}

// parseLogout reads the handler directive.
func parseLogout(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Logout)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive:
//
//	jwtgate_logout [<matcher>] [token|session|subject] {
//	    allow_expired <duration>
//	}
func (l *Logout) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	args := d.RemainingArgs()
	if len(args) > 1 {
		return d.Errf("jwtgate_logout: '%s' is one argument too many", args[1])
	}
	if len(args) == 1 {
		if !slices.Contains(logoutKinds, args[0]) {
			return d.Errf("jwtgate_logout: '%s' is not %s; a path to match begins with '/'", args[0], strings.Join(logoutKinds, ", "))
		}
		l.Kind = args[0]
	}
	b := newBlock(d, "jwtgate_logout")
	return b.each(func(word string) error {
		switch word {
		case "allow_expired":
			var allow *caddy.Duration
			if err := b.duration(word, &allow, allowExpiredLimits); err != nil {
				return err
			}
			l.AllowExpired = *allow
			return nil
		default:
			return b.unknown(word, logoutWords...)
		}
	})
}
