package consensus

import (
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/stages"
)

// ofNet tells whether net owns the free slots of a class.
func ofNet(class stages.SlotClass) bool {
	return class == stages.SlotClient || class == stages.SlotPeer || class == stages.SlotSmall
}

// Goal: a slot is free exactly when its last holder lets it go, whatever the order; a slot of net
// is never put back here. No other slot is touched.
func TestSlotHoldsModel(t *testing.T) {
	random := seeded.Rand(t)
	memory := arena.New()
	t.Cleanup(memory.Close)
	slots := &stages.Slots{}
	var classes []stages.SlotClass
	for class := range slots.Pools {
		slots.Pools[class] = arena.NewPool(memory, uint32(3+class), 4096, "slots")
		classes = append(classes, stages.SlotClass(class))
	}
	h := newSlotHolds(slots)
	held := map[stages.Slot]int{}
	var names []stages.Slot // of held, in the order of arrival
	for range 20_000 {
		free := [stages.SlotClassesCount]uint32{}
		for _, class := range classes {
			free[class] = h.freeCount(class)
		}
		switch action := random.IntN(3); {
		case action == 0:
			class := classes[random.IntN(len(classes))]
			slot := stages.SlotNone
			if !ofNet(class) {
				slot = h.take(class)
			} else if slot = slots.Get(class); slot != stages.SlotNone { // net's part
				h.receive(slot)
			}
			if (slot == stages.SlotNone) != (free[class] == 0) {
				t.Fatalf("class %d has %d free slots, and gives %d", class, free[class], slot)
			}
			if slot != stages.SlotNone {
				if held[slot] != 0 {
					t.Fatalf("slot %d is given to two", slot)
				}
				held[slot] = 1
				names = append(names, slot)
			}
		case len(names) == 0:
		case action == 1:
			slot := names[random.IntN(len(names))]
			h.hold(slot)
			held[slot]++
		default:
			i := random.IntN(len(names))
			slot := names[i]
			held[slot]--
			if isFree := h.release(slot); isFree != (held[slot] == 0) {
				t.Fatalf("slot %d is free: %v, and has %d holders", slot, isFree, held[slot])
			}
			if held[slot] > 0 {
				break
			}
			names = append(names[:i], names[i+1:]...)
			if got, want := h.freeCount(slot.Class()), free[slot.Class()]+1; !ofNet(slot.Class()) && got != want {
				t.Fatalf("%d slots of class %d are free, want %d", got, slot.Class(), want)
			}
			if ofNet(slot.Class()) {
				if h.freeCount(slot.Class()) != free[slot.Class()] {
					t.Fatal("a slot of net is put back by consensus")
				}
				slots.Put(slot)
			}
		}
		for _, slot := range names {
			if int(h.count(slot)) != held[slot] {
				t.Fatalf("slot %d has %d holders, want %d", slot, h.count(slot), held[slot])
			}
		}
	}
}

// panics tells whether f fails an assertion.
func panics(f func()) (failed bool) {
	defer func() { failed = recover() != nil }()
	f()
	return false
}

// Goal: a count never falls below 0, and a slot that nobody holds cannot be used, held or given
// away.
func TestSlotHoldsAssertions(t *testing.T) {
	w := newWorld(t, testLimits())
	h := newSlotHolds(w.slots)
	slot := h.take(stages.SlotPrepare)
	h.hold(slot)
	if !panics(func() { h.give(slot) }) {
		t.Error("a slot with two holders is given away")
	}
	h = newSlotHolds(w.slots)
	for name, use := range map[string]func(){
		"released": func() { h.release(slot) }, "held once more": func() { h.hold(slot) }, "used": func() { h.bytes(slot) },
		"given away": func() { h.give(slot) },
	} {
		if !panics(use) {
			t.Errorf("a slot that nobody holds is %s", name)
		}
	}
}

// Goal: a prepare's slot is not free while journal writes it or apply reads it ahead, whatever has
// become of its op; and it is free when the last of them has answered.
func TestSlotsOfATruncatedOp(t *testing.T) {
	for _, appendedFirst := range []bool{true, false} {
		w := newTester(t, testLimits())
		w.settle()
		s := w.stage
		free := s.slots.freeCount(stages.SlotPrepare)
		header, slot := w.foreign(s.log.head() + 1)
		s.send.begin(&w.out)
		s.log.append(header)
		s.log.beginWrite(header.Op())
		s.send.append(header.Op(), slot, false)
		s.send.sequenced(header.Op(), slot)
		s.log.truncate(header.Op() - 1) // a view change drops the op,
		s.send.release(slot)            // and the pipeline has no use for the slot any more
		w.out.Reset()
		appended := stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: slot, Op: header.Op(), Checksum: header.Checksum()}
		sequenced := stages.ApplyToConsensus{Kind: stages.ApplySequencedDone, Slot: slot, Op: header.Op()}
		for i := range 2 {
			if s.slots.freeCount(stages.SlotPrepare) != free-1 {
				t.Fatalf("appended first %v: the slot is free, and %d answers are missing", appendedFirst, 2-i)
			}
			if (i == 0) == appendedFirst {
				w.journalEvents = append(w.journalEvents, appended)
			} else {
				w.applyEvents = append(w.applyEvents, sequenced)
			}
			w.turn()
		}
		if s.slots.freeCount(stages.SlotPrepare) != free {
			t.Fatalf("appended first %v: the slot does not come back", appendedFirst)
		}
		w.settle()
		w.checkQuiet()
	}
}

// Goal: the completion of a truncated op k does not count for the new op k: it is not acknowledged
// before its own write has ended. The new op is not written while the old one still is.
func TestStaleCompletion(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(5)
	w.settle()
	s := w.stage
	head := s.log.head()
	header, slot := w.foreign(head + 1)
	s.send.begin(&w.out)
	s.log.append(header)
	s.log.beginWrite(header.Op())
	s.send.append(header.Op(), slot, false)
	s.log.truncate(head)
	s.send.release(slot)
	w.out.Reset()
	w.answers = nil

	w.receive(frame(f, make([]byte, 16)))
	w.turn()
	if w.appending != nil {
		t.Fatal("a prepare is written into a slot while the truncated one still is")
	}
	w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: slot, Op: header.Op(),
		Checksum: header.Checksum()})
	w.turn()
	if w.appending == nil || w.appending.Op != head+1 || w.appending.Checksum == header.Checksum() {
		t.Fatalf("the new op is not written: %+v", w.appending)
	}
	w.finishCommit()
	w.turn()
	if s.commits.max() != head || len(w.sends) != 0 {
		t.Fatalf("op %d is committed before it is durable: commit_max %d, %d replies", head+1, s.commits.max(), len(w.sends))
	}
	w.settle()
	if len(w.answers) != 1 {
		t.Fatalf("%d answers, want 1", len(w.answers))
	}
	w.checkQuiet()
}
