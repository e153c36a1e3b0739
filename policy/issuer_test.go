package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func TestNewIssuerReportsAllMistakesAtOnce(t *testing.T) {
	_, err := NewIssuer(IssuerConfig{
		Skew:        10 * time.Minute,
		MaxAge:      -1,
		MaxLifetime: -time.Second,
		Types:       []string{"logout+jwt", "a b"},
		Require:     []string{"a..b"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"audience:", "skew:", "max_age:", "max_token_lifetime:", "logout+jwt", `"a b"`, "require_claims:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}

func TestNewIssuer(t *testing.T) {
	tests := []struct {
		name string
		cfg  IssuerConfig
		want string // part of the error; empty: none
	}{
		{"shortest", IssuerConfig{Audience: []string{"api"}}, ""},
		{"no audience", IssuerConfig{}, "audience: missing"},
		{"any audience", IssuerConfig{AnyAudience: true}, ""},
		{"any and named", IssuerConfig{AnyAudience: true, Audience: []string{"api"}}, "contradict"},
		{"empty audience", IssuerConfig{Audience: []string{"api", ""}}, "is empty"},
		{"skew at its end", IssuerConfig{AnyAudience: true, Skew: MaxSkew}, ""},
		{"skew beyond", IssuerConfig{AnyAudience: true, Skew: MaxSkew + 1}, "skew"},
		{"skew negative", IssuerConfig{AnyAudience: true, Skew: -1}, "skew"},
		{"logout token in disguise", IssuerConfig{AnyAudience: true, Types: []string{"Application/Logout+JWT"}}, "logout"},
		{"dpop proof", IssuerConfig{AnyAudience: true, Types: []string{"dpop+jwt"}}, "DPoP"},
		{"security event", IssuerConfig{AnyAudience: true, Types: []string{"secevent+jwt"}}, "security event"},
		{"status list", IssuerConfig{AnyAudience: true, Types: []string{"statuslist+jwt"}}, "status list"},
		{"type of its own", IssuerConfig{AnyAudience: true, Types: []string{"vnd.example.access+jwt"}}, ""},
		{"empty type", IssuerConfig{AnyAudience: true, Types: []string{""}}, "media type"},
		{"type with a parameter", IssuerConfig{AnyAudience: true, Types: []string{"at+jwt;v=1"}}, "media type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewIssuer(tt.cfg)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			case err == nil && p.Skew() != tt.cfg.Skew:
				t.Errorf("skew is %s", p.Skew())
			}
		})
	}
}

func TestIssuerDoesNotShareItsConfiguration(t *testing.T) {
	aud := []string{"api"}
	p := mustIssuer(t, IssuerConfig{Audience: aud})
	aud[0] = "other"
	wantReason(t, p.Claims(token.Header{}, claimsOf(t, `"sub":"a","aud":"other"`)), token.AudienceMismatch)
}

func TestType(t *testing.T) {
	typ := func(s string) token.Header { return token.Header{Type: s, HasType: true} }
	defaults, strict := []string(nil), []string{"at+jwt"}
	tests := []struct {
		name   string
		types  []string
		header token.Header
		ok     bool
	}{
		{"absent", defaults, token.Header{}, true},
		{"JWT", defaults, typ("JWT"), true},
		{"jwt", defaults, typ("jwt"), true},
		{"application/jwt", defaults, typ("application/jwt"), true},
		{"at+jwt", defaults, typ("at+jwt"), true},
		{"AT+JWT", defaults, typ("AT+JWT"), true},
		{"Application/At+Jwt", defaults, typ("Application/At+Jwt"), true},
		{"empty", defaults, typ(""), false},
		{"prefix alone", defaults, typ("application/"), false},
		{"prefix twice", defaults, typ("application/application/jwt"), false},
		{"other tree", defaults, typ("text/jwt"), false},
		{"blank", defaults, typ("JWT "), false},
		{"parameter", defaults, typ("at+jwt; a=b"), false},
		{"logout", defaults, typ("logout+jwt"), false},
		{"secevent", defaults, typ("secevent+jwt"), false},
		{"dpop", defaults, typ("dpop+jwt"), false},
		{"status list", defaults, typ("statuslist+jwt"), false},
		{"JOSE", defaults, typ("JOSE"), false},
		{"strict absent", strict, token.Header{}, false},
		{"strict JWT", strict, typ("JWT"), false},
		{"strict at+jwt", strict, typ("at+jwt"), true},
		{"strict long form", strict, typ("application/at+jwt"), true},
		{"configured in the long form", []string{"Application/AT+JWT"}, typ("at+jwt"), true},
		{"none configured", []string{"at+jwt", "none"}, token.Header{}, true},
		{"none alone", []string{"none"}, typ("JWT"), false},
		{"the word none as a typ", []string{"none"}, typ("none"), false},
		{"Unicode folding: long s", []string{"access+jwt"}, typ("acce\u017f\u017f+jwt"), false},
		{"Unicode folding: Kelvin", []string{"k+jwt"}, typ("\u212a+jwt"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustIssuer(t, IssuerConfig{Types: tt.types})
			want := token.TypeMismatch
			if tt.ok {
				want = token.ReasonNone
			}
			wantReason(t, p.Claims(tt.header, claimsOf(t, `"sub":"a"`)), want)
		})
	}
}

func TestClaims(t *testing.T) {
	aud := IssuerConfig{Audience: []string{"https://api.example.test/orders", "orders-api"}}
	jti := IssuerConfig{Require: []string{"jti", "realm_access.roles", "https://example.com/tenant"}}
	all := `"sub":"a","jti":"1","realm_access":{"roles":[]},"https://example.com/tenant":"t"`
	tests := []struct {
		name   string
		cfg    IssuerConfig
		claims string
		reason token.Reason
	}{
		{"plain", IssuerConfig{}, `"sub":"a"`, token.ReasonNone},
		{"no sub", IssuerConfig{}, ``, token.ClaimMissing},
		{"empty sub", IssuerConfig{}, `"sub":""`, token.ClaimMissing},
		{"blank sub", IssuerConfig{}, `"sub":" \t\u00a0"`, token.ClaimMissing},
		{"no sub allowed", IssuerConfig{SubOptional: true}, ``, token.ReasonNone},
		{"empty sub allowed", IssuerConfig{SubOptional: true}, `"sub":""`, token.ReasonNone},

		{"all required there", jti, all, token.ReasonNone},
		{"false and zero are there", IssuerConfig{Require: []string{"a", "b", "c", "d"}}, `"sub":"a","a":false,"b":0,"c":[],"d":{}`, token.ReasonNone},
		{"required missing", jti, `"sub":"a"`, token.ClaimMissing},
		{"required null", IssuerConfig{Require: []string{"x"}}, `"sub":"a","x":null`, token.ClaimMissing},
		{"required empty string", IssuerConfig{Require: []string{"x"}}, `"sub":"a","x":""`, token.ClaimMissing},
		{"required of a literal dotted name", IssuerConfig{Require: []string{"a.b"}}, `"sub":"a","a.b":1`, token.ClaimMissing},
		{"required with other case", IssuerConfig{Require: []string{"tenant"}}, `"sub":"a","Tenant":"t"`, token.ClaimMissing},

		{"cnf", IssuerConfig{}, `"sub":"a","cnf":{"jkt":"x"}`, token.ProofUnsupported},
		{"unknown cnf", IssuerConfig{}, `"sub":"a","cnf":{"future":"x"}`, token.ProofUnsupported},
		{"cnf empty", IssuerConfig{}, `"sub":"a","cnf":{}`, token.ProofUnsupported},
		{"cnf null", IssuerConfig{}, `"sub":"a","cnf":null`, token.ProofUnsupported},
		{"CNF is another name", IssuerConfig{}, `"sub":"a","CNF":{}`, token.ReasonNone},
		{"nested cnf is another claim", IssuerConfig{}, `"sub":"a","act":{"cnf":{}}`, token.ReasonNone},
		{"events", IssuerConfig{}, `"sub":"a","events":{"http://schemas.openid.net/event/backchannel-logout":{}}`, token.EventsPresent},
		{"events null", IssuerConfig{}, `"sub":"a","events":null`, token.EventsPresent},

		{"aud string", aud, `"sub":"a","aud":"orders-api"`, token.ReasonNone},
		{"aud array", aud, `"sub":"a","aud":["x","https://api.example.test/orders"]`, token.ReasonNone},
		{"aud missing", aud, `"sub":"a"`, token.AudienceMismatch},
		{"aud empty", aud, `"sub":"a","aud":""`, token.AudienceMismatch},
		{"aud empty array", aud, `"sub":"a","aud":[]`, token.AudienceMismatch},
		{"aud of empty strings", aud, `"sub":"a","aud":["",""]`, token.AudienceMismatch},
		{"aud other", aud, `"sub":"a","aud":"payments"`, token.AudienceMismatch},
		{"aud prefix", aud, `"sub":"a","aud":"orders"`, token.AudienceMismatch},
		{"aud longer", aud, `"sub":"a","aud":"orders-api2"`, token.AudienceMismatch},
		{"aud slash", aud, `"sub":"a","aud":"https://api.example.test/orders/"`, token.AudienceMismatch},
		{"aud case", aud, `"sub":"a","aud":"Orders-API"`, token.AudienceMismatch},
		{"aud joined with a blank", aud, `"sub":"a","aud":"x orders-api"`, token.AudienceMismatch},
		{"aud joined with a comma", aud, `"sub":"a","aud":"x,orders-api"`, token.AudienceMismatch},
		{"aud star", aud, `"sub":"a","aud":"*"`, token.AudienceMismatch},
		{"any aud", IssuerConfig{AnyAudience: true}, `"sub":"a","aud":"payments"`, token.ReasonNone},
		{"any aud, none there", IssuerConfig{AnyAudience: true}, `"sub":"a"`, token.ReasonNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantReason(t, mustIssuer(t, tt.cfg).Claims(token.Header{}, claimsOf(t, tt.claims)), tt.reason)
		})
	}
}

func TestRefusalTextHasNothingOfTheToken(t *testing.T) {
	p := mustIssuer(t, IssuerConfig{Audience: []string{"api"}, Types: []string{"at+jwt", "none"}})
	const secret = "s3cr3t-value"
	for _, err := range []error{
		p.Claims(token.Header{Type: secret, HasType: true}, claimsOf(t, `"sub":"a"`)),
		p.Claims(token.Header{}, claimsOf(t, `"sub":"a","aud":"`+secret+`"`)),
		mustRules(t, RuleConfig{Kind: "scope", Values: []string{"a"}}).Claims(claimsOf(t, `"scope":"`+secret+`"`)),
		mustRules(t, RuleConfig{Kind: "claim", Claim: "c", Values: []string{"a"}}).Claims(claimsOf(t, `"c":["`+secret+`"]`)),
		mustRules(t, RuleConfig{Kind: "expr", Expr: `int(claims.c) == 1`}).Claims(claimsOf(t, `"c":"`+secret+`"`)),
		mustRules(t, RuleConfig{Kind: "expr", Expr: `claims.x == {}[claims.c]`}).Claims(claimsOf(t, `"x":1,"c":"`+secret+`"`)),
	} {
		if err == nil {
			t.Fatal("not refused")
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the token: %v", err)
		}
		for _, verb := range []string{"%s", "%+s", "%q"} {
			if strings.Contains(fmt.Sprintf(verb, err), secret) {
				t.Errorf("%s repeats the token", verb)
			}
		}
	}
}

func TestClaimsAllocateNothing(t *testing.T) {
	p, h, c := benchClaims(t)
	if n := testing.AllocsPerRun(100, func() {
		if p.Claims(h, c) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchClaims(t testing.TB) (*Issuer, token.Header, *token.Claims) {
	p := mustIssuer(t, IssuerConfig{Audience: []string{"api", "orders"}, Require: []string{"jti", "client_id"}})
	c := claimsOf(t, `"sub":"a","jti":"1","client_id":"app","aud":["account","orders"],"scope":"a b c","realm_access":{"roles":["x","y"]},"email":"a@example.com","name":"A"`)
	return p, token.Header{Type: "at+jwt", HasType: true}, c
}

func BenchmarkClaims(b *testing.B) {
	p, h, c := benchClaims(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Claims(h, c); err != nil {
			b.Fatal(err)
		}
	}
}
