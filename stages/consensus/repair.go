package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// repair is what the replica has asked others for, and what it reads for them.
type repair struct {
	budget  vsr.Budget
	serving [readsOtherMax]serving
	count   int
}

// serving is a read of the log for another replica.
type serving struct {
	slot stages.Slot
	to   int
	isOn bool
}

func newRepair(self, replicas int) repair { return repair{budget: vsr.NewBudget(self, replicas)} }

func (r *repair) connected(replica int, isLive bool) { r.budget.Connected(replica, isLive) }

func (r *repair) answered(from int, nowNs, op uint64, checksum wire.Checksum) {
	r.budget.Answered(from, nowNs, op, checksum)
}

// ask returns whom to ask for a prepare: all of a new primary's peers, since it has no time to try
// one after the other.
func (r *repair) ask(nowNs, op uint64, checksum wire.Checksum, random uint64, isUrgent bool) (peers uint16) {
	if isUrgent {
		return uint16(r.budget.AskAll(nowNs, op, checksum))
	}
	if one, ok := r.budget.Ask(nowNs, op, checksum, random); ok {
		return 1 << one
	}
	return 0
}

// serve begins a read for another replica. It tells whether there is room.
func (r *repair) serve(slot stages.Slot, to int) {
	for i := range r.serving {
		if e := &r.serving[i]; !e.isOn {
			*e = serving{slot: slot, to: to, isOn: true}
			r.count++
			return
		}
	}
}

func (r *repair) isFull() bool { return r.count == len(r.serving) }

// served ends a read for another replica, and tells for which.
func (r *repair) served(slot stages.Slot) (to int) {
	for i := range r.serving {
		if e := &r.serving[i]; e.isOn && e.slot == slot {
			e.isOn = false
			r.count--
			return e.to
		}
	}
	return -1
}

// repairLog asks for what the log misses: headers backwards from the head, prepares forwards.
func (s *Stage) repairLog() {
	isDue := s.deadlines.repairs()
	if !isDue || !s.isSettled() && !s.views.hasChosen() {
		return
	}
	first := s.commits.last() + 1
	if s.log.head() < first {
		return
	}
	if from, to := vsr.HeaderGap(&s.log, s.log.head(), first); from <= to {
		from = max(from, to+1-min(to, headersServedMax))
		s.sendSmall(peer.CommandRequestHeaders, s.superblocks.now().View,
			in(&s.outgoing.headers, peer.RequestHeaders{OpMin: from, OpMax: to}), s.somebody())
	}
	if s.isSettled() {
		s.askPrepares(max(first, s.log.chainedFrom()), s.log.head())
		if checkpoint := s.superblocks.now().Checkpoint.Op; checkpoint+1 < first {
			s.askPrepares(checkpoint+1, first-1)
		}
	}
}

// somebody is one of the others, the primary more often.
func (s *Stage) somebody() uint16 {
	random := s.deadlines.draw()
	if primary := s.quorums.PrimaryOf(s.views.now()); primary != s.self && random%2 == 0 {
		return 1 << primary
	}
	count := uint64(s.quorums.Replicas)
	if !s.isStandby() {
		count--
	}
	at := random >> 8 % count
	if at >= uint64(s.self) {
		at++
	}
	return 1 << at
}

func (s *Stage) askPrepares(first, last uint64) {
	for op := vsr.NextPrepare(&s.log, first, last); op <= last; op = vsr.NextPrepare(&s.log, op+1, last) {
		checksum := s.log.checksum(op)
		to := s.repair.ask(s.timers.now(), op, checksum, s.deadlines.draw(), s.isPrimary() && !s.status.isServing())
		if to == 0 {
			return
		}
		s.helped.asked()
		s.sendSmall(peer.CommandRequestPrepare, s.superblocks.now().View,
			in(&s.outgoing.prepare, peer.RequestPrepare{Checksum: checksum, Op: op}), to)
	}
}

// onHeaders takes headers that the chain of the head proves.
func (s *Stage) onHeaders(headers []byte) {
	if !s.isSettled() && !s.views.hasChosen() {
		return
	}
	for ; len(headers) >= prepare.HeaderBytes; headers = headers[prepare.HeaderBytes:] {
		s.fill(prepare.Header(headers[:prepare.HeaderBytes]))
	}
}

