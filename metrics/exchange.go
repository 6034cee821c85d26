package metrics

import (
	"sync/atomic"
	"time"
)

// lineBytes keeps words of two writers apart: two cache lines, because the hardware fetches them in
// pairs.
const lineBytes = 128

// Exchange lets one thread ask another one, the owner of figures, for a copy.
//
// Between Ask and the answer, the owner may write the copy. From the answer to the next Ask, the
// asker may read it.
type Exchange struct {
	_        [lineBytes]byte
	asked    atomic.Uint64 // only the asker stores it; the owner loads it once per turn
	_        [lineBytes]byte
	answered atomic.Uint64 // only the owner stores it
	_        [lineBytes]byte
}

// Wanted tells the owner that a copy is wanted. The owner then makes it and calls Answer. Owner
// only.
func (e *Exchange) Wanted() bool { return e.asked.Load() != e.answered.Load() }

// Answer hands over the copy. Owner only.
func (e *Exchange) Answer() { e.answered.Store(e.asked.Load()) }

// Ask asks for a copy, unless a question is open already. The asker has to wake the owner
// afterwards. Asker only.
func (e *Exchange) Ask() {
	if !e.Wanted() {
		e.asked.Store(e.asked.Load() + 1)
	}
}

// Await waits for the answer. It returns false if there is none at the deadline; then the copy must
// not be read. Asker only.
//
// It sleeps in short steps, so that the owner need not make a system call to wake the asker.
func (e *Exchange) Await(deadline time.Time) bool {
	for pause := 20 * time.Microsecond; e.Wanted(); pause = min(2*pause, time.Millisecond) {
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
