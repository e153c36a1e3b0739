package caddymodule

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// testdata is where it is when a test has gone to another directory.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

// checkSecret has what a good secret needs.
const checkSecret = "kN3vQ8xZt5LwPy7RbM2cHs9JdFg4AeUo"

// checkDisks replaces the question to the kernel: the machine of the tests may
// keep its files anywhere.
func checkDisks(t *testing.T) {
	t.Helper()
	real := fileSystem
	t.Cleanup(func() { fileSystem = real })
	fileSystem = func(string) (diskKind, string) { return diskUnknown, "" }
}

// checkText checks a Caddyfile or, with a name that ends in .json, JSON.
func checkText(t *testing.T, name, text string, options checkOptions) *checkReport {
	t.Helper()
	text = strings.ReplaceAll(text, "\tISSUER\n", "\tissuer https://id.example {\n\t\t\taudience a\n\t\t\tjwks_file KEYS\n\t\t}\n")
	text = strings.ReplaceAll(text, "jwks_file KEYS\n", "jwks_file "+filepath.Join(testdata, "keys.json")+"\n")
	t.Setenv("CHECK_SECRET", checkSecret)
	t.Setenv("CHECK_WEAK_SECRET", strings.Repeat("abcd1234", 5))
	t.Chdir(t.TempDir())
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := loadOffline(t.Context(), name, "")
	if err != nil {
		return failure(name, err)
	}
	defer o.close()
	return check(t.Context(), o, options)
}

// sections splits a file of testdata at its lines "-- name --".
func sections(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	name := ""
	for line := range strings.Lines(string(content)) {
		if inner, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(inner, " --") {
			name = strings.TrimSuffix(inner, " --")
			continue
		}
		out[name] += line
	}
	return out
}

// ofID is the text of the findings of one id.
func (r *checkReport) ofID(id string) string {
	only := checkReport{File: r.File}
	for _, f := range r.Findings {
		if f.ID == id {
			only.Findings = append(only.Findings, f)
		}
	}
	if len(only.Findings) == 0 {
		return ""
	}
	text := only.text(paint(false))
	return text[:strings.LastIndex(text, "\n\n")+1]
}

// onlineRules are the findings about issuers that have to be asked, which
// TestCheckAsksIssuers looks for.
var onlineRules = []string{"issuer_unreachable", "issuer_unusable", "issuer_mismatch", "issuer_keys_skipped"}

// TestCheckRules: each rule has a Caddyfile that breaks it and one that keeps
// it. Written anew with -update.
func TestCheckRules(t *testing.T) {
	checkDisks(t)
	for _, id := range slices.Sorted(maps.Keys(checkRules)) {
		if slices.Contains(onlineRules, id) {
			continue
		}
		t.Run(id, func(t *testing.T) {
			if kind, ok := strings.CutPrefix(id, "journal_"); ok && kind != "off" {
				fileSystem = func(string) (diskKind, string) {
					return map[string]diskKind{"volatile": diskMemory, "network": diskNetwork, "container": diskContainer}[kind], "test"
				}
			}
			file := filepath.Join(testdata, "check", id+".txt")
			parts := sections(t, file)
			got := checkText(t, "Caddyfile", parts["bad"], checkOptions{offline: true}).ofID(id)
			if got == "" {
				t.Fatal("the bad Caddyfile has no such finding")
			}
			if *update {
				text := "-- bad --\n" + parts["bad"] + "-- fixed --\n" + parts["fixed"] + "-- finding --\n" + got
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != parts["finding"] {
				t.Errorf("got\n%s\nwant\n%s", got, parts["finding"])
			}
			checkDisks(t)
			if got := checkText(t, "Caddyfile", parts["fixed"], checkOptions{offline: true}); got.ofID(id) != "" || got.ofID("load_failed") != "" {
				t.Errorf("the fixed Caddyfile has\n%s", got.text(paint(false)))
			}
		})
	}
}

// TestCheckRulesAreDocumented looks for each rule in the documents, with its
// severity.
func TestCheckRulesAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	for id, rule := range checkRules {
		if !strings.Contains(string(content), "| `"+id+"` | "+rule.severity+" |") {
			t.Errorf("docs/check.md has no line that begins with | `%s` | %s |", id, rule.severity)
		}
	}
}

