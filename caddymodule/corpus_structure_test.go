package caddymodule_test

import (
	"fmt"
	"strings"

	"github.com/jwtgate/jwtgate/token"
)

// structure is the compact form and the JSON in it (conformance 3).
func (l *lab) structure() []attack {
	k := l.keys.ec
	tok := l.token(k)
	parts := strings.Split(tok, ".")
	h, p, s := parts[0], parts[1], parts[2]
	malformed := refused(token.TokenMalformed)
	lexical := refused(token.AuthorizationMalformed)
	cut := func(name, text string, w want) attack { return attack{name: name, gate: "main", token: text, want: w} }
	attacks := []attack{
		cut("one part", h, malformed), cut("two parts", h+"."+p, malformed), cut("four parts", tok+"."+s, malformed), cut("five parts", tok+"."+s+"."+s, malformed),
		cut("six parts", tok+"."+tok, malformed), cut("empty header", "."+p+"."+s, malformed), cut("empty payload", h+".."+s, malformed), cut("empty signature", h+"."+p+".", malformed),
		cut("dot at the end", tok+".", malformed), cut("dot at the start", "."+tok, malformed), cut("two dots between", h+".."+p+"."+s, malformed), cut("two dots", "..", malformed),
		cut("parts swapped", p+"."+h+"."+s, refused(token.AlgNotAllowed)), cut("header twice", h+"."+h+"."+s, refused(token.IssuerMissing, token.ExpiryMissing)),
		cut("12,000 dots", strings.Repeat(".", 12000), malformed), cut("12,000 characters without a dot", strings.Repeat("A", 12000), malformed),
		cut("dots behind", tok+strings.Repeat(".", 8000), malformed),
		cut("flattened JSON", `{"protected":"`+h+`","payload":"`+p+`","signature":"`+s+`"}`, lexical),
		cut("general JSON", `{"payload":"`+p+`","signatures":[{"protected":"`+h+`","signature":"`+s+`"}]}`, lexical),
		cut("general JSON in base64url", b64([]byte(`{"payload":"`+p+`","signatures":[{"protected":"`+h+`","signature":"`+s+`"}]}`)), malformed),
		cut("JWE", b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`))+"."+b64(make([]byte, 256))+"."+b64(make([]byte, 12))+"."+b64(make([]byte, 64))+"."+b64(make([]byte, 16)), malformed),
		cut("JWE, direct", b64([]byte(`{"alg":"dir","enc":"A256GCM"}`))+".."+b64(make([]byte, 12))+"."+b64(make([]byte, 64))+"."+b64(make([]byte, 16)), malformed),
		cut("JWE, endless PBES2", b64([]byte(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`))+"."+b64(make([]byte, 40))+"."+b64(make([]byte, 12))+"."+b64(make([]byte, 64))+"."+b64(make([]byte, 16)), malformed),
		cut("JWE, a bomb", b64([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`))+".."+b64(make([]byte, 12))+"."+b64(make([]byte, 6000))+"."+b64(make([]byte, 16)), malformed),
		cut("JWE header on three parts", l.jws(k, `{"alg":"dir","enc":"A256GCM","kid":"ec-1"}`, l.claims()), refused(token.HeaderUnsupported)),
		cut("nested, cty JWT", l.jws(k, header(k, `cty="JWT"`), tok), refused(token.HeaderUnsupported)),
		cut("nested, cty jwt", l.jws(k, header(k, `cty="application/jwt"`), tok), refused(token.HeaderUnsupported)),
		cut("nested, no cty", l.jws(k, header(k), tok), refused(token.ClaimsMalformed)),
		cut("nested, as a JSON string", l.jws(k, header(k), quoted(tok)), refused(token.ClaimsMalformed)),
		cut("cty JWT over claims", l.jws(k, header(k, `cty="JWT"`), l.claims()), refused(token.HeaderUnsupported)),
		cut("cty at+jwt over claims", l.jws(k, header(k, `cty="at+jwt"`), l.claims()), refused(token.HeaderUnsupported)),
		cut("cty number", l.jws(k, header(k, `cty=7`), l.claims()), refused(token.HeaderMalformed)),
	}
	badHeader, badClaims := refused(token.HeaderMalformed), refused(token.ClaimsMalformed)
	good := l.claims()
	for name, text := range map[string]string{
		"array": `[]`, "array of the object": "[%s]", "string": `"x"`, "null": `null`, "true": `true`, "number": `7`, "nothing but blanks": `  `, "BOM": "\ufeff%s", "NUL behind": "%s\x00", "text behind": "%s x",
		"second object": "%s{}", "brace behind": "%s}", "comma behind": "%s,", "comment": "%s/**/", "comment before": "//\n%s", "cut": "%.20s", "form feed before": "\f%s", "no-break space before": "\u00a0%s",
	} {
		fill := func(object string) string {
			if strings.Contains(text, "%") {
				return fmt.Sprintf(text, object)
			}
			return text
		}
		attacks = append(attacks,
			cut("header: "+name, l.jws(k, fill(header(k)), good), badHeader),
			cut("claims: "+name, l.jws(k, header(k), fill(good)), badClaims))
	}
	for name, member := range map[string]string{
		"NaN": `"x":NaN`, "Infinity": `"x":Infinity`, "-Infinity": `"x":-Infinity`, "True": `"x":True`, "undefined": `"x":undefined`, "plus": `"x":+1`, "leading zero": `"x":01`, "bare point": `"x":.5`, "point at the end": `"x":1.`,
		"hex": `"x":0x10`, "exponent without digits": `"x":1e`, "minus alone": `"x":-`, "trailing comma": `"x":1,`, "trailing comma in an array": `"x":[1,]`, "two commas": `"x":1,,"y":2`, "single quotes": `'x':1`, "bare name": `x:1`,
		"no colon": `"x" 1`, "no value": `"x":`, "number as a name": `7:1`, "raw newline": "\"x\":\"a\nb\"", "raw NUL": "\"x\":\"a\x00b\"", "raw tab": "\"x\":\"a\tb\"", "raw tab in a name": "\"a\tb\":1", "unknown escape": `"x":"\x41"`,
		"short escape": `"x":"\u004"`, "lone high surrogate": `"x":"\ud800"`, "lone low surrogate": `"x":"\udc00"`, "surrogates the wrong way": `"x":"\udc00\ud800"`, "high surrogate and text": `"x":"\ud800abcdef"`, "surrogate in a name": `"\ud800":1`,
		"invalid UTF-8": "\"x\":\"\xff\"", "invalid UTF-8 in a name": "\"\xff\":1", "overlong": "\"x\":\"\xc0\xaf\"", "CESU": "\"x\":\"\xed\xa0\x80\xed\xb0\x80\"", "above Unicode": "\"x\":\"\xf4\x90\x80\x80\"", "cut sequence": "\"x\":\"\xc3\"",
		"unclosed string": `"x":"`, "unclosed array": `"x":[`, "mixed brackets": `"x":[}`, "comment within": `"x":1/**/`, "backtick": "\"x\":`a`",
	} {
		attacks = append(attacks,
			cut("header: "+name, l.jws(k, header(k, "+"+member), good), badHeader),
			cut("claims: "+name, l.jws(k, header(k), l.claims("+"+member)), badClaims))
	}
	for name, text := range map[string]string{
		"blanks": " \t\r\n%s \t\r\n", "UTF-8": `%s`,
	} {
		attacks = append(attacks,
			cut("header: legal "+name, l.jws(k, fmt.Sprintf(text, header(k, `x="é𝄞"`)), good), accepted("X-Auth-Sub", "alice")),
			cut("claims: legal "+name, l.jws(k, header(k), fmt.Sprintf(text, l.claims(`x="\ud834\udd1e é"`, `y=[1,-0,0.5e-3,{"z":null}]`))), accepted("X-Auth-Sub", "alice")))
	}
	attacks = append(attacks, cut("claims: {}", l.jws(k, header(k), "{}"), refused(token.IssuerMissing)), cut("header: {}", l.jws(k, "{}", good), refused(token.AlgNotAllowed)))
	return append(attacks, l.size()...)
}

// size is depth and length (conformance 3.10, 19.2).
func (l *lab) size() []attack {
	k := l.keys.ec
	nest := func(open, shut string, n int) string {
		return "x=" + strings.Repeat(open, n) + "1" + strings.Repeat(shut, n)
	}
	// exactly is a token of n bytes for the gate small, or for any other.
	exactly := func(n int) string {
		for pad := n / 2; pad < n; pad++ {
			// The claims are minted once: their length must not change meanwhile.
			if tok := l.token(k, `jti="j"`, `pad="`+strings.Repeat("p", pad)+`"`); len(tok) == n {
				return tok
			}
		}
		l.t.Fatalf("no token of %d bytes", n)
		return ""
	}
	members := make([]string, 700)
	for i := range members {
		members[i] = fmt.Sprintf(`+"m%d":%d`, i, i)
	}
	cut := func(name, gate, text string, w want) attack {
		return attack{name: name, gate: gate, token: text, want: w}
	}
	return []attack{
		cut("31 arrays in the claims", "main", l.token(k, nest("[", "]", 31)), accepted()), cut("32 arrays in the claims", "main", l.token(k, nest("[", "]", 32)), refused(token.ClaimsMalformed)),
		cut("31 objects in the claims", "main", l.token(k, nest(`{"a":`, "}", 31)), accepted()), cut("32 objects in the claims", "main", l.token(k, nest(`{"a":`, "}", 32)), refused(token.ClaimsMalformed)),
		cut("4,000 arrays in the claims", "main", l.token(k, nest("[", "]", 4000)), refused(token.ClaimsMalformed)), cut("8,000 open arrays", "main", l.jws(k, header(k), `{"x":`+strings.Repeat("[", 8000)), refused(token.ClaimsMalformed)),
		cut("32 arrays in the header", "main", l.jws(k, header(k, nest("[", "]", 32)), l.claims()), refused(token.HeaderMalformed)), cut("4,000 arrays in the header", "main", l.jws(k, header(k, nest("[", "]", 4000)), l.claims()), refused(token.HeaderMalformed)),
		cut("700 members", "main", l.token(k, members...), accepted("X-Auth-Sub", "alice")), cut("a number of 6,000 digits", "main", l.token(k, "x=1"+strings.Repeat("0", 6000)), accepted("X-Auth-Sub", "alice")),
		cut("a name of 6,000 bytes", "main", l.token(k, strings.Repeat("n", 6000)+"=1"), accepted("X-Auth-Sub", "alice")), cut("8 KB", "main", l.token(k, `pad="`+strings.Repeat("p", 6000)+`"`), accepted("X-Auth-Sub", "alice")),
		cut("4,096 bytes", "small", exactly(4096), accepted("X-Auth-Sub", "alice")), cut("4,098 bytes", "small", exactly(4098), refused(token.TokenTooLong)), cut("8 KB", "small", l.token(k, `pad="`+strings.Repeat("p", 6000)+`"`), refused(token.TokenTooLong)),
		cut("100 KB", "main", l.token(k, `pad="`+strings.Repeat("p", 75000)+`"`), stopped(431, 400)), cut("1 MB of dots", "main", strings.Repeat(".", 1<<20), stopped(431, 400)),
		cut("a signature of 6,000 bytes", "main", strings.TrimSuffix(l.token(k), "")+strings.Repeat("A", 6000), refused(token.TokenMalformed)),
	}
}

// base64url is the one spelling of a token (conformance 3.3): each odd spelling
// both with the signature over the odd text and with that over the right one.
func (l *lab) base64url() []attack {
	k := l.keys.ec
	sign := func(input string) string { return b64(k.sign(l.t, k.alg, input)) }
	// A header and claims whose text has 2 and 3 characters over, and - and _.
	fit := func(over int, text func(pad string) string) string {
		for _, pad := range []string{"", "p", "pp", "ppp"} {
			if s := b64([]byte(text(pad + "~~~???>>>ÿÿÿ"))); len(s)%4 == over && strings.ContainsAny(s, "-") && strings.ContainsAny(s, "_") {
				return s
			}
		}
		l.t.Fatalf("no text with %d characters over", over)
		return ""
	}
	var attacks []attack
	for _, over := range []int{2, 3} {
		h := fit(over, func(pad string) string { return header(k, "x="+quoted(pad)) })
		p := fit(over, func(pad string) string { return l.claims(`jti="j"`, "x="+quoted(pad)) })
		s := sign(h + "." + p)
		odd := map[string]func(string) string{
			"padded":           func(s string) string { return s + strings.Repeat("=", 4-len(s)%4) },
			"unused bits":      unusedBits,
			"standard +/":      func(s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) },
			"a character over": func(s string) string { return s + strings.Repeat("A", 5-len(s)%4) },
			"line break":       func(s string) string { return s[:8] + "\n" + s[8:] },
			"blank":            func(s string) string { return s[:8] + " " + s[8:] },
			"tilde":            func(s string) string { return s[:8] + "~" + s[9:] },
			"percent":          func(s string) string { return s[:8] + "%2d" + s[8:] },
		}
		for name, change := range odd {
			reasons := []token.Reason{token.TokenMalformed, token.AuthorizationMalformed}
			add := func(part, how, text string) {
				w := refused(reasons...)
				if name == "line break" {
					w = stopped(400)
				}
				attacks = append(attacks, attack{name: fmt.Sprintf("%s %s, %d over, %s", part, name, over, how), gate: "main", token: text, want: w})
			}
			add("header", "its own signature", change(h)+"."+p+"."+sign(change(h)+"."+p))
			add("header", "the right signature", change(h)+"."+p+"."+s)
			add("claims", "its own signature", h+"."+change(p)+"."+sign(h+"."+change(p)))
			add("claims", "the right signature", h+"."+change(p)+"."+s)
		}
		attacks = append(attacks, attack{name: fmt.Sprintf("control, %d over", over), gate: "main", token: h + "." + p + "." + s, want: accepted("X-Auth-Sub", "alice")})
	}
	h, p := b64([]byte(header(k))), b64([]byte(l.claims()))
	s := sign(h + "." + p) // 64 bytes: two characters over
	for name, odd := range map[string]string{
		"padded": s + "==", "padded once": s + "=", "unused bits": unusedBits(s), "a character over": s + "AAA", "a byte more": s + "AA", "a character less": s[:len(s)-1], "twice": s + s, "tilde": s[:8] + "~" + s[9:],
	} {
		attacks = append(attacks, attack{name: "signature " + name, gate: "main", token: h + "." + p + "." + odd, want: refused(token.TokenMalformed, token.SignatureInvalid)})
	}
	return attacks
}

