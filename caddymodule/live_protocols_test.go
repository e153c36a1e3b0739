package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// certificate writes a certificate for 127.0.0.1 and its key, and returns the
// directory of cert.pem and key.pem and what trusts them.
func certificate(t *testing.T) (dir string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return dir, roots
}

// TestEveryProtocolMeetsTheSameGate: HTTP/1.1, HTTP/2 and HTTP/3 hear the same
// answers, and the backend the same headers.
func TestEveryProtocolMeetsTheSameGate(t *testing.T) {
	dir, roots := certificate(t)
	g := (&setup{Sites: `https://127.0.0.1:PORT {
		tls ` + dir + `/cert.pem ` + dir + `/key.pem
		jwtgate /scope {
			require scope orders:read
		}
		jwtgate {
			forward {
				X-User-ID sub
			}
			preflight on
		}
		respond /connect "in {method} {header.X-User-Id}"
		reverse_proxy BACKEND
	}`}).start(t)
	config := func() *tls.Config { return &tls.Config{RootCAs: roots} }
	h1 := &http.Transport{TLSClientConfig: config(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	h2 := &http.Transport{TLSClientConfig: config(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: config()}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		if err := h3.Close(); err != nil {
			t.Error(err)
		}
	})
	good := g.Issuer.Sign(nil)
	expired := g.Issuer.Sign(map[string]any{"exp": time.Now().Add(-time.Hour)})
	forged := g.Issuer.Sign(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))
	cases := []struct {
		name, path string
		headers    []string // Name: value
		status     int
		code       string
	}{
		{"a good token", "/", []string{"Authorization: Bearer " + good}, 200, ""},
		{"a good token and a forged header", "/", []string{"Authorization: Bearer " + good, "X-User-Id: mallory", "X-User~id: mallory"}, 200, ""},
		{"no token", "/", nil, 401, "token_missing"},
		{"an expired token", "/", []string{"Authorization: Bearer " + expired}, 401, "token_expired"},
		{"a forged token", "/", []string{"Authorization: Bearer " + forged}, 401, "token_invalid"},
		{"a malformed header", "/", []string{"Authorization: Bearer a b"}, 400, "request_invalid"},
		{"two tokens", "/", []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, 400, "request_invalid"},
		{"no scope", "/scope", []string{"Authorization: Bearer " + good}, 403, "insufficient_scope"},
	}
	for _, p := range []struct {
		proto  string
		client http.RoundTripper
	}{{"HTTP/1.1", h1}, {"HTTP/2.0", h2}, {"HTTP/3.0", h3}} {
		client := &http.Client{Transport: p.client, Timeout: 20 * time.Second}
		send := func(method, proto, path string, headers []string) (got, string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, method, "https://"+g.Addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if proto != "" {
				r.Proto = proto
			}
			for _, line := range headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Add(name, value)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", p.proto, err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("%s: %v", p.proto, err)
			}
			return got{resp.StatusCode, resp.Header, string(body)}, resp.Proto
		}
		eventually(t, "keys", func() bool {
			a, _ := send("GET", "", "/", cases[0].headers)
			return a.code() != "keys_unavailable"
		})
		g.Backend.take()
		for _, tt := range cases {
			t.Run(p.proto+" "+tt.name, func(t *testing.T) {
				g.t = t
				a, proto := send("POST", "", tt.path, tt.headers)
				if proto != p.proto || a.Status != tt.status || a.code() != tt.code {
					t.Errorf("%s %d %s, want %d %s", proto, a.Status, a.Body, tt.status, tt.code)
				}
				if challenge := a.Header.Get("Www-Authenticate"); (challenge != "") != (tt.status != 200) {
					t.Errorf("challenge %q", challenge)
				}
				if tt.status != 200 {
					g.none()
					return
				}
				for name, lines := range g.one().Header {
					if strings.Contains(strings.Join(lines, " "), "mallory") || name == "X-User-Id" && strings.Join(lines, "|") != "alice" {
						t.Errorf("the backend got %s: %q", name, lines)
					}
				}
			})
		}
		if p.client != h3 {
			continue // for HTTP/2, see TestTrapCONNECTWithProtocol
		}
		for name, tt := range map[string]struct {
			headers []string
			status  int
			text    string
		}{
			"no token":                  {nil, 401, "token_missing"},
			"dressed up as a preflight": {[]string{"Origin: https://a.example", "Access-Control-Request-Method: GET"}, 401, "token_missing"},
			"a bad token":               {[]string{"Authorization: Bearer abc"}, 401, "token_invalid"},
			"a good token":              {[]string{"Authorization: Bearer " + good, "X-User-Id: mallory"}, 200, "in CONNECT alice"},
		} {
			t.Run("HTTP/3 CONNECT with :protocol, "+name, func(t *testing.T) {
				a, _ := send(http.MethodConnect, "websocket", "/connect", tt.headers)
				if a.Status != tt.status || !strings.Contains(a.Body, tt.text) {
					t.Errorf("%d %s, want %d %s", a.Status, a.Body, tt.status, tt.text)
				}
			})
		}
	}
}
