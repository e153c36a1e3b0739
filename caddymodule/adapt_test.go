package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write what the Caddyfiles of testdata/adapt give into their files")

// adapt turns a Caddyfile into indented JSON.
func adapt(caddyfile string) (string, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	out, _, err := adapter.Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out, "", "\t"); err != nil {
		return "", err
	}
	return pretty.String(), nil
}

// decode reads a configuration as Caddy does, unknown fields refused, and keeps
// it away from the machine's own data.
func decode(t *testing.T, config string) *caddy.Config {
	t.Helper()
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON([]byte(config), cfg); err != nil {
		t.Fatalf("decoding: %v", err)
	}
	root, err := json.Marshal(map[string]string{"module": "file_system", "root": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.StorageRaw = root
	cfg.Logging = quietLogs(t)
	return cfg
}

// quietLogs keeps Caddy's log of a test run readable.
func quietLogs(t *testing.T) *caddy.Logging {
	t.Helper()
	logging := new(caddy.Logging)
	if err := json.Unmarshal([]byte(`{"logs": {"default": {"writer": {"output": "discard"}}}}`), logging); err != nil {
		t.Fatal(err)
	}
	return logging
}

// testEnvironment is what the placeholders of the golden files stand for.
func testEnvironment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"JWTGATE_TEST_ISSUER":   "https://id.example.test",
		"JWTGATE_TEST_AUDIENCE": "orders-api",
		"JWTGATE_TEST_SECRET":   "0123456789abcdef0123456789abcdef",
		"JWTGATE_TEST_KEYS":     "testdata/keys.json",
		"JWTGATE_TEST_EMPTY":    "",
		"JWTGATE_TEST_REDIS":    "s3cret",
		"JWTGATE_TEST_ORIGIN":   "https://app.example.test",
	} {
		t.Setenv(name, value)
	}
}

var dashes = regexp.MustCompile(`(?m)^-{10,}\n`)

// TestAdapt compares each file of testdata/adapt: a Caddyfile, a line of
// dashes, and what it gives. That is JSON, which also has to load; or the whole
// error of adapting; or `load: ` and a part of the error of loading.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d golden files, error %v", len(files), err)
	}
	testEnvironment(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := dashes.Split(string(content), 2)
			if len(parts) != 2 && !*update {
				t.Fatal("no line of dashes")
			}
			want := ""
			if len(parts) == 2 {
				want = strings.TrimSpace(parts[1])
			}
			got, adaptErr := adapt(parts[0])
			if adaptErr != nil {
				got = adaptErr.Error()
			} else if err := caddy.Validate(decode(t, got)); err != nil {
				part, isLoad := strings.CutPrefix(want, "load: ")
				if isLoad && strings.Contains(err.Error(), part) {
					return
				}
				got = "load: " + err.Error()
			}
			if *update && !strings.HasPrefix(want, "load: ") {
				content := parts[0] + "----------\n" + got + "\n"
				if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestAdaptIsDeterministic adapts one large Caddyfile again and again.
func TestAdaptIsDeterministic(t *testing.T) {
	content, err := os.ReadFile("testdata/adapt/good_everything.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	source := dashes.Split(string(content), 2)[0]
	first, err := adapt(source)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := adapt(source); err != nil || again != first {
			t.Fatalf("second time: error %v, got\n%s\nwant\n%s", err, again, first)
		}
	}
}

// TestUnknownJSONFieldsAreRefused makes sure that a typo in JSON fails the load.
func TestUnknownJSONFieldsAreRefused(t *testing.T) {
	for name, config := range map[string]string{
		"app":     `{"apps": {"jwtgate": {"isuers": []}}}`,
		"issuer":  `{"apps": {"jwtgate": {"issuers": [{"issuer": "https://id.example.test", "audiences": ["x"]}]}}}`,
		"handler": gateJSON(`"handler": "jwtgate", "publik": true`),
	} {
		t.Run(name, func(t *testing.T) {
			err := caddy.Validate(decode(t, config))
			if err == nil || !strings.Contains(err.Error(), "unknown field") {
				t.Errorf("got %v, want an error about an unknown field", err)
			}
		})
	}
}

// gateJSON is a configuration whose only handler has these members.
func gateJSON(members string) string {
	return `{"apps": {"http": {"servers": {"s": {"listen": ["127.0.0.1:0"], "routes": [{"handle": [{` + members + `}]}]}}}}}`
}
