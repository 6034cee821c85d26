package journal

import (
	"bytes"
	"syscall"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// diskOperation is one operation that the stage has queued on the fake disk.
type diskOperation struct {
	DiskAction
	bytes []byte // of a write, when it was queued
}

// bench is a stage over a disk in memory whose operations end when, and as, the test says.
type bench struct {
	t      *testing.T
	log    *log // the file's bytes
	slots  *stages.Slots
	stage  *Stage
	out    Actions
	queue  []diskOperation
	got    []stages.JournalToConsensus
	parent wire.Checksum

	findings []storage.Finding // of the scrubber
	memory   *arena.Arena
}

func newBench(t *testing.T, head uint64) *bench {
	b := &bench{t: t, log: newLog(t, head), slots: &stages.Slots{}, out: NewActions()}
	memory := arena.New()
	b.memory = memory
	t.Cleanup(memory.Close)
	b.slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, 16, 4096, "prepare slots")
	checkpoint := uint64(0)
	if head > 31 {
		checkpoint = 19
	}
	recovered, err := b.log.recover(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	b.parent = recovered.HeadChecksum
	b.stage = New(b.log.l, cluster, b.slots, recovered.Headers, memory)
	return b
}

// append gives the stage the prepare of op.
func (b *bench) appendOp(op uint64) stages.Slot {
	slot := b.slots.Get(stages.SlotPrepare)
	p := b.slots.Bytes(slot)
	size := uint32(256 + 100*(op%20))
	portstest.Repeat(p, []byte{byte(op)}) // what lies behind the prepare too: the stage clears it
	h := prepare.Put(p, &prepare.Fields{Parent: b.parent, Cluster: cluster, Op: op, Timestamp: op, SizeBytes: size, RequestsCount: 1,
		Operation: wire.OperationNoop, Command: prepare.CommandPrepare}, prepare.Sum(p[256:size]))
	b.parent = h.Checksum()
	b.log.prepares[op] = bytes.Clone(p[:size])
	b.request(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: op})
	return slot
}

func (b *bench) request(e stages.ConsensusToJournal) {
	b.stage.onConsensus(&e, &b.out)
	b.take()
}

// take moves what the stage wants to the disk, and what it says to the list.
func (b *bench) take() {
	for _, a := range b.out.Disk {
		if a.Kind != diskSync && (a.OffsetBytes%512 != 0 || len(a.Buffer)%512 != 0 || len(a.Buffer) == 0) {
			b.t.Fatalf("operation at %d of %d bytes is not whole sectors", a.OffsetBytes, len(a.Buffer))
		}
		b.queue = append(b.queue, diskOperation{a, bytes.Clone(a.Buffer)})
	}
	b.got = append(b.got, b.out.Consensus...)
	b.findings = append(b.findings, b.out.Findings...)
	b.out.Reset()
}

// startable tells whether an operation may be under way: not behind a linked one that has not
// ended.
func (b *bench) startable(index int) bool {
	return index == 0 || b.queue[index-1].Flags&ports.WriteLinked == 0
}

// end completes an operation; with a result that is not the length, the next one of its chain is
// cancelled.
func (b *bench) end(index int, result int32) {
	b.t.Helper()
	o := b.queue[index]
	linked := o.Flags&ports.WriteLinked != 0
	b.queue = append(b.queue[:index], b.queue[index+1:]...)
	if o.Kind == diskWrite {
		if !bytes.Equal(o.bytes, o.Buffer) {
			b.t.Fatal("a buffer changed while it was being written")
		}
		if result > 0 {
			copy(b.log.bytes[o.OffsetBytes:], o.bytes[:result])
		}
	} else if o.Kind == diskRead && result > 0 {
		copy(o.Buffer[:result], b.log.bytes[o.OffsetBytes:])
	}
	b.stage.onDisk(&ports.DiskCompletion{Tag: o.Tag, Result: result}, &b.out)
	if linked && result != int32(len(o.Buffer)) {
		cancelled := b.queue[index]
		b.queue = append(b.queue[:index], b.queue[index+1:]...)
		b.stage.onDisk(&ports.DiskCompletion{Tag: cancelled.Tag, Result: -int32(syscall.ECANCELED)}, &b.out)
	}
	b.take()
}

