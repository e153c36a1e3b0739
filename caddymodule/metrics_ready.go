package caddymodule

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readyCollector says what jwtgate_ready would answer. It is registered with
// one configuration alone.
type readyCollector struct {
	desc  *prometheus.Desc
	state *appState
	now   func() time.Time
}

func newReadyCollector(state *appState) *readyCollector {
	return &readyCollector{
		desc: prometheus.NewDesc("jwtgate_ready",
			"1 when the gateway can decide about tokens, as jwtgate_ready answers, else 0.", nil, nil),
		state: state,
		now:   time.Now,
	}
}

// Describe implements prometheus.Collector.
func (c *readyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *readyCollector) Collect(ch chan<- prometheus.Metric) {
	ready := int64(0)
	if list := c.state.list; list != nil {
		open, release := list.open()
		v := &adminView{list: open, issuers: c.state.trusts.list(), feed: list.knows, now: c.now}
		ready = oneIf(v.readiness().Ready)
		release()
	}
	ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(ready))
}
