package caddymodule_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// formsForward has every form.
const formsForward = `forward {
	X-Auth-Sub sub
	X-Auth-Plain v
	X-Auth-Join v join ,
	X-Auth-Blank v join " "
	X-Auth-Json v json
	X-Auth-Base64 v base64url
	X-Auth-Utf8 v utf8
	X-Auth-All * json
	X-Auth-Set * base64url
	X-Auth-Url https://example.com/v
	X-Auth-Pointer /a~1b/0
	X-Auth-Nested v.w
}
`

// forwarding is what the backend reads (conformance 16.2 to 16.15).
func (l *lab) forwarding() []attack {
	k := l.keys.ec
	var attacks []attack
	add := func(gate, name string, w want, edits ...string) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.token(k, edits...), want: w,
			head: []string{"X-Auth-Email: mallory", "X-Auth-Tenant: mallory", "X-Auth-Roles: mallory", "X-Auth-Plain: mallory"}})
	}
	for _, c := range []struct{ name, json, want string }{
		{"plain", `"acme"`, "acme"}, {"empty", `""`, ""}, {"null", "null", ""}, {"object", `{"a":1}`, ""}, {"array", `["a"]`, ""}, {"true", "true", "true"}, {"false", "false", "false"}, {"zero", "0", "0"}, {"minus zero", "-0", "-0"},
		{"beyond 2^53", "9007199254740993", "9007199254740993"}, {"20 digits", "98765432109876543210", "98765432109876543210"}, {"a million", "1000000", "1000000"}, {"exponent", "1E+6", "1E+6"}, {"fraction", "1.10", "1.10"},
		{"CRLF", `"a\r\nX-Auth-Admin: true"`, "a%0D%0AX-Auth-Admin: true"}, {"LF", `"a\nb"`, "a%0Ab"}, {"NUL", `"a\u0000b"`, "a%00b"}, {"tab", `"a\tb"`, "a%09b"}, {"ESC", `"\u001b[31m"`, "%1B[31m"}, {"DEL", `"\u007f"`, "%7F"},
		{"NEL", `"a\u0085b"`, "a%C2%85b"}, {"line separator", `"a\u2028b"`, "a%E2%80%A8b"}, {"U+010D U+010A", `"a\u010d\u010ab"`, "a%C4%8D%C4%8Ab"}, {"umlaut", `"Jürgen"`, "J%C3%BCrgen"}, {"beyond the BMP", `"𝄞"`, "%F0%9D%84%9E"},
		{"escaped umlaut", `"J\u00fcrgen"`, "J%C3%BCrgen"}, {"percent", `"100%"`, "100%25"}, {"percent-encoded", `"a%0D%0Ab"`, "a%250D%250Ab"}, {"outer blanks", `" admin "`, "%20admin%20"}, {"inner blanks", `"a  b"`, "a  b"}, {"only a blank", `" "`, "%20"},
		{"comma", `"a,b"`, "a,b"}, {"quotes", `"\"a\""`, `"a"`}, {"backslash", `"\\"`, `\`}, {"environment", `"{env.HOME}"`, "{env.HOME}"}, {"file", `"{file./etc/passwd}"`, "{file./etc/passwd}"}, {"header", `"{http.request.header.Host}"`, "{http.request.header.Host}"},
		{"our placeholder", `"{http.auth.user.id}"`, "{http.auth.user.id}"}, {"template", `"{{.Secret}}"`, "{{.Secret}}"}, {"dollar", `"${HOME} $HOME %HOME%"`, "${HOME} $HOME %25HOME%25"}, {"header injection", `"x: y"`, "x: y"}, {"e-mail", `"a+b@example.com"`, "a+b@example.com"},
	} {
		add("main", "tenant "+c.name, accepted("X-Auth-Sub", "alice", "X-Auth-Tenant", c.want, "X-Auth-Email", ""), "tenant="+c.json)
	}
	for _, c := range []struct{ json, want string }{
		{`["reader","admin"]`, "reader,admin"}, {`["reader,admin"]`, "reader%2Cadmin"}, {`["a"]`, "a"}, {`[]`, ""}, {`[""]`, ""}, {`["a",""]`, ""}, {`["a",null]`, ""}, {`["a",{}]`, ""}, {`["a",["b"]]`, ""}, {`[1,true,"x"]`, "1,true,x"}, {`[" a","b "]`, "%20a,b%20"},
		{`["a\r\nb"]`, "a%0D%0Ab"}, {`"a,b"`, "a%2Cb"}, {`"a"`, "a"}, {`7`, "7"}, {`{}`, ""}, {`{"a":1}`, ""}, {`["%2C"]`, "%252C"}, {`[98765432109876543210]`, "98765432109876543210"}, {`["é"]`, "%C3%A9"}, {`["{env.HOME}"]`, "{env.HOME}"}, {`null`, ""},
	} {
		add("main", "roles "+c.json, accepted("X-Auth-Roles", c.want, "X-Auth-Sub", "alice"), "roles="+c.json)
		add("main", "realm_access.roles "+c.json, accepted("X-Auth-Realm-Roles", c.want, "X-Auth-Roles", ""), `realm_access={"roles":`+c.json+`}`)
	}
	add("main", "realm_access.roles as a literal name", accepted("X-Auth-Realm-Roles", ""), `realm_access.roles=["admin"]`)
	add("main", "realm_access is a string", accepted("X-Auth-Realm-Roles", ""), `realm_access="roles"`)
	add("main", "realm_access is an array", accepted("X-Auth-Realm-Roles", ""), `realm_access=[{"roles":["admin"]}]`)
	add("main", "admin false", accepted("X-Auth-Admin", "false"), "admin=false")
	add("main", "sub with CRLF", accepted("X-Auth-Sub", "a%0D%0Ab"), `sub="a\r\nb"`)
	add("main", "sub with blanks", accepted("X-Auth-Sub", "%20alice"), `sub=" alice"`)
	add("main", "same name twice in different case", accepted("X-Auth-Tenant", "a"), `tenant="a"`, `TENANT="b"`)

	add("forms", "URL name", accepted("X-Auth-Url", "u", "X-Auth-Nested", "", "X-Auth-Pointer", ""), `https://example.com/v="u"`)
	add("forms", "pointer", accepted("X-Auth-Pointer", "first"), `a/b=["first"]`)
	add("forms", "nested", accepted("X-Auth-Nested", "n", "X-Auth-Plain", "", "X-Auth-Json", `{"w":"n"}`), `v={"w":"n"}`)
	for _, c := range []struct{ json, utf8 string }{
		{`"Jürgen"`, "Jürgen"}, {`"a\r\nb"`, ""}, {`"a\u0085b"`, ""}, {`" a"`, ""}, {`"a "`, ""}, {`"\u00a0a"`, ""}, {`"𝄞"`, "𝄞"}, {`"100%"`, "100%"}, {`"a\u007f"`, ""}, {`7`, "7"}, {`[]`, ""}, {`["a"]`, ""}, {`"\u010d\u010a"`, "\u010d\u010a"},
	} {
		add("forms", "utf8 "+c.json, accepted("X-Auth-Utf8", c.utf8), "v="+c.json)
	}
	for _, c := range []struct{ json, want string }{
		{`{"b":1,"a":[ 1 , 2.50 ]}`, `{"b":1,"a":[1,2.50]}`}, {`"é\r\n"`, `"\u00e9\u000d\u000a"`}, {`"𝄞"`, `"\ud834\udd1e"`}, {`9007199254740993`, "9007199254740993"}, {`{"a":null,"A":false}`, `{"a":null,"A":false}`}, {`{}`, ""}, {`[]`, ""}, {`""`, ""}, {`null`, ""}, {`false`, "false"}, {`[""]`, `[""]`},
	} {
		a := accepted("X-Auth-Json", c.want)
		if strings.Contains(c.json, `\r`) {
			a = accepted()
		}
		add("forms", "json "+c.json, a, "v="+c.json)
	}

	long := strings.Repeat("t", 65)
	add("small", "64 bytes", accepted("X-Auth-Tenant", long[1:]), "tenant="+quoted(long[1:]))
	add("small", "65 bytes", accepted("X-Auth-Tenant", "", "X-Auth-Sub", "alice"), "tenant="+quoted(long))
	add("small", "64 bytes when encoded", accepted("X-Auth-Tenant", ""), "tenant="+quoted(strings.Repeat("é", 11)))
	add("smallrefuse", "64 bytes", accepted("X-Auth-Tenant", long[1:]), "tenant="+quoted(long[1:]))
	add("smallrefuse", "65 bytes", refused(token.HeaderTooLarge), "tenant="+quoted(long))
	add("main", "4 KiB", accepted("X-Auth-Tenant", strings.Repeat("t", 4096)), "tenant="+quoted(strings.Repeat("t", 4096)))
	add("main", "more than 4 KiB", accepted("X-Auth-Tenant", ""), "tenant="+quoted(strings.Repeat("t", 4097)))
	return attacks
}

// differential compares what the backend got with what encoding/json makes of
// the same claims.
func (l *lab) differential(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 150 {
		value := randomJSON(random, 0)
		payload := l.claims("v=" + value)
		a := attack{name: "random", gate: "forms", token: l.jws(l.keys.ed, header(l.keys.ed), payload)}
		got := l.exchange(http.MethodGet, l.request(a))
		if got.status != http.StatusOK {
			t.Errorf("%d: %s: status %d %s", i, value, got.status, got.header.Get("X-Reason"))
			continue
		}
		l.compare(t, payload, got.seen)
	}
}

func (l *lab) compare(t *testing.T, payload string, got *seen) {
	t.Helper()
	claims := parsed(t, payload).(map[string]any)
	v, text := claims["v"], ""
	scalar := true
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	case bool:
		text = fmt.Sprint(v)
	default:
		scalar = false
	}
	field := func(name string) string {
		value, present := got.field(name)
		if present && (value == "" || strings.TrimSpace(value) != value) {
			t.Errorf("%s is there as %q", name, value)
		}
		return value
	}
	// Decoded, the header is the claim again; on the way it is plain ASCII.
	plain := field("X-Auth-Plain")
	if decoded, err := url.PathUnescape(plain); err != nil || decoded != text || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("plain: %q, want %q", plain, text)
	}
	for name, sep := range map[string]string{"X-Auth-Join": ",", "X-Auth-Blank": " "} {
		l.compareList(t, name, field(name), sep, v, text, scalar)
	}
	// A header of bytes beyond ASCII is the same bytes.
	if utf8 := field("X-Auth-Utf8"); utf8 != "" && utf8 != text {
		t.Errorf("utf8: %q, want %q", utf8, text)
	}
	empty := v == nil || scalar && text == "" || fmt.Sprint(v) == "[]" || fmt.Sprint(v) == "map[]"
	for name, want := range map[string]any{"X-Auth-Json": v, "X-Auth-Base64": v, "X-Auth-All": claims, "X-Auth-Set": claims} {
		value := field(name)
		if empty && (name == "X-Auth-Json" || name == "X-Auth-Base64") {
			if value != "" {
				t.Errorf("%s: %q for nothing", name, value)
			}
			continue
		}
		if name == "X-Auth-Base64" || name == "X-Auth-Set" {
			raw, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil {
				t.Errorf("%s: %q: %v", name, value, err)
				continue
			}
			if value = string(raw); name == "X-Auth-Base64" {
				if s, ok := want.(string); ok {
					if value != s {
						t.Errorf("%s: %q, want %q", name, value, s)
					}
					continue
				}
			}
		}
		original := payload
		if !strings.HasSuffix(name, "All") && !strings.HasSuffix(name, "Set") {
			original = string(member(t, payload, "v"))
		}
		if have, want := tokens(t, value), tokens(t, original); !slices.Equal(have, want) {
			t.Errorf("%s: %q\nwant %q", name, have, want)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s is not ASCII: %q", name, value)
		}
	}
}

