package caddymodule

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

// results is the closed list of what can come of a request, for the label of
// jwtgate_decisions_total.
var results = []string{"allow", "deny", "error", "anonymous", "public", "preflight", "observe"}

// process holds the collectors of the process. They are made once and
// registered in each configuration's registry, so that reloads reset no
// counter.
var process = newProcessMetrics()

type processMetrics struct {
	decisions      *prometheus.CounterVec
	verifySeconds  *prometheus.HistogramVec
	fetches        *prometheus.CounterVec
	suppressions   *prometheus.CounterVec
	headersOmitted *prometheus.CounterVec
	fetchSeconds   *prometheus.HistogramVec
	skew           *prometheus.HistogramVec
	caches         *cacheCollector
	streams        *streamCollector

	verify [token.HS512 + 1]prometheus.Observer // by algorithm
}

func newProcessMetrics() *processMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "jwtgate", Name: name, Help: help}, labels)
	}
	p := &processMetrics{
		decisions: counter("decisions_total",
			"Requests by what came of them, the reason of a refusal, and the configured issuer that was chosen.",
			"result", "reason", "issuer"),
		verifySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "jwtgate", Name: "verify_seconds",
			Help:    "Time of a signature check, without parsing and without waiting for keys.",
			Buckets: []float64{5e-6, 10e-6, 25e-6, 50e-6, 75e-6, 100e-6, 150e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3},
		}, []string{"alg"}),
		fetches: counter("key_fetches_total",
			"Attempts to fetch the keys of an issuer, by result.", "issuer", "result"),
		suppressions: counter("key_refetch_suppressed_total",
			"Tokens with an unknown key that caused no fetch because the budget was spent.", "issuer"),
		headersOmitted: counter("headers_omitted_total",
			"Forwarded headers that were left out because the claim has no safe form or is too long.", "header"),
		fetchSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "jwtgate", Name: "key_fetch_seconds",
			Help:    "Time of an attempt to fetch the keys of an issuer, good or not.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"issuer"}),
		skew: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "jwtgate", Name: "clock_skew_seconds",
			Help:    "How far a time of a genuine token is beyond this clock: iat and nbf above 0 are ahead of it, exp above 0 is past.",
			Buckets: gate.SkewSteps,
		}, []string{"issuer", "claim"}),
		caches:  newCacheCollector(),
		streams: newStreamCollector(&streams),
	}
	for a := token.RS256; a <= token.HS512; a++ {
		p.verify[a] = p.verifySeconds.WithLabelValues(a.String())
	}
	return p
}

// all lists the collectors of the process.
func (p *processMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		p.decisions, p.verifySeconds, p.fetches, p.suppressions, p.headersOmitted, p.fetchSeconds, p.skew, p.caches, p.streams,
	}
}

// register puts the collectors of the process and those of one configuration
// into its registry.
func (p *processMetrics) register(registry *prometheus.Registry, own ...prometheus.Collector) error {
	for _, c := range append(p.all(), own...) {
		if err := registry.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			return err
		}
	}
	return nil
}

// fetched returns what counts the fetches of one issuer's keys. Every result
// begins at 0, so that the first failure is an increase.
func (p *processMetrics) fetched(issuer string) func(result string) {
	counters := make(map[string]prometheus.Counter, len(jwks.FetchResults))
	for _, result := range jwks.FetchResults {
		counters[result] = p.fetches.WithLabelValues(issuer, result)
	}
	return func(result string) {
		if c := counters[result]; c != nil {
			c.Inc()
		}
	}
}

// fetchTook returns what observes the time of an attempt to fetch.
func (p *processMetrics) fetchTook(issuer string) func(time.Duration) {
	observer := p.fetchSeconds.WithLabelValues(issuer)
	return func(took time.Duration) { observer.Observe(took.Seconds()) }
}

