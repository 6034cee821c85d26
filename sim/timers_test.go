package sim

import (
	"testing"

	"ledger/replica"
	"ledger/stages"
)

// timedDriver is a driver with nothing but a timer.
type timedDriver struct {
	timerNs    uint64
	askedCount int
}

func (d *timedDriver) Turn(uint64, uint64) bool { return false }

func (d *timedDriver) NextTurnNs() uint64 { d.askedCount++; return d.timerNs }

// Goal: the clock goes on to the earliest timer of any driver that has not passed. A driver is
// asked again after a turn, and not before.
func TestNextTurnOfMachine(t *testing.T) {
	drivers := []*timedDriver{{timerNs: 70}, {timerNs: stages.NoTurn}, {timerNs: 50}}
	q := &events{}
	m := &Machine{world: &World{}, events: q.agenda(), replica: &replica.Replica{}, timersNs: make([]uint64, len(drivers))}
	m.clock.machine = m
	for _, d := range drivers {
		m.replica.Drivers = append(m.replica.Drivers, d)
	}
	expect := func(nowNs, timerNs uint64) {
		t.Helper()
		q.nowNs = nowNs
		if got, want := m.nextTurnNs(), m.clock.worldNs(timerNs); got != want {
			t.Errorf("at %d the next turn is at %d, want %d", nowNs, got, want)
		}
	}
	for _, at := range []struct{ nowNs, timerNs uint64 }{{0, 50}, {49, 50}, {50, 70}, {69, 70}, {70, stages.NoTurn}} {
		expect(at.nowNs, at.timerNs)
	}
	if !m.isOverdue() {
		t.Error("timers have passed, and none is overdue")
	}
	for i, d := range drivers {
		d.timerNs = stages.NoTurn
		m.turn(i)
	}
	if expect(10, stages.NoTurn); m.isOverdue() {
		t.Error("no driver has a timer, and one is overdue")
	}
	for i, d := range drivers {
		if d.askedCount != 2 {
			t.Errorf("driver %d was asked for its timer %d times, want once before its turn and once after it", i, d.askedCount)
		}
	}
}

// Goal: a machine rests when it has nothing to do itself, whatever is yet to happen on others.
func TestQuiet(t *testing.T) {
	q := &events{}
	one, other := q.agenda(), q.agenda()
	m := &Machine{events: one, disk: &Disk{}}
	other.after(5, func() {})
	if !m.quiet() {
		t.Error("an event of another machine is one of this machine")
	}
	one.after(7, func() { one.after(3, func() {}) })
	for _, step := range []struct {
		nowNs   uint64
		isQuiet bool
	}{{6, false}, {7, false}, {10, true}} {
		q.nowNs = step.nowNs
		if q.runDue(); m.quiet() != step.isQuiet {
			t.Errorf("at %d the machine is quiet: %v, want %v", step.nowNs, m.quiet(), step.isQuiet)
		}
	}
	if m.disk.flying = append(m.disk.flying, &diskOperation{}); m.quiet() {
		t.Error("an operation of the disk is under way, and the machine is quiet")
	}
}
