package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// spoofed is headers that clients may not send, in every spelling and on every
// kind of path (conformance 16.1 to 16.5).
func (l *lab) spoofed() []attack {
	tok := l.token(l.keys.ec)
	var attacks []attack
	// No X-Auth-* header but ours, and each of ours once.
	clean := func(also func(*testing.T, reply)) func(*testing.T, reply) {
		return func(t *testing.T, a reply) {
			for name, lines := range a.seen.Header {
				folded := gate.Fold(name)
				if strings.HasPrefix(folded, "x-auth-") && (name != "X-Auth-Sub" || len(lines) != 1 || lines[0] != "alice") {
					t.Errorf("%s: %q reached the backend", name, lines)
				}
				if strings.HasPrefix(folded, "x-internal-") || folded == "x-trace-user" {
					t.Errorf("%s: %q reached the backend", name, lines)
				}
			}
			if also != nil {
				also(t, a)
			}
		}
	}
	spellings := []string{"X-Auth-Sub", "x-auth-sub", "X-AUTH-SUB", "x-AuTh-sUb", "X_Auth_Sub", "X-Auth_Sub", "x_auth-sub", "X.Auth.Sub", "X-Auth.Sub", "X--Auth--Sub", "X-_.Auth-Sub", "X!Auth!Sub", "X#Auth$Sub", "X%Auth&Sub", "X'Auth*Sub", "X+Auth^Sub",
		"X`Auth|Sub", "X~Auth~Sub", "X-Auth-Email", "X_Auth_Email", "X-Auth-Roles", "x-auth-realm-roles", "X-Auth-Realm_Roles", "X-Auth-Plain", "X-Auth-All", "X-Internal-", "X-Internal-Role", "x_internal_role", "X.Internal.Role", "X-Trace-User", "X_Trace_User"}
	kinds := []struct {
		name, gate, method string
		head               []string
		sub                string
	}{
		{"token", "main", "GET", []string{"Authorization: Bearer " + tok}, "alice"},
		{"gate without forward", "narrow", "GET", []string{"Authorization: Bearer " + tok}, ""},
		{"anonymous", "optional", "GET", nil, ""},
		{"public", "public", "GET", nil, ""},
		{"observed", "observe", "GET", []string{"Authorization: Bearer a.b.c"}, ""},
		{"preflight", "preflight", "OPTIONS", []string{"Origin: https://app.example", "Access-Control-Request-Method: GET"}, ""},
	}
	for _, kind := range kinds {
		for _, spelling := range spellings {
			w := accepted("X-Auth-Sub", kind.sub)
			w.also = clean(nil)
			attacks = append(attacks, attack{name: kind.name + ", " + spelling, gate: kind.gate, method: kind.method, head: append([]string{spelling + ": mallory"}, kind.head...), want: w})
		}
		all := append([]string{}, kind.head...)
		for _, spelling := range spellings {
			all = append(all, spelling+": mallory", spelling+":", spelling+": mallory2")
		}
		w := accepted("X-Auth-Sub", kind.sub)
		w.also = clean(nil)
		attacks = append(attacks, attack{name: kind.name + ", all of them", gate: kind.gate, method: kind.method, head: all, want: w})
	}
	w := accepted("X-Auth", "mine", "X-Author", "mine", "X-Auth-Submarine", "mine", "Xauthsub", "mine", "X-Internals", "mine", "X-Auth-Sub", "alice")
	attacks = append(attacks, attack{name: "neighbours stay", gate: "main", token: tok, head: []string{"X-Auth: mine", "X-Author: mine", "X-Auth-Submarine: mine", "XAuthSub: mine", "X-Internals: mine"}, want: w})
	attacks = append(attacks, attack{name: "refused", gate: "main", head: []string{"X-Auth-Sub: mallory"}, want: refused(token.TokenMissing)})

	// Several gates on a request.
	scoped := l.token(l.keys.ec, `scope="orders:read"`, `email="a@example.com"`)
	attacks = append(attacks,
		attack{name: "two gates, both set theirs", gate: "twice", token: scoped, head: []string{"X-Auth-Sub: mallory", "X-Auth-Email: mallory"}, want: accepted("X-Auth-Sub", "alice", "X-Auth-Email", "a@example.com")},
		attack{name: "two gates, the second refuses", gate: "twice", token: tok, want: want{reasons: []token.Reason{token.ScopeMissing}, scope: "orders:read"}})
	return append(attacks, l.hopByHop()...)
}

