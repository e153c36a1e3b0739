package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
)

// statusOf asks for the status.
func (g *adminGateway) statusOf() *gatewayStatus {
	g.t.Helper()
	a := g.admin("GET", "/jwtgate/status", "", nil)
	s := new(gatewayStatus)
	if err := json.Unmarshal([]byte(a.Body), s); err != nil || a.Status != 200 {
		g.t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return s
}

// loadApp loads a configuration with that app and those handlers before the one
// that answers "in".
func (g *adminGateway) loadApp(app, handlers string) error {
	return caddy.Load(fmt.Appendf(nil, `{
		"admin": {"listen": %q, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "DEBUG", "writer": {"output": "file", "filename": %q, "roll": false}}}},
		"storage": {"module": "file_system", "root": %q},
		"apps": {"jwtgate": %s, "http": {"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
			%s {"handler": "static_response", "body": "in"}]}]}}}}}`, g.console.address, g.log(), g.dir, app, g.address, handlers), true)
}

func (g *adminGateway) mustLoadApp(app, handlers string) {
	g.t.Helper()
	if err := g.loadApp(app, handlers); err != nil {
		g.t.Fatal(err)
	}
}

// TestStatusOfAGatewayInOrder, over a socket and over TCP, as JSON and as text.
func TestStatusOfAGatewayInOrder(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			g := newAdminGateway(t)
			if network == "tcp" {
				g.console.address = freeAddress(t)
			}
			g.mustLoad(true)
			if got := g.use(g.iss.Sign(nil)); got != "in" {
				t.Fatal(got)
			}
			if got := g.use("x.y.z"); got != "token_invalid" {
				t.Fatal(got)
			}
			g.must("", "revoke", "--issuer", g.iss.URL(), "--jti", "x")
			s := g.statusOf()
			if s.State != stateOK || !s.Ready || len(s.Problems) > 0 || s.Reasons == nil || s.Degraded == nil || s.Feed != nil || s.Cache == nil || s.Cache.MaxBytes != 64<<20 {
				t.Errorf("%+v", s)
			}
			if len(s.Issuers) != 1 {
				t.Fatalf("%+v", s.Issuers)
			}
			i := s.Issuers[0]
			if i.Issuer != g.iss.URL() || i.Source != "discovery" || i.Location != g.iss.DiscoveryURL() || i.KeysURL != g.iss.KeysURL() ||
				!i.Usable || i.Stale || i.FetchedAt == nil || i.NextRefresh == nil || i.UsableUntil == nil || i.LastErrorAt != nil || *i.AgeSeconds > 60 {
				t.Errorf("%+v", i)
			}
			if len(i.Keys) != 1 || i.Keys[0].Type != "RSA" || i.Keys[0].Algorithms != "RS256" || i.Keys[0].Use != "sig" || i.Keys[0].Bits != 2048 || len(i.Keys[0].Thumbprint) != 43 || i.Keys[0].SeenAt == nil {
				t.Errorf("%+v", i.Keys)
			}
			if s.Revocations.Journal == nil || s.Revocations.Journal.Path != filepath.Join(g.dir, "list.db") || s.Revocations.Journal.Bytes == 0 || s.Revocations.ByKind["token"] != 1 || !s.Revocations.Loaded {
				t.Errorf("%+v %+v", s.Revocations, s.Revocations.Journal)
			}
			malformed := slices.IndexFunc(s.Decisions, func(d decisionStatus) bool { return d.Result == "deny" && d.Code == "token_invalid" && d.Last1Min > 0 })
			if malformed < 0 || s.Decisions[malformed].Last15Min < s.Decisions[malformed].Last1Min {
				t.Errorf("%+v", s.Decisions)
			}
			out, errOut, err := g.run("", "status")
			if err != nil || errOut != "" || !strings.HasPrefix(out, "OK  Everything is in order.\n") || !strings.Contains(out, i.Keys[0].Thumbprint) {
				t.Errorf("%v %q\n%s", err, errOut, out)
			}
			if out, _, err := g.run("", "status", "--json"); err != nil || !json.Valid([]byte(out)) {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}

// TestStatusNamesWhatIsWrong with each kind of broken issuer, in the words that
// a person needs, and the command ends with 1.
func TestStatusNamesWhatIsWrong(t *testing.T) {
	g := newAdminGateway(t)
	tlsServer := newTLSIssuer(t)
	broken := func(failure issuertest.Failure) string {
		iss := issuertest.New(t)
		iss.Fail(failure)
		return iss.URL()
	}
	mismatch := issuertest.New(t)
	mismatch.DiscoverAs("https://other.example")
	issuers := []struct{ issuer, more, kind, words string }{
		{"https://no-such-host.invalid", "", "dns", "host no-such-host.invalid"},
		{tlsServer, "", "tls", "TLS: x509: certificate signed by unknown authority"},
		{"http://127.0.0.1:1", "", "network", "connection refused"},
		{broken(issuertest.ServerError), "", "status", "answered status 500"},
		{broken(issuertest.HTML), "", "content", `content type "text/html"`},
		{broken(issuertest.Hang), `, "timeout": "1s"`, "timeout", "no complete answer in time"},
		{mismatch.URL(), "", "issuer_mismatch", "https://other.example"},
	}
	var blocks []string
	for _, i := range issuers {
		blocks = append(blocks, fmt.Sprintf(`{"issuer": %q, "audience": ["api"]%s}`, i.issuer, i.more))
	}
	good := fmt.Sprintf(`, {"issuer": %q, "audience": ["api"]}`, g.iss.URL())
	g.mustLoadApp(`{"issuers": [`+strings.Join(blocks, ",")+good+`], "revocation": {"journal": "off"}}`, `{"handler": "jwtgate"},`)
	var s *gatewayStatus
	eventually(t, "all have failed once", func() bool {
		s = g.statusOf()
		for _, i := range s.Issuers {
			if i.LastError == "" && i.Issuer != g.iss.URL() {
				return false
			}
		}
		return s.Ready
	})
	if s.State != stateDegraded || len(s.Degraded) != len(issuers) || s.Revocations.Journal != nil {
		t.Errorf("%s %+v", s.State, s.Degraded)
	}
	out, _, err := g.run("", "status")
	if cli.Code(err) != cli.Refused || !strings.HasPrefix(out, "DEGRADED  Tokens of 7 of 8 issuers are answered with 503.\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range issuers {
		at := slices.IndexFunc(s.Issuers, func(i issuerStatus) bool { return i.Issuer == want.issuer })
		if at < 0 {
			t.Fatalf("%s is not listed", want.issuer)
		}
		i := s.Issuers[at]
		if i.LastErrorFor != want.kind || !slices.Contains(jwks.ErrorKinds, i.LastErrorFor) || !strings.Contains(i.LastError, want.words) || i.Usable || i.LastErrorAt == nil || i.Reason != "keys_never_obtained" {
			t.Errorf("%s: %+v", want.issuer, i)
		}
		if !strings.Contains(out, i.LastError) {
			t.Errorf("not on the screen: %s", i.LastError)
		}
	}
	if !t.Failed() {
		t.Logf("\n%s", out)
	}
}

// TestStatusOfFilesAndSecrets: a file is listed with what is wrong with it, a
// secret by its kind alone.
func TestStatusOfFilesAndSecrets(t *testing.T) {
	g := newAdminGateway(t)
	file := filepath.Join(g.dir, "keys.json")
	if err := os.WriteFile(file, g.iss.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "the secret of the issuer, which nobody may ever see anywhere 123"
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [
		{"issuer": "files", "audience": ["api"], "jwks_file": %q},
		{"issuer": "secret", "audience": ["api"], "secret": {"value": %q}},
		{"issuer": %q, "audience": ["api"], "jwks": %q, "secret": {"value": %q}}], "revocation": {"journal": "off"}}`,
		file, secret, g.iss.URL(), g.iss.KeysURL()+"?key="+"topsecret", secret), fmt.Sprintf(`{"handler": "jwtgate", "issuers": [{"issuer": "files", "audience": ["other"], "jwks_file": %q, "skew": "10s"}]}, {"handler": "jwtgate"},`, file))
	eventually(t, "the keys beside a secret", func() bool { return g.iss.KeyRequests() > 0 && len(g.statusOf().Issuers[1].Keys) == 2 })
	raw := g.admin("GET", "/jwtgate/status", "", nil).Body
	for _, hidden := range []string{secret, "topsecret", "HS256", "HS512"} {
		if strings.Contains(raw, hidden) {
			t.Errorf("%s is in %s", hidden, raw)
		}
	}
	s := g.statusOf()
	if len(s.Issuers) != 3 || s.Issuers[0].Source != "jwks_file" || s.Issuers[0].Location != file ||
		s.Issuers[1].Location != g.iss.KeysURL() || len(s.Issuers[1].Keys) != 2 || s.Issuers[1].Keys[1] != (keyStatus{Type: "oct"}) || s.Issuers[2].Source != "secret" || s.Issuers[2].Location != "" ||
		len(s.Issuers[2].Keys) != 1 || s.Issuers[2].Keys[0] != (keyStatus{Type: "oct"}) {
		t.Errorf("%+v", s.Issuers)
	}
	out := g.must("", "status")
	if !strings.Contains(out, "(secret)") || !strings.Contains(out, "from jwks_file "+file) {
		t.Errorf("%s", out)
	}
	for _, kind := range []string{"content", "file"} {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if kind == "file" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the file is bad: "+kind, func() bool { return g.statusOf().Issuers[0].LastErrorFor == kind })
		if s := g.statusOf(); s.State != stateWarning || len(s.Problems) != 1 || !s.Issuers[0].Usable || !strings.Contains(s.Issuers[0].LastError, file) {
			t.Errorf("%s: %+v", kind, s)
		}
	}
	out, _, err := g.run("", "status")
	if err != nil || !strings.HasPrefix(out, "WARNING  In order, with 1 warning.\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestStatusWithoutTheApp: the problem says what is missing.
func TestStatusWithoutTheApp(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(false)
	for _, args := range [][]string{{"status"}, {"refresh"}, {"observe-report"}} {
		if _, _, err := g.run("", args...); cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "no jwtgate") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestStatusOverAReload: what was counted and seen stays.
func TestStatusOverAReload(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(true)
	g.use("x.y.z")
	before := g.statusOf()
	g.mustLoad(true)
	eventually(t, "the same as before", func() bool {
		after := g.statusOf()
		return len(after.Decisions) == len(before.Decisions) && after.Issuers[0].FetchedAt.Equal(*before.Issuers[0].FetchedAt) &&
			after.Issuers[0].Keys[0].SeenAt.Equal(*before.Issuers[0].Keys[0].SeenAt) && after.StartedAt.Equal(before.StartedAt) && after.Decisions[0] == before.Decisions[0]
	})
}

func TestRefresh(t *testing.T) {
	g := newAdminGateway(t)
	down := issuertest.New(t)
	down.Down()
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["api"]}, {"issuer": %q, "audience": ["api"]}, {"issuer": "s", "audience": ["api"], "secret": {"value": "0123456789abcdef0123456789abcdef"}}],
		"revocation": {"journal": "off"}}`, g.iss.URL(), down.URL()), `{"handler": "jwtgate"}, {"handler": "jwtgate"},`)
	eventually(t, "keys", func() bool { return g.iss.KeyRequests() == 1 && len(g.statusOf().Degraded) == 1 })
	out, _, err := g.run("", "refresh")
	if cli.Code(err) != cli.Refused || !strings.Contains(out, g.iss.URL()+" (discovery): 1 key, unchanged\n") ||
		!strings.Contains(out, down.URL()+" (discovery): FAILED: ") || !strings.Contains(out, "connection refused; 0 keys in use\n") || !strings.Contains(out, "s (secret): 1 key, unchanged\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := g.iss.KeyRequests(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	old := g.iss.Key().ID()
	added := g.iss.RotateWithdraw().ID()
	out, _, err = g.run("", "refresh", g.iss.URL())
	if err != nil || out != fmt.Sprintf("%s (discovery): 1 key, added %s, withdrawn %s\n", g.iss.URL(), added, old) {
		t.Errorf("%v %s", err, out)
	}
	var answer refreshAnswer
	a := g.admin("POST", "/jwtgate/refresh/"+url.PathEscape(g.iss.URL()), "", nil)
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || a.Status != 200 || len(answer.Issuers) != 1 || !answer.Issuers[0].OK || answer.Issuers[0].Changed || answer.Issuers[0].Keys != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = g.admin("POST", "/jwtgate/refresh/"+url.PathEscape(g.iss.URL()+"/"), "", nil)
	if p := said(t, a); p.Code != codeNotFound || !strings.Contains(p.Detail, g.iss.URL()+" ") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if _, _, err := g.run("", "refresh", "https://../x"); cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "Known: ") {
		t.Errorf("unknown: %v", err)
	}
	for _, args := range [][]string{{"refresh", "a", "b"}, {"refresh", ""}, {"status", "x"}, {"status", "--watch=1ms"}, {"observe-report", "x"}, {"observe-report", "--fail-above", "x"}} {
		if _, _, err := g.run("", args...); cli.Code(err) != cli.Usage {
			t.Errorf("%v: %v", args, err)
		}
	}
	if a := g.admin("GET", "/jwtgate/refresh", "", nil); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.Status)
	}
}

