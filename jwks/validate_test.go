package jwks

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	der := must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))
	tests := []struct {
		name string
		cfg  Config
		want []string // words of the error; none: valid
	}{
		{"discovery from the issuer", Config{Issuer: "https://id.example.com/realms/a/"}, nil},
		{"loopback by name", Config{Issuer: "http://localhost:8080"}, nil},
		{"loopback by address", Config{Issuer: "http://127.3.2.1"}, nil},
		{"loopback v6", Config{Issuer: "x", JWKS: "http://[::1]:80/keys"}, nil},
		{"insecure", Config{Issuer: "x", JWKS: "http://10.0.0.1/keys", Insecure: true}, nil},
		{"any issuer with a URL", Config{Issuer: "accounts.example.com", JWKS: "https://k.example.com/keys?v=2"}, nil},
		{"any issuer with discovery", Config{Issuer: "urn:x", Discovery: "https://k.example.com/d"}, nil},
		{"secret alone", Config{Issuer: "legacy", Secret: secret}, nil},
		{"secret beside a file", Config{Issuer: "legacy", Secret: secret, PEMFile: "x.pem"}, nil},
		{"shortest and longest", Config{Issuer: "https://i", Refresh: time.Second, MaxStale: 1000 * time.Hour, Timeout: 10 * time.Second}, nil},

		{"nothing", Config{}, []string{"issuer: must not be empty"}},
		{"issuer no URL", Config{Issuer: "legacy"}, []string{"cannot be discovered; add discovery, jwks, jwks_file, pem_file or secret"}},
		{"issuer with a query", Config{Issuer: "https://i.example.com?t=1"}, []string{"query or fragment"}},
		{"issuer with a fragment", Config{Issuer: "https://i.example.com#"}, []string{"query or fragment"}},
		{"issuer http", Config{Issuer: "http://i.example.com"}, []string{"plain http", "insecure"}},
		{"issuer with password", Config{Issuer: "https://me:hunter22@i.example.com"}, []string{"user name or password"}},
		{"jwks http", Config{Issuer: "x", JWKS: "http://k.example.com/"}, []string{"jwks", "plain http"}},
		{"jwks on a name that starts like loopback", Config{Issuer: "x", JWKS: "http://localhost.example.com/"}, []string{"plain http"}},
		{"jwks on a private address", Config{Issuer: "x", JWKS: "http://192.168.0.1/"}, []string{"plain http"}},
		{"jwks no URL", Config{Issuer: "x", JWKS: "k.example.com/keys"}, []string{"whole URL"}},
		{"jwks file URL", Config{Issuer: "x", JWKS: "file:///etc/keys"}, []string{"whole URL"}},
		{"jwks without host", Config{Issuer: "x", JWKS: "https:///keys"}, []string{"whole URL"}},
		{"jwks not parseable", Config{Issuer: "x", JWKS: "https://k/%zz"}, []string{"is not a URL"}},
		{"jwks with fragment", Config{Issuer: "x", JWKS: "https://k/keys#a"}, []string{"fragment"}},
		{"discovery http", Config{Issuer: "x", Discovery: "http://k.example.com/"}, []string{"discovery", "plain http"}},
		{"two sources", Config{Issuer: "x", JWKS: "https://k/", PEMFile: "p"}, []string{"jwks, pem_file", "keep one"}},
		{"discovery and jwks", Config{Issuer: "x", JWKS: "https://k/", Discovery: "https://k/"}, []string{"discovery, jwks"}},
		{"four sources", Config{Issuer: "x", JWKS: "https://k/", PEMFile: "p", Discovery: "https://k/d", JWKSFile: "f"}, []string{"discovery, jwks, jwks_file, pem_file"}},
		{"secret empty", Config{Issuer: "x", Secret: []byte{}}, []string{"secret: must not be empty"}},
		{"secret short", Config{Issuer: "x", Secret: secret[:31]}, []string{"31 bytes", "at least 32"}},
		{"secret is a PEM public key", Config{Issuer: "x", Secret: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, []string{"no secret"}},
		{"secret is a PEM public key after a blank", Config{Issuer: "x", Secret: append([]byte("\n "), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)}, []string{"no secret"}},
		{"secret is a DER public key", Config{Issuer: "x", Secret: der}, []string{"no secret"}},
		{"secret is PKCS1", Config{Issuer: "x", Secret: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)}, []string{"no secret"}},
		{"secret is a JWK", Config{Issuer: "x", Secret: must(json.Marshal(rsaJWKObject("a")))}, []string{"no secret"}},
		{"refresh short", Config{Issuer: "https://i", Refresh: time.Millisecond}, []string{"refresh 1ms", "between"}},
		{"refresh long", Config{Issuer: "https://i", Refresh: 25 * time.Hour}, []string{"refresh 25h", "between"}},
		{"refresh negative", Config{Issuer: "https://i", Refresh: -1}, []string{"refresh"}},
		{"max_stale negative", Config{Issuer: "https://i", MaxStale: -time.Second}, []string{"max_stale -1s"}},
		{"timeout long", Config{Issuer: "https://i", Timeout: time.Minute}, []string{"timeout 1m0s", "at most 10s"}},
		{"timeout negative", Config{Issuer: "https://i", Timeout: -1}, []string{"timeout"}},
		{"ca without network", Config{Issuer: "x", PEMFile: "p", CAFile: "ca"}, []string{"tls_ca", "pem_file"}},
		{"all at once", Config{JWKS: "http://k/", PEMFile: "p", Secret: []byte("x"), Refresh: -1, MaxStale: -1, Timeout: -1},
			[]string{"issuer:", "keep one", "plain http", "at least 32", "refresh", "max_stale", "timeout"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if tt.want == nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, words := range tt.want {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("error lacks %q:\n%v", words, err)
				}
			}
			if strings.Contains(err.Error(), "hunter22") || len(tt.cfg.Secret) > 8 && strings.Contains(err.Error(), string(tt.cfg.Secret[:8])) {
				t.Errorf("error holds a secret: %v", err)
			}
			if _, err := New(tt.cfg, Options{}); err == nil {
				t.Error("New accepts what Validate refuses")
			}
		})
	}
}

