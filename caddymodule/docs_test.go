package caddymodule

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// fence is a fenced block, possibly indented, with its language and, for parts
// of a Caddyfile, where they belong: app, issuer or gate.
var fence = regexp.MustCompile("(?ms)^( *)```([a-z]+)(?: ([a-z]+))?\n(.*?)^ *```$")

// TestDocsAdapt adapts every Caddyfile in the documents, and loads every JSON
// configuration.
func TestDocsAdapt(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, deeper...)
	wrap := map[string]string{
		"":       "%s",
		"app":    "{\njwtgate {\n%s\n}\n}\n:8080 {\njwtgate\n}\n",
		"issuer": ":8080 {\njwtgate {\nissuer https://id.example.com {\n%s\n}\naudience a\n}\n}\n",
		"gate":   ":8080 {\njwtgate {\n%s\n}\n}\n",
	}
	blocks := 0
	for _, file := range append(files, "../README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatchIndex(string(content), -1) {
			part := func(i int) string {
				if m[2*i] < 0 {
					return ""
				}
				return string(content[m[2*i]:m[2*i+1]])
			}
			line := 1 + strings.Count(string(content[:m[0]]), "\n")
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), line), func(t *testing.T) {
				switch part(2) {
				case "caddyfile":
					blocks++
					around, ok := wrap[part(3)]
					if !ok {
						t.Fatalf("unknown kind of Caddyfile %q", part(3))
					}
					if _, err := adapt(fmt.Sprintf(around, part(4))); err != nil {
						t.Error(err)
					}
				case "json":
					if strings.Contains(part(4), `"apps"`) {
						if err := caddy.Validate(decode(t, part(4))); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	if blocks < 5 {
		t.Errorf("only %d Caddyfiles found", blocks)
	}
}

// TestExamplesAdapt adapts the Caddyfiles that people copy.
func TestExamplesAdapt(t *testing.T) {
	files, err := filepath.Glob("../examples/*/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../Caddyfile.example") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := adapt(string(content)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestEveryWordIsDocumented looks for each word of the grammar and each JSON
// field in docs/configure.md.
func TestEveryWordIsDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/configure.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := func(word string) bool {
		return regexp.MustCompile("[`\"." + `\[ ]` + regexp.QuoteMeta(word) + "[`\" \\[]").Match(content)
	}
	for _, word := range append(append([]string{"revocation", "cache"}, issuerWords...), gateWords...) {
		if !documented(word) {
			t.Errorf("the word %s is not in docs/configure.md", word)
		}
	}
	for _, v := range []any{App{}, Issuer{}, Secret{}, Requirement{}, ForwardedClaim{}, TokenSource{}, Revocation{}, Redis{}, Handler{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name != "" && !documented(name) {
				t.Errorf("the JSON field %s of %s is not in docs/configure.md", name, typ.Name())
			}
		}
	}
}

// TestEveryFieldHasADocComment: the comments are the reference of the JSON
// interface.
func TestEveryFieldHasADocComment(t *testing.T) {
	for _, name := range []string{"app.go", "handler.go", "config.go", "config_revocation.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if ok && field.Tag != nil && strings.Contains(field.Tag.Value, "json:") {
				if first := field.Names[0].Name; !strings.HasPrefix(field.Doc.Text(), first+" ") {
					t.Errorf("%s: the comment of %s does not begin with its name", name, first)
				}
			}
			return true
		})
	}
}

// TestDirectiveOrder: ours in a row, directly before basicauth, which is before
// basic_auth.
func TestDirectiveOrder(t *testing.T) {
	names := make([]string, len(directives))
	for i, d := range directives {
		names[i] = d.name
	}
	if names[len(names)-1] != "jwtgate" {
		t.Errorf("the gate is not the last of %q", names)
	}
	// An order line relative to ours shows that they are in the order at all.
	if _, err := adapt("{\norder respond before jwtgate\n}\n:8080 {\nrespond ok\n}\n"); err != nil {
		t.Error(err)
	}
}
