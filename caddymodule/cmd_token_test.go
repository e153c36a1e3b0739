package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

// runToken runs `caddy jwtgate token` with args.
func runToken(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	parent := &cobra.Command{Use: "jwtgate", SilenceErrors: true, SilenceUsage: true}
	cli.Attach(parent)
	var out, errOut bytes.Buffer
	parent.SetIn(strings.NewReader(stdin))
	parent.SetOut(&out)
	parent.SetErr(&errOut)
	parent.SetArgs(append([]string{"token"}, args...))
	err = parent.Execute()
	return out.String(), errOut.String(), err
}

func keygen(t *testing.T, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "key")
	if _, _, err := runToken(t, "", append([]string{"keygen", "--out", out}, args...)...); err != nil {
		t.Fatal(err)
	}
	return out
}

func tokenParts(t *testing.T, stdout string) (header, claims map[string]any) {
	t.Helper()
	if !strings.HasSuffix(stdout, "\n") || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("stdout is not the token alone: %q", stdout)
	}
	parts := strings.Split(strings.TrimSuffix(stdout, "\n"), ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", stdout)
	}
	for n, into := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestTokenCommandSignsWithGeneratedKeys(t *testing.T) {
	for _, alg := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			jwks := filepath.Join(t.TempDir(), "keys.json")
			key := keygen(t, "--alg", alg, "--jwks", jwks)
			stdout, stderr, err := runToken(t, "", "--key", key, "--alg", alg, "--issuer", "https://id.example.com")
			if err != nil {
				t.Fatal(err)
			}
			if stderr != "" {
				t.Errorf("stderr, which is no terminal, got %q", stderr)
			}
			data, err := os.ReadFile(jwks)
			if err != nil {
				t.Fatal(err)
			}
			set, err := jwk.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jws.Verify([]byte(strings.TrimSpace(stdout)), jws.WithKeySet(set)); err != nil {
				t.Errorf("the token does not verify under its key set: %v", err)
			}
		})
	}
}

func TestTokenCommandSignsWithASecret(t *testing.T) {
	key := keygen(t, "--alg", "HS256")
	stdout, _, err := runToken(t, "", "--key", key, "--alg", "HS256", "--issuer", "i")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(key)
	secret := strings.TrimSuffix(string(text), "\n")
	if _, err := jws.Verify([]byte(strings.TrimSpace(stdout)), jws.WithKey(jwa.HS256, []byte(secret))); err != nil {
		t.Errorf("the file's text is not the secret: %v", err)
	}
	if header, _ := tokenParts(t, stdout); header["kid"] != nil {
		t.Errorf("a secret has the kid %v", header["kid"])
	}
	want := []byte("0123456789abcdef0123456789abcdef")
	for encoding, text := range map[string]string{
		"plain":     string(want) + "\r\n",
		"hex":       "3031323334353637383961626364656630313233343536373839616263646566\n",
		"base64":    base64.StdEncoding.EncodeToString(want),
		"base64url": base64.RawURLEncoding.EncodeToString(want),
	} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, _, err := runToken(t, "", "--key", file, "--encoding", encoding, "--alg", "HS256", "--issuer", "i")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jws.Verify([]byte(strings.TrimSpace(stdout)), jws.WithKey(jwa.HS256, want)); err != nil {
			t.Errorf("%s: %v", encoding, err)
		}
	}
}

func TestTokenCommandClaims(t *testing.T) {
	key := keygen(t)
	stdout, _, err := runToken(t, `{"sub":"file","tenant":"t1","exp":1,"nested":{"a":1}}`,
		"--key", key, "--issuer", "https://id.example.com", "--audience", "a", "--audience", "b",
		"--subject", "alice", "--scope", "x y", "--lifetime", "1h", "--claims", "-",
		"--claim", "email=alice@example.com", "--claim", `realm_access.roles=["editor"]`, "--claim", "n=12345678901234567890",
		"--claim", "ok=true", "--claim", "https://example.com/roles=admin", "--claim", "nested.b=2", "--claim", "empty=",
		"--omit", "jti", "--kid", "k1", "--typ", "JWT")
	if err != nil {
		t.Fatal(err)
	}
	header, claims := tokenParts(t, stdout)
	if header["kid"] != "k1" || header["typ"] != "JWT" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	iat, _ := claims["iat"].(json.Number).Int64()
	exp, _ := claims["exp"].(json.Number).Int64()
	if exp-iat != 3600 || time.Since(time.Unix(iat, 0)).Abs() > time.Minute {
		t.Errorf("iat %d, exp %d", iat, exp)
	}
	delete(claims, "iat")
	delete(claims, "exp")
	got, _ := json.Marshal(claims)
	want := `{"aud":["a","b"],"email":"alice@example.com","empty":"","https://example.com/roles":"admin","iss":"https://id.example.com",` +
		`"n":12345678901234567890,"nested":{"a":1,"b":2},"ok":true,"realm_access":{"roles":["editor"]},"scope":"x y","sub":"alice","tenant":"t1"}`
	if string(got) != want {
		t.Errorf("claims %s\nwant   %s", got, want)
	}
}

