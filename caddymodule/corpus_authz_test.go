package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// authorization is how a request carries its token.
func (l *lab) authorization() []attack {
	tok := l.token(l.keys.ec)
	other := l.token(l.keys.rsa)
	line := func(name, value string, w want) attack {
		return attack{name: name, gate: "main", head: []string{"Authorization: " + value}, want: w}
	}
	lines := func(name string, w want, head ...string) attack {
		return attack{name: name, gate: "main", head: head, want: w}
	}
	missing, malformed, bad := refused(token.TokenMissing), refused(token.AuthorizationMalformed), refused(token.TokenMalformed)
	alice := accepted("X-Auth-Sub", "alice")

	attacks := []attack{
		{name: "nothing", gate: "main", want: missing},
		line("empty", "", missing), line("blanks", " \t ", missing),
		line("Basic", "Basic YWxpY2U6c2VjcmV0", missing), line("Digest", `Digest username="alice"`, missing), line("Token", "Token "+tok, missing),
		line("JWT", "JWT "+tok, missing), line("DPoP", "DPoP "+tok, missing), line("Bearerx", "Bearerx "+tok, missing), line("Beare", "Beare "+tok, missing),
		line("no blank", "Bearer"+tok, missing), line("token alone", tok, missing), line("Bearer_", "Bearer_ "+tok, missing),
		line("usual", "Bearer "+tok, alice), line("lower case", "bearer "+tok, alice), line("upper case", "BEARER "+tok, alice), line("mixed case", "bEaReR "+tok, alice),
		line("two blanks", "Bearer  "+tok, alice), line("many blanks", "Bearer"+strings.Repeat(" ", 50)+tok, alice), line("white space around", " \t Bearer "+tok+" \t ", alice),
		lines("field in lower case", alice, "authorization: Bearer "+tok), lines("field in upper case", alice, "AUTHORIZATION:Bearer "+tok),
		line("scheme alone", "Bearer", malformed), line("scheme and blank", "Bearer ", malformed), line("scheme and comma", "Bearer,", malformed),
		line("tab", "Bearer\t"+tok, malformed), line("blank and tab", "Bearer \t"+tok, malformed), line("two tokens", "Bearer "+tok+" "+other, malformed),
		line("list of credentials", "Bearer "+tok+", Bearer "+other, malformed), line("trailing comma", "Bearer "+tok+",", malformed),
		line("leading comma", "Bearer ,"+tok, malformed), line("comma before scheme", ", Bearer "+tok, malformed), line("Basic before", "Basic YTpi, Bearer "+tok, missing),
		line("quotes", `Bearer "`+tok+`"`, malformed), line("quotes around all", `"Bearer `+tok+`"`, malformed), line("single quotes", "Bearer '"+tok+"'", malformed),
		line("scheme twice", "Bearer Bearer "+tok, malformed), line("equals sign", "Bearer="+tok, malformed), line("colon", "Bearer: "+tok, malformed),
		line("parameter", "Bearer token="+tok, malformed), line("quoted parameter", `Bearer token="`+tok+`"`, malformed), line("semicolon", "Bearer "+tok+";", malformed),
		line("percent", "Bearer %65"+tok[1:], malformed), line("non-ASCII", "Bearer "+tok+"é", malformed), line("fullwidth", "Bearer ｅ"+tok[1:], malformed),
		line("no-break space", "Bearer\u00a0"+tok, malformed), line("braces", "Bearer {"+tok+"}", malformed), line("placeholder", "Bearer {env.HOME}", malformed),
		line("angle brackets", "Bearer <"+tok+">", malformed), line("JSON", `Bearer {"token":1}`, malformed), line("backslash", `Bearer \`+tok, malformed),
		line("equals sign alone", "Bearer =", malformed), line("equals sign within", "Bearer a=.b.c", malformed), line("invalid UTF-8", "Bearer "+tok+"\xff", malformed),
		line("dot", "Bearer .", bad), line("tilde", "Bearer ~", bad), line("null", "Bearer null", bad), line("undefined", "Bearer undefined", bad), line("word", "Bearer abc", bad),
		line("token68 characters", "Bearer a+b/c.d~e.f", refused(token.TokenMalformed)),
		lines("same line twice", malformed, "Authorization: Bearer "+tok, "Authorization: Bearer "+tok),
		lines("two lines", malformed, "Authorization: Bearer "+tok, "Authorization: Bearer "+other),
		lines("bad line first", malformed, "Authorization: Bearer abc", "Authorization: Bearer "+tok),
		lines("Basic and Bearer", malformed, "Authorization: Basic YTpi", "Authorization: Bearer "+tok),
		lines("Bearer and Basic", malformed, "Authorization: Bearer "+tok, "Authorization: Basic YTpi"),
		lines("Bearer and empty", malformed, "Authorization: Bearer "+tok, "Authorization:"),
		lines("two spellings", malformed, "authorization: Bearer "+tok, "AUTHORIZATION: Bearer "+other),
		lines("blank before the colon", stopped(400), "Authorization : Bearer "+tok),
		lines("NUL", stopped(400), "Authorization: Bearer "+tok+"\x00"), lines("SOH", stopped(400), "Authorization: Bearer \x01"+tok),
		lines("DEL", stopped(400), "Authorization: Bearer "+tok+"\x7f"), lines("bare CR", stopped(400), "Authorization: Bearer\r"+tok),
		lines("vertical tab", stopped(400), "Authorization: Bearer\v"+tok), lines("bare LF in the token", stopped(400), "Authorization: Bearer "+tok[:20]+"\n"+tok[20:]),
		lines("folded", stopped(200, 400), "Authorization: Bearer", " "+tok), lines("folded token", stopped(400), "Authorization: Bearer "+tok[:20], " "+tok[20:]),
		lines("underscore", missing, "Authorization_: Bearer "+tok), lines("X-Authorization", missing, "X-Authorization: Bearer "+tok),
		lines("Proxy-Authorization", missing, "Proxy-Authorization: Bearer "+tok), lines("X-Forwarded-Access-Token", missing, "X-Forwarded-Access-Token: "+tok),
		lines("cookie", missing, "Cookie: access_token="+tok+"; session="+tok), lines("X-Api-Token", missing, "X-Api-Token: "+tok),
		lines("subprotocol", missing, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: jwtgate.bearer."+tok),
		{name: "query", gate: "main", target: "/main/x?access_token=" + tok, want: missing},
		{name: "form body", gate: "main", method: "POST", head: []string{"Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(tok)+13)},
			body: "access_token=" + tok, want: missing},
		{name: "header and unread query", gate: "main", token: tok, target: "/main/x?access_token=" + other, want: alice},
		{name: "Authorization goes on", gate: "main", token: tok, want: accepted("Authorization", "Bearer "+tok)},
		{name: "strip_token", gate: "strip", token: tok, want: accepted("Authorization", "", "X-Auth-Sub", "alice")},
	}
	for i, malformedToken := range []string{"", "abc", "a.b", "..", "a.b.c.d"} {
		attacks = append(attacks, attack{name: fmt.Sprintf("optional, bad token %d", i), gate: "optional", head: []string{"Authorization: Bearer " + malformedToken},
			want: refused(token.AuthorizationMalformed, token.TokenMalformed)})
	}
	return append(attacks,
		attack{name: "optional, no token", gate: "optional", want: accepted("X-Auth-Sub", "")},
		attack{name: "optional, other scheme", gate: "optional", head: []string{"Authorization: Basic YTpi"}, want: accepted("X-Auth-Sub", "")},
		attack{name: "optional, token of another issuer", gate: "optional", token: l.token(l.keys.ec, `iss="https://evil.example"`), want: refused(token.IssuerUnknown)},
		attack{name: "optional, expired", gate: "optional", token: l.token(l.keys.ec, "exp=1"), want: refused(token.Expired)},
		attack{name: "optional, good token", gate: "optional", token: tok, want: alice},
		attack{name: "public, bad token", gate: "public", token: "abc", want: accepted("X-Auth-Sub", "", "Authorization", "Bearer abc")},
		attack{name: "observe, no token", gate: "observe", want: accepted("X-Auth-Sub", "")},
		attack{name: "observe, bad token", gate: "observe", token: "a.b.c", head: []string{"X-Auth-Sub: mallory"}, want: accepted("X-Auth-Sub", "")},
		attack{name: "observe, good token", gate: "observe", token: tok, want: alice},
	)
}

// places is tokens outside the Authorization header, where they are allowed.
func (l *lab) places() []attack {
	tok, other := l.token(l.keys.ec), l.token(l.keys.rsa)
	query := func(name, q string, w want, head ...string) attack {
		return attack{name: name, gate: "query", target: "/query/x?" + q, head: head, want: w}
	}
	missing, twice, malformed := refused(token.TokenMissing), refused(token.TokenDuplicate), refused(token.AuthorizationMalformed)
	bearer := "Authorization: Bearer " + tok
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	ws := func(name string, w want, head ...string) attack {
		return attack{name: name, gate: "ws", head: append(upgrade[:len(upgrade):len(upgrade)], head...), want: w}
	}
	return []attack{
		query("alone", "access_token="+tok, atURI("/query/x")), query("among others", "a=1&access_token="+tok+"&b=2", atURI("/query/x?a=1&b=2")),
		query("escaped name", "access%5Ftoken="+tok, atURI("/query/x")), query("escaped value", "access_token=%65"+tok[1:], atURI("/query/x")),
		query("other case", "Access_Token="+tok, missing), query("prefix", "xaccess_token="+tok, missing), query("array", "access_token[]="+tok, missing),
		query("twice", "access_token="+tok+"&access_token="+tok, twice), query("twice, one escaped", "access_token="+tok+"&access%5ftoken="+other, twice),
		query("twice, one empty", "access_token=&access_token="+tok, twice), query("broken escape", "access_token=%zz"+tok, malformed), query("empty", "access_token=", missing),
		query("quotes", `access_token=%22`+tok+`%22`, malformed), query("with header", "access_token="+other, twice, bearer), query("same as header", "access_token="+tok, twice, bearer),
		query("header alone", "a=1", accepted("X-Auth-Sub", "alice"), bearer), query("bearer prefix", "access_token=Bearer%20"+tok, malformed), query("semicolon", "a=1;access_token="+tok, missing),
		{name: "fragment of nothing", gate: "query", want: missing},

		{name: "alone", gate: "cookie", head: []string{"Cookie: session=" + tok}, want: accepted("X-Auth-Sub", "alice")},
		{name: "quoted", gate: "cookie", head: []string{`Cookie: a=b; session="` + tok + `"; c=d`}, want: accepted("X-Auth-Sub", "alice")},
		{name: "twice", gate: "cookie", head: []string{"Cookie: session=" + tok + "; session=" + tok}, want: twice},
		{name: "in two lines", gate: "cookie", head: []string{"Cookie: session=" + tok, "Cookie: session=" + other}, want: twice},
		{name: "with header", gate: "cookie", head: []string{"Cookie: session=" + tok, bearer}, want: twice},
		{name: "other case", gate: "cookie", head: []string{"Cookie: Session=" + tok}, want: missing},
		{name: "foreign page", gate: "cookie", method: "POST", head: []string{"Cookie: session=" + tok, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Content-Length: 0"}, want: refused(token.CrossOrigin)},
		{name: "bad token", gate: "cookie", head: []string{"Cookie: session=a.b.c"}, want: refused(token.TokenMalformed)},

		{name: "alone", gate: "header", head: []string{"X-Api-Token: " + tok}, want: accepted("X-Auth-Sub", "alice")},
		{name: "with scheme", gate: "header", head: []string{"x-api-token: bearer " + tok}, want: accepted("X-Auth-Sub", "alice")},
		{name: "two lines", gate: "header", head: []string{"X-Api-Token: " + tok, "X-Api-Token: " + tok}, want: twice},
		{name: "with header", gate: "header", head: []string{"X-Api-Token: " + tok, bearer}, want: twice},
		{name: "malformed", gate: "header", head: []string{"X-Api-Token: " + tok + ", " + tok}, want: malformed},

		ws("alone", accepted("X-Auth-Sub", "alice", "Sec-Websocket-Protocol", ""), "Sec-WebSocket-Protocol: jwtgate.bearer."+tok),
		ws("among others", accepted("X-Auth-Sub", "alice", "Sec-Websocket-Protocol", "chat"), "Sec-WebSocket-Protocol: chat, jwtgate.bearer."+tok),
		ws("two", twice, "Sec-WebSocket-Protocol: jwtgate.bearer."+tok+", jwtgate.bearer."+other),
		ws("with header", twice, "Sec-WebSocket-Protocol: jwtgate.bearer."+tok, bearer),
		{name: "no upgrade", gate: "ws", head: []string{"Sec-WebSocket-Protocol: jwtgate.bearer." + tok}, want: missing},
	}
}

// atURI expects the backend to get this request URI.
func atURI(uri string) want {
	w := accepted("X-Auth-Sub", "alice")
	w.also = func(t *testing.T, a reply) {
		if a.seen.URI != uri {
			t.Errorf("the backend got %s, want %s", a.seen.URI, uri)
		}
	}
	return w
}

// methods is that every method, and whatever claims to change it or the path,
// meets the gate (conformance 2.9, 2.10).
func (l *lab) methods() []attack {
	tok := l.token(l.keys.ec)
	missing, alice := refused(token.TokenMissing), accepted("X-Auth-Sub", "alice")
	var attacks []attack
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "get", "Options", "FOO", "PURGE"} {
		head := []string{}
		if method == "POST" || method == "PUT" || method == "PATCH" {
			head = append(head, "Content-Length: 0")
		}
		attacks = append(attacks,
			attack{name: method + " without", gate: "main", method: method, head: head, want: missing},
			attack{name: method + " with", gate: "main", method: method, token: tok, head: head, want: alice})
	}
	preflight := []string{"Origin: https://app.example", "Access-Control-Request-Method: GET"}
	with := func(more ...string) []string { return append(preflight[:len(preflight):len(preflight)], more...) }
	p := func(name, gate, method string, w want, head ...string) attack {
		return attack{name: name, gate: gate, method: method, head: head, want: w}
	}
	attacks = append(attacks,
		p("preflight, off", "main", "OPTIONS", missing, preflight...), p("preflight, on", "preflight", "OPTIONS", accepted("X-Auth-Sub", ""), with("X-Auth-Sub: mallory", "X-HTTP-Method-Override: DELETE", "X_HTTP_METHOD: DELETE")...),
		p("OPTIONS alone", "preflight", "OPTIONS", missing), p("Origin alone", "preflight", "OPTIONS", missing, preflight[0]), p("request method alone", "preflight", "OPTIONS", missing, preflight[1]),
		p("GET as a preflight", "preflight", "GET", missing, preflight...), p("options as a preflight", "preflight", "options", missing, preflight...), p("two origins", "preflight", "OPTIONS", missing, with("Origin: https://b.example")...),
		p("two request methods", "preflight", "OPTIONS", missing, with("Access-Control-Request-Method: PUT")...), p("with a body", "preflight", "OPTIONS", missing, with("Transfer-Encoding: chunked", "Content-Type: text/plain")...),
		p("with an upgrade", "preflight", "OPTIONS", missing, with("Connection: Upgrade", "Upgrade: websocket")...), p("with a bad token", "preflight", "OPTIONS", refused(token.TokenMalformed), with("Authorization: Bearer abc")...),
		p("with another scheme", "preflight", "OPTIONS", missing, with("Authorization: Basic YTpi")...),
	)
	for i := range attacks {
		if attacks[i].name == "with a body" {
			attacks[i].body = "0\r\n\r\n"
		}
		if attacks[i].name == "preflight, on" {
			attacks[i].want.also = func(t *testing.T, a reply) {
				for name := range a.seen.Header {
					if strings.Contains(strings.ToLower(name), "override") || strings.Contains(strings.ToLower(name), "http-method") {
						t.Errorf("%s goes with a preflight", name)
					}
				}
			}
		}
	}
	for _, head := range []string{
		"X-HTTP-Method-Override: OPTIONS", "X-Original-URL: /public/x", "X-Rewrite-URL: /public/x", "X-Forwarded-Uri: /public/x", "X-Envoy-Original-Path: /public/x", "X-Forwarded-Prefix: /public",
		"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Forwarded-Host: localhost", "X-Forwarded-Method: OPTIONS", "Upgrade: h2c", "Via: 1.1 gateway", "X-Auth-Sub: alice",
		"Purpose: prefetch", "X-Custom-IP-Authorization: 127.0.0.1", "Sec-Fetch-Mode: cors", "Content-Type: application/json",
	} {
		attacks = append(attacks, attack{name: head, gate: "main", head: []string{head}, want: missing})
	}
	for _, target := range []string{
		"/%6dain/x", "/MAIN/x", "//main/x", "/main//x", "/./main/x", "/public/../main/x", "/public/%2e%2e/main/x", "/main/x;y", "/main/x/", "/main/x?", "/main/x#f", "/main/x%00", "/main/%2e%2e/main/x",
		"/main/x/..%2f", "/main/..;/x", "/public/..%2fmain/x/../../main/x",
	} {
		w := missing
		if !strings.HasPrefix(target, "/main/") && target != "/%6dain/x" {
			// Another spelling of the path may be another route, but never the
			// protected one unprotected.
			w = want{server: []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusOK, http.StatusBadRequest}, also: neverMain}
		}
		if strings.Contains(target, "#") || target == "/main/%2e%2e/main/x" {
			w = want{server: []int{http.StatusUnauthorized, http.StatusBadRequest}}
		}
		attacks = append(attacks, attack{name: "path " + target, gate: "main", target: target, want: w})
	}
	return append(attacks,
		attack{name: "absolute form", gate: "main", target: "http://" + l.addr + "/main/x", want: missing},
		attack{name: "absolute form, other host", gate: "main", target: "http://internal.example/main/x", want: missing},
		attack{name: "CONNECT", gate: "main", raw: "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", want: want{server: []int{200, 400, 401, 404, 405}, also: notAtBackend}},
		attack{name: "CONNECT with a path", gate: "main", raw: "CONNECT /main/x HTTP/1.1\r\nHost: HOST\r\n\r\n", want: want{server: []int{400, 401}, also: notAtBackend}},
		attack{name: "HTTP/1.0", gate: "main", raw: "GET /main/x HTTP/1.0\r\nHost: HOST\r\n\r\n", want: missing},
		attack{name: "HTTP/1.0 without a host", gate: "main", raw: "GET /main/x HTTP/1.0\r\n\r\n", want: missing},
		attack{name: "HTTP/1.0 with a token", gate: "main", raw: "GET /main/x HTTP/1.0\r\nHost: HOST\r\nAuthorization: Bearer " + tok + "\r\n\r\n", want: alice},
		attack{name: "two requests smuggled", gate: "main", raw: "POST /public/x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", want: want{server: []int{200, 400}}},
	)
}

// notAtBackend is for what may be answered, but not by the backend.
func notAtBackend(t *testing.T, a reply) {
	if a.hits > 0 {
		t.Errorf("it reached the backend: %+v", a.seen)
	}
}

// neverMain is for requests without a token on strange paths.
func neverMain(t *testing.T, a reply) {
	if a.hits > 0 && !strings.HasPrefix(a.seen.URI, "/public/") {
		t.Errorf("%s reached the backend without a token", a.seen.URI)
	}
}
