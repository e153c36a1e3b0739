package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/signing"
)

var (
	migrated  = regexp.MustCompile("(?s)\nAfter:\n\n```caddyfile\n(.*?)```")
	inTables  = regexp.MustCompile("``require expr `([^`]+)` ``|`require expr` with `([^`]*[=(][^`]*)`")
	otherWord = regexp.MustCompile("`((?:require|token_from|forward|strip|issuer|audience) [^`]*)`")
)

// TestMigrationPagesLoad loads what each page says is the same here, compiles the
// expressions of its table, and adapts the directives in it.
func TestMigrationPagesLoad(t *testing.T) {
	t.Setenv("JWT_SHARED_KEY", strings.Repeat("k", 64))
	key, err := signing.Generate("RS256")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.MarshalPublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/migrate/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%v, %v", pages, err)
	}
	index, err := os.ReadFile("../docs/migrate/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if filepath.Base(page) == "README.md" {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(index), "("+filepath.Base(page)+")") {
				t.Error("the index has no link to it")
			}
			after := migrated.FindSubmatch(text)
			if after == nil || !strings.Contains(string(text), "\nBefore:\n") {
				t.Fatal("no example before and after")
			}
			loads(t, strings.ReplaceAll(string(after[1]), "/etc/caddy/id.pem", file))
			for _, m := range inTables.FindAllSubmatch(text, -1) {
				loads(t, ":8080 {\njwtgate {\nissuer https://id.example.com\naudience a\nrequire expr `"+string(m[1])+string(m[2])+"`\n}\n}\n")
			}
			for _, m := range otherWord.FindAllSubmatch(text, -1) {
				line := strings.ReplaceAll(strings.ReplaceAll(string(m[1]), "{ ", "{\n"), " }", "\n}")
				if kind, rest, found := strings.Cut(line, " "); kind == "require" && (!strings.Contains(rest, " ") || strings.HasPrefix(rest, "expr ")) || !found {
					continue // only the words, or an expression, which has been loaded above
				}
				if _, err := adapt(":8080 {\njwtgate {\n" + line + "\n}\n}\n"); err != nil {
					t.Errorf("%s: %v", m[1], err)
				}
			}
		})
	}
}

func loads(t *testing.T, caddyfile string) {
	t.Helper()
	adapted, err := adapt(caddyfile)
	if err != nil {
		t.Errorf("%v in\n%s", err, caddyfile)
		return
	}
	if err := caddy.Validate(decode(t, adapted)); err != nil {
		t.Errorf("%v in\n%s", err, caddyfile)
	}
}
