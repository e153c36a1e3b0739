package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is a running `caddy jwtgate demo`.
type demo struct {
	cmd     *exec.Cmd
	printed string
	stderr  *bytes.Buffer
	ended   chan error
}

func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	return startDemoIn(t, "", nil, args...)
}

// startDemoIn starts the demo in a directory and with an environment.
func startDemoIn(t *testing.T, dir string, env []string, args ...string) *demo {
	t.Helper()
	d := &demo{cmd: command(t, append([]string{"jwtgate", "demo"}, args...)...), stderr: new(bytes.Buffer), ended: make(chan error, 1)}
	d.cmd.Dir = dir
	d.cmd.Env = append(d.cmd.Env, env...)
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	printed := make(chan string, 1)
	go func() {
		var b strings.Builder
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			b.WriteString(scanner.Text() + "\n")
			if strings.HasSuffix(scanner.Text(), "Ctrl-C stops everything.") {
				break
			}
		}
		printed <- b.String()
		_, _ = io.Copy(io.Discard, stdout)
		d.ended <- d.cmd.Wait()
	}()
	select {
	case d.printed = <-printed:
	case <-time.After(time.Minute):
		t.Fatal("the demo printed nothing to try within a minute")
	}
	if !strings.Contains(d.printed, "Ctrl-C") {
		<-d.ended
		t.Fatalf("the demo ended: %s%s", d.printed, d.stderr)
	}
	return d
}

// interrupt is Ctrl-C; the demo must end well.
func (d *demo) interrupt(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.ended:
		if err != nil {
			t.Errorf("after SIGINT: %v, %s", err, d.stderr)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("still running long after SIGINT")
	}
	if d.stderr.Len() > 0 {
		t.Errorf("the demo wrote to stderr: %s", d.stderr)
	}
}

// port returns the port of a part as the demo printed it.
func (d *demo) port(t *testing.T, part string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^  ` + part + ` +http://127\.0\.0\.1:(\d+)`).FindStringSubmatch(d.printed)
	if found == nil {
		t.Fatalf("no %s in %s", part, d.printed)
	}
	return found[1]
}

type printedStep struct {
	title, status, expect string
	lines                 []string
}

func (d *demo) steps(t *testing.T) []printedStep {
	t.Helper()
	title := regexp.MustCompile(`^\d+\. (.+) -> (\d{3})(.*)$`)
	var steps []printedStep
	for line := range strings.Lines(d.printed) {
		line = strings.TrimSuffix(line, "\n")
		if m := title.FindStringSubmatch(line); m != nil {
			steps = append(steps, printedStep{title: m[1], status: m[2], expect: m[3]})
		} else if command, ok := strings.CutPrefix(line, "     "); ok && len(steps) > 0 {
			s := &steps[len(steps)-1]
			s.lines = append(s.lines, command)
		}
	}
	return steps
}

// The printed lines are run as they stand, in one shell, and must give what is
// printed beside them.
func TestDemoKeepsItsPromises(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGINT for a child process on Windows")
	}
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the printed lines need %s", tool)
		}
	}
	data := t.TempDir()
	d := startDemo(t, "--data", data, "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0")
	steps := d.steps(t)
	if len(steps) < 6 {
		t.Fatalf("%d steps in %s", len(steps), d.printed)
	}
	const mark = "\n=== next step ===\n"
	var script strings.Builder
	for _, s := range steps {
		script.WriteString(strings.Join(s.lines, "\n") + "\nprintf '" + strings.ReplaceAll(mark, "\n", `\n`) + "'\n")
	}
	script.WriteString(`printf %s "$NEW"`)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script.String()).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(string(out), mark)
	if len(answers) != len(steps)+1 {
		t.Fatalf("%d answers for %d steps: %s", len(answers), len(steps), out)
	}
	for n, s := range steps {
		checkStep(t, s, answers[n])
	}
	token := answers[len(steps)]

	ports := []string{"--gateway", d.port(t, "gateway"), "--issuer", d.port(t, "issuer"), "--backend", d.port(t, "backend"), "--admin", d.port(t, "admin")}
	if _, stderr, code := run(t, "jwtgate", "demo", "--data", data, "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0"); code != 1 || !strings.Contains(stderr, "another demo is using "+data) {
		t.Errorf("second demo in the directory: exit %d, %s", code, stderr)
	}
	if _, stderr, code := run(t, append([]string{"jwtgate", "demo", "--data", t.TempDir()}, ports...)...); code != 1 || !strings.Contains(stderr, "port "+ports[1]+" for the gateway") || !strings.Contains(stderr, "--gateway PORT") {
		t.Errorf("second demo on the ports: exit %d, %s", code, stderr)
	}
	d.interrupt(t)
	for n := 1; n < len(ports); n += 2 {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+ports[n]); err == nil {
			conn.Close()
			t.Errorf("%s still accepts connections", ports[n-1])
		}
	}
	checkFilesAreHeld(t, data, d.home())

	// Keys are kept: a token of the first run is good in the second.
	again := startDemo(t, append([]string{"--data", data}, ports...)...)
	status, err := exec.CommandContext(t.Context(), "curl", "-s", "-o", os.DevNull, "-w", "%{http_code}",
		"-H", "Authorization: Bearer "+token, fmt.Sprintf("http://127.0.0.1:%s/orders", ports[1])).Output()
	if err != nil || string(status) != "200" {
		t.Errorf("a token from before the restart: %s, %v", status, err)
	}
	again.interrupt(t)
}

