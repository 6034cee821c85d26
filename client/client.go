package client

import (
	"context"
	"encoding/binary"
	"sync"

	"ledger/internal/assert"
	"ledger/wire"
)

// batchesMax is the largest number of calls in one message. The format allows 65534.
const batchesMax = 1024

// Client shares one session among goroutines. If no request is in flight, a call is sent at once.
// Otherwise calls wait, and all waiting calls of one operation are merged into one message, in the
// order of their arrival.
type Client struct {
	session *Session
	request *Message
	reply   *Message
	wake    chan struct{} // holds a token when the queue may have something
	ended   chan struct{} // closed when the dispatcher has ended

	mu    sync.Mutex
	head  *call
	tail  *call
	ender error // set when the dispatcher takes no more calls
}

// call is one caller's batch.
type call struct {
	operation  wire.Operation
	events     []byte // the caller's, until taken
	resultsMax uint64
	taken      bool
	results    []byte
	err        error
	done       chan struct{}
	next       *call
}

// New opens a session and waits for its registration; see Open.
func New(ctx context.Context, options Options) (*Client, error) {
	session, err := Open(ctx, options)
	if err != nil {
		return nil, err
	}
	return Share(session), nil
}

// Share makes a client of an open session. From then on, the session belongs to the client.
func Share(session *Session) *Client {
	c := &Client{
		session: session, request: NewMessage(), reply: NewMessage(),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go c.dispatch()
	return c
}

// Close ends the session. Calls that wait fail with ErrClosed; what is in flight may still take
// effect.
func (c *Client) Close() {
	c.session.Close()
	<-c.ended
}

// Session is the session below, for its id and limits.
func (c *Client) Session() *Session { return c.session }

// submit sends events as one batch and waits for its results, which are memory of the caller.
//
// If ctx ends while the call still waits, the call has no effect. If it ends later, the call may
// have an effect.
func (c *Client) submit(ctx context.Context, o wire.Operation, events []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bodyBytesMax := c.session.BodyBytesMax()
	eventsCount := uint32(len(events)) / o.EventBytes()
	if eventsCount > wire.EventsMax(o, bodyBytesMax) {
		return nil, ErrTooMuchData
	}
	one := &call{operation: o, events: events, resultsMax: resultsMax(o, events, bodyBytesMax), done: make(chan struct{})}
	c.mu.Lock()
	if c.ender != nil {
		c.mu.Unlock()
		return nil, c.ender
	}
	if c.tail == nil {
		c.head = one
	} else {
		c.tail.next = one
	}
	c.tail = one
	c.mu.Unlock()
	c.signal()
	select {
	case <-one.done:
		return one.results, one.err
	case <-ctx.Done():
		c.mu.Lock()
		if !one.taken {
			c.remove(one)
		}
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// resultsMax is the largest number of results of a batch.
func resultsMax(o wire.Operation, events []byte, bodyBytesMax uint32) uint64 {
	if o.Class() != wire.ClassQuery {
		return uint64(len(events)) / uint64(o.EventBytes())
	}
	var limit uint32
	switch o {
	case wire.OperationGetAccountTransfers, wire.OperationGetAccountBalances:
		limit = View[AccountFilter](events)[0].Limit
	case wire.OperationQueryAccounts, wire.OperationQueryTransfers:
		limit = View[QueryFilter](events)[0].Limit
	default:
		limit = binary.LittleEndian.Uint32(events[16:]) // of a ChangeEventsFilter
	}
	return uint64(min(limit, wire.RowsMax(o, bodyBytesMax)))
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// remove removes one call from the queue. The caller holds mu.
func (c *Client) remove(one *call) {
	var before *call
	for at := c.head; at != nil; before, at = at, at.next {
		if at != one {
			continue
		}
		if before == nil {
			c.head = at.next
		} else {
			before.next = at.next
		}
		if c.tail == at {
			c.tail = before
		}
		return
	}
}

// dispatch sends the queued calls, one message after the other.
func (c *Client) dispatch() {
	defer close(c.ended)
	var merged []*call
	for {
		operation, bodyBytes := wire.Operation(0), 0
		merged, operation, bodyBytes = c.merge(merged[:0])
		if len(merged) == 0 {
			select {
			case <-c.wake:
				continue
			case <-c.session.context.Done():
				c.fail(c.session.Err())
				return
			}
		}
		_, err := c.session.Do(context.Background(), operation, c.request, bodyBytes, c.reply)
		if err == nil {
			err = c.deliver(operation, merged)
		}
		for i, one := range merged {
			if err != nil && one.results == nil {
				one.err = err
			}
			close(one.done)
			merged[i] = nil
		}
	}
}

// merge makes one body of the oldest call and of every later one of its operation that fits.
func (c *Client) merge(merged []*call) ([]*call, wire.Operation, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head == nil {
		return merged, 0, 0
	}
	o := c.head.operation
	bodyBytesMax := uint64(c.session.BodyBytesMax())
	eventBytes, resultBytes := o.EventBytes(), o.ResultBytes()
	eventsBytes, resultsMax := uint64(0), uint64(0)
	var before *call
	for at := c.head; at != nil && len(merged) < batchesMax; at = at.next {
		fits := at.operation == o && (len(merged) == 0 || o.IsMultiBatch() &&
			eventsBytes+uint64(len(at.events))+wire.TrailerBytes(eventBytes, len(merged)+1) <= bodyBytesMax &&
			(resultsMax+at.resultsMax)*uint64(resultBytes)+wire.TrailerBytes(resultBytes, len(merged)+1) <= wire.BodyBytesMax)
		if !fits {
			before = at
			continue
		}
		eventsBytes += uint64(len(at.events))
		resultsMax += at.resultsMax
		at.taken = true
		merged = append(merged, at)
		if before == nil {
			c.head = at.next
		} else {
			before.next = at.next
		}
		if c.tail == at {
			c.tail = before
		}
	}
	if !o.IsMultiBatch() {
		return merged, o, copy(c.request.Body(), merged[0].events)
	}
	encoder := wire.NewBatchEncoder(c.request.Body(), eventBytes, len(merged))
	for _, one := range merged {
		encoder.EndBatch(copy(encoder.Free(), one.events) / int(eventBytes))
	}
	return merged, o, len(encoder.Finish())
}

// deliver splits the reply. Results are copied: the reply's memory is used again at once.
func (c *Client) deliver(o wire.Operation, merged []*call) error {
	body := c.reply.Body()[:c.reply.Header().BodyBytes()]
	if !o.IsMultiBatch() {
		assert.Equal(len(merged), 1, "calls of an operation without batches")
		if len(body)%int(o.ResultBytes()) != 0 {
			return ErrReply
		}
		merged[0].results = clone(body)
		return nil
	}
	batches, fault := wire.DecodeBatches(body, o.ResultBytes())
	if fault != "" || batches.Left() != len(merged) {
		return ErrReply
	}
	for _, one := range merged {
		results, _ := batches.Next()
		resultsCount := uint64(len(results)) / uint64(o.ResultBytes())
		if resultsCount > one.resultsMax || o.Class() == wire.ClassCreate && resultsCount != one.resultsMax {
			return ErrReply
		}
		one.results = clone(results)
	}
	return nil
}

// clone copies into new memory, never nil: a call with results is answered.
func clone(results []byte) []byte { return append(make([]byte, 0, len(results)), results...) }

// fail ends all calls in the queue and all later calls.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ender = err
	for at := c.head; at != nil; at = at.next {
		at.taken, at.err = true, err
		close(at.done)
	}
	c.head, c.tail = nil, nil
}
