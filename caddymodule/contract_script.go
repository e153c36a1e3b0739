package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
)

// fixtureScript writes the requests as a shell script of curl commands.
func fixtureScript(all []*fixture) string {
	var b strings.Builder
	b.WriteString(`#!/bin/sh
# Requests as the API gets them from the gateway. Made by
# ` + "`caddy jwtgate contract --fixture`" + ` from its configuration: the headers come from
# the gateway's own code. The tokens are examples that nothing verifies.
#
#   BACKEND=http://localhost:3000 sh fixture.sh
set -u
: "${BACKEND:=http://localhost:3000}"
failed=0
ask() {
	printf '%s: ' "$1"
	shift
	curl -sS -o /dev/null -w '%{http_code}\n' "$@" || failed=1
}
`)
	for _, f := range all {
		f.script(&b)
	}
	b.WriteString("\nexit $failed\n")
	return b.String()
}

func (f *fixture) script(b *strings.Builder) {
	fmt.Fprintf(b, "\n# %s: %s.\n", f.Case, f.Shows)
	if len(f.Missing) > 0 {
		fmt.Fprintf(b, "# Missing: %s\n", strings.Join(f.Missing, ", "))
	}
	if f.Refused != "" {
		fmt.Fprintf(b, "# The gate refuses it with %s: the API gets nothing.\n", f.Refused)
		return
	}
	fmt.Fprintf(b, "ask %s -X %s \"$BACKEND\"%s", shellQuote(f.Route+": "+f.Case), shellQuote(f.Method), shellQuote(f.Target))
	for _, h := range f.Headers {
		fmt.Fprintf(b, " \\\n\t-H %s", shellQuote(h.Name+": "+h.Value))
	}
	b.WriteByte('\n')
}

// shellQuote makes one word of s for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fixtureHTTP writes the requests as they are on the wire (RFC 9112), each after
// a line that begins with ###.
func fixtureHTTP(all []*fixture) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "### %s: %s\n", f.Route, f.Case)
		if f.Refused != "" {
			fmt.Fprintf(&b, "# The gate refuses it with %s: the API gets nothing.\n\n", f.Refused)
			continue
		}
		fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", f.Method, f.Target)
		for _, h := range f.Headers {
			fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
		}
		b.WriteString("\r\n\n")
	}
	return b.String()
}

// indented is v as JSON for people and programs.
func indented(v any) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return b.String(), err
}
