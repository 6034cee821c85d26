package stages

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
)

// The repair of a block. A want begins where a read fails, and ends with a repair or when the block
// is not needed any more. Apply alone knows the wants and the repairs that are being written.
//
//	consensus                     apply                      compact
//	    |                           |<----- BlockWanted --------| (a job waits; or
//	    |                           |                           |  apply itself does)
//	    |<---- ApplyBlockWanted ----|                           |
//	    |  (asks peers)             |                           |
//	    |--- ApplyBlockArrived ---->|                           |
//	    |                           |--- CompactBlockRepair --->| (worker 0: pages, fdatasync,
//	    |                           |<----- BlockRepaired ------|  then the header page)
//	    |<--- ApplyBlockRepaired ---|                           |
//	    |                           |--- CompactBlockAgain ---->| (the job reads it again)
//
// A block for a peer is read by worker 0 as well:
//
//	    |---- ApplyBlockServe ----->|---- CompactBlockServe --->|
//	    |<---- ApplyBlockServed ----|<------ BlockServed -------|

// Limits of the repair of blocks.
const (
	// BlocksWantedMax is the number of blocks that consensus is asked for at a time. More wait inside
	// apply.
	BlocksWantedMax = 64
	// BlocksServedMax is the number of blocks that are read for other replicas at a time.
	BlocksServedMax = limits.BlockReadsForOthers
	// BlocksArrivedMax is the number of blocks that consensus gives to apply without an answer.
	BlocksArrivedMax = 24
	// BlocksRepairedMax is the number of these that are written at a time.
	BlocksRepairedMax = 4
)

// ApplyToCompactKind of ApplyToCompact.
type ApplyToCompactKind uint8

const (
	// CompactJob: run Job; answer CompactJobDone.
	CompactJob ApplyToCompactKind = iota + 1
	// CompactCheckpoint: write Checkpoint; answer CompactCheckpointDone. To worker 0.
	CompactCheckpoint
	// CompactReset: apply goes on from another checkpoint. The worker has no job, and a fault that it
	// met does not concern what comes.
	CompactReset
	// CompactBlockServe: read the block Ref into Slot; answer CompactBlockServed. To worker 0.
	CompactBlockServe
	// CompactBlockRepair: write the block Ref, whose used pages lie in Slot, Bytes in all; answer
	// CompactBlockRepaired. To worker 0.
	CompactBlockRepair
	// CompactBlockAgain: the block Ref that the worker wants was repaired. It reads the block again.
	CompactBlockAgain
	// CompactSync: make durable what was written until now; answer CompactSynced. To worker 0, one at
	// a time.
	CompactSync
	// CompactGiveUp: apply wants no result of any job or checkpoint that the worker has. Each comes
	// back as soon as possible, and one that waits for a block does not wait for it.
	CompactGiveUp
	// CompactScrub: Scrub comes back with its answer. To worker 0.
	CompactScrub
)

// ApplyToCompact is a message from apply to a worker of compact.
type ApplyToCompact struct {
	Kind       ApplyToCompactKind
	Slot       Slot
	Bytes      uint32
	Ref        storage.Ref
	Job        *storage.Job
	Checkpoint *storage.CheckpointJob
	Scrub      *storage.Scrub
}

// CompactToApplyKind of CompactToApply.
type CompactToApplyKind uint8

const (
	// CompactJobDone, CompactCheckpointDone: a job or a checkpoint comes back with its results.
	CompactJobDone CompactToApplyKind = iota + 1
	CompactCheckpointDone
	// CompactBlockWanted: a job of the worker waits for the block Ref until CompactBlockAgain or
	// CompactGiveUp. Each worker wants one block at a time.
	CompactBlockWanted
	// CompactBlockServed: Read and Bytes as in ApplyBlockServed.
	CompactBlockServed
	// CompactBlockRepaired: Repair is RepairWritten or RepairWrong. A failing write is Fault: the
	// replica stops.
	CompactBlockRepaired
	// CompactSynced: the sync has ended, or failed with Fault.
	CompactSynced
	// CompactScrubAsked: the scrubber of worker 0 asks Scrub; answer CompactScrub. One at a time.
	CompactScrubAsked
)

// CompactToApply is a message from a worker of compact to apply.
type CompactToApply struct {
	Kind       CompactToApplyKind
	Read       JournalReadResult
	Repair     BlockRepair
	Slot       Slot
	Bytes      uint32
	Ref        storage.Ref
	Job        *storage.Job
	Checkpoint *storage.CheckpointJob
	Scrub      *storage.Scrub
	Fault      *storage.Fault
}

// BudgetCompact bounds the messages between apply and each worker, both ways: its jobs, a
// checkpoint, what concerns blocks, a sync, the news of another checkpoint, and what the scrubber
// asks.
const BudgetCompact = storage.JobsMax + 1 + BlocksServedMax + BlocksRepairedMax + 6

// RingConsensusToApply and RingApplyToConsensus are capacities of these edges. Those of a cluster
// of several have room for what concerns blocks besides. Apply tells of wants only while half of
// the ring is free, so wants that come and go do not fill it.
func RingConsensusToApply(l *limits.Limits) int {
	if l.ReplicasCount == 1 {
		return ringOfOne
	}
	return 2 * ringOfOne
}

// RingApplyToConsensus is the capacity of the way back, with room for late replies: each op that
// waits at apply may bring LateRepliesMax, if the queries before it end meanwhile, and as many may
// be missing of ops that consensus has heard of. Half of the ring of a cluster is for wants, and
// the other half has to suffice for the answers and the late replies.
func RingApplyToConsensus(l *limits.Limits) int {
	answers, capacity := RingConsensusToApply(l), 4*ringOfOne
	most := answers + int(l.PipelineOpsMax+1)*LateRepliesMax
	if l.ReplicasCount > 1 {
		most, capacity = 2*most, 16*ringOfOne
	}
	assert.AtMost(most, capacity, "what apply may have told consensus")
	return capacity
}

// ringOfOne has room for all ops that consensus gives to apply, with their answers.
const ringOfOne = 64
