package policy

import (
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

func mustRules(t testing.TB, rules ...RuleConfig) *Rules {
	t.Helper()
	r, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestScope(t *testing.T) {
	read := RuleConfig{Kind: "scope", Values: []string{"orders:read"}}
	either := RuleConfig{Kind: "scope", Values: []string{"orders:read", "orders:write"}}
	both := RuleConfig{Kind: "scope", All: true, Values: []string{"orders:read", "profile"}}
	tests := []struct {
		name   string
		rule   RuleConfig
		claims string
		ok     bool
	}{
		{"alone", read, `"scope":"orders:read"`, true},
		{"among others", read, `"scope":"openid orders:read profile"`, true},
		{"extra blanks", read, `"scope":"  openid   orders:read "`, true},
		{"none", read, ``, false},
		{"empty", read, `"scope":""`, false},
		{"prefix", read, `"scope":"orders:read-only"`, false},
		{"shorter", read, `"scope":"orders"`, false},
		{"case", read, `"scope":"Orders:Read"`, false},
		{"wildcard", read, `"scope":"*"`, false},
		{"wildcard in part", read, `"scope":"orders:*"`, false},
		{"tab", read, `"scope":"openid\torders:read"`, false},
		{"comma", read, `"scope":"openid,orders:read"`, false},
		{"no-break space", read, `"scope":"openid\u00a0orders:read"`, false},
		{"line feed", read, `"scope":"openid\norders:read"`, false},
		{"array is no scope", read, `"scope":["orders:read"]`, false},
		{"object is no scope", read, `"scope":{"orders:read":true}`, false},
		{"number is no scope", RuleConfig{Kind: "scope", Values: []string{"7"}}, `"scope":7`, false},
		{"escaped", read, `"scope":"orders\u003aread"`, true},
		{"scp string", read, `"scp":"openid orders:read"`, true},
		{"scp array", read, `"scp":["openid","orders:read"]`, true},
		{"scp array with a blank in an element", read, `"scp":["openid orders:read"]`, false},
		{"scp array with a number", read, `"scp":["orders:read",7]`, false},
		{"scp array nested", read, `"scp":[["orders:read"]]`, false},
		{"scp array empty", read, `"scp":[]`, false},
		{"scope hides scp", read, `"scope":"openid","scp":"orders:read"`, false},
		{"empty scope hides scp", read, `"scope":"","scp":["orders:read"]`, false},
		{"bad scope hides scp", read, `"scope":["openid"],"scp":["orders:read"]`, false},
		{"null scope hides scp", read, `"scope":null,"scp":["orders:read"]`, false},
		{"any: second", either, `"scope":"orders:write"`, true},
		{"any: neither", either, `"scope":"orders"`, false},
		{"all: both", both, `"scope":"profile orders:read"`, true},
		{"all: one", both, `"scope":"profile"`, false},
		{"all: scp", both, `"scp":["profile","orders:read"]`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := mustRules(t, tt.rule).Claims(claimsOf(t, tt.claims))
			if tt.ok {
				wantReason(t, err, token.ReasonNone)
				return
			}
			r := wantReason(t, err, token.ScopeMissing)
			if want := strings.Join(tt.rule.Values, " "); r.Scope != want {
				t.Errorf("challenge names %q, want %q", r.Scope, want)
			}
		})
	}
}

func TestFirstUnmetLineIsReported(t *testing.T) {
	r := mustRules(t,
		RuleConfig{Kind: "scope", Values: []string{"a"}},
		RuleConfig{Kind: "scope", All: true, Values: []string{"b", "c"}},
		RuleConfig{Kind: "claim", Claim: "admin"},
		RuleConfig{Kind: "scope", Values: []string{"d"}},
	)
	if got := wantReason(t, r.Claims(claimsOf(t, `"scope":"a b"`)), token.ScopeMissing).Scope; got != "b c" {
		t.Errorf("got %q, want the second line", got)
	}
	wantReason(t, r.Claims(claimsOf(t, `"scope":"a b c"`)), token.ClaimDenied)
	wantReason(t, r.Claims(claimsOf(t, `"scope":"a b c d","admin":true`)), token.ReasonNone)
}

func TestClaimRule(t *testing.T) {
	there := func(path string) RuleConfig { return RuleConfig{Kind: "claim", Claim: path} }
	any := func(path string, values ...string) RuleConfig {
		return RuleConfig{Kind: "claim", Claim: path, Values: values}
	}
	all := func(path string, values ...string) RuleConfig {
		return RuleConfig{Kind: "claim", All: true, Claim: path, Values: values}
	}
	tests := []struct {
		name   string
		rule   RuleConfig
		claims string
		ok     bool
	}{
		{"there", there("a"), `"a":"x"`, true},
		{"there: true", there("a"), `"a":true`, true},
		{"there: zero", there("a"), `"a":0`, true},
		{"there: missing", there("a"), ``, false},
		{"there: null", there("a"), `"a":null`, false},
		{"there: false", there("a"), `"a":false`, false},
		{"there: empty string", there("a"), `"a":""`, false},
		{"there: empty array", there("a"), `"a":[]`, false},
		{"there: empty object", there("a"), `"a":{}`, false},
		{"string", any("a", "x", "y"), `"a":"y"`, true},
		{"string: case", any("a", "x"), `"a":"X"`, false},
		{"string: blank", any("a", "x"), `"a":"x "`, false},
		{"string: list inside", any("a", "x"), `"a":"x y"`, false},
		{"number by its digits", any("a", "9007199254740993"), `"a":9007199254740993`, true},
		{"number next to it", any("a", "9007199254740992"), `"a":9007199254740993`, false},
		{"number beyond 64 bits", any("a", "98765432109876543210"), `"a":98765432109876543210`, true},
		{"number written otherwise", any("a", "1"), `"a":1.0`, false},
		{"true", any("a", "true"), `"a":true`, true},
		{"false", any("a", "false"), `"a":false`, true},
		{"not true", any("a", "true"), `"a":false`, false},
		{"null", any("a", "null"), `"a":null`, false},
		{"object", any("a", "x"), `"a":{"x":"x"}`, false},
		{"array", any("a", "admin", "editor"), `"a":["reader","editor"]`, true},
		{"array of mixed", any("a", "7"), `"a":[null,{},["7"],7]`, true},
		{"array in an array", any("a", "x"), `"a":[["x"]]`, false},
		{"array joined", any("a", "x"), `"a":["x,y"]`, false},
		{"array empty", any("a", "x"), `"a":[]`, false},
		{"nested", any("realm_access.roles", "admin"), `"realm_access":{"roles":["admin"]}`, true},
		{"literal dotted name is another claim", any("realm_access.roles", "admin"), `"realm_access.roles":["admin"]`, false},
		{"URL name is not split", any("https://example.com/roles", "admin"), `"https://example.com/roles":["admin"]`, true},
		{"pointer", any("/a.b/0", "x"), `"a.b":["x"]`, true},
		{"through a scalar", any("a.b", "x"), `"a":"x"`, false},
		{"all", all("a", "x", "y"), `"a":["y","z","x"]`, true},
		{"all but one", all("a", "x", "y"), `"a":["x"]`, false},
		{"all of a scalar", all("a", "x"), `"a":"x"`, true},
		{"all of a scalar, two", all("a", "x", "y"), `"a":"x"`, false},
		{"all of nothing", all("a", "x"), ``, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := token.ClaimDenied
			if tt.ok {
				want = token.ReasonNone
			}
			wantReason(t, mustRules(t, tt.rule).Claims(claimsOf(t, tt.claims)), want)
		})
	}
}

