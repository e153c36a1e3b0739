package caddymodule_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// times is exp, nbf and iat (conformance 9.1 to 9.9). The exact boundaries are
// tested with an injected clock; here there are some seconds between.
func (l *lab) times() []attack {
	k := l.keys.ec
	var attacks []attack
	at := func(seconds int) string { return fmt.Sprint(time.Now().Unix() + int64(seconds)) }
	add := func(gate, name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.token(k, edits...), want: w})
	}
	in := accepted()
	expired, early, late, types := refused(token.Expired), refused(token.NotBeforeAhead), refused(token.IssuedAtAhead), refused(token.ClaimsMalformed)
	for gate, skew := range map[string]int{"main": 30, "skew0": 0, "skew5m": 300} {
		add(gate, "exp gone, within the skew", map[bool]want{true: in, false: expired}[skew > 0], "exp="+at(-skew+20))
		add(gate, "exp gone by the skew", expired, "exp="+at(-skew))
		add(gate, "exp gone by more", expired, "exp="+at(-skew-10))
		add(gate, "nbf ahead, within the skew", in, "nbf="+at(skew-1))
		add(gate, "nbf ahead by more", early, "nbf="+at(skew+20))
		add(gate, "iat ahead, within the skew", in, "iat="+at(skew-1))
		add(gate, "iat ahead by more", late, "iat="+at(skew+20))
		add(gate, "exp to come", in, "exp="+at(20))
		add(gate, "expired and not yet valid", expired, "exp="+at(-1000), "nbf="+at(1000))
	}
	// skew0 has no time to spare below.
	attacks[indexOf(attacks, "skew0", "exp gone, within the skew")].token = l.token(k, "exp="+at(-1))

	for _, text := range []string{`"1700000000"`, `"` + at(1000) + `"`, `"2099-01-01T00:00:00Z"`, `"NaN"`, `"Infinity"`, `""`, "null", "true", "false", "[]", "[" + at(1000) + "]", "{}", `{"exp":1}`} {
		for _, name := range []string{"exp", "nbf", "iat"} {
			add("main", name+" of type "+strings.ReplaceAll(text, at(1000), "N"), types, name+"="+text)
		}
	}
	add("main", "exp missing", refused(token.ExpiryMissing), "-exp")
	add("nosub", "exp missing", refused(token.ExpiryMissing), "-exp")
	for _, past := range []string{"0", "-0", "0.0", "0.5", "-1", "-0.5", "1", "1e0", "1e9", "1.7e9", "1E-400", "-1e19", "-9223372036854775808", "-9223372036854775809", "-1e300", "-1e400", "0e999999999", "0." + strings.Repeat("9", 400)} {
		add("main", "exp "+shortName(past), expired, "exp="+past)
		add("main", "nbf "+shortName(past), in, "nbf="+past)
		add("main", "iat "+shortName(past), in, "iat="+past)
	}
	for _, huge := range []string{"9223372036854775807", "9223372036854775808", "18446744073709551616", "1e19", "1e300", "1e308", "1e309", "1e400", "1e999999999", "1" + strings.Repeat("0", 400), "253402300800", at(1000) + "000", "99999999999999"} {
		add("main", "exp "+shortName(huge), types, "exp="+huge)
		add("main", "nbf "+shortName(huge), early, "nbf="+huge)
		add("main", "iat "+shortName(huge), late, "iat="+huge)
	}
	add("main", "exp in the year 9999", in, "exp=253402300799")
	add("main", "exp with a fraction", in, "exp="+at(100)+".5")
	add("main", "exp with a fraction of 400 digits", in, "exp="+at(100)+"."+strings.Repeat("3", 400))
	add("main", "exp with an exponent", in, "exp="+at(100)+"e0")
	add("main", "exp with digits behind an exponent", in, "exp="+at(100)[:1]+"."+at(100)[1:]+"E+9")
	add("main", "exp with a negative exponent", in, "exp="+at(100)+"000e-3")
	add("main", "exp gone by the skew and a half", expired, "exp="+at(-31)+".5")
	add("main", "nbf with a fraction", in, "nbf="+at(-10)+".25")
	add("main", "times all three", in, "nbf="+at(-10), "iat="+at(-10), "exp="+at(10))
	add("main", "no iat", in, "-iat")
	add("main", "exp before iat", in, "iat="+at(20), "exp="+at(10))
	add("maxage", "young", in, "iat="+at(-500))
	add("maxage", "within the skew", in, "iat="+at(-615))
	add("maxage", "old", refused(token.TooOld), "iat="+at(-700))
	add("maxage", "iat missing", refused(token.ClaimMissing), "-iat")
	add("maxage", "iat 0", refused(token.TooOld), "iat=0")
	add("maxage", "iat -1e300", refused(token.TooOld), "iat=-1e300")
	add("maxage", "iat 1e300", late, "iat=1e300")
	add("maxage", "iat 2^63-1", late, "iat=9223372036854775807")
	// What can be said before the signature is said of forged tokens, too; what
	// is after it is not.
	add("main", "old and forged", expired, "exp=1")
	attacks[len(attacks)-1].token = l.token(l.keys.rogueEC, "exp=1")
	add("main", "early and forged", refused(token.SignatureInvalid), "nbf="+at(1000))
	attacks[len(attacks)-1].token = l.token(l.keys.rogueEC, "nbf="+at(1000))
	return attacks
}

