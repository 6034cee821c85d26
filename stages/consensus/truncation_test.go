package consensus

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
	"ledger/prepare"
	"ledger/stages"
)

// truncations is a stage whose log other primaries extend and cut, at random, while the test plays
// journal and apply, whose answers come late and in any order.
type truncations struct {
	*tester
	random *rand.Rand
	loans  []loan
	owned  map[uint64]stages.Slot    // slots of the ops in the log: what a pipeline would hold
	onDisk map[uint64]prepare.Header // what lies in each log slot, by slot
}

// loan is a slot that journal or apply has, and its bytes when it was lent.
type loan struct {
	header      prepare.Header
	slot        stages.Slot
	isSequenced bool
}

// extend makes a prepare of another primary the head, and gives it to apply or not.
func (r *truncations) extend() {
	s := r.stage
	op := s.log.head() + 1
	if s.slots.freeCount(stages.SlotPrepare) == 0 || op > r.l.PrepareMax(0) {
		return
	}
	header, slot := r.foreign(op)
	header = r.vary(header, slot)
	s.log.append(header)
	r.owned[op] = slot
	if r.random.IntN(2) == 0 {
		s.send.sequenced(op, slot)
		r.loans = append(r.loans, loan{bytes.Clone(header), slot, true})
	}
}

// vary makes the prepare differ from all others of its op.
func (r *truncations) vary(header prepare.Header, slot stages.Slot) prepare.Header {
	f := prepare.Fields{Op: header.Op(), Parent: header.Parent(), Cluster: testCluster, Timestamp: header.Timestamp(),
		Commit: r.random.Uint64(), SizeBytes: prepare.HeaderBytes, RequestsCount: 1, Operation: header.Operation(),
		Command: prepare.CommandPrepare}
	return prepare.Put(r.stage.slots.bytes(slot), &f, prepare.Sum(nil))
}

// write gives journal the prepares that may be written, as a backup does.
func (r *truncations) write(base uint64) {
	s := r.stage
	for op := base + 1; op <= s.log.head(); op++ {
		if s.log.isClean(op) || s.log.isWriting(op) || r.random.IntN(2) == 0 {
			continue
		}
		s.log.beginWrite(op)
		s.send.append(op, r.owned[op], s.log.writesInTurn(op))
		r.loans = append(r.loans, loan{bytes.Clone(s.log.header(op)), r.owned[op], false})
	}
}

// truncate drops the ops above head, and lets their slots go.
func (r *truncations) truncate(head uint64) {
	s := r.stage
	for op := s.log.head(); op > head; op-- {
		s.send.release(r.owned[op])
		delete(r.owned, op)
	}
	s.log.truncate(head)
}

// answer lets journal or apply end one of its tasks. Its slot must not have changed.
func (r *truncations) answer() {
	if len(r.loans) == 0 {
		return
	}
	i := r.random.IntN(len(r.loans))
	l := r.loans[i]
	r.loans = append(r.loans[:i], r.loans[i+1:]...)
	if !bytes.Equal(r.slots.Bytes(l.slot)[:prepare.HeaderBytes], l.header) {
		r.t.Fatalf("the slot of a prepare of op %d changed while another stage had it (sequenced %v)", l.header.Op(), l.isSequenced)
	}
	if l.isSequenced {
		r.applyEvents = append(r.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplySequencedDone, Slot: l.slot, Op: l.header.Op()})
	} else {
		r.onDisk[l.header.Op()%uint64(r.l.JournalSlotsCount)] = l.header
		r.journalEvents = append(r.journalEvents, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: l.slot, Op: l.header.Op(),
			Checksum: l.header.Checksum()})
	}
}

// Goal: whatever is truncated while journal writes it and apply reads it ahead, no slot changes
// while another stage has it, all slots come back, and an op counts as written only when its own
// prepare is on disk.
func TestRandomTruncations(t *testing.T) {
	random := seeded.Rand(t)
	stale := 0
	for range 40 {
		r := &truncations{tester: newTester(t, testLimits()), random: random, owned: map[uint64]stages.Slot{},
			onDisk: map[uint64]prepare.Header{}}
		s := r.stage
		base, free := s.log.head(), s.slots.freeCount(stages.SlotPrepare)
		step := func() {
			r.out.Reset()
			s.send.begin(&r.out)
			for _, e := range r.journalEvents {
				if !s.log.has(e.Op) || s.log.checksum(e.Op) != e.Checksum {
					stale++
				}
			}
			// The commit queue of a single replica has what its log has; here only the log is
			// played.
			for _, e := range r.journalEvents {
				s.send.returned(e.Slot)
				s.log.endWrite(e.Op, e.Checksum)
			}
			for i := range r.applyEvents {
				s.onApply(&r.applyEvents[i])
			}
			r.journalEvents, r.applyEvents = nil, nil
			for op := base + 1; op <= s.log.head(); op++ {
				onDisk := r.onDisk[op%uint64(r.l.JournalSlotsCount)]
				if s.log.isClean(op) != (onDisk != nil && onDisk.Checksum() == s.log.checksum(op)) {
					t.Fatalf("op %d counts as written: %v", op, s.log.isClean(op))
				}
			}
		}
		for range 300 {
			s.send.begin(&r.out)
			switch random.IntN(5) {
			case 0, 1:
				r.extend()
			case 2:
				r.truncate(base + uint64(random.IntN(int(s.log.head()-base)+1)))
			case 3:
				r.answer()
			}
			r.write(base)
			step()
		}
		s.send.begin(&r.out)
		r.truncate(base)
		for len(r.loans) > 0 {
			r.answer()
			step()
		}
		s.checkRest()
		if got := s.slots.freeCount(stages.SlotPrepare); got != free {
			t.Fatalf("%d slots are free at the end, want %d", got, free)
		}
	}
	if stale < 100 {
		t.Errorf("only %d completions were stale", stale)
	}
}
