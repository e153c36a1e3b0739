package caddymodule

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// writeFile writes text into a directory of the test's own.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadOffline(t *testing.T) {
	iss := issuertest.New(t)
	data := os.Getenv("XDG_DATA_HOME")
	before := filesBelow(t, data)
	o, err := loadOffline(t.Context(), writeFile(t, "Caddyfile", `{
	admin localhost:1
	log default {
		output file /nowhere/at/all.log
	}
}
https://localhost:1 {
	tls internal
	log {
		output file /nowhere/at/all.log
	}
	acme_server
	tracing
	jwtgate {
		issuer `+iss.URL()+`
		audience a
		forward {
			X-User sub
		}
	}
	reverse_proxy localhost:2 {
		health_uri /up
	}
}
`), "")
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	if o.app == nil || o.http == nil || !o.caddyfile {
		t.Errorf("loaded %+v", o)
	}
	if managed := o.app.managed(); managed == nil || !managed.Match("x_user") {
		t.Error("the gate did not register its headers")
	}
	issuers := o.app.state.trusts.list()
	if len(issuers) != 1 {
		t.Fatalf("%d issuers", len(issuers))
	}
	if got := iss.DiscoveryRequests(); got != 0 {
		t.Errorf("%d requests before anybody asked for keys", got)
	}
	if err := issuers[0].source.RefreshNow(t.Context()); err != nil {
		t.Error(err)
	}
	if keys := issuers[0].source.Status().Keys; len(keys) == 0 {
		t.Error("no keys")
	}
	o.close()
	o.close()
	if after := filesBelow(t, data); after != before {
		t.Errorf("files were written:\n%s\nbefore:\n%s", after, before)
	}
	if err := issuers[0].source.RefreshNow(t.Context()); err == nil {
		t.Error("the source of keys is still open")
	}
}

// filesBelow lists the files of a directory.
func filesBelow(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func TestLoadOfflineWithout(t *testing.T) {
	for _, test := range []struct{ name, file, text string }{
		{"nothing at all", "caddy.json", `{}`},
		{"http", "caddy.json", `{"apps":{}}`},
		{"gates", "Caddyfile", ":80 {\n\trespond hello\n}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := loadOffline(t.Context(), writeFile(t, test.file, test.text), "")
			if err != nil {
				t.Fatal(err)
			}
			o.close()
			if o.app == nil {
				t.Error("no app")
			}
		})
	}
}

func TestLoadOfflineErrors(t *testing.T) {
	for _, test := range []struct{ name, file, text, want string }{
		{"a word that is none", "Caddyfile", ":80 {\n\tjwtgate {\n\t\tisuer x\n\t}\n}\n", "Caddyfile:3"},
		{"what provisioning refuses", "Caddyfile", ":80 {\n\tjwtgate {\n\t\tissuer https://id.example\n\t}\n}\n", "no audience"},
		{"broken JSON", "caddy.json", "{\n\"apps\": {,}}\n", "caddy.json:2: "},
		{"JSON of another kind", "caddy.json", "[]\n", "caddy.json:1: "},
		{"an unknown module", "caddy.json", `{"apps":{"http":{"servers":{"a":{"routes":[{"handle":[{"handler":"nonesuch"}]}]}}}}}`, "nonesuch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := loadOffline(t.Context(), writeFile(t, test.file, test.text), "")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
	if _, err := loadOffline(t.Context(), filepath.Join(t.TempDir(), "none"), ""); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
}

// TestLoadOfflineLeavesNothing: what was loaded is gone after close.
func TestLoadOfflineLeavesNothing(t *testing.T) {
	iss := issuertest.New(t)
	file := writeFile(t, "Caddyfile", "localhost {\n\tjwtgate {\n\t\tissuer "+iss.URL()+"\n\t\taudience a\n\t}\n\treverse_proxy localhost:3000\n}\n")
	load := func() {
		o, err := loadOffline(t.Context(), file, "")
		if err != nil {
			t.Fatal(err)
		}
		o.close()
	}
	load() // what Caddy starts once and keeps
	before := goruntime.NumGoroutine()
	for range 20 {
		load()
	}
	for end := time.Now().Add(60 * time.Second); goruntime.NumGoroutine() > before+3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", goruntime.NumGoroutine(), before)
		}
	}
}
