package cdc

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ledger/feed"
)

// Meter shows the figures of a job for Prometheus.
type Meter struct {
	lag     *Lag
	started time.Time
	state   atomic.Int32
	failed  atomic.Uint64
}

// States of a sink.
const (
	Connecting = iota
	Standby
	Writing
)

// NewMeter makes the meter of a job with this lag.
func NewMeter(lag *Lag) *Meter { return &Meter{lag: lag, started: time.Now()} }

// SetState notes the state of the sink.
func (m *Meter) SetState(state int) { m.state.Store(int32(state)) }

// metered counts the failures of a sink.
type metered[E any] struct {
	sink  feed.SinkOf[E]
	meter *Meter
}

// Metered is a sink whose failures m counts.
func Metered[E any](m *Meter, sink feed.SinkOf[E]) feed.SinkOf[E] { return metered[E]{sink, m} }

// Write implements feed.SinkOf.
func (s metered[E]) Write(rows []E, last uint64) error {
	err := s.sink.Write(rows, last)
	if err != nil {
		s.meter.failed.Add(1)
	}
	return err
}

// Idle implements feed.Idler, if the sink does.
func (s metered[E]) Idle() error {
	if idler, ok := s.sink.(feed.Idler); ok {
		return idler.Idle()
	}
	return nil
}

// metric is one line of the page.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(m *Meter, f *figures) float64
}

// Metrics of a job.
var metrics = [...]metric{
	{"ledger_cdc_lag_events", "Events that the sink does not have yet, as far as they are counted", prometheus.GaugeValue,
		func(_ *Meter, f *figures) float64 { return float64(f.events) }},
	{"ledger_cdc_lag_seconds", "Age of the oldest event that the sink does not have yet; 0 if it has all", prometheus.GaugeValue,
		func(_ *Meter, f *figures) float64 { return f.lag.Seconds() }},
	{"ledger_cdc_server_silence_seconds", "Time since the last answer of the server, or since the start", prometheus.GaugeValue,
		func(m *Meter, f *figures) float64 {
			if f.silence == 0 {
				return time.Since(m.started).Seconds()
			}
			return f.silence.Seconds()
		}},
	{"ledger_cdc_written_events", "Events that the sink has taken since the start", prometheus.CounterValue,
		func(_ *Meter, f *figures) float64 { return float64(f.written) }},
	{"ledger_cdc_failed_writes", "Writes of a batch that failed and were tried again", prometheus.CounterValue,
		func(m *Meter, _ *figures) float64 { return float64(m.failed.Load()) }},
	{"ledger_cdc_last_seconds", "Timestamp of the last event that the sink has, since 1970", prometheus.GaugeValue,
		func(_ *Meter, f *figures) float64 { return float64(f.last) / float64(time.Second) }},
	{"ledger_cdc_writing_jobs", "1 while the sink takes events of this job", prometheus.GaugeValue,
		func(m *Meter, _ *figures) float64 { return isState(m, Writing) }},
	{"ledger_cdc_standby_jobs", "1 while this job waits for the end of another one", prometheus.GaugeValue,
		func(m *Meter, _ *figures) float64 { return isState(m, Standby) }},
}

func isState(m *Meter, state int32) float64 {
	if m.state.Load() == state {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (m *Meter) Describe(out chan<- *prometheus.Desc) {
	for i := range metrics {
		out <- metrics[i].description()
	}
}

func (m *metric) description() *prometheus.Desc { return prometheus.NewDesc(m.name, m.help, nil, nil) }

// Collect implements prometheus.Collector.
func (m *Meter) Collect(out chan<- prometheus.Metric) {
	f := m.lag.figures(time.Now())
	for i := range metrics {
		out <- prometheus.MustNewConstMetric(metrics[i].description(), metrics[i].kind, metrics[i].value(m, &f))
	}
}

// Pages are /metrics, and /healthz for probes.
func (m *Meter) Pages() http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	pages := http.NewServeMux()
	pages.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true}))
	pages.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the job runs\n")) })
	return pages
}
