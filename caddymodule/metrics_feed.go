package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/revocation"
)

// feedMetrics are the collectors of the process about the feed.
var feedMetrics = newFeedMetrics(&lists.feeds)

type feedCollectors struct {
	lag   prometheus.Histogram
	state *feedCollector
}

func newFeedMetrics(keeper *feedKeeper) *feedCollectors {
	return &feedCollectors{
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "jwtgate", Name: "revocation_lag_seconds",
			Help:    "Time from a change on some gateway until it is in force here.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 300},
		}),
		state: newFeedCollector(keeper),
	}
}

// all lists the collectors, for a configuration's registry.
func (c *feedCollectors) all() []prometheus.Collector { return []prometheus.Collector{c.lag, c.state} }

// feedCollector tells how the feed does; nothing on a gateway that is alone.
type feedCollector struct {
	keeper                                *feedKeeper
	stale, outbox, stream, losses, errors *prometheus.Desc
}

func newFeedCollector(keeper *feedKeeper) *feedCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &feedCollector{
		keeper: keeper,
		stale:  desc("jwtgate_feed_stale", "1 while what other gateways revoked is not known here."),
		outbox: desc("jwtgate_outbox_entries", "Changes that wait for Redis."),
		stream: desc("jwtgate_feed_stream_entries", "Length of the stream in Redis when it was asked last."),
		losses: desc("jwtgate_feed_losses_total", "How often Redis had lost data."),
		errors: desc("jwtgate_feed_malformed_total", "Entries of the stream that are no revocations."),
	}
}

// Describe implements prometheus.Collector.
func (c *feedCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.stale, c.outbox, c.stream, c.losses, c.errors} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *feedCollector) Collect(ch chan<- prometheus.Metric) {
	feed := c.keeper.current.Load()
	if feed == nil {
		return
	}
	status := feed.Status()
	stale := 0.0
	if status.State != revocation.FeedFresh {
		stale = 1
	}
	ch <- prometheus.MustNewConstMetric(c.stale, prometheus.GaugeValue, stale)
	ch <- prometheus.MustNewConstMetric(c.outbox, prometheus.GaugeValue, float64(status.Outbox))
	ch <- prometheus.MustNewConstMetric(c.stream, prometheus.GaugeValue, float64(status.Stream))
	ch <- prometheus.MustNewConstMetric(c.losses, prometheus.CounterValue, float64(status.Losses))
	ch <- prometheus.MustNewConstMetric(c.errors, prometheus.CounterValue, float64(status.Malformed))
}
