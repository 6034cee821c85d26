package vsr

import (
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Each rule of acknowledgements, at the values where it begins and ends to forbid. Checkpoints are
// at ops 895 and 1791, their triggers at 927 and 1823, and the slack has 64 ops.
func TestAckRules(t *testing.T) {
	q, l := QuorumsOf(3), limits.Production()
	for _, c := range []struct {
		what    string
		changes func(a *Ack)
		want    Rule
	}{
		{"all are kept", func(a *Ack) {}, RuleNone},
		{"the primary's own", func(a *Ack) { a.View, a.LogView, a.To = 5, 5, 2 }, RuleNone},
		{"R1: the prepare is being written", func(a *Ack) { a.IsWritten = false }, RuleDurable},
		{"R1: the log has another prepare of this op", func(a *Ack) { a.IsInLog = false }, RuleDurable},
		{"R1: in a view change", func(a *Ack) { a.IsNormal = false }, RuleDurable},
		{"R1: a checkpoint is being replaced", func(a *Ack) { a.IsReplacing = true }, RuleDurable},
		{"R2: log_view is not durable", func(a *Ack) { a.LogView = 3 }, RuleLogView},
		{"R2: to the primary that prepared it", func(a *Ack) { a.To = 0 }, RuleLogView},
		{"R3: the last op of the slack", func(a *Ack) { a.Op = 1823 + 64 }, RuleNone},
		{"R3: an op that proves a checkpoint", func(a *Ack) { a.Op = 1823 + 65 }, RuleCheckpoint},
		{"R3: before the first checkpoint", func(a *Ack) { a.CheckpointOp, a.Op = 0, 927+64 }, RuleNone},
		{"R3: proves the first checkpoint", func(a *Ack) { a.CheckpointOp, a.Op = 0, 927+65 }, RuleCheckpoint},
		{"R3: the primary's own", func(a *Ack) { a.View, a.LogView, a.To, a.Op = 5, 5, 2, 1823+65 }, RuleCheckpoint},
		{"R4: the last op of the slack", func(a *Ack) { a.IsSyncing, a.Op = true, 927+64 }, RuleNone},
		{"R4: an op that proves the checkpoint that is being fetched", func(a *Ack) { a.IsSyncing, a.Op = true, 927+65 }, RuleSync},
		{"R6: an op behind the checkpoint before", func(a *Ack) { a.CheckpointOp, a.Op = 1791, 895 }, RuleOld},
		{"R6: an op above it", func(a *Ack) { a.CheckpointOp, a.Op = 1791, 896 }, RuleNone},
		{"R6: there is no checkpoint before", func(a *Ack) { a.CheckpointOp, a.Op = 895, 1 }, RuleNone},
		{"R7: a standby", func(a *Ack) { a.IsStandby = true }, RuleStandby},
		{"R8: the cluster knows another data file as this replica", func(a *Ack) { a.IsStranger = true }, RuleMember},
	} {
		a := Ack{Op: 1000, To: 1, IsInLog: true, IsWritten: true, IsNormal: true, View: 4, LogView: 4, CheckpointOp: 895}
		c.changes(&a)
		if got := a.Breaks(&q, &l); got != c.want {
			t.Errorf("%s: R%d, want R%d", c.what, got, c.want)
		}
	}
}

// An op is committed by acknowledgements of q_r different replicas, of this very prepare.
func TestTally(t *testing.T) {
	this, other := wire.Checksum{1}, wire.Checksum{2}
	for n := 1; n <= 6; n++ {
		q := QuorumsOf(n)
		tally := StartTally(7, this, &prepare.Members{})
		for replica := range n {
			if tally.IsCommitted(&q) != (replica >= q.Replication) {
				t.Errorf("%d of %d replicas: committed %v", replica, n, tally.IsCommitted(&q))
			}
			if tally.Has(replica) || tally.Add(replica, 1, 7, other) || tally.Add(replica, 1, 8, this) || tally.Has(replica) {
				t.Errorf("an acknowledgement of another prepare counts: %+v", tally)
			}
			if !tally.Add(replica, 1, 7, this) || tally.Add(replica, 1, 7, this) || !tally.Has(replica) {
				t.Errorf("an acknowledgement does not count once: %+v", tally)
			}
		}
	}
	tally := StartTally(7, this, &prepare.Members{11, 12, 13})
	if tally.Add(1, 11, 7, this) || tally.Add(1, 99, 7, this) || tally.Has(1) {
		t.Errorf("an acknowledgement counts of a data file that the prepare's table does not name: %+v", tally)
	}
	if !tally.Add(1, 12, 7, this) {
		t.Errorf("that of the one that it names does not: %+v", tally)
	}
}

// An op is executed in order, when it is committed, along the chain of a head that is vouched for.
// A single replica need not wait.
func TestMayApply(t *testing.T) {
	for _, c := range []struct {
		what    string
		changes func(a *Apply)
		several bool
		single  bool
	}{
		{"committed", func(a *Apply) {}, true, true},
		{"not in order", func(a *Apply) { a.Next = 8 }, false, false},
		{"executed before", func(a *Apply) { a.Next = 10 }, false, false},
		{"not committed", func(a *Apply) { a.CommitMax = 8 }, false, true},
		{"above the head", func(a *Apply) { a.OpHead = 8 }, false, false},
		{"a break in the chain above it", func(a *Apply) { a.ChainFrom = 10 }, false, true},
		{"a break in the chain below it", func(a *Apply) { a.ChainFrom = 9 }, true, true},
		{"nobody vouches for the head", func(a *Apply) { a.IsVouched = false }, false, true},
	} {
		a := Apply{Op: 9, Next: 9, CommitMax: 9, OpHead: 12, ChainFrom: 3, IsVouched: true}
		c.changes(&a)
		for n := 1; n <= 6; n++ {
			q := QuorumsOf(n)
			want := c.several
			if n == 1 {
				want = c.single
			}
			if got := a.May(&q); got != want {
				t.Errorf("%s, %d replicas: %v", c.what, n, got)
			}
		}
	}
}
