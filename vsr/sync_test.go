package vsr

import (
	"testing"

	"ledger/limits"
)

// Goal: the table of the consensus specification, section 11, for each number of committed ops of
// four intervals.
func TestNeedsSync(t *testing.T) {
	l := limits.Production()
	interval, slack, bar := l.CheckpointIntervalOps(), uint64(l.SlackOps), uint64(l.BarOps)
	for _, own := range []uint64{0, interval - 1, 2*interval - 1, 7*interval - 1} {
		next := own + interval
		if own == 0 {
			next = interval - 1
		}
		for commitMax := own; commitMax < own+4*interval; commitMax++ {
			// Rows of the table, from below: which checkpoints does a commit of commitMax prove?
			row := "same, or the next one is not durable"
			if commitMax >= next+bar+slack+1 {
				row = "next durable"
			}
			if commitMax >= next+interval+bar+slack+1 {
				row = "the one after the next durable"
			}
			for _, isStuck := range []bool{false, true} {
				want := row == "the one after the next durable" || row == "next durable" && isStuck
				if got := (&Behind{CheckpointOp: own, CommitMax: commitMax, IsStuck: isStuck}).NeedsSync(&l); got != want {
					t.Fatalf("checkpoint %d, committed %d (%s), stuck %v: sync %v", own, commitMax, row, isStuck, got)
				}
			}
		}
	}
}

// Goal: a replica is stuck only if it lacks ops, waits for something that others have to send, has
// waited long enough, and is not writing a checkpoint of its own. For a block that nobody has, a
// second is long enough.
func TestStall(t *testing.T) {
	for bits := range 1 << 9 {
		is := func(bit int) bool { return bits>>bit&1 != 0 }
		s := Stall{CommitMin: 10, CommitMax: 10, IsCheckpointing: is(1), IsChainBroken: is(2), IsPrepareMissing: is(3), IsBlockMissing: is(4),
			IsLost: is(5), IsBlockGone: is(7)}
		if is(0) {
			s.CommitMax = 11
		}
		switch {
		case is(6):
			s.ForNs = StuckNs
		case is(8):
			s.ForNs = GoneNs
		}
		want := is(0) && !is(1) && (is(5) || is(6) && (is(2) || is(3) || is(4)) || (is(6) || is(8)) && is(7))
		if s.Is() != want {
			t.Fatalf("%+v: %v", s, s.Is())
		}
	}
}

// Goal: a checkpoint is taken only if it is a newer one, that was executed where it comes from, and
// whose log can be stored and is not older than the one here.
func TestTarget(t *testing.T) {
	l := limits.Production()
	interval := l.CheckpointIntervalOps()
	own := interval - 1
	trigger := l.CheckpointTrigger(own + interval)
	ok := Target{Op: own + interval, CommitMax: trigger, Head: trigger, LogView: 3, OwnOp: own, OwnLogView: 3, OwnHead: own + 40}
	if why := ok.Refused(&l); why != "" {
		t.Fatal(why)
	}
	for name, change := range map[string]func(*Target){
		"stale":             func(t *Target) { t.Op = own },
		"older":             func(t *Target) { t.OwnOp = own + 2*interval },
		"no checkpoint":     func(t *Target) { t.Op++ },
		"none":              func(t *Target) { t.Op = 0 },
		"not executed":      func(t *Target) { t.CommitMax-- },
		"log above":         func(t *Target) { t.Head = l.PrepareMax(t.Op) + 1 },
		"log older in view": func(t *Target) { t.OwnHead = t.Head + 1 },
	} {
		c := ok
		if change(&c); c.Refused(&l) == "" {
			t.Errorf("%s: %+v is taken", name, c)
		}
	}
	later := ok
	later.LogView, later.OwnHead = 4, later.Head+100 // a view change has truncated it
	if why := later.Refused(&l); why != "" {
		t.Fatal(why)
	}
}

// Goal: the range begins behind the checkpoint that was whole, however many are taken one after the
// other.
func TestSyncRange(t *testing.T) {
	opMin, opMax := SyncRange(0, 895, 1791)
	if opMin != 896 || opMax != 1791 {
		t.Fatal(opMin, opMax)
	}
	if opMin, opMax = SyncRange(opMin, 1791, 3583); opMin != 896 || opMax != 3583 {
		t.Fatal(opMin, opMax)
	}
	if opMin, opMax = SyncRange(0, 0, 895); opMin != 1 || opMax != 895 {
		t.Fatal(opMin, opMax)
	}
}

// Goal: with the primary's spacing, an interval lasts twice what a replica needs to come back, not
// for ever, and not for one whose disk is slow.
func TestSpacing(t *testing.T) {
	l := limits.Production()
	const needNs = 9_000_000_000
	own := Cost{WriteNs: 1_000_000}
	r := Return{OpenNs: needNs, Cost: Cost{WriteNs: 20_000_000}}
	if r.Spacing(&l, own) != 0 {
		t.Fatal("it spaces for a replica whose disk is slow")
	}
	own.WriteNs = 6_000_000
	got := r.Spacing(&l, own) * l.CheckpointIntervalOps()
	if got > 2*needNs || got < 2*needNs-l.CheckpointIntervalOps() {
		t.Fatal(got)
	}
	if r.ForNs = SpacingMaxNs; r.Spacing(&l, own) != 0 || (&Return{}).Spacing(&l, own) != 0 {
		t.Fatal("it spaces for nothing")
	}
}
