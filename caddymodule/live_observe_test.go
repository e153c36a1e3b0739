package caddymodule

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/redistest"
	"github.com/jwtgate/jwtgate/internal/signing"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// forgeries are identity headers that a client makes up, in spellings that a
// backend may take for the managed X-Auth-Sub and X-Auth-Claims.
var forgeries = []string{"X-Auth-Sub: mallory", "X-Auth-Claims: mallory", "X-Auth-Tenant: mallory", "x~auth~sub: mallory", "X-AUTH-SUB-: mallory", "Connection: X-Auth-Sub"}

// forwarding are the lines of a gate that hands claims on.
const forwarding = `
forward {
	X-Auth-Sub sub
	X-Auth-Claims * json
}
strip X-Auth-*
`

// observeCase is a request that an enforcing gate refuses.
type observeCase struct {
	gate    string // lines
	want    token.Reason
	headers func(o *observed) []string
}

// observed is a gateway whose gates are there twice: below /o/ they observe,
// below /e/ they refuse.
type observed struct {
	*gateway
	t     *testing.T
	other *issuertest.Issuer // goes away before the requests come
}

func (o *observed) mint(claims map[string]any, opts ...issuertest.Option) []string {
	all := map[string]any{"sub": "alice", "tenant": "of-alice"}
	for name, value := range claims {
		all[name] = value
	}
	return []string{"Authorization: Bearer " + o.Issuer.Sign(all, opts...)}
}

// minted is a case whose token has these claims.
func minted(gate string, want token.Reason, claims map[string]any, opts ...issuertest.Option) observeCase {
	return observeCase{gate, want, func(o *observed) []string { return o.mint(claims, opts...) }}
}

// lines is a case with these headers, in which GOOD stands for a good token.
func withLines(gate string, want token.Reason, headers ...string) observeCase {
	return observeCase{gate, want, func(o *observed) []string {
		good := strings.TrimPrefix(o.mint(nil)[0], "Authorization: Bearer ")
		var out []string
		for _, h := range headers {
			out = append(out, strings.ReplaceAll(h, "GOOD", good))
		}
		return out
	}}
}

// revoking is a case whose token is good but for what is revoked.
func revoking(want token.Reason, e revocation.Entry, claims map[string]any) observeCase {
	return observeCase{"", want, func(o *observed) []string {
		now := time.Now().Add(time.Second) // of a token made this second, too
		e.Issuer, e.Cutoff, e.Until, e.Via = o.Issuer.URL(), now, now.Add(time.Hour), "admin"
		if want == token.RevokedIssuer {
			e.Issuer = o.other.URL()
		}
		if _, err := lists.answering.Load().Revoke(o.t.Context(), e); err != nil {
			o.t.Fatal(err)
		}
		if want == token.RevokedIssuer {
			return []string{"Authorization: Bearer " + o.other.Sign(nil)}
		}
		return o.mint(claims)
	}}
}

// unseen are the reasons that these cases cannot reach: keys past max_stale take
// a minute at least, TestObserveWhileNothingIsKnown has the list that is not
// loaded or out of touch.
var unseen = []token.Reason{token.KeysStale, token.RevocationLoading, token.RevocationStale}

