package backends

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	shellBlock  = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	expectation = regexp.MustCompile(`^# (\d{3})( .*)?$`)
	expected    = regexp.MustCompile(`(no )?"([^"]+)"|(\S+)`)
)

// TestReadme runs the lines of the README, less those that start the API and the
// gateway, which it starts on free ports. A comment that begins with a status
// says what the line before it prints: that status, each "text" and bare word,
// and no "text".
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Caddy and an API")
	}
	require(t, "curl", "curl")
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	listens(t, addr, startPython(t, addr, ""))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	demo := start(t, "../..", []string{runMain + "=1", "API=" + addr, "GATEWAY_SECRET=" + secret}, exe,
		"jwtgate", "demo", "--config", "examples/backends/Caddyfile", "--data", t.TempDir(), "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0")
	for end := time.Now().Add(wait); !strings.Contains(demo.String(), "Ctrl-C"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the demo does not start: %s", demo)
		}
	}
	replace := []string{"127.0.0.1:9000", addr, "go build ", "true go build ", "CADDY=./caddy", "CADDY=" + caddyProgram(t)}
	for port, part := range map[string]string{"8080": "gateway", "8081": "issuer"} {
		m := regexp.MustCompile(`(?m)^  ` + part + ` +http://(127\.0\.0\.1:\d+)`).FindStringSubmatch(demo.String())
		if m == nil {
			t.Fatalf("no %s in %s", part, demo)
		}
		replace = append(replace, "127.0.0.1:"+port, m[1])
	}
	const mark = "=== expectation ==="
	script, wants, started := "set -e\n", []string(nil), 0
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], "api.py") || strings.Contains(block[1], "jwtgate demo") {
			started++
			continue
		}
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimRight(line, "\n"); expectation.MatchString(line) {
				wants = append(wants, line)
				line = "printf '\\n" + mark + "\\n'"
			}
			script += strings.NewReplacer(replace...).Replace(line) + "\n"
		}
	}
	if started != 2 || len(wants) < 5 {
		t.Fatalf("the README starts %d things and has %d expectations", started, len(wants))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GATEWAY_SECRET="+secret)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(string(out), "\n"+mark+"\n")
	for i, want := range wants {
		m := expectation.FindStringSubmatch(want)
		if !regexp.MustCompile(`(?m)^HTTP/[0-9.]+ ` + m[1]).MatchString(answers[i]) {
			t.Errorf("%s, got %s", want, answers[i])
		}
		for _, e := range expected.FindAllStringSubmatch(m[2], -1) {
			if strings.Contains(answers[i], e[2]+e[3]) == (e[1] != "") {
				t.Errorf("%s, got %s", want, answers[i])
			}
		}
	}
}
