package jwtgate_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/jwtgate/jwtgate/"

// mayImport is the one way that imports run: each package with the packages of
// this module that it may use.
var mayImport = map[string][]string{
	"token":      {},
	"jwks":       {"token"},
	"policy":     {"token"},
	"revocation": {"token"},
	"gate":       {"token", "jwks", "policy", "revocation"},
}

// onlyIn says which packages alone may import a dependency.
var onlyIn = map[string][]string{
	"github.com/lestrrat-go/jwx":          {"jwks"},
	"github.com/dgraph-io/ristretto":      {"gate"},
	"go.etcd.io/bbolt":                    {"revocation"},
	"github.com/redis/go-redis":           {"revocation"},
	"cel.dev/cel-go":                      {"policy"},
	"github.com/caddyserver/caddy":        {"caddymodule", "cmd", "internal", "bench"},
	"go.uber.org/zap":                     {"caddymodule", "cmd", "internal"},
	"github.com/spf13/cobra":              {"caddymodule", "cmd", "internal"},
	"github.com/prometheus/client_golang": {"caddymodule"},
}

// standardOnly may import the standard library alone: what serves the page must
// not reach Caddy but through the admin endpoint.
const standardOnly = "caddymodule/ui/"

func TestImportsRunOneWay(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		checkImports(t, filepath.ToSlash(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("looked at %d files; is this the top of the module?", files)
	}
}

func checkImports(t *testing.T, path string) {
	t.Helper()
	top, _, _ := strings.Cut(path, "/")
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		if first, _, _ := strings.Cut(name, "/"); strings.HasPrefix(path, standardOnly) && strings.Contains(first, ".") {
			t.Errorf("%s imports %s; %s knows only the standard library", path, name, standardOnly)
		}
		allowed, inner := mayImport[top]
		if own, ok := strings.CutPrefix(name, modulePath); ok && inner && !slices.Contains(allowed, own) {
			t.Errorf("%s imports %s; %s may import only %v", path, name, top, allowed)
		}
		if inner && name == "net/http" && top != "jwks" {
			t.Errorf("%s imports net/http; only jwks is a client, only caddymodule serves", path)
		}
		for dep, users := range onlyIn {
			if strings.HasPrefix(name, dep) && !slices.Contains(users, top) {
				t.Errorf("%s imports %s, which belongs to %v", path, name, users)
			}
		}
	}
}
