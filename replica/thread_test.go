package replica

import (
	"sync/atomic"
	"testing"
	"time"

	"ledger/affinity"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
)

// sleepyKernel is the kernel side of a thread, to which nothing happens. A wait lets its whole time
// pass on the thread's clock.
type sleepyKernel struct {
	ports.Thread
	clock   *clock
	waitsNs []uint64
	waited  func()
}

func (k *sleepyKernel) Start() error { return nil }
func (k *sleepyKernel) Turn() int    { return 0 }
func (k *sleepyKernel) Close()       {}
func (k *sleepyKernel) Wait(timeoutNs uint64) {
	k.waitsNs = append(k.waitsNs, timeoutNs)
	k.clock.originNs += timeoutNs
	k.waited()
}

// sleepyDriver wants a turn at timerNs, and then the next one everyNs later.
type sleepyDriver struct {
	timerNs, everyNs uint64
	turnsNs          []uint64 // of the turns that it wanted
}

func (d *sleepyDriver) NextTurnNs() uint64 { return d.timerNs }

func (d *sleepyDriver) Turn(nowNs, _ uint64) (busy bool) {
	if nowNs >= d.timerNs {
		d.turnsNs = append(d.turnsNs, d.timerNs)
		if d.timerNs = stages.NoTurn; d.everyNs > 0 {
			d.timerNs = nowNs + d.everyNs
		}
	}
	return false
}

// runSleepy runs a thread with drivers until enough has happened, at a wait.
func runSleepy(t *testing.T, enough func(k *sleepyKernel) bool, drivers ...*sleepyDriver) *sleepyKernel {
	t.Helper()
	parker, err := ring.NewParker()
	if err != nil {
		t.Fatal(err)
	}
	defer parker.Close()
	var stop atomic.Bool
	k := &sleepyKernel{clock: newClock()}
	began := time.Now()
	k.waited = func() {
		if time.Since(began) > 10*time.Second {
			t.Error("a driver that wants a turn gets none")
			stop.Store(true)
		}
		if enough(k) {
			stop.Store(true)
		}
	}
	thread := &Thread{place: affinity.Thread{Stages: []affinity.Stage{affinity.Net}}, kernel: k, parker: parker, stop: &stop, clock: k.clock,
		board: new(metrics.ThreadBoard), warn: func(error) {}}
	startNs, _ := k.clock.now()
	for i, driver := range drivers {
		if driver.timerNs != stages.NoTurn {
			driver.timerNs += startNs
		}
		thread.drivers = append(thread.drivers, driver)
		thread.stages = append(thread.stages, i)
	}
	result := make(chan error, 1)
	go func() { result <- thread.run() }() // its OS thread ends with it
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	return k
}

// Goal: each driver of a thread gets a turn when its timer has passed, though nothing happens. The
// first of all timers ends a sleep, whichever driver has it.
func TestThreadHonoursTimers(t *testing.T) {
	const second = 1_000_000_000
	for first := range 3 {
		drivers := []*sleepyDriver{{timerNs: stages.NoTurn}, {timerNs: stages.NoTurn}, {timerNs: stages.NoTurn}}
		soon, late := drivers[first], drivers[(first+1)%3]
		soon.timerNs, late.timerNs = second/4, 3*second
		k := runSleepy(t, func(*sleepyKernel) bool { return len(late.turnsNs) > 0 }, drivers...)
		if len(soon.turnsNs) != 1 || len(late.turnsNs) != 1 {
			t.Errorf("driver %d: %d and %d turns, want one each", first, len(soon.turnsNs), len(late.turnsNs))
		}
		// The first wait lasts until the first timer. The others last a second each, and the last
		// one the rest.
		if k.waitsNs[0] > second/4 || len(k.waitsNs) > 8 {
			t.Errorf("driver %d: waits of %d ns, want at most a quarter of a second first, and few", first, k.waitsNs)
		}
	}
}

// Goal: a thread whose drivers want no turn sleeps as long as a thread may, each time.
func TestThreadWithoutTimers(t *testing.T) {
	k := runSleepy(t, func(k *sleepyKernel) bool { return len(k.waitsNs) == 3 }, &sleepyDriver{timerNs: stages.NoTurn},
		&sleepyDriver{timerNs: stages.NoTurn})
	for _, waitNs := range k.waitsNs {
		if waitNs != waitNsMax {
			t.Errorf("waits of %d ns, want %d each", k.waitsNs, uint64(waitNsMax))
		}
	}
}

// Goal: a timer that comes again and again costs one wait each time, or two if the wait ended a
// little early, and nothing is spun.
func TestThreadTimerRepeats(t *testing.T) {
	const times = 20
	driver := &sleepyDriver{timerNs: 1_000_000, everyNs: 50_000_000}
	k := runSleepy(t, func(*sleepyKernel) bool { return len(driver.turnsNs) == times }, driver, &sleepyDriver{timerNs: stages.NoTurn})
	if len(k.waitsNs) > 2*times+2 {
		t.Errorf("%d waits for %d turns", len(k.waitsNs), times)
	}
}
