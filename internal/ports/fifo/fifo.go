// Package fifo is the bounded queue inside a port, for operations that are queued for the kernel,
// and for events that wait to be polled.
//
// In, Out: values of one type, first in, first out.
// Owns:    one slice of a fixed capacity; nothing is allocated after New.
// Limits:  pushing into a full queue is a broken assertion; the capacity is the largest number of
// outstanding values.
// Faults:  none. One thread owns a queue.
package fifo

import "ledger/internal/assert"

// Queue holds up to a fixed number of values.
type Queue[T any] struct {
	values []T // a power of two of them
	head   uint32
	tail   uint32
	limit  uint32
}

// New returns an empty queue for at most capacity values.
func New[T any](capacity uint32) *Queue[T] {
	assert.That(capacity > 0 && capacity <= 1<<30, "a queue has room")
	size := uint32(1)
	for size < capacity {
		size *= 2
	}
	return &Queue[T]{values: make([]T, size), limit: capacity}
}

// Count is the number of values inside.
func (q *Queue[T]) Count() uint32 { return q.tail - q.head }

// Push appends value.
func (q *Queue[T]) Push(value T) {
	assert.Below(q.Count(), q.limit, "values in a bounded queue")
	q.values[q.tail&uint32(len(q.values)-1)] = value
	q.tail++
}

// Pop removes the oldest value.
func (q *Queue[T]) Pop() T {
	assert.That(q.head != q.tail, "a queue that is popped has a value")
	value := q.values[q.head&uint32(len(q.values)-1)]
	q.head++
	return value
}

// Peek returns the oldest value in place.
func (q *Queue[T]) Peek() *T {
	assert.That(q.head != q.tail, "a queue that is looked at has a value")
	return &q.values[q.head&uint32(len(q.values)-1)]
}
