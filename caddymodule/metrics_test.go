package caddymodule

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/token"
)

// gather returns our series in a registry: name{label="value",...} -> value;
// of a histogram its count.
func gather(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := make(map[string]float64)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "jwtgate_") {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			series[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return series
}

// TestMetricsOutliveReloads counts in one configuration and reads in the next.
func TestMetricsOutliveReloads(t *testing.T) {
	iss := issuertest.New(t)
	reload := running(t)
	gateOf := func(name string) string {
		return httpApp(fmt.Sprintf(`{"handler": "jwtgate", "use_issuers": [%q], "audience": ["a"], "forward": [{"header": "X-Metrics-Test", "claim": "a"}]}`, name))
	}
	if err := reload(gateOf(iss.URL())); err != nil {
		t.Fatal(err)
	}
	fetched := fmt.Sprintf(`jwtgate_key_fetches_total{issuer=%q,result="ok"}`, iss.URL())
	read := func() map[string]float64 {
		ctx := caddy.ActiveContext()
		return gather(t, ctx.GetMetricsRegistry())
	}
	eventually(t, "keys are counted", func() bool { return read()[fetched] == 1 })
	before := read()
	for name, want := range map[string]float64{
		fmt.Sprintf(`jwtgate_keys_stale{issuer=%q}`, iss.URL()):                         0,
		fmt.Sprintf(`jwtgate_key_fetches_total{issuer=%q,result="timeout"}`, iss.URL()): 0,
		fmt.Sprintf(`jwtgate_key_refetch_suppressed_total{issuer=%q}`, iss.URL()):       0,
		`jwtgate_headers_omitted_total{header="X-Metrics-Test"}`:                        0,
	} {
		if got, ok := before[name]; !ok || got != want {
			t.Errorf("%s: got %v (there: %t), want %v", name, got, ok, want)
		}
	}
	age := fmt.Sprintf(`jwtgate_keys_age_seconds{issuer=%q}`, iss.URL())
	if got, ok := before[age]; !ok || got < 0 || got > 30 {
		t.Errorf("%s: %v (there: %t)", age, got, ok)
	}

	m := newMetrics(iss.URL())
	m.decision("allow", token.ReasonNone, iss.URL())
	m.decision("deny", token.Expired, iss.URL())
	m.decision("deny", token.TokenMissing, "")
	m.verified(token.RS256, time.Millisecond)

	if err := reload(gateOf("https://127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	after := read()
	for _, name := range []string{
		fmt.Sprintf(`jwtgate_decisions_total{issuer=%q,reason="",result="allow"}`, iss.URL()),
		fmt.Sprintf(`jwtgate_decisions_total{issuer=%q,reason="exp_passed",result="deny"}`, iss.URL()),
		`jwtgate_decisions_total{issuer="",reason="token_missing",result="deny"}`,
		`jwtgate_verify_seconds{alg="RS256"}`,
	} {
		if got := after[name] - before[name]; got != 1 {
			t.Errorf("%s: grew by %v, want 1", name, got)
		}
	}
	if after[fetched] != 1 {
		t.Errorf("%s: %v after a reload", fetched, after[fetched])
	}
	if _, ok := after[age]; ok {
		t.Errorf("the gauge of an issuer that is gone remains: %s", age)
	}
	if got := after[`jwtgate_keys_stale{issuer="https://127.0.0.1:1"}`]; got != 1 {
		t.Errorf("an issuer without keys is not stale: %v", got)
	}
}

// TestOneIssuerInSeveralBlocksIsOneSeries: two sources of one issuer must not
// make the registry refuse to answer.
func TestOneIssuerInSeveralBlocksIsOneSeries(t *testing.T) {
	a, _ := load(t, ":8080 {\njwtgate /a {\nissuer a {\naudience x\npem_file testdata/key.pem\n}\n}\njwtgate /b {\nissuer a {\naudience x\njwks_file testdata/keys.json\n}\n}\n}\n")
	registry := prometheus.NewPedanticRegistry()
	if err := process.register(registry, a.state.keys); err != nil {
		t.Fatal(err)
	}
	if err := process.register(registry, a.state.keys); err != nil {
		t.Errorf("registered again: %v", err)
	}
	if got, ok := gather(t, registry)[`jwtgate_keys_stale{issuer="a"}`]; !ok || got != 0 {
		t.Errorf("got %v (there: %t)", got, ok)
	}
}

// TestCacheCountersOutliveTheCache reads hits and misses after a cache is gone.
func TestCacheCountersOutliveTheCache(t *testing.T) {
	held := new(leases)
	cache, err := leaseCache(2<<20, held)
	if err != nil {
		t.Fatal(err)
	}
	same, err := leaseCache(2<<20, held)
	if err != nil || same != cache {
		t.Errorf("the same size gives another cache, error %v", err)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := process.register(registry); err != nil {
		t.Fatal(err)
	}
	before := gather(t, registry)
	if err := held.end(); err != nil {
		t.Fatal(err)
	}
	after := gather(t, registry)
	for _, name := range []string{`jwtgate_cache_lookups_total{result="hit"}`, `jwtgate_cache_lookups_total{result="miss"}`} {
		if got, ok := after[name]; !ok || got != before[name] {
			t.Errorf("%s: %v, was %v", name, got, before[name])
		}
	}
}

// TestDecisionLabels counts from several goroutines, and ignores what is in no
// list.
func TestDecisionLabels(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := process.register(registry); err != nil {
		t.Fatal(err)
	}
	const issuer = "decision-labels"
	m := newMetrics(issuer)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.decision("observe", token.ScopeMissing, issuer)
				m.decision("deny", token.IssuerUnknown, "https://attacker.example")
				m.decision("made up", token.IssuerUnknown, issuer)
				m.decision("deny", token.Reason(250), issuer)
			}
		})
	}
	all.Wait()
	series := gather(t, registry)
	if got := series[`jwtgate_decisions_total{issuer="decision-labels",reason="scope_missing",result="observe"}`]; got != 800 {
		t.Errorf("got %v, want 800", got)
	}
	for name := range series {
		if strings.Contains(name, "attacker") || strings.Contains(name, "made up") {
			t.Errorf("series %s", name)
		}
	}
}

