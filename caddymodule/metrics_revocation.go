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
	lists         *listRegistry
	entries, disk *prometheus.Desc
}

func newListCollector(registry *listRegistry) *listCollector {
	return &listCollector{
		lists:   registry,
		entries: prometheus.NewDesc("jwtgate_revocation_entries", "Revocations in force, by kind.", []string{"kind"}, nil),
		disk:    prometheus.NewDesc("jwtgate_revocation_disk_bytes", "Size of the revocation journal and its log; 0 when it is off.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *listCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.entries
	ch <- c.disk
}

// Collect implements prometheus.Collector.
func (c *listCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.lists.answering.Load()
	if s == nil {
		return
	}
	count := s.Count()
	for _, kind := range revocation.Kinds() {
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(count[kind]), kind.String())
	}
	ch <- prometheus.MustNewConstMetric(c.disk, prometheus.GaugeValue, float64(s.DiskSize()))
}
