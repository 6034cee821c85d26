package events

import "sync/atomic"

// QueueEvents is the number of events that can wait for the goroutine, a power of two. A start
// prints about 30 lines, and the stages limit per second the events that peers can cause.
const QueueEvents = 512

// lineBytes keeps words of the producers and of the consumer apart.
const lineBytes = 128

// queue is a bounded queue for many producers and one consumer, without locks. Each cell has a
// turn. It is the number of the push that may fill the cell. After the push it is that number plus
// one, and after the pop the number of the push one lap later.
type queue struct {
	cells [QueueEvents]cell
	_     [lineBytes]byte
	head  atomic.Uint64 // the number of the next push
	_     [lineBytes]byte
	tail  uint64 // the number of the next pop; only for the consumer
}

// cell holds one event of any type, without an allocation.
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

// claim returns a cell, which the caller fills and then publishes under number. It returns nil if
// the queue is full.
func (q *queue) claim() (c *cell, number uint64) {
	for {
		number = q.head.Load()
		c = &q.cells[number%QueueEvents]
		switch turn := c.turn.Load(); {
		case turn == number:
			if q.head.CompareAndSwap(number, number+1) {
				return c, number
			}
		case turn < number: // of the previous lap, not yet popped
			return nil, 0
		}
	}
}

// publish hands a claimed cell to the consumer.
func (c *cell) publish(number uint64) { c.turn.Store(number + 1) }

// front is the cell of the oldest event, or nil if there is none. release gives it back.
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