// TestManyIssuers: each of hundreds has a series of its own, whatever its name
// is made of, and a name that is not configured has none.
func TestManyIssuers(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := process.register(registry); err != nil {
		t.Fatal(err)
	}
	names := []string{"many-\"quoted\"\n{}", "many-\u00e9\u2603", "many-" + strings.Repeat("x", 4000)}
	for i := range 300 {
		names = append(names, fmt.Sprintf("https://id.example.com/many/%d", i))
	}
	m := newMetrics(names...)
	for i, name := range names {
		for range i + 1 {
			m.decision("deny", token.AudienceMismatch, name)
		}
	}
	m.decision("deny", token.AudienceMismatch, "https://id.example.com/many/300")
	series := gather(t, registry)
	for i, name := range names {
		if got := series[fmt.Sprintf(`jwtgate_decisions_total{issuer=%q,reason="aud_mismatch",result="deny"}`, name)]; got != float64(i+1) {
			t.Errorf("%.40q: %v, want %d", name, got, i+1)
		}
	}
	for name := range series {
		if strings.Contains(name, "many/300") {
			t.Errorf("series %s", name)
		}
	}
}

func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{2, manyIssuers, 300} {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("https://%03d.example.test", i)
		}
		b.Run(fmt.Sprintf("issuers=%d", n), func(b *testing.B) {
			m := newMetrics(names...)
			b.ReportAllocs()
			for b.Loop() {
				m.decision("allow", token.ReasonNone, names[n-1])
			}
		})
	}
}
