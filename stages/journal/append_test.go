package journal

import (
	"bytes"
	"testing"

	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// appendView gives the stage a prepare of op from another view, and returns its bytes and its slot.
func (b *bench) appendView(op uint64, view, size uint32) (prepare.Header, stages.Slot) {
	slot := b.slots.Get(stages.SlotPrepare)
	p := b.slots.Bytes(slot)
	portstest.Repeat(p, []byte{byte(view)})
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

// Goal: in a cluster, each copy of a small prepare is durable by itself, without a sync behind
// both.
func TestCopiesDurableInACluster(t *testing.T) {
	b := newBench(t, 12)
	b.stage.limits.ReplicasCount = 3
	b.appendView(13, 1, 300)
	if len(b.queue) != 2 || b.queue[0].Flags != ports.WriteDurable || b.queue[1].Flags != ports.WriteDurable {
		t.Fatalf("queued %+v", b.queue)
	}
	b.end(1, int32(len(b.queue[1].Buffer)))
	if len(b.got) != 0 || len(b.queue) != 1 {
		t.Fatalf("after one of two writes: said %+v, queued %+v", b.got, b.queue)
	}
	b.end(0, int32(len(b.queue[0].Buffer)))
	if len(b.got) != 1 || len(b.queue) != 0 {
		t.Fatalf("after both writes: said %+v, queued %+v", b.got, b.queue)
	}
}

// Goal: in a faulty slot, the prepare is durable before its twin is written, also a small one, for
// a single replica or in a cluster.
func TestWriteInTurn(t *testing.T) {
	for _, replicas := range []uint32{1, 3} {
		for _, size := range []uint32{300, 2000} {
			b := newBench(t, 12)
			b.stage.limits.ReplicasCount = replicas
			_, slot := b.appendView(13, 1, size)
			b.endAll()
			b.got = nil
			b.request(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: 13, InTurn: true})
			if len(b.queue) != 2 || b.queue[0].OffsetBytes != b.log.layout.PrepareAt(13) ||
				b.queue[0].Flags != ports.WriteDurable|ports.WriteLinked || b.queue[1].OffsetBytes != b.log.layout.TwinAt(13) ||
				b.queue[1].Flags != ports.WriteDurable {
				t.Fatalf("%d replicas, %d bytes: queued %+v", replicas, size, b.queue)
			}
			b.end(0, int32(len(b.queue[0].Buffer)))
			if len(b.got) != 0 {
				t.Fatalf("%d replicas, %d bytes: acknowledged before the twin is written", replicas, size)
			}
			b.end(0, int32(len(b.queue[0].Buffer)))
			if len(b.got) != 1 || len(b.queue) != 0 {
				t.Fatalf("%d replicas, %d bytes: said %+v, queued %+v", replicas, size, b.got, b.queue)
			}
		}
	}
}
