package demo

import (
	"fmt"
	"io"
	"strings"
)

// step is something to try: what it shows, what comes back, and the lines to
// copy into a shell. Steps share the shell's variables.
type step struct {
	shows  string
	expect string // status, and for refusals the code of the body; "text" in quotes is in the body, no "text" is not
	lines  []string
}

// steps are what the demo prints for its own Caddyfile; tests run them as they
// stand.
func (o options) steps(p *places) []step {
	if o.config != "" {
		return nil
	}
	gateway, issuer := p.gateway.url(), p.issuer.url()
	token := func(variable, form string) string {
		return fmt.Sprintf(`%s=$(curl -s -d format=token -d %s %s/token)`, variable, form, issuer)
	}
	orders := func(variable string) string {
		return fmt.Sprintf(`curl -si -H "Authorization: Bearer $%s" %s/orders`, variable, gateway)
	}
	return []step{
		{"No token", `401 token_missing`, []string{
			fmt.Sprintf(`curl -si %s/orders`, gateway),
		}},
		{"A good token", `200, the backend reads "X-User-Id: alice"`, []string{
			token("ALICE", "username=alice"),
			orders("ALICE"),
		}},
		{"An expired token", `401 token_expired`, []string{
			token("OLD", "username=alice -d lifetime=-1h"),
			orders("OLD"),
		}},
		{"A forged claim header beside a token", `200, the backend reads "X-User-Id: alice", no "mallory"`, []string{
			fmt.Sprintf(`curl -si -H "Authorization: Bearer $ALICE" -H "X-User-ID: mallory" -H "X_User_ID: mallory" %s/orders`, gateway),
		}},
		{"The same on a public path", `200, the backend reads "GET /public", no "mallory"`, []string{
			fmt.Sprintf(`curl -si -H "X-User-ID: mallory" %s/public`, gateway),
		}},
		{"A token without the needed scope", `403 insufficient_scope`, []string{
			token("BOB", "username=bob"),
			fmt.Sprintf(`curl -si -X POST -H "Authorization: Bearer $BOB" %s/orders`, gateway),
		}},
		{"A token without the needed role", `403 access_denied`, []string{
			fmt.Sprintf(`curl -si -H "Authorization: Bearer $ALICE" %s/admin`, gateway),
		}},
		{"A token with it", `200, the backend reads "X-User-Roles: admin,editor"`, []string{
			token("CAROL", "username=carol"),
			fmt.Sprintf(`curl -si -H "Authorization: Bearer $CAROL" %s/admin`, gateway),
		}},
		{"Another algorithm", `200, the backend reads "X-User-Id: alice"`, []string{
			token("EDDSA", "username=alice -d alg=EdDSA"),
			orders("EDDSA"),
		}},
		{"Logging out", `204, "No Content"`, []string{
			token("PHONE", "username=alice"),
			fmt.Sprintf(`curl -si -X POST -H "Authorization: Bearer $PHONE" %s/auth/logout`, gateway),
		}},
		{"The token that logged out, also after kill -9 and a restart", `401 token_revoked`, []string{
			orders("PHONE"),
		}},
		{"A new token of the same user", `200, the backend reads "X-User-Id: alice"`, []string{
			token("AGAIN", "username=alice"),
			orders("AGAIN"),
		}},
		{"A rotated key: the new one works at once", `200, the backend reads "X-User-Id: alice"`, []string{
			fmt.Sprintf(`curl -s -X POST %s/rotate`, issuer),
			token("NEW", "username=alice"),
			orders("NEW"),
		}},
	}
}

// describe prints where everything is and what to try.
func describe(w io.Writer, o options, p *places) error {
	var b strings.Builder
	fmt.Fprintf(&b, `jwtgate demo, on this machine only

  gateway  %s   %s; every decision is logged in %s
  issuer   %s   for development: gives a token to everybody who asks (alice, bob, carol)
  backend  %s   a legacy API that knows nothing of tokens
  admin    %s   Caddy's admin API

`, p.gateway.url(), o.name(), logFile(o.data), p.issuer.url(), p.backend.url(), p.admin.url())
	if o.config == "" {
		b.WriteString("Try, in another terminal and in this order:\n")
	} else {
		fmt.Fprintf(&b, "A token: curl -s -d format=token -d username=alice %s/token\n", p.issuer.url())
	}
	for n, s := range o.steps(p) {
		fmt.Fprintf(&b, "\n%d. %s -> %s\n", n+1, s.shows, s.expect)
		for _, line := range s.lines {
			fmt.Fprintf(&b, "     %s\n", line)
		}
	}
	fmt.Fprintf(&b, `
Rotated keys are fetched at once, then at most once in 30 seconds.
Keys and data stay in %s. Ctrl-C stops everything.
`, o.data)
	_, err := io.WriteString(w, b.String())
	return err
}
