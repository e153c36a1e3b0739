package backends

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// secret is what the gateway and the APIs share here.
const secret = "4fd3c7a9e15b08d26cA3f7b1908e5d42"

// wait is how long anything may take that must come.
const wait = 90 * time.Second

// require returns the path of a program. Without it the test is skipped, or
// fails where every backend has to be tried.
func require(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("JWTGATE_TESTS") == "all" {
		t.Fatalf("%s is missing (Debian: apt-get install %s)", program, install)
	}
	t.Skipf("%s is missing (Debian: apt-get install %s)", program, install)
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output is what a program printed.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs a program until the test ends.
func start(t *testing.T, dir string, env []string, program string, args ...string) *output {
	t.Helper()
	out := new(output)
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(wait):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(program), out)
		}
	})
	return out
}

// listens waits until a program accepts connections.
func listens(t *testing.T, addr string, out *output) {
	t.Helper()
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens at %s: %v\n%s", addr, err, out)
		}
	}
}

// gateway is the real one, running one of the Caddyfiles here.
type gateway struct {
	t      *testing.T
	issuer *issuertest.Issuer
	addr   string
	log    *output
}

// startGateway runs a Caddyfile in front of the API at api, with all its logs.
func startGateway(t *testing.T, caddyfile, api string, env ...string) *gateway {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, issuer: issuertest.New(t, "ES256"), addr: freeAddress(t)}
	data := t.TempDir()
	text, err := os.ReadFile(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	loud := filepath.Join(data, "Caddyfile")
	if err := os.WriteFile(loud, []byte(strings.Replace(string(text), "\n{\n", "\n{\n\tdebug\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	g.log = start(t, ".", append([]string{
		runMain + "=1", "XDG_DATA_HOME=" + data, "XDG_CONFIG_HOME=" + data,
		"JWTGATE_ADMIN=off", "JWTGATE_SITE=http://" + g.addr, "JWTGATE_ISSUER=" + g.issuer.URL(), "JWTGATE_AUDIENCE=" + issuertest.Audience,
		"API=" + api, "GATEWAY_SECRET=" + secret,
	}, env...), exe, "run", "--adapter", "caddyfile", "--config", loud)
	listens(t, g.addr, g.log)
	// 503 until the keys are there.
	token := g.issuer.Sign(nil)
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		status, _ := g.get("/", "Authorization: Bearer "+token)
		if status == http.StatusOK {
			return g
		}
		if time.Now().After(end) {
			t.Fatalf("no answer through the gateway: %d\n%s", status, g.log)
		}
	}
}

// get sends one request, its header lines as they are.
func (g *gateway) get(path string, lines ...string) (int, string) {
	g.t.Helper()
	status, body, err := send(g.addr, nil, path, lines...)
	if err != nil {
		g.t.Fatal(err)
	}
	return status, body
}

// send writes a request by hand, so that headers have the spelling that the
// test wants.
func send(addr string, config *tls.Config, path string, lines ...string) (int, string, error) {
	conn, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait))
	if config != nil {
		conn = tls.Client(conn, config)
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n\r\n", path, addr, strings.Join(lines, "\r\n"))
	if len(lines) == 0 {
		request = strings.TrimSuffix(request, "\r\n")
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, "", err
	}
	return readAnswer(conn)
}
