package stages

import (
	"ledger/internal/assert"
	"ledger/ring"
)

// Driver is a stage with its rings and ports: the simulator and the production threads call Turn,
// in whatever order.
type Driver interface {
	// Turn pops a bounded share of what waits, steps, and performs the actions. nowNs is monotonic,
	// wallNs is the wall clock in nanoseconds since the Unix epoch. It never blocks, and says whether
	// anything happened.
	Turn(nowNs, wallNs uint64) (busy bool)
}

// Sender is the producer's end of an edge: a ring, and the thread to wake behind it.
type Sender[T any] struct {
	Ring *ring.SPSC[T]
	// Waker is zero where the consumer is on the same thread, and in the simulator.
	Waker ring.Waker
}

// Push publishes all items: the edge's budget says that they fit.
func (s *Sender[T]) Push(items []T) {
	if len(items) == 0 {
		return
	}
	assert.Equal(s.Ring.Push(items), len(items), "items that the edge's budget lets through")
	s.Waker.Wake()
}
