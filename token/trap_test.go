package token

import (
	"fmt"
	"testing"
)

func TestTrapExpOptional(t *testing.T) {
	for _, claims := range []string{`{"iss":"i"}`, `{"iss":"i","Exp":2000000000}`, `{"iss":"i","x":{"exp":2000000000}}`} {
		_, err := Parse(mint(t, HS256, `{"alg":"HS256"}`, claims), 0)
		wantReason(t, err, ExpiryMissing)
	}
	// Zero and less are times long past, not the absence of one.
	for _, exp := range []string{"0", "-0", "0.5", "-1", "1e-400", "-9223372036854775808", "-1e300"} {
		c, err := ParseClaims(`{"iss":"i","exp":` + exp + `}`)
		if err != nil {
			t.Errorf("%s: %v", exp, err)
			continue
		}
		if s, _ := c.Expires.Unix(); !c.Expires.Present() || s > 0 {
			t.Errorf("%s: present %v, %d s", exp, c.Expires.Present(), s)
		}
	}
}

func TestTrapHugeTimesWrap(t *testing.T) {
	for _, v := range []string{"253402300800", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e19", "1e300", "1e400"} {
		c := mustClaims(t, `"nbf":`+v+`,"iat":`+v)
		for name, d := range map[string]NumericDate{"nbf": c.NotBefore, "iat": c.IssuedAt} {
			if year := d.Time().Year(); year != 10000 {
				t.Errorf("%s %s: year %d", name, v, year)
			}
		}
	}
}

func TestTrapPanicOnClaimOfUnexpectedType(t *testing.T) {
	values := []string{"null", "true", "false", "0", "-1.5e3", `""`, `"x"`, "[]", "[[]]", `[null]`, "{}", `{"x":null}`}
	names := []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "client_id", "azp", "scope", "scp", "cnf", "events", "realm_access", "roles"}
	paths := []Path{must(ParsePath("realm_access.roles")), must(ParsePath("/roles/0/x")), must(ParsePath("scope"))}
	for _, name := range names {
		for _, v := range values {
			tok, err := Parse(unsigned(goodHeader, fmt.Sprintf(`{"a":{"iss":0},%q:%s,"z":[]}`, name, v)), 0)
			if err == nil {
				t.Errorf("%s %s accepted without iss or exp", name, v)
			}
			if tok != nil {
				t.Errorf("%s %s: a token beside an error", name, v)
			}
			if name == "iss" || name == "exp" {
				continue
			}
			c, err := ParseClaims(fmt.Sprintf(`{"iss":"i","exp":1,%q:%s}`, name, v))
			if err != nil {
				wantReason(t, err, ClaimsMalformed)
				continue
			}
			for _, p := range paths {
				got := c.Get(p)
				_, _, _, _ = got.Text(), got.Len(), got.Empty(), got.AppendJSON(nil)
			}
		}
	}
}

func TestTrapBigIntegersThroughFloat64(t *testing.T) {
	for _, literal := range []string{"9007199254740993", "98765432109876543210", "1000000", "1e6", "0.10", "-0", "123456789012345678901234567890.5"} {
		v := mustClaims(t, `"n":`+literal).Get(must(ParsePath("n")))
		if v.Text() != literal || string(v.AppendJSON(nil)) != literal {
			t.Errorf("%s: %s, %s", literal, v.Text(), v.AppendJSON(nil))
		}
	}
}

func TestTrapURLNamedClaimsSplitAtDots(t *testing.T) {
	c := mustClaims(t, `"https://example.com/roles":["admin"],"https://example":{"com/roles":["forged"]}`)
	if got := string(c.Get(must(ParsePath("https://example.com/roles"))).AppendJSON(nil)); got != `["admin"]` {
		t.Error(got)
	}
}

func TestTrapLiteralDottedNameTakenForNesting(t *testing.T) {
	roles := must(ParsePath("realm_access.roles"))
	if v := mustClaims(t, `"realm_access.roles":["admin"]`).Get(roles); v.Kind() != Missing {
		t.Errorf("%s", v.AppendJSON(nil))
	}
	if v := mustClaims(t, `"realm_access.roles":["admin"],"realm_access":{"roles":["user"]}`).Get(roles); string(v.AppendJSON(nil)) != `["user"]` {
		t.Errorf("%s", v.AppendJSON(nil))
	}
}

func TestTrapEmptyArrays(t *testing.T) {
	c := mustClaims(t, `"aud":[],"roles":[]`)
	if len(c.Audience) != 0 {
		t.Errorf("%q", c.Audience)
	}
	if v := c.Get(must(ParsePath("roles"))); v.Kind() != Array || v.Len() != 0 || !v.Empty() || string(v.AppendJSON(nil)) != "[]" {
		t.Errorf("%v %d", v.Kind(), v.Len())
	}
}

// TestTrapNamesFoldedByCase: encoding/json would take these for sub, kid, exp.
func TestTrapNamesFoldedByCase(t *testing.T) {
	c := mustClaims(t, `"SUB":"a","Sub":"b","`+"\u017f"+`ub":"c","sub ":"d"`)
	if c.Subject != "" || c.Get(must(ParsePath("sub"))).Kind() != Missing {
		t.Errorf("sub %q", c.Subject)
	}
	tok, err := Parse(unsigned("{\"alg\":\"RS256\",\"\u212aid\":\"x\",\"KID\":\"y\"}", goodPayload), 0)
	if err != nil || tok.Header.HasKeyID {
		t.Errorf("%+v %v", tok, err)
	}
}
