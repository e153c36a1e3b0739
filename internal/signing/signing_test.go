package signing

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// jwx is the second opinion on signatures, key sets and thumbprints.
func TestEveryAlgorithmVerifiesElsewhere(t *testing.T) {
	for _, alg := range Algorithms() {
		t.Run(alg, func(t *testing.T) {
			key, err := Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			if key.Algorithm() != alg {
				t.Errorf("Algorithm() = %q", key.Algorithm())
			}
			raw, err := key.Sign([]byte(`{"alg":"`+alg+`"}`), []byte(`{"sub":"alice"}`))
			if err != nil {
				t.Fatal(err)
			}
			var verifyWith any = key.Public()
			if Symmetric(alg) {
				verifyWith = key.Secret()
			}
			payload, err := jws.Verify([]byte(raw), jws.WithKey(jwa.SignatureAlgorithm(alg), verifyWith))
			if err != nil {
				t.Fatalf("jwx refuses our signature: %v", err)
			}
			if string(payload) != `{"sub":"alice"}` {
				t.Errorf("payload = %s", payload)
			}
			set, err := jwk.Parse(MarshalJWKS(key))
			if err != nil {
				t.Fatal(err)
			}
			if Symmetric(alg) {
				if set.Len() != 0 {
					t.Errorf("a secret was published: %s", MarshalJWKS(key))
				}
				return
			}
			published, ok := set.LookupKeyID(key.ID())
			if !ok {
				t.Fatalf("no key %q in %s", key.ID(), MarshalJWKS(key))
			}
			if private, _ := jwk.IsPrivateKey(published); private {
				t.Error("the key set holds a private key")
			}
			if _, err := jws.Verify([]byte(raw), jws.WithKeySet(set, jws.WithRequireKid(false))); err != nil {
				t.Errorf("jwx refuses our signature under our key set: %v", err)
			}
			if err := jwk.AssignKeyID(published); err != nil || published.KeyID() != key.Thumbprint() {
				t.Errorf("thumbprint %q, jwx says %q, %v", key.Thumbprint(), published.KeyID(), err)
			}
		})
	}
}

func TestParsePEMReadsBackWhatMarshalPEMWrote(t *testing.T) {
	for _, alg := range Algorithms() {
		if Symmetric(alg) {
			continue
		}
		t.Run(alg, func(t *testing.T) {
			key, err := Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			data, err := key.MarshalPEM()
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParsePEM(data, alg)
			if err != nil {
				t.Fatal(err)
			}
			if back.ID() != key.ID() || back.Algorithm() != alg {
				t.Errorf("got %s %s, want %s %s", back.Algorithm(), back.ID(), alg, key.ID())
			}
			public, err := key.MarshalPublicPEM()
			if err != nil || !strings.HasPrefix(string(public), "-----BEGIN PUBLIC KEY-----") {
				t.Errorf("public PEM = %.40q, %v", public, err)
			}
		})
	}
}

func TestParsePEMChoosesTheAlgorithmOfTheKey(t *testing.T) {
	for given, want := range map[string]string{"PS384": "RS256", "ES384": "ES384", "ES512": "ES512", "EdDSA": "EdDSA"} {
		key, err := Generate(given)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := key.MarshalPEM()
		if back, err := ParsePEM(data, ""); err != nil || back.Algorithm() != want {
			t.Errorf("key for %s: got %v, %v, want %s", given, back, err, want)
		}
	}
}

func TestParsePEMTakesTheOlderForms(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	preceded := append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), pkcs1...)
	for name, data := range map[string][]byte{"pkcs1": pkcs1, "after another block": preceded} {
		if k, err := ParsePEM(data, "PS256"); err != nil || k.Algorithm() != "PS256" {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

func TestRefusedKeys(t *testing.T) {
	ec, err := Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	ecPEM, _ := ec.MarshalPEM()
	publicPEM, _ := ec.MarshalPublicPEM()
	for _, tt := range []struct {
		name string
		make func() (*Key, error)
		want string
	}{
		{"unknown algorithm", func() (*Key, error) { return Generate("none") }, `"none" is not one of`},
		{"lower case", func() (*Key, error) { return Generate("rs256") }, `"rs256" is not one of`},
		{"wrong curve", func() (*Key, error) { return ParsePEM(ecPEM, "ES384") }, "does not fit"},
		{"wrong type", func() (*Key, error) { return ParsePEM(ecPEM, "RS256") }, "does not fit"},
		{"public key", func() (*Key, error) { return ParsePEM(publicPEM, "") }, "no PEM block"},
		{"encrypted", func() (*Key, error) {
			return ParsePEM(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), "")
		}, "is encrypted"},
		{"damaged", func() (*Key, error) {
			return ParsePEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "")
		}, `PEM block "PRIVATE KEY"`},
		{"short secret", func() (*Key, error) { return FromSecret(make([]byte, 31), "HS256") }, "at least 32 bytes"},
		{"secret for RS256", func() (*Key, error) { return FromSecret(make([]byte, 99), "RS256") }, "needs a private key"},
		{"private key for HS256", func() (*Key, error) { return ParsePEM(ecPEM, "HS256") }, "does not fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := tt.make()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want an error with %q", k, err, tt.want)
			}
		})
	}
}

func TestWithIDLeavesTheOriginalAlone(t *testing.T) {
	key, err := Generate("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	before := key.ID()
	renamed := key.WithID("other")
	if key.ID() != before || renamed.ID() != "other" {
		t.Errorf("IDs %q and %q", key.ID(), renamed.ID())
	}
	var set struct{ Keys []JWK }
	if err := json.Unmarshal(MarshalJWKS(renamed), &set); err != nil || set.Keys[0].KeyID != "other" {
		t.Errorf("published as %+v, %v", set, err)
	}
}
