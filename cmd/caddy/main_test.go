package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runMain makes the test binary be the command instead.
const runMain = "JWTGATE_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command is `caddy args...` with a home directory of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = []string{runMain + "=1", "HOME=" + home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestExitCodesReachTheShell(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"keygen", []string{"token", "keygen", "--out", key}, 0, key + ": private key for ES256, keep it to yourself\n"},
		{"refused", []string{"token", "keygen", "--out", key}, 1, "caddy jwtgate token keygen: " + key + " exists already; --force overwrites it\n"},
		{"token", []string{"token", "--key", key, "--issuer", "i"}, 0, ""},
		{"usage", []string{"token", "--key", key}, 2, "caddy jwtgate token: --issuer is missing; --omit iss makes a token without one\n"},
		{"flag", []string{"token", "--what"}, 2, "caddy jwtgate token: unknown flag: --what; see caddy jwtgate token --help\n"},
		{"argument", []string{"demo", "x"}, 2, "caddy jwtgate demo: caddy jwtgate demo takes no argument, got \"x\"\n"},
		{"unknown command", []string{"what"}, 2, "caddy jwtgate: unknown command \"what\" for \"caddy jwtgate\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, stderr, code := run(t, append([]string{"jwtgate"}, tt.args...)...)
			if code != tt.code || stderr != tt.stderr {
				t.Errorf("exit %d, want %d; stderr %q, want %q", code, tt.code, stderr, tt.stderr)
			}
		})
	}
	stdout, _, code := run(t, "jwtgate")
	if code != 0 || !strings.Contains(stdout, "demo ") || !strings.Contains(stdout, "token ") {
		t.Errorf("help: exit %d, %s", code, stdout)
	}
}

func TestExampleCaddyfileIsFormattedAndValid(t *testing.T) {
	example := filepath.Join("..", "..", "Caddyfile.example")
	if out, stderr, code := run(t, "fmt", "--diff", example); code != 0 {
		t.Errorf("fmt: exit %d %s%s", code, out, stderr)
	}
	stdout, stderr, code := run(t, "adapt", "--config", example, "--adapter", "caddyfile")
	if code != 0 || stderr != "" {
		t.Fatalf("adapt: exit %d, %s", code, stderr)
	}
	if !json.Valid([]byte(stdout)) || !strings.Contains(stdout, `"127.0.0.1:8080"`) {
		t.Errorf("adapt: the default is not to listen on loopback: %s", stdout)
	}
	if _, stderr, code := run(t, "validate", "--config", example, "--adapter", "caddyfile"); code != 0 {
		t.Errorf("validate: exit %d, %s", code, stderr)
	}
}

func TestExampleCaddyfileTakesADeployment(t *testing.T) {
	cmd := command(t, "adapt", "--config", filepath.Join("..", "..", "Caddyfile.example"), "--adapter", "caddyfile")
	cmd.Env = append(cmd.Env,
		"JWTGATE_ISSUER=https://id.example.com", "JWTGATE_AUDIENCE=orders-api mobile-api", "JWTGATE_BACKEND=10.0.0.7:3000",
		"JWTGATE_SITE=api.example.com", "JWTGATE_BIND=0.0.0.0 [::]", "JWTGATE_ADMIN=unix//run/caddy-admin.sock")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"https://id.example.com"`, `"orders-api"`, `"mobile-api"`, `"10.0.0.7:3000"`, `"api.example.com"`, `"0.0.0.0:443"`, `"[::]:443"`, `"unix//run/caddy-admin.sock"`} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
}