func (b *bench) endAll() {
	for len(b.queue) > 0 {
		b.end(0, int32(len(b.queue[0].Buffer)))
	}
}

// fault returns what the stage stopped with; nothing may have been said after it.
func (b *bench) fault() *storage.Fault {
	b.t.Helper()
	for i, e := range b.got {
		if e.Kind == stages.JournalFault {
			if i != len(b.got)-1 {
				b.t.Fatal("the stage speaks after its fault")
			}
			return e.Fault
		}
	}
	return nil
}

// Goal: a large prepare is written, with zeros behind it, before its header begins; Appended comes
// after both.
func TestPrepareBeforeHeader(t *testing.T) {
	b := newBench(t, 8)
	b.appendOp(9)
	if len(b.queue) != 2 || b.queue[0].OffsetBytes != b.log.layout.PrepareAt(9) || b.queue[0].Flags != ports.WriteLinked|ports.WriteDurable ||
		b.queue[1].OffsetBytes != b.log.layout.TwinAt(9) || b.queue[1].Flags != ports.WriteDurable || len(b.queue[1].bytes) != 512 {
		t.Fatalf("queued %+v", b.queue)
	}
	want := b.log.prepares[9]
	if !bytes.Equal(b.queue[0].bytes[:len(want)], want) || !allZero(b.queue[0].bytes[len(want):]) {
		t.Fatal("what is written is not the prepare and zeros")
	}
	if !bytes.Equal(b.queue[1].bytes[:256], want[:256]) || !allZero(b.queue[1].bytes[256:]) {
		t.Fatal("what is written behind it is not its header and zeros")
	}
	b.end(0, int32(len(b.queue[0].Buffer)))
	if len(b.got) != 0 {
		t.Fatal("acknowledged before the header is written")
	}
	b.end(0, 512)
	if len(b.got) != 1 || b.got[0].Kind != stages.JournalAppended || b.got[0].Op != 9 {
		t.Fatalf("said %+v", b.got)
	}
	if r, err := b.log.recover(0); err != nil || r.OpHead != 9 || r.TwinsFixed+r.PreparesFixed != 0 {
		t.Fatalf("recovered %+v, %v", r, err)
	}
}

// Goal: a small prepare and its twin are written side by side, in any order, then synced; Appended
// comes after the sync.
func TestTwinsSideBySide(t *testing.T) {
	for first := range 2 {
		b := newBench(t, 2)
		b.appendOp(3)
		if len(b.queue) != 2 || b.queue[0].OffsetBytes != b.log.layout.PrepareAt(3) || b.queue[1].OffsetBytes != b.log.layout.TwinAt(3) ||
			b.queue[0].Flags|b.queue[1].Flags != 0 {
			t.Fatalf("queued %+v", b.queue)
		}
		want := b.log.prepares[3]
		for _, o := range b.queue {
			if len(o.bytes) != 1024 || !bytes.Equal(o.bytes[:len(want)], want) || !allZero(o.bytes[len(want):]) {
				t.Fatal("what is written is not the prepare and zeros")
			}
		}
		b.end(first, 1024)
		if len(b.queue) != 1 || len(b.got) != 0 {
			t.Fatalf("after one of two writes: queued %+v, said %+v", b.queue, b.got)
		}
		b.end(0, 1024)
		if len(b.queue) != 1 || b.queue[0].Kind != diskSync || len(b.got) != 0 {
			t.Fatalf("after both writes: queued %+v, said %+v", b.queue, b.got)
		}
		b.end(0, 0)
		if len(b.got) != 1 || b.got[0].Kind != stages.JournalAppended || b.got[0].Op != 3 || len(b.queue) != 0 {
			t.Fatalf("said %+v", b.got)
		}
		if r, err := b.log.recover(0); err != nil || r.OpHead != 3 || r.TwinsFixed+r.PreparesFixed != 0 {
			t.Fatalf("recovered %+v, %v", r, err)
		}
	}
}

