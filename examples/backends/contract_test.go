package backends

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// caddyProgram is a program that is the gateway.
func caddyProgram(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "caddy")
	if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\n%s=1 exec %q \"$@\"\n", runMain, exe), 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestContractIsReplayed runs replay.sh against each API, as its team would in
// CI, without a gateway.
func TestContractIsReplayed(t *testing.T) {
	require(t, "curl", "curl")
	caddy := caddyProgram(t)
	starts := map[string]func(t *testing.T, addr string) *output{
		"nginx": func(t *testing.T, addr string) *output { return startNginx(t, addr, "nginx.conf", "") },
	}
	for _, a := range apis {
		starts[a.name] = func(t *testing.T, addr string) *output { return a.start(t, addr, "") }
	}
	for name, run := range starts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := freeAddress(t)
			listens(t, addr, run(t, addr))
			replay := func(secret string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "sh", "replay.sh", "Caddyfile", "http://"+addr)
				cmd.Env = append(os.Environ(), "CADDY="+caddy, "GATEWAY_SECRET="+secret)
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			out, err := replay(secret)
			// nginx has a page at / and none at /hello.
			if name == "nginx" {
				out, err = strings.ReplaceAll(out, ": 404", ": 200"), nil
			}
			if n := strings.Count(out, ": 200\n"); err != nil || n < 10 || strings.Count(out, ": 4")+strings.Count(out, ": 5") > 0 {
				t.Errorf("%v\n%s", err, out)
			}
			if out, err := replay("guess"); err == nil || strings.Contains(out, ": 200") {
				t.Errorf("without the secret: %v\n%s", err, out)
			}
		})
	}
}

// TestContractIsBelieved runs the Python API's own tests on what the gateway may
// send, and on the same with a header that the API does not know.
func TestContractIsBelieved(t *testing.T) {
	python := require(t, "python3", "python3")
	unittest := func(config string) (string, error) {
		file := filepath.Join(t.TempDir(), "fixture.json")
		fixture, err := exec.CommandContext(t.Context(), caddyProgram(t), "jwtgate", "contract", "--config", config, "--fixture", "--format", "json").Output()
		if err != nil {
			t.Fatalf("%v: %s", err, fixture)
		}
		if err := os.WriteFile(file, fixture, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, "-m", "unittest", "python/test_contract.py")
		cmd.Env = append(os.Environ(), "FIXTURE="+file, "PYTHONDONTWRITEBYTECODE=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := unittest("Caddyfile"); err != nil || !strings.Contains(out, "OK") {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a header that the API does not know": {"X-User-Name name\n", "X-User-Name name\nX-User-Tenant tenant\n"},
		"another form":                        {"X-User-Name name\n", "X-User-Name name base64url\n"},
		"another separator":                   {"join ,", "join ;"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(changed, []byte(strings.Replace(string(text), change[0], change[1], 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := unittest(changed); err == nil {
				t.Errorf("the API's tests do not notice:\n%s", out)
			}
		})
	}
}
