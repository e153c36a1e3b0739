package caddymodule_test

import (
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
)

// mainKeys is what the issuer publishes.
func (l *lab) mainKeys() string {
	k := l.keys
	return keySet(k.rsa.jwk(`"use":"sig"`), k.rsa2.jwk(`"alg":"RS256"`), k.ps.jwk(`"alg":"PS256"`, `"key_ops":["verify"]`),
		k.ec.jwk(), k.ec2.jwk(`"alg":"ES256"`), k.ec384.jwk(), k.ec521.jwk(), k.ed.jwk(), k.ed2.as("clé-Ⅳ").jwk())
}

// aud is the line that all issuers need.
const aud = "audience https://api.example.test/orders orders-api\n"

// forwarded is what most gates forward.
const forwarded = `forward {
	X-Auth-Sub sub
	X-Auth-Email email
	X-Auth-Name name
	X-Auth-Roles roles join ,
	X-Auth-Tenant tenant
	X-Auth-Admin admin
	X-Auth-Realm-Roles realm_access.roles join ,
}
`

// specs are the gates.
func (l *lab) specs() []gateSpec {
	k := l.keys
	documents := map[string]string{}
	keyServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(documents[strings.TrimPrefix(r.URL.Path, "/")]))
	}))
	l.t.Cleanup(keyServer.Close)
	dir := l.t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			l.t.Fatal(err)
		}
		return path
	}
	// set is a gate whose keys are this document, at a URL.
	set := func(name, document string) gateSpec {
		documents[name] = document
		return gateSpec{name: name, issuer: aud + "jwks " + keyServer.URL + "/" + name, rest: forwarded}
	}
	const secret = "secret \"a secret of the corpus which has sixty-four bytes, and not fewer\"\n"
	dead := "jwks http://127.0.0.1:1/keys\n"
	partner := "issuer " + l.partner + " {\naudience orders-api partner-api\njwks_file " + file("partner.json", keySet(k.rogueRSA.jwk(), k.rogueEC.jwk(), k.ed2.jwk())) + "\n}\n"

	specs := []gateSpec{
		{name: "main", issuer: aud + "algorithms RS256 PS256 ES256 ES384 ES512 EdDSA\n", rest: forwarded + "realm orders\n", realm: "orders"},
		{name: "plain"},
		{name: "default", issuer: aud, rest: forwarded},
		{name: "strict", issuer: aud + "token_type at+jwt\nrequire_claims jti client_id iat\n", rest: forwarded},
		{name: "untyped", issuer: aud + "token_type none\n"},
		{name: "hs", issuer: aud + secret, rest: forwarded},
		{name: "hs256", issuer: aud + secret + "algorithms HS256\n"},
		{name: "both", issuer: aud + secret + "discovery " + l.issuer.DiscoveryURL() + "\n"},
		{name: "skew0", issuer: aud + "skew 0s\n"},
		{name: "skew5m", issuer: aud + "skew 5m\n"},
		{name: "maxage", issuer: aud + "max_age 10m\n"},
		{name: "anyaud", issuer: "audience any\n"},
		{name: "subset", issuer: aud, rest: "audience orders-api\n"},
		{name: "nosub", issuer: aud + "require_claims none\n", rest: forwarded},
		{name: "narrow", issuer: aud + "algorithms ES256\n"},
		{name: "pem", issuer: aud + "pem_file " + file("key.pem", string(pemOf(l.t, "PUBLIC KEY", spki(l.t, k.ec)))) + "\n", rest: forwarded},
		{name: "pemrsa", issuer: aud + "pem_file " + file("rsa.pem", string(pemOf(l.t, "PUBLIC KEY", spki(l.t, k.rsa)))) + "\n"},
		{name: "file", issuer: aud + "jwks_file " + file("keys.json", l.mainKeys()) + "\n", rest: forwarded},
		{name: "two", issuer: aud, rest: partner + forwarded},
		{name: "partner", rest: partner + forwarded},
		{name: "down", issuer: aud + dead, rest: forwarded, silent: true},
		{name: "optional", issuer: aud, rest: "optional\n" + forwarded},
		{name: "public", rest: "public\n" + forwarded},
		{name: "observe", issuer: aud, rest: "observe\n" + forwarded},
		{name: "preflight", issuer: aud, rest: "preflight on\n" + forwarded},
		{name: "strip", issuer: aud, rest: "strip_token\nstrip X-Internal-* X-Trace-User\n" + forwarded},
		{name: "query", issuer: aud, rest: "token_from query access_token\n" + forwarded},
		{name: "cookie", issuer: aud, rest: "token_from cookie session\n" + forwarded},
		{name: "header", issuer: aud, rest: "token_from header X-Api-Token\n" + forwarded},
		{name: "ws", issuer: aud, rest: "token_from websocket\n" + forwarded},
		{name: "scope", issuer: aud, rest: "require scope orders:read orders:write\n" + forwarded},
		{name: "scopeall", issuer: aud, rest: "require all scope orders:read orders:write\nrequire scope profile\n"},
		{name: "claim", issuer: aud, rest: "require claim realm_access.roles admin editor\nrequire claim level 3 true\n"},
		{name: "present", issuer: aud, rest: "require claim email_verified\n"},
		{name: "expr", issuer: aud, rest: "require expr `claims.tenant == request.header[\"x-tenant\"][0]`\n"},
		{name: "small", issuer: aud, rest: "max_token 4KiB\nmax_header 64 drop\n" + forwarded},
		{name: "smallrefuse", issuer: aud, rest: "max_header 64 refuse\n" + forwarded},
		{name: "twice", issuer: aud, rest: "forward {\nX-Auth-Sub sub\n}\n",
			outer: "jwtgate {\nissuer " + l.iss + " {\n" + aud + "}\nrequire scope orders:read\nforward {\nX-Auth-Email email\n}\n}\n"},
		{name: "forms", issuer: aud, rest: formsForward},
	}
	return append(specs, l.keySets(set)...)
}

