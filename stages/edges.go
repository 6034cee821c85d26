// Package stages has the descriptors that the five stages pass to each other on the rings, and the
// slots that the descriptors name.
//
//	  Message, Sent, PeerMessage,      Append, Read, Superblock
//	  PeerSent, PeerLive, PeerLost
//	net  <================> consensus <=======================> journal
//	   Send, Free, SessionEnded,   ||    Appended, ReadDone, ...
//	   PeerSend, PeerNoted         ||
//	                   Sequenced,  ||  Committed,
//	                   Commit, ... ||  CheckpointReady, ...
//	                             apply <=======================> compact (one or several workers)
//	                                     Job, Checkpoint, BlockWanted, ...
//
// The sequence of a checkpoint of op c, whose trigger is op t (limits.CheckpointTrigger):
//
//	consensus                 apply                    compact                  journal
//	    |--- ApplyCommit(t) ---->|                        |                        |
//	    |<-- ApplyCommitted(t) --| (installs the generation of the bar that ends at c)
//	    |--- ApplySessions(t) -->| (captures manifest and free set as of t)        |
//	    |                        |--- Checkpoint -------->| (writes the blocks, one fdatasync)
//	    |                        |<-- Checkpoint ---------|                        |
//	    |<- ApplyCheckpointReady-|                        |                        |
//	    |--- JournalSuperblock ------------------------------------------------->| (4 copies,
//	    |<-- JournalSuperblockDone ----------------------------------------------|  read back)
//	    |- ApplyCheckpointDurable>| (from here on, blocks that only the checkpoint before c
//	    |                         |  names are free)
//
// Meanwhile apply executes the ops above t, up to t + slack. The reply slots that the sessions name
// are pinned from ApplySessions until ApplyCheckpointReady.
//
// The repair of a block is drawn in edges_blocks.go.
//
// A descriptor names a slot, and the comment of its kind says which stage owns the slot. Each edge
// has a budget (Budget...), which bounds the descriptors that can be on it. Rings are at least as
// long as the budget, so a push never fails. Nothing here allocates.
//
// Source: design, section 2.
package stages