func TestPoolKey(t *testing.T) {
	file := write(t, "keys.json", "one")
	secret := []byte(strings.Repeat("s", 32))
	base := Config{Issuer: "https://i", JWKS: "https://i/k", Secret: secret}
	key := func(c Config) string {
		t.Helper()
		k, err := c.PoolKey()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	want := key(base)
	same := base
	same.Refresh, same.Timeout, same.Secret = DefaultRefresh, DefaultTimeout, []byte(strings.Repeat("s", 32))
	if key(same) != want {
		t.Error("defaults in words make another key")
	}
	if strings.Contains(want, "ssss") || len(want) != 64 {
		t.Errorf("pool key %q", want)
	}
	seen := map[string]string{want: "base"}
	for name, change := range map[string]func(*Config){
		"issuer":       func(c *Config) { c.Issuer = "https://j" },
		"issuer slash": func(c *Config) { c.Issuer = "https://i/" },
		"jwks":         func(c *Config) { c.JWKS = "https://i/l" },
		"discovery":    func(c *Config) { c.JWKS, c.Discovery = "", "https://i/k" },
		"secret":       func(c *Config) { c.Secret = []byte(strings.Repeat("t", 32)) },
		"no secret":    func(c *Config) { c.Secret = nil },
		"refresh":      func(c *Config) { c.Refresh = time.Minute },
		"max_stale":    func(c *Config) { c.MaxStale = 1 },
		"timeout":      func(c *Config) { c.Timeout = time.Second },
		"insecure":     func(c *Config) { c.Insecure = true },
		"ca":           func(c *Config) { c.CAFile = file },
		"jwks_file":    func(c *Config) { c.JWKS, c.JWKSFile = "", file },
		"pem_file":     func(c *Config) { c.JWKS, c.PEMFile = "", file },
	} {
		c := base
		change(&c)
		k := key(c)
		if other, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[k] = name
	}
	c := Config{Issuer: "i", JWKSFile: file}
	before := key(c)
	write(t, file, "two")
	if key(c) == before {
		t.Error("other content of a file, same key")
	}
	c.JWKSFile = file + ".missing"
	if _, err := c.PoolKey(); err == nil || !strings.Contains(err.Error(), "jwks_file") {
		t.Errorf("missing file: %v", err)
	}
}

func TestStorageNameHoldsNothingPrivate(t *testing.T) {
	a := Config{Issuer: "https://i", Secret: []byte(strings.Repeat("s", 32)), JWKS: "https://i/k"}
	b := a
	b.Secret, b.Refresh = nil, time.Second
	if a.storageName(nil) != b.storageName(nil) {
		t.Error("secret or refresh change the name")
	}
	b.Issuer = "https://j"
	if a.storageName(nil) == b.storageName(nil) || a.storageName(nil) == a.storageName([]byte("ca")) {
		t.Error("issuer or roots do not change the name")
	}
	if name := a.storageName(nil); !strings.HasPrefix(name, "jwtgate/keys/") || !strings.HasSuffix(name, ".json") || len(name) != len("jwtgate/keys/.json")+64 {
		t.Errorf("name %q", name)
	}
}
