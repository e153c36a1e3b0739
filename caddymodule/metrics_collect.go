package caddymodule

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
)

// cacheCollector counts look-ups in all verdict caches of the process, those
// that are gone included, and tells the size of those that are there. Usually
// that is one, and two for a moment when a reload changes the size.
type cacheCollector struct {
	lookups, entries, bytes, limit *prometheus.Desc

	mu           sync.Mutex
	live         map[*gate.Cache]struct{}
	hits, misses uint64 // of those that are gone
}

func newCacheCollector() *cacheCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &cacheCollector{
		lookups: prometheus.NewDesc("jwtgate_cache_lookups_total",
			"Decisions that a remembered verdict spared the signature check (hit), and others (miss).",
			[]string{"result"}, nil),
		entries: desc("jwtgate_cache_entries", "Tokens in the verdict cache. Absent when it is off."),
		bytes:   desc("jwtgate_cache_bytes", "Bytes that the verdict cache takes. Absent when it is off."),
		limit:   desc("jwtgate_cache_max_bytes", "Bytes that the verdict cache may take. Absent when it is off."),
		live:    make(map[*gate.Cache]struct{}),
	}
}

func (c *cacheCollector) opened(cache *gate.Cache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live[cache] = struct{}{}
}

func (c *cacheCollector) closed(cache *gate.Cache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := cache.Stats()
	c.hits += stats.Hits
	c.misses += stats.Misses
	delete(c.live, cache)
}

// Describe implements prometheus.Collector.
func (c *cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lookups, c.entries, c.bytes, c.limit} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cacheCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	sum := gate.CacheStats{Hits: c.hits, Misses: c.misses}
	there := len(c.live) > 0
	for cache := range c.live {
		stats := cache.Stats()
		sum.Hits += stats.Hits
		sum.Misses += stats.Misses
		sum.Entries += stats.Entries
		sum.Bytes += stats.Bytes
		sum.MaxBytes += stats.MaxBytes
	}
	c.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(c.lookups, prometheus.CounterValue, float64(sum.Hits), "hit")
	ch <- prometheus.MustNewConstMetric(c.lookups, prometheus.CounterValue, float64(sum.Misses), "miss")
	if there {
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(sum.Entries))
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(sum.Bytes))
		ch <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(sum.MaxBytes))
	}
}

// keyCollector tells the state of the keys of one configuration. It is
// registered with that configuration alone, so that issuers that are no longer
// configured disappear.
type keyCollector struct {
	age, stale, left *prometheus.Desc
	now              func() time.Time

	mu      sync.Mutex
	sources map[*jwks.Source]string // issuer
}

func newKeyCollector(now func() time.Time) *keyCollector {
	return &keyCollector{
		age: prometheus.NewDesc("jwtgate_keys_age_seconds",
			"Time since the keys of an issuer were last confirmed; the oldest where several blocks name one issuer. Absent as long as there are none.",
			[]string{"issuer"}, nil),
		stale: prometheus.NewDesc("jwtgate_keys_stale",
			"1 when the keys of an issuer are past their refresh or there are none, else 0.",
			[]string{"issuer"}, nil),
		left: prometheus.NewDesc("jwtgate_keys_usable_seconds",
			"For how much longer the keys of an issuer are used if it cannot be reached, 0 when that is over; the least where several blocks name one issuer. Absent where there is no limit or there never were any.",
			[]string{"issuer"}, nil),
		now:     now,
		sources: make(map[*jwks.Source]string),
	}
}

func (k *keyCollector) add(issuer string, source *jwks.Source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources[source] = issuer
}

// Describe implements prometheus.Collector.
func (k *keyCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- k.age
	ch <- k.stale
	ch <- k.left
}

// Collect implements prometheus.Collector.
func (k *keyCollector) Collect(ch chan<- prometheus.Metric) {
	type state struct{ age, stale, left float64 }
	now := k.now()
	states := make(map[string]state)
	k.mu.Lock()
	for source, issuer := range k.sources {
		s, ok := states[issuer]
		if !ok {
			s.age, s.left = -1, -1
		}
		status := source.Status()
		if !status.FetchedAt.IsZero() {
			s.age = max(s.age, now.Sub(status.FetchedAt).Seconds(), 0)
		}
		if set, _ := source.Keys(now); set == nil || status.Stale {
			s.stale = 1
		}
		if !status.UsableUntil.IsZero() {
			left := max(status.UsableUntil.Sub(now).Seconds(), 0)
			if s.left < 0 || left < s.left {
				s.left = left
			}
		}
		states[issuer] = s
	}
	k.mu.Unlock()
	for issuer, s := range states {
		if s.age >= 0 {
			ch <- prometheus.MustNewConstMetric(k.age, prometheus.GaugeValue, s.age, issuer)
		}
		if s.left >= 0 {
			ch <- prometheus.MustNewConstMetric(k.left, prometheus.GaugeValue, s.left, issuer)
		}
		ch <- prometheus.MustNewConstMetric(k.stale, prometheus.GaugeValue, s.stale, issuer)
	}
}
