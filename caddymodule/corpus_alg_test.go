package caddymodule_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// algorithms is the alg parameter (conformance 4.1 to 4.4, 5.7).
func (l *lab) algorithms() []attack {
	k := l.keys
	var attacks []attack
	add := func(name, gate, text string, w want) {
		attacks = append(attacks, attack{name: name, gate: gate, token: text, want: w})
	}
	alice := accepted("X-Auth-Sub", "alice")
	for _, key := range []*corpusKey{k.rsa, k.rsa2, k.ps, k.rsa.with("PS256"), k.ec, k.ec2, k.ec384, k.ec521, k.ed} {
		add("control "+key.alg+" "+key.kid, "main", l.token(key), alice)
		add("control "+key.alg+" "+key.kid, "file", l.token(key), alice)
	}
	for _, alg := range []string{"RS384", "RS512", "PS384", "PS512"} {
		add(alg+" is not listed", "main", l.token(k.rsa.with(alg)), refused(token.AlgNotAllowed))
		add(alg+" by default", "default", l.token(k.rsa.with(alg)), alice)
	}
	for _, key := range []*corpusKey{k.rsa, k.ps, k.ec384, k.ec521, k.ed} {
		add(key.alg+" is not listed", "narrow", l.token(key), refused(token.AlgNotAllowed))
	}
	add("ES256 is listed", "narrow", l.token(k.ec), accepted())

	// What alg may say while everything else is right. The signature is the one
	// of the key, over the odd header.
	for _, alg := range []string{
		`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `" none"`, `"none\u0000"`, `"\u006eone"`, `"n\u00f6ne"`, `"HS256"`, `"HS384"`, `"HS512"`, `"RS1"`, `"HS1"`, `"rs256"`, `"Es256"`, `"es256"`, `"ES256 "`, `" ES256"`, `"ES256\n"`,
		`"ES256\u0000"`, `"ES-256"`, `"ＥＳ256"`, `"ES25６"`, `"ES256K"`, `"ES256,RS256"`, `"SHA256withECDSA"`, `"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"`, `"RSA-OAEP"`, `"RSA1_5"`, `"dir"`, `"A128KW"`, `"ECDH-ES"`, `"PBES2-HS256+A128KW"`,
		`"EdDSA "`, `"eddsa"`, `"Ed25519"`, `"Ed448"`, `"ESP256"`, `"ML-DSA-44"`, `""`, `" "`, `"*"`, `"undefined"`, `"null"`, `null`, `true`, `false`, `0`, `256`, `[]`, `["ES256"]`, `{}`, `{"ES256":1}`, `"{env.HOME}"`, `"../../ES256"`, `"ES256' OR 1=1"`,
	} {
		add("alg "+alg, "main", l.jws(k.ec, header(k.ec, "alg="+alg), l.claims()), refused(token.AlgNotAllowed))
	}
	add("alg is missing", "main", l.jws(k.ec, header(k.ec, "-alg"), l.claims()), refused(token.AlgNotAllowed))
	add("alg is missing, the key has one", "main", l.jws(k.ec2, header(k.ec2, "-alg"), l.claims()), refused(token.AlgNotAllowed))
	add("alg of 6,000 bytes", "main", l.jws(k.ec, header(k.ec, "alg="+quoted(strings.Repeat("ES256", 1200))), l.claims()), refused(token.AlgNotAllowed))
	for _, gate := range []string{"main", "default", "hs", "both", "optional"} {
		for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
			head := b64([]byte(`{"alg":"` + alg + `","typ":"JWT"}`))
			payload := b64([]byte(l.claims()))
			add(alg+" without a signature", gate, head+"."+payload+".", refused(token.TokenMalformed))
			add(alg+" with some signature", gate, head+"."+payload+".AAAA", refused(token.AlgNotAllowed))
			add(alg+" with kid", gate, b64([]byte(`{"alg":"`+alg+`","kid":"rsa-1"}`))+"."+payload+"."+b64([]byte("signature")), refused(token.AlgNotAllowed))
		}
	}
	// A right signature under another name, and keys that do not fit.
	head := func(alg, kid string) string { return `{"alg":"` + alg + `","kid":"` + kid + `"}` }
	for _, c := range []struct {
		key      *corpusKey
		alg, kid string
		why      token.Reason
	}{
		{k.rsa, "PS256", "rsa-1", token.SignatureInvalid}, {k.ps, "RS256", "ps-1", token.KeyMismatch}, {k.rsa, "ES256", "rsa-1", token.KeyMismatch}, {k.rsa, "EdDSA", "rsa-1", token.KeyMismatch},
		{k.ec, "RS256", "ec-1", token.KeyMismatch}, {k.ec, "ES384", "ec-1", token.KeyMismatch}, {k.ec, "ES512", "ec-1", token.KeyMismatch}, {k.ec, "EdDSA", "ec-1", token.KeyMismatch},
		{k.ec384, "ES256", "ec-384", token.KeyMismatch}, {k.ec384, "ES512", "ec-384", token.KeyMismatch}, {k.ec521, "ES384", "ec-521", token.KeyMismatch}, {k.ed, "ES256", "ed-1", token.KeyMismatch},
		{k.ed, "RS256", "ed-1", token.KeyMismatch}, {k.rsa2.with("PS256"), "PS256", "rsa-2", token.KeyMismatch}, {k.ps.with("RS256"), "RS256", "ps-1", token.KeyMismatch},
		{k.ec, "ES256", "ec-2", token.SignatureInvalid}, {k.rsa, "RS256", "rsa-2", token.SignatureInvalid}, {k.ec, "RS256", "rsa-1", token.SignatureInvalid}, {k.rsa, "ES256", "ec-1", token.SignatureInvalid},
	} {
		add(fmt.Sprintf("%s key of %s signs, %s for %s", c.key.kid, c.key.alg, c.alg, c.kid), "main", l.jws(c.key, head(c.alg, c.kid), l.claims()), refused(c.why))
	}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS384", "PS512"} {
		add(alg+" signs what PS256 names", "default", l.jws(k.rsa.with(alg), head("PS256", "rsa-1"), l.claims()), refused(token.SignatureInvalid))
	}
	for _, alg := range []string{"PS256", "PS384", "RS384", "RS512", "PS512"} {
		add(alg+" signs what RS256 names", "default", l.jws(k.rsa.with(alg), head("RS256", "rsa-1"), l.claims()), refused(token.SignatureInvalid))
	}
	// The secret is for HMAC alone, and public keys are for everything else.
	add("HS256", "hs", l.token(k.hmac), alice)
	add("HS384", "hs", l.token(k.hmac.with("HS384")), alice)
	add("HS512", "hs", l.token(k.hmac.with("HS512")), alice)
	add("HS256, some kid", "hs", l.token(k.hmac.as("whatever")), alice)
	add("HS384", "hs256", l.token(k.hmac.with("HS384")), refused(token.AlgNotAllowed))
	add("HS256 beside public keys", "both", l.token(k.hmac), accepted())
	add("HS256 with the kid of a public key", "both", l.token(k.hmac.as("rsa-1")), accepted())
	add("RS256 beside a secret", "both", l.token(k.rsa), accepted())
	for _, gate := range []string{"main", "default", "narrow", "pem", "file"} {
		add("HS256 with the secret of others", gate, l.token(k.hmac), refused(token.AlgNotAllowed))
	}
	for _, key := range []*corpusKey{k.rsa, k.ec, k.ed, k.ps} {
		add(key.alg+" where there is a secret", "hs", l.token(key), refused(token.AlgNotAllowed, token.KeyMismatch))
	}
	return attacks
}

// confusion uses public keys, in every form in which they are found, as secrets
// (conformance 5.2).
func (l *lab) confusion() []attack {
	k := l.keys
	var attacks []attack
	secrets := map[string][]byte{"nothing": {}, "a NUL": {0}, "secret": []byte("secret"), "the issuer": []byte(l.iss), "the audience": []byte("orders-api"), "the key set": []byte(l.mainKeys()),
		"32 NULs": make([]byte, 32), "a kid": []byte("rsa-1"), "null": []byte("null"), "half the secret": k.hmac.secret[:32], "the secret and a newline": append(bytes.Clone(k.hmac.secret), '\n'),
		"the secret in base64url": []byte(b64(k.hmac.secret)), "the secret in hex": []byte(hex.EncodeToString(k.hmac.secret))}
	for _, key := range []*corpusKey{k.rsa, k.ps, k.ec, k.ed} {
		for form, secret := range publicForms(l.t, key) {
			secrets[key.kid+" "+form] = secret
		}
	}
	for name, secret := range secrets {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			forged := (&corpusKey{kid: "rsa-1", alg: alg, secret: secret})
			add := func(gate string, why token.Reason) {
				kid, _, ok := strings.Cut(name, " ")
				if ok && strings.Contains(kid, "-") {
					forged.kid = kid
				}
				attacks = append(attacks, attack{name: alg + " with " + name, gate: gate, token: l.token(forged), want: refused(why)})
			}
			add("both", token.SignatureInvalid)
			if alg == "HS256" {
				add("default", token.AlgNotAllowed)
				add("main", token.AlgNotAllowed)
				add("hs", token.SignatureInvalid)
				add("pem", token.AlgNotAllowed)
			}
		}
	}
	return attacks
}

func spki(t testing.TB, k *corpusKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(t testing.TB, kind string, der []byte) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// publicForms returns the bytes in which a public key is found.
func publicForms(t testing.TB, k *corpusKey) map[string][]byte {
	t.Helper()
	der := spki(t, k)
	forms := map[string][]byte{"SPKI": der, "JWK": []byte(k.jwk()), "JWKS": []byte(keySet(k.jwk())), "SPKI hex": []byte(hex.EncodeToString(der)), "SPKI base64url": []byte(b64(der))}
	text := func(name, kind string, der []byte) {
		p := pemOf(t, kind, der)
		forms[name] = p
		forms[name+" without newline"] = bytes.TrimSpace(p)
		forms[name+" with CRLF"] = bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
		lines := strings.Split(strings.TrimSpace(string(p)), "\n")
		forms[name+" body"] = []byte(strings.Join(lines[1:len(lines)-1], ""))
	}
	text("PEM", "PUBLIC KEY", der)
	switch key := k.public().(type) {
	case *rsa.PublicKey:
		forms["PKCS1"] = x509.MarshalPKCS1PublicKey(key)
		text("PKCS1 PEM", "RSA PUBLIC KEY", forms["PKCS1"])
		forms["modulus"] = key.N.Bytes()
		forms["modulus hex"] = []byte(key.N.Text(16))
		forms["modulus decimal"] = []byte(key.N.String())
		forms["modulus base64url"] = []byte(b64(key.N.Bytes()))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corpus"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key, k.rsa)
		if err != nil {
			t.Fatal(err)
		}
		forms["certificate"] = cert
		text("certificate PEM", "CERTIFICATE", cert)
	case *ecdsa.PublicKey:
		w := width(key.Curve)
		x, y := key.X.FillBytes(make([]byte, w)), key.Y.FillBytes(make([]byte, w))
		forms["x"], forms["y"], forms["xy"] = x, y, append(bytes.Clone(x), y...)
		forms["point"] = append([]byte{4}, forms["xy"]...)
		forms["compressed point"] = elliptic.MarshalCompressed(key.Curve, key.X, key.Y)
		forms["x base64url"] = []byte(b64(x))
	case ed25519.PublicKey:
		forms["raw"], forms["raw base64url"], forms["raw hex"] = key, []byte(b64(key)), []byte(hex.EncodeToString(key))
	}
	return forms
}

// parameters is crit and its kind, embedded keys, and kid (conformance 3.13,
// 4.5 to 4.9).
func (l *lab) parameters() []attack {
	k := l.keys
	var attacks []attack
	add := func(name, text string, w want) {
		attacks = append(attacks, attack{name: name, gate: "main", token: text, want: w})
	}
	signed := func(key *corpusKey, edits ...string) string { return l.jws(key, header(key, edits...), l.claims()) }
	alice := accepted("X-Auth-Sub", "alice")
	for _, key := range []*corpusKey{k.rsa, k.ps, k.ec, k.ed} {
		for _, crit := range []string{`["b64"]`, `["exp"]`, `["x"]`, `[]`, `null`, `"exp"`, `["alg"]`, `["x","x"]`, `{}`, `7`, `[7]`, `[null]`, `[""]`, `["http://openid.net/x"]`, `true`} {
			add(key.alg+" crit "+crit, signed(key, "crit="+crit, "x=1", "exp=1"), refused(token.HeaderUnsupported))
		}
		for _, extra := range []string{"b64=false", "b64=true", "b64=null", `zip="DEF"`, "zip=null", `enc="A256GCM"`, "enc=null"} {
			add(key.alg+" "+extra, signed(key, extra), refused(token.HeaderUnsupported))
		}
	}
	add("b64 false with crit", signed(k.ec, "b64=false", `crit=["b64"]`), refused(token.HeaderUnsupported))
	unencoded := b64([]byte(header(k.ec, "b64=false", `crit=["b64"]`))) + "."
	payload := l.claims()
	add("b64 false, signed so", unencoded+b64([]byte(payload))+"."+b64(k.ec.sign(l.t, "ES256", unencoded+payload)), refused(token.HeaderUnsupported))
	for _, extra := range []string{`x=1`, `kty="EC"`, `iss="https://evil.example"`, `exp=1`, `nonce="n"`, `x={"alg":"none"}`, `url="x"`, `svt=[]`, `cty="json"`, `cty=""`} {
		add("unknown parameter "+extra, signed(k.ec, extra), alice)
	}

	evil := quoted(l.canary.url + "/keys")
	embedded := map[string]func(*corpusKey) []string{
		"jwk":   func(key *corpusKey) []string { return []string{"jwk=" + key.jwk()} },
		"jwks":  func(key *corpusKey) []string { return []string{"jwks=" + keySet(key.jwk())} },
		"jku":   func(*corpusKey) []string { return []string{"jku=" + evil} },
		"jku @": func(*corpusKey) []string { return []string{"jku=" + quoted(l.iss+"@"+l.canary.url[7:])} },
		"x5u":   func(*corpusKey) []string { return []string{"x5u=" + evil} },
		"x5c":   func(key *corpusKey) []string { return []string{`x5c=["` + b64(spki(l.t, key)) + `"]`} },
		"x5t":   func(*corpusKey) []string { return []string{`x5t="AAAA"`, `x5t#S256="AAAA"`} },
		"all of it": func(key *corpusKey) []string {
			return []string{"jwk=" + key.jwk(), "jku=" + evil, "x5u=" + evil, `x5c=[]`}
		},
		"odd values": func(*corpusKey) []string { return []string{"jwk=7", "jku=null", "x5u=[]", "x5c={}"} },
	}
	for name, edits := range embedded {
		for _, rogue := range []*corpusKey{k.rogueRSA, k.rogueEC, k.rogueEd} {
			add(rogue.alg+" "+name+", kid of a good key", signed(rogue, edits(rogue)...), refused(token.SignatureInvalid))
			add(rogue.alg+" "+name+", kid of its own", signed(rogue, append(edits(rogue), `kid="rogue"`)...), refused(token.KidUnknown))
			add(rogue.alg+" "+name+", no kid", signed(rogue, append(edits(rogue), "-kid")...), refused(token.SignatureInvalid))
		}
		add("trusted key with "+name, signed(k.ec, edits(k.rogueEC)...), alice)
	}
	for _, iss := range []string{l.canary.url, l.canary.url + "/", l.iss + "@" + l.canary.url[7:]} {
		add("iss "+iss, l.token(k.rogueEC, "iss="+quoted(iss)), refused(token.IssuerUnknown))
	}

	for _, kid := range []string{
		"", " ", "EC-1", "ec-1 ", " ec-1", "ec-1\x00", "ec-1\n", "ec_1", "ec-01", "еc-1", "of-nobody", "/dev/null", "../../../../dev/null", "file:///etc/passwd", l.canary.url, "ec-1' OR '1'='1", "' UNION SELECT 'key';--", "x|sleep 10", "$(sleep 10)", "`sleep 10`",
		"{env.HOME}", "{http.request.header.X}", "${jndi:ldap://127.0.0.1/x}", "cle\u0301-Ⅳ", "clé-IV", "CLÉ-Ⅳ", "null", "0", "*", "%65c-1", `ec-1\`, "\x1b[31mred\r\nlog: line", strings.Repeat("k", 6000), thumbprintOf(l.t, k.ec),
	} {
		add(fmt.Sprintf("kid %.40q", kid), signed(k.ec, "kid="+quoted(kid)), refused(token.KidUnknown))
	}
	for _, kid := range []string{"null", "7", "true", "[]", `["ec-1"]`, "{}", "1.0"} {
		add("kid of type "+kid, signed(k.ec, "kid="+kid), refused(token.HeaderMalformed))
	}
	odd := k.ed2.as("clé-Ⅳ")
	add("kid beyond ASCII", l.token(odd), alice)
	add("kid beyond ASCII, escaped", signed(odd, `kid="cl\u00e9-\u2163"`), alice)
	add("kid escaped", signed(k.ec, `kid="\u0065c-1"`), alice)
	add("kid of another key", signed(k.ec, `kid="ec-2"`), refused(token.SignatureInvalid))
	add("no kid", signed(k.ec384, "-kid"), alice)
	add("no kid, two keys fit", signed(k.ec2, "-kid"), alice)
	add("no kid, stranger", signed(k.rogueEC, "-kid"), refused(token.SignatureInvalid))
	return attacks
}