// fill takes a header into the log if it is the next one that the chain needs. Below what was
// executed the chain is not needed, and a later op may have taken the slot of its lowest one.
func (s *Stage) fill(header prepare.Header) {
	chained := s.log.chainedFrom()
	if chained == 0 || header.Op()+1 != chained || !s.log.has(chained) {
		return
	}
	f := vsr.Fill{
		Header: vsr.HeaderOf(header), View: s.views.now(), Head: s.log.Entry(s.log.head()).Header, First: s.superblocks.now().Checkpoint.Op + 1,
		CommitMin: s.commits.last(), Known: s.log.Entry(header.Op()).Header, ChainFrom: chained, ChainParent: s.log.header(chained).Parent(),
	}
	if f.Refused() != "" {
		return
	}
	s.log.install(header)
	if s.log.chain() {
		s.ackAll()
	}
}

// onRepairPrepare takes a prepare that was asked for.
func (s *Stage) onRepairPrepare(e *stages.NetToConsensus) {
	header := prepare.Header(s.slots.bytes(e.Slot)[:prepare.HeaderBytes])
	op := header.Op()
	s.repair.answered(int(e.Peer), s.timers.now(), op, header.Checksum())
	if !s.isSettled() || op > s.log.head() {
		return
	}
	if !s.isVerified(header) {
		s.mismatched(header)
		return
	}
	s.fill(header)
	if s.log.is(op, header.Checksum()) {
		s.helped.taken()
		s.keep(op, header.Checksum(), e.Slot)
	}
}

// headersServedMax is the largest number of headers in an answer: those that fit a slot for
// sending.
const headersServedMax = limits.SmallSlotBytes/limits.HeaderBytes - 1

// serveHeaders sends headers that are a chain.
func (s *Stage) serveHeaders(to int, m *peer.RequestHeaders) {
	slot := s.slots.take(stages.SlotSend)
	if slot == stages.SlotNone {
		return
	}
	bytes, count := s.slots.bytes(slot), 0
	for op := m.OpMax; op >= m.OpMin && op > 0 && op <= s.log.head() && s.log.has(op) && count < headersServedMax; op-- {
		header := s.log.header(op)
		if count > 0 && s.log.header(op+1).Parent() != header.Checksum() {
			break
		}
		copy(bytes[limits.HeaderBytes*(1+count):], header)
		count++
	}
	if count == 0 {
		s.send.release(slot)
		return
	}
	answer := peer.Headers{HeadersCount: uint8(count)}
	answer.Encode(bytes[:limits.HeaderBytes])
	s.sendTo(peer.CommandHeaders, s.superblocks.now().View, slot, uint32(1+count)*limits.HeaderBytes, 1<<to)
}

// servePrepare sends a prepare from memory or from the log.
func (s *Stage) servePrepare(to int, m *peer.RequestPrepare) {
	if m.Checksum.IsZero() || !s.log.is(m.Op, m.Checksum) {
		s.sendMissing(to, m, peer.MissingHere)
		return
	}
	if slot, isThere := s.recent.has(m.Op, m.Checksum); isThere && slot != stages.SlotNone {
		s.slots.hold(slot)
		s.helped.served()
		s.sendTo(peer.CommandRepairPrepare, s.superblocks.now().View, slot, s.log.header(m.Op).SizeBytes(), 1<<to)
		return
	}
	if !s.log.isClean(m.Op) || s.log.isWriting(m.Op) {
		s.sendMissing(to, m, peer.MissingHere)
		return
	}
	if s.repair.isFull() {
		return // it asks again, or somebody else
	}
	slot := s.slots.take(stages.SlotRepair)
	if slot == stages.SlotNone {
		return
	}
	s.repair.serve(slot, to)
	s.send.read(m.Op, m.Checksum, slot)
}

func (s *Stage) sendMissing(to int, m *peer.RequestPrepare, why peer.Missing) {
	missing := peer.PrepareMissing{Checksum: m.Checksum, Op: m.Op, Missing: why}
	s.sendSmall(peer.CommandPrepareMissing, s.superblocks.now().View, in(&s.outgoing.prepareMissing, missing), 1<<to)
}

// served: the read of a prepare for another replica has ended. What does not read back right is
// answered by saying so, which is no nack.
func (s *Stage) served(e *stages.JournalToConsensus, isRight bool) {
	to := s.repair.served(e.Slot)
	if isRight {
		s.helped.served()
		size := prepare.Header(s.slots.bytes(e.Slot)[:prepare.HeaderBytes]).SizeBytes()
		s.sendTo(peer.CommandRepairPrepare, s.superblocks.now().View, e.Slot, size, 1<<to)
		return
	}
	s.sendMissing(to, &peer.RequestPrepare{Op: e.Op, Checksum: e.Checksum}, peer.MissingDamaged)
	s.send.release(e.Slot)
}
