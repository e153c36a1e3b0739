package jwks

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func pemText(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func pkix(pub crypto.PublicKey) string {
	return pemText("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(pub)))
}

func certificate() string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	return pemText("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, &rsaKey().PublicKey, rsaKey())))
}

func TestPEM(t *testing.T) {
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	tests := []struct {
		name, text string
		want       token.AlgorithmSet
		words      string
	}{
		{"rsa", pkix(&rsaKey().PublicKey), rsaAlgorithms, ""},
		{"rsa pkcs1", pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), rsaAlgorithms, ""},
		{"ec", pkix(&ecKey().PublicKey), token.Algorithms(token.ES256), ""},
		{"ed25519", pkix(edKey().Public()), token.Algorithms(token.EdDSA), ""},
		{"certificate, expired", certificate(), rsaAlgorithms, ""},
		{"text around", "# ours\n" + pkix(&ecKey().PublicKey) + "\ntrailing words\n", token.Algorithms(token.ES256), ""},

		{"empty", "", 0, "no PEM block"},
		{"jwks", keySet(ecJWKObject("e")), 0, "no PEM block"},
		{"two keys", pkix(&ecKey().PublicKey) + pkix(&rsaKey().PublicKey), 0, "holds 2 keys"},
		{"certificate and its key", certificate() + pkix(&rsaKey().PublicKey), 0, "holds 2 keys"},
		{"rsa private", pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), 0, "private key"},
		{"pkcs8 private", pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey()))), 0, "private key"},
		{"private beside public", pkix(&ecKey().PublicKey) + pemText("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey()))), 0, "private key"},
		{"encrypted private", pemText("ENCRYPTED PRIVATE KEY", []byte("x")), 0, "private key"},
		{"signing request", pemText("CERTIFICATE REQUEST", []byte("x")), 0, "no public key"},
		{"nonsense inside", pemText("PUBLIC KEY", []byte("x")), 0, "cannot be read"},
		{"rsa as the wrong block", pemText("PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), 0, "cannot be read"},
		{"p-224", pkix(&p224.PublicKey), 0, "P-256, P-384 or P-521"},
		{"ed25519 of small order", pkix(ed25519.PublicKey(make([]byte, 32))), 0, "small order"},
		{"too long", strings.Repeat("#", maxDocument) + pkix(&ecKey().PublicKey), 0, "longer than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "key.pem", tt.text)
			s, err := New(Config{Issuer: "i", PEMFile: path}, Options{})
			if tt.want == 0 {
				if err == nil {
					s.Close()
					t.Fatal("accepted")
				}
				if !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), "pem_file "+path) {
					t.Errorf("error %q, want words %q", err, tt.words)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			set, reason := s.Keys(time.Now().Add(10000 * time.Hour))
			if set == nil {
				t.Fatalf("file keys go stale: %v", reason)
			}
			for _, a := range tt.want.List() {
				if len(set.Candidates(a, "any kid", true)) != 1 || len(set.Candidates(a, "", false)) != 1 {
					t.Errorf("%s: the key does not answer to any kid", a)
				}
			}
			if set.keys[0].Algorithms() != tt.want || !set.HasKid("any kid") {
				t.Errorf("algorithms %v", set.keys[0].Algorithms().List())
			}
			if s.Refetch(context.Background(), set) != Current {
				t.Error("a file has more to say")
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for name, cfg := range map[string]Config{
		"missing":      {Issuer: "i", JWKSFile: filepath.Join(dir, "none.json")},
		"missing pem":  {Issuer: "i", PEMFile: filepath.Join(dir, "none.pem")},
		"directory":    {Issuer: "i", JWKSFile: dir},
		"device":       {Issuer: "i", PEMFile: "/dev/null"},
		"endless":      {Issuer: "i", JWKSFile: "/dev/zero"},
		"html":         {Issuer: "i", JWKSFile: write(t, "x.json", "<html>")},
		"no keys":      {Issuer: "i", JWKSFile: write(t, "x.json", `{"keys":[]}`)},
		"private only": {Issuer: "i", JWKSFile: write(t, "x.json", keySet(ecJWKObject("e").with(object{"d": "AQABAQABAQAB"})))},
	} {
		s, err := New(cfg, Options{})
		if err == nil {
			s.Close()
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.Contains(err.Error(), cfg.JWKSFile+cfg.PEMFile) || strings.Contains(err.Error(), "AQABAQAB") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileIsReadAgain(t *testing.T) {
	log := &logbook{}
	path := write(t, "keys.json", keySet(ecJWKObject("a")))
	s := start(t, Config{Issuer: "i", JWKSFile: path}, Options{Logger: slog.New(log)})
	set, _ := s.Keys(time.Now())
	if !set.HasKid("a") {
		t.Fatal("no keys at once")
	}
	has := func(kid string) func() bool {
		return func() bool { set, _ := s.Keys(time.Now()); return set.HasKid(kid) }
	}
	write(t, path, keySet(ecJWKObject("a"), ecFresh("b")))
	eventually(t, "written in place", has("b"))
	if now, _ := s.Keys(time.Now()); !now.Has(set.keys[0]) || now.keys[0] != set.keys[0] {
		t.Error("an unchanged key is another one")
	}

	next := write(t, filepath.Join(filepath.Dir(path), "next"), keySet(ecFresh("c")))
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "renamed into place", has("c"))

	write(t, path, `{"keys":[`)
	eventually(t, "broken", func() bool { return s.Status().LastError != "" })
	if !has("c")() || !strings.Contains(s.Status().LastError, "jwks_file "+path) {
		t.Errorf("status %+v", s.Status())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gone", func() bool { return strings.Contains(s.Status().LastError, "no such file") })
	if n := log.count(slog.LevelWarn); n != 1 || !has("c")() {
		t.Errorf("%d warnings:\n%s", n, log.text())
	}

	write(t, path, keySet(ecFresh("d")))
	if err := s.RefreshNow(context.Background()); err != nil || !has("d")() {
		t.Errorf("RefreshNow: %v", err)
	}
	if s.Status().LastError != "" || !strings.Contains(log.text(), "can be used again") {
		t.Errorf("no recovery:\n%s", log.text())
	}
}

// Same size, same time, same inode: the content is compared now and then.
func TestFileChangeThatTimesDoNotShow(t *testing.T) {
	one, two := keySet(ecFresh("x")), keySet(ecFresh("y"))
	path := write(t, "keys.json", one)
	when := time.Unix(1e9, 0)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
	f, _, err := openFile(&Config{JWKSFile: path})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, two)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		doc, changed, err := f.reread(false)
		if err != nil || n > fileReadEvery {
			t.Fatalf("poll %d: %v", n, err)
		}
		if changed {
			if doc.keys[0].ID() != "y" {
				t.Errorf("key %q", doc.keys[0].ID())
			}
			break
		}
	}
}

func TestSecretSource(t *testing.T) {
	secret := bytes.Repeat([]byte("k"), 64)
	s := start(t, Config{Issuer: "i", Secret: secret}, Options{})
	set, _ := s.Keys(time.Now().Add(1e6 * time.Hour))
	for _, a := range []token.Algorithm{token.HS256, token.HS384, token.HS512} {
		if len(set.Candidates(a, "whatever", true)) != 1 {
			t.Errorf("%s has no key", a)
		}
	}
	secret[0] = 'x' // the caller's slice is the caller's
	if set.keys[0].Verify(token.HS256, signingInput, sign(token.HS256, bytes.Repeat([]byte("k"), 64))) != nil {
		t.Error("the secret changed under us")
	}
	st := s.Status()
	if st.Kind != "secret" || st.Location != "" || len(st.Keys) != 1 || st.Keys[0].Thumbprint != "" || st.Keys[0].Bits != 0 || st.Keys[0].Algorithms != nil || st.Keys[0].Type != "oct" {
		t.Errorf("status %+v", st)
	}
	if s.RefreshNow(context.Background()) != nil || s.Refetch(context.Background(), set) != Current || !set.HasKid("x") {
		t.Error("a secret is always current")
	}
}
