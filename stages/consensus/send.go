package consensus

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/metrics"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// sender is the only place from which messages leave. What each of them must wait for:
//
//	to net      reply          its op is durable and executed, as all ops before it; the view that
//	                           it names is durable
//	            answer         the view that it names is durable
//	            session ended  the register that evicts it is complete
//	to journal  append         op at most prepare_max of the durable checkpoint
//	            superblock     a checkpoint that it names is on disk, and no other one is written
//	to apply    commit         all ops before it were given to apply; see Stage.mayExecute
//	            sessions       the trigger op is complete
//	            durable        the superblock of that checkpoint is durable
//	            open           the same, and no superblock with another one is on its way
//	            serve, arrived nothing: a block is what its name says, or it is not taken
//
//	to peers    all            the view in the envelope is durable, but of request_start_view
//	            prepare        the log view is the view, and durable
//	            prepare_ok     the same; and Stage.mayAck
//	            commit         the log view is the view, and durable
//	            do_view_change the list that it has is durable, with the log view
//	            start_view     the same
//
// A message to a peer that must wait is dropped, and sent again by a timer, or when the superblock
// is durable. A message that lends a slot counts a holder of it, and the answer takes that one
// away.
type sender struct {
	out   *Actions // of this step
	slots *slotHolds
	lent  int // messages that lend a slot and have not been answered
}

func newSender(slots *slotHolds) sender { return sender{slots: slots} }

// begin starts a step.
func (s *sender) begin(out *Actions) { s.out = out }

// lend counts another stage as a holder of slot.
func (s *sender) lend(slot stages.Slot) {
	s.slots.hold(slot)
	s.lent++
}

// returned: another stage has answered a message that lent slot.
func (s *sender) returned(slot stages.Slot) {
	assert.That(s.lent > 0, "a slot that comes back was lent")
	s.lent--
	s.release(slot)
}

// lentCount is the number of slots that other stages have on loan.
func (s *sender) lentCount() int { return s.lent }

// release takes a holder of slot away. A slot of net that nobody holds any more goes back to net.
func (s *sender) release(slot stages.Slot) {
	if s.slots.release(slot) && isOfNet(slot) {
		s.net(stages.ConsensusToNet{Kind: stages.NetFree, Slot: slot})
	}
}

// ignore gives a message back that gets no answer.
func (s *sender) ignore(slot stages.Slot) {
	s.slots.give(slot)
	s.net(stages.ConsensusToNet{Kind: stages.NetFree, Slot: slot, Ignored: true})
}

// malformed gives a message of another replica back, whose connection is to end.
func (s *sender) malformed(e *stages.NetToConsensus) {
	s.slots.give(e.Slot)
	s.net(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot, Malformed: true, Connection: e.Connection, Command: e.Command})
}

// answer sends the message in a client's slot and gives the slot back. client is zero for a message
// that goes to the connection, whoever it is.
func (s *sender) answer(e *stages.NetToConsensus, bytes uint32, client wire.U128, registered bool) {
	s.slots.give(e.Slot)
	s.net(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: bytes, Connection: e.Connection, Client: client,
		Registered: registered})
}

// reply sends a reply from its slot. NetSent takes the holder away.
func (s *sender) reply(slot stages.Slot, reply *stages.Reply, registered bool) {
	s.lend(slot)
	s.net(stages.ConsensusToNet{Kind: stages.NetSend, Slot: slot, OffsetBytes: reply.OffsetBytes, Bytes: reply.Bytes, Client: reply.Client,
		Registered: registered})
}

// sessionEnded tells net that a client's connection must no longer be kept in place of a
// newcomer's.
func (s *sender) sessionEnded(client wire.U128) {
	s.net(stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: client})
}

func (s *sender) net(message stages.ConsensusToNet) { s.out.Net = append(s.out.Net, message) }

// mayLeave is the table for messages to peers. view is that of the envelope.
func mayLeave(command peer.Command, view uint32, durable *datafile.Superblock) bool {
	switch command {
	case peer.CommandRequestStartView:
		return true
	case peer.CommandPrepare, peer.CommandPrepareOK, peer.CommandCommit, peer.CommandStartView:
		return durable.LogView == view
	}
	return durable.View >= view
}

// peers lends a message to net for each of these peers.
func (s *sender) peers(command peer.Command, view uint32, slot stages.Slot, bytes uint32, to uint16) {
	for range bits.OnesCount16(to) {
		s.lend(slot)
	}
	s.net(stages.ConsensusToNet{Kind: stages.NetPeerSend, Command: uint8(command), View: view, Slot: slot, Bytes: bytes, Peers: to})
}

