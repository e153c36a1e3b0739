package issuer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

func TestRotationKeepsTheOldKeyForTheGrace(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	i := newIssuer(t, func(c *Config) { c.Now = func() time.Time { return now }; c.Grace = time.Minute })
	old, _ := i.Token(Request{Username: "alice"})
	if w := do(i, "POST", RotatePath, ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	fresh, _ := i.Token(Request{Username: "alice"})
	oldHeader, _ := verified(t, i, old)
	newHeader, _ := verified(t, i, fresh)
	if oldHeader["kid"] == newHeader["kid"] {
		t.Error("the rotation changed nothing")
	}
	now = now.Add(time.Minute + time.Second)
	if set, err := jwk.Parse(i.JWKS()); err != nil || set.Len() != 1 {
		t.Errorf("after the grace: %s", i.JWKS())
	}
}

func TestWithdrawnKeyLeavesAtOnce(t *testing.T) {
	i := newIssuer(t, nil)
	before, _ := i.Key("")
	if w := do(i, "POST", RotatePath, "alg=ES256&withdraw=true"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(string(i.JWKS()), before.ID()) {
		t.Error("the old key is still published")
	}
	current, _ := i.Key("")
	if found, err := i.Withdraw(current.ID()); !found || err != nil {
		t.Errorf("withdraw: %v %v", found, err)
	}
	if found, _ := i.Withdraw(current.ID()); found {
		t.Error("withdrawn twice")
	}
	if w := do(i, "POST", RotatePath, "withdraw=perhaps"); w.Code != 400 {
		t.Errorf("withdraw=perhaps: %d", w.Code)
	}
	if w := do(i, "GET", RotatePath, ""); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestKeysPersist(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	withDir := func(c *Config) { c.Dir = dir; c.Algorithms = []string{"ES256", "EdDSA"} }
	first := newIssuer(t, withDir)
	raw, err := first.Token(Request{Username: "alice", Algorithm: "EdDSA"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Rotate("EdDSA", false); err != nil {
		t.Fatal(err)
	}
	second := newIssuer(t, withDir)
	if string(first.JWKS()) != string(second.JWKS()) {
		t.Errorf("key sets differ:\n%s%s", first.JWKS(), second.JWKS())
	}
	verified(t, second, raw)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 { // index, ES256, EdDSA twice
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestDamagedKeyDirectoryIsAnError(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"index": func(dir string) error { return os.WriteFile(filepath.Join(dir, indexFile), []byte("{"), 0o600) },
		"missing key": func(dir string) error {
			found, err := filepath.Glob(filepath.Join(dir, "*.pem"))
			if err != nil {
				return err
			}
			return os.Remove(found[0])
		},
		"outside": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, indexFile), []byte(`[{"kid":"x","alg":"ES256","file":"../x.pem"}]`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := Config{URL: base, Dir: dir, Algorithms: []string{"ES256"}}
			if _, err := New(cfg); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "issuer keys") {
				t.Errorf("got %v", err)
			}
		})
	}
}
