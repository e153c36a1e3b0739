package caddymodule_test

import "github.com/jwtgate/jwtgate/token"

// rules is scope, claims and expressions (conformance 1.8, 1.19, 9.17).
func (l *lab) rules() []attack {
	k := l.keys.ec
	var attacks []attack
	add := func(gate, name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.token(k, edits...), want: w})
	}
	in := accepted()
	lacks := func(scope string) want { return want{reasons: []token.Reason{token.ScopeMissing}, scope: scope} }
	none := lacks("orders:read orders:write")
	for _, scope := range []string{`"orders:read"`, `"orders:write"`, `"a orders:read b"`, `"  orders:read  "`, `"orders:read orders:read"`, `"\u006frders:read"`} {
		add("scope", "scope "+scope, in, "scope="+scope)
	}
	for _, scope := range []string{
		`""`, `"orders"`, `"orders:"`, `"orders:reader"`, `"xorders:read"`, `"ORDERS:READ"`, `"orders:*"`, `"*"`, `"orders:read,orders:write"`, `"a,orders:read"`, `"a\torders:read"`, `"a\norders:read"`, `"a\u00a0orders:read"`, `"orders:read;"`, `"\"orders:read\""`,
		`"orders:read\u0000"`, "null", "7", "true", "{}", `["orders:read"]`, `["orders:read","orders:write"]`, `{"orders:read":true}`,
	} {
		add("scope", "scope "+scope, none, "scope="+scope)
	}
	add("scope", "no scope", none)
	for _, scp := range []string{`"orders:read"`, `["orders:read"]`, `["a","orders:write"]`, `"a orders:read"`} {
		add("scope", "scp "+scp, in, "scp="+scp)
		add("scope", "scp behind a scope "+scp, none, `scope="a"`, "scp="+scp)
	}
	for _, scp := range []string{`["orders:read",7]`, `["a orders:read"]`, `[["orders:read"]]`, `{}`, "null", "[]", `["orders:READ"]`} {
		add("scope", "scp "+scp, none, "scp="+scp)
	}
	add("scope", "expired and without scope", refused(token.Expired), "exp=1")
	add("scope", "wrong audience and without scope", refused(token.AudienceMismatch), `aud="other"`)
	attacks = append(attacks, attack{name: "forged and without scope", gate: "scope", token: l.token(l.keys.rogueEC), want: refused(token.SignatureInvalid)})
	add("scopeall", "all", in, `scope="orders:write profile orders:read"`)
	add("scopeall", "one of two", none, `scope="orders:write profile"`)
	add("scopeall", "second line unmet", lacks("profile"), `scope="orders:write orders:read"`)
	add("scopeall", "both lines unmet", none, `scope="x"`)

	denied := refused(token.ClaimDenied)
	role := func(roles string) string { return `realm_access={"roles":` + roles + `}` }
	add("claim", "role and level", in, role(`["admin"]`), "level=3")
	add("claim", "role as a string", in, role(`"editor"`), `level="3"`)
	add("claim", "level true", in, role(`["a","editor"]`), "level=true")
	for _, roles := range []string{`["Admin"]`, `["admin,editor"]`, `["administrator"]`, `"admin editor"`, `{"admin":true}`, `[["admin"]]`, "null", "[]", "7", `[{"name":"admin"}]`} {
		add("claim", "roles "+roles, denied, role(roles), "level=3")
	}
	for _, level := range []string{"3.0", "30", "3e0", "33", "-3", `"3 "`, "false", "null", "{}", `"True"`, "[30]"} {
		add("claim", "level "+level, denied, role(`["admin"]`), "level="+level)
	}
	add("claim", "literal name with a dot", denied, `realm_access.roles=["admin"]`, "level=3")
	add("claim", "level missing", denied, role(`["admin"]`))
	for _, v := range []string{"true", "1", "0", `"x"`, `"false"`, "[0]", `{"a":1}`} {
		add("present", "email_verified "+v, in, "email_verified="+v)
	}
	for _, v := range []string{"false", "null", `""`, "[]", "{}"} {
		add("present", "email_verified "+v, denied, "email_verified="+v)
	}
	add("present", "email_verified missing", denied)
	expr := func(name, tenant string, w want, edits ...string) {
		a := attack{name: name, gate: "expr", token: l.token(k, edits...), want: w}
		if tenant != "" {
			a.head = []string{"X-Tenant: " + tenant}
		}
		attacks = append(attacks, a)
	}
	expr("equal", "acme", in, `tenant="acme"`)
	expr("not equal", "acme2", refused(token.ExpressionDenied), `tenant="acme"`)
	expr("other case", "ACME", refused(token.ExpressionDenied), `tenant="acme"`)
	expr("no claim", "acme", refused(token.ExpressionFailed))
	expr("no header", "", refused(token.ExpressionFailed), `tenant="acme"`)
	expr("number", "7", refused(token.ExpressionFailed, token.ExpressionDenied), "tenant=7")
	expr("null", "null", refused(token.ExpressionFailed, token.ExpressionDenied), "tenant=null")
	return attacks
}
