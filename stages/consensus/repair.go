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

	hasHeaders bool   // headers came, so the next ones can be asked for
	headersMin uint64 // the lowest op whose header was asked for since it was last time to ask for all
	hasRoom    bool   // an answer came, or did not in time: others can be asked for

	waitsForDisk bool // nothing more is asked for until journal has written something
}

// serving is a read of the log for another replica.
type serving struct {
	slot stages.Slot
	to   int
	isOn bool
}

func newRepair(self, replicas int) repair { return repair{budget: vsr.NewBudget(self, replicas)} }

func (r *repair) connected(replica int, isLive bool) { r.budget.Connected(replica, isLive) }

// missing: a peer has said that it has not got a prepare.
func (r *repair) missing(from int, op uint64, checksum wire.Checksum) {
	r.budget.Missing(from, op, checksum)
}

// answered: a peer has sent a prepare.
func (r *repair) answered(from int, nowNs, op uint64, checksum wire.Checksum) {
	r.budget.Answered(from, nowNs, op, checksum)
}

// taken: what a peer has sent is what was missing. Other answers make room as well, but to ask at
// once after them would be to ask for the same again.
func (r *repair) taken() { r.hasRoom = true }

// goOn: there may be something that can be asked for at once.
func (r *repair) goOn() { r.hasHeaders, r.hasRoom = true, true }

// written: journal has room.
func (r *repair) written() {
	r.hasRoom = r.hasRoom || r.waitsForDisk
	r.waitsForDisk = false
}

// due tells what is to be asked for in this step. All of it is now and then, in case that a request
// or its answer was lost.
func (r *repair) due(nowNs uint64, isTime bool) (headers, prepares bool) {
	isLate := r.budget.Expire(nowNs) > 0
	headers, prepares = isTime || r.hasHeaders, isTime || r.hasRoom || isLate
	r.hasHeaders, r.hasRoom = false, false
	return headers, prepares
}

// nextNs is when a request is given up.
func (r *repair) nextNs() uint64 { return r.budget.NextNs() }

// asked tells whether a prepare has been asked for and may still come, and how many have.
func (r *repair) asked(w vsr.Wanted) (count int, isAsked bool) { return r.budget.Out(w) }

// ask returns whom to ask for a prepare: all of a new primary's peers, since it has no time to try
// one after the other.
func (r *repair) ask(nowNs uint64, w vsr.Wanted, random uint64, isUrgent bool) (peers uint16) {
	if isUrgent {
		return uint16(r.budget.AskAll(nowNs, w))
	}
	if one, ok := r.budget.Ask(nowNs, w, random); ok {
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

// repairLog asks for what the log misses: headers backwards from the head, prepares forwards. What
// comes makes room for the next request at once: the others write over what is missing here as
// fast as they serve, so a bound by a timer would let them get away.
func (s *Stage) repairLog() {
	isTime := s.deadlines.repairs()
	hasHeaders, hasRoom := s.repair.due(s.timers.now(), isTime)
	if !hasHeaders && !hasRoom || !s.isSettled() && !s.views.hasChosen() {
		return
	}
	first := s.commits.last() + 1
	if s.log.head() < first {
		return
	}
	chained := s.log.chainedFrom()
	if hasHeaders && (isTime || chained <= s.repair.headersMin) {
		s.askHeaders(first)
	}
	switch {
	case !s.isSettled() || !hasRoom:
	case isTime:
		s.askPrepares(max(first, chained), s.log.head(), true)
		if checkpoint := s.superblocks.now().Checkpoint.Op; checkpoint+1 < first {
			s.askPrepares(checkpoint+1, first-1, true)
		}
	case chained <= first: // else the lowest one, which all others wait for, is not known yet
		to := s.log.head()
		if !s.isPrimary() {
			to = min(to, s.commits.max()) // the primary sends the others again
		}
		s.askPrepares(first, to, false)
	}
}

// askHeaders asks for the headers of the newest gap. What one peer is asked for comes in its order,
// so each message of the answer is proven by the one before it.
func (s *Stage) askHeaders(first uint64) {
	from, to := vsr.HeaderGap(&s.log, s.log.head(), first)
	peers := s.somebody()
	for ; from <= to; to -= headersServedMax {
		s.repair.headersMin = max(from, to+1-min(to, headersServedMax))
		s.sendSmall(peer.CommandRequestHeaders, s.superblocks.now().View,
			in(&s.outgoing.headers, peer.RequestHeaders{OpMin: s.repair.headersMin, OpMax: to}), peers)
		if to <= headersServedMax {
			return
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

// askPrepares asks for prepares in the order of their ops, as far as the budget goes. isAgain: what
// is on its way from one is asked of another one as well.
func (s *Stage) askPrepares(first, last uint64, isAgain bool) {
	for op := s.nextPrepare(first, last); op <= last; op = s.nextPrepare(op+1, last) {
		if s.log.isQueued(op) || s.log.isWritingIt(op) {
			continue // its place is damaged until the write of what has come ends
		}
		w := vsr.Wanted{Op: op, Checksum: s.log.checksum(op), Bytes: s.log.header(op).SizeBytes()}
		count, isAsked := s.repair.asked(w)
		if isAsked && !isAgain {
			continue
		}
		if (!isAgain || count >= repairsUnwrittenMin) && count+s.acks.count() >= stages.BudgetJournalAppends {
			s.repair.waitsForDisk = true // what comes could not be written, and would have to be asked for again
			return
		}
		to := s.repair.ask(s.timers.now(), w, s.deadlines.draw(), s.isPrimary() && !s.status.isServing())
		if to == 0 {
			return
		}
		s.helped.asked()
		s.sendSmall(peer.CommandRequestPrepare, s.superblocks.now().View,
			in(&s.outgoing.prepare, peer.RequestPrepare{Checksum: w.Checksum, Op: op}), to)
	}
}

func (s *Stage) nextPrepare(op, last uint64) uint64 {
	return vsr.NextPrepare(&s.log, s.log.skipHeld(op, last), last)
}

// repairsUnwrittenMin are asked for now and then even if journal has no room now: what comes from
// the primary must not keep repair out.
const repairsUnwrittenMin = 2

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
	s.repair.goOn()
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
		if s.log.isClean(op) || s.log.isQueued(op) || s.log.isWritingIt(op) {
			s.repair.taken()
		}
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
