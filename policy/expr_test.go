package policy

import (
	"strings"
	"sync"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// fakeRequest answers from fields and counts how often it was asked.
type fakeRequest struct {
	method, path, host, remote, client string
	header, query                      map[string][]string

	mu    sync.Mutex
	asked map[string]int
}

func (r *fakeRequest) ask(field string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		r.asked = make(map[string]int)
	}
	r.asked[field]++
}

func (r *fakeRequest) Method() string              { r.ask("method"); return r.method }
func (r *fakeRequest) Path() string                { r.ask("path"); return r.path }
func (r *fakeRequest) Host() string                { r.ask("host"); return r.host }
func (r *fakeRequest) Header() map[string][]string { r.ask("header"); return r.header }
func (r *fakeRequest) Query() map[string][]string  { r.ask("query"); return r.query }
func (r *fakeRequest) RemoteIP() string            { r.ask("remote_ip"); return r.remote }
func (r *fakeRequest) ClientIP() string            { r.ask("client_ip"); return r.client }

func someRequest() *fakeRequest {
	return &fakeRequest{
		method: "GET", path: "/orders/7", host: "acme.example.com", remote: "192.0.2.1", client: "198.51.100.7",
		header: map[string][]string{"x-env": {"prod", "eu"}, "accept": {"*/*"}},
		query:  map[string][]string{"limit": {"10"}},
	}
}

func expr(source string) RuleConfig { return RuleConfig{Kind: "expr", Expr: source} }

func TestExpression(t *testing.T) {
	const claims = `"tenant":"acme","admin":true,"count":3,"big":9007199254740993,"huge":98765432109876543210,
		"ratio":2.5,"whole":1.0,"far":1e400,"nothing":null,"roles":["reader","editor"],"groups":[{"id":1},{"id":2}],
		"realm":{"roles":["a","b"],"deep":{"x":"y"}},"https://example.com/t":"url","empty":[],"neg":-5`
	tests := []struct {
		source string
		reason token.Reason
	}{
		{`claims.tenant == "acme"`, token.ReasonNone},
		{`claims.tenant == "other"`, token.ExpressionDenied},
		{`claims.admin == true`, token.ReasonNone},
		{`claims.admin && claims.count == 3`, token.ReasonNone},
		{`claims.tenant && true`, token.ExpressionFailed}, // a string is no bool
		{`claims.count == 3 && claims.count < 4 && claims.neg == -5`, token.ReasonNone},
		{`type(claims.count) == int`, token.ReasonNone},
		{`claims.big == 9007199254740993`, token.ReasonNone},
		{`claims.big == 9007199254740992`, token.ExpressionDenied},
		{`claims.huge == "98765432109876543210"`, token.ReasonNone},
		{`claims.huge > 5`, token.ExpressionFailed},
		{`claims.ratio > 2.4 && type(claims.ratio) == double`, token.ReasonNone},
		{`claims.whole == 1`, token.ReasonNone},
		{`claims.far == "1e400"`, token.ReasonNone},
		{`claims.nothing == null`, token.ReasonNone},
		{`has(claims.nothing)`, token.ReasonNone},
		{`has(claims.absent)`, token.ExpressionDenied},
		{`!has(claims.absent) || claims.absent == 1`, token.ReasonNone},
		{`claims.absent == 1`, token.ExpressionFailed},
		{`claims.tenant.deep == 1`, token.ExpressionFailed},
		{`"editor" in claims.roles`, token.ReasonNone},
		{`claims.roles.exists(r, r.startsWith("ed"))`, token.ReasonNone},
		{`claims.roles[0] == "reader" && claims.roles.size() == 2`, token.ReasonNone},
		{`claims.roles[2] == "x"`, token.ExpressionFailed},
		{`claims.empty.size() == 0 && claims.empty.all(e, false)`, token.ReasonNone},
		{`claims.groups.exists(g, g.id == 2)`, token.ReasonNone},
		{`claims.groups[1].id == 2`, token.ReasonNone},
		{`"a" in claims.realm.roles && claims.realm.deep.x == "y" && has(claims.realm.deep)`, token.ReasonNone},
		{`claims["https://example.com/t"] == "url"`, token.ReasonNone},
		{`"tenant" in claims && !("nobody" in claims)`, token.ReasonNone},
		{`claims.map(k, k).size() > 5`, token.ReasonNone},
		{`claims.realm == {"roles": ["a", "b"], "deep": {"x": "y"}}`, token.ReasonNone},
		{`sets.contains(claims.roles, ["reader"])`, token.ReasonNone},
		{`claims.iss == "https://id.example.com"`, token.ReasonNone},
		{`claims.tenant.matches("^a[a-z]+$")`, token.ReasonNone},
		{`claims.tenant == request.host.split(".")[0]`, token.ReasonNone},
		{`request.method == "GET" && request.path.startsWith("/orders/")`, token.ReasonNone},
		{`request.method in ["POST", "PUT"]`, token.ExpressionDenied},
		{`request.remote_ip == "192.0.2.1" && request.client_ip == "198.51.100.7"`, token.ReasonNone},
		{`request.header["x-env"][0] == "prod" && "eu" in request.header["x-env"]`, token.ReasonNone},
		{`request.header["x-none"][0] == "prod"`, token.ExpressionFailed},
		{`"x-none" in request.header`, token.ExpressionDenied},
		{`has(request.header.accept)`, token.ReasonNone},
		{`request.header.exists(name, name == "accept")`, token.ReasonNone},
		{`request.query["limit"] == ["10"] && int(request.query.limit[0]) <= 10`, token.ReasonNone},
		{`has(request.path)`, token.ReasonNone},
		{`request == request`, token.ExpressionFailed},
		{`claims.roles.exists(request, request == "editor")`, token.ReasonNone},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			r := mustRules(t, expr(tt.source))
			c := claimsOf(t, claims)
			err := r.Claims(c)
			if r.NeedsRequest() {
				wantReason(t, err, token.ReasonNone)
				err = r.Bind(c).Request(someRequest())
			} else if r.Bind(c) != nil {
				t.Error("bound without need")
			}
			wantReason(t, err, tt.reason)
			if err != nil && token.CodeAccessDenied != tt.reason.Code() {
				t.Errorf("code %s", tt.reason.Code())
			}
		})
	}
}