// Goal: an acknowledged append is on disk twice, or once with its header, and was so when the sync
// that proves it began. This holds for any number of appends under way and any order in which their
// writes end. One sync is under way at a time.
func TestManyAppendsInFlight(t *testing.T) {
	random := seeded.Rand(t)
	for range 100 {
		b := newBench(t, uint64(random.IntN(8)))
		op := b.log.head
		inFlight := map[uint64]stages.Slot{}
		durable := bytes.Clone(b.log.bytes) // as of the last sync that has ended
		var syncing []byte                  // as of the begin of the one under way
		for op < 27 || len(inFlight) > 0 {
			if op < 27 && len(inFlight) < stages.BudgetJournalAppends && random.IntN(2) == 0 {
				op++
				inFlight[op] = b.appendOp(op)
			}
			syncs := 0
			for _, o := range b.queue {
				if o.Kind == diskSync {
					syncs++
				}
			}
			if syncs > 1 {
				t.Fatal("two syncs are under way")
			}
			if syncs == 1 && syncing == nil {
				syncing = bytes.Clone(b.log.bytes)
			}
			if len(b.queue) > 0 {
				if index := random.IntN(len(b.queue)); b.startable(index) {
					o := b.queue[index]
					switch {
					case o.Kind == diskSync:
						durable, syncing = syncing, nil
					case o.Flags&ports.WriteDurable != 0:
						copy(durable[o.OffsetBytes:], o.bytes)
						if syncing != nil {
							copy(syncing[o.OffsetBytes:], o.bytes)
						}
					}
					b.end(index, int32(len(o.Buffer)))
				}
			}
			for _, e := range b.got {
				if e.Kind != stages.JournalAppended || inFlight[e.Op] != e.Slot {
					t.Fatalf("said %+v", e)
				}
				delete(inFlight, e.Op)
				b.slots.Put(e.Slot)
				slot := make([]byte, 4096)
				copy(slot, b.log.prepares[e.Op])
				if !bytes.Equal(durable[b.log.layout.PrepareAt(e.Op):][:len(b.log.prepares[e.Op])], b.log.prepares[e.Op]) {
					t.Fatalf("op %d is acknowledged and not on disk", e.Op)
				}
				if twin := twinOf(slot, &b.log.l); !bytes.Equal(durable[b.log.layout.TwinAt(e.Op):][:len(twin)], twin) {
					t.Fatalf("op %d is acknowledged and its twin not on disk", e.Op)
				}
			}
			b.got = b.got[:0]
		}
		if r, err := b.log.recover(0); err != nil || r.OpHead != 27 || r.TwinsFixed+r.PreparesFixed != 0 {
			t.Fatalf("recovered %+v, %v", r, err)
		}
	}
}

// Goal: a write that fails or is short is a fault of the right kind; nothing is acknowledged, then
// or later.
func TestFailingWrites(t *testing.T) {
	cases := []struct {
		name   string
		op     uint64
		ended  []int // operations that end well before
		index  int   // of the one that does not
		result int32
		want   string
	}{
		{"large prepare: EIO", 9, nil, 0, -int32(syscall.EIO), storage.FaultDisk},
		{"large prepare: ENOSPC", 9, nil, 0, -int32(syscall.ENOSPC), storage.FaultNoSpace},
		{"large prepare: short", 9, nil, 0, 512, storage.FaultDisk},
		{"large prepare: nothing", 9, nil, 0, 0, storage.FaultDisk},
		{"header: EIO", 9, []int{0}, 0, -int32(syscall.EIO), storage.FaultDisk},
		{"header: ENOSPC", 9, []int{0}, 0, -int32(syscall.ENOSPC), storage.FaultNoSpace},
		{"header: nothing", 9, []int{0}, 0, 0, storage.FaultDisk},
		{"small prepare: EIO", 7, nil, 0, -int32(syscall.EIO), storage.FaultDisk},
		{"small prepare: short", 7, nil, 0, 512, storage.FaultDisk},
		{"small prepare, behind its twin: EIO", 7, []int{1}, 0, -int32(syscall.EIO), storage.FaultDisk},
		{"twin: EIO", 7, nil, 1, -int32(syscall.EIO), storage.FaultDisk},
		{"twin: ENOSPC", 7, nil, 1, -int32(syscall.ENOSPC), storage.FaultNoSpace},
		{"twin, behind its prepare: nothing", 7, []int{0}, 0, 0, storage.FaultDisk},
		{"sync: EIO", 7, []int{0, 0}, 0, -int32(syscall.EIO), storage.FaultDisk},
		{"sync: ENOSPC", 7, []int{0, 0}, 0, -int32(syscall.ENOSPC), storage.FaultNoSpace},
	}
	for _, c := range cases {
		b := newBench(t, c.op-1)
		b.appendOp(c.op)
		for _, index := range c.ended {
			b.end(index, int32(len(b.queue[index].Buffer)))
		}
		b.end(c.index, c.result)
		fault := b.fault()
		if fault == nil || fault.What != c.want {
			t.Errorf("%s: %+v, want %s", c.name, fault, c.want)
		}
		b.read(5)
		b.endAll()
		if len(b.got) != 1 || b.fault() == nil {
			t.Errorf("%s: after the fault the stage says %+v", c.name, b.got)
		}
	}
}

