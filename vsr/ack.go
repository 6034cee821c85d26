package vsr

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Rule is one of the rules of acknowledgements: R1 to R7, and R8, which is ours. R5 is not here:
// what R3 or R4 withholds is asked for again when the checkpoint is durable, or the sync is done.
type Rule uint8

const (
	RuleNone       Rule = 0 // all are kept
	RuleDurable    Rule = 1
	RuleLogView    Rule = 2
	RuleCheckpoint Rule = 3
	RuleSync       Rule = 4
	RuleOld        Rule = 6
	RuleStandby    Rule = 7
	RuleMember     Rule = 8
)

// Ack is all on which it depends whether a replica may acknowledge an op: to a primary, or to
// itself if it is the primary.
type Ack struct {
	Op uint64
	To int // the replica that gets it
	// IsInLog: the prepare is that of the log that log_view vouches for. It came in this view, or the
	// chain of the head proves it. Below the list of a start_view, a log may still have prepares that
	// an earlier view left out.
	IsInLog      bool
	IsWritten    bool // both copies of the slot are durable, and so is what recovery had to mend
	IsNormal     bool // status
	IsReplacing  bool // a checkpoint of a peer is being installed, and is not in the superblock yet
	IsStandby    bool
	IsStranger   bool // the state of the cluster names another data file as this replica
	View         uint32
	LogView      uint32 // durable
	CheckpointOp uint64 // durable here
	// IsSyncing: blocks of the checkpoint are still being fetched, and it is not known that a quorum
	// has it.
	IsSyncing bool
}

// Breaks returns the rule that the acknowledgement would break.
func (a *Ack) Breaks(q *Quorums, l *limits.Limits) Rule {
	before := uint64(0) // the checkpoint before
	if interval := l.CheckpointIntervalOps(); a.CheckpointOp > interval {
		before = a.CheckpointOp - interval
	}
	switch {
	case a.IsStandby:
		return RuleStandby // it never votes
	case a.IsStranger:
		return RuleMember // it would not count
	case !a.IsWritten || !a.IsInLog || !a.IsNormal || a.IsReplacing:
		return RuleDurable // a crash may take the op away, or a view change already has
	case a.LogView != a.View || a.To != q.PrimaryOf(a.View):
		return RuleLogView // after a crash the replica would vote with an older log; a deposed primary must not commit
	case a.Op > l.CheckpointTrigger(l.CheckpointAfter(a.CheckpointOp))+uint64(l.SlackOps):
		return RuleCheckpoint // such an op tells the others that a quorum has the next checkpoint
	case a.IsSyncing && a.Op > l.CheckpointTrigger(a.CheckpointOp)+uint64(l.SlackOps):
		return RuleSync // a checkpoint of which blocks are missing is no copy
	case before > 0 && a.Op <= before:
		return RuleOld // the checkpoint id that the prepare has to carry is not known here any more
	}
	return RuleNone
}

// Tally counts the acknowledgements of one prepare in one view.
type Tally struct {
	op       uint64
	checksum wire.Checksum
	members  prepare.Members // in force from op on
	from     uint8           // bit i: of replica i
}

// StartTally for the prepare that the primary has in its pipeline. members is the table of its
// header.
func StartTally(op uint64, checksum wire.Checksum, members *prepare.Members) Tally {
	return Tally{op: op, checksum: checksum, members: *members}
}

// Add counts an acknowledgement, and tells whether it is the replica's first for this prepare. The
// checksum decides: a prepare keeps the view in which it was prepared, so its op and its view may
// be those of another one. incarnation is that of the data file which acknowledges. It has to be
// the one that the table of the prepare itself names: with the prepare that names a new file, the
// old one ceases to count, before anything of that is committed.
func (t *Tally) Add(replica int, incarnation, op uint64, checksum wire.Checksum) bool {
	assert.That(replica >= 0 && replica < limits.ReplicasMax, "acknowledgements are of replicas")
	if op != t.op || checksum != t.checksum || t.from>>replica&1 != 0 || !t.members.Counts(replica, incarnation) {
		return false
	}
	t.from |= 1 << replica
	return true
}

// IsCommitted tells whether a quorum has acknowledged the prepare. The op is committed when all
// below it are, too.
func (t *Tally) IsCommitted(q *Quorums) bool {
	assert.That(t.from>>q.Replicas == 0, "standbys acknowledge nothing")
	return bits.OnesCount8(t.from) >= q.Replication
}

// Has tells whether a replica has acknowledged the prepare.
func (t *Tally) Has(replica int) bool { return t.from>>replica&1 != 0 }

// Apply is all on which it depends whether an op may be executed.
type Apply struct {
	Op, Next  uint64 // Next is the op behind the last one that was given to apply
	CommitMax uint64
	OpHead    uint64
	// ChainFrom is the lowest op from which the chain of parents to the head is unbroken.
	ChainFrom uint64
	// IsVouched: the head is that of the log of log_view, and log_view = view or the replica is the
	// new primary that has chosen the log.
	IsVouched bool
}

// May tells whether an op may be given to apply. A single replica executes ahead of its log, since
// nobody else can replace what it prepared. Of several, an op is executed only when it is
// committed, and only if the head's chain proves that it is the prepare that was committed.
func (a *Apply) May(q *Quorums) bool {
	if a.Op != a.Next || a.Op > a.OpHead {
		return false
	}
	return q.Replicas == 1 || a.Op <= a.CommitMax && a.IsVouched && a.ChainFrom <= a.Op
}