// TestCheckExamples: what people copy is beyond reproach, but for what it says
// itself.
func TestCheckExamples(t *testing.T) {
	checkDisks(t)
	files, err := filepath.Glob(filepath.Join(testdata, "../../examples/*/Caddyfile"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	keys, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile("testdata/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	// The example of RFC 7517, appendix A.1.
	ecKeys := []byte(`{"keys": [{"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "kid": "1"}]}`)
	expected := map[string][]string{"hs256-legacy": {"sub_optional"}}
	for _, file := range append(files, filepath.Join(testdata, "../../Caddyfile.example")) {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for path, data := range map[string][]byte{"keys.json": keys, "partner-keys.json": ecKeys, "batch.pub.pem": public, "revoke-secret.txt": []byte(checkSecret)} {
				if err := os.WriteFile(filepath.Join(dir, path), data, 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv(map[string]string{"keys.json": "KEYS", "partner-keys.json": "PARTNER_KEYS", "batch.pub.pem": "PUBLIC_KEY", "revoke-secret.txt": "REVOKE_SECRET_FILE"}[path], filepath.Join(dir, path))
			}
			t.Setenv("JWT_SECRET", checkSecret)
			r := checkText(t, "Caddyfile", string(content), checkOptions{offline: true})
			for _, f := range r.Findings {
				if f.Severity != severityNote && !slices.Contains(expected[name], f.ID) {
					t.Errorf("%s: %s: %s", f.place, f.ID, f.Message)
				}
			}
			for _, id := range expected[name] {
				if r.ofID(id) == "" {
					t.Errorf("no %s", id)
				}
			}
		})
	}
}

func TestCheckStrict(t *testing.T) {
	checkDisks(t)
	parts := sections(t, "testdata/check/observe_on.txt")
	r := checkText(t, "Caddyfile", parts["bad"], checkOptions{offline: true, strict: true, timeout: time.Second})
	if r.Errors != 1 || r.Warnings != 0 || r.verdict() == nil {
		t.Error(r.text(paint(false)))
	}
}

// TestCheckPlacesInJSON: without a Caddyfile, places are pointers and lines.
func TestCheckPlacesInJSON(t *testing.T) {
	checkDisks(t)
	r := checkText(t, "caddy.json", `{
	"apps": {
		"jwtgate": {
			"issuers": [
				{"issuer": "https://id.example", "jwks_file": "`+filepath.Join(testdata, "keys.json")+`",
				"any_audience": true}
			]
		},
		"http": {"servers": {"a/b": {"listen": ["localhost:1"], "routes": [
			{"handle": [
				{"handler": "jwtgate",
				"observe": true},
				{"handler": "reverse_proxy", "upstreams": [{"dial": "localhost:3000"}]}
			], "match": [{"path": ["/api/*"]}]},
			{"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "localhost:3000"}]}]}
		]}}}
	}
}`, checkOptions{offline: true})
	got := make(map[string]string)
	for _, f := range r.Findings {
		got[f.ID] = f.place.String()
	}
	want := map[string]string{
		"audience_any":    "caddy.json:6 (/apps/jwtgate/issuers/0/any_audience)",
		"observe_on":      "caddy.json:12 (/apps/http/servers/a~1b/routes/0/handle/0/observe)",
		"ungated_backend": "caddy.json:15 (/apps/http/servers/a~1b/routes/1/handle/0)",
		"path_gap":        "caddy.json:11 (/apps/http/servers/a~1b/routes/0/handle/0)",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

func TestCheckAsksIssuers(t *testing.T) {
	checkDisks(t)
	for _, test := range []struct {
		name  string
		set   func(*issuertest.Issuer)
		id    string
		words string
		code  int
	}{
		{"all is well", func(*issuertest.Issuer) {}, "", "1 usable key (", cli.Done},
		{"down", (*issuertest.Issuer).Down, "issuer_unreachable", "connection refused", cli.Unreachable},
		{"an error", func(i *issuertest.Issuer) { i.FailDiscovery(issuertest.ServerError) }, "issuer_unreachable", "500", cli.Unreachable},
		{"another issuer", func(i *issuertest.Issuer) { i.DiscoverAs("https://other.example") }, "issuer_mismatch", "https://other.example", cli.Refused},
		{"no keys", func(i *issuertest.Issuer) { i.Publish([]byte(`{"keys":[]}`)) }, "issuer_unusable", "key", cli.Refused},
		{"no JSON", func(i *issuertest.Issuer) { i.Publish([]byte(`<html>`)) }, "issuer_unusable", "", cli.Refused},
		{"a key that is not used", func(i *issuertest.Issuer) {
			i.Publish([]byte(strings.Replace(string(i.JWKS()), "[", `[{"kty":"oct","k":"AAAA","kid":"shared"},`, 1)))
		}, "issuer_keys_skipped", "shared", cli.Done},
	} {
		t.Run(test.name, func(t *testing.T) {
			iss := issuertest.New(t)
			test.set(iss)
			r := checkText(t, "Caddyfile", "localhost {\n\tjwtgate {\n\t\tissuer "+iss.URL()+"\n\t\taudience a\n\t}\n\treverse_proxy localhost:3000\n}\n", checkOptions{timeout: 20 * time.Second})
			text := r.text(paint(false))
			if code := cli.Code(r.verdict()); code != test.code || !strings.Contains(text, test.words) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, test.code, test.words, text)
			}
			if test.id == "" && len(r.Findings) > 0 || test.id != "" && !strings.HasPrefix(r.ofID(test.id), "Caddyfile:3: ") {
				t.Errorf("want %q:\n%s", test.id, text)
			}
		})
	}
}

// TestCheckWaitsNoLonger: an issuer that says nothing costs the timeout.
func TestCheckWaitsNoLonger(t *testing.T) {
	checkDisks(t)
	iss := issuertest.New(t)
	iss.FailDiscovery(issuertest.Hang)
	r := checkText(t, "Caddyfile", "localhost {\n\tjwtgate {\n\t\tissuer "+iss.URL()+"\n\t\taudience a\n\t}\n\treverse_proxy localhost:3000\n}\n", checkOptions{timeout: 50 * time.Millisecond})
	if i := r.Issuers[0]; i.ErrorKind != "timeout" || !strings.Contains(i.Error, "within 50ms") || cli.Code(r.verdict()) != cli.Unreachable {
		t.Errorf("%+v", i)
	}
}

func TestWeakSecret(t *testing.T) {
	for _, test := range []struct {
		name, secret string
		weak         bool
	}{
		{"none", "", false},
		{"random letters", checkSecret, false},
		{"random hexadecimal", "9f2c4e81b07d365aa1f8c3d90e5b7246", false},
		{"one letter", strings.Repeat("x", 40), true},
		{"a repeated word", strings.Repeat("hunter2.", 5), true},
		{"counting", "0123456789:;<=>?@ABCDEFGHIJKLMNO", true},
		{"of a famous example", "your-256-bit-secret-your-256-bit", true},
		{"of a setting", "Change-Me-Before-Production-12345", true},
		{"few letters", "ababbababaabbabababbabaabbababab", true},
		{"zero bytes", string(make([]byte, 32)), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			why := weakSecret([]byte(test.secret))
			if (why != "") != test.weak {
				t.Errorf("%q", why)
			}
			if test.secret != "" && strings.Contains(why, test.secret) {
				t.Errorf("it quotes the secret: %s", why)
			}
		})
	}
}

// TestCheckIsQuiet: what is right has no finding, and one that is not has no
// further ones.
func TestCheckIsQuiet(t *testing.T) {
	checkDisks(t)
	r := checkText(t, "Caddyfile", `{
	jwtgate {
		ISSUER
	}
}
(gate) {
	jwtgate {
		forward {
			X-User-ID sub
		}
	}
}
www.example.com {
	root * /srv
	encode gzip
	try_files {path} /index.html
	file_server
}
app.example.com {
	import gate
	@ws {
		header Connection *Upgrade*
		header Upgrade websocket
	}
	reverse_proxy @ws localhost:6001
	php_fastcgi unix//run/php.sock
	file_server
}
shop.example.com {
	redir /old /new
	handle_path /api/* {
		import gate
		request_header X-Tenant acme
		reverse_proxy localhost:3000 {
			header_up X-Real-IP {remote_host}
			header_down -Server
		}
	}
	handle {
		respond /health ok
		file_server
	}
}
*.tenants.example.com {
	@a host a.tenants.example.com
	handle @a {
		import gate
		reverse_proxy localhost:3000
	}
	handle {
		abort
	}
}
auth.example.com {
	forward_auth localhost:9091 {
		uri /verify
		copy_headers X-User-ID
	}
	reverse_proxy localhost:3000
}
`, checkOptions{offline: true})
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.place.String()+" "+f.ID)
	}
	if want := []string{"Caddyfile:58 ungated_backend"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q\n%s", got, want, r.text(paint(false)))
	}
}
