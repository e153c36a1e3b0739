package caddymodule

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// otherProcess names, for TestAnotherProcess, what a test wants done in a
// process of its own: run or validate, and the file of the configuration.
const otherProcess = "JWTGATE_TEST_PROCESS"

// TestAnotherProcess is no test but the second process of those below: it runs
// a configuration until its standard input ends, or validates one.
func TestAnotherProcess(t *testing.T) {
	what, path, ok := strings.Cut(os.Getenv(otherProcess), " ")
	if !ok {
		t.Skip("only as a second process")
	}
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if what == "validate" {
		var parsed caddy.Config
		if err := json.Unmarshal(config, &parsed); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&parsed); err != nil {
			t.Fatal(err)
		}
		fmt.Println("valid")
		return
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	fmt.Println("running")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
}

// another prepares this test binary as another process.
func another(t *testing.T, what string, config []byte) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "caddy.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnotherProcess$", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), otherProcess+"="+what+" "+path)
	return cmd
}

// runElsewhere starts a gateway in another process and returns once it serves. kill
// ends it as a crash would.
func runElsewhere(t *testing.T, config []byte) (kill func()) {
	t.Helper()
	cmd := another(t, "run", config)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	})
	t.Cleanup(kill)
	said := bufio.NewReader(out)
	for {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("the other process ended: %v", err)
		}
		if line == "running\n" {
			return kill
		}
	}
}

// TestRestartWhileTheIssuerIsDown: a gateway that crashes and comes back while
// nobody can be asked serves with the last good keys, and past max_stale knows
// that it does not know. The issuer is back: so are both.
func TestRestartWhileTheIssuerIsDown(t *testing.T) {
	iss := issuertest.New(t, "ES256")
	iss.SetCacheControl("-")
	s := setup{Issuer: iss, Sites: `GATEWAY {
		jwtgate /long
		jwtgate /short {
			issuer ISSUER {
				audience api
				refresh 1s
				max_stale 1s
			}
		}
		reverse_proxy BACKEND
	}`}
	g := s.prepare(t)
	config := s.config(g)
	raw := iss.Sign(nil)

	kill := runElsewhere(t, config)
	g.passes(patience, "/long", raw)
	g.passes(patience, "/short", raw)
	eventually(t, "the keys are in storage", func() bool {
		files, err := filepath.Glob(filepath.Join(s.Storage, "jwtgate", "keys", "*.json"))
		return err == nil && len(files) > 0
	})
	iss.Down()
	eventually(t, "max_stale is over", func() bool { return g.ask("/short", raw).unavailable() })
	kill()
	g.client.CloseIdleConnections()
	if h := g.ask("/long", raw); h.err == nil {
		t.Fatalf("the first process still answers: %s", h)
	}

	runElsewhere(t, config)
	g.passes(patience, "/long", raw)
	for range 5 {
		if h := g.ask("/long", iss.Sign(nil)); h.Status != http.StatusOK {
			t.Errorf("with the last good keys: %s", h)
		}
		if h := g.ask("/short", raw); !h.unavailable() {
			t.Errorf("past max_stale: %s", h)
		}
		// A key that is not among them may be new.
		if h := g.ask("/long", iss.Sign(nil, issuertest.Kid("unknown"))); !h.unavailable() {
			t.Errorf("an unknown key: %s", h)
		}
		if h := g.ask("/long", iss.Sign(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))); h.Status == http.StatusOK {
			t.Errorf("a forged token: %s", h)
		}
	}
	g.logged("last good keys read from storage")
	g.logged("last good keys in storage have passed max_stale")
	iss.Up()
	g.passes(patience, "/short", raw)
	g.passes(patience, "/long", raw)
}

// TestValidateBesideARunningGateway: the process that validates does not want
// the journal, changes no file, and no request notices it; also when what it
// validates is wrong.
func TestValidateBesideARunningGateway(t *testing.T) {
	dir := t.TempDir()
	journal := filepath.Join(dir, "revocations.db")
	s := setup{Revocation: "journal " + journal, Sites: gateSite}
	g := s.start(t)
	keys := filepath.Join(s.Storage, "jwtgate", "keys")
	config := s.config(g)
	raw := g.Issuer.Sign(nil)
	g.passes(patience, "/", raw)
	eventually(t, "the keys are in storage", func() bool {
		files, err := filepath.Glob(filepath.Join(keys, "*.json"))
		return err == nil && len(files) == 1
	})

	var stop atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for !stop.Load() {
				if h := g.ask("/", raw); h.err != nil || h.Status != http.StatusOK {
					t.Errorf("beside the validation: %s", h)
					return
				}
				g.Backend.take()
				asked.Add(1)
			}
		})
	}
	before := snapshot(t, dir, keys)
	if len(before) < 2 {
		t.Errorf("neither journal nor keys: %v", before)
	}
	asks := g.Issuer.KeyRequests()

	out, err := another(t, "validate", config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "valid\n") {
		t.Errorf("validate in another process: %v\n%s", err, out)
	}
	s.Sites = strings.Replace(gateSite, "forward {", "audience of-nobody\nforward {", 1)
	if out, err := another(t, "validate", s.config(g)).CombinedOutput(); err == nil || !strings.Contains(string(out), "of-nobody") {
		t.Errorf("validate of a wrong configuration: %v\n%s", err, out)
	}
	elsewhere := g.Issuer.KeyRequests() - asks
	for range 3 {
		var parsed caddy.Config
		if err := json.Unmarshal(config, &parsed); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&parsed); err != nil {
			t.Errorf("validate in the same process: %v", err)
		}
	}
	if n := g.Issuer.KeyRequests() - asks - elsewhere; n != 0 {
		t.Errorf("validating in the same process fetched the keys %d times", n)
	}
	since := asked.Load()
	eventually(t, "50 more requests", func() bool { return asked.Load() >= since+50 })
	stop.Store(true)
	clients.Wait()
	t.Logf("%d requests beside 5 validations, which asked the issuer for keys %d times", asked.Load(), elsewhere)
	if after := snapshot(t, dir, keys); !slices.Equal(before, after) {
		t.Errorf("files before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	g.load(config) // and the gateway reloads as ever
	g.passes(5*time.Second, "/", raw)
}

// snapshot describes every file below the directories. Of stored keys it leaves
// out when they were fetched.
func snapshot(t *testing.T, dirs ...string) []string {
	t.Helper()
	var files []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			written := "whenever"
			var keys map[string]json.RawMessage
			if json.Unmarshal(data, &keys) == nil {
				data = keys["document"]
			} else if info, err := d.Info(); err == nil {
				written = info.ModTime().Format(time.RFC3339Nano)
			}
			files = append(files, fmt.Sprintf("%s %s %x", path, written, sha256.Sum256(data)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
