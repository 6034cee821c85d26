package apply

import (
	"ledger/internal/assert"
	"ledger/internal/coro"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/grid"
)

// wants is the table of the blocks that apply or a worker of compact cannot go on without, in a
// cluster of several. Between two steps:
//
//   - Each block is in the table once. A want begins where a read fails, and ends when the block is
//     repaired or withdrawn.
//   - The address of a block that is wanted is in use by the state that is open, or named by the
//     checkpoint that is being opened. The end of a bar withdraws the blocks of addresses that it
//     frees, before it gives any address out.
//   - A block is written only while it is in the table, and it stays there until the first worker
//     has answered. So no repair ever hits an address that was freed, and the addresses that are
//     given out depend on no repair.
type wants struct {
	all     [stages.BlocksWantedMax]want
	count   int           // of all that are not free
	workers []storage.Ref // the block that each worker of compact waits for; zero: none
	// Blocks that have arrived and for which the first worker has no memory yet.
	arrived      [stages.BlocksArrivedMax]arrived
	arrivedCount int
	writing      int // blocks that the first worker writes
	serving      int // blocks that it reads for other replicas
	givenUp      bool
	again        bool // a block is wanted whose last want has ended, and consensus is to hear of that first
	repaired     justRepaired
}

type wantState uint8

const (
	wantFree    wantState = iota
	wantNew               // consensus is not told of it yet
	wantTold              // consensus asks other replicas
	wantArrived           // a copy waits in arrived
	wantWriting           // the first worker has a copy
	wantEnding            // nobody wants the block any more, and consensus is not told of that yet
)

type want struct {
	state wantState
	ref   storage.Ref
}

type arrived struct {
	slot  stages.Slot
	ref   storage.Ref
	bytes uint32
}

// lowWantsMax is the largest number of wants while one more is taken that nobody waits for.
const lowWantsMax = stages.BlocksWantedMax / 2

func (w *wants) find(ref storage.Ref) *want {
	if w.count == 0 {
		return nil
	}
	for i := range w.all {
		if one := &w.all[i]; one.state != wantFree && one.ref == ref {
			return one
		}
	}
	return nil
}

// isWriting tells whether a repair of the block is being written.
func (w *wants) isWriting(ref storage.Ref) bool {
	one := w.find(ref)
	return one != nil && one.state == wantWriting
}

// add puts a block into the table, unless it is there or there is no room. low: nobody waits for
// the block, so half of the table is kept for others. A want that is ending is not taken up again:
// what consensus knows of it, as how often others were asked in vain, is of another state.
func (w *wants) add(ref storage.Ref, low bool) {
	if one := w.find(ref); one != nil {
		w.again = w.again || one.state == wantEnding
		return
	}
	if w.count == len(w.all) || low && w.count >= lowWantsMax {
		return // a read that waits comes again with each step
	}
	for i := range w.all {
		if w.all[i].state == wantFree {
			w.all[i] = want{state: wantNew, ref: ref}
			w.count++
			return
		}
	}
}

func (w *wants) free(one *want) {
	*one = want{}
	w.count--
}

// wantsStep collects what the grid and the workers cannot read, and tells consensus of it as long
// as the edge has room. more: some news waits for room, or for the next step.
func (s *Stage) wantsStep() (more bool) {
	w := &s.wants
	w.again = false
	if !s.closing && !s.faulted {
		if s.grid.WantsCount() > 0 {
			for place := range grid.WantsMax {
				if ref, ok := s.grid.Want(place); ok {
					s.want(ref)
				}
			}
		}
		for _, ref := range w.workers {
			if !ref.IsZero() {
				s.want(ref)
			}
		}
	}
	if w.count == 0 {
		return false
	}
	for i := range w.all {
		one := &w.all[i]
		if one.state != wantNew && one.state != wantEnding {
			continue
		}
		if s.out.NewsMax == 0 {
			return true
		}
		s.out.NewsMax--
		news := stages.ApplyToConsensus{Kind: stages.ApplyBlockWanted, Ref: one.ref}
		if one.state == wantEnding {
			news.Kind = stages.ApplyBlockUnwanted
			w.free(one)
		} else {
			news.Named = !s.isOpen || s.forest.IsNamed(one.ref.Address)
			if s.isOpen {
				news.Tree = s.forest.TreeOf(one.ref)
			}
			one.state = wantTold
		}
		s.out.Consensus = append(s.out.Consensus, news)
	}
	return w.again
}

// onServe has a block read for another replica. Whether it is there, the read tells.
func (s *Stage) onServe(e *Event) {
	assert.That(s.several, "a cluster of several serves blocks")
	assert.Below(s.wants.serving, stages.BlocksServedMax, "blocks that are read for others")
	s.wants.serving++
	s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Kind: stages.CompactBlockServe, Slot: e.Slot, Ref: e.Ref})
}

// onArrived takes a block that another replica has sent. It is not wanted any more if it was
// withdrawn meanwhile, also if it is wanted anew and consensus is not told yet, or if another copy
// of it is here already.
func (s *Stage) onArrived(e *Event) {
	assert.That(s.several, "blocks arrive in a cluster of several")
	w := &s.wants
	one := w.find(e.Ref)
	if one == nil || one.state != wantTold {
		s.repairEnded(e.Slot, e.Ref, stages.RepairUnwanted)
		return
	}
	assert.Below(w.arrivedCount, len(w.arrived), "blocks that have arrived and have no answer")
	one.state = wantArrived
	w.arrived[w.arrivedCount] = arrived{e.Slot, e.Ref, e.Bytes}
	w.arrivedCount++
	s.repairNext()
}

