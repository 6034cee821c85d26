package replica

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ledger/affinity"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
)

// waitNsMax bounds every sleep. A lost wake-up would be a bug, but it does not hang the server.
const waitNsMax = 1_000_000_000

// roundsMax is the number of rounds of the stages before apply in one turn. A finished write goes
// from journal to consensus to net, which takes three rounds.
const roundsMax = 3

// Thread takes turns over the drivers of the stages that share one OS thread.
type Thread struct {
	place   affinity.Thread
	kernel  ports.Thread
	parker  *ring.Parker
	drivers []stages.Driver
	stop    *atomic.Bool
	warn    func(error)
	// unwinds end the coroutines of the stages on this thread, after the kernel has stopped using
	// any buffer.
	unwinds []func()

	stages    []int // of drivers
	numbers   []int // of drivers, among all; each worker of compact has one
	clock     *clock
	figures   metrics.Thread
	board     *metrics.ThreadBoard // the recorder of slow ops reads it
	schedstat schedstat
	exchange  metrics.Exchange
	samplers  []func() // copy the figures of this thread and its stages, on this thread
}

// clock reads both clocks at once, without a system call.
type clock struct {
	origin   time.Time
	originNs uint64
	skew     clockSkew
}

func newClock() *clock {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return &clock{origin: time.Now(), originNs: uint64(now.Nano())}
}

// now returns the time for timers and the wall clock's time.
func (c *clock) now() (nowNs, wallNs uint64) {
	now := time.Now()
	return c.originNs + uint64(now.Sub(c.origin)), uint64(now.UnixNano() + c.skew.ns())
}

func (c *clock) monotonicNs() uint64 { return c.originNs + uint64(time.Since(c.origin)) }

// run is the body of the thread's goroutine, until stop is set. The OS thread ends with it.
func (t *Thread) run() error {
	runtime.LockOSThread() // for ever: the thread belongs to the stages
	if err := t.place.Enter(); err != nil {
		t.warn(err) // the thread runs all the same, on other cores
	}
	if err := t.kernel.Start(); err != nil {
		t.kernel.Close()
		return fmt.Errorf("starting thread %s: %w", t.place.Name(), err)
	}
	t.schedstat.open()
	defer t.schedstat.close()
	idleSinceNs := uint64(0)
	nowNs, wallNs := t.clock.now()
	for !t.stop.Load() {
		beganNs := nowNs
		busy, stagesEndNs := t.turn(nowNs, wallNs)
		if t.exchange.Wanted() {
			t.sample()
		}
		nowNs, wallNs = t.clock.now()
		if busy {
			t.stepped(beganNs, stagesEndNs, nowNs)
			idleSinceNs = 0
			continue
		}
		t.figures.IdleTurns++
		t.figures.SpinningNs += nowNs - beganNs
		if idleSinceNs == 0 {
			idleSinceNs = beganNs
		}
		if nowNs-idleSinceNs < t.place.SpinNs {
			continue
		}
		beganNs = nowNs
		busy, stagesEndNs = t.park(nowNs, wallNs)
		nowNs, wallNs = t.clock.now()
		if busy {
			t.stepped(beganNs, stagesEndNs, nowNs)
			idleSinceNs = 0
			continue
		}
		t.figures.ParkedNs += nowNs - beganNs
		t.schedstat.watch(t.board, nowNs, 0)
	}
	t.kernel.Close()
	for _, unwind := range t.unwinds {
		unwind()
	}
	return nil
}

// turn gives every driver a turn, and then the kernel side. stagesEndNs is the time at which the
// last busy driver ended.
//
// The stages before apply take turns until they have nothing more for each other. Their I/O is
// submitted before apply begins. So an op is on its way to the disk, and the replies of the
// previous op are on their way to the clients, while the op is executed.
func (t *Thread) turn(nowNs, wallNs uint64) (busy bool, stagesEndNs uint64) {
	applyAt := 0 // index of apply's driver, or of the first one behind it
	for applyAt < len(t.stages) && t.stages[applyAt] < stages.Apply {
		applyAt++
	}
	stagesEndNs = nowNs
	for range roundsMax {
		if !t.step(0, applyAt, nowNs, wallNs, &stagesEndNs) {
			break
		}
		busy = true
	}
	if busy && applyAt < len(t.drivers) {
		t.kernel.Turn()
		endNs := t.clock.monotonicNs()
		t.board.Called(endNs - stagesEndNs)
		t.figures.KernelNs += endNs - stagesEndNs
		stagesEndNs = endNs
	}
	if t.step(applyAt, len(t.drivers), nowNs, wallNs, &stagesEndNs) {
		busy = true
	}
	return t.kernel.Turn() > 0 || busy, stagesEndNs
}

// step gives a turn to the drivers from first up to but not including end.
func (t *Thread) step(first, end int, nowNs, wallNs uint64, stagesEndNs *uint64) (busy bool) {
	for i := first; i < end; i++ {
		if t.drivers[i].Turn(nowNs, wallNs) {
			busy = true
			endNs := t.clock.monotonicNs()
			t.figures.StageNs[t.stages[i]] += endNs - *stagesEndNs
			t.figures.StageTurns[t.stages[i]]++
			*stagesEndNs = endNs
		}
	}
	return busy
}

// stepped counts a turn in which something happened.
func (t *Thread) stepped(beganNs, stagesEndNs, nowNs uint64) {
	t.figures.BusyTurns++
	t.figures.SteppingNs += nowNs - beganNs
	t.figures.KernelNs += nowNs - stagesEndNs
	t.board.Called(nowNs - stagesEndNs)
	t.schedstat.watch(t.board, nowNs, nowNs-beganNs)
	t.figures.TurnNs.Record(nowNs - beganNs)
}

// sample copies the figures for the thread that asked.
func (t *Thread) sample() {
	for _, sampler := range t.samplers {
		sampler()
	}
	t.exchange.Answer()
}

// park sleeps until I/O, a wake or a timer. It first announces in the parker's word that it is
// about to sleep, and then looks at all inputs again, so no wake is lost. busy: one of the inputs
// had something to do, and the thread did not sleep.
func (t *Thread) park(nowNs, wallNs uint64) (busy bool, stagesEndNs uint64) {
	t.parker.Prepare()
	// A thread that asks for figures also wakes this thread, so its question is one of the inputs.
	if !t.stop.Load() && !t.exchange.Wanted() {
		if busy, stagesEndNs = t.turn(nowNs, wallNs); !busy {
			t.figures.Parks++
			t.kernel.Wait(t.sleepNs(nowNs))
		}
	}
	t.parker.Cancel()
	return busy, stagesEndNs
}

// sleepNs is how long the thread may sleep: until the first timer of its drivers. It is asked after
// a turn, in which each driver whose timer had passed has set a later one.
func (t *Thread) sleepNs(nowNs uint64) uint64 {
	wakeNs := nowNs + waitNsMax
	for _, driver := range t.drivers {
		wakeNs = min(wakeNs, driver.NextTurnNs())
	}
	return max(wakeNs, nowNs+1) - nowNs
}
