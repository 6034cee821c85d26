package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// replay reads the log from the checkpoint to the head, and apply executes it again. It ends when
// all of it is executed.
func (s *Stage) replay(out *Actions) {
	for s.opRead < s.opHead && s.pipelineCount < len(s.pipeline) && s.readsInFlight < stages.BudgetJournalReads {
		op := s.opRead + 1
		replySlot := stages.SlotNone
		if op > s.sessionsSkipTo && !s.unwanted[s.slotIndex(op)] {
			replySlot = s.slots.Get(stages.SlotReply)
			if replySlot == stages.SlotNone {
				return // a checkpoint that is being written again holds the old slots
			}
			s.replyRefs[replySlot.Handle()]++
		}
		slot := s.slots.Get(stages.SlotPrepare)
		assert.That(slot != stages.SlotNone, "there is a slot for every prepare of the pipeline")
		s.pushEntry(entry{op: op, slot: slot, replySlot: replySlot, durable: true})
		s.opRead = op
		s.readsInFlight++
		out.Journal = append(out.Journal, stages.ConsensusToJournal{Kind: stages.JournalRead, Slot: slot, Op: op})
	}
	if s.commit == s.opHead {
		assert.Equal(s.pipelineCount, 0, "prepares left after the replay")
		s.op = s.opHead
		s.recovering = false
	}
}

// findUnwanted finds the read-only requests in the log whose replies nobody will ask for. Such a
// request is followed by a later request of its session, whose reply replaced its reply. Executing
// each of them again could read thousands of pages.
//
// There are three exceptions. A request is wanted if a trigger follows before the later request,
// because the checkpoint contains the sessions as of the trigger. It is wanted if a register
// follows, because the last request of each session decides which session a register evicts.
// Requests in a group are small and always executed.
//
// headers: the log's headers, by slot.
func (s *Stage) findUnwanted(headers []byte) {
	s.unwanted = make([]bool, s.limits.JournalSlotsCount)
	if len(headers) == 0 {
		return
	}
	later := map[wire.U128]bool{} // clients with a request behind op
	for op := s.opHead; op > max(s.sessionsSkipTo, s.superblock.Checkpoint.Op); op-- {
		slot := s.slotIndex(op)
		header := prepare.Header(headers[slot*limits.HeaderBytes:][:limits.HeaderBytes])
		known := prepare.ValidHeader(header, s.superblock.Cluster, s.limits.MessageBytesMax) && header.Op() == op
		mayEvict := header.Operation() == wire.OperationRegister
		if !known || mayEvict || s.limits.IsTrigger(op) {
			clear(later)
		}
		if !known || header.IsGroup() || header.Client().IsZero() {
			continue
		}
		s.unwanted[slot] = later[header.Client()] && header.Operation().IsReadOnly()
		later[header.Client()] = true
	}
}

func (s *Stage) onPrepareRead(e *stages.JournalToConsensus, out *Actions) {
	s.readsInFlight--
	p := s.entryOf(e.Op)
	p.loaded = true
	// The chain of parents is checked in op order, whatever the order in which the reads ended.
	for i := range s.pipelineCount {
		p := s.pipelineAt(i)
		if !p.loaded {
			break
		}
		if p.op <= s.op {
			continue
		}
		header := prepare.Header(s.slots.Bytes(p.slot)[:limits.HeaderBytes])
		if header.Parent() != s.parent || header.Timestamp() <= s.timestampLast {
			s.fail(&storage.Fault{What: storage.FaultLog, Reason: "a prepare does not follow the one before it"}, out)
			return
		}
		s.op, s.parent, s.timestampLast = p.op, header.Checksum(), header.Timestamp()
		s.checksums[s.slotIndex(p.op)] = s.parent
		if header.Operation() == wire.OperationPulse {
			p.isPulse = true
			if p.replySlot != stages.SlotNone {
				s.unrefReply(p.replySlot)
				p.replySlot = stages.SlotNone
			}
		}
	}
	s.feedApply(out)
}
