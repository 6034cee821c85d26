package events

import "sync/atomic"

// QueueEvents is how many events may wait for the goroutine that writes; a power of two. The start
// prints about 30 lines, and what peers can cause is limited per second by the stages.
const QueueEvents = 512

// lineBytes keeps apart what the producers write and what the consumer writes.
const lineBytes = 128

// queue is bounded, for many producers and one consumer, without locks. Each cell has a turn: the
// number of the push that may fill it, that number plus one once it is filled, and after the pop
// the number of the push one lap later.
type queue struct {
	cells [QueueEvents]cell
	_     [lineBytes]byte
	head  atomic.Uint64 // the number of the next push
	_     [lineBytes]byte
	tail  uint64 // the number of the next pop; the consumer's alone
}

// cell holds one event of whatever type, without an allocation.
type cell struct {
	turn   atomic.Uint64
	timeNs int64
	kind   Kind
	events [kindsCount]Event // a pointer to a struct of each type
}

func newQueue() *queue {
	q := &queue{}
	for i := range q.cells {
		q.cells[i].turn.Store(uint64(i))
		q.cells[i].events = newCell()
	}
	return q
}

// claim returns a cell to be filled and then published under number; nil if the queue is full.
func (q *queue) claim() (c *cell, number uint64) {
	for {
		number = q.head.Load()
		c = &q.cells[number%QueueEvents]
		switch turn := c.turn.Load(); {
		case turn == number:
			if q.head.CompareAndSwap(number, number+1) {
				return c, number
			}
		case turn < number: // of the lap before, not yet popped
			return nil, 0
		}
	}
}

// publish hands a claimed cell to the consumer.
func (c *cell) publish(number uint64) { c.turn.Store(number + 1) }

// front is the oldest event's cell, nil if there is none; release gives it back.
func (q *queue) front() *cell {
	c := &q.cells[q.tail%QueueEvents]
	if c.turn.Load() != q.tail+1 {
		return nil
	}
	return c
}

func (q *queue) release() {
	q.cells[q.tail%QueueEvents].turn.Store(q.tail + QueueEvents)
	q.tail++
}
