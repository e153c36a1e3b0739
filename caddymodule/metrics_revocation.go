package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/revocation"
)

// revocationMetrics are the collectors of the process about revocations.
var revocationMetrics = newRevocationMetrics(lists)

type revocationCollectors struct {
	revocations *prometheus.CounterVec
	fallbacks   *prometheus.CounterVec
	longLived   *prometheus.CounterVec
	list        *listCollector
}

func newRevocationMetrics(registry *listRegistry) *revocationCollectors {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "jwtgate", Name: name, Help: help}, labels)
	}
	return &revocationCollectors{
		revocations: counter("revocations_total",
			"Revocations that were acknowledged, by kind and way in.", "kind", "via"),
		fallbacks: counter("revocation_fallbacks_total",
			"Tokens revoked alone because they lack the claim for the kind that was asked for.", "kind"),
		longLived: counter("long_lived_tokens_total",
			"Accepted tokens that live longer than max_token_lifetime, where that is the default.", "issuer"),
		list: newListCollector(registry),
	}
}

// all lists the collectors, for a configuration's registry.
func (c *revocationCollectors) all() []prometheus.Collector {
	return []prometheus.Collector{c.revocations, c.fallbacks, c.longLived, c.list}
}

// revoked counts one revocation. via is one of a closed list.
func (c *revocationCollectors) revoked(kind revocation.Kind, via string) {
	c.revocations.WithLabelValues(kind.String(), via).Inc()
}

// listCollector tells the size of the list that answers.
type listCollector struct {
	lists                                   *listRegistry
	entries, disk, loaded, failing, pending *prometheus.Desc
}

func newListCollector(registry *listRegistry) *listCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &listCollector{
		lists:   registry,
		entries: prometheus.NewDesc("jwtgate_revocation_entries", "Revocations in force, by kind.", []string{"kind"}, nil),
		disk:    desc("jwtgate_revocation_disk_bytes", "Size of the revocation journal and its log; 0 when it is off."),
		loaded:  desc("jwtgate_revocation_loaded", "1 when the revocation list is loaded, 0 while it is read from disk: until then every token is answered with 503."),
		failing: desc("jwtgate_revocation_disk_failing", "1 while revocations cannot be written to disk: they are in force, but a restart forgets them."),
		pending: desc("jwtgate_revocation_unsaved_entries", "Revocations that are in force and not on disk; 0 when there is no journal."),
	}
}

// Describe implements prometheus.Collector.
func (c *listCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.entries, c.disk, c.loaded, c.failing, c.pending} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *listCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.lists.answering.Load()
	if s == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	stats := s.Stats()
	for _, kind := range revocation.Kinds() {
		gauge(c.entries, int64(stats.Entries[kind]), kind.String())
	}
	gauge(c.disk, stats.DiskBytes)
	gauge(c.loaded, oneIf(s.Ready() == nil))
	gauge(c.failing, oneIf(stats.Failing))
	gauge(c.pending, int64(stats.NotDurable))
}

func oneIf(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
