package admin

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ledger/metrics"
)

// collector is prometheus.Collector over all families.
type collector struct {
	families     []family
	descriptions []*prometheus.Desc // by family

	mutex     sync.Mutex // one collection at a time: the source wants one asker
	source    Source     // nil before Attach; nothing collects then
	startedAt time.Time
	snapshot  snapshot
	growth    growth
}

func newCollector(o *Options) *collector {
	c := &collector{families: families(), startedAt: time.Now(),
		snapshot: snapshot{version: o.Version, pageBytes: uint64(o.PageBytes)}}
	for i := range c.families {
		f := &c.families[i]
		c.descriptions = append(c.descriptions, prometheus.NewDesc(f.name, f.help+" (unit: "+f.unit+").", f.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, description := range c.descriptions {
		out <- description
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.with(func(s *snapshot) {
		for i := range c.families {
			f, description := &c.families[i], c.descriptions[i]
			if f.distributions != nil {
				f.distributions(s, func(h *metrics.Histogram, labels ...string) {
					out <- prometheus.MustNewConstHistogram(description, h.Count(), float64(h.Sum), buckets(h, f.bounds), labels...)
				})
				continue
			}
			f.numbers(s, func(value uint64, labels ...string) {
				out <- prometheus.MustNewConstMetric(description, f.kind, float64(value), labels...)
			})
		}
	})
}

// with takes a snapshot and shows it to use, which must not keep it.
func (c *collector) with(use func(s *snapshot)) { c.take(false, use) }

// withClients is with, for a snapshot that has the clients one by one as well.
func (c *collector) withClients(use func(s *snapshot)) { c.take(true, use) }

func (c *collector) take(clients bool, use func(s *snapshot)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.snapshot.WantClients = clients
	c.snapshot.take(c.source, c.startedAt)
	use(&c.snapshot)
}

func buckets(h *metrics.Histogram, bounds []uint64) map[float64]uint64 {
	counts := make([]uint64, len(bounds))
	h.CumulativeAt(bounds, counts)
	out := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		out[float64(bound)] = counts[i]
	}
	return out
}
