package consensus

import (
	"strings"
	"testing"

	"ledger/peer"
	"ledger/prepare"
	"ledger/storage"
)

// Goal: of three replicas, one that gets to another checkpoint than the others stops with a reason,
// be it the primary or a backup, and the others go on serving.
func TestSeveralBrokenReplicaStops(t *testing.T) {
	for _, isPrimary := range []bool{true, false} {
		w, primary, backup, _ := calm(t, 18)
		broken := backup
		if isPrimary {
			broken = primary
		}
		broken.isBroken = true
		reason := ""
		w.onFault = func(m *machine, fault *storage.Fault) {
			if m != broken {
				t.Fatalf("machine %d stops, and %d is broken: %v", m.index, broken.index, fault)
			}
			reason = fault.Reason
		}
		w.quiet(false)
		w.until("the broken replica stops", func() bool { return reason != "" })
		if want := "a majority of the replicas has another one"; !strings.Contains(reason, want) {
			t.Errorf("it stops with %q, want %q", reason, want)
		}
		replied := w.replied()
		w.until("the others serve", func() bool {
			primary := w.primaryOrNil() // clients wait when a machine that is down would be a log behind
			return primary != nil && primary.stage.status.isServing() && (w.replied() > replied+5 || w.isSpread())
		})
	}
}

// Goal: a broken primary that hears no pings breaks no backup: both see that its prepares name
// another checkpoint than theirs, drop them, and leave the view. What the broken replica is told as
// a backup then, it does not execute: its state is not what the prepares name. It stops when it
// hears pings again.
func TestSeveralBrokenPrimaryIsLeft(t *testing.T) {
	w, broken, _, _ := calm(t, 19)
	broken.isBroken = true
	view := broken.superblock.View
	causes := map[peer.Cause]int{}
	w.onSend = func(from, to int, f *flight) bool {
		if f.command == peer.CommandStartViewChange && f.view == view && from != broken.index {
			var wish peer.StartViewChange
			wish.Decode(f.bytes[:prepare.HeaderBytes], &peer.Envelope{Command: f.command, View: f.view, Incarnation: 1}, &w.bounds)
			causes[wish.Cause]++
		}
		return to != broken.index || f.command != peer.CommandPing && f.command != peer.CommandPong
	}
	reason := ""
	w.onFault = func(m *machine, fault *storage.Fault) {
		if m != broken {
			t.Fatalf("machine %d stops, and %d is broken: %v", m.index, broken.index, fault)
		}
		reason = fault.Reason
	}
	w.quiet(false)
	w.until("the view of the broken primary is left", func() bool {
		primary := w.primaryOrNil()
		return primary != nil && primary != broken && primary.superblock.LogView > view
	})
	if causes[peer.CauseMismatch] == 0 {
		t.Errorf("the view is left for %v, want a mismatch", causes)
	}
	replied := w.replied()
	w.until("the others serve", func() bool { return w.replied() > replied+5 })
	if broken.executed > w.oracle.highest-5 {
		t.Errorf("the broken one executes op %d, and has not the state that its prepare names", broken.executed)
	}
	w.onSend = nil
	w.until("the broken one stops", func() bool { return reason != "" })
	if want := "a majority of the replicas has another one"; !strings.Contains(reason, want) {
		t.Errorf("it stops with %q, want %q", reason, want)
	}
}

// Goal: a number of committed ops that its author cannot have known makes a prepare one of a broken
// primary: it commits itself, or more ops than a pipeline would have no quorum.
func TestPrepareIsVerified(t *testing.T) {
	_, _, m, _ := calm(t, 20)
	op := m.stage.log.head() + 1
	_, id, isKnown := m.stage.named(op)
	pipeline := uint64(m.stage.limits.PipelineOpsMax)
	for _, c := range []struct {
		what   string
		commit uint64
		isRot  bool
		want   bool
	}{
		{"the op before", op - 1, false, true}, {"a pipeline before", op - pipeline, false, true}, {"itself", op, false, false},
		{"more than a pipeline before", op - pipeline - 1, false, false}, {"another checkpoint", op - 1, true, false},
	} {
		f := prepare.Fields{CheckpointID: id, Cluster: testCluster, Op: op, Commit: c.commit, RequestsCount: 1,
			SizeBytes: prepare.HeaderBytes, Command: prepare.CommandPrepare}
		if c.isRot {
			f.CheckpointID[0] ^= 1
		}
		if got := m.stage.isVerified(prepare.Put(make([]byte, prepare.HeaderBytes), &f, prepare.Sum(nil))); got != c.want || !isKnown {
			t.Errorf("%s: verified %v, want %v", c.what, got, c.want)
		}
	}
}