// repairNext gives arrived blocks to the first worker as long as it has memory for them. The end of
// a bar takes several steps, so an address may be free already that withdraw has not come to.
func (s *Stage) repairNext() {
	w := &s.wants
	for w.arrivedCount > 0 && w.writing < stages.BlocksRepairedMax {
		next := w.arrived[0]
		w.arrivedTake(0)
		one := w.find(next.ref)
		assert.That(one != nil && one.state == wantArrived, "a block that is repaired is wanted")
		if s.isOpen && !s.forest.IsInUse(next.ref.Address) {
			one.state = wantEnding
			s.repairEnded(next.slot, next.ref, stages.RepairUnwanted)
			continue
		}
		one.state = wantWriting
		w.writing++
		s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Kind: stages.CompactBlockRepair, Slot: next.slot, Ref: next.ref,
			Bytes: next.bytes})
	}
}

func (w *wants) arrivedTake(i int) {
	w.arrivedCount--
	copy(w.arrived[i:w.arrivedCount], w.arrived[i+1:w.arrivedCount+1])
}

func (s *Stage) repairEnded(slot stages.Slot, ref storage.Ref, repair stages.BlockRepair) {
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyBlockRepaired, Slot: slot, Ref: ref, Repair: repair})
}

// onBlock takes a message of a worker about a block.
func (s *Stage) onBlock(worker int, m *stages.CompactToApply) {
	w := &s.wants
	switch m.Kind {
	case stages.CompactBlockWanted:
		if !s.closing { // it gives the block up
			w.workers[worker] = m.Ref
		}
	case stages.CompactBlockServed:
		w.serving--
		s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyBlockServed, Slot: m.Slot, Ref: m.Ref,
			Read: m.Read, Bytes: m.Bytes})
	case stages.CompactBlockRepaired:
		s.onRepaired(m)
	case stages.CompactSynced:
		s.onSynced(m.Fault)
	default:
		assert.That(false, "a worker's message about a block has a known kind")
	}
}

// onRepaired ends a want, or goes on asking if the copy was not the block. Whoever waits for the
// block reads it again.
func (s *Stage) onRepaired(m *stages.CompactToApply) {
	w := &s.wants
	one := w.find(m.Ref)
	assert.That(one != nil && one.state == wantWriting, "a block that was repaired is wanted")
	w.writing--
	s.walk.waits = false // perhaps for this write alone
	switch {
	case m.Fault != nil:
		one.state = wantEnding
		s.repairEnded(m.Slot, m.Ref, stages.RepairUnwanted)
		s.fail(m.Fault)
	case m.Repair == stages.RepairWrong:
		if one.state = wantTold; s.closing {
			one.state = wantEnding
		}
		s.repairEnded(m.Slot, m.Ref, stages.RepairWrong)
	default:
		w.free(one)
		s.statistics.BlocksRepaired++
		s.repairEnded(m.Slot, m.Ref, stages.RepairWritten)
		s.repaired(m.Ref)
		w.repaired.put(m.Ref)
	}
	s.repairNext()
}

// repaired lets everything that waits for a block read it again.
func (s *Stage) repaired(ref storage.Ref) {
	if s.closing {
		return
	}
	s.grid.Repaired(ref)
	for worker, waits := range s.wants.workers {
		if waits == ref {
			s.wants.workers[worker] = storage.Ref{}
			s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Kind: stages.CompactBlockAgain, Ref: ref})
		}
	}
}

// withdraw ends the wants of addresses that this end of a bar has freed, and waits until no repair
// of one of them is being written. Then the addresses may be given out.
func (s *Stage) withdraw(c *coro.Coroutine) {
	if !s.several {
		return
	}
	s.forest.Withdraw()
	for s.withdrawFreed() {
		s.wait(c)
	}
}

// withdrawFreed ends the wants of freed addresses. more: one of them is being written.
func (s *Stage) withdrawFreed() (more bool) {
	w := &s.wants
	for i := range w.all {
		one := &w.all[i]
		switch {
		case one.state == wantFree || s.forest.IsInUse(one.ref.Address):
		case one.state == wantWriting:
			more = true
		default:
			s.withdrawOne(one)
		}
	}
	return more
}

// withdrawOne ends a want that is not being written.
func (s *Stage) withdrawOne(one *want) {
	w := &s.wants
	switch one.state {
	case wantNew:
		w.free(one)
		return
	case wantArrived:
		for i := range w.arrived[:w.arrivedCount] {
			if next := w.arrived[i]; next.ref == one.ref {
				w.arrivedTake(i)
				s.repairEnded(next.slot, next.ref, stages.RepairUnwanted)
				break
			}
		}
	}
	one.state = wantEnding
}

// wantsDrop ends all wants, because another checkpoint is opened. What is being written stays in
// the table until it is.
func (s *Stage) wantsDrop() {
	w := &s.wants
	for i := range w.all {
		if one := &w.all[i]; one.state != wantFree && one.state != wantWriting {
			s.withdrawOne(one)
		}
	}
	clear(w.workers)
}

// giveUp lets the workers end the jobs of a state that is dropped, although a block is missing.
func (s *Stage) giveUp() {
	if !s.several || s.wants.givenUp {
		return
	}
	s.wants.givenUp = true // until the workers' reset
	for worker := range s.out.Compact {
		s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Kind: stages.CompactGiveUp})
	}
}