// hopByHop is Connection and trailers (conformance 16.4, 16.5).
func (l *lab) hopByHop() []attack {
	tok := l.token(l.keys.ec, `roles=["reader"]`)
	bearer := "Authorization: Bearer " + tok
	kept := func() want {
		return accepted("X-Auth-Sub", "alice", "X-Auth-Roles", "reader", "Authorization", "Bearer "+tok)
	}
	var attacks []attack
	for name, head := range map[string][]string{
		"one name": {"Connection: X-Auth-Sub"}, "lower case": {"Connection: x-auth-sub"}, "underscores": {"Connection: X_Auth_Sub"}, "close and more": {"Connection: close, X-Auth-Sub, x-auth-roles"}, "two lines": {"Connection: close", "Connection: X-Auth-Sub"},
		"Authorization": {"Connection: Authorization"}, "AUTHORIZATION": {"Connection: close,AUTHORIZATION ,x-auth-sub"}, "empty elements": {"Connection: ,,X-Auth-Sub,,"}, "tabs": {"Connection: close,\tX-Auth-Sub\t"}, "keep-alive": {"Connection: keep-alive, X-Auth-Sub"},
		"upgrade": {"Connection: upgrade, X-Auth-Sub", "Upgrade: x"}, "Proxy-Connection": {"Proxy-Connection: X-Auth-Sub, Authorization"}, "Keep-Alive": {"Keep-Alive: X-Auth-Sub"}, "TE": {"TE: X-Auth-Sub", "Connection: TE, X-Auth-Sub"}, "Trailer": {"Trailer: X-Auth-Sub"},
		"quoted": {`Connection: "X-Auth-Sub", X-Auth-Sub`}, "all at once": {"Connection: X-Auth-Sub, X-Auth-Email, X-Auth-Name, X-Auth-Roles, X-Auth-Tenant, X-Auth-Admin, Authorization, Host, Content-Length"}, "field in lower case": {"connection: x-auth-sub"},
	} {
		attacks = append(attacks, attack{name: "Connection, " + name, gate: "main", head: append([]string{bearer}, head...), want: kept()})
	}

	chunked := func(name, announce, trailers, path string, head ...string) attack {
		raw := "POST /" + path + "/x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n" + announce
		for _, line := range head {
			raw += line + "\r\n"
		}
		w := accepted()
		w.also = func(t *testing.T, a reply) {
			for n, lines := range a.seen.Trailer {
				if folded := gate.Fold(n); strings.HasPrefix(folded, "x-auth-") || folded == "authorization" {
					t.Errorf("the trailer %s: %q reached the backend", n, lines)
				}
			}
			if a.seen.Body != "body" {
				t.Errorf("the backend got the body %q", a.seen.Body)
			}
			if strings.Contains(announce, "X-Checksum") && a.seen.Trailer.Get("X-Checksum") != "1" {
				t.Errorf("trailers %v, want X-Checksum", a.seen.Trailer)
			}
		}
		return attack{name: "trailers, " + name, gate: path, raw: raw + "\r\n4\r\nbody\r\n0\r\n" + trailers + "\r\n", want: w}
	}
	spoofs := "X-Auth-Sub: mallory\r\nx-auth-email: mallory\r\nAuthorization: Bearer x\r\n"
	for _, gate := range []string{"main", "public"} {
		attacks = append(attacks,
			chunked("announced", "Trailer: X-Auth-Sub, X-Auth-Email\r\n", spoofs, gate, bearer), chunked("not announced", "", spoofs, gate, bearer),
			chunked("announced beside another", "Trailer: X-Checksum, x-auth-sub\r\n", "X-Checksum: 1\r\n"+spoofs, gate, bearer), chunked("another announced", "Trailer: X-Checksum\r\n", "X-Checksum: 1\r\n"+spoofs, gate, bearer),
			chunked("other spellings", "Trailer: X_Auth_Sub, X.Auth.Email\r\n", "X_Auth_Sub: mallory\r\nX.Auth.Email: mallory\r\n", gate, bearer), chunked("announced and missing", "Trailer: X-Auth-Sub\r\n", "", gate, bearer))
	}
	attacks = append(attacks,
		attack{name: "a token as a trailer", gate: "main", raw: "POST /main/x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTrailer: X-Y\r\n\r\n0\r\nAuthorization: " + bearer[15:] + "\r\n\r\n", want: refused(token.TokenMissing)},
		attack{name: "large upload, bad token", gate: "main", raw: fmt.Sprintf("POST /main/x HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer abc\r\nContent-Length: %d\r\n\r\n", 1<<30), want: refused(token.TokenMalformed)},
		attack{name: "large upload sent whole, bad token", gate: "main", raw: fmt.Sprintf("POST /main/x HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer abc\r\nContent-Length: %d\r\n\r\n%s", 1<<22, strings.Repeat("u", 1<<22)), want: refused(token.TokenMalformed)},
		attack{name: "Expect, bad token", gate: "main", raw: "POST /main/x HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer abc\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n", want: refused(token.TokenMalformed)},
		attack{name: "Expect, good token", gate: "main", raw: "POST /main/x HTTP/1.1\r\nHost: HOST\r\n" + bearer + "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", want: accepted("X-Auth-Sub", "alice")},
	)
	return attacks
}
