package journal

import (
	"bytes"
	"testing"

	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// appendView gives the stage a prepare of op from another view, and returns its bytes and its slot.
func (b *bench) appendView(op uint64, view, size uint32) (prepare.Header, stages.Slot) {
	slot := b.slots.Get(stages.SlotPrepare)
	p := b.slots.Bytes(slot)
	for i := range p {
		p[i] = byte(view)
	}
	h := prepare.Put(p, &prepare.Fields{Parent: b.log.checksum(op - 1), Cluster: cluster, Op: op, View: view, Timestamp: op, SizeBytes: size,
		RequestsCount: 1, Operation: wire.OperationNoop, Command: prepare.CommandPrepare}, prepare.Sum(p[256:size]))
	b.log.prepares[op] = bytes.Clone(p[:size])
	b.request(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: op})
	return h, slot
}

// Goal: an op that was truncated and prepared again, small or large, has two prepares in a row in
// one slot of the log. Each completion names its own; the first one cannot be read any more.
func TestOpWrittenTwice(t *testing.T) {
	for _, sizes := range [][2]uint32{{300, 400}, {300, 2000}, {2000, 300}, {2000, 2100}} {
		b := newBench(t, 12)
		first, firstSlot := b.appendView(13, 1, sizes[0])
		b.endAll()
		second, secondSlot := b.appendView(13, 2, sizes[1])
		b.endAll()
		if len(b.got) != 2 || b.got[0].Checksum != first.Checksum() || b.got[0].Slot != firstSlot || b.got[1].Checksum != second.Checksum() ||
			b.got[1].Slot != secondSlot || first.Checksum() == second.Checksum() {
			t.Fatalf("sizes %v: said %+v", sizes, b.got)
		}
		b.readOf(13, b.got[0].Checksum)
		b.readOf(13, b.got[1].Checksum)
		b.endAll()
		if len(b.got) != 4 || b.got[2].Read != stages.ReadAbsent || b.got[3].Read != stages.ReadOK {
			t.Fatalf("sizes %v: said %+v", sizes, b.got[2:])
		}
		if r, err := b.log.recover(0); err != nil || r.OpHead != 13 || r.HeadChecksum != b.got[1].Checksum {
			t.Fatalf("sizes %v: recovered %+v, %v", sizes, r, err)
		}
	}
}

// Goal: nothing is written into a slot of the log while another prepare is being written there.
func TestOneWriteInASlot(t *testing.T) {
	for _, op := range []uint64{13, 13 + 32} {
		b := newBench(t, 12)
		b.appendView(13, 1, 300)
		b.log.prepares[op-1] = b.log.prepares[12]
		failed := false
		func() {
			defer func() { failed = recover() != nil }()
			b.appendView(op, 2, 300)
		}()
		if !failed {
			t.Errorf("op %d is written into the slot of op 13, which is being written", op)
		}
	}
}
