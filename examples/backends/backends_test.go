package backends

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// api is one of the programs of this folder.
type api struct {
	name string
	// start runs it on an address that it is told. Certificates are in certs; if
	// that is empty it is to ask for the secret.
	start func(t *testing.T, addr, certs string) *output
	noTLS bool
}

var apis = []api{
	{name: "go", start: startGo},
	{name: "python", start: startPython},
	{name: "node", start: startNode},
	{name: "php", start: startPHP, noTLS: true},
}

// environment is what an API that is programmed is told.
func environment(addr, certs string) []string {
	if certs != "" {
		return []string{"LISTEN=" + addr, "CERTS=" + certs}
	}
	return []string{"LISTEN=" + addr, "GATEWAY_SECRET=" + secret}
}

func startGo(t *testing.T, addr, certs string) *output {
	program := filepath.Join(t.TempDir(), "api")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return start(t, ".", environment(addr, certs), program)
}

func startPython(t *testing.T, addr, certs string) *output {
	return start(t, ".", environment(addr, certs), require(t, "python3", "python3"), "-u", "python/api.py")
}

func startNode(t *testing.T, addr, certs string) *output {
	return start(t, ".", environment(addr, certs), require(t, "node", "nodejs"), "node/api.mjs")
}

func startPHP(t *testing.T, addr, certs string) *output {
	return start(t, ".", environment(addr, certs), require(t, "php", "php-cli"), "-S", addr, "php/api.php")
}

