package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A README's shell blocks are run in their order, as they stand but for the
// ports and the program's name. After a command, a comment that begins with a
// status, or with an exit code, says what must come back: that, each bare word
// and "text", and no "text".
var (
	expectation = regexp.MustCompile(`^# (\d{3}|exit \d)( .*)?$`)
	exitCode    = regexp.MustCompile(`^# exit \d`)
)

// shellBlocks returns the lines of each block fenced as sh.
func shellBlocks(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "```sh":
			inside, blocks = true, append(blocks, nil)
		case line == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], line)
		}
	}
	return blocks
}

func TestReadmesSayWhatHappens(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines are for a Unix shell")
	}
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the lines need %s", tool)
		}
	}
	files, err := filepath.Glob("../../examples/*/README.md")
	if err != nil || len(files) < 7 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range append(files, "../../README.md") {
		switch filepath.Base(filepath.Dir(file)) {
		case "cluster":
			continue // see TestClusterExample
		case "backends":
			continue // its lines are run by a test beside it
		}
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			runReadme(t, file)
		})
	}
}

// runReadme runs the blocks of a README, less what this very test is part of
// and what only builds.
func runReadme(t *testing.T, file string) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Commands write keys where they are run: run them beside the examples, not in them.
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(top, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	replace := []string{"go run ./cmd/caddy", "caddy"}
	var d *demo
	for _, block := range shellBlocks(t, file) {
		if text := strings.Join(block, "\n"); text == "go test ./..." || strings.HasPrefix(text, "go build ") {
			continue
		}
		if strings.Contains(strings.Join(block, "\n")+" ", " jwtgate demo ") {
			d = demoOf(t, dir, block)
			for port, part := range map[string]string{"8080": "gateway", "8081": "issuer", "8082": "backend", "2019": "admin"} {
				replace = append(replace, "127.0.0.1:"+port, "127.0.0.1:"+d.port(t, part))
			}
			continue
		}
		tryBlock(t, dir, block, strings.NewReplacer(replace...))
	}
	if d == nil {
		t.Fatal("the README starts no demo")
	}
	d.interrupt(t)
}

// demoOf starts what a README's block starts, on free ports.
func demoOf(t *testing.T, dir string, block []string) *demo {
	t.Helper()
	if len(block) != 1 {
		t.Fatalf("%q: want one command", block)
	}
	set, args, found := strings.Cut(block[0], "go run ./cmd/caddy ")
	if !found {
		t.Fatalf("%q does not run ./cmd/caddy", block[0])
	}
	words := strings.Fields(args)[2:]
	var env []string
	if name, value, found := strings.Cut(strings.TrimSpace(set), "="); found {
		out := shell(t, dir, "printf %s "+value)
		env = append(env, name+"="+out)
	}
	words = append(words, "--data", t.TempDir(), "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0")
	return startDemoIn(t, dir, env, words...)
}

// tryBlock runs one block and checks each expectation in it against what was
// printed since the one before.
func tryBlock(t *testing.T, dir string, block []string, replace *strings.Replacer) {
	t.Helper()
	const mark = "=== expectation ==="
	var script strings.Builder
	var wants []string
	for i, line := range block {
		if i+1 < len(block) && exitCode.MatchString(block[i+1]) {
			fmt.Fprintf(&script, "if %s; then echo exit 0; else echo exit $?; fi\n", replace.Replace(line))
			continue
		}
		if m := expectation.FindStringSubmatch(line); m != nil {
			wants = append(wants, replace.Replace(line))
			fmt.Fprintf(&script, "printf '\\n%s\\n'\n", mark)
			continue
		}
		script.WriteString(replace.Replace(line) + "\n")
	}
	parts := strings.Split(shell(t, dir, script.String()), "\n"+mark+"\n")
	for i, want := range wants {
		checkAnswer(t, parts[i], want)
	}
}

func checkAnswer(t *testing.T, got, want string) {
	t.Helper()
	m := expectation.FindStringSubmatch(want)
	if !regexp.MustCompile(`(?m)^(HTTP/[0-9.]+ )?` + m[1] + `\b`).MatchString(got) {
		t.Errorf("want %s, got %s", m[1], got)
	}
	rest := m[2]
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		refuse := false
		if after, ok := strings.CutPrefix(rest, `no "`); ok {
			refuse, rest = true, `"`+after
		}
		var text string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			// The text ends at a quote before a blank or the end, so that it may hold others.
			end := strings.Index(quoted+" ", `" `)
			if end < 0 {
				t.Fatalf("no end of the text in %q", want)
			}
			text, rest = quoted[:end], quoted[min(end+1, len(quoted)):]
		} else {
			text, rest, _ = strings.Cut(rest, " ")
		}
		if strings.Contains(got, text) == refuse {
			t.Errorf("%q there: %v, against %q; got %s", text, !refuse == false, want, got)
		}
	}
}

// shell runs script in dir, where `caddy` is this program, and returns what it
// printed. The variables that it sets live on in the next script.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const kept = ".variables"
	full := fmt.Sprintf("set -e\ncaddy() { %s=1 %q \"$@\"; }\n[ ! -f %s ] || . ./%s\nset -a\n%s\nset +a\nexport -p | grep -E ' [A-Z]+=' > %s || true\n",
		runMain, exe, kept, kept, script, kept)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", full)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v in:\n%s\nprinted: %s", err, script, out)
	}
	return string(out)
}