// compareList checks a joined header against the elements.
func (l *lab) compareList(t *testing.T, name, value, sep string, v any, text string, scalar bool) {
	t.Helper()
	var elements []string
	list, isList := v.([]any)
	if !isList && scalar {
		elements = []string{text}
	}
	for _, e := range list {
		switch e := e.(type) {
		case string:
			elements = append(elements, e)
		case json.Number:
			elements = append(elements, e.String())
		case bool:
			elements = append(elements, fmt.Sprint(e))
		default:
			elements = append(elements, "")
		}
	}
	if len(elements) == 0 || slices.Contains(elements, "") {
		if value != "" {
			t.Errorf("%s: %q for %v", name, value, v)
		}
		return
	}
	parts := strings.Split(value, sep)
	for i, p := range parts {
		decoded, err := url.PathUnescape(p)
		if err != nil {
			t.Errorf("%s: %q: %v", name, value, err)
		}
		parts[i] = decoded
	}
	if !slices.Equal(parts, elements) {
		t.Errorf("%s: %q, want %q", name, value, elements)
	}
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func member(t *testing.T, text, name string) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	return members[name]
}

// tokens lists the tokens of a JSON text, in their order, numbers as written.
func tokens(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, fmt.Sprintf("%T %v", tok, tok))
	}
}

