package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseClaims(t *testing.T) {
	const least = `"iss":"i","exp":1`
	with := func(members string) string { return `{` + least + `,` + members + `}` }
	cases := []struct {
		name, claims string
		want         Reason
	}{
		{"least", `{` + least + `}`, ReasonNone},
		{"blanks around", " \n{" + least + "}\t\r", ReasonNone},
		{"iss and exp by escape", `{"\u0069ss":"i","\u0065xp":1}`, ReasonNone},
		{"depth 32", with(`"x":` + strings.Repeat(`{"a":`, 30) + `[]` + strings.Repeat("}", 30)), ReasonNone},
		{"depth 33", with(`"x":` + strings.Repeat(`{"a":`, 31) + `[]` + strings.Repeat("}", 31)), ClaimsMalformed},
		{"depth of thousands", with(`"x":` + strings.Repeat("[", 5000)), ClaimsMalformed},
		{"same name in another object", with(`"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]`), ReasonNone},
		{"names that differ in case", with(`"EXP":"x","Iss":7,"Sub":null`), ReasonNone},
		{"names that look alike", with(`"` + "\u017fub" + `":7,"exp ":null,"exp\u0000":"x"`), ReasonNone},

		{"empty object", `{}`, IssuerMissing},
		{"array", `[]`, ClaimsMalformed},
		{"array around", `[{` + least + `}]`, ClaimsMalformed},
		{"string", `"x"`, ClaimsMalformed},
		{"null", `null`, ClaimsMalformed},
		{"number", `1`, ClaimsMalformed},
		{"blanks", `  `, ClaimsMalformed},
		{"byte order mark", "\ufeff{" + least + "}", ClaimsMalformed},
		{"text behind", `{` + least + `}x`, ClaimsMalformed},
		{"second object", `{` + least + `}{}`, ClaimsMalformed},
		{"NUL behind", `{` + least + "}\x00", ClaimsMalformed},
		{"NaN", with(`"x":NaN`), ClaimsMalformed},
		{"infinity", with(`"x":-Infinity`), ClaimsMalformed},
		{"leading zero", with(`"x":01`), ClaimsMalformed},
		{"plus", with(`"x":+1`), ClaimsMalformed},
		{"bare point", with(`"x":1.`), ClaimsMalformed},
		{"point first", with(`"x":.5`), ClaimsMalformed},
		{"no exponent", with(`"x":1e`), ClaimsMalformed},
		{"minus alone", with(`"x":-`), ClaimsMalformed},
		{"hexadecimal", with(`"x":0x10`), ClaimsMalformed},
		{"True", with(`"x":True`), ClaimsMalformed},
		{"single quotes", with(`'x':1`), ClaimsMalformed},
		{"bare name", with(`x:1`), ClaimsMalformed},
		{"trailing comma", `{` + least + `,}`, ClaimsMalformed},
		{"trailing comma in array", with(`"x":[1,]`), ClaimsMalformed},
		{"comment", with(`/* */"x":1`), ClaimsMalformed},
		{"raw newline in a string", with("\"x\":\"a\nb\""), ClaimsMalformed},
		{"raw NUL in a string", with("\"x\":\"a\x00b\""), ClaimsMalformed},
		{"unknown escape", with(`"x":"\x41"`), ClaimsMalformed},
		{"short escape", with(`"x":"\u12"`), ClaimsMalformed},
		{"no-break space as blank", "{\u00a0" + least + "}", ClaimsMalformed},
		{"form feed as blank", "{\f" + least + "}", ClaimsMalformed},

		{"duplicate exp", with(`"exp":2`), ClaimsMalformed},
		{"duplicate by escape", with(`"\u0065xp":2`), ClaimsMalformed},
		{"duplicate of two escapes", with(`"\u0061":1,"\u0061":2`), ClaimsMalformed},
		{"duplicate of unlike escapes", with(`"\n":1,"\u000a":2`), ClaimsMalformed},
		{"duplicate unknown name", with(`"x":1,"x":1`), ClaimsMalformed},
		{"duplicate empty name", with(`"":1,"":1`), ClaimsMalformed},
		{"duplicate deep down", with(`"x":[{"y":{"z":1,"z":2}}]`), ClaimsMalformed},
		{"duplicate after a thousand names", with(manyNames(1000) + `,"n7":1`), ClaimsMalformed},
		{"a thousand names", with(manyNames(1000)), ReasonNone},

		{"invalid UTF-8 in a value", with("\"sub\":\"a\xffb\""), ClaimsMalformed},
		{"invalid UTF-8 in a name", with("\"a\xc3\":1"), ClaimsMalformed},
		{"overlong UTF-8", with("\"sub\":\"\xc0\xaf\""), ClaimsMalformed},
		{"surrogate as UTF-8", with("\"sub\":\"\xed\xa0\x80\""), ClaimsMalformed},
		{"beyond Unicode", with("\"sub\":\"\xf4\x90\x80\x80\""), ClaimsMalformed},
		{"replacement character itself", with("\"sub\":\"\ufffd\""), ReasonNone},
		{"lone high surrogate", with(`"sub":"\ud83d"`), ClaimsMalformed},
		{"lone low surrogate", with(`"sub":"\ude00"`), ClaimsMalformed},
		{"surrogates in the wrong order", with(`"sub":"\ude00\ud83d"`), ClaimsMalformed},
		{"high surrogate and a letter", with(`"sub":"\ud83dx"`), ClaimsMalformed},
		{"high surrogate and another escape", with(`"sub":"\ud83d\u0041"`), ClaimsMalformed},
		{"lone surrogate in a name", with(`"\ud800":1`), ClaimsMalformed},
		{"pair of surrogates", with(`"sub":"\ud83d\uDE00"`), ReasonNone},

		{"iss missing", `{"exp":1}`, IssuerMissing},
		{"iss empty", `{"iss":"","exp":1}`, IssuerMissing},
		{"iss null", `{"iss":null,"exp":1}`, ClaimsMalformed},
		{"iss array", `{"iss":["i"],"exp":1}`, ClaimsMalformed},
		{"iss number", `{"iss":1,"exp":1}`, ClaimsMalformed},
		{"only ISS", `{"ISS":"i","exp":1}`, IssuerMissing},
		{"exp missing", `{"iss":"i"}`, ExpiryMissing},
		{"only EXP", `{"iss":"i","EXP":1}`, ExpiryMissing},
		{"exp null", `{"iss":"i","exp":null}`, ClaimsMalformed},
		{"exp string", `{"iss":"i","exp":"1700000000"}`, ClaimsMalformed},
		{"exp date string", `{"iss":"i","exp":"2040-01-01T00:00:00Z"}`, ClaimsMalformed},
		{"exp boolean", `{"iss":"i","exp":true}`, ClaimsMalformed},
		{"exp array", `{"iss":"i","exp":[1]}`, ClaimsMalformed},
		{"exp object", `{"iss":"i","exp":{}}`, ClaimsMalformed},
		{"exp zero", `{"iss":"i","exp":0}`, ReasonNone},
		{"exp half", `{"iss":"i","exp":0.5}`, ReasonNone},
		{"exp minus zero", `{"iss":"i","exp":-0}`, ReasonNone},
		{"exp least", `{"iss":"i","exp":-9223372036854775808}`, ReasonNone},
		{"exp -1e300", `{"iss":"i","exp":-1e300}`, ReasonNone},
		{"exp in the year 9999", `{"iss":"i","exp":253402300799.9999999999}`, ReasonNone},
		{"exp in the year 10000", `{"iss":"i","exp":253402300800}`, ClaimsMalformed},
		{"exp 2^63-1", `{"iss":"i","exp":9223372036854775807}`, ClaimsMalformed},
		{"exp 2^64", `{"iss":"i","exp":18446744073709551616}`, ClaimsMalformed},
		{"exp 1e400", `{"iss":"i","exp":1e400}`, ClaimsMalformed},
		{"exp of 400 digits", `{"iss":"i","exp":` + strings.Repeat("9", 400) + `}`, ClaimsMalformed},
		{"exp with an exponent of 400 digits", `{"iss":"i","exp":1e` + strings.Repeat("9", 400) + `}`, ClaimsMalformed},

		{"aud string", with(`"aud":"a"`), ReasonNone},
		{"aud array", with(`"aud":["a","b"]`), ReasonNone},
		{"aud empty array", with(`"aud":[]`), ReasonNone},
		{"aud null", with(`"aud":null`), ClaimsMalformed},
		{"aud number", with(`"aud":1`), ClaimsMalformed},
		{"aud object", with(`"aud":{"a":1}`), ClaimsMalformed},
		{"aud with a number", with(`"aud":["a",1]`), ClaimsMalformed},
		{"aud with null", with(`"aud":["a",null]`), ClaimsMalformed},
		{"aud nested", with(`"aud":[["a"]]`), ClaimsMalformed},

		{"jti empty", with(`"jti":""`), ClaimsMalformed},
		{"scope number is not ours to judge", with(`"scope":7,"scp":{}`), ReasonNone},
	}
	for _, name := range []string{"nbf", "iat"} {
		for _, v := range []string{"null", `"1"`, `""`, "true", "[]", "{}"} {
			cases = append(cases, struct {
				name, claims string
				want         Reason
			}{name + " " + v, with(fmt.Sprintf(`%q:%s`, name, v)), ClaimsMalformed})
		}
		for _, v := range []string{"0", "-1", "1.5", "9223372036854775807", "1e300", "1e400", "-1e400"} {
			cases = append(cases, struct {
				name, claims string
				want         Reason
			}{name + " " + v, with(fmt.Sprintf(`%q:%s`, name, v)), ReasonNone})
		}
	}
	for _, name := range []string{"sub", "jti", "sid", "client_id", "azp"} {
		for _, v := range []string{"null", "7", "false", `["x"]`, `{"x":1}`} {
			cases = append(cases, struct {
				name, claims string
				want         Reason
			}{name + " " + v, with(fmt.Sprintf(`%q:%s`, name, v)), ClaimsMalformed})
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(unsigned(goodHeader, c.claims), 64<<10)
			wantReason(t, err, c.want)
			_, err = ParseClaims(c.claims)
			wantReason(t, err, c.want)
		})
	}
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"n%d":%d`, i, i)
	}
	return strings.Join(names, ",")
}

// TestMalformedSaysWhere: an operator reads what was wrong, and at which byte.
func TestMalformedSaysWhere(t *testing.T) {
	cases := []struct{ claims, want string }{
		{`{"iss":"i","exp":1,"iss":"j"}`, "claims_malformed: want strict JSON: duplicate member name at byte 19"},
		{"{\"iss\":\"a\xff\"}", "claims_malformed: want strict JSON: invalid UTF-8 at byte 9"},
		{`{"iss":"\ud800"}`, "claims_malformed: want strict JSON: no legal escape at byte 8"},
		{`{"iss":"i"}}`, "claims_malformed: want strict JSON: text after the object at byte 11"},
		{`[]`, "claims_malformed: want strict JSON: no JSON object at byte 0"},
		{`{"iss":"i","sub":7}`, "claims_malformed: want sub: a string"},
		{`{"iss":"i","exp":"7"}`, "claims_malformed: want exp: a number"},
	}
	for _, c := range cases {
		if _, err := ParseClaims(c.claims); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.claims, err, c.want)
		}
	}
	_, err := Parse("e30.e3=.AAAA", 0)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Reason != AlgNotAllowed {
		t.Errorf("header first: %v", err)
	}
	_, err = Parse(b64(goodHeader)+".e3=.AAAA", 0)
	if want := "token_malformed: want canonical base64url: byte 2 of the claims part"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestClaimsClient(t *testing.T) {
	for _, c := range []struct{ members, want string }{
		{`"x":1`, ""},
		{`"azp":"a"`, "a"},
		{`"client_id":"c","azp":"a"`, "c"},
		{`"azp":"a","client_id":"c"`, "c"},
		{`"azp":"a","client_id":""`, ""},
	} {
		if got := mustClaims(t, c.members).ClientID; got != c.want {
			t.Errorf("%s: %q, want %q", c.members, got, c.want)
		}
	}
}

func TestClaimsAudience(t *testing.T) {
	for _, c := range []struct {
		members string
		want    []string
	}{
		{`"x":1`, nil},
		{`"aud":[]`, nil},
		{`"aud":""`, []string{""}},
		{`"aud":"a b"`, []string{"a b"}},
		{`"aud":["a","\u0062","*"]`, []string{"a", "b", "*"}},
	} {
		if got := mustClaims(t, c.members).Audience; !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.members, got, c.want)
		}
	}
}

func TestClaimsGet(t *testing.T) {
	c := mustClaims(t, `"a":{"b":{"c":"nested"},"x.y":1,"":"empty"},"a.b.c":"literal","realm_access.roles":["forged"],`+
		`"https://example.com/roles":["r"],"list":[10,{"k":"v"},[true]],"\u0065sc":"e\u0301\n","~/":"tilde","null":null,"Sub":"no"`)
	cases := []struct {
		path string
		kind Kind
		text string
	}{
		{"a.b.c", String, "nested"},
		{"a.b", Object, ""},
		{"a", Object, ""},
		{"iss", String, "i"},
		{"exp", Number, "2000000000"},
		{"realm_access.roles", Missing, ""},
		{"/realm_access.roles/0", String, "forged"},
		{"/a.b.c", String, "literal"},
		{"/a/b/c", String, "nested"},
		{"/a/x.y", Number, "1"},
		{"/a/", String, "empty"},
		{"https://example.com/roles", Array, ""},
		{"/https:~1~1example.com~1roles/0", String, "r"},
		{"list", Array, ""},
		{"list.0", Missing, ""},
		{"/list/0", Number, "10"},
		{"/list/1/k", String, "v"},
		{"/list/2/0", Bool, "true"},
		{"/list/3", Missing, ""},
		{"/list/00", Missing, ""},
		{"/list/-", Missing, ""},
		{"/list/-1", Missing, ""},
		{"/list/4294967296", Missing, ""},
		{"/list/0/0", Missing, ""},
		{"esc", String, "e\u0301\n"},
		{"/~0~1", String, "tilde"},
		{"null", Null, ""},
		{"null.x", Missing, ""},
		{"sub", Missing, ""},
		{"SUB", Missing, ""},
		{"Sub", String, "no"},
		{"a.b.c.d", Missing, ""},
		{"a.B", Missing, ""},
	}
	for _, want := range cases {
		p, err := ParsePath(want.path)
		if err != nil {
			t.Errorf("%s: %v", want.path, err)
			continue
		}
		if v := c.Get(p); v.Kind() != want.kind || v.Text() != want.text {
			t.Errorf("%s: %v %q, want %v %q", want.path, v.Kind(), v.Text(), want.kind, want.text)
		}
		if p.String() != want.path {
			t.Errorf("%s is written %s", want.path, p)
		}
	}
	if v := c.Get(Path{}); v.Kind() != Missing {
		t.Errorf("zero path: %v", v.Kind())
	}
	if v := new(Claims).Get(must(ParsePath("a"))); v.Kind() != Missing {
		t.Errorf("claims without a token: %v", v.Kind())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestClaimsSize(t *testing.T) {
	c, err := ParseClaims(bigPayload)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Size(); n < len(bigPayload)+43*12 || n > len(bigPayload)+1000 {
		t.Errorf("size %d of %d bytes of JSON", n, len(bigPayload))
	}
	tok, err := Parse(mint(t, RS256, bigHeader, bigPayload), 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := tok.Detach().Size(); n < c.Size()+len(tok.SigningInput()) || n > c.Size()+len(tok.SigningInput())+200 {
		t.Errorf("detached token of %d bytes", n)
	}
	if cap(c.nodes) != len(c.nodes) {
		t.Errorf("%d nodes in room for %d", len(c.nodes), cap(c.nodes))
	}
}
