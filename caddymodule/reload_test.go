package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
)

// brokenApp stands for any other app that makes a configuration fail after
// ours is provisioned.
type brokenApp struct {
	FailProvision bool `json:"fail_provision,omitempty"`
}

func init() { caddy.RegisterModule(brokenApp{}) }

func (brokenApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "jwtgate_test_broken", New: func() caddy.Module { return new(brokenApp) }}
}

func (b *brokenApp) Provision(ctx caddy.Context) error {
	if !b.FailProvision {
		return nil
	}
	// The gates come first, so that the failure is a late one.
	if _, err := ctx.App("http"); err != nil {
		return err
	}
	return errors.New("broken on purpose")
}
func (b *brokenApp) Start() error { return errors.New("broken on purpose") }
func (b *brokenApp) Stop() error  { return nil }

// running prepares to load configurations for real, and stops at the end.
func running(t *testing.T) (reload func(apps string) error) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	root, err := json.Marshal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return func(apps string) error {
		return caddy.Load(fmt.Appendf(nil, `{
			"admin": {"disabled": true, "config": {"persist": false}},
			"logging": {"logs": {"default": {"writer": {"output": "discard"}}}},
			"storage": {"module": "file_system", "root": %s},
			"apps": {%s}
		}`, root, apps), true)
	}
}

// httpApp is an http app with one route for each list of handlers.
func httpApp(routes ...string) string {
	for i, handlers := range routes {
		routes[i] = `{"handle": [` + handlers + `]}`
	}
	return `"http": {"servers": {"s": {"listen": ["127.0.0.1:0"], "automatic_https": {"disable": true}, "routes": [` +
		strings.Join(routes, ",") + `]}}}`
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// liveHeap returns the bytes that are still in use.
func liveHeap() uint64 {
	goruntime.GC()
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func poolSizes() (keys, caches, references int) {
	keyPool.Range(func(key, _ any) bool {
		keys++
		n, _ := keyPool.References(key)
		references += n
		return true
	})
	cachePool.Range(func(any, any) bool { caches++; return true })
	return keys, caches, references
}

// TestTrapGoroutineLeakedPerReload reloads, every second time with a
// configuration that fails at another stage: nothing grows, nothing is fetched
// again, and in the end everything is released.
func TestTrapGoroutineLeakedPerReload(t *testing.T) {
	iss := issuertest.New(t)
	reload := running(t)
	app := fmt.Sprintf(`"jwtgate": {"issuers": [{"issuer": %q, "audience": ["a"]}]}`, iss.URL())
	const gate = `{"handler": "jwtgate", "require": [{"kind": "claim", "claim": "a"}], "forward": [{"header": "X-A", "claim": "sub"}]}`
	own := fmt.Sprintf(`{"handler": "jwtgate", "issuers": [{"issuer": %q, "audience": ["a"], "skew": 0}]}`, iss.URL())
	good := app + "," + httpApp(gate, own)
	broken := []string{
		good + `,"jwtgate_test_broken": {}`,
		good + `,"jwtgate_test_broken": {"fail_provision": true}`,
		app + "," + httpApp(gate, own, `{"handler": "no_such_handler"}`),
		app + "," + httpApp(gate, `{"handler": "jwtgate", "audience": ["not of the issuer"]}`),
		app + "," + httpApp(gate, `{"handler": "jwtgate", "use_issuers": ["no URL"], "audience": ["a"]}`),
		fmt.Sprintf(`"jwtgate": {"issuers": [{"issuer": %q, "audience": ["a"]}, {"issuer": "x", "pem_file": "testdata/none.pem"}]},`, iss.URL()) + httpApp(gate),
	}
	if err := reload(good); err != nil {
		t.Fatal(err)
	}
	eventually(t, "keys fetched", func() bool { return iss.KeyRequests() > 0 })
	var goroutines int
	var heap uint64
	const rounds, warm = 60, 12
	for i := range rounds {
		if err := reload(good); err != nil {
			t.Fatal(err)
		}
		if err := reload(broken[i%len(broken)]); err == nil {
			t.Fatalf("broken configuration %d loads", i%len(broken))
		}
		if i == warm {
			goroutines, heap = goruntime.NumGoroutine(), liveHeap()
		}
	}
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= goroutines+3 })
	eventually(t, "memory as before", func() bool { return liveHeap() <= heap+1<<20 })
	if keys, caches, references := poolSizes(); keys != 1 || caches != 1 || references != 2 {
		t.Errorf("%d sources of keys with %d references and %d caches, want 1, 2, 1", keys, references, caches)
	}
	keyPool.Range(func(_, value any) bool {
		l := value.(*pooledKeys).loan
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.from) != 2 {
			t.Errorf("the source of keys borrows from %d modules, want 2", len(l.from))
		}
		return true
	})
	if n := iss.KeyRequests(); n != 1 {
		t.Errorf("%d fetches of the keys over %d reloads, want 1", n, 2*rounds)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if keys, caches, _ := poolSizes(); keys != 0 || caches != 0 {
		t.Errorf("%d sources of keys and %d caches remain after the end", keys, caches)
	}
}

// TestLoadDoesNotWaitForTheIssuer loads a gate whose issuer never answers, and
// one whose issuer cannot be reached.
func TestLoadDoesNotWaitForTheIssuer(t *testing.T) {
	iss := issuertest.New(t)
	iss.Fail(issuertest.Hang)
	reload := running(t)
	begin := time.Now()
	err := reload(httpApp(
		fmt.Sprintf(`{"handler": "jwtgate", "use_issuers": [%q], "audience": ["a"]}`, iss.URL()),
		`{"handler": "jwtgate", "use_issuers": ["https://127.0.0.1:1"], "audience": ["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took >= jwks.DefaultTimeout {
		t.Errorf("load and stop took %s", took)
	}
}

// TestCleanup is idempotent, and works before and after a half-done Provision.
func TestCleanup(t *testing.T) {
	for name, cleaner := range map[string]caddy.CleanerUpper{"app": new(App), "gate": new(Handler)} {
		if err := cleaner.Cleanup(); err != nil {
			t.Errorf("%s, never provisioned: %v", name, err)
		}
	}
	a, gates := load(t, site("issuer a {", "pem_file testdata/key.pem", "audience x", "}"))
	for range 3 {
		if err := gates[0].Cleanup(); err != nil {
			t.Error(err)
		}
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if keys, caches, _ := poolSizes(); keys != 0 || caches != 0 {
		t.Errorf("%d sources of keys and %d caches remain", keys, caches)
	}
}

// TestKeysAnswerAfterCleanup: requests outlive Cleanup on a reload.
func TestKeysAnswerAfterCleanup(t *testing.T) {
	a, gates := load(t, "{\njwtgate {\nissuer a {\npem_file testdata/key.pem\naudience x\n}\n}\n}\n:8080 {\njwtgate\n}\n")
	source := a.state.issuers[0].source
	if err := errors.Join(gates[0].Cleanup(), a.Cleanup()); err != nil {
		t.Fatal(err)
	}
	if set, reason := source.Keys(time.Now()); set == nil {
		t.Errorf("a closed source has no keys: %s", reason)
	}
	gates[0].run.metrics.decision("allow", 0, "a")
	if a.managed().Match("X-A") {
		t.Error("X-A is managed")
	}
}