// randomJSON is a random value, and a short one.
func randomJSON(random *rand.Rand, depth int) string {
	switch n := random.IntN(8); {
	case n == 0:
		return []string{"null", "true", "false", `""`, "[]", "{}"}[random.IntN(6)]
	case n == 1:
		return []string{"0", "-0", "1e400", "1E-3", "9007199254740993", "98765432109876543210", "-1.50", "1000000", "0.1"}[random.IntN(9)]
	case n <= 4 || depth == 3:
		return randomString(random)
	case n <= 6:
		var parts []string
		for range random.IntN(4) {
			parts = append(parts, randomJSON(random, depth+1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	var parts []string
	for i := range random.IntN(4) {
		parts = append(parts, fmt.Sprintf(`"%d%s:%s`, i, randomString(random)[1:], randomJSON(random, depth+1)))
	}
	return "{" + strings.Join(parts, " , ") + "}"
}

func randomString(random *rand.Rand) string {
	pieces := []string{"a", "Z", "0", " ", ",", "%", "%2C", `\r\n`, `\t`, `\u0000`, `\u007f`, "é", `\u00e9`, "Ⅳ", "𝄞", `\ud834\udd1e`, `\"`, `\\`, `\/`, "{env.HOME}", "$", "/", "=", ";", ":", `\u0085`, `\u2028`, "\u00a0", "<", "&", "+"}
	var b strings.Builder
	for range random.IntN(6) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return `"` + b.String() + `"`
}