func indexOf(attacks []attack, gate, name string) int {
	for i, a := range attacks {
		if a.gate == gate && a.name == name {
			return i
		}
	}
	panic("no case " + name)
}

// shortName keeps the names of cases readable.
func shortName(s string) string {
	if len(s) > 24 {
		return fmt.Sprintf("%s... (%d)", s[:8], len(s))
	}
	return s
}

// identity is iss, aud, sub and the other names in a token (conformance 9.10 to
// 9.16).
func (l *lab) identity() []attack {
	k := l.keys.ec
	var attacks []attack
	add := func(gate, name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.token(k, edits...), want: w})
	}
	in, types := accepted(), refused(token.ClaimsMalformed)
	host := strings.TrimPrefix(l.iss, "http://")
	for _, iss := range []string{
		l.iss + "/", l.iss + " ", " " + l.iss, l.iss + "\x00", l.iss + "\n", l.iss + "?", l.iss + "#", l.iss + "/.", "HTTP://" + host, "https://" + host, host, "//" + host, l.iss + ".evil.example", l.iss + "@evil.example",
		"http://" + strings.Replace(host, "127.0.0.1", "localhost", 1), "http://" + strings.Replace(host, "127", "１２７", 1), "http://user@" + host, l.iss[:len(l.iss)-1], "http://127.0.0.1", l.plain.URL(), l.partner, "*", "null", "{env.HOME}", strings.Repeat("i", 5000),
	} {
		add("main", "iss "+shortName(strings.Replace(iss, l.iss, "ISS", 1)), refused(token.IssuerUnknown), "iss="+quoted(iss))
	}
	add("main", "iss missing", refused(token.IssuerMissing), "-iss")
	add("main", "iss empty", refused(token.IssuerMissing), `iss=""`)
	add("main", "iss escaped", in, `iss="\u0068`+l.iss[1:]+`"`)
	for _, name := range []string{"iss", "sub", "jti", "sid", "client_id", "azp"} {
		for _, value := range []string{"null", "7", "true", "[]", `["` + l.iss + `"]`, "{}"} {
			add("main", name+" of type "+strings.Replace(value, l.iss, "ISS", 1), types, name+"="+value)
		}
	}

	for name, aud := range map[string]string{"string": `"orders-api"`, "URL": `"https://api.example.test/orders"`, "array": `["orders-api"]`, "among others": `["a","orders-api","b"]`, "twice": `["orders-api","orders-api"]`, "escaped": `"\u006frders-api"`} {
		add("main", "aud "+name, in, "aud="+aud)
	}
	for name, aud := range map[string]string{
		"other": `"other"`, "empty": `""`, "empty array": `[]`, "array with an empty one": `[""]`, "prefix": `"orders"`, "suffix": `"orders-api2"`, "before": `"my-orders-api"`, "case": `"Orders-API"`, "slash": `"https://api.example.test/orders/"`, "parent": `"https://api.example.test"`,
		"joined by a blank": `"a orders-api"`, "joined by a comma": `"a,orders-api"`, "star": `"*"`, "blank behind": `"orders-api "`, "NUL behind": `"orders-api\u0000"`, "homoglyph": `"оrders-api"`, "pattern": `"orders-.*"`, "array of another": `["other","Orders-api"]`,
	} {
		add("main", "aud "+name, refused(token.AudienceMismatch), "aud="+aud)
	}
	add("main", "aud missing", refused(token.AudienceMismatch), "-aud")
	for _, aud := range []string{"null", "7", "true", "{}", `{"orders-api":1}`, `[["orders-api"]]`, `["orders-api",7]`, `["orders-api",null]`, `[null,"orders-api"]`, `["orders-api",["x"]]`, `["orders-api",{}]`} {
		add("main", "aud of type "+aud, types, "aud="+aud)
		add("anyaud", "aud of type "+aud, types, "aud="+aud)
	}
	add("anyaud", "other", in, `aud="other"`)
	add("anyaud", "missing", in, "-aud")
	add("anyaud", "empty array", in, "aud=[]")
	add("subset", "named", in, `aud="orders-api"`)
	add("subset", "not of the subset", refused(token.AudienceMismatch), `aud="https://api.example.test/orders"`)

	for _, sub := range []string{`""`, `" "`, `"\t \n"`, `"\u00a0"`} {
		add("main", "sub "+sub, refused(token.ClaimMissing), "sub="+sub)
	}
	add("main", "sub missing", refused(token.ClaimMissing), "-sub")
	add("nosub", "sub missing", accepted("X-Auth-Sub", ""), "-sub")
	add("nosub", "sub empty", accepted("X-Auth-Sub", ""), `sub=""`)
	add("nosub", "sub of type 7", types, "sub=7")
	add("main", "jti missing", in, "-jti")
	add("main", "jti empty", types, `jti=""`)
	add("main", "sid", in, `sid="s"`)
	full := []string{`client_id="app"`}
	add("strict", "complete", in, full...)
	for _, name := range []string{"jti", "iat", "client_id"} {
		add("strict", name+" missing", refused(token.ClaimMissing), append([]string{full[0], "-" + name}[:2:2], "-"+name)...)
	}
	add("strict", "client_id empty", refused(token.ClaimMissing), `client_id=""`)
	add("strict", "azp for client_id", refused(token.ClaimMissing), `azp="app"`)
	add("strict", "aud missing", refused(token.AudienceMismatch), full[0], "-aud")

	// Two issuers at one gate: each vouches with its own keys, for itself.
	partner := "iss=" + quoted(l.partner)
	two := func(name string, key *corpusKey, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: "two", token: l.token(key, edits...), want: w})
	}
	two("issuer, its key", k, in)
	two("partner, its key", l.keys.rogueEC, in, partner)
	two("partner's key for the issuer", l.keys.rogueEC, refused(token.SignatureInvalid))
	two("issuer's key for the partner", k, refused(token.SignatureInvalid), partner)
	two("issuer's other key for the partner", l.keys.ec384, refused(token.KidUnknown), partner)
	two("partner's own kid for the issuer", l.keys.ed2, refused(token.KidUnknown))
	two("audience of the partner at the issuer", k, refused(token.AudienceMismatch), `aud="partner-api"`)
	two("audience of the partner", l.keys.rogueEC, in, partner, `aud="partner-api"`)
	attacks = append(attacks,
		attack{name: "issuer where the partner is alone", gate: "partner", token: l.token(k), want: refused(token.IssuerUnknown)},
		attack{name: "app's issuer", gate: "plain", token: l.plain.Sign(nil), want: in},
		attack{name: "gate's issuer where the app's is meant", gate: "plain", token: l.token(k), want: refused(token.IssuerUnknown)},
		attack{name: "app's issuer elsewhere", gate: "main", token: l.plain.Sign(nil), want: refused(token.IssuerUnknown)},
		attack{name: "no keys", gate: "down", token: l.token(k), want: refused(token.KeysNeverObtained)},
		attack{name: "no keys, expired", gate: "down", token: l.token(k, "exp=1"), want: refused(token.Expired)},
		attack{name: "no keys, no token", gate: "down", want: refused(token.TokenMissing)},
		attack{name: "no keys, other issuer", gate: "down", token: l.token(k, `iss="x"`), want: refused(token.IssuerUnknown)},
		attack{name: "no keys, bad token", gate: "down", token: "a.b.c", want: refused(token.TokenMalformed)},
	)
	return attacks
}