// skewed returns what observes the clocks of one issuer's tokens. The series of
// a claim begins with its first token: most issuers never have a late nbf.
func (p *processMetrics) skewed(issuer string) func(b gate.Bound, seconds float64) {
	var observers [len(gate.Bounds)]atomic.Pointer[prometheus.Observer]
	return func(b gate.Bound, seconds float64) {
		observer := observers[b].Load()
		if observer == nil {
			o := p.skew.WithLabelValues(issuer, b.String())
			observer = &o
			observers[b].Store(observer)
		}
		(*observer).Observe(seconds)
	}
}

func (p *processMetrics) suppressed(issuer string) func() {
	return p.suppressions.WithLabelValues(issuer).Inc
}

// omitted returns what counts headers that are left out.
func (p *processMetrics) omitted(headers []string) func(header string) {
	counters := make(map[string]prometheus.Counter, len(headers))
	for _, h := range headers {
		counters[h] = p.headersOmitted.WithLabelValues(h)
	}
	return func(header string) {
		if c := counters[header]; c != nil {
			c.Inc()
		}
	}
}

// metrics are the counters of one gate, found without a look-up by label. Safe
// for concurrent use.
type metrics struct {
	// issuers holds the gate's issuers and, first, the empty name for a request
	// that chose none.
	issuers []issuerMetrics
	// byName finds them where they are many; nil where looking through is faster.
	byName map[string]*issuerMetrics
}

// manyIssuers is from how many on a map is faster.
const manyIssuers = 8

type issuerMetrics struct {
	name string
	// counters are made when they are first used, by result and reason: nobody
	// wants hundreds of series that stay 0.
	counters []atomic.Pointer[prometheus.Counter]
}

// reasonSlots is how many reasons there are, ReasonNone included.
var reasonSlots = len(token.Reasons()) + 1

// newMetrics returns the counters of a gate that trusts issuers.
func newMetrics(issuers ...string) *metrics {
	m := new(metrics)
	for _, name := range append([]string{""}, issuers...) {
		m.issuers = append(m.issuers, issuerMetrics{
			name:     name,
			counters: make([]atomic.Pointer[prometheus.Counter], len(results)*reasonSlots),
		})
	}
	if len(m.issuers) >= manyIssuers {
		m.byName = make(map[string]*issuerMetrics, len(m.issuers))
		for i := range m.issuers {
			m.byName[m.issuers[i].name] = &m.issuers[i]
		}
	}
	return m
}

// of returns the counters of a configured issuer; those of none otherwise.
func (m *metrics) of(issuer string) *issuerMetrics {
	if m.byName != nil {
		if found := m.byName[issuer]; found != nil {
			return found
		}
		return &m.issuers[0]
	}
	for i := range m.issuers {
		if m.issuers[i].name == issuer {
			return &m.issuers[i]
		}
	}
	return &m.issuers[0]
}

// decision counts one decision: result is allow, deny, error, anonymous,
// public, preflight or observe; reason is ReasonNone for allow; issuer is the
// configured issuer that was chosen, empty if none was. The nil *metrics counts
// nothing.
func (m *metrics) decision(result string, reason token.Reason, issuer string) {
	r := resultSlot(result)
	if m == nil || r < 0 || int(reason) >= reasonSlots {
		return
	}
	slots := m.of(issuer)
	slot := &slots.counters[r*reasonSlots+int(reason)]
	counter := slot.Load()
	if counter == nil {
		c := process.decisions.WithLabelValues(result, reason.String(), slots.name)
		counter = &c
		slot.Store(counter)
	}
	(*counter).Inc()
}

func resultSlot(result string) int {
	for i, r := range results {
		if r == result {
			return i
		}
	}
	return -1
}

// verified observes the time of one signature check.
func (m *metrics) verified(alg token.Algorithm, took time.Duration) {
	if int(alg) < len(process.verify) && process.verify[alg] != nil {
		process.verify[alg].Observe(took.Seconds())
	}
}
