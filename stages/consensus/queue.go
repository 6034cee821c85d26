package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// request is a client's request that waits for a prepare.
type request struct {
	slot          stages.Slot
	bytes         uint32
	eventsCount   uint32
	replyBytesMax uint32
	arrivedNs     uint64 // for the metrics
	arrivingNs    uint64
	receivedNs    uint64
	bodyHashed    bool
	bodySum       wire.Checksum
}

// requestQueue is the requests that wait for a prepare, in order of arrival.
type requestQueue struct {
	requests []request // ring
	first    int
	length   int
}

func newRequestQueue(l *limits.Limits) requestQueue {
	return requestQueue{requests: make([]request, queueMax(l))}
}

func queueMax(l *limits.Limits) uint32 { return l.ConnectionsMax + l.SessionsMax }

func (q *requestQueue) count() int   { return q.length }
func (q *requestQueue) isFull() bool { return q.length == len(q.requests) }
func (q *requestQueue) room() int    { return len(q.requests) - q.length }

// at returns the request that is i behind the first.
func (q *requestQueue) at(i int) *request {
	assert.Below(i, q.length, "index of a request that waits")
	return &q.requests[(q.first+i)%len(q.requests)]
}

func (q *requestQueue) push(r request) {
	assert.Below(q.length, len(q.requests), "requests that wait")
	q.requests[(q.first+q.length)%len(q.requests)] = r
	q.length++
}

func (q *requestQueue) pop() request {
	r := *q.at(0)
	q.first = (q.first + 1) % len(q.requests)
	q.length--
	return r
}