// keySets are gates that differ in the key set document.
func (l *lab) keySets(set func(name, document string) gateSpec) []gateSpec {
	k := l.keys
	good := k.ec.as("good").jwk()
	kidless := func(keys ...*corpusKey) string {
		var entries []string
		for _, key := range keys {
			entries = append(entries, key.as("").jwk())
		}
		return keySet(entries...)
	}
	silent := func(g gateSpec) gateSpec {
		g.silent = true
		return g
	}
	return []gateSpec{
		set("kidless", kidless(k.rsa, k.ec, k.ec2, k.ed)),
		set("kidless5", kidless(k.spare...)),
		set("dup", keySet(k.ec.as("d").jwk(), k.ec2.as("d").jwk())),
		set("duprev", keySet(k.ec2.as("d").jwk(), k.ec.as("d").jwk())),
		set("dupkinds", keySet(k.rsa.as("d").jwk(), k.ec.as("d").jwk(), k.ed.as("d").jwk())),
		set("bad", keySet(append(l.badKeys(), good)...)),
		set("oct", keySet(k.hmac.as("sym").jwk(`"alg":"HS256"`), k.hmac.as("good").jwk(), good)),
		{name: "octsecret", issuer: set("octsecret", keySet((&corpusKey{kid: "sym", secret: l.octSecret()}).jwk(`"alg":"HS256"`), good)).issuer +
			"\nsecret \"a secret of the corpus which has sixty-four bytes, and not fewer\"\n"},
		set("uses", keySet(k.ec.as("enc").jwk(`"use":"enc"`), k.ec.as("sig").jwk(`"use":"sig"`), k.ec.as("ops").jwk(`"key_ops":["encrypt"]`),
			k.ec.as("sign").jwk(`"key_ops":["sign"]`), k.ec.as("verify").jwk(`"key_ops":["verify"]`), k.ec.as("wrongalg").jwk(`"alg":"ES384"`),
			k.rsa.as("rs512").jwk(`"alg":"RS512"`), k.rsa.as("oaep").jwk(`"alg":"RSA-OAEP"`), k.rsa.as("hs").jwk(`"alg":"HS256"`), k.rsa.as("none").jwk(`"alg":"none"`))),
		silent(set("keystwice", `{"keys":[`+k.ec.jwk()+`],"keys":[`+k.rogueEC.jwk()+`]}`)),
		silent(set("empty", `{"keys":[]}`)),
		silent(set("html", "<!doctype html><title>Sign in</title>")),
		silent(set("half", keySet(k.ec.jwk())[:60])),
		silent(set("tail", keySet(k.ec.jwk())+`{"keys":[]}`)),
		silent(set("onlyoct", keySet(k.hmac.as("sym").jwk()))),
		silent(set("single", k.ec.jwk())),
	}
}

