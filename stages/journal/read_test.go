package journal

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// read asks for the prepare of op.
func (b *bench) read(op uint64) stages.Slot { return b.readOf(op, b.log.checksum(op)) }

func (b *bench) readOf(op uint64, checksum wire.Checksum) stages.Slot {
	slot := b.slots.Get(stages.SlotPrepare)
	b.request(stages.ConsensusToJournal{Kind: stages.JournalRead, Slot: slot, Op: op, Checksum: checksum})
	return slot
}

// Goal: a read brings the prepare that was asked for, from its twin if its own copy is not right,
// or the answer says what was wrong with its own copy. Neither stops the stage, and reads beside it
// are not touched. The twin of a large prepare is its header, and no help.
func TestReads(t *testing.T) {
	const small, large = 7, 9
	body := func(bytes []byte) { bytes[300] ^= 1 }
	header := func(bytes []byte) { bytes[130] ^= 1 }
	zeros := func(bytes []byte) { clear(bytes) }
	another := func(b *bench, op uint64) { copy(b.log.slot(op), b.log.slot(op-1)) }
	eio, none := -int32(syscall.EIO), int32(0)
	cases := []struct {
		name    string
		op      uint64
		damage  func(b *bench)
		results [2]int32 // of the reads of the two copies; 0: all
		want    string   // the fault that the answer names; empty: the prepare was read
		words   string
	}{
		{"whole", large, func(*bench) {}, [2]int32{}, "", ""},
		{"a bit of the body", large, func(b *bench) { body(b.log.slot(large)) }, [2]int32{}, storage.FaultLog,
			"the prepare of op 9 is damaged; a start looks for another copy"},
		{"a bit of the header", large, func(b *bench) { header(b.log.slot(large)) }, [2]int32{}, storage.FaultLog, "op 9 is damaged"},
		{"another op, valid in itself", large, func(b *bench) { another(b, large) }, [2]int32{}, storage.FaultLog, "op 9 is damaged"},
		{"zeros", large, func(b *bench) { zeros(b.log.slot(large)) }, [2]int32{}, storage.FaultLog, "op 9 is damaged"},
		{"EIO", large, func(*bench) {}, [2]int32{eio}, storage.FaultDisk, "reading the prepare of op 9: result -5"},
		{"short", large, func(*bench) {}, [2]int32{512}, storage.FaultDisk, "reading the prepare of op 9: result 512"},

		{"small: whole", small, func(*bench) {}, [2]int32{}, "", ""},
		{"small: a bit of the body", small, func(b *bench) { body(b.log.slot(small)) }, [2]int32{}, "", ""},
		{"small: a bit of the header", small, func(b *bench) { header(b.log.slot(small)) }, [2]int32{}, "", ""},
		{"small: another op", small, func(b *bench) { another(b, small) }, [2]int32{}, "", ""},
		{"small: zeros", small, func(b *bench) { zeros(b.log.slot(small)) }, [2]int32{}, "", ""},
		{"small: EIO", small, func(*bench) {}, [2]int32{eio}, "", ""},
		{"small: short", small, func(*bench) {}, [2]int32{512}, "", ""},
		{"small: the twin is bad", small, func(b *bench) { zeros(b.log.twin(small)) }, [2]int32{}, "", ""},
		{"small: both are bad", small, func(b *bench) { body(b.log.slot(small)); zeros(b.log.twin(small)) }, [2]int32{}, storage.FaultLog,
			"op 7 is damaged"},
		{"small: EIO, and the twin is bad", small, func(b *bench) { body(b.log.twin(small)) }, [2]int32{eio}, storage.FaultDisk, "result -5"},
		{"small: bad, and the twin's EIO", small, func(b *bench) { body(b.log.slot(small)) }, [2]int32{none, eio}, storage.FaultLog,
			"op 7 is damaged"},
	}
	for _, c := range cases {
		b := newBench(t, 12)
		c.damage(b)
		before, slot, after := b.read(6), b.read(c.op), b.read(10)
		for _, result := range c.results {
			if len(b.queue) < 3 {
				break
			}
			at := 1 // the read of the twin is queued last
			if len(b.got) == 0 && b.queue[1].Buffer != nil && &b.queue[1].Buffer[0] != &b.slots.Bytes(slot)[0] {
				at = 2
			}
			if result == 0 {
				result = int32(len(b.queue[at].Buffer))
			}
			b.end(at, result)
		}
		b.endAll()
		if len(b.got) != 3 || b.fault() != nil || b.got[0].Slot != slot || b.got[1].Slot != before || b.got[2].Slot != after {
			t.Errorf("%s: %+v", c.name, b.got)
			continue
		}
		e := b.got[0]
		if e.Kind != stages.JournalReadDone || e.Op != c.op || e.Checksum != b.log.checksum(c.op) {
			t.Errorf("%s: %+v", c.name, e)
		}
		if c.want == "" {
			if want := b.log.prepares[c.op]; e.Read != stages.ReadOK || !bytes.Equal(b.slots.Bytes(slot)[:len(want)], want) {
				t.Errorf("%s: other bytes were read: %+v", c.name, e)
			}
		} else if e.Read != stages.ReadDamaged || e.Fault == nil || e.Fault.What != c.want || !strings.Contains(e.Fault.Reason, c.words) {
			t.Errorf("%s: %+v, fault %v, want %s: %s", c.name, e, e.Fault, c.want, c.words)
		}
		var sample Sample
		b.stage.Sample(&sample)
		wantTwin := uint64(0)
		if c.op == small && c.want == "" && c.name != "small: whole" && c.name != "small: the twin is bad" {
			wantTwin = 1
		}
		if sample.TwinReadsCount != wantTwin {
			t.Errorf("%s: %d reads of twins are counted, want %d", c.name, sample.TwinReadsCount, wantTwin)
		}
		b.appendOp(13)
		b.endAll()
		if len(b.got) != 4 || b.got[3].Kind != stages.JournalAppended {
			t.Errorf("%s: the stage does not go on: %+v", c.name, b.got[3:])
		}
	}
}

