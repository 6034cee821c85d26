package stages

import (
	"ledger/internal/assert"
	"ledger/ring"
)

// Driver is a stage with its rings and ports. The simulator and the production threads call Turn,
// in any order.
type Driver interface {
	// Turn pops a bounded number of waiting messages, steps, and performs the actions. It never
	// blocks. nowNs is monotonic, wallNs is the wall clock in nanoseconds since the Unix epoch.
	// busy tells whether anything happened.
	Turn(nowNs, wallNs uint64) (busy bool)
	// NextTurnNs is the driver's timer: the latest time of its next turn, on the clock of nowNs,
	// although nothing happens until then. NoTurn: it waits for messages and completions alone. The
	// answer holds until the driver's next turn. If that turn comes at the time or later and is not
	// busy, the next answer is a later time: otherwise the thread would not sleep.
	NextTurnNs() uint64
}

// NoTurn is the timer of a driver that wants no turn before something happens.
const NoTurn = ^uint64(0)

// Sender is the producer's end of an edge: a ring, and the thread that it may have to wake.
type Sender[T any] struct {
	Ring *ring.SPSC[T]
	// Waker is zero where the consumer is on the same thread, and in the simulator.
	Waker ring.Waker
}

// Push publishes all items. The edge's budget guarantees that they fit.
func (s *Sender[T]) Push(items []T) {
	if len(items) == 0 {
		return
	}
	assert.Equal(s.Ring.Push(items), len(items), "items that the edge's budget lets through")
	s.Waker.Wake()
}
