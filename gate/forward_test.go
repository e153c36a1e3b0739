package gate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// forwardClaims parses members together with the iss and exp that every token
// must have.
func forwardClaims(t testing.TB, members string) *token.Claims {
	t.Helper()
	text := `{"iss":"i","exp":1`
	if members != "" {
		text += "," + members
	}
	c, err := token.ParseClaims(text + "}")
	if err != nil {
		t.Fatalf("claims %s: %v", members, err)
	}
	return c
}

func mustForward(t testing.TB, maxHeader int, refuse bool, lines ...ForwardConfig) *Forward {
	t.Helper()
	f, err := NewForward(lines, maxHeader, refuse)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestForwardForms(t *testing.T) {
	const omit = "\x00omitted"
	const none = ""
	tests := []struct {
		name, form, sep, claim string
		want                   string
	}{
		{"plain string", "", "", `"alice"`, "alice"},
		{"e-mail passes as it is", "", "", `"alice+x@example.com"`, "alice+x@example.com"},
		{"inner blanks and punctuation", "", "", `"Dr. A; B=\"C\", <D>"`, `Dr. A; B="C", <D>`},
		{"outer blanks", "", "", `"  admin "`, "%20%20admin%20"},
		{"blank alone", "", "", `" "`, "%20"},
		{"percent", "", "", `"100%20"`, "100%2520"},
		{"umlaut", "", "", `"J\u00fcrgen"`, "J%C3%BCrgen"},
		{"emoji", "", "", `"\ud83d\ude00"`, "%F0%9F%98%80"},
		{"CR LF", "", "", `"a\r\nX-Admin: 1"`, "a%0D%0AX-Admin: 1"},
		{"NUL, tab, DEL", "", "", `"\u0000\t\u007f"`, "%00%09%7F"},
		{"low bytes of other letters", "", "", `"\u010d\u010a"`, "%C4%8D%C4%8A"},
		{"placeholder", "", "", `"{env.SECRET}"`, "{env.SECRET}"},
		{"big integer", "", "", `9007199254740993`, "9007199254740993"},
		{"bigger integer", "", "", `98765432109876543210`, "98765432109876543210"},
		{"million", "", "", `1000000`, "1000000"},
		{"fraction and exponent", "", "", `-1.50e+2`, "-1.50e+2"},
		{"zero", "", "", `0`, "0"},
		{"true", "", "", `true`, "true"},
		{"false is not absent", "", "", `false`, "false"},
		{"null", "", "", `null`, none},
		{"empty string", "", "", `""`, none},
		{"empty array", "", "", `[]`, none},
		{"empty object", "", "", `{}`, none},
		{"array", "", "", `["a"]`, omit},
		{"object", "", "", `{"a":1}`, omit},

		{"join", "join", ",", `["reader","editor"]`, "reader,editor"},
		{"join scalars", "join", ",", `["a",7,true,1.50]`, "a,7,true,1.50"},
		{"join one", "join", ",", `["reader,editor"]`, "reader%2Ceditor"},
		{"join encodes likewise", "join", ",", `[" a ","ü%","b c"]`, "%20a%20,%C3%BC%25,b c"},
		{"join by blanks", "join", " ", `["a b","c"]`, "a%20b c"},
		{"join by a digit's neighbour", "join", ".", `[1.5,"a.b"]`, "1%2E5.a%2Eb"},
		{"join with an empty element", "join", ",", `["a",""]`, omit},
		{"join with null", "join", ",", `["a",null]`, omit},
		{"join with an array", "join", ",", `[["a"]]`, omit},
		{"join with an object", "join", ",", `[{}]`, omit},
		{"join of a string", "join", ",", `"a,b"`, "a%2Cb"},
		{"join of a number", "join", ",", `7`, "7"},
		{"join of an object", "join", ",", `{"a":1}`, omit},
		{"join of nothing", "join", ",", `[]`, none},
		{"join of null", "join", ",", `null`, none},

		{"json object", "json", "", `{ "b" : 1.50, "a": [1, "ü", null] }`, `{"b":1.50,"a":[1,"\u00fc",null]}`},
		{"json string", "json", "", `"a\"\u0001\u007f"`, `"a\"\u0001\u007f"`},
		{"json number", "json", "", `98765432109876543210`, "98765432109876543210"},
		{"json null", "json", "", `null`, none},
		{"json empty object", "json", "", `{}`, none},

		{"base64url string", "base64url", "", `"J\u00fcrgen?>"`, base64.RawURLEncoding.EncodeToString([]byte("Jürgen?>"))},
		{"base64url object", "base64url", "", `{"a": "ü"}`, base64.RawURLEncoding.EncodeToString([]byte(`{"a":"\u00fc"}`))},
		{"base64url number", "base64url", "", `7`, "Nw"},
		{"base64url empty", "base64url", "", `""`, none},

		{"utf8", "utf8", "", `"J\u00fcrgen 100%"`, "Jürgen 100%"},
		{"utf8 number", "utf8", "", `7`, "7"},
		{"utf8 line feed", "utf8", "", `"a\nb"`, omit},
		{"utf8 tab", "utf8", "", `"a\tb"`, omit},
		{"utf8 DEL", "utf8", "", `"a\u007fb"`, omit},
		{"utf8 C1", "utf8", "", `"a\u0085b"`, omit},
		{"utf8 outer blank", "utf8", "", `" a"`, omit},
		{"utf8 outer no-break space", "utf8", "", `"a\u00a0"`, omit},
		{"utf8 array", "utf8", "", `["a"]`, omit},
		{"utf8 empty", "utf8", "", `""`, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustForward(t, 0, false, ForwardConfig{Header: "X-Test", Claim: "c", Form: tt.form, Sep: tt.sep})
			headers, omitted, err := f.Headers(forwardClaims(t, `"c":`+tt.claim))
			if err != nil {
				t.Fatal(err)
			}
			switch tt.want {
			case omit:
				if len(headers) != 0 || !slices.Equal(omitted, []string{"X-Test"}) {
					t.Errorf("got %v and omitted %v, want it left out and counted", headers, omitted)
				}
			case none:
				if len(headers) != 0 || len(omitted) != 0 {
					t.Errorf("got %v and omitted %v, want neither", headers, omitted)
				}
			default:
				if want := []Header{{"X-Test", tt.want}}; !slices.Equal(headers, want) || len(omitted) != 0 {
					t.Errorf("got %q and omitted %v, want %q", headers, omitted, want)
				}
			}
			if tt.form == "" {
				want := tt.want
				if want == omit {
					want = ""
				}
				c := forwardClaims(t, `"c":`+tt.claim)
				path, _ := token.ParsePath("c")
				if got := Text(c.Get(path)); got != want {
					t.Errorf("Text gives %q, want %q", got, want)
				}
			}
		})
	}
}