// checkStep compares the last answer in got with what the step promises.
func checkStep(t *testing.T, s printedStep, got string) {
	t.Helper()
	start := strings.LastIndex(got, "HTTP/1.1 ")
	if start < 0 {
		t.Errorf("%s: no answer in %q", s.title, got)
		return
	}
	got = got[start:]
	if !strings.HasPrefix(got, "HTTP/1.1 "+s.status) {
		t.Errorf("%s: want %s, got %s", s.title, s.status, got)
	}
	if code := strings.TrimSpace(s.expect); !strings.HasPrefix(s.status, "2") {
		if !regexp.MustCompile(`"code": ?"` + code + `"`).MatchString(got) {
			t.Errorf("%s: want the code %s, got %s", s.title, code, got)
		}
		return
	}
	quoted := regexp.MustCompile(`(no )?"([^"]+)"`).FindAllStringSubmatch(s.expect, -1)
	if len(quoted) == 0 {
		t.Errorf("%s promises nothing: %q", s.title, s.expect)
	}
	for _, q := range quoted {
		if found := strings.Contains(got, q[2]); found == (q[1] != "") {
			t.Errorf("%s: promised %s, got %s", s.title, q[0], got)
		}
	}
}

// home is the directory that HOME names for the demo.
func (d *demo) home() string {
	for _, v := range d.cmd.Env {
		if home, ok := strings.CutPrefix(v, "HOME="); ok {
			return home
		}
	}
	return ""
}

// checkFilesAreHeld looks for the demo's files: all in its directory, none in
// the user's home, no token in the log.
func checkFilesAreHeld(t *testing.T, data, home string) {
	t.Helper()
	if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
		t.Errorf("in the user's home: %v, %v", entries, err)
	}
	for _, name := range []string{"issuer/keys.json", "gateway.log", "caddy"} {
		if _, err := os.Stat(data + "/" + name); err != nil {
			t.Error(err)
		}
	}
	log, err := os.ReadFile(data + "/gateway.log")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log, []byte("eyJ")) {
		t.Error("the gateway's log holds a token")
	}
}

func TestDemoRunsAnotherCaddyfile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGINT for a child process on Windows")
	}
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte("{\n\tadmin {$JWTGATE_ADMIN}\n}\n\n{$JWTGATE_SITE} {\n\tbind {$JWTGATE_BIND}\n\trespond \"{$JWTGATE_ISSUER} {$JWTGATE_AUDIENCE}\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--data", t.TempDir(), "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0", "--config", config}
	d := startDemo(t, flags...)
	resp, err := http.Get("http://127.0.0.1:" + d.port(t, "gateway"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := "http://127.0.0.1:" + d.port(t, "issuer") + " orders-api"; string(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
	if len(d.steps(t)) > 0 {
		t.Errorf("promises made for another Caddyfile: %s", d.printed)
	}
	d.interrupt(t)

	if err := os.WriteFile(config, []byte("{$JWTGATE_SITE} {\n\tno_such_directive\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := run(t, append([]string{"jwtgate", "demo"}, flags...)...); code != 1 || !strings.Contains(stderr, config+":2") {
		t.Errorf("broken Caddyfile: exit %d, %s", code, stderr)
	}
}

func TestDemoEndsOnSIGTERM(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGTERM for a child process on Windows")
	}
	d := startDemo(t, "--data", t.TempDir(), "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.ended:
		if err != nil {
			t.Errorf("after SIGTERM: %v, %s", err, d.stderr)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("still running long after SIGTERM")
	}
}
