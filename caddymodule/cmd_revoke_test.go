package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/revocation"
)

// console runs sub-commands of `caddy jwtgate` against an admin endpoint.
type console struct {
	t       testing.TB
	address string
}

// serveAdmin puts h behind a free port.
func serveAdmin(t testing.TB, h http.Handler) *console {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &console{t, server.Listener.Addr().String()}
}

func (c *console) run(stdin string, args ...string) (stdout, stderr string, err error) {
	c.t.Helper()
	return c.runContext(context.Background(), stdin, args...)
}

func (c *console) runContext(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	c.t.Helper()
	parent := &cobra.Command{Use: "jwtgate", SilenceErrors: true, SilenceUsage: true}
	cli.Attach(parent)
	var out, errOut bytes.Buffer
	parent.SetIn(strings.NewReader(stdin))
	parent.SetOut(&out)
	parent.SetErr(&errOut)
	if c.address != "" {
		args = append(args, "--address", c.address)
	}
	parent.SetArgs(args)
	err = parent.ExecuteContext(ctx)
	return out.String(), errOut.String(), err
}

func TestRevokeCommand(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	iss := b.iss.URL()
	signed := b.iss.Sign(map[string]any{"jti": "j9"})
	for _, tt := range []struct {
		name, stdin string
		args        []string
		kind        revocation.Kind
		value       string
	}{
		{"jti", "", []string{"--issuer", iss, "--jti", "j1"}, revocation.Token, "j1"},
		{"session", "", []string{"--issuer", iss, "--session", "s1"}, revocation.Session, "s1"},
		{"subject", "", []string{"--issuer", iss, "--subject", "ann", "--before", "now"}, revocation.Subject, "ann"},
		{"subject before", "", []string{"--issuer", iss, "--subject", "bob", "--before", "2026-01-02T03:04:05+01:00"}, revocation.Subject, "bob"},
		{"client", "", []string{"--issuer", iss, "--client", "app"}, revocation.Client, "app"},
		{"everything", "", []string{"--issuer", iss, "--all", "--yes"}, revocation.Issuer, ""},
		{"token", signed + "\n", []string{"--token-stdin"}, revocation.Token, "j9"},
		{"token of a header", "Bearer " + signed + "\r\n", []string{"--token-stdin"}, revocation.Token, "j9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clear(b.list.entries)
			out, errOut, err := c.run(tt.stdin, append([]string{"revoke", "--note", "why"}, tt.args...)...)
			if err != nil || errOut != "" {
				t.Fatalf("%v %q", err, errOut)
			}
			e, ok := b.list.entries[revocation.DigestOf(tt.kind, iss, tt.value)]
			if !ok || e.Note != "why" || !strings.Contains(out, e.ID()) || !strings.Contains(out, iss) {
				t.Errorf("%+v %q", b.list.entries, out)
			}
			if want := time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC); tt.name == "subject before" && !e.Cutoff.Equal(want) {
				t.Errorf("cutoff %v", e.Cutoff)
			}
			if strings.Contains(out, "eyJ") {
				t.Error("the token is printed")
			}
		})
	}
	out, _, err := c.run("", "revoke", "--issuer", iss, "--jti", "j1", "--json")
	var answer revocationAnswer
	if err != nil || json.Unmarshal([]byte(out), &answer) != nil || answer.Value != "j1" || !answer.Durable {
		t.Errorf("%q %v", out, err)
	}
}

func TestRevokeCommandRefusals(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	iss := b.iss.URL()
	signed := b.iss.Sign(nil)
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"nothing", "", []string{"--issuer", iss}, cli.Usage, "one of --jti"},
		{"two", "", []string{"--issuer", iss, "--jti", "a", "--subject", "b"}, cli.Usage, "one of --jti"},
		{"no issuer", "", []string{"--jti", "a"}, cli.Usage, "--issuer is missing"},
		{"empty", "", []string{"--issuer", iss, "--subject="}, cli.Usage, "--subject is empty"},
		{"unknown flag", "", []string{"--isuer", iss}, cli.Usage, "unknown flag"},
		{"argument", "", []string{"alice"}, cli.Usage, "takes no argument"},
		{"token as jti", "", []string{"--issuer", iss, "--jti", signed}, cli.Usage, "--token-stdin"},
		{"before of a session", "", []string{"--issuer", iss, "--session", "s", "--before", "2026-01-02T03:04:05Z"}, cli.Usage, "--before goes with"},
		{"bad time", "", []string{"--issuer", iss, "--subject", "s", "--before", "monday"}, cli.Usage, "RFC 3339"},
		{"all without asking", "", []string{"--issuer", iss, "--all"}, cli.Usage, "--yes"},
		{"no token", "\n", []string{"--token-stdin"}, cli.Usage, "no token"},
		{"two tokens", "a.b.c\na.b.c", []string{"--token-stdin"}, cli.Usage, "more than one"},
		{"tls", "", []string{"--issuer", iss, "--jti", "a", "--address", "https://localhost:2021"}, cli.Usage, "no TLS"},
		{"unknown issuer", "", []string{"--issuer", iss + "/", "--subject", "a"}, cli.Refused, "issuer: none of the running configuration, which has " + iss},
		{"forged token", b.iss.Sign(map[string]any{"iss": "https://other.example"}), []string{"--token-stdin"}, cli.Refused, "iss_unknown"},
		{"future", "", []string{"--issuer", iss, "--subject", "a", "--before", "2090-01-02T03:04:05Z"}, cli.Refused, "before: lies in the future"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := *c
			if strings.Contains(strings.Join(tt.args, " "), "--address") {
				own.address = ""
			}
			out, _, err := own.run(tt.stdin, append([]string{"revoke"}, tt.args...)...)
			if err == nil || cli.Code(err) != tt.code || !strings.Contains(err.Error(), tt.want) || out != "" {
				t.Errorf("exit %d, want %d: %v, %q", cli.Code(err), tt.code, err, out)
			}
			if err != nil && strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the error shows a token: %v", err)
			}
		})
	}
	if b.list.applied != 0 {
		t.Errorf("%d entries were applied", b.list.applied)
	}
}

