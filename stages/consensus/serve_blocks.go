package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/storage"
)

// blockServing is the blocks that other replicas ask for. Each replica has a queue of its own, and
// the queues take turns, so one that asks for much does not keep the others waiting. What a queue
// has no room for is dropped, and so is what has waited for longer than its asker waits: it asks
// again, or somebody else.
type blockServing struct {
	queues [limits.MembersMax]blockQueue // of replicas and standbys
	turn   int
	reads  [stages.BlocksServedMax]blockRead
	count  int // of the reads under way

	servedCount, lackedCount, droppedCount uint64
}

// blockRead is a read for another replica.
type blockRead struct {
	slot stages.Slot
	to   int
	isOn bool
}

// blockQueue is a ring of questions of one replica.
type blockQueue struct {
	questions     [blockQuestionsMax]blockQuestion
	first, length int
}

type blockQuestion struct {
	ref   storage.Ref
	forNs uint64 // after this time nobody waits for the answer
}

const (
	// blockQuestionsMax has room for all that one replica may ask for at a time.
	blockQuestionsMax = 5 * peer.BlocksPerRequest
	// blockQuestionNs is the time for which a replica waits for an answer.
	blockQuestionNs = 250_000_000
)

// connected: what was asked over a connection that has ended is not answered.
func (v *blockServing) connected(replica int) { v.queues[replica].length = 0 }

// asked takes a question.
func (v *blockServing) asked(nowNs uint64, from int, ref storage.Ref) {
	q := &v.queues[from]
	if q.length == len(q.questions) {
		v.droppedCount++
		return
	}
	q.questions[(q.first+q.length)%len(q.questions)] = blockQuestion{ref, nowNs + blockQuestionNs}
	q.length++
}

// isFull tells whether as many blocks are read as may be.
func (v *blockServing) isFull() bool { return v.count == len(v.reads) }

// next is the next question, of the replica whose turn it is.
func (v *blockServing) next(nowNs uint64) (to int, ref storage.Ref, ok bool) {
	for range v.queues {
		v.turn = (v.turn + 1) % len(v.queues)
		for q := &v.queues[v.turn]; q.length > 0; {
			question := &q.questions[q.first]
			q.first = (q.first + 1) % len(q.questions)
			q.length--
			if nowNs < question.forNs {
				return v.turn, question.ref, true
			}
			v.droppedCount++
		}
	}
	return 0, ref, false
}

// isAsked tells whether anybody waits.
func (v *blockServing) isAsked() bool {
	for i := range v.queues {
		if v.queues[i].length > 0 {
			return true
		}
	}
	return false
}

// begin a read into slot for another replica.
func (v *blockServing) begin(slot stages.Slot, to int) {
	for i := range v.reads {
		if r := &v.reads[i]; !r.isOn {
			*r = blockRead{slot, to, true}
			v.count++
			return
		}
	}
	assert.That(false, "there is room for one more block that is read for others")
}

// ended: a read for another replica has ended. It returns for which.
func (v *blockServing) ended(slot stages.Slot, isHere bool) (to int) {
	for i := range v.reads {
		if r := &v.reads[i]; r.isOn && r.slot == slot {
			r.isOn = false
			v.count--
			if isHere {
				v.servedCount++
			} else {
				v.lackedCount++
			}
			return r.to
		}
	}
	assert.That(false, "a block that was read was asked for")
	return -1
}

// fill tells numbers for people.
func (v *blockServing) fill(out *ClusterSample) {
	out.BlocksServed, out.BlocksLacked, out.BlockRequestsDropped = v.servedCount, v.lackedCount, v.droppedCount
}

// onRequestBlocks takes the questions of a peer. A replica in any view answers, also one that looks
// for the head of its log: the name of a block has its checksum, so the asker need not trust it.
func (s *Stage) onRequestBlocks(from int, m *peer.RequestBlocks) {
	for i := range m.BlocksCount {
		name := &m.Blocks[i]
		s.blockServing.asked(s.timers.now(), from, storage.Ref{Address: name.Address, Checksum: name.Checksum})
	}
}

// serveBlocks begins reads for others, as far as there is room.
func (s *Stage) serveBlocks() {
	for s.blockServing.isAsked() && !s.blockServing.isFull() && s.slots.freeCount(stages.SlotRepair) > 0 {
		to, ref, ok := s.blockServing.next(s.timers.now())
		if !ok {
			return
		}
		slot := s.slots.take(stages.SlotRepair)
		s.blockServing.begin(slot, to)
		s.send.serve(ref, slot)
	}
}

// onBlockServed: the read of a block for another replica has ended.
func (s *Stage) onBlockServed(e *stages.ApplyToConsensus) {
	name, isHere := nameOf(e.Ref), e.Read == stages.ReadOK
	to, view := s.blockServing.ended(e.Slot, isHere), s.superblocks.now().View
	s.send.returned(e.Slot)
	if isHere {
		answer := peer.Block{Name: name}
		answer.Encode(s.slots.bytes(e.Slot)[:limits.HeaderBytes])
		s.sendTo(peer.CommandBlock, view, e.Slot, limits.HeaderBytes+e.Bytes, 1<<to)
		return
	}
	why := peer.MissingHere
	if e.Read == stages.ReadDamaged {
		why = peer.MissingDamaged
	}
	s.sendSmall(peer.CommandBlockMissing, view, in(&s.outgoing.blockMissing, peer.BlockMissing{Name: name, Missing: why}), 1<<to)
	s.send.release(e.Slot)
}
