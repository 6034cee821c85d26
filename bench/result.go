package bench

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is the result of a load.
type Result struct {
	Options   Options       `json:"options"`
	StartedAt time.Time     `json:"started_at"`
	Machine   Machine       `json:"machine"`
	Accounts  *Stage        `json:"accounts"`
	Transfers *Stage        `json:"transfers"`
	Queries   *Stage        `json:"queries,omitempty"`
	Payments  *Payments     `json:"payments,omitempty"`
	Readers   *Stage        `json:"readers,omitempty"` // events are rows
	Validated *Validated    `json:"validated,omitempty"`
	Checksum  *Checksum     `json:"checksum,omitempty"`
	Server    *ServerResult `json:"server,omitempty"`
	// Summary is the server's own summary after the load; see FetchSummary.
	Summary string `json:"summary,omitempty"`
}

// Machine is the machine on which the load ran. The server may be on another one.
type Machine struct {
	System       string `json:"system"`
	Architecture string `json:"architecture"`
	CoresCount   int    `json:"cores_count"`
	Go           string `json:"go"`
}

// Stage is one kind of requests.
type Stage struct {
	RequestsCount uint64  `json:"requests_count"`
	EventsCount   uint64  `json:"events_count"`
	DurationNs    int64   `json:"duration_ns"`
	RatePerSecond float64 `json:"rate_per_second"` // of events
	Latency       Summary `json:"latency"`
	// Service is the time from sending, in an open loop. There, Latency counts from the time at
	// which the batch was due.
	Service  *Summary `json:"service,omitempty"`
	Timeline []Point  `json:"timeline"`
	// Intervals of Options.Interval.
	Intervals []Interval `json:"intervals"`
}

// Summary is a distribution of latencies, in nanoseconds.
type Summary struct {
	Count       int64        `json:"count"`
	MinNs       int64        `json:"min_ns"`
	MeanNs      float64      `json:"mean_ns"`
	MaxNs       int64        `json:"max_ns"`
	Percentiles []Percentile `json:"percentiles"`
	Curve       []Percentile `json:"curve"` // for plots: with finer steps towards 100
}

// Percentile p: p of 100 requests took at most this time.
type Percentile struct {
	Percent float64 `json:"percent"`
	Ns      int64   `json:"ns"`
}

// Point is one step of a timeline: the answers in it.
type Point struct {
	AtNs          int64   `json:"at_ns"` // its beginning, since the stage began
	PeriodNs      int64   `json:"period_ns"`
	RequestsCount uint64  `json:"requests_count"`
	EventsCount   uint64  `json:"events_count"`
	RatePerSecond float64 `json:"rate_per_second"`
	LatencyMeanNs int64   `json:"latency_mean_ns"`
	LatencyMaxNs  int64   `json:"latency_max_ns"`
}

// Validated counts the objects that were read back and found equal.
type Validated struct {
	AccountsCount  uint64 `json:"accounts_count"`
	TransfersCount uint64 `json:"transfers_count"`
}

// Checksum is the time that this machine takes for the protocol's checksum.
type Checksum struct {
	MessageBytes int   `json:"message_bytes"`
	Ns           int64 `json:"ns"`
}

// ServerResult is the resource usage of a server that was started here.
type ServerResult struct {
	MemoryBytesMax    int64 `json:"memory_bytes_max"`
	CPUNs             int64 `json:"cpu_ns"` // user and system, start and end included
	FileBytesEmpty    int64 `json:"file_bytes_empty"`
	FileBytes         int64 `json:"file_bytes"`           // its length
	FileBytesOccupied int64 `json:"file_bytes_allocated"` // its space on the disk
}

const curveStepNines = 1.0 / 16

// percents are the printed and stored percentiles.
var percents = [...]float64{1, 50, 90, 95, 99, 99.9, 99.99, 100}

func summarize(h *hdrhistogram.Histogram) Summary {
	s := Summary{Count: h.TotalCount(), MinNs: h.Min(), MeanNs: h.Mean(), MaxNs: h.Max()}
	for _, percent := range percents {
		s.Percentiles = append(s.Percentiles, Percentile{percent, h.ValueAtPercentile(percent)})
	}
	// Steps of equal width in the number of nines, as long as there are enough samples to
	// distinguish them.
	for nines := 0.0; nines <= 5 && math.Pow(10, nines) <= 2*float64(max(s.Count, 1)); nines += curveStepNines {
		percent := 100 * (1 - math.Pow(10, -nines))
		s.Curve = append(s.Curve, Percentile{percent, h.ValueAtPercentile(percent)})
	}
	s.Curve = append(s.Curve, Percentile{100, s.MaxNs})
	return s
}

// At returns one of the stored percentiles, 0 if there is none.
func (s *Summary) At(percent float64) int64 {
	for _, p := range s.Percentiles {
		if p.Percent == percent {
			return p.Ns
		}
	}
	return 0
}

func (r *recorder) stage(duration time.Duration) *Stage {
	s := &Stage{
		RequestsCount: r.counts.requests.Load(), EventsCount: r.counts.events.Load(), DurationNs: int64(duration),
		Latency: summarize(r.latency), Intervals: r.intervals.results(duration),
	}
	if duration > 0 {
		s.RatePerSecond = float64(s.EventsCount) / duration.Seconds()
	}
	if r.service != nil {
		service := summarize(r.service)
		s.Service = &service
	}
	for i, p := range r.periods {
		at := time.Duration(i) * timelinePeriod
		length := min(timelinePeriod, max(duration-at, time.Nanosecond)) // the last one may be shorter
		point := Point{
			AtNs: int64(at), PeriodNs: int64(length), RequestsCount: p.requestsCount, EventsCount: p.eventsCount,
			RatePerSecond: float64(p.eventsCount) / length.Seconds(), LatencyMaxNs: p.latencyMaxNs,
		}
		if p.requestsCount > 0 {
			point.LatencyMeanNs = p.latencySumNs / int64(p.requestsCount)
		}
		s.Timeline = append(s.Timeline, point)
	}
	return s
}

// WriteJSON writes the result as JSON. Names end in their unit.
func (r *Result) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	return encoder.Encode(r)
}