// startNginx runs a copy of the folder, as its first lines say.
func startNginx(t *testing.T, addr, config, certs string) *output {
	program := require(t, "nginx", "nginx-light")
	site := t.TempDir()
	// Started by root, its workers are somebody else and have to get in.
	if err := os.Chmod(filepath.Dir(site), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(site, os.DirFS("nginx")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(site, config)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const listen = "listen 127.0.0.1:9000"
	if strings.Count(string(text), listen) != 1 {
		t.Fatalf("%s does not listen on loopback alone", config)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), listen, "listen "+addr, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if certs != "" {
		err = os.CopyFS(filepath.Join(site, "certs"), os.DirFS(certs))
	} else {
		err = os.WriteFile(filepath.Join(site, "gateway-secret.map"), []byte(`"~^`+secret+`$" 1;`+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return start(t, site, nil, program, "-p", site, "-e", "stderr", "-c", config)
}

func readAnswer(conn net.Conn) (int, string, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// everything are claims of each kind that the Caddyfile forwards, with what is
// lost on the way to a careless reader.
var everything = map[string]any{
	"sub":            "auth0|zoë+1@example.com",
	"name":           " Zoë 100% + Ångström,\r\nX-User-Roles: admin",
	"account_number": json.RawMessage("9007199254740993"),
	"email_verified": false,
	"realm_access":   map[string]any{"roles": []string{"reader", "a,b", "50% off", "größe+1"}},
	"groups":         []any{"/eng", "Zoë", 7, true, nil},
	"profile":        "Zoë ☂\nlikes + and %",
	"address":        map[string]any{"locality": "Köln + Łódź 日本"},
}

// believed is what the API has to say about them.
const believed = `{"id": "auth0|zoë+1@example.com", "name": " Zoë 100% + Ångström,\r\nX-User-Roles: admin", "account": "9007199254740993", "verified": false,
	"roles": ["reader", "a,b", "50% off", "größe+1"], "groups": ["/eng", "Zoë", 7, true, null], "profile": "Zoë ☂\nlikes + and %",
	"city": "Köln + Łódź 日本"}`

// nothingBut is a user of whom only the id is known.
func nothingBut(id string) string {
	return `{"id": ` + id + `, "name": null, "account": null, "verified": null, "roles": null, "groups": null, "profile": null, "city": null}`
}

// forged are the spellings in which a client may try.
func forged() []string {
	lines := []string{"X-Gateway-Secret: guess", "Connection: X-User-ID, X-User-Name, X-Gateway-Secret"}
	for _, name := range []string{"ID", "Name", "Account", "Verified", "Roles", "Groups", "Profile", "City", "Anything"} {
		for _, prefix := range []string{"X-User-", "x-user-", "X_User_", "X-User_", "X.User.", "X~User!"} {
			lines = append(lines, prefix+name+": mallory")
		}
	}
	return lines
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Errorf("%v in %q", err, got)
		return
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("it believes\n%v, want\n%v", g, w)
	}
}

// TestWhatBackendsBelieve runs each API behind the real gateway.
func TestWhatBackendsBelieve(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Caddy and the APIs")
	}
	for _, a := range apis {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			addr := freeAddress(t)
			out := a.start(t, addr, "")
			listens(t, addr, out)
			g := startGateway(t, "Caddyfile", addr)
			bearer := func(claims map[string]any) string { return "Authorization: Bearer " + g.issuer.Sign(claims) }
			for _, tt := range []struct {
				name, path string
				lines      []string
				want       string
			}{
				{"every claim", "/orders", []string{bearer(everything)}, believed},
				{"forged beside every claim", "/orders", append(forged(), bearer(everything)), believed},
				{"no claim but sub", "/orders", append(forged(), bearer(nil)), nothingBut(`"alice"`)},
				{"nobody", "/hello", forged(), nothingBut("null")},
				{"empty claims", "/orders", append(forged(), bearer(map[string]any{"name": "", "groups": []int{}, "profile": ""})), nothingBut(`"alice"`)},
			} {
				t.Run(tt.name, func(t *testing.T) {
					status, body := g.get(tt.path, tt.lines...)
					if status != http.StatusOK {
						t.Fatalf("%d %s", status, body)
					}
					compare(t, body, tt.want)
				})
			}
			if status, body := g.get("/orders", forged()...); status != http.StatusUnauthorized || !strings.Contains(body, `"token_missing"`) {
				t.Errorf("without a token: %d %s", status, body)
			}
			checkDirect(t, addr)
			if log := g.log.String(); strings.Contains(log, secret) || !strings.Contains(log, `"X-User-Id"`) {
				t.Errorf("the gateway's log has the secret, or does not show what goes to the API:\n%s", log)
			}
		})
	}
}

// TestNginxServesWhomTheGatewayLetIn is the same for static files: nginx shows
// headers as they came.
func TestNginxServesWhomTheGatewayLetIn(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Caddy and nginx")
	}
	addr := freeAddress(t)
	out := startNginx(t, addr, "nginx.conf", "")
	listens(t, addr, out)
	g := startGateway(t, "Caddyfile", addr)
	claims := map[string]any{"sub": "<b>zoë", "name": "Zoë", "account_number": 7, "realm_access": everything["realm_access"], "address": everything["address"]}
	status, body := g.get("/", append(forged(), "Authorization: Bearer "+g.issuer.Sign(claims))...)
	for _, want := range []string{"<dd>&lt;b&gt;zo%C3%AB</dd>", "<dd>Zo%C3%AB</dd>", "<dd>7</dd>", "<dd>reader,a%2Cb,50%25 off,gr%C3%B6%C3%9Fe+1</dd>", "<dd>Köln + Łódź 日本</dd>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	if status != http.StatusOK || strings.Contains(body, "mallory") {
		t.Errorf("%d %s", status, body)
	}
	status, body = g.get("/", append(forged(), "Authorization: Bearer "+g.issuer.Sign(nil))...)
	if status != http.StatusOK || !strings.Contains(body, "<dt>name</dt><dd>nobody</dd>") || strings.Contains(body, "mallory") {
		t.Errorf("no claim but sub: %d %s", status, body)
	}
	checkDirect(t, addr)
	if status, _, err := send(addr, nil, "/", "X-Gateway-Secret: "+strings.ToLower(secret)); err != nil || status != http.StatusForbidden {
		t.Errorf("the secret in small letters: %d, %v", status, err)
	}
}

// checkDirect goes round the gateway.
func checkDirect(t *testing.T, addr string) {
	t.Helper()
	for name, lines := range map[string][]string{
		"nothing":            {"X-User-ID: mallory"},
		"a wrong secret":     {"X-User-ID: mallory", "X-Gateway-Secret: guess"},
		"no secret at all":   {"X-User-ID: mallory", "X-Gateway-Secret:"},
		"half of the secret": {"X-User-ID: mallory", "X-Gateway-Secret: " + secret[:16]},
		"more than it":       {"X-User-ID: mallory", "X-Gateway-Secret: " + secret + "0"},
		"bytes beyond ASCII": {"X-User-ID: mallory", "X-Gateway-Secret: \xe4\xf6"},
	} {
		status, body, err := send(addr, nil, "/orders", lines...)
		if err != nil || status != http.StatusForbidden || strings.Contains(body, "mallory") {
			t.Errorf("past the gateway with %s: %d %q, %v", name, status, body, err)
		}
	}
	// It is the secret alone that makes the difference.
	if status, body, err := send(addr, nil, "/", "X-Gateway-Secret: "+secret); err != nil || status != http.StatusOK {
		t.Errorf("with the secret: %d %q, %v", status, body, err)
	}
	_, port, _ := net.SplitHostPort(addr)
	others, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		if ip, ok := other.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			if conn, err := net.Dial("tcp", net.JoinHostPort(ip.IP.String(), port)); err == nil {
				conn.Close()
				t.Errorf("it listens on %s, too", ip.IP)
			}
		}
	}
}