func observeCases(t *testing.T) []observeCase {
	hmac, err := signing.FromSecret([]byte("0123456789abcdef0123456789abcdef"), "HS256")
	if err != nil {
		t.Fatal(err)
	}
	other, err := signing.Generate("ES384")
	if err != nil {
		t.Fatal(err)
	}
	later := func(d time.Duration) time.Time { return time.Now().Add(d) }
	return []observeCase{
		withLines("", token.TokenMissing),
		withLines("", token.TokenMissing, "Authorization: Basic YTpi"),
		withLines("", token.AuthorizationMalformed, "Authorization: Bearer GOOD more"),
		withLines("", token.AuthorizationMalformed, "Authorization: Bearer GOOD", "Authorization: Bearer GOOD"),
		withLines("token_from header X-Token", token.TokenDuplicate, "Authorization: Bearer GOOD", "X-Token: GOOD"),
		withLines("token_from cookie session", token.CrossOrigin, "Cookie: session=GOOD", "Sec-Fetch-Site: cross-site", "Method: POST"),
		withLines("max_token 256B", token.TokenTooLong, "Authorization: Bearer GOOD"),
		withLines("", token.TokenMalformed, "Authorization: Bearer a.b"),
		withLines("", token.TokenMalformed, "Authorization: Bearer GOOD="),
		minted("", token.HeaderMalformed, nil, issuertest.RawHeader(`{"alg":"ES256","alg":"none"}`)),
		minted("", token.HeaderUnsupported, nil, issuertest.Header("crit", []string{"exp"})),
		minted("", token.AlgNotAllowed, nil, issuertest.Key(hmac)),
		minted("", token.ClaimsMalformed, nil, issuertest.RawPayload(`{"sub":"alice","sub":"mallory"}`)),
		minted("", token.IssuerMissing, map[string]any{"iss": nil}),
		minted("", token.IssuerUnknown, map[string]any{"iss": "https://attacker.example"}),
		{"issuer NEVER {\naudience api\ntimeout 1s\n}", token.KeysNeverObtained, func(o *observed) []string {
			return o.mint(map[string]any{"iss": "http://127.0.0.1:1"})
		}},
		{"", token.KeysFetchFailed, func(o *observed) []string {
			return []string{"Authorization: Bearer " + o.other.Sign(nil, issuertest.Kid("newer"))}
		}},
		minted("", token.KidUnknown, nil, issuertest.Kid("unknown")),
		{"", token.KeyMismatch, func(o *observed) []string {
			return o.mint(nil, issuertest.Key(other.WithID(o.Issuer.Key().ID())))
		}},
		minted("", token.SignatureInvalid, nil, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s })),
		minted("", token.ExpiryMissing, map[string]any{"exp": nil}),
		minted("", token.Expired, map[string]any{"exp": later(-time.Hour)}),
		minted("", token.NotBeforeAhead, map[string]any{"nbf": later(time.Hour)}),
		minted("", token.IssuedAtAhead, map[string]any{"iat": later(time.Hour)}),
		minted("issuer ISSUER {\naudience api\nmax_age 1m\n}", token.TooOld, map[string]any{"iat": later(-time.Hour)}),
		minted("", token.LifetimeExceeded, map[string]any{"exp": later(100 * time.Hour)}),
		revoking(token.RevokedToken, revocation.Entry{Kind: revocation.Token, Value: "jti-gone"}, map[string]any{"jti": "jti-gone"}),
		revoking(token.RevokedSession, revocation.Entry{Kind: revocation.Session, Value: "sid-gone"}, map[string]any{"sid": "sid-gone"}),
		revoking(token.RevokedSubject, revocation.Entry{Kind: revocation.Subject, Value: "bob"}, map[string]any{"sub": "bob"}),
		revoking(token.RevokedClient, revocation.Entry{Kind: revocation.Client, Value: "client-gone"}, map[string]any{"client_id": "client-gone"}),
		revoking(token.RevokedIssuer, revocation.Entry{Kind: revocation.Issuer}, nil),
		minted("", token.TypeMismatch, nil, issuertest.Header("typ", "logout+jwt")),
		minted("", token.ClaimMissing, map[string]any{"sub": nil}),
		minted("", token.ProofUnsupported, map[string]any{"cnf": map[string]any{"jkt": "x"}}),
		minted("", token.EventsPresent, map[string]any{"events": map[string]any{}}),
		minted("", token.AudienceMismatch, map[string]any{"aud": "other"}),
		minted("require scope orders:write", token.ScopeMissing, map[string]any{"scope": "orders:read"}),
		minted("require claim tenant nobody", token.ClaimDenied, nil),
		minted(`require expr "request.method == 'BREW'"`, token.ExpressionDenied, nil),
		minted(`require expr "claims.tenant + 1 == 2"`, token.ExpressionFailed, nil),
		minted("max_header 16B refuse", token.HeaderTooLarge, nil),
	}
}