func TestTokenCommandMakesExpiredTokens(t *testing.T) {
	key := keygen(t)
	stdout, _, err := runToken(t, "", "--key", key, "--issuer", "i", "--lifetime", "-1m", "--kid=", "--typ=")
	if err != nil {
		t.Fatal(err)
	}
	header, claims := tokenParts(t, stdout)
	if len(header) != 1 {
		t.Errorf("header %v", header)
	}
	exp, _ := claims["exp"].(json.Number).Int64()
	iat, _ := claims["iat"].(json.Number).Int64()
	if age := time.Since(time.Unix(exp, 0)); age < 59*time.Second || age > 2*time.Minute || iat >= exp {
		t.Errorf("iat %d, exp %d", iat, exp)
	}
}

func TestTokenCommandRefusals(t *testing.T) {
	key, secret := keygen(t), keygen(t, "--alg", "HS256")
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("!hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no key", []string{"--issuer", "i"}, cli.Usage, "--key is missing"},
		{"no issuer", []string{"--key", key}, cli.Usage, "--issuer is missing"},
		{"claim without value", []string{"--key", key, "--issuer", "i", "--claim", "x"}, cli.Usage, "not path=value"},
		{"empty path", []string{"--key", key, "--issuer", "i", "--claim", "a..b=1"}, cli.Usage, "empty name"},
		{"path through a string", []string{"--key", key, "--issuer", "i", "--claim", "a=x", "--claim", "a.b=1"}, cli.Usage, "a is no object"},
		{"omit what is not there", []string{"--key", key, "--issuer", "i", "--omit", "jit"}, cli.Usage, "no such claim"},
		{"unknown flag", []string{"--key", key, "--isuer", "i"}, cli.Usage, "unknown flag"},
		{"argument", []string{"key.pem"}, cli.Usage, "takes no argument"},
		{"no such file", []string{"--key", key + "x", "--issuer", "i"}, cli.Refused, "no such file"},
		{"secret without algorithm", []string{"--key", secret, "--issuer", "i"}, cli.Refused, "no PEM block"},
		{"private key as secret", []string{"--key", key, "--issuer", "i", "--alg", "HS256"}, cli.Refused, "is no secret"},
		{"short secret", []string{"--key", short, "--issuer", "i", "--alg", "HS256"}, cli.Refused, "at least 32 bytes"},
		{"bad encoding", []string{"--key", short, "--issuer", "i", "--alg", "HS256", "--encoding", "hex"}, cli.Refused, "not valid hex"},
		{"unknown encoding", []string{"--key", short, "--issuer", "i", "--alg", "HS256", "--encoding", "rot13"}, cli.Usage, "rot13"},
		{"wrong algorithm", []string{"--key", key, "--issuer", "i", "--alg", "ES384"}, cli.Refused, "does not fit"},
		{"claims file is no object", []string{"--key", key, "--issuer", "i", "--claims", short}, cli.Refused, "claims in"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, _, err := runToken(t, "", tt.args...)
			if err == nil || cli.Code(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("exit %d, want %d: %v, want %q", cli.Code(err), tt.code, err, tt.want)
			}
			if stdout != "" {
				t.Errorf("stdout %q", stdout)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestClaimsOnStandardInputMustBeOneObject(t *testing.T) {
	key := keygen(t)
	for _, stdin := range []string{"", "null", "[]", `{"a":1}{"b":2}`, `{"a":1} x`, "{"} {
		if _, _, err := runToken(t, stdin, "--key", key, "--issuer", "i", "--claims", "-"); err == nil || !strings.Contains(err.Error(), "claims in -") {
			t.Errorf("%q: %v", stdin, err)
		}
	}
}

func TestKeygenWritesPrivateFilesAndOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	out, public := filepath.Join(dir, "key.pem"), filepath.Join(dir, "pub.pem")
	args := []string{"keygen", "--alg", "EdDSA", "--out", out, "--pem-public", public}
	if _, stderr, err := runToken(t, "", args...); err != nil || !strings.Contains(stderr, "private key for EdDSA") {
		t.Fatalf("%q, %v", stderr, err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(public)
	if err != nil || !strings.Contains(string(data), "BEGIN PUBLIC KEY") || strings.Contains(string(data), "PRIVATE") {
		t.Errorf("public key %s, %v", data, err)
	}
	before, _ := os.ReadFile(out)
	if err := os.Remove(public); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runToken(t, "", args...); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("second run: %v", err)
	}
	if after, _ := os.ReadFile(out); !bytes.Equal(before, after) {
		t.Error("the key was overwritten")
	}
	if _, err := os.Stat(public); err == nil {
		t.Error("a refused run wrote the public key")
	}
	if err := os.Chmod(out, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runToken(t, "", append(slices.Clone(args), "--force")...); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(out); bytes.Equal(before, after) {
		t.Error("--force kept the key")
	}
	if info, _ := os.Stat(out); info.Mode().Perm() != 0o600 {
		t.Errorf("--force left mode %v", info.Mode())
	}
}

func TestKeygenRefusals(t *testing.T) {
	out := filepath.Join(t.TempDir(), "key")
	for name, args := range map[string][]string{
		"no out":            {"--alg", "ES256"},
		"unknown algorithm": {"--alg", "none", "--out", out},
		"jwks of a secret":  {"--alg", "HS256", "--out", out, "--jwks", out + ".json"},
	} {
		if _, _, err := runToken(t, "", append([]string{"keygen"}, args...)...); cli.Code(err) != cli.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