// Goal: a prepare that the log does not hold is "not here", never damaged: others may have it, and
// a replica must not count a slot as faulty that holds what it should.
func TestReadOfWhatIsNotHere(t *testing.T) {
	absent := func(b *bench, what string) {
		t.Helper()
		if count := len(b.got); count == 0 || b.got[count-1].Kind != stages.JournalReadDone || b.got[count-1].Read != stages.ReadAbsent ||
			b.got[count-1].Fault != nil {
			t.Errorf("%s: %+v", what, b.got)
		}
	}
	b := newBench(t, 12)
	b.readOf(9, b.log.checksum(8))
	absent(b, "another prepare of this op")
	b.readOf(9+32, b.log.checksum(9))
	absent(b, "an op of the next lap")
	b.readOf(13, wire.Checksum{})
	absent(b, "an op above the head")
	if len(b.queue) != 0 {
		t.Errorf("the disk reads all the same: %+v", b.queue)
	}

	// The slot is overwritten by the op of the next lap, before or while the old one is read.
	for _, op := range []uint64{7, 9} {
		b := newBench(t, 36)
		old := b.log.checksum(op)
		for next := uint64(37); next < op+32; next++ {
			b.appendOp(next)
			b.endAll()
		}
		b.got = nil
		b.readOf(op, old)
		b.appendOp(op + 32)
		clear(b.log.slot(op)[256:]) // half of the new op is on the medium
		b.end(0, int32(len(b.queue[0].Buffer)))
		absent(b, "an op that is overwritten while it is read")
		b.readOf(op, old)
		absent(b, "an op that is being overwritten")
		b.endAll()
		b.readOf(op, old)
		absent(b, "an op that was overwritten")
		if b.fault() != nil || len(b.got) != 4 {
			t.Errorf("op %d: %+v", op, b.got)
		}
		slot := b.read(op + 32)
		b.endAll()
		want := b.log.prepares[op+32]
		if e := b.got[len(b.got)-1]; e.Read != stages.ReadOK || !bytes.Equal(b.slots.Bytes(slot)[:len(want)], want) {
			t.Errorf("op %d: %+v", op+32, e)
		}
	}
}