// TestObserveNeverRefuses sends what a gate refuses for every reason to that
// gate and to the same one with observe: there it reaches the backend whole,
// without a made-up header and without a claim, and counts as observe; so do
// uploads, and gRPC.
func TestObserveNeverRefuses(t *testing.T) {
	cases := observeCases(t)
	o := &observed{t: t, other: issuertest.New(t, "ES256")}
	var sites strings.Builder
	sites.WriteString("GATEWAY {\nhandle /metrics {\nmetrics\n}\nhandle {\n")
	for i, tt := range cases {
		lines := tt.gate
		if !strings.Contains(lines, "issuer ") {
			lines += "\nissuer ISSUER\nissuer OTHER {\naudience api\n}"
		}
		for way, more := range map[string]string{"o": "observe", "e": ""} {
			fmt.Fprintf(&sites, "jwtgate /%s/%d {\n%s\n%s\n%s\n}\n", way, i, lines, forwarding, more)
		}
	}
	sites.WriteString("reverse_proxy BACKEND\n}\n}")
	replace := strings.NewReplacer("OTHER", o.other.URL(), "NEVER", "http://127.0.0.1:1")
	o.gateway = (&setup{Issuer: issuertest.New(t, "ES256"), Sites: replace.Replace(sites.String()),
		Revocation: "journal " + filepath.Join(t.TempDir(), "list.db") + "\nmax_token_lifetime 24h"}).start(t)
	last := slices.IndexFunc(cases, func(c observeCase) bool { return c.want == token.RevokedIssuer })
	o.passes(10*time.Second, fmt.Sprintf("/e/%d", last), o.other.Sign(nil))
	eventually(t, "keys are there", func() bool { return o.ask(fmt.Sprintf("/e/%d", last), o.Issuer.Sign(nil)).Status == 200 })
	o.other.Down()
	o.Backend.take()

	count := func(reason token.Reason) string {
		n := ""
		for series, value := range o.scrape() {
			if strings.Contains(series, `reason="`+reason.String()+`",result="observe"`) {
				n += value + " "
			}
		}
		return n
	}
	reached := make(map[token.Reason]bool)
	for i, tt := range cases {
		headers := slices.Concat(tt.headers(o), forgeries)
		method := "POST"
		headers = slices.DeleteFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Method: ") })
		name := fmt.Sprintf("%d %s", i, tt.want)
		reached[tt.want] = true
		if a := o.upload(method, fmt.Sprintf("/e/%d", i), headers, 10); a.Status < 400 || a.code() != string(tt.want.Code()) {
			t.Errorf("%s: without observe %d %s, want %s", name, a.Status, a.Body, tt.want.Code())
		}
		o.none()
		before := count(tt.want)
		for _, size := range []int{0, 10, 1 << 20} {
			a := o.upload(method, fmt.Sprintf("/o/%d", i), headers, size)
			if a.Status != http.StatusOK || a.Body != "backend" || len(a.Header["Www-Authenticate"]) > 0 {
				t.Errorf("%s: %d bytes: %d %s", name, size, a.Status, a.Body)
			}
			r := o.one()
			if r.ContentLength != int64(size) {
				t.Errorf("%s: the backend got %d bytes of %d", name, r.ContentLength, size)
			}
			o.unclaimed(name, r)
		}
		if after := count(tt.want); after == before {
			t.Errorf("%s: not counted: %s", name, after)
		}
		o.logged(`"request would be refused"`, `"reason":"`+tt.want.String()+`"`)
	}
	for _, reason := range token.Reasons() {
		if !reached[reason] && !slices.Contains(unseen, reason) {
			t.Errorf("no case for %s", reason)
		}
	}

	// A good token is worth as much with observe as without.
	good := o.mint(map[string]any{"sub": "alice"})
	i := slices.IndexFunc(cases, func(c observeCase) bool { return c.want == token.AudienceMismatch })
	for _, way := range []string{"e", "o"} {
		if a := o.upload("POST", fmt.Sprintf("/%s/%d", way, i), slices.Concat(good, forgeries), 10); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		r := o.one()
		if got := r.Header["X-Auth-Sub"]; !slices.Equal(got, []string{"alice"}) || !strings.Contains(r.Header.Get("X-Auth-Claims"), `"tenant":"of-alice"`) {
			t.Errorf("%s: a good token: %v", way, r.Header)
		}
		if strings.Contains(fmt.Sprint(r.Header), "mallory") {
			t.Errorf("%s: a forged header beside a good token: %v", way, r.Header)
		}
	}
	// gRPC is answered by the backend, too.
	a := o.upload("POST", "/o/0", []string{"Content-Type: application/grpc"}, 10)
	if a.Status != 200 || a.Body != "backend" || a.Header.Get("Grpc-Status") != "" {
		t.Errorf("gRPC: %d %s %v", a.Status, a.Body, a.Header)
	}
}

// upload sends a body of that many bytes.
func (g *gateway) upload(method, path string, headers []string, size int) got {
	g.t.Helper()
	a, err := g.send(method, path, headers, size)
	if err != nil {
		g.t.Fatalf("%s %s with %d bytes: %v", method, path, size, err)
	}
	return a
}

// unclaimed checks that the backend was told no identity.
func (g *gateway) unclaimed(name string, r *http.Request) {
	g.t.Helper()
	for header, values := range r.Header {
		if text := strings.Join(values, " "); strings.HasPrefix(strings.ToLower(strings.ReplaceAll(header, "~", "-")), "x-auth-") ||
			header != "Authorization" && header != "Cookie" && (strings.Contains(text, "mallory") || strings.Contains(text, "of-alice")) {
			g.t.Errorf("%s: the backend got %s: %s", name, header, text)
		}
	}
}

// TestObserveWhileNothingIsKnown: a list that has not been read from Redis yet,
// or is out of touch, refuses nothing either.
func TestObserveWhileNothingIsKnown(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	server.Kill()
	g := (&setup{Sites: `GATEWAY {
		jwtgate /e
		jwtgate /o {
			observe
			` + forwarding + `
		}
		reverse_proxy BACKEND
	}`, Revocation: "journal " + filepath.Join(t.TempDir(), "list.db") + "\nredis " + server.URL().String() + " {\ntimeout 1s\n}\nstale_after 2s"}).start(t)
	raw := g.Issuer.Sign(nil)
	g.becomes("/e", raw, 503, "revocation_unavailable")
	g.Backend.take()
	for _, reason := range []token.Reason{token.RevocationLoading, token.RevocationStale} {
		for end := time.Now().Add(60 * time.Second); len(g.linesWith("request would be refused", `"reason":"`+reason.String()+`"`)) == 0; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("never refused for %s", reason)
				break
			}
			a, err := g.send("GET", "/o", append([]string{"Authorization: Bearer " + raw}, forgeries...), 0)
			if err != nil || a.Status != 200 {
				t.Fatalf("%d %s %v", a.Status, a.Body, err)
			}
			g.unclaimed(reason.String(), g.one())
		}
	}
}
