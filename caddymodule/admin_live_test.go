package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
)

// adminGateway is a real Caddy with its admin endpoint on a socket.
type adminGateway struct {
	*console
	t       *testing.T
	iss     *issuertest.Issuer
	dir     string
	address string
}

func newAdminGateway(t *testing.T) *adminGateway {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	g := &adminGateway{t: t, iss: issuertest.New(t), dir: t.TempDir(), address: freeAddress(t)}
	g.console = &console{t, "unix/" + filepath.Join(g.dir, "admin.sock")}
	t.Cleanup(func() {
		// Caddy's admin endpoint outlives Stop.
		if err := caddy.Load([]byte(`{"admin": {"disabled": true, "config": {"persist": false}}}`), true); err != nil {
			t.Error(err)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// load loads a configuration with the gate, or without our app, and more apps.
func (g *adminGateway) load(gate bool, more string) error {
	apps := fmt.Sprintf(`"http": {"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
		%s {"handler": "static_response", "body": "in"}]}]}}}`, g.address, map[bool]string{true: `{"handler": "jwtgate"},`}[gate])
	if gate {
		apps += fmt.Sprintf(`, "jwtgate": {"issuers": [{"issuer": %q, "audience": [%q]}], "revocation": {"journal": %q}}`,
			g.iss.URL(), issuertest.Audience, filepath.Join(g.dir, "list.db"))
	}
	return caddy.Load(fmt.Appendf(nil, `{
		"admin": {"listen": %q, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "DEBUG", "writer": {"output": "file", "filename": %q, "roll": false}}}},
		"storage": {"module": "file_system", "root": %q},
		"apps": {%s%s}}`, g.console.address, g.log(), g.dir, apps, more), true)
}

func (g *adminGateway) log() string { return filepath.Join(g.dir, "log") }

func (g *adminGateway) mustLoad(gate bool) {
	g.t.Helper()
	if err := g.load(gate, ""); err != nil {
		g.t.Fatal(err)
	}
	if gate {
		g.ready()
	}
}

// ready waits until the gateway says that it is.
func (g *adminGateway) ready() {
	g.t.Helper()
	eventually(g.t, "ready", func() bool { return g.admin("GET", "/jwtgate/ready", "", nil).Status == 200 })
}

// admin sends a request to the admin endpoint.
func (g *adminGateway) admin(method, path, contentType string, body io.Reader) got {
	g.t.Helper()
	client, err := newAdminClient(g.console.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer client.close()
	r, err := http.NewRequest(method, client.base+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := client.http.Do(r)
	// Right after a reload Caddy may close the connection that it has just
	// accepted.
	for end := time.Now().Add(60 * time.Second); err != nil && body == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		response, err = client.http.Do(r)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return got{response.StatusCode, response.Header, string(text)}
}

// use uses a token and returns the code of the answer, "in" if it is let in.
func (g *adminGateway) use(token string) string {
	g.t.Helper()
	r, err := http.NewRequest("GET", "http://"+g.address+"/", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	for end := time.Now().Add(60 * time.Second); err != nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		response, err = http.DefaultClient.Do(r)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	if a := (got{Body: string(text)}).code(); a != "" {
		return a
	}
	return string(text)
}

func (g *adminGateway) must(stdin string, args ...string) string {
	g.t.Helper()
	out, errOut, err := g.run(stdin, args...)
	if err != nil {
		g.t.Fatalf("%v: %v %s", args, err, errOut)
	}
	return out
}

// TestAdminRevocationHoldsOnTheNextRequest, over a reload that failed, one
// without the app, and a restart.
func TestAdminRevocationHoldsOnTheNextRequest(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(true)
	tokens := make(map[string]string)
	sign := func(name string) string {
		tokens[name] = g.iss.Sign(map[string]any{"jti": name, "sub": "sub-" + name, "sid": "sid-" + name, "client_id": "client-" + name})
		return tokens[name]
	}
	for _, name := range []string{"jti", "sid", "sub", "client", "token", "broken", "kept"} {
		if got := g.use(sign(name)); got != "in" {
			t.Fatalf("%s: %s", name, got)
		}
	}
	iss := g.iss.URL()
	g.must("", "revoke", "--issuer", iss, "--jti", "jti")
	g.must("", "revoke", "--issuer", iss, "--session", "sid-sid", "--note", "stolen phone")
	g.must("", "revoke", "--issuer", iss, "--subject", "sub-sub")
	g.must("", "revoke", "--issuer", iss, "--client", "client-client")
	g.must(tokens["token"], "revoke", "--token-stdin")
	revoked := []string{"jti", "sid", "sub", "client", "token"}
	check := func(when string) {
		t.Helper()
		for _, name := range revoked {
			if got := g.use(tokens[name]); got != "token_revoked" {
				t.Errorf("%s: %s: %s", when, name, got)
			}
		}
		if got := g.use(tokens["kept"]); got != "in" {
			t.Errorf("%s: the other token: %s", when, got)
		}
	}
	check("at once")

	// A reload that fails late: its admin router was made, and is gone.
	if err := g.load(true, `, "jwtgate_test_broken": {}`); err == nil {
		t.Fatal("the broken configuration loaded")
	}
	g.must("", "revoke", "--issuer", iss, "--jti", "broken")
	revoked = append(revoked, "broken")
	check("after a reload that failed")

	// The block dropped, and put back.
	g.mustLoad(false)
	if _, _, err := g.run("", "revoke", "--issuer", iss, "--jti", "kept"); cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "no jwtgate") {
		t.Errorf("without the app: %v", err)
	}
	g.mustLoad(true)
	check("after the block was dropped and put back")

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.mustLoad(true)
	check("after a restart")

	id := revocation.DigestOf(revocation.Token, iss, "jti").String()
	list := g.must("", "revocations", "list", "--kind", "session")
	if !strings.Contains(list, "sid-sid") || !strings.Contains(list, "stolen phone") || !strings.Contains(list, "admin unix socket") {
		t.Errorf("list %s", list)
	}
	if count := g.must("", "revocations", "count"); !strings.Contains(count, "total    6\n") {
		t.Errorf("count %s", count)
	}
	g.must("", "revocations", "undo", id)
	if got := g.use(tokens["jti"]); got != "in" {
		t.Errorf("undone: %s", got)
	}
	if out, _, err := g.run("", "revocations", "undo", id); cli.Code(err) != cli.Refused {
		t.Errorf("undone twice: %v %s", err, out)
	}
	// A later revocation of the same outlives the undoing.
	g.must("", "revoke", "--issuer", iss, "--jti", "jti")
	check("revoked again")

	// The emergency brake spares what comes after it.
	g.must("", "revoke", "--issuer", iss, "--all", "--yes", "--before", time.Now().Add(-time.Minute).Format(time.RFC3339))
	check("with an older cutoff")
	g.must("", "revoke", "--issuer", iss, "--all", "--yes")
	if got := g.use(tokens["kept"]); got != "token_revoked" {
		t.Errorf("the brake: %s", got)
	}
	later := time.Now().Add(2 * time.Second)
	if got := g.use(g.iss.Sign(map[string]any{"iat": later.Unix(), "exp": later.Add(time.Minute).Unix()})); got != "in" {
		t.Errorf("a new login: %s", got)
	}
	log, err := os.ReadFile(g.log())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range tokens {
		if bytes.Contains(log, []byte(token)) || bytes.Contains(log, []byte(token[strings.LastIndexByte(token, '.'):])) {
			t.Errorf("the token %s is in the log", name)
		}
	}
	audits := 0
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(`"stolen phone"`)) && bytes.Contains(line, []byte(`"level":"info"`)) {
			audits++
		}
	}
	if audits != 1 {
		t.Errorf("%d audit lines of one revocation", audits)
	}
}

// TestAdminListMovesToAnotherGateway by export and import: 50,000 entries.
func TestAdminListMovesToAnotherGateway(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(true)
	const all = 50_000
	path := lines(t, g.iss.URL(), all)
	began := time.Now()
	out := g.must("", "revocations", "import", path, "--json")
	var result importResult
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Lines != all || result.Changed != all || !result.Complete {
		t.Fatalf("%s", out)
	}
	t.Logf("import of %d lines: %v", all, time.Since(began).Round(time.Millisecond))
	revoked := g.iss.Sign(map[string]any{"jti": "j49999"})
	if got := g.use(revoked); got != "token_revoked" {
		t.Errorf("imported: %s", got)
	}
	id := revocation.DigestOf(revocation.Token, g.iss.URL(), "j1").String()
	g.must("", "revocations", "undo", id)
	began = time.Now()
	export := g.must("", "revocations", "export")
	t.Logf("export of %d lines: %v", all, time.Since(began).Round(time.Millisecond))
	if strings.Count(export, "\n") != all {
		t.Fatalf("%d lines", strings.Count(export, "\n"))
	}
	if page := g.must("", "revocations", "list", "--limit", "2500", "--json"); strings.Count(page, "\n") != 2500 {
		t.Errorf("%d listed", strings.Count(page, "\n"))
	}

	// One process takes over what its last journal held, if that is still there.
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	journals, err := filepath.Glob(filepath.Join(g.dir, "list.db*"))
	if err != nil || len(journals) == 0 {
		t.Fatal(journals, err)
	}
	for _, journal := range journals {
		if err := os.Remove(journal); err != nil {
			t.Fatal(err)
		}
	}
	other := newAdminGateway(t)
	other.iss = g.iss
	other.mustLoad(true)
	if got := other.use(revoked); got != "in" {
		t.Fatalf("a new gateway: %s", got)
	}
	other.must(export, "revocations", "import", "-")
	if got := other.use(revoked); got != "token_revoked" {
		t.Errorf("imported from an export: %s", got)
	}
	if got := other.use(g.iss.Sign(map[string]any{"jti": "j1"})); got != "in" {
		t.Errorf("undone before the export: %s", got)
	}
	if count := other.must("", "revocations", "count"); !strings.Contains(count, fmt.Sprintf("total    %d\n", all-1)) {
		t.Errorf("count %s", count)
	}
	again := other.must(export, "revocations", "import", "-", "--json")
	if err := json.Unmarshal([]byte(again), &result); err != nil || result.Changed != 0 {
		t.Errorf("a second time: %s", again)
	}
}

// TestAdminEndpointGuardsOurs: Caddy's own checks stand before ours.
func TestAdminEndpointGuardsOurs(t *testing.T) {
	g := newAdminGateway(t)
	g.console.address = freeAddress(t)
	g.mustLoad(true)
	body := fmt.Sprintf(`{"kind":"token","issuer":%q,"value":"x"}`, g.iss.URL())
	for name, header := range map[string]string{"foreign origin": "Origin: https://evil.example", "page": "Sec-Fetch-Mode: cors", "rebound host": "Host: evil.example"} {
		r, err := http.NewRequest("POST", "http://"+g.console.address+"/jwtgate/revocations", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		key, value, _ := strings.Cut(header, ": ")
		if r.Header.Set(key, value); key == "Host" {
			r.Host = value
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
	if count := g.must("", "revocations", "count", "--json"); !strings.Contains(count, `"total":0`) {
		t.Errorf("count %s", count)
	}
	g.must("", "revoke", "--issuer", g.iss.URL(), "--jti", "x")
	if list := g.must("", "revocations", "list"); !strings.Contains(list, "admin 127.0.0.1") {
		t.Errorf("list %s", list)
	}
}
