package replica

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ledger/affinity"
	"ledger/ports"
	"ledger/ring"
	"ledger/stages"
)

// waitNsMax bounds every sleep: a lost wake-up would be a bug, but must not be a hang.
const waitNsMax = 1_000_000_000

// Thread takes turns over the drivers of the stages that share one OS thread.
type Thread struct {
	place   affinity.Thread
	kernel  ports.Thread
	parker  *ring.Parker
	drivers []stages.Driver
	// timerNs says when some driver wants a turn at the latest; nil: none does.
	timerNs func() uint64
	stop    *atomic.Bool
	warn    func(error)
	// unwinds end the coroutines of the stages here, once the kernel uses no buffer any more.
	unwinds []func()

	// Counters, of this thread alone; others may read.
	BusyTurns, IdleTurns, Parks atomic.Uint64
}

// monotonicNs is the clock of the timers.
func monotonicNs() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return uint64(now.Nano())
}

// run is the body of the thread's goroutine, until stop is set. The OS thread ends with it.
func (t *Thread) run() error {
	runtime.LockOSThread() // for ever: the thread is the stages'
	if err := t.place.Enter(); err != nil {
		t.warn(err) // it runs all the same, elsewhere or at another priority
	}
	if err := t.kernel.Start(); err != nil {
		t.kernel.Close()
		return fmt.Errorf("starting thread %s: %w", t.place.Name(), err)
	}
	idleSinceNs := uint64(0)
	for !t.stop.Load() {
		nowNs := monotonicNs()
		if t.turn(nowNs) {
			idleSinceNs = 0
			t.BusyTurns.Add(1)
			continue
		}
		t.IdleTurns.Add(1)
		if idleSinceNs == 0 {
			idleSinceNs = nowNs
		}
		if nowNs-idleSinceNs < t.place.SpinNs {
			continue
		}
		t.park(nowNs)
	}
	t.kernel.Close()
	for _, unwind := range t.unwinds {
		unwind()
	}
	return nil
}

// turn gives every driver its turn, then the kernel side its own.
func (t *Thread) turn(nowNs uint64) (busy bool) {
	wallNs := uint64(time.Now().UnixNano())
	for _, driver := range t.drivers {
		if driver.Turn(nowNs, wallNs) {
			busy = true
		}
	}
	return t.kernel.Turn() > 0 || busy
}

// park sleeps until I/O, a wake or a timer. Once the word is set, all inputs are looked at again, so no wake is lost.
func (t *Thread) park(nowNs uint64) {
	timeoutNs := uint64(waitNsMax)
	if t.timerNs != nil {
		timer := t.timerNs()
		if timer <= nowNs {
			timer = nowNs + 1
		}
		timeoutNs = min(timeoutNs, timer-nowNs)
	}
	t.parker.Prepare()
	if !t.stop.Load() && !t.turn(nowNs) {
		t.Parks.Add(1)
		t.kernel.Wait(timeoutNs)
	}
	t.parker.Cancel()
}
