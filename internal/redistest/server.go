// Package redistest runs real redis-server processes for tests, and a proxy
// that treats connections badly.
package redistest

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options of a server.
type Options struct {
	// Args are further lines of the configuration, as "name value".
	Args []string
	// Persist keeps data over a Restart, as an append-only file.
	Persist bool
	// Unix has it listen on a socket only.
	Unix bool
	// TLS has it listen with TLS only, with a certificate of a CA of its own,
	// and ask clients for one, too.
	TLS bool
	// Sentinel runs it as a sentinel.
	Sentinel bool
}

// Server is a redis-server process.
type Server struct {
	Port   int
	Socket string // with Unix
	Certs  *Certs // with TLS

	t       testing.TB
	options Options
	dir     string
	mu      sync.Mutex
	process *exec.Cmd
	output  bytes.Buffer
	ended   chan struct{}
}

// Need skips the test where there is no redis-server, or fails it with
// JWTGATE_TESTS=all in the environment.
func Need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err == nil {
		return
	}
	const missing = "redis-server is missing (Debian: apt-get install redis-server)"
	if os.Getenv("JWTGATE_TESTS") == "all" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	Need(t)
	// The path of a socket is short: t.TempDir may be too long for it.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, options: o, dir: dir}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	if o.Unix {
		s.Socket = filepath.Join(dir, "s")
	} else {
		s.Port = FreePort(t)
	}
	if o.TLS {
		s.Certs = newCerts(t, dir)
	}
	s.run()
	return s
}

// FreePort returns a port that nobody listened on a moment ago, and neither on
// the one 10,000 above it, which nodes of a cluster need.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port+10_000 > 65_535 {
			continue
		}
		bus, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+10_000))
		if err != nil {
			continue
		}
		bus.Close()
		return port
	}
	t.Fatal("no free port")
	return 0
}

func (s *Server) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("dir %s", s.dir)
	line("bind 127.0.0.1")
	switch {
	case s.options.Unix:
		line("port 0\nunixsocket %s", s.Socket)
	case s.options.TLS:
		line("port 0\ntls-port %d", s.Port)
		line("tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients yes", s.Certs.ServerCert, s.Certs.ServerKey, s.Certs.CA)
	default:
		line("port %d", s.Port)
	}
	if !s.options.Sentinel {
		line("save \"\"")
		if s.options.Persist {
			line("appendonly yes\nappendfsync everysec")
		}
	}
	for _, a := range s.options.Args {
		line("%s", a)
	}
	return b.String()
}

func (s *Server) run() {
	s.t.Helper()
	file := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(s.config()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	args := []string{file}
	if s.options.Sentinel {
		args = append(args, "--sentinel")
	}
	process, ended := exec.Command("redis-server", args...), make(chan struct{})
	process.Stdout, process.Stderr = &s.output, &s.output
	s.mu.Lock()
	s.process, s.ended = process, ended
	err := process.Start()
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		process.Wait()
		close(ended)
	}()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s.answers() {
			return
		}
		select {
		case <-ended:
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		s.Kill()
		s.t.Fatalf("redis-server does not answer:\n%s", s.output.String())
	}
}

// answers reports whether the server is ready; with TLS, whether it listens.
func (s *Server) answers() bool {
	network, addr := s.address()
	if s.options.TLS {
		c, err := net.Dial(network, addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	_, err := s.Ask("PING")
	// An ACL may forbid it.
	return err == nil || strings.HasPrefix(err.Error(), "NO")
}

func (s *Server) address() (network, addr string) {
	if s.options.Unix {
		return "unix", s.Socket
	}
	return "tcp", s.Addr()
}

// Addr is host and port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// URL is how clients name it.
func (s *Server) URL() *url.URL {
	switch {
	case s.options.Unix:
		return &url.URL{Scheme: "unix", Path: s.Socket}
	case s.options.TLS:
		return &url.URL{Scheme: "rediss", Host: s.Addr()}
	}
	return &url.URL{Scheme: "redis", Host: s.Addr()}
}

// Kill ends it with SIGKILL.
func (s *Server) Kill() {
	s.mu.Lock()
	process, ended := s.process, s.ended
	s.process = nil
	s.mu.Unlock()
	if process != nil {
		process.Process.Kill()
		<-ended
	}
}

// Restart kills it, if it runs, and starts it again on the same port: with the
// data it had if it persists them, or else empty.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.run()
}

// RestartEmpty is Restart without data.
func (s *Server) RestartEmpty() {
	s.t.Helper()
	s.Kill()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
	s.run()
}

// Pause stops it with SIGSTOP until Resume.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Process.Signal(sig)
	}
}