// unusedBits returns another spelling of what s stands for.
func unusedBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last+1])
}

// names is duplicate member names and names that only look like one
// (conformance 3.7, 3.8).
func (l *lab) names() []attack {
	k := l.keys.ec
	var attacks []attack
	add := func(name, text string, w want) {
		attacks = append(attacks, attack{name: name, gate: "main", token: text, want: w})
	}
	for _, member := range []string{`"alg":"ES256"`, `"\u0061lg":"ES256"`, `"alg":"none"`, `"kid":"ec-1"`, `"k\u0069d":"ec-2"`, `"typ":"at+jwt"`, `"t\u0079p":"logout+jwt"`} {
		add("header twice "+member, l.jws(k, header(k, "+"+member), l.claims()), refused(token.HeaderMalformed))
	}
	add("header first "+`"alg":"none"`, l.jws(k, `{"alg":"none","alg":"ES256","kid":"ec-1"}`, l.claims()), refused(token.HeaderMalformed))
	for _, member := range []string{
		`"sub":"alice"`, `"sub":"mallory"`, `"\u0073ub":"mallory"`, `"s\u0075\u0062":"mallory"`, `"exp":99999999999`, `"\u0065xp":99999999999`, `"\u0065\u0078\u0070":1`, `"iss":"https://evil.example"`, `"aud":"orders-api"`,
		`"jti":"x"`, `"iat":0`, `"a":1,"a":2`, `"a":1,"\u0061":2`, `"a":{"b":1,"b":2}`, `"a":[{"b":1,"\u0062":2}]`, `"a":{"b":{"c":{},"c":{}}}`, `"\u00e9":1,"é":2`, `"":1,"":2`, `"\"":1,"\u0022":2`, `"\/":1,"/":2`, `"𝄞":1,"\ud834\udd1e":2`,
	} {
		add("claims twice "+member, l.token(k, "+"+member), refused(token.ClaimsMalformed))
	}
	add("same name in two objects", l.token(k, `a={"b":1}`, `c={"b":{"b":2}}`), accepted("X-Auth-Sub", "alice"))
	add("names that differ after unescaping", l.token(k, `+"\u0061":1,"\\u0061":2,"A":3`), accepted("X-Auth-Sub", "alice"))
	add("escaped names", l.jws(k, `{"\u0061lg":"\u0045\u00532\u00356","\u006bid":"\u0065c-1"}`, l.claims("-sub", `+"s\u0075b":"\u0061lice"`)), accepted("X-Auth-Sub", "alice"))
	for _, fake := range []string{"SUB", "Sub", "ſub", "sub ", " sub", "sub\x00", "s\u0075\u0308b", "ｓub"} {
		add(fmt.Sprintf("claim %+q alone", fake), l.token(k, "-sub", fake+`="mallory"`), refused(token.ClaimMissing))
		add(fmt.Sprintf("claim %+q beside", fake), l.token(k, fake+`="mallory"`), accepted("X-Auth-Sub", "alice"))
	}
	for _, fake := range []string{"EXP", "Exp", "exp ", "exp\x00", "eхp"} {
		add(fmt.Sprintf("claim %+q alone", fake), l.token(k, "-exp", fake+"=99999999999"), refused(token.ExpiryMissing))
		add(fmt.Sprintf("claim %+q beside an old one", fake), l.token(k, "exp=1", fake+"=99999999999"), refused(token.Expired))
		add(fmt.Sprintf("claim %+q beside", fake), l.token(k, fake+"=1"), accepted("X-Auth-Sub", "alice"))
	}
	for _, fake := range []string{"ISS", "Iss", "iſs", "iss\x00"} {
		add(fmt.Sprintf("claim %+q alone", fake), l.token(k, "-iss", fake+"="+quoted(l.iss)), refused(token.IssuerMissing))
	}
	for _, fake := range []string{"AUD", "Aud", "aud "} {
		add(fmt.Sprintf("claim %+q alone", fake), l.token(k, "-aud", fake+`="orders-api"`), refused(token.AudienceMismatch))
		add(fmt.Sprintf("claim %+q beside another aud", fake), l.token(k, `aud="other"`, fake+`="orders-api"`), refused(token.AudienceMismatch))
	}
	for _, fake := range []string{"NBF", "IAT", "Nbf", "CNF", "Events"} {
		add("claim "+fake+" has no effect", l.token(k, fake+"=99999999999"), accepted("X-Auth-Sub", "alice"))
	}
	for _, fake := range []string{"ROLES", "Roles", "roleſ", "EMAIL", "Tenant"} {
		add(fmt.Sprintf("claim %+q forwards nothing", fake), l.token(k, fake+`="mallory"`), accepted("X-Auth-Roles", "", "X-Auth-Email", "", "X-Auth-Tenant", ""))
	}
	for _, fake := range []string{"ALG", "Alg", "aLg", "alg "} {
		add("header "+fake+" alone", l.jws(k, header(k, "-alg", fake+`="ES256"`), l.claims()), refused(token.AlgNotAllowed))
		add("header "+fake+" beside", l.jws(k, header(k, fake+`="none"`), l.claims()), accepted("X-Auth-Sub", "alice"))
	}
	for _, fake := range []string{"KID", "Kid", "\u212aid", "kid "} {
		add(fmt.Sprintf("header %+q beside", fake), l.jws(k, header(k, fake+`="of-nobody"`), l.claims()), accepted("X-Auth-Sub", "alice"))
		add(fmt.Sprintf("header %+q does not choose", fake), l.jws(k, header(k, `kid="of-nobody"`, fake+`="ec-1"`), l.claims()), refused(token.KidUnknown))
	}
	for _, fake := range []string{"CRIT", "Crit", "Typ", "B64", "ZIP", "Enc"} {
		add("header "+fake+" has no effect", l.jws(k, header(k, fake+`=["x"]`), l.claims()), accepted("X-Auth-Sub", "alice"))
	}
	return attacks
}