import (
	"fmt"

	"ledger/metrics"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Stage names.
const (
	Net = iota
	Consensus
	Journal
	Apply
	Compact // of several workers, each has the number Compact + worker
	Count
)

// Names of the stages, in order.
var Names = [Count]string{"net", "consensus", "journal", "apply", "compact"}

// NameOf a stage, or of a worker of compact.
func NameOf(number int) string {
	if number <= Compact {
		return Names[number]
	}
	return fmt.Sprintf("%s-%d", Names[Compact], number-Compact)
}

// ConsensusToJournalKind of ConsensusToJournal.
type ConsensusToJournalKind uint8

const (
	// JournalAppend: make the prepare in Slot durable (its bytes, and its twin); answer
	// JournalAppended. The bytes do not change until then. Bytes behind the prepare up to the
	// sector's end are zeroed by journal. If InTurn is set, the log slot has
	// no right copy on disk: the prepare is durable before its twin is written.
	JournalAppend ConsensusToJournalKind = iota + 1
	// JournalRead: read the prepare of Op with Checksum into Slot; answer JournalReadDone.
	JournalRead
	// JournalSuperblock: write Superblock. Consensus must not change it before
	// JournalSuperblockDone.
	JournalSuperblock
)

// ConsensusToJournal is a message from consensus to journal.
type ConsensusToJournal struct {
	Kind       ConsensusToJournalKind
	Slot       Slot
	Op         uint64
	Checksum   wire.Checksum // JournalRead
	InTurn     bool          // JournalAppend
	Superblock *datafile.Superblock
}

// JournalToConsensusKind of JournalToConsensus.
type JournalToConsensusKind uint8

const (
	// JournalAppended: the prepare of Op with Checksum, in Slot, is durable. Consensus may have
	// dropped it since, so Op alone does not tell which prepare it was.
	JournalAppended JournalToConsensusKind = iota + 1
	// JournalReadDone: Read tells whether Slot holds the prepare of Op with Checksum.
	JournalReadDone
	JournalSuperblockDone
	// JournalSlotDamaged: the scrubber has found no right copy of the prepare of Op with Checksum in
	// its slot. Only of one of several replicas.
	JournalSlotDamaged
	// JournalFault: the disk failed; the replica stops with Fault.
	JournalFault
)

// JournalReadResult is the result of a JournalRead. It is an answer and no fault, because other
// replicas may have the prepare, and because other replicas ask for prepares.
type JournalReadResult uint8

const (
	// ReadOK: the prepare is in the slot, verified.
	ReadOK JournalReadResult = iota + 1
	// ReadAbsent: the log does not hold the prepare: it has another one in that slot, or another
	// one is being written there.
	ReadAbsent
	// ReadDamaged: the log should hold the prepare, and neither its copy nor its twin (if that is a
	// whole copy) reads back right. Fault says what was wrong with the prepare's copy. A single
	// replica stops with it.
	ReadDamaged
)

// JournalToConsensus is a message from journal to consensus.
type JournalToConsensus struct {
	Kind     JournalToConsensusKind
	Read     JournalReadResult // JournalReadDone
	Slot     Slot
	Op       uint64        // JournalSuperblockDone: the sequence
	Checksum wire.Checksum // JournalSuperblockDone: the parent of the next superblock
	Fault    *storage.Fault
	Times    metrics.JournalTimes // JournalAppended
}

// ConsensusToApplyKind of ConsensusToApply.
type ConsensusToApplyKind uint8

const (
	// ApplySequenced: the prepare in Slot may be committed soon. Apply reads ahead the pages that
	// it needs; answer ApplySequencedDone. Until then the slot must not be freed.
	ApplySequenced ConsensusToApplyKind = iota + 1
	// ApplyCommit: execute the prepare in Slot and, if ReplySlot is not SlotNone, build the replies
	// into it; answer ApplyCommitted. Ops come in order without gaps.
	ApplyCommit
	// ApplySessions: the sessions as of the trigger op, for its checkpoint. Apply lends Sessions to
	// compact and returns it with ApplyCheckpointReady.
	ApplySessions
	// ApplyCheckpointDurable: the superblock of checkpoint Op is durable.
	ApplyCheckpointDurable
	// ApplyOpen: drop the state and go on from Checkpoint; answer ApplyOpened. What was answered
	// before ApplyOpened and is read behind ApplyOpen counts no more, but ApplySequencedDone. With
	// ApplyOpened, apply has given back all slots and sessions that it had, but those of blocks,
	// which come back with their own answers.
	ApplyOpen
	// ApplyReplies: read the replies of the sessions of the checkpoint that was opened last into
	// Sessions.Replies, which are as long as the replies; answer ApplyRepliesRead.
	ApplyReplies
	// ApplyBlockServe: a peer wants the block Ref: read its used pages into Slot, from
	// BlockOffsetBytes on; answer ApplyBlockServed. At most BlocksServedMax have no answer.
	ApplyBlockServe
	// ApplyBlockArrived: a peer has sent the block Ref, which is wanted here: its used pages, Bytes
	// in all, lie in Slot from BlockOffsetBytes on; answer ApplyBlockRepaired. At most
	// BlocksArrivedMax have no answer.
	ApplyBlockArrived
)

// BlockOffsetBytes is where the pages of a block begin in its slot: behind the message's header.
const BlockOffsetBytes = wire.HeaderBytes

// ConsensusToApply is a message from consensus to apply.
type ConsensusToApply struct {
	Kind      ConsensusToApplyKind
	Slot      Slot
	ReplySlot Slot
	Op        uint64
	Sessions  *Sessions
	// MayBeLate: ApplyCommit: replies of queries may come behind ApplyCommitted, with ApplyReplied.
	// Both slots stay with apply as without it, and ReplySlot until the last of these replies.
	MayBeLate bool

	Checkpoint storage.Checkpoint // ApplyOpen: a copy, because consensus does not know when it was read
	// SyncOpMin, SyncOpMax: ApplyOpen: blocks that were born in these ops may be missing. Both 0:
	// none.
	SyncOpMin, SyncOpMax uint64
	Ref                  storage.Ref // ApplyBlockServe, ApplyBlockArrived
	Bytes                uint32      // ApplyBlockArrived
}

// ApplyToConsensusKind of ApplyToConsensus.
type ApplyToConsensusKind uint8

const (
	// ApplyCommitted: Op is executed; its prepare slot is not needed any more. Replies lie in its
	// reply slot, in order of the requests, each at a multiple of ReplyAlignBytes. At a trigger op,
	// consensus answers ApplySessions. A reply of 0 bytes is late: ApplyReplied brings it.
	ApplyCommitted ApplyToConsensusKind = iota + 1
	// ApplyReplied: Late is in the reply slot of Op. It is the late reply number Position of that
	// op. At most LateRepliesMax are missing at a time. None is missing when a register or a trigger
	// op is executed: both need the table of sessions as of their op. What is missing when ApplyOpen
	// is read never comes, and apply does not write to its slot behind ApplyOpened.
	ApplyReplied
	// ApplyCheckpointReady: Checkpoint is on disk and synced; consensus writes the superblock.
	ApplyCheckpointReady
	// ApplySequencedDone: apply has noted the keys of the prepare of Op in Slot, and does not read
	// the slot any more.
	ApplySequencedDone
	// ApplyOpened: apply has the state of the checkpoint of op Op. It comes once at the start, for
	// the checkpoint of the start, and for each ApplyOpen that no later one has overtaken. Records
	// has the sessions of the checkpoint. It does not change before the next ApplyOpen.
	ApplyOpened
	// ApplyRepliesRead answers ApplyReplies, of the checkpoint of op Op.
	ApplyRepliesRead
	// ApplySynced: each block that the checkpoint of op Op names, and that was born in the range of
	// the sync, is on disk, verified and synced. So this replica has a copy of the checkpoint.
	ApplySynced
	// ApplyFault: damage or a failing disk; the replica stops with Fault. Op is that of the
	// checkpoint that was opened last.
	ApplyFault
	// ApplyBlockWanted: apply or a worker of compact cannot go on without the block Ref, which the
	// disk does not give. At most BlocksWantedMax are wanted at a time, each once. Only in a
	// cluster of several: a single replica stops with a fault.
	ApplyBlockWanted
	// ApplyBlockUnwanted: the block Ref is not wanted any more, because its address was freed, or
	// because another checkpoint is opened: what was wanted before is withdrawn one by one, and
	// what the opening needs is wanted anew. An ApplyBlockArrived of it may be on its way.
	ApplyBlockUnwanted
	// ApplyBlockServed answers ApplyBlockServe: Read tells whether Slot holds the used pages of the
	// block Ref, Bytes in all. ReadAbsent: another block or none is at its address.
	ApplyBlockServed
	// ApplyBlockRepaired answers ApplyBlockArrived: Repair tells what became of the block in Slot.
	ApplyBlockRepaired
)

// BlockRepair is the result of an ApplyBlockArrived.
type BlockRepair uint8

const (
	// RepairWritten: the block is on disk, and its header page is behind its other pages. It is not
	// wanted any more; no ApplyBlockUnwanted follows.
	RepairWritten BlockRepair = iota + 1
	// RepairUnwanted: the block is not wanted any more. Nothing was written.
	RepairUnwanted
	// RepairWrong: the slot does not hold the block. It is still wanted.
	RepairWrong
)

// ReplyAlignBytes: replies of a group start at multiples of it in their slot.
const ReplyAlignBytes = 64

// ApplyToConsensus is a message from apply to consensus.
type ApplyToConsensus struct {
	Kind   ApplyToConsensusKind
	Read   JournalReadResult // ApplyBlockServed
	Repair BlockRepair       // ApplyBlockRepaired
	Slot   Slot              // ApplySequencedDone, ApplyBlockServed, ApplyBlockRepaired
	Bytes  uint32            // ApplyBlockServed
	Op     uint64
	Ref    storage.Ref // of the kinds for blocks
	// Named: ApplyBlockWanted: the newest durable checkpoint names the block. Otherwise the block
	// comes into being again when the log is replayed from that checkpoint.
	Named bool
	// Tree: ApplyBlockWanted: whose block it is, for people: a tree, or a trailer. Empty: not
	// known.
	Tree        string
	NextPulseNs uint64 // ApplyCommitted: the timestamp at which a pulse is due
	// Replies: ApplyCommitted: the replies in the op's reply slot, in order of its requests. The
	// memory is apply's. It does not change before the op has left the pipeline of consensus.
	Replies    []Reply
	Late       Reply  // ApplyReplied
	Position   uint32 // ApplyReplied: the place in Replies of ApplyCommitted
	Checkpoint *storage.Checkpoint
	// IsWhole: ApplyCheckpointReady: before the sync that ended the checkpoint began, no block was
	// missing that it names, and no repair of one was being written. So the sync range ends with
	// it.
	IsWhole bool
	Records []byte // ApplyOpened
	Fault   *storage.Fault
	Times   metrics.ApplyTimes // ApplyCommitted
}

// Reply describes one reply of an op: its place in the op's reply slot, and the values that the
// session table keeps.
type Reply struct {
	Client          wire.U128
	RequestChecksum wire.Checksum // of the request that it answers
	Context         wire.Checksum // the client's next request names it as its parent
	Op              uint64
	OffsetBytes     uint32
	Bytes           uint32 // header and body
	RequestNumber   uint32
	Release         wire.Release
	Operation       wire.Operation
}

// ReplyOf describes the reply that starts with header, at offsetBytes of its slot.
func ReplyOf(header *wire.Header, offsetBytes uint32) Reply {
	return Reply{
		Client:          header.ReplyClient(),
		RequestChecksum: header.ReplyRequestChecksum(),
		Context:         header.ReplyContext(),
		Op:              header.ReplyOp(),
		OffsetBytes:     offsetBytes,
		Bytes:           header.SizeBytes(),
		RequestNumber:   header.ReplyRequestNumber(),
		Release:         header.Release(),
		Operation:       header.ReplyOperation(),
	}
}

// The sessions trailer has a header of SessionsHeaderBytes, and SessionRecordBytes for each
// session.
const (
	SessionsHeaderBytes = 16
	SessionRecordBytes  = 128
)

// Sessions is the encoded session table as of an op: the contents of two trailers, each in pieces.
// Consensus owns the memory and must not write to it before ApplyCheckpointReady.
type Sessions struct {
	Op      uint64
	Records [][]byte // of storage.TrailerSessions
	Replies [][]byte // of storage.TrailerReplies, in the order of the records
}

// Budgets of the edges. The rings and the receiving stage have room for this many descriptors. A
// sender may use fewer: consensus has one JournalAppend under way at a time, because one prepare is
// written at a time.
const (
	BudgetJournalAppends = 8
	BudgetJournalReads   = 8
	LateRepliesMax       = 16
)