func TestRevokeCommandThatIsNotDurable(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	b.list.failure = revocation.ErrNotDurable
	_, _, err := c.run("", "revoke", "--issuer", b.iss.URL(), "--jti", "a")
	if cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "in force, but not on disk") {
		t.Errorf("exit %d: %v", cli.Code(err), err)
	}
}

// TestCommandsWithoutAdminEndpoint say so, and which way is left.
func TestCommandsWithoutAdminEndpoint(t *testing.T) {
	for name, address := range map[string]string{
		"refused":   freeAddress(t),
		"no socket": "unix/" + filepath.Join(t.TempDir(), "none"),
	} {
		c := &console{t, address}
		for _, args := range [][]string{
			{"revoke", "--issuer", "i", "--jti", "j"}, {"revocations", "list"}, {"revocations", "count"}, {"revocations", "export"},
			{"revocations", "undo", "AAAAAAAAAAAAAAAAAAAAAA"}, {"revocations", "import", "-"},
		} {
			_, _, err := c.run("{}\n", args...)
			if cli.Code(err) != cli.Unreachable || !strings.Contains(err.Error(), "jwtgate_revoke") || !strings.Contains(err.Error(), "admin off") {
				t.Errorf("%s: %v: exit %d: %v", name, args, cli.Code(err), err)
			}
		}
	}
	// Somebody else listens there.
	c := serveAdmin(t, http.NotFoundHandler())
	if _, _, err := c.run("", "revocations", "count"); cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "no jwtgate") {
		t.Errorf("exit %d: %v", cli.Code(err), err)
	}
	c = serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error":"host not allowed: \u001b[31m"}`))
	}))
	if _, _, err := c.run("", "revocations", "count"); cli.Code(err) != cli.Refused || !strings.Contains(err.Error(), "host not allowed") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("exit %d: %v", cli.Code(err), err)
	}
}

// TestAdminAddresses reads every way in which Caddy's own commands take one.
func TestAdminAddresses(t *testing.T) {
	b := newAdminBench(t)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	onSocket := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Host != "127.0.0.1" {
			t.Errorf("origin %q, host %q", r.Header.Get("Origin"), r.Host)
		}
		b.mux.ServeHTTP(w, r)
	})}
	go func() { _ = onSocket.Serve(l) }()
	t.Cleanup(func() { onSocket.Close() })
	tcp := serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "http://"+r.Host {
			t.Errorf("origin %q, host %q", r.Header.Get("Origin"), r.Host)
		}
		b.mux.ServeHTTP(w, r)
	})).address
	for _, address := range []string{tcp, "http://" + tcp, "http://" + tcp + "/", "tcp/" + tcp, "unix/" + socket, "unix/" + socket + "|0220"} {
		if _, _, err := (&console{t, address}).run("", "revocations", "count"); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"localhost:1-5", "nonsense/x:1", "https://localhost:2019"} {
		if _, _, err := (&console{t, address}).run("", "revocations", "count"); cli.Code(err) != cli.Usage {
			t.Errorf("%s: exit %d: %v", address, cli.Code(err), err)
		}
	}
	// The caller on a socket has no address.
	if _, _, err := (&console{t, "unix/" + socket}).run("", "revoke", "--issuer", b.iss.URL(), "--jti", "a"); err != nil {
		t.Fatal(err)
	}
	if e := b.list.entries[revocation.DigestOf(revocation.Token, b.iss.URL(), "a")]; e.By != "unix socket" {
		t.Errorf("by %q", e.By)
	}
}

func TestConfirmIssuer(t *testing.T) {
	var out bytes.Buffer
	if err := confirmIssuer(strings.NewReader("https://id.example.com\n"), &out, "https://id.example.com"); err != nil || !strings.Contains(out.String(), "https://id.example.com") {
		t.Errorf("%v %q", err, out.String())
	}
	for _, typed := range []string{"", "yes\n", "https://id.example.co\n", "\n"} {
		if err := confirmIssuer(strings.NewReader(typed), &out, "https://id.example.com"); cli.Code(err) != cli.Refused {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if err := confirmIssuer(failingReader{}, &out, ""); err == nil {
		t.Error("no answer counts as confirmed")
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
