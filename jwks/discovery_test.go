package jwks

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDiscoveryURLs(t *testing.T) {
	tests := []struct{ issuer, oidc, oauth string }{
		{"https://h", "https://h/.well-known/openid-configuration", "https://h/.well-known/oauth-authorization-server"},
		{"https://h/", "https://h/.well-known/openid-configuration", "https://h/.well-known/oauth-authorization-server"},
		{"https://h/p", "https://h/p/.well-known/openid-configuration", "https://h/.well-known/oauth-authorization-server/p"},
		{"https://h/p/", "https://h/p/.well-known/openid-configuration", "https://h/.well-known/oauth-authorization-server/p"},
		{"https://h:8443/realms/a%2Fb", "https://h:8443/realms/a%2Fb/.well-known/openid-configuration", "https://h:8443/.well-known/oauth-authorization-server/realms/a%2Fb"},
		{"https://h/a//b", "https://h/a//b/.well-known/openid-configuration", "https://h/.well-known/oauth-authorization-server/a//b"},
	}
	for _, tt := range tests {
		oidc, oauth, err := discoveryURLs(tt.issuer)
		if err != nil || oidc.String() != tt.oidc || oauth.String() != tt.oauth {
			t.Errorf("%s: %s and %s, %v", tt.issuer, oidc, oauth, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *fakeIssuer, cfg *Config)
		result string // of the failure; empty: works
		words  string
	}{
		{"openid connect", func(*fakeIssuer, *Config) {}, "", ""},
		{"rfc 8414 after 404", func(f *fakeIssuer, _ *Config) { f.noOIDC = true }, "", ""},
		{"url given", func(f *fakeIssuer, cfg *Config) {
			cfg.Discovery, cfg.Issuer = f.issuer+"/x"+oidcSuffix, "urn:issuer"
			f.issuer = "urn:issuer"
		}, "", ""},
		{"issuer with a path and a slash", func(f *fakeIssuer, cfg *Config) { cfg.Issuer += "/realms/a/"; f.issuer = cfg.Issuer }, "", ""},
		{"another issuer", func(f *fakeIssuer, _ *Config) { f.issuer = "https://evil.example.com" }, "issuer_mismatch", `of issuer "https://evil.example.com", configured is`},
		{"issuer with a slash more", func(f *fakeIssuer, _ *Config) { f.issuer += "/" }, "issuer_mismatch", "differ by the slash"},
		{"issuer in upper case", func(f *fakeIssuer, _ *Config) { f.issuer = strings.ToUpper(f.issuer) }, "issuer_mismatch", "configured is"},
		{"no issuer", func(f *fakeIssuer, _ *Config) { f.issuer = "" }, "content", "no issuer"},
		{"no jwks_uri", func(f *fakeIssuer, _ *Config) { f.jwksURI = "" }, "content", "no jwks_uri"},
		{"jwks_uri relative", func(f *fakeIssuer, _ *Config) { f.jwksURI = "/keys" }, "content", "no https URL"},
		{"jwks_uri of a file", func(f *fakeIssuer, _ *Config) { f.jwksURI = "file:///etc/passwd" }, "content", "no https URL"},
		{"jwks_uri with a password", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://a:hunter22@127.0.0.1/" }, "content", "no https URL"},
		{"jwks_uri http elsewhere", func(f *fakeIssuer, _ *Config) { f.jwksURI = "http://keys.example.com/" }, "content", "another host and not https"},
		{"jwks_uri http elsewhere, insecure", func(f *fakeIssuer, cfg *Config) { f.jwksURI, cfg.Insecure = "http://keys.example.com/", true }, "content", "another host and not https"},
		{"jwks_uri metadata service", func(f *fakeIssuer, _ *Config) { f.jwksURI = "http://169.254.169.254/latest" }, "content", "another host"},
		{"jwks_uri metadata service, https", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://169.254.169.254/latest" }, "content", "not public"},
		{"jwks_uri private", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://10.1.2.3/keys" }, "content", "not public"},
		{"jwks_uri mapped loopback", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://[::ffff:127.0.0.1]/keys" }, "content", "not public"},
		{"jwks_uri localhost", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://localhost/keys" }, "content", "not public"},
		{"jwks_uri a number", func(f *fakeIssuer, _ *Config) { f.jwksURI = "https://2130706433/keys" }, "", "any"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeIssuer(ecJWKObject("e"))
			srv := serve(t, f)
			cfg := Config{Issuer: srv.URL}
			tt.change(f, &cfg)
			results := make(chan string, 100)
			s := start(t, cfg, Options{OnFetch: func(r string) { results <- r }})
			got := <-results
			if tt.words == "any" { // whatever the resolver makes of it
				if got == "ok" {
					t.Error("works")
				}
				return
			}
			if want := tt.result; want == "" && got != "ok" || want != "" && got != want {
				t.Fatalf("result %q: %s", got, s.Status().LastError)
			}
			if tt.result == "" {
				return
			}
			if err := s.Status().LastError; !strings.Contains(err, tt.words) || strings.Contains(err, "hunter22") {
				t.Errorf("error %q, want words %q", err, tt.words)
			}
			if set, reason := s.Keys(s.now()); set != nil || reason.String() != "keys_never_obtained" {
				t.Errorf("keys %v, %v", set, reason)
			}
			if f.fetches() != 0 {
				t.Errorf("%d fetches of keys", f.fetches())
			}
		})
	}
}

func TestDiscoveryDocumentsRefused(t *testing.T) {
	for text, words := range map[string]string{
		``:                            "empty",
		`[]`:                          "not a JSON object",
		`<html>`:                      "not JSON",
		`{"issuer":"a"`:               "ends in the middle",
		`{"issuer":"a","issuer":"b"}`: "twice",
		`{"issuer":"a","jwks_uri":"b","jwks_uri":"c"}`: "twice",
		`{"issuer":"a","x":{"y":1,"y":2}}`:             "twice",
		`{"issuer":1,"jwks_uri":"b"}`:                  "issuer is not a string",
		`{"issuer":"a","jwks_uri":["b"]}`:              "jwks_uri is not a string",
		`{"Issuer":"a","jwks_uri":"b"}`:                "no issuer",
		`{"issuer":"a","jwks_uri":"b"} {}`:             "follows",
	} {
		if _, _, err := parseDiscovery([]byte(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want words %q", text, err, words)
		}
	}
}

// A name that leads to a private address is found out when it is dialled.
func TestJWKSURIThatResolvesPrivate(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	srv := httptest.NewTLSServer(f)
	defer srv.Close()
	port := must(netip.ParseAddrPort(srv.Listener.Addr().String())).Port()
	p := proxies{}
	if conn, err := p.dialPublic(context.Background(), "tcp", fmt.Sprintf("localhost:%d", port)); err == nil {
		conn.Close()
		t.Fatal("connected to loopback")
	} else if resultOf(err) != "network" || !strings.Contains(networkFault("x", err).Error(), "no public address") {
		t.Errorf("error %v", err)
	}
	// A proxy of the environment may be there.
	p.addrs = map[string]bool{srv.Listener.Addr().String(): true}
	conn, err := p.dialPublic(context.Background(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// The client for URLs out of documents dials public addresses only, also after
// redirects and with a certificate that fits.
func TestPublicClientRefusesPrivateServers(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	srv := httptest.NewTLSServer(f)
	defer srv.Close()
	c, err := newClient(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	u := must(http.NewRequest("GET", srv.URL+"/keys", nil)).URL
	if _, err := c.get(context.Background(), request{url: u}); err != nil {
		t.Errorf("the operator's URL: %v", err)
	}
	if _, err := c.get(context.Background(), request{url: u, public: true}); err == nil || !strings.Contains(err.Error(), "no public address") {
		t.Errorf("a document's URL: %v", err)
	}
}

func TestPublicAddresses(t *testing.T) {
	for _, ip := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8"} {
		if !public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is not public", ip)
		}
	}
	for _, ip := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
		"2001:db8::1", "2002:a00:1::1", "2001::1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "4000::1",
	} {
		if public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is public", ip)
		}
	}
}

// Which URLs of a document are held to public addresses.
func TestJWKSURIJudged(t *testing.T) {
	tests := []struct {
		from, uri string
		insecure  bool
		want      string // trusted, public or refused
	}{
		{"https://id.internal/d", "https://id.internal/keys", false, "trusted"},
		{"https://id.internal/d", "https://ID.internal:8443/keys", false, "trusted"},
		{"https://10.0.0.1/d", "https://10.0.0.1/keys", false, "trusted"},
		{"http://localhost:9000/d", "http://localhost:9000/keys", false, "trusted"},
		{"http://id.internal/d", "http://id.internal/keys", true, "trusted"},
		{"https://id.internal/d", "http://id.internal/keys", false, "refused"},
		{"https://localhost/d", "http://localhost/keys", false, "refused"},
		{"https://id.example.com/d", "https://keys.example.com/keys", false, "public"},
		{"https://id.example.com/d", "https://8.8.8.8/keys", false, "public"},
		{"https://id.example.com/d", "https://id.example.com.evil.net/keys", false, "public"},
		{"https://id.example.com/d", "http://keys.example.com/keys", true, "refused"},
		{"https://id.example.com/d", "https://10.0.0.1/keys", true, "refused"},
		{"http://localhost/d", "http://127.0.0.1/keys", false, "refused"},
		{"http://127.0.0.1/d", "https://localhost./keys", false, "refused"},
		{"http://127.0.0.1/d", "https://a.localhost/keys", false, "refused"},
		{"http://127.0.0.1/d", "https://[fe80::1%25eth0]/keys", false, "refused"},
	}
	for _, tt := range tests {
		r := remote{cfg: &Config{Insecure: tt.insecure}}
		got := "refused"
		if e, err := r.checkJWKSURI(tt.uri, must(url.Parse(tt.from))); err == nil {
			got = map[bool]string{true: "public", false: "trusted"}[e.public]
		}
		if got != tt.want {
			t.Errorf("%s names %s: %s, want %s", tt.from, tt.uri, got, tt.want)
		}
	}
}

func TestJWKSURIOnOtherPublicHost(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	f.jwksURI = "https://keys.example.net/keys"
	s := start(t, Config{Issuer: issuerURL}, Options{transport: f})
	if err := s.RefreshNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := f.last().URL.String(); got != f.jwksURI {
		t.Errorf("fetched %s", got)
	}
}

// An issuer that no DNS knows is the operator's to name by address.
func TestOperatorMayNamePrivateAddresses(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	srv := serve(t, f)
	if host, _, _ := net.SplitHostPort(srv.Listener.Addr().String()); host != "127.0.0.1" {
		t.Skip("test server is not on loopback")
	}
	s := start(t, Config{Issuer: srv.URL}, Options{})
	if err := s.RefreshNow(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDiscoveryOutageKeepsKnownEndpoint(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	s := start(t, Config{Issuer: issuerURL}, Options{transport: f})
	eventually(t, "first keys", func() bool { return hasKeys(s) })
	var down atomic.Bool
	s2 := start(t, Config{Issuer: issuerURL}, Options{transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if down.Load() && r.URL.Path != "/keys" {
			return nil, fmt.Errorf("no route")
		}
		return f.RoundTrip(r)
	})})
	if err := s2.RefreshNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	if err := s2.RefreshNow(context.Background()); err != nil {
		t.Errorf("discovery is down, the keys are not: %v", err)
	}
	down.Store(false)
	f.set(func(f *fakeIssuer) { f.issuer = "https://evil.example.com" })
	if err := s2.RefreshNow(context.Background()); resultOf(err) != "issuer_mismatch" {
		t.Errorf("another issuer: %v", err)
	}
}

func TestMovedKeySetIsFound(t *testing.T) {
	for name, status := range map[string]int{"old one still there": 0, "old one gone": 404} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeIssuer(ecJWKObject("old"))
				moved := newFakeIssuer(ecFresh("new"))
				s := start(t, Config{Issuer: issuerURL, MaxStale: time.Hour}, Options{transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "keys.example.net" {
						return moved.RoundTrip(r)
					}
					return f.RoundTrip(r)
				})})
				synctest.Wait()
				f.set(func(f *fakeIssuer) { f.jwksURI, f.status = "https://keys.example.net/keys", status })
				began := time.Now()
				for {
					if set, _ := s.Keys(time.Now()); set.HasKid("new") {
						break
					}
					time.Sleep(time.Second)
					if d := time.Since(began); d > rediscover+DefaultRefresh || status != 0 && d > DefaultRefresh {
						t.Fatalf("not found after %s", d)
					}
				}
				if n := f.count(oidcSuffix); n > 3 {
					t.Errorf("%d times discovered", n)
				}
			})
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
