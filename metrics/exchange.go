package metrics

import (
	"sync/atomic"
	"time"
)

// lineBytes keeps apart what two threads write: two cache lines, since the hardware fetches them in
// pairs.
const lineBytes = 128

// Exchange is where one thread, the owner of figures, is asked for a copy of them by another.
//
// Between Ask and the answer the copy is the owner's to write; from the answer to the next Ask it
// is the asker's to read.
type Exchange struct {
	_        [lineBytes]byte
	asked    atomic.Uint64 // only the asker stores it; the owner loads it once per turn
	_        [lineBytes]byte
	answered atomic.Uint64 // only the owner stores it
	_        [lineBytes]byte
}

// Wanted tells the owner that a copy is asked for: it makes it and calls Answer. Owner only.
func (e *Exchange) Wanted() bool { return e.asked.Load() != e.answered.Load() }

// Answer hands over the copy. Owner only.
func (e *Exchange) Answer() { e.answered.Store(e.asked.Load()) }

// Ask asks for a copy, unless one is asked for already. Wake the owner afterwards. Asker only.
func (e *Exchange) Ask() {
	if !e.Wanted() {
		e.asked.Store(e.asked.Load() + 1)
	}
}

// Await waits for the answer; false if there is none yet at the deadline: then the copy must not be
// read. Asker only.
//
// It sleeps in short steps: the owner, who is in a hurry, makes no system call for the asker's
// sake.
func (e *Exchange) Await(deadline time.Time) bool {
	for pause := 20 * time.Microsecond; e.Wanted(); pause = min(2*pause, time.Millisecond) {
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