func TestExpressionMistakesAreFoundAtLoad(t *testing.T) {
	tests := []struct{ source, want string }{
		{`claimz.admin == true`, "line 1, column 1: undeclared reference to 'claimz'\n    claimz.admin == true\n    ^"},
		{`true && request.metod == "GET"`, "line 1, column 16: undefined field 'metod'\n    true && request.metod == \"GET\"\n                   ^"},
		{"true\n\t&& clams.x == 1", "line 2, column 5: undeclared reference to 'clams'\n     && clams.x == 1\n        ^"},
		{`"é" == claimz.x`, "line 1, column 8:"},
		{`claims.a ==`, "line 1, column"},
		{`claims.a = 1`, "line 1, column"},
		{`request.method == 1`, "no matching overload"},
		{`request.method.foo() == 1`, "undeclared reference to 'foo'"},
		{`claims.admin`, "`claims.admin == true`"},
		{`claims.admin ? claims.a : claims.b`, "== true`"},
		{`request.method`, "type string, it must be bool"},
		{`1`, "type int, it must be bool"},
		{`{"a": true}`, "it must be bool"},
		{`jwtgate.Request{method: "x"} == request`, "cannot be made"},
		{`claims.a.matches("[")`, "column"},
		{`  `, "empty"},
		{strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), "recursion"},
		{"true" + strings.Repeat(" || true", 3000), "longer than"},
		{`now() < claims.exp`, "undeclared reference to 'now'"},
	}
	for _, tt := range tests {
		t.Run(tt.source[:min(len(tt.source), 40)], func(t *testing.T) {
			_, err := Compile([]RuleConfig{expr(tt.source)})
			if err == nil {
				t.Fatal("compiled")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got:\n%v\nwant it to say:\n%s", err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "require expr: ") {
				t.Errorf("the error does not begin with the line: %v", err)
			}
		})
	}
}

