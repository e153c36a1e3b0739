package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var unstable = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "https://id.example.com"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "localhost:8080"},
	{regexp.MustCompile(`127\.0\.0\.1`), "api.example.com"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-11-21T09:30:00Z"},
	{regexp.MustCompile(`, \d+ s ago`), ", 2 s ago"},
	{regexp.MustCompile(`fetched \d+ s ago`), "fetched 2 s ago"},
	{regexp.MustCompile(`\b\d+ min( \d+ s)? ago \(exp`), "10 min ago (exp"},
	{regexp.MustCompile(`in 4 min \d+ s`), "in 4 min 58 s"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43}`), "ZXVg_2ht7rCFQexike6w6wa5d9hJNJ1aENyVcbBXtRg"},
	{regexp.MustCompile(`\b\d{3} bytes`), "748 bytes"},
}

// TestExplainGolden keeps the printed form, which docs/operate.md shows.
func TestExplainGolden(t *testing.T) {
	l := newExplainLab(t, explainSites)
	for _, tt := range []struct {
		name, raw string
		args      []string
		locale    string
	}{
		{"accepted", l.sign(map[string]any{"tenant": "Zürich"}), []string{"--route", "/orders", "--show-claims"}, "C.UTF-8"},
		{"audience", l.sign(map[string]any{"aud": "https://billing.example.com"}), []string{"--route", "/orders"}, "C.UTF-8"},
		{"expired_ascii", l.sign(map[string]any{"exp": time.Now().Add(-10*time.Minute - 2*time.Second).Unix()}), []string{"--route", "/orders"}, "C"},
		{"no_gate", l.sign(nil), []string{"--route", "/reports/2026"}, "C.UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("LC_ALL", tt.locale)
			out, _ := l.explain(tt.raw, tt.args...)
			for _, u := range unstable {
				out = u.find.ReplaceAllString(out, u.replace)
			}
			out = regexp.MustCompile(`(?m)^  (jti|exp|iat) .*\n`).ReplaceAllString(out, "")
			file := filepath.Join("testdata", "explain", tt.name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("%s\nwant\n%s", out, want)
			}
		})
	}
	t.Run("docs", func(t *testing.T) {
		doc, err := os.ReadFile("../docs/operate.md")
		if err != nil {
			t.Fatal(err)
		}
		shown, err := os.ReadFile(filepath.Join("testdata", "explain", "audience.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), "```text\n"+string(shown)+"```\n") {
			t.Error("docs/operate.md shows another output than that of testdata/explain/audience.txt")
		}
	})
}