func TestForwardHeaders(t *testing.T) {
	f := mustForward(t, 0, false,
		ForwardConfig{Header: "x-user-id", Claim: "sub"},
		ForwardConfig{Header: "X-Missing", Claim: "nobody"},
		ForwardConfig{Header: "X-Roles", Claim: "realm_access.roles", Form: "join", Sep: ","},
		ForwardConfig{Header: "X-Tenant", Claim: "https://example.com/tenant"},
		ForwardConfig{Header: "X-List", Claim: "realm_access.roles"},
		ForwardConfig{Header: "X-Claims", Claim: "*", Form: "json"},
		ForwardConfig{Header: "X-Packed", Claim: "*", Form: "base64url"},
	)
	if want := []string{"X-User-Id", "X-Missing", "X-Roles", "X-Tenant", "X-List", "X-Claims", "X-Packed"}; !slices.Equal(f.Names(), want) {
		t.Errorf("names are %v", f.Names())
	}
	c := forwardClaims(t, `"sub":"a", "realm_access":{"roles":["x","y"]}, "https://example.com/tenant":"t", "realm_access.roles":["forged"]`)
	headers, omitted, err := f.Headers(c)
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"iss":"i","exp":1,"sub":"a","realm_access":{"roles":["x","y"]},"https://example.com/tenant":"t","realm_access.roles":["forged"]}`
	want := []Header{
		{"X-User-Id", "a"}, {"X-Roles", "x,y"}, {"X-Tenant", "t"}, {"X-Claims", whole},
		{"X-Packed", base64.RawURLEncoding.EncodeToString([]byte(whole))},
	}
	if !slices.Equal(headers, want) {
		t.Errorf("headers are\n%q, want\n%q", headers, want)
	}
	if !slices.Equal(omitted, []string{"X-List"}) {
		t.Errorf("omitted %v", omitted)
	}
}

func TestForwardNamesCompareExactly(t *testing.T) {
	f := mustForward(t, 0, false, ForwardConfig{Header: "X-Sub", Claim: "sub"}, ForwardConfig{Header: "X-Roles", Claim: "roles"})
	headers, omitted, err := f.Headers(forwardClaims(t, `"SUB":"a","\u017fub":"b","Roles":"admin"`))
	if err != nil || len(headers) != 0 || len(omitted) != 0 {
		t.Errorf("got %v, %v, %v", headers, omitted, err)
	}
}

func TestForwardNeverCutsAValue(t *testing.T) {
	c := forwardClaims(t, `"fits":"`+strings.Repeat("a", 64)+`","long":"`+strings.Repeat("a", 65)+`","grows":"`+strings.Repeat("%", 22)+`"`)
	lines := []ForwardConfig{{Header: "X-Long", Claim: "long"}, {Header: "X-Fits", Claim: "fits"}, {Header: "X-Grows", Claim: "grows"}}
	headers, omitted, err := mustForward(t, 64, false, lines...).Headers(c)
	if err != nil || len(headers) != 1 || len(headers[0].Value) != 64 || !slices.Equal(omitted, []string{"X-Long", "X-Grows"}) {
		t.Errorf("drop: got %v, omitted %v, %v", headers, omitted, err)
	}
	headers, omitted, err = mustForward(t, 64, true, lines...).Headers(c)
	var refusal *token.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != token.HeaderTooLarge || headers != nil || omitted != nil {
		t.Errorf("refuse: got %v, omitted %v, %v", headers, omitted, err)
	}
	if strings.Contains(err.Error(), "aaaa") {
		t.Errorf("the error repeats the claim: %v", err)
	}
	if _, _, err := mustForward(t, 64, true, lines[1]).Headers(c); err != nil {
		t.Errorf("a value of the greatest length is refused: %v", err)
	}
	// A claim without a safe form is left out, however strict the limit is.
	odd := mustForward(t, 64, true, ForwardConfig{Header: "X-Odd", Claim: "o", Form: "utf8"})
	if _, omitted, err := odd.Headers(forwardClaims(t, `"o":"`+strings.Repeat(`\n`, 99)+`"`)); err != nil || len(omitted) != 1 {
		t.Errorf("unsafe: omitted %v, %v", omitted, err)
	}
}

func TestForwardOfNothing(t *testing.T) {
	for _, f := range []*Forward{nil, mustForward(t, 0, false)} {
		headers, omitted, err := f.Headers(forwardClaims(t, ``))
		if headers != nil || omitted != nil || err != nil || len(f.Names()) != 0 {
			t.Errorf("got %v, %v, %v, %v", headers, omitted, err, f.Names())
		}
	}
}

func TestNewForwardReportsMistakes(t *testing.T) {
	ok := ForwardConfig{Header: "X-A", Claim: "a"}
	tests := []struct {
		name string
		line ForwardConfig
		want string
	}{
		{"good", ForwardConfig{Header: "X-B", Claim: "a"}, ""},
		{"same header", ForwardConfig{Header: "x-a", Claim: "b"}, "same header as X-A"},
		{"same header folded", ForwardConfig{Header: "X!A", Claim: "b"}, "same header as X-A"},
		{"refused header", ForwardConfig{Header: "Host", Claim: "b"}, "cannot be managed"},
		{"underscore", ForwardConfig{Header: "X_B", Claim: "b"}, "hyphen"},
		{"no header", ForwardConfig{Claim: "b"}, "empty"},
		{"no claim", ForwardConfig{Header: "X-B"}, "path"},
		{"bad path", ForwardConfig{Header: "X-B", Claim: "a..b"}, "path"},
		{"unknown form", ForwardConfig{Header: "X-B", Claim: "b", Form: "hex"}, `unknown form "hex"`},
		{"form in capitals", ForwardConfig{Header: "X-B", Claim: "b", Form: "JSON"}, "unknown form"},
		{"whole set in the default form", ForwardConfig{Header: "X-B", Claim: "*"}, "json or base64url"},
		{"whole set joined", ForwardConfig{Header: "X-B", Claim: "*", Form: "join", Sep: ","}, "json or base64url"},
		{"whole set raw", ForwardConfig{Header: "X-B", Claim: "*", Form: "utf8"}, "json or base64url"},
		{"whole set", ForwardConfig{Header: "X-B", Claim: "*", Form: "json"}, ""},
		{"join without separator", ForwardConfig{Header: "X-B", Claim: "b", Form: "join"}, "separator"},
		{"join by two characters", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: ", "}, "separator"},
		{"join by a letter", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: "x"}, "separator"},
		{"join by a digit", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: "0"}, "separator"},
		{"join by percent", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: "%"}, "separator"},
		{"join by a tab", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: "\t"}, "separator"},
		{"join by a line feed", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: "\n"}, "separator"},
		{"join by a blank", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: " "}, ""},
		{"join by a semicolon", ForwardConfig{Header: "X-B", Claim: "b", Form: "join", Sep: ";"}, ""},
		{"separator without join", ForwardConfig{Header: "X-B", Claim: "b", Sep: ","}, "only join"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewForward([]ForwardConfig{ok, tt.line}, 0, false)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := NewForward([]ForwardConfig{{Header: "Host", Claim: "a"}, {Header: "X-A", Claim: ""}}, -1, false)
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("want three mistakes, got %v", err)
	}
}

// FuzzForward: whatever the claim, a value is safe in a header, within its
// bound, and says exactly one thing.
func FuzzForward(f *testing.F) {
	for _, seed := range []string{"alice", " ü%,\r\n", "\x7f\u0085 ", "a,b", "%2C", "\u00a0x", strings.Repeat("é", 200)} {
		f.Add(seed, "b,"+seed)
	}
	const maxHeader = 256
	lines := []ForwardConfig{
		{Header: "X-Default", Claim: "s"},
		{Header: "X-Join", Claim: "l", Form: "join", Sep: ","},
		{Header: "X-Blank", Claim: "l", Form: "join", Sep: " "},
		{Header: "X-Json", Claim: "l", Form: "json"},
		{Header: "X-Base64", Claim: "s", Form: "base64url"},
		{Header: "X-Utf8", Claim: "s", Form: "utf8"},
		{Header: "X-Whole", Claim: "*", Form: "json"},
	}
	fw, err := NewForward(lines, maxHeader, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		set, _ := json.Marshal(map[string]any{"iss": "i", "exp": 1, "s": a, "l": []any{a, b}})
		c, err := token.ParseClaims(string(set))
		if err != nil {
			t.Skip()
		}
		// What json.Marshal made of a and b is what the token says.
		path, _ := token.ParsePath("s")
		a = c.Get(path).Text()
		headers, _, err := fw.Headers(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			if len(h.Value) == 0 || len(h.Value) > maxHeader || strings.Trim(h.Value, " \t") != h.Value {
				t.Fatalf("%s: %q", h.Name, h.Value)
			}
			for i := 0; i < len(h.Value); i++ {
				if c := h.Value[i]; c < 0x20 || c == 0x7f || c > 0x7f && h.Name != "X-Utf8" {
					t.Fatalf("%s: byte %#x in %q", h.Name, c, h.Value)
				}
			}
			switch h.Name {
			case "X-Default":
				if back, err := url.PathUnescape(h.Value); err != nil || back != a {
					t.Fatalf("%q decodes to %q, want %q", h.Value, back, a)
				}
				if Text(c.Get(path)) != h.Value {
					t.Fatalf("Text differs: %q", Text(c.Get(path)))
				}
			case "X-Join", "X-Blank":
				sep := map[string]string{"X-Join": ",", "X-Blank": " "}[h.Name]
				parts := strings.Split(h.Value, sep)
				if len(parts) != 2 {
					t.Fatalf("%q has %d parts", h.Value, len(parts))
				}
				if back, err := url.PathUnescape(parts[0]); err != nil || back != a {
					t.Fatalf("%q decodes to %q, want %q", parts[0], back, a)
				}
			case "X-Json":
				var back []string
				if err := json.Unmarshal([]byte(h.Value), &back); err != nil || len(back) != 2 || back[0] != a {
					t.Fatalf("%q decodes to %q, want %q", h.Value, back, a)
				}
			case "X-Base64":
				if back, err := base64.RawURLEncoding.DecodeString(h.Value); err != nil || string(back) != a {
					t.Fatalf("%q decodes to %q", h.Value, back)
				}
			case "X-Utf8":
				if h.Value != a {
					t.Fatalf("%q is not %q", h.Value, a)
				}
			}
		}
	})
}

func BenchmarkForwardHeaders(b *testing.B) {
	f := mustForward(b, 0, false,
		ForwardConfig{Header: "X-User-ID", Claim: "sub"},
		ForwardConfig{Header: "X-User-Email", Claim: "email"},
		ForwardConfig{Header: "X-User-Roles", Claim: "realm_access.roles", Form: "join", Sep: ","})
	c := forwardClaims(b, `"sub":"2f1c5e0a","email":"alice@example.com","realm_access":{"roles":["reader","editor","admin"]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := f.Headers(c); err != nil {
			b.Fatal(err)
		}
	}
}
