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

// waitNsMax bounds every sleep: a lost wake-up would be a bug, but must not be a hang.
const waitNsMax = 1_000_000_000

// roundsMax of the stages before apply in one turn: a finished write is journal's, consensus' and
// then net's.
const roundsMax = 3

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

	stages    []int // of drivers
	numbers   []int // of drivers, among all: compact's workers have one each
	clock     *clock
	figures   metrics.Thread
	board     *metrics.ThreadBoard // where the recorder of slow ops looks
	schedstat schedstat
	exchange  metrics.Exchange
	samplers  []func() // copy the figures of this thread and its stages, on it, when somebody asks
}

// clock reads both clocks at once, without a system call.
type clock struct {
	origin   time.Time
	originNs uint64
}

func newClock() *clock {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return &clock{origin: time.Now(), originNs: uint64(now.Nano())}
}

// now returns the time of the timers, and the wall clock's.
func (c *clock) now() (nowNs, wallNs uint64) {
	now := time.Now()
	return c.originNs + uint64(now.Sub(c.origin)), uint64(now.UnixNano())
}

func (c *clock) monotonicNs() uint64 { return c.originNs + uint64(time.Since(c.origin)) }

// run is the body of the thread's goroutine, until stop is set. The OS thread ends with it.
func (t *Thread) run() error {
	runtime.LockOSThread() // for ever: the thread is the stages'
	if err := t.place.Enter(); err != nil {
		t.warn(err) // it runs all the same, elsewhere
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

// turn gives every driver its turn, then the kernel side its own. stagesEndNs is when the last
// driver that was busy ended.
//
// The stages before apply hand on what they have without delay: they go round until they have
// nothing more for each other, and what they want of the kernel is submitted before apply begins.
// So an op is on its way to the disk, and the replies before it to their clients, while it is
// executed.
func (t *Thread) turn(nowNs, wallNs uint64) (busy bool, stagesEndNs uint64) {
	applyAt := 0 // of the drivers, apply or what stands behind it
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

// step gives the drivers from first to before end their turns.
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

// stepped notes a turn in which something happened.
func (t *Thread) stepped(beganNs, stagesEndNs, nowNs uint64) {
	t.figures.BusyTurns++
	t.figures.SteppingNs += nowNs - beganNs
	t.figures.KernelNs += nowNs - stagesEndNs
	t.board.Called(nowNs - stagesEndNs)
	t.schedstat.watch(t.board, nowNs, nowNs-beganNs)
	t.figures.TurnNs.Record(nowNs - beganNs)
}

// sample copies the figures for whoever asks.
func (t *Thread) sample() {
	for _, sampler := range t.samplers {
		sampler()
	}
	t.exchange.Answer()
}

// park sleeps until I/O, a wake or a timer. Once the word is set, all inputs are looked at again,
// so no wake is lost. It says so when there was something to do instead.
func (t *Thread) park(nowNs, wallNs uint64) (busy bool, stagesEndNs uint64) {
	timeoutNs := uint64(waitNsMax)
	if t.timerNs != nil {
		timer := t.timerNs()
		if timer <= nowNs {
			timer = nowNs + 1
		}
		timeoutNs = min(timeoutNs, timer-nowNs)
	}
	t.parker.Prepare()
	// Whoever asks for figures wakes as well, so the question is one of the inputs.
	if !t.stop.Load() && !t.exchange.Wanted() {
		if busy, stagesEndNs = t.turn(nowNs, wallNs); !busy {
			t.figures.Parks++
			t.kernel.Wait(timeoutNs)
		}
	}
	t.parker.Cancel()
	return busy, stagesEndNs
}
