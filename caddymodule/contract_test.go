package caddymodule

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// contractText runs the command on the Caddyfile of testdata/contract.
func contractText(t *testing.T, args ...string) (string, error) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(testdata, "contract", "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "Caddyfile", strings.ReplaceAll(string(content), "KEYS", filepath.Join(testdata, "keys.json")))
	cmd := newContractCommand()
	var out, errs strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"--config", file}, args...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestContractGolden compares every format with what was read through once.
// Written anew with -update.
func TestContractGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"contract.md":   nil,
		"contract.json": {"--format", "json", "--route", "partners.example.com"},
		"openapi.json":  {"--format", "openapi", "--route", "/v1/orders"},
		"fixture.sh":    {"--fixture", "--route", "partners.example.com"},
		"fixture.http":  {"--fixture", "--format", "http", "--route", "/health"},
		"fixture.json":  {"--fixture", "--format", "json", "--route", "partners.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := contractText(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(testdata, "contract", name)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; see what changes with -update:\n%s", name, got)
			}
		})
	}
}

func TestContractUsage(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"an unknown format", []string{"--format", "pdf"}, "pdf"},
		{"a format of fixtures", []string{"--format", "curl"}, "curl"},
		{"a format of contracts", []string{"--fixture", "--format", "openapi"}, "openapi"},
		{"no such route", []string{"--route", "nonesuch"}, "nonesuch"},
		{"two hosts in one document", []string{"--format", "openapi", "--route", "example.com /"}, "--route"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := contractText(t, test.args...)
			if cli.Code(err) != cli.Usage || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestContractOpenAPI checks what OpenAPI 3.1 wants of a document of this shape.
func TestContractOpenAPI(t *testing.T) {
	text, err := contractText(t, "--format", "openapi", "--route", "api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	info := object(document["info"])
	if document["openapi"] != "3.1.0" || info["title"] == "" || info["version"] == "" {
		t.Errorf("%v", info)
	}
	ids := make(map[any]bool)
	operations := 0
	for path, item := range object(document["paths"]) {
		if !strings.HasPrefix(path, "/") {
			t.Errorf("path %s", path)
		}
		for method, o := range object(item) {
			operations++
			operation := object(o)
			if !slices.Contains(openAPIMethods, strings.ToUpper(method)) {
				t.Errorf("%s: method %s", path, method)
			}
			if ids[operation["operationId"]] {
				t.Errorf("%s %s: the id %v is there twice", method, path, operation["operationId"])
			}
			ids[operation["operationId"]] = true
			checkParameters(t, path, operation)
			if len(object(operation["responses"])) == 0 {
				t.Errorf("%s %s: no responses", method, path)
			}
			for status, r := range object(operation["responses"]) {
				if object(r)["description"] == "" {
					t.Errorf("%s %s: %s has no description", method, path, status)
				}
			}
		}
	}
	if operations < 5 {
		t.Errorf("%d operations", operations)
	}
	for _, m := range regexp.MustCompile(`"\$ref": "#([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if v := (&places{o: &offline{config: []byte(text)}}).value(m[1]); v == nil {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
}

func checkParameters(t *testing.T, path string, operation map[string]any) {
	t.Helper()
	declared := make(map[string]bool)
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		parameter := object(p)
		name, _ := parameter["name"].(string)
		where, _ := parameter["in"].(string)
		if declared[where+name] {
			t.Errorf("%s: %s is there twice", path, name)
		}
		declared[where+name] = true
		if where == "path" && parameter["required"] != true || object(parameter["schema"]) == nil {
			t.Errorf("%s: parameter %v", path, parameter)
		}
		// Ignored by OpenAPI, section 4.8.12.2.
		if where == "header" && slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, name) {
			t.Errorf("%s: parameter %s", path, name)
		}
	}
	for _, m := range regexp.MustCompile(`\{([^}]+)\}`).FindAllStringSubmatch(path, -1) {
		if !declared["path"+m[1]] {
			t.Errorf("%s: {%s} is not declared", path, m[1])
		}
	}
}

// TestFixtureRuns runs the script against a server, which sees what it says.
func TestFixtureRuns(t *testing.T) {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	script, err := contractText(t, "--fixture", "--route", "partners.example.com")
	if err != nil {
		t.Fatal(err)
	}
	text, err := contractText(t, "--fixture", "--format", "json", "--route", "partners.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var want []*fixture
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	b := newBackend(t)
	cmd := exec.CommandContext(t.Context(), "sh", "-s")
	cmd.Env = append(os.Environ(), "BACKEND=http://"+b.addr, "http_proxy=", "no_proxy=*")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := b.take()
	if len(seen) != len(want) || len(want) < 4 {
		t.Fatalf("%d requests, want %d", len(seen), len(want))
	}
	for i, f := range want {
		r := seen[i]
		if r.Method != f.Method || r.URL.RequestURI() != f.Target {
			t.Errorf("%s: %s %s", f.Case, r.Method, r.URL)
		}
		for _, h := range f.Headers {
			if h.Name == "Host" && r.Host != h.Value || h.Name != "Host" && !slices.Equal(r.Header[h.Name], []string{h.Value}) {
				t.Errorf("%s: %s %q, want %q", f.Case, h.Name, r.Header[h.Name], h.Value)
			}
		}
		for _, name := range f.Missing {
			if r.Header[name] != nil {
				t.Errorf("%s: %s is there", f.Case, name)
			}
		}
	}
}

// TestContractIsKept: a gateway sends for the claims of each fixture what the
// fixture says, and nothing else under managed names.
func TestContractIsKept(t *testing.T) {
	const gates = `	jwtgate {
		forward {
			X-User-ID sub
			X-User-Email email
			X-User-Name name utf8
			X-User-Roles realm_access.roles join ,
			X-User-Access realm_access json
			X-Token-Expires exp
			X-Claims * base64url
		}
		strip X-User-*
		max_token 64KiB
	}
	@writes method POST
	jwtgate @writes {
		require scope orders:write
		require claim realm_access.roles editor
		forward {
			X-User-Email contact.email
			X-User-Groups groups json
		}
		max_token 64KiB
		max_header 1KiB refuse
	}
`
	g := liveWith(t, "servers {\nmax_header_size 128KiB\n}", "GATEWAY {\n"+gates+"\treverse_proxy BACKEND\n}")
	file := writeFile(t, "Caddyfile", "{\n\tjwtgate {\n\t\tissuer "+g.Issuer.URL()+" {\n\t\t\taudience api\n\t\t}\n\t}\n}\nhttp://"+g.Addr+" {\n"+gates+"\treverse_proxy "+g.Backend.addr+"\n}\n")
	o, err := loadOffline(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	// The running configuration has the same routes.
	running, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	names := func(app *caddyhttp.App) []string { return slices.Sorted(maps.Values(gateLabels(app))) }
	if got, want := names(running.(*caddyhttp.App)), names(o.http); !slices.Equal(got, want) || len(want) != 2 {
		t.Errorf("the gates that run are %q, want %q", got, want)
	}
	c, err := newContract(o, func(*mappedRoute) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.fixtures()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Errorf("%d fixtures", len(all))
	}
	refused := 0
	for _, f := range all {
		t.Run(f.Route+" "+f.Case, func(t *testing.T) {
			text, err := json.Marshal(f.Claims)
			if err != nil {
				t.Fatal(err)
			}
			method := f.Method
			if f.Refused != "" {
				refused++
				method = http.MethodPost // of the one route that refuses
			}
			a := g.do(method, "/", "Authorization: Bearer "+g.Issuer.Sign(nil, issuertest.RawPayload(string(text))), "X-User-Forged: mallory", "X_User_ID: mallory")
			if f.Refused != "" {
				if a.code() != string(f.Refused) {
					t.Errorf("%d %s, want %s", a.Status, a.Body, f.Refused)
				}
				g.none()
				return
			}
			if a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			want := make(map[string]string)
			for _, h := range f.forwarded() {
				if h.Name != "Host" {
					want[h.Name] = h.Value
				}
			}
			got := make(map[string]string)
			for name, values := range g.one().Header {
				if o.app.managed().Match(name) {
					got[name] = strings.Join(values, " AND ")
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("the backend got\n%v\nthe fixture says\n%v", got, want)
			}
		})
	}
	if refused == 0 {
		t.Error("no fixture is refused")
	}
}
