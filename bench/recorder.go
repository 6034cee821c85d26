package bench

import (
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	latencyMin     = int64(time.Microsecond)
	latencyMax     = int64(time.Hour)
	latencyDigits  = 3 // digits of a latency that are kept
	timelinePeriod = 100 * time.Millisecond
)

// recorder is the measurements of one client in one stage. Only counts may be read while it is
// written.
type recorder struct {
	latency *hdrhistogram.Histogram // in an open loop, from the time at which the batch was due
	service *hdrhistogram.Histogram // in an open loop only: from sending
	periods []period
	counts  *counts // of all clients, for the display
	// intervals of all clients.
	intervals *intervals
}

// counts are shared by the clients of a stage.
type counts struct {
	requests atomic.Uint64
	events   atomic.Uint64
	slowest  atomic.Uint64 // ns, since the display's last look
}

// period is one step of the timeline.
type period struct {
	requestsCount uint64
	eventsCount   uint64
	latencyMaxNs  int64
	latencySumNs  int64
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(latencyMin, latencyMax, latencyDigits)
}

func newRecorder(openLoop bool, counts *counts, intervals *intervals) *recorder {
	r := &recorder{latency: newHistogram(), periods: make([]period, 0, 1024), counts: counts, intervals: intervals}
	if openLoop {
		r.service = newHistogram()
	}
	return r
}

// record records one answer. doneAfter is the time since the stage began. isCounted is false during
// the warm-up.
func (r *recorder) record(doneAfter, latency, service time.Duration, eventsCount uint64, isCounted bool) {
	index := int(doneAfter / timelinePeriod)
	for len(r.periods) <= index {
		r.periods = append(r.periods, period{})
	}
	p := &r.periods[index]
	p.requestsCount++
	p.eventsCount += eventsCount
	p.latencySumNs += int64(latency)
	p.latencyMaxNs = max(p.latencyMaxNs, int64(latency))
	if isCounted {
		_ = r.latency.RecordValue(min(int64(latency), latencyMax)) // within the range, so this cannot fail
		if r.service != nil {
			_ = r.service.RecordValue(min(int64(service), latencyMax))
		}
	}
	r.intervals.record(doneAfter, latency, eventsCount)
	r.counts.requests.Add(1)
	r.counts.events.Add(eventsCount)
	for {
		slowest := r.counts.slowest.Load()
		if uint64(latency) <= slowest || r.counts.slowest.CompareAndSwap(slowest, uint64(latency)) {
			return
		}
	}
}

// merge adds the measurements of another client in the same stage.
func (r *recorder) merge(other *recorder) {
	r.latency.Merge(other.latency)
	if r.service != nil {
		r.service.Merge(other.service)
	}
	for len(r.periods) < len(other.periods) {
		r.periods = append(r.periods, period{})
	}
	for i, p := range other.periods {
		to := &r.periods[i]
		to.requestsCount += p.requestsCount
		to.eventsCount += p.eventsCount
		to.latencySumNs += p.latencySumNs
		to.latencyMaxNs = max(to.latencyMaxNs, p.latencyMaxNs)
	}
}