// Goal: the superblock's copies are written one after another, read back, and done only if three
// are right; appends go on beside it.
func TestSuperblock(t *testing.T) {
	const copies = 4
	cases := []struct {
		name string
		lose uint // bit i: the write of copy i is acknowledged and lost
		want bool
	}{
		{"all right", 0, true}, {"one lost", 4, true}, {"two lost", 5, false}, {"all lost", 15, false},
	}
	for _, c := range cases {
		b := newBench(t, 3)
		next := &datafile.Superblock{Sequence: 2, Cluster: cluster, ReplicasCount: 1, SessionsMax: 4, Release: 1, View: 1, LogView: 1}
		b.request(stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: next})
		b.appendOp(4)
		for i := range uint32(2 * copies) {
			at := -1
			for j, o := range b.queue {
				if o.Kind != diskSync && o.OffsetBytes < b.log.layout.TwinsAt {
					if at >= 0 {
						t.Fatalf("%s: two operations on the superblock at once", c.name)
					}
					at = j
				}
			}
			if at < 0 || b.queue[at].OffsetBytes != b.log.layout.SuperblockCopyAt(i%copies) || (b.queue[at].Kind == diskWrite) != (i < copies) {
				t.Fatalf("%s: step %d is not that of copy %d", c.name, i, i%copies)
			}
			before := bytes.Clone(b.log.bytes[:b.log.layout.TwinsAt])
			b.end(at, int32(len(b.queue[at].Buffer)))
			if i < copies && c.lose&(1<<i) != 0 {
				copy(b.log.bytes, before)
			}
		}
		b.endAll()
		done := 0
		for _, e := range b.got {
			if e.Kind == stages.JournalSuperblockDone {
				done++
				if e.Op != 2 {
					t.Errorf("%s: sequence %d", c.name, e.Op)
				}
				opened, err := datafile.OpenSuperblock(b.log, &b.log.l, make([]byte, 4096))
				if err != nil || opened.Checksum != e.Checksum || opened.Superblock != *next {
					t.Errorf("%s: opened %+v, %v", c.name, opened, err)
				}
			}
		}
		if (done == 1) != c.want || (b.fault() == nil) != c.want {
			t.Errorf("%s: done %d times, fault %v", c.name, done, b.fault())
		}
	}
	// A write that fails outright.
	b := newBench(t, 3)
	b.request(stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: &datafile.Superblock{Sequence: 2}})
	b.end(0, -int32(syscall.EIO))
	if b.fault() == nil || len(b.queue) != 0 {
		t.Error("a superblock write failed, and the stage goes on")
	}
}

// Goal: appending allocates nothing, whether small or large.
func TestAppendAllocatesNothing(t *testing.T) {
	for _, size := range []uint32{300, 2000} {
		b := newBench(t, 0)
		slot := b.slots.Get(stages.SlotPrepare)
		p := b.slots.Bytes(slot)
		op := uint64(0)
		allocs := testing.AllocsPerRun(100, func() {
			op++
			prepare.Put(p, &prepare.Fields{Cluster: cluster, Op: op, SizeBytes: size, RequestsCount: 1, Command: prepare.CommandPrepare},
				prepare.Sum(p[256:size]))
			b.out.Reset()
			b.stage.onConsensus(&stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: op}, &b.out)
			for at := 0; at < len(b.out.Disk); at++ {
				o := b.out.Disk[at]
				b.stage.onDisk(&ports.DiskCompletion{Tag: o.Tag, Result: int32(len(o.Buffer))}, &b.out)
			}
			if len(b.out.Consensus) != 1 {
				t.Fatal("not appended")
			}
		})
		if allocs != 0 {
			t.Fatalf("an append of %d bytes allocates %.1f times, want 0", size, allocs)
		}
	}
}