func TestExpressionCostIsBounded(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + "]"
	c := claimsOf(t, `"l":`+list)
	r := mustRules(t, expr(`claims.l.all(a, claims.l.all(b, a == b))`))
	refusal := wantReason(t, r.Claims(c), token.ExpressionFailed)
	if !strings.Contains(refusal.Got, "cost limit") {
		t.Errorf("failed for %q", refusal.Got)
	}
	wantReason(t, mustRules(t, expr(`claims.l.all(a, a == 1)`)).Claims(c), token.ReasonNone)
}

// However cheap its body, a loop over claims is counted.
func TestExpressionCountsEveryLoopOverClaims(t *testing.T) {
	c := claimsOf(t, `"l":[`+strings.TrimSuffix(strings.Repeat("1,", costLimit), ",")+`]`)
	for _, source := range []string{`claims.l.all(a, true)`, `claims.l.map(a, 1).size() > 0`, `claims.l.filter(a, false).size() == 0`, `claims.l.exists_one(a, false) == false`} {
		refusal := wantReason(t, mustRules(t, expr(source)).Claims(c), token.ExpressionFailed)
		if !strings.Contains(refusal.Got, "cost limit") {
			t.Errorf("%s failed for %q", source, refusal.Got)
		}
	}
}

func TestExpressionRegexpFromAClaimIsBounded(t *testing.T) {
	c := claimsOf(t, `"re":"((a{100}){100}){10}","s":"a"`)
	wantReason(t, mustRules(t, expr(`claims.s.matches(claims.re)`)).Claims(c), token.ExpressionFailed)
}

func TestExpressionsOnClaimsAreJudgedWithoutARequest(t *testing.T) {
	r := mustRules(t,
		expr(`request.method == "GET"`),
		expr(`claims.a == 1`),
		expr(`request.path == "/x"`))
	wantReason(t, r.Claims(claimsOf(t, `"a":2`)), token.ExpressionDenied)
	c := claimsOf(t, `"a":1`)
	wantReason(t, r.Claims(c), token.ReasonNone)
	b := r.Bind(c)
	refusal := wantReason(t, b.Request(&fakeRequest{method: "GET", path: "/y"}), token.ExpressionDenied)
	if !strings.Contains(refusal.Want, "request.path") {
		t.Errorf("reported %q, want the first unmet line", refusal.Want)
	}
	wantReason(t, b.Request(&fakeRequest{method: "GET", path: "/x"}), token.ReasonNone)
	wantReason(t, b.Request(nil), token.ExpressionFailed)
}

func TestRequestIsAskedOnlyForWhatIsReached(t *testing.T) {
	r := mustRules(t, expr(`claims.a == 1 && (request.method == "GET" || request.header["x"][0] == "y")`))
	req := someRequest()
	wantReason(t, r.Bind(claimsOf(t, `"a":1`)).Request(req), token.ReasonNone)
	if len(req.asked) != 1 || req.asked["method"] == 0 {
		t.Errorf("asked for %v, want the method alone", req.asked)
	}
	req = someRequest()
	wantReason(t, r.Bind(claimsOf(t, `"a":2`)).Request(req), token.ExpressionDenied)
	if len(req.asked) != 0 {
		t.Errorf("asked for %v, want nothing", req.asked)
	}
}