func TestTrapPanicOnAClaimOfUnexpectedType(t *testing.T) {
	r := []*Rules{
		mustRules(t, RuleConfig{Kind: "scope", Values: []string{"a"}}),
		mustRules(t, RuleConfig{Kind: "claim", Claim: "c.d.e", Values: []string{"a"}}),
		mustRules(t, RuleConfig{Kind: "expr", Expr: `claims.c.d.e.startsWith("x")`}),
		mustRules(t, RuleConfig{Kind: "expr", Expr: `claims.c.exists(r, r.d == "x")`}),
		mustRules(t, RuleConfig{Kind: "expr", Expr: `claims.c[0].d > 3`}),
	}
	for _, v := range []string{`null`, `true`, `0`, `1e999`, `""`, `"x"`, `[]`, `[null]`, `[[]]`, `{}`, `{"d":null}`, `{"d":[]}`, `{"d":{"e":7}}`} {
		c := claimsOf(t, `"c":`+v+`,"scope":`+v+`,"scp":`+v)
		for _, rules := range r {
			if rules.Claims(c) == nil {
				t.Errorf("claims with %s pass", v)
			}
		}
	}
}

func TestCompileReportsAllMistakes(t *testing.T) {
	_, err := Compile([]RuleConfig{
		{Kind: "scope"},
		{Kind: "scope", Values: []string{`a b`}},
		{Kind: "scope", Values: []string{`a"b`}},
		{Kind: "scope", Values: []string{""}},
		{Kind: "claim"},
		{Kind: "claim", Claim: "a", All: true},
		{Kind: "claim", Claim: "b", Values: []string{"x", ""}},
		{Kind: "claim", Claim: "c..d"},
		{Kind: "expr"},
		{Kind: "expr", Expr: "true", All: true},
		{Kind: "expr", Expr: "claimz.x"},
		{Kind: "role", Values: []string{"a"}},
		{Kind: "scope", Claim: "a", Values: []string{"a"}},
		{Kind: "scope", Expr: "true", Values: []string{"a"}},
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 14 {
		t.Fatalf("want 14 mistakes, got:\n%v", err)
	}
	for _, want := range []string{"require scope: no scope", "require all claim a:", "require claim b:", "claimz", "require role: unknown kind"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestNoRulesRequireNothing(t *testing.T) {
	c := claimsOf(t, ``)
	for _, r := range []*Rules{nil, mustRules(t)} {
		if r.NeedsRequest() || r.Bind(c) != nil {
			t.Error("asks for a request")
		}
		wantReason(t, r.Claims(c), token.ReasonNone)
		wantReason(t, r.Bind(c).Request(nil), token.ReasonNone)
	}
}

func BenchmarkRulesClaims(b *testing.B) {
	r := mustRules(b,
		RuleConfig{Kind: "scope", Values: []string{"orders:read"}},
		RuleConfig{Kind: "claim", Claim: "realm_access.roles", Values: []string{"admin", "editor"}})
	c := claimsOf(b, `"scope":"openid profile orders:read","realm_access":{"roles":["reader","editor"]}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Claims(c); err != nil {
			b.Fatal(err)
		}
	}
}
