package cdc

import (
	"context"
	"sync"
	"time"

	"ledger/accounting"
	"ledger/feed"
)

const (
	countInterval = time.Second // between two counts of the events that wait
	countFetches  = 4           // of one count, at most
	countEvents   = 2730        // of one fetch, the most that a reply holds
)

// Lag knows how many events a sink does not have yet, and how old the oldest of them is. While a
// sink is slow or down, it counts ahead with queries of its own.
type Lag struct {
	querying sync.Mutex // is held during a query: the job and the count share a session
	fetch    Fetch
	fetches  int // of one count

	mutex    sync.Mutex
	after    uint64 // timestamp up to which the sink has everything
	waiting  uint64 // known events behind it, up to countedTo
	counted  uint64 // timestamp of the last of them
	oldest   uint64 // timestamp of the first of them; 0: there is none
	written  uint64 // events, since the start
	answered time.Time
}

// NewLag makes a lag of a job that fetches with fetch. If the job's requests are limited, a count
// is one request per second.
func NewLag(fetch Fetch, isLimited bool) *Lag {
	l := &Lag{fetch: fetch, fetches: countFetches}
	if isLimited {
		l.fetches = 1
	}
	return l
}

// Fetch is the query of the job.
func (l *Lag) Fetch(ctx context.Context, filter accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error) {
	events, err := l.query(ctx, filter)
	if err == nil {
		l.fetched(filter.TimestampMin-1, events)
	}
	return events, err
}

func (l *Lag) query(ctx context.Context, filter accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error) {
	l.querying.Lock()
	defer l.querying.Unlock()
	events, err := l.fetch(ctx, filter)
	if err == nil {
		l.mutex.Lock()
		l.answered = time.Now()
		l.mutex.Unlock()
	}
	return events, err
}

// fetched notes the events right behind a timestamp, which the sink has.
func (l *Lag) fetched(after uint64, events []accounting.ChangeEvent) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if after != l.after || l.counted < after {
		l.after, l.waiting, l.counted = after, 0, after
	}
	if len(events) == 0 {
		l.waiting, l.counted, l.oldest = 0, after, 0
		return
	}
	l.oldest = events[0].Timestamp
	if last := events[len(events)-1].Timestamp; l.counted < last {
		l.waiting, l.counted = uint64(len(events)), last
	}
}

// Progress notes that the sink has taken more.
func (l *Lag) Progress(result feed.Result) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.waiting -= min(l.waiting, result.Count-l.written)
	l.written, l.after = result.Count, result.Last
	switch {
	case l.counted <= l.after:
		l.waiting, l.counted, l.oldest = 0, l.after, 0
	case l.waiting > 0:
		l.oldest = l.after // the next one is not much younger
	}
}

// Watch counts ahead until ctx ends.
func (l *Lag) Watch(ctx context.Context) {
	ticker := time.NewTicker(countInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for range l.fetches {
				if !l.count(ctx) {
					break
				}
			}
		}
	}
}

// count counts the events of one reply. It tells whether there may be more.
func (l *Lag) count(ctx context.Context) bool {
	l.mutex.Lock()
	from, isBehind := l.counted, l.waiting > 0
	l.mutex.Unlock()
	if !isBehind { // the next look of the job finds what there is
		return false
	}
	events, err := l.query(ctx, accounting.ChangeEventsFilter{TimestampMin: from + 1, Limit: countEvents})
	if err != nil || len(events) == 0 {
		return false
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.counted == from && l.waiting > 0 {
		l.waiting += uint64(len(events))
		l.counted = events[len(events)-1].Timestamp
	}
	return true
}

// figures of a job.
type figures struct {
	events, last, written uint64
	lag, silence          time.Duration // of the oldest event; since the last answer of the server
}

func (l *Lag) figures(now time.Time) (f figures) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	f = figures{events: l.waiting, last: l.after, written: l.written}
	if l.oldest > 0 {
		f.lag = max(0, time.Duration(uint64(now.UnixNano())-l.oldest))
	}
	if !l.answered.IsZero() {
		f.silence = now.Sub(l.answered)
	}
	return f
}
