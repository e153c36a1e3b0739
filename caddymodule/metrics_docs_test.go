package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

const grafana = "../examples/grafana/"

// metricNames are the metrics that a running gateway exposes, with their
// labels. TestRunningGatewayExposesMetrics compares them with one.
func metricNames(t *testing.T) map[string][]string {
	t.Helper()
	a, _ := load(t, ":8080 {\njwtgate {\nissuer a {\naudience x\npem_file testdata/key.pem\n}\n}\n}\n")
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		for _, c := range append(process.all(), a.state.collectors()...) {
			c.Describe(described)
		}
	}()
	shape := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	names := make(map[string][]string)
	for d := range described {
		m := shape.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s is described in another way", d)
		}
		names[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
	}
	if len(names) < 25 {
		t.Fatalf("only %d metrics: %v", len(names), names)
	}
	return names
}

// TestEveryMetricIsDocumented compares the table of docs/operate.md with what is
// exposed, in both directions and with the labels; any other document names
// only what there is.
func TestEveryMetricIsDocumented(t *testing.T) {
	exposed := metricNames(t)
	row := regexp.MustCompile("(?m)^\\| `(jwtgate_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\| ([^|]+) \\| ([^|]+) \\|$")
	documented := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/operate.md"), -1) {
		documented[m[1]] = m[2]
		if strings.TrimSpace(m[3]) == "" || strings.TrimSpace(m[4]) == "" {
			t.Errorf("docs/operate.md does not say what %s means and what to do", m[1])
		}
	}
	for name, labels := range exposed {
		got, ok := documented[name]
		slices.Sort(labels)
		want := strings.FieldsFunc(got, func(r rune) bool { return r == ',' })
		slices.Sort(want)
		if !ok || !slices.Equal(labels, want) {
			t.Errorf("%s%v: the table of docs/operate.md has it: %v, with labels %v", name, labels, ok, want)
		}
	}
	for name := range documented {
		if exposed[name] == nil {
			if _, ok := exposed[name]; !ok {
				t.Errorf("docs/operate.md has %s, which is not exposed", name)
			}
		}
	}
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../README.md", "../CHANGELOG.md", grafana+"README.md") {
		for _, name := range mentioned(exposed, read(t, file)) {
			t.Errorf("%s has %s, which is not exposed", file, name)
		}
	}
}

// notMetrics begin like metrics and are directives or logger names.
var notMetrics = []string{"jwtgate_logout", "jwtgate_revoke"}

// mentioned returns the names in text that look like metrics and are none.
func mentioned(exposed map[string][]string, text string) (unknown []string) {
	for _, name := range regexp.MustCompile(`jwtgate_[a-z_]+`).FindAllString(text, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if _, ok := exposed[strings.TrimSuffix(name, suffix)]; ok {
				base = strings.TrimSuffix(name, suffix)
			}
		}
		if _, ok := exposed[base]; !ok && !slices.Contains(notMetrics, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// promQuery are the parts of a query that name our metrics and their labels.
var (
	selector = regexp.MustCompile(`(jwtgate_[a-z_]+|up)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
)

// checkQuery looks for metrics and labels that a gateway does not have.
func checkQuery(t *testing.T, exposed map[string][]string, where, query string) {
	t.Helper()
	for _, name := range mentioned(exposed, query) {
		t.Errorf("%s: %s is not exposed", where, name)
	}
	scraped := []string{"job", "instance"} // from Prometheus itself
	known := slices.Clone(scraped)
	found := selector.FindAllStringSubmatch(query, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %q", where, query)
	}
	for _, m := range found {
		own := slices.Clone(scraped)
		name := m[1]
		if base, ok := strings.CutSuffix(name, "_bucket"); ok {
			name, own = base, append(own, "le")
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum")
		own = append(own, exposed[name]...)
		known = append(known, own...)
		for _, label := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(own, label[1]) {
				t.Errorf("%s: %s has no label %s", where, m[1], label[1])
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if !slices.Contains(known, strings.TrimSpace(label)) {
				t.Errorf("%s: no metric of it has the label %s", where, label)
			}
		}
	}
}

// TestAlerts checks the alert rules, with promtool and their unit tests where it
// is there; JWTGATE_TESTS=all makes its absence fail.
func TestAlerts(t *testing.T) {
	exposed := metricNames(t)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, grafana+"alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	tests := read(t, grafana+"alerts_test.yml")
	seen := make(map[string]bool)
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || seen[rule.Alert] || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" ||
				!slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
				t.Errorf("alert %q: its name, severity, summary or description is missing or there twice", rule.Alert)
			}
			seen[rule.Alert] = true
			checkQuery(t, exposed, rule.Alert, rule.Expr)
			if !strings.Contains(tests, "alertname: "+rule.Alert+"\n        exp_alerts:") {
				t.Errorf("alerts_test.yml never raises %s", rule.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Fatalf("%d alerts", len(seen))
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("JWTGATE_TESTS") == "all" {
			t.Fatal("promtool is missing: apt-get install prometheus")
		}
		t.Skip("the unit tests of the alerts need promtool")
	}
	for _, args := range [][]string{
		{"check", "rules", "alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
		{"check", "config", "--syntax-only", "prometheus.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = grafana
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDashboard checks that every panel asks for what is exposed, that none lies
// over another, and that every metric is on some panel.
func TestDashboard(t *testing.T) {
	exposed := metricNames(t)
	type position struct{ X, Y, W, H int }
	var dashboard struct {
		UID, Title string
		Panels     []struct {
			ID          int
			Type, Title string
			Description string
			GridPos     position
			Datasource  struct{ UID string }
			Targets     []struct{ Expr, RefID string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	text := read(t, grafana+"dashboards/jwtgate.json")
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := []string{"__rate_interval"}
	for _, v := range dashboard.Templating.List {
		variables = append(variables, v.Name)
		if v.Definition != "" {
			checkQuery(t, exposed, "the variable "+v.Name, v.Definition)
		}
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%s: the id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: title, description, data source or queries are missing", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			checkQuery(t, exposed, fmt.Sprintf("%s %s", p.Title, target.RefID), target.Expr)
			for _, v := range regexp.MustCompile(`\$([a-z_]+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(variables, v[1]) {
					t.Errorf("%s: no variable %s", p.Title, v[1])
				}
			}
		}
	}
	for name := range exposed {
		if !strings.Contains(text, name) {
			t.Errorf("%s is on no panel", name)
		}
	}
}
