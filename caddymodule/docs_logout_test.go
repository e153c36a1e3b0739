package caddymodule

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// TestLogoutWordsAreDocumented looks for each word of the grammar and each JSON
// field in docs/logout.md, and for each field's comment, which is the reference
// of the JSON interface.
func TestLogoutWordsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/logout.md")
	if err != nil {
		t.Fatal(err)
	}
	words := append(append(append([]string{}, logoutWords...), revokeWords...), logoutKinds...)
	for _, v := range []any{Logout{}, Revoke{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" {
				words = append(words, name)
			}
		}
	}
	for _, word := range words {
		if !strings.Contains(string(content), "`"+word+"`") && !strings.Contains(string(content), "`"+word+" ") {
			t.Errorf("%s is not in docs/logout.md", word)
		}
	}
	for _, name := range []string{"logout.go", "revoke.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if ok && field.Tag != nil && !strings.HasPrefix(field.Doc.Text(), field.Names[0].Name+" ") {
				t.Errorf("%s: the comment of %s does not begin with its name", name, field.Names[0].Name)
			}
			return true
		})
	}
}

// FuzzLogoutCaddyfile: whatever is accepted survives JSON unchanged, and every
// error names the file.
func FuzzLogoutCaddyfile(f *testing.F) {
	for _, lines := range []string{"", "session", "token {\nallow_expired 1h\n}", "{\nsecret 0123456789abcdef\n}", "{\nissuer a\nscope b c\n}", "{\nsecret_file a\n"} {
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		for _, c := range []struct{ in, out caddyfile.Unmarshaler }{
			{new(Logout), new(Logout)}, {new(Revoke), new(Revoke)},
		} {
			if err := c.in.UnmarshalCaddyfile(caddyfile.NewTestDispenser("directive " + lines)); err != nil {
				if !strings.Contains(err.Error(), "Testfile:") {
					t.Errorf("no file in %v", err)
				}
				continue
			}
			encoded, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(encoded), `\ufffd`) {
				continue // bytes that JSON cannot carry
			}
			if err := caddy.StrictUnmarshalJSON(encoded, c.out); err != nil {
				t.Fatalf("%s: %v", encoded, err)
			}
			if !reflect.DeepEqual(c.in, c.out) {
				t.Errorf("%s gives another configuration", encoded)
			}
		}
	})
}
