package bench

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Interval is a part of a long run with distributions of its own. It shows whether the last minute
// is as good as the first, which the percentiles of the whole run hide.
type Interval struct {
	AtNs          int64        `json:"at_ns"` // its beginning, since the stage began
	PeriodNs      int64        `json:"period_ns"`
	RequestsCount uint64       `json:"requests_count"`
	EventsCount   uint64       `json:"events_count"`
	RatePerSecond float64      `json:"rate_per_second"` // of events
	Percentiles   []Percentile `json:"percentiles"`     // of latency
	MemoryBytes   int64        `json:"memory_bytes,omitempty"`
}

// intervalPercents are the percentiles of an interval.
var intervalPercents = [...]float64{50, 99, 99.9, 100}

// intervals are measured by all clients of a stage together. A lock per answer is cheap compared to
// a request.
type intervals struct {
	period time.Duration
	memory func() int64    // resident memory of the server, read when an interval ends; may be nil
	ended  func(*Interval) // called for each interval that has ended, except the last; may be nil
	mutex  sync.Mutex
	all    []*interval
}

type interval struct {
	requestsCount, eventsCount uint64
	latency                    *hdrhistogram.Histogram
	memoryBytes                int64
}

// record records one answer.
func (s *intervals) record(doneAfter, latency time.Duration, eventsCount uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	index := int(doneAfter / s.period)
	for len(s.all) <= index {
		s.end()
		s.all = append(s.all, &interval{latency: newHistogram()})
	}
	i := s.all[index]
	i.requestsCount++
	i.eventsCount += eventsCount
	_ = i.latency.RecordValue(min(int64(latency), latencyMax)) // within the range, so this cannot fail
}

// end completes the newest interval.
func (s *intervals) end() {
	if len(s.all) == 0 {
		return
	}
	newest := s.all[len(s.all)-1]
	if s.memory != nil {
		newest.memoryBytes = s.memory()
	}
	if s.ended != nil {
		one := s.result(len(s.all)-1, s.period)
		s.ended(&one)
	}
}

// results returns the intervals of a stage with this duration.
func (s *intervals) results(duration time.Duration) (results []Interval) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i := range s.all {
		if i == len(s.all)-1 && s.memory != nil {
			s.all[i].memoryBytes = s.memory()
		}
		length := min(s.period, max(duration-time.Duration(i)*s.period, time.Nanosecond)) // the last one may be shorter
		results = append(results, s.result(i, length))
	}
	return results
}

func (s *intervals) result(index int, length time.Duration) Interval {
	i := s.all[index]
	r := Interval{
		AtNs: int64(index) * int64(s.period), PeriodNs: int64(length), RequestsCount: i.requestsCount, EventsCount: i.eventsCount,
		RatePerSecond: float64(i.eventsCount) / length.Seconds(), MemoryBytes: i.memoryBytes,
	}
	for _, percent := range intervalPercents {
		r.Percentiles = append(r.Percentiles, Percentile{percent, i.latency.ValueAtPercentile(percent)})
	}
	return r
}

// write makes one line.
func (i *Interval) write(out io.Writer, unit string) error {
	line := fmt.Sprintf("%8v %9s %s/s %9d batches", time.Duration(i.AtNs), grouped(uint64(i.RatePerSecond)), unit, i.RequestsCount)
	for _, p := range i.Percentiles {
		line += fmt.Sprintf("  p%v %s", p.Percent, formatNs(float64(p.Ns)))
	}
	if i.MemoryBytes > 0 {
		line += fmt.Sprintf("  memory %d MiB", i.MemoryBytes>>20)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}