// noted tells net that the state of a connection is known here.
func (s *sender) noted(peer uint8) {
	s.net(stages.ConsensusToNet{Kind: stages.NetPeerNoted, Peer: peer})
}

// append lends a prepare to journal, until JournalAppended.
func (s *sender) append(op uint64, slot stages.Slot, inTurn bool) {
	header := prepare.Header(s.slots.bytes(slot)[:prepare.HeaderBytes])
	assert.Equal(header.Op(), op, "op of the prepare that is appended")
	s.lend(slot)
	s.journal(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: op, InTurn: inTurn})
}

// read lends a slot to journal, until JournalReadDone.
func (s *sender) read(op uint64, checksum wire.Checksum, slot stages.Slot) {
	s.lend(slot)
	s.journal(stages.ConsensusToJournal{Kind: stages.JournalRead, Slot: slot, Op: op, Checksum: checksum})
}

func (s *sender) superblock(superblock *datafile.Superblock) {
	s.journal(stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: superblock})
}

func (s *sender) journal(message stages.ConsensusToJournal) {
	s.out.Journal = append(s.out.Journal, message)
}

// sequenced lends a prepare that may still be dropped to apply, until ApplySequencedDone. A single
// replica sends none, because it commits its ops at once.
func (s *sender) sequenced(op uint64, slot stages.Slot) {
	s.lend(slot)
	s.apply(stages.ConsensusToApply{Kind: stages.ApplySequenced, Slot: slot, Op: op})
}

// commit gives an op to apply. The commit queue holds both slots until ApplyCommitted.
func (s *sender) commit(op uint64, slot, replySlot stages.Slot, mayBeLate bool) {
	assert.That(s.slots.count(slot) > 0, "a prepare that is executed is held")
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: replySlot, Op: op, MayBeLate: mayBeLate})
}

func (s *sender) sessions(op uint64, sessions *stages.Sessions) {
	s.apply(stages.ConsensusToApply{Kind: stages.ApplySessions, Op: op, Sessions: sessions})
}

func (s *sender) durable(checkpointOp uint64) {
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyCheckpointDurable, Op: checkpointOp})
}

// open makes apply go on from the durable checkpoint.
func (s *sender) open(durable *datafile.Superblock) {
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyOpen, Op: durable.Checkpoint.Op, Checkpoint: durable.Checkpoint,
		SyncOpMin: durable.SyncOpMin, SyncOpMax: durable.SyncOpMax})
}

// replies lends the reply slots of the sessions to apply, until ApplyRepliesRead or a later
// ApplyOpened.
func (s *sender) replies(op uint64, sessions *stages.Sessions) {
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyReplies, Op: op, Sessions: sessions})
}

// serve lends a slot to apply for a block that another replica asks for, until ApplyBlockServed.
func (s *sender) serve(ref storage.Ref, slot stages.Slot) {
	s.lend(slot)
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyBlockServe, Slot: slot, Ref: ref})
}

// arrived lends a slot with a block to apply, until ApplyBlockRepaired.
func (s *sender) arrived(ref storage.Ref, slot stages.Slot, bytes uint32) {
	s.lend(slot)
	s.apply(stages.ConsensusToApply{Kind: stages.ApplyBlockArrived, Slot: slot, Ref: ref, Bytes: bytes})
}

func (s *sender) apply(message stages.ConsensusToApply) { s.out.Apply = append(s.out.Apply, message) }

// ended passes on the record of an op that has ended.
func (s *sender) ended(op metrics.Op) { s.out.Ops = append(s.out.Ops, op) }

// ready says that clients are served from this step on.
func (s *sender) ready() { s.out.Ready = true }

// left says that the process may end.
func (s *sender) left() { s.out.Left = true }

// service says what the replica does for clients from this step on.
func (s *sender) service(now *Service) { s.out.Service = now }

// lostBlocks says that blocks are lost, or are not any more.
func (s *sender) healing(now *Healing) { s.out.Healing = now }

func (s *sender) lostBlocks(now *LostBlocks) { s.out.LostBlocks = now }

func (s *sender) syncNews(news *SyncNews) { s.out.SyncNews = news }

func (s *sender) upgradeNews(news *UpgradeNews) { s.out.Upgrade = news }

func (s *sender) clockBehind(behindNs uint64) { s.out.ClockBehindNs = behindNs }

// fault stops the replica.
func (s *sender) fault(fault *storage.Fault) { s.out.Fault = fault }
