package backends

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// certificates runs certs.sh.
func certificates(t *testing.T) string {
	t.Helper()
	require(t, "openssl", "openssl")
	dir := filepath.Join(t.TempDir(), "certs")
	if out, err := exec.CommandContext(t.Context(), "sh", "certs.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestClientCertificate: the API asks for the gateway's certificate, and nobody
// else gets as far as a request.
func TestClientCertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Caddy and the APIs")
	}
	certs, others := certificates(t), certificates(t)
	authority, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	starts := map[string]func(t *testing.T, addr string) *output{
		"nginx": func(t *testing.T, addr string) *output { return startNginx(t, addr, "nginx-tls.conf", certs) },
	}
	for _, a := range apis {
		if !a.noTLS {
			starts[a.name] = func(t *testing.T, addr string) *output { return a.start(t, addr, certs) }
		}
	}
	for name, run := range starts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := freeAddress(t)
			out := run(t, addr)
			listens(t, addr, out)
			g := startGateway(t, "Caddyfile.tls", addr, "CERTS="+certs)
			status, body := g.get("/", append(forged(), "Authorization: Bearer "+g.issuer.Sign(map[string]any{"name": "Zoë"}))...)
			if status != http.StatusOK || !strings.Contains(body, "alice") || strings.Contains(body, "mallory") {
				t.Errorf("through the gateway: %d %s", status, body)
			}
			for who, dir := range map[string]string{"nobody": "", "another authority's gateway": others} {
				config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
				if dir != "" {
					own, err := tls.LoadX509KeyPair(filepath.Join(dir, "gateway.pem"), filepath.Join(dir, "gateway.key"))
					if err != nil {
						t.Fatal(err)
					}
					// Sent even though the API's list of authorities does not have it.
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
				}
				status, body, err := send(addr, config, "/", "X-User-ID: mallory")
				if err == nil && (status != http.StatusBadRequest || strings.Contains(body, "mallory")) {
					t.Errorf("past the gateway as %s: %d %s", who, status, body)
				}
			}
			if status, body, err := send(addr, nil, "/", "X-User-ID: mallory"); err == nil && (status != http.StatusBadRequest || strings.Contains(body, "mallory")) {
				t.Errorf("past the gateway without TLS: %d %s", status, body)
			}
			own, err := tls.LoadX509KeyPair(filepath.Join(certs, "gateway.pem"), filepath.Join(certs, "gateway.key"))
			if err != nil {
				t.Fatal(err)
			}
			if status, _, err := send(addr, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Certificates: []tls.Certificate{own}}, "/"); err != nil || status != http.StatusOK {
				t.Errorf("with the gateway's certificate: %d, %v", status, err)
			}
		})
	}
}

// TestNoBackendRunsOpen: told neither a secret nor certificates, a program does
// not start, or refuses everything.
func TestNoBackendRunsOpen(t *testing.T) {
	for name, args := range map[string][]string{"python3": {"python/api.py"}, "node": {"node/api.mjs"}, "go": {"run", "./go"}} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), require(t, name, name), args...)
			cmd.Env = append(os.Environ(), "LISTEN="+freeAddress(t), "GATEWAY_SECRET=", "CERTS=")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "GATEWAY_SECRET") {
				t.Errorf("%v, %s", err, out)
			}
		})
	}
	t.Run("php", func(t *testing.T) {
		addr := freeAddress(t)
		out := start(t, ".", nil, require(t, "php", "php-cli"), "-S", addr, "php/api.php")
		listens(t, addr, out)
		if status, body, err := send(addr, nil, "/", "X-User-ID: mallory", "X-Gateway-Secret:"); err != nil || status != http.StatusForbidden {
			t.Errorf("%d %s, %v", status, body, err)
		}
	})
}