func TestBoundIsSafeForConcurrentUse(t *testing.T) {
	r := mustRules(t, expr(`claims.tenant == request.host.split(".")[0] && claims.roles.exists(x, x == request.method) && claims.o.p[0].q == 1`))
	c := claimsOf(t, `"tenant":"acme","roles":["GET"],"o":{"p":[{"q":1}]}`)
	b := r.Bind(c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if err := b.Request(someRequest()); err != nil {
					t.Error(err)
				}
				req := someRequest()
				req.method = "POST"
				if b.Request(req) == nil {
					t.Error("POST passes")
				}
				if err := r.Claims(c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzExpressionNeverPanics feeds claims of every shape to expressions that
// touch them in every way. Whatever comes, the answer is a pass or a refusal of
// this package, and the same one twice.
func FuzzExpressionNeverPanics(f *testing.F) {
	rules := []*Rules{
		mustRules(f, expr(`claims.a == request.host.split(".")[0]`)),
		mustRules(f, expr(`claims.a.exists(x, x == claims.b) || claims.a[0].b > 1`)),
		mustRules(f, expr(`has(claims.a.b.c) && claims.a.b.c.startsWith("x")`)),
		mustRules(f, expr(`claims.all(k, claims[k] == claims[k]) && claims == claims`)),
		mustRules(f, expr(`string(claims.a).size() + int(claims.b) > 3`)),
		mustRules(f, expr(`claims.a in claims.b || sets.intersects(claims.a, claims.b)`)),
		mustRules(f, expr(`"%s".format([claims.a]) == claims.b || claims.a.matches(claims.b)`)),
		mustRules(f, RuleConfig{Kind: "scope", Values: []string{"a", "b"}}),
		mustRules(f, RuleConfig{Kind: "claim", Claim: "a.b", Values: []string{"x"}}),
		mustRules(f, RuleConfig{Kind: "claim", Claim: "/a/0/b", All: true, Values: []string{"1", "2"}}),
	}
	for _, seed := range []string{
		`{"iss":"i","exp":1,"a":"acme","b":1}`, `{"iss":"i","exp":1,"a":[{"b":2}],"b":"x"}`,
		`{"iss":"i","exp":1,"a":{"b":{"c":"xy"}},"b":-1e-5}`, `{"iss":"i","exp":1,"a":null,"b":1e999,"scope":7,"scp":["a",{}]}`,
		`{"iss":"i","exp":1,"a":18446744073709551615,"b":"9"}`, `{"iss":"i","exp":1,"a":[[[1]],null,true],"b":[[1]]}`,
		`{"iss":"i","exp":1,"a":"2020-01-01T00:00:00Z","b":"(((a*)*)*"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := token.ParseClaims(text)
		if err != nil || len(text) > 16<<10 {
			t.Skip()
		}
		for _, r := range rules {
			verdict := func() token.Reason {
				err := r.Claims(c)
				if err == nil {
					err = r.Bind(c).Request(someRequest())
				}
				if err == nil {
					return token.ReasonNone
				}
				refusal, ok := err.(*token.Refusal)
				if !ok {
					t.Fatalf("%T: %v", err, err)
				}
				if len(refusal.Got) > maxGot+3 {
					t.Fatalf("quotes %d bytes", len(refusal.Got))
				}
				return refusal.Reason
			}
			if first, second := verdict(), verdict(); first != second {
				t.Fatalf("first %s, then %s", first, second)
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	for _, bb := range []struct{ name, source string }{
		{"method", `request.method == "GET" || claims.admin == true`},
		{"tenant", `claims.tenant == request.host.split(".")[0]`},
		{"roles", `request.method == "GET" || claims.roles.exists(r, r == "admin")`},
		{"header", `request.header["x-env"][0] == "prod"`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			bound := mustRules(b, expr(bb.source)).Bind(claimsOf(b, `"tenant":"acme","admin":false,"roles":["admin"]`))
			req := staticRequest{"GET", "acme.example.com", map[string][]string{"x-env": {"prod"}, "accept": {"*/*"}}}
			b.ReportAllocs()
			for b.Loop() {
				if err := bound.Request(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// staticRequest costs nothing to ask.
type staticRequest struct {
	method, host string
	header       map[string][]string
}

func (r staticRequest) Method() string              { return r.method }
func (r staticRequest) Path() string                { return "/" }
func (r staticRequest) Host() string                { return r.host }
func (r staticRequest) Header() map[string][]string { return r.header }
func (r staticRequest) Query() map[string][]string  { return nil }
func (r staticRequest) RemoteIP() string            { return "192.0.2.1" }
func (r staticRequest) ClientIP() string            { return "192.0.2.1" }

func BenchmarkBind(b *testing.B) {
	r := mustRules(b, expr(`claims.tenant == request.host`))
	c := claimsOf(b, `"tenant":"acme","sub":"a","aud":["x","y"],"scope":"a b","realm_access":{"roles":["admin","b"]},"email":"a@example.com"`)
	b.ReportAllocs()
	for b.Loop() {
		r.Bind(c)
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustRules(b, expr(`claims.tenant == request.host.split(".")[0]`))
	}
}