// octSecret is a symmetric key that a key set publishes.
func (l *lab) octSecret() []byte { return []byte(strings.Repeat("published", 8)) }

// badKeys are entries that must be skipped one by one.
func (l *lab) badKeys() []string {
	k := l.keys
	edit := func(jwk, old, with string) string {
		if !strings.Contains(jwk, old) {
			l.t.Fatalf("no %q in %s", old, jwk)
		}
		return strings.Replace(jwk, old, with, 1)
	}
	rsa := func(kid string) string { return k.rsa.as(kid).jwk() }
	ec := func(kid string) string { return k.ec.as(kid).jwk() }
	ed := func(kid string) string { return k.ed.as(kid).jwk() }
	x := b64(k.ec.ec.X.FillBytes(make([]byte, 32)))
	edX := b64(k.ed.public().(ed25519.PublicKey))
	return []string{
		`null`, `7`, `"key"`, `[]`, `{}`, `{"kty":"RSA"}`, `{"kty":"EC","kid":"x"}`, `{"kty":7}`, `{"kty":"AKP","kid":"pq","pub":"AAAA"}`,
		edit(rsa("e1"), `"e":"AQAB"`, `"e":"AQ"`), edit(rsa("e2"), `"e":"AQAB"`, `"e":"Ag"`), edit(rsa("e0"), `"e":"AQAB"`, `"e":""`),
		edit(rsa("ebig"), `"e":"AQAB"`, `"e":"`+b64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})+`"`), edit(rsa("nomod"), `"n":`, `"m":`),
		edit(rsa("std"), `"n":"`, `"n":"+/`), k.weak.jwk(), edit(ec("curve"), `"P-256"`, `"P-384"`), edit(ec("k1"), `"P-256"`, `"secp256k1"`),
		edit(ec("off"), `"x":"`+x, `"x":"`+b64(make([]byte, 32))), edit(ec("short"), `"x":"`+x, `"x":"`+x[:40]),
		edit(ec("inf"), `"x":"`+x, `"x":"`), edit(ed("ed31"), `"x":"`+edX, `"x":"`+b64(make([]byte, 31))),
		`{"kty":"OKP","crv":"X25519","kid":"x25519","x":"` + b64(make([]byte, 32)) + `"}`, `{"kty":"OKP","crv":"Ed448","kid":"ed448","x":"` + b64(make([]byte, 57)) + `"}`,
		`{"kty":"OKP","crv":"Ed25519","kid":"identity","x":"` + b64(append([]byte{1}, make([]byte, 31)...)) + `"}`,
		k.ec.as("private").jwk(`"d":"` + b64(k.ec.ec.D.FillBytes(make([]byte, 32))) + `"`), edit(ec("numkid"), `"kid":"numkid"`, `"kid":7`),
		edit(ec("dupmember"), `"kty":"EC"`, `"kty":"EC","kid":"good"`), k.hmac.as("hmac").jwk(), edit(ec("usenum"), `"kty":"EC"`, `"kty":"EC","use":7`),
		edit(ec("opsnum"), `"kty":"EC"`, `"kty":"EC","key_ops":"verify"`), edit(ec("kty"), `"kty":"EC"`, `"kty":"ec"`),
	}
}
