package ui_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// TestEveryWordHasAMeaning: the page explains whatever the gateway may say.
func TestEveryWordHasAMeaning(t *testing.T) {
	content, err := os.ReadFile("web/words.js")
	if err != nil {
		t.Fatal(err)
	}
	tables := make(map[string]string)
	for _, part := range strings.Split(string(content), "\nexport const ")[1:] {
		name, rest, _ := strings.Cut(part, " ")
		tables[name] = rest
	}
	has := func(table, word string) {
		if !strings.Contains(tables[table], "\n  "+word+": ") && !strings.Contains(tables[table], ", "+word+": ") {
			t.Errorf("%s of words.js lack %s", table, word)
		}
	}
	for _, reason := range token.Reasons() {
		has("reasons", reason.String())
	}
	for _, kind := range revocation.Kinds() {
		has("kinds", kind.String())
	}
	for _, kind := range jwks.ErrorKinds {
		has("faults", kind)
	}
	for _, result := range []string{"allow", "deny", "error", "anonymous", "public", "preflight", "observe"} {
		has("results", result)
	}
}