// TestRefreshGivesUpInTime: an issuer that hangs costs a caller no more than the
// limit, and the others their answer nothing.
func TestRefreshGivesUpInTime(t *testing.T) {
	b := newAdminBench(t)
	hanging := issuertest.New(t)
	hanging.Fail(issuertest.Hang)
	b.view.issuers = append(b.view.issuers, benchWith(t, hanging.URL(), jwks.Config{Issuer: hanging.URL(), JWKS: hanging.KeysURL(), Timeout: 10 * time.Second}).view.issuers...)
	b.view.about.patience = 3 * time.Second
	a := b.send("POST", "/jwtgate/refresh", "", "")
	var answer refreshAnswer
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || a.Status != 200 || len(answer.Issuers) != 2 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, i := range answer.Issuers {
		if slow := i.Issuer == hanging.URL(); i.OK == slow || slow && (i.ErrorKind != "timeout" || !strings.Contains(i.Error, "within 3s")) {
			t.Errorf("%+v", i)
		}
	}
}

// TestStatusWatches until it is told to stop, also while nobody answers.
func TestStatusWatches(t *testing.T) {
	b := newAdminBench(t)
	var asked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	c := serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 2, 3: // a request on a connection that was used before is sent again
			panic(http.ErrAbortHandler)
		case 5:
			cancel()
		}
		b.mux.ServeHTTP(w, r)
	}))
	out, errOut, err := c.runContext(ctx, "", "status", "--watch=500ms")
	if err != nil || strings.Count(out, "OK  Everything is in order.\n") < 2 || !strings.Contains(errOut, "does not answer") || strings.Contains(out, "\x1b") {
		t.Errorf("%v %q\n%s", err, errOut, out)
	}
}

// newTLSIssuer is an https server whose certificate nobody vouches for.
func newTLSIssuer(t *testing.T) string {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}