// kinds is typ, and what makes a token another kind of token (conformance 8,
// 10.3).
func (l *lab) kinds() []attack {
	k := l.keys.ec
	var attacks []attack
	add := func(gate, name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.jws(k, header(k, edits...), l.claims(`client_id="app"`)), want: w})
	}
	in, mismatch := accepted(), refused(token.TypeMismatch)
	for _, typ := range []string{"at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"} {
		add("main", "typ "+typ, in, "typ="+quoted(typ))
		add("strict", "typ "+typ, in, "typ="+quoted(typ))
		add("untyped", "typ "+typ, mismatch, "typ="+quoted(typ))
	}
	for _, typ := range []string{"JWT", "jwt", "application/jwt"} {
		add("main", "typ "+typ, in, "typ="+quoted(typ))
		add("strict", "typ "+typ, mismatch, "typ="+quoted(typ))
	}
	add("main", "no typ", in, "-typ")
	add("strict", "no typ", mismatch, "-typ")
	add("untyped", "no typ", in, "-typ")
	for _, typ := range []string{
		"", "logout+jwt", "secevent+jwt", "dpop+jwt", "statuslist+jwt", "token-introspection+jwt", "kb+jwt", "oauth-authz-req+jwt", "application/logout+jwt", "JOSE", "JOSE+JSON", "JWE", "at", "at+jwt ", " at+jwt", "at+jwt\x00", "at+jwt;v=1", "text/at+jwt", "application/application/at+jwt",
		"application/", "at-jwt", "at+JWT\n", "at+jwt,JWT", "ａt+jwt", "\u212aWT", "id+jwt", "refresh+jwt", "*", "null",
	} {
		add("main", fmt.Sprintf("typ %q", typ), mismatch, "typ="+quoted(typ))
		add("strict", fmt.Sprintf("typ %q", typ), mismatch, "typ="+quoted(typ))
	}
	for _, typ := range []string{"null", "7", "true", "[]", `["at+jwt"]`, "{}"} {
		add("main", "typ of type "+typ, refused(token.HeaderMalformed), "typ="+typ)
	}
	claims := func(name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: "main", token: l.token(k, edits...), want: w})
	}
	for _, cnf := range []string{`{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`, `{"jwk":{}}`, `{"kid":"x"}`, "{}", "null", `""`, "false", "[]"} {
		claims("cnf "+shortName(cnf), refused(token.ProofUnsupported), "cnf="+cnf)
	}
	claims("cnf, with a proof", refused(token.ProofUnsupported), `cnf={"jkt":"x"}`)
	attacks[len(attacks)-1].head = []string{"DPoP: " + l.token(k)}
	for _, events := range []string{`{"http://schemas.openid.net/event/backchannel-logout":{}}`, "{}", "null", "[]", `""`} {
		claims("events "+shortName(events), refused(token.EventsPresent), "events="+events)
	}
	claims("ID token", refused(token.AudienceMismatch), `aud="client"`, `nonce="n"`, `at_hash="h"`)
	claims("logout token", refused(token.ExpiryMissing), "-exp", `events={"http://schemas.openid.net/event/backchannel-logout":{}}`)
	claims("act, may_act and the like", accepted("X-Auth-Sub", "alice"), `act={"sub":"b"}`, `nonce="n"`, `acr="1"`)
	return attacks
}
