package vsr

import (
	"reflect"
	"testing"

	"ledger/internal/seeded"
)

// The table has what the specification, 16, asks for, but where it says why not.
func TestTimers(t *testing.T) {
	want := map[string]uint64{ // ms
		"ping": 1000, "prepare resend": 250, "heartbeat": 500, "suspicion forget": 5000, "suspicion resend": 500,
		"view change": 1000 /* not 5 s */, "serve": 10_000, "quorum": 2000, /* not 10 s */
		"heartbeat while something waits": 150, "clock": 2000 /* not 10 s */, "do_view_change resend": 500, "start_view request": 1000,
		"start_view request of an uncertain head": 1500, "log repair": 100, "sync check": 5000, "grid repair": 100, "pulse": 100,
		"upgrade check": 5000, "slow primary sample": 100, "connect": 50, "identification end": 5000, /* not 45 s */
	}
	timers := reflect.ValueOf(TimersOf())
	if timers.NumField() != len(want) {
		t.Errorf("%d timers, want %d", timers.NumField(), len(want))
	}
	for i := range timers.NumField() {
		timer := timers.Field(i).Interface().(Timer)
		if timer.PeriodNs != want[timer.Name]*ms {
			t.Errorf("%s: %d ns", timer.Name, timer.PeriodNs)
		}
		NewTimeout(timer) // and it holds that it can run
	}
	// Whoever waits for others sends anew before those forget.
	of := TimersOf()
	if of.SuspicionResend.PeriodNs*2 > of.SuspicionForget.PeriodNs || of.BallotResend.PeriodNs*2 > of.ViewChange.PeriodNs {
		t.Error("a message is forgotten before it is sent again")
	}
	if of.Probe.PeriodNs*3 > deafNsMin {
		t.Error("a primary is deaf before it has asked three times")
	}
}

// A timeout fires once its period is over, and not when it was stopped.
func TestTimeout(t *testing.T) {
	timeout := NewTimeout(Timer{"test", 100, 0, 0})
	if timeout.Fired(1<<63) || timeout.NextNs() != ^uint64(0) {
		t.Error("it runs before it was started")
	}
	timeout.Start(1000, 0)
	timeout.StartIfStopped(1050, 0)
	if timeout.Fired(1099) || !timeout.Fired(1100) || timeout.NextNs() != 1100 || timeout.PeriodNs() != 100 {
		t.Errorf("%+v", timeout)
	}
	timeout.Again(1100, timeout.PeriodNs(), 7)
	if timeout.Fired(1199) || !timeout.Fired(1200) {
		t.Errorf("%+v", timeout)
	}
	timeout.Stop()
	if timeout.Fired(1 << 63) {
		t.Error("it fires after it was stopped")
	}
	timeout.StartIfStopped(2000, 0)
	if !timeout.Fired(2100) {
		t.Error("it does not run again")
	}
	timeout.Late(50)
	if timeout.Fired(2149) || !timeout.Fired(2150) {
		t.Error("the time in which the replica did not run counts")
	}
	timeout.Halt()
	timeout.Late(50)
	if timeout.Fired(1 << 63) {
		t.Error("it fires while it is halted")
	}
	timeout.Resume(3000, 0)
	timeout.Resume(3050, 0)
	if timeout.Fired(3099) || !timeout.Fired(3100) {
		t.Errorf("%+v", timeout)
	}
}

// A halt keeps the back-off, and a stop ends it.
func TestTimeoutHalts(t *testing.T) {
	const random = 1<<63 - 1
	timeout := NewTimeout(Timer{"test", 100, 10_000, 0})
	periodOf := func() uint64 {
		timeout.Resume(1000, random)
		defer timeout.Halt()
		return timeout.NextNs() - 1000
	}
	first := periodOf()
	for range 3 {
		timeout.Failed()
	}
	if first != 100 || periodOf() <= 200 || periodOf() <= 200 {
		t.Errorf("periods: first %d, after three failures %d", first, periodOf())
	}
	timeout.Stop()
	if periodOf() != 100 {
		t.Error("a stop does not end the back-off")
	}
}

// Jitter spreads over its whole range, and no further.
func TestTimeoutJitter(t *testing.T) {
	random := seeded.Rand(t)
	timeout := NewTimeout(Timer{"test", 1000, 0, 50})
	least, most := ^uint64(0), uint64(0)
	for range 10_000 {
		timeout.Start(0, random.Uint64())
		least, most = min(least, timeout.NextNs()), max(most, timeout.NextNs())
	}
	if least < 500 || least > 510 || most > 1500 || most < 1490 {
		t.Errorf("from %d to %d", least, most)
	}
}

// Pauses grow with each attempt up to the limit, are random, and begin anew with a success.
func TestTimeoutBackoff(t *testing.T) {
	random := seeded.Rand(t)
	timeout := NewTimeout(Timer{"test", 1000, 10_000, 0})
	most := [70]uint64{}
	for range 3000 {
		timeout.Start(0, random.Uint64())
		if timeout.NextNs() != 1000 {
			t.Fatalf("the first period is %d", timeout.NextNs())
		}
		for attempt := range most {
			timeout.Again(0, 1000, random.Uint64())
			pause := timeout.NextNs()
			if pause < 1000 || pause > 10_000 {
				t.Fatalf("attempt %d: %d", attempt, pause)
			}
			most[attempt] = max(most[attempt], pause)
		}
	}
	for attempt, limit := range []uint64{2000, 3000, 5000, 9000, 10_000, 10_000} {
		if most[attempt] > limit || most[attempt] < limit*9/10 {
			t.Errorf("attempt %d: at most %d, want %d", attempt, most[attempt], limit)
		}
	}
	if most[69] < 9900 {
		t.Errorf("the last attempt: at most %d", most[69])
	}
	timeout.Again(0, 20_000, random.Uint64()) // what was measured is more than the limit
	if timeout.NextNs() != 20_000 {
		t.Errorf("a period of 20000 becomes %d", timeout.NextNs())
	}
}

// Replicas that begin a view change at the same time do not go on in step: within a few attempts
// one of them is a whole message ahead of the others.
func TestTimeoutsOfReplicasDiffer(t *testing.T) {
	random := seeded.Rand(t)
	timer := TimersOf().ViewChange
	for range 200 {
		var timeouts [3]Timeout
		for i := range timeouts {
			timeouts[i] = NewTimeout(timer)
			timeouts[i].Start(0, random.Uint64())
		}
		isApart := false
		for range 10 {
			var due [3]uint64
			for i := range timeouts {
				due[i] = timeouts[i].NextNs()
				timeouts[i].Again(due[i], timer.PeriodNs, random.Uint64())
			}
			first := min(due[0], due[1], due[2])
			second := due[0] + due[1] + due[2] - first - max(due[0], due[1], due[2])
			isApart = isApart || second-first > 50*ms
		}
		if !isApart {
			t.Fatal("three replicas stay in step")
		}
	}
}
