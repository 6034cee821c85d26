package journal

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// mishapRun is one run of the scenario below.
type mishapRun struct {
	log        *log
	disk       *portstest.MemoryDisk
	plan       portstest.Plan
	stage      *Stage
	appended   []uint64
	read       []uint64
	damaged    *storage.Fault // of the read that found neither copy
	fault      *storage.Fault
	superblock bool // it is said to be durable
	next       datafile.Superblock
	lent       int // slots that have not come back
}

// readOps are the ops that a run reads, in this order: of 9, which is large, the twin is a header.
var readOps = []uint64{6, 9, 7}

// runMishap reads three prepares, appends ops 13 to 24, small and large, and writes the superblock
// beside them. Consensus sends one append at a time. It ends when all is done, or with the fault.
func runMishap(t *testing.T, seed uint64, mishap portstest.Mishap) *mishapRun {
	b := newBench(t, 12)
	random := rand.New(rand.NewPCG(seed, 0))
	r := &mishapRun{log: b.log, plan: portstest.Plan{Mishap: mishap}, stage: b.stage}
	r.disk = portstest.NewMemoryDisk(t, random, b.log.bytes)
	in, out := ring.NewSPSC[stages.ConsensusToJournal](64), ring.NewSPSC[stages.JournalToConsensus](64)
	driver := NewDriver(b.stage, portstest.NewMishapDisk(r.disk, &r.plan), in, stages.Sender[stages.JournalToConsensus]{Ring: out})
	request := func(e stages.ConsensusToJournal) {
		if !in.PushOne(e) {
			t.Fatal("the ring is full")
		}
		r.lent++
	}
	const first, last = 13, 24
	op := uint64(first)
	isDone := func() bool {
		return len(r.read) == 3 && len(r.appended) == last-first+1 && r.superblock
	}
	for _, at := range readOps {
		request(stages.ConsensusToJournal{Kind: stages.JournalRead, Slot: b.slots.Get(stages.SlotPrepare), Op: at,
			Checksum: b.log.checksum(at)})
	}
	isAppending, isFaulty := false, 0
	for turns := 0; !isDone() && isFaulty < 200; turns++ {
		if turns > 100_000 {
			t.Fatalf("%v: it never ends: appended %v, read %v, superblock %v", mishap, r.appended, r.read, r.superblock)
		}
		if len(r.read) == 3 && !isAppending && op <= last && r.fault == nil {
			slot := b.slots.Get(stages.SlotPrepare)
			message, header := b.log.build(op, 0)
			b.log.parent = header.Checksum()
			copy(b.slots.Bytes(slot), message)
			request(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: op})
			if isAppending = true; op == first+2 {
				r.next = datafile.Superblock{Sequence: 2, Cluster: cluster, ReplicasCount: 1, SessionsMax: 4, Release: 1, View: 1, LogView: 1}
				request(stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: &r.next})
			}
			op++
		}
		driver.Turn(uint64(turns), 0)
		for e, ok := out.PopOne(); ok; e, ok = out.PopOne() {
			if r.fault != nil {
				t.Fatalf("%v: %+v is said after the fault %v", mishap, e, r.fault)
			}
			if r.lent--; e.Kind == stages.JournalFault {
				r.fault = e.Fault
				continue
			}
			switch e.Kind {
			case stages.JournalAppended:
				if e.Checksum != b.log.checksum(e.Op) {
					t.Fatalf("%v: the answer for op %d names another prepare", mishap, e.Op)
				}
				r.checkAppended(t, mishap, e.Op)
				r.appended, isAppending = append(r.appended, e.Op), false
				b.slots.Put(e.Slot)
			case stages.JournalReadDone:
				want := b.log.prepares[e.Op]
				if e.Read == stages.ReadDamaged {
					r.damaged = e.Fault
				} else if e.Read != stages.ReadOK || !bytes.Equal(b.slots.Bytes(e.Slot)[:len(want)], want) {
					t.Fatalf("%v: other bytes of op %d were read: %+v", mishap, e.Op, e)
				}
				r.read = append(r.read, e.Op)
				b.slots.Put(e.Slot)
			case stages.JournalSuperblockDone:
				r.superblock = true
				r.checkSuperblock(t, mishap, e.Checksum)
			}
		}
		if r.fault != nil {
			isFaulty++ // what was under way ends, and nothing more is said
		}
	}
	return r
}

// checkAppended: after a loss of power at this moment, both copies of op are there.
func (r *mishapRun) checkAppended(t *testing.T, mishap portstest.Mishap, op uint64) {
	t.Helper()
	slot := make([]byte, 4096)
	want := r.log.prepares[op]
	copy(slot, want)
	twin := twinOf(slot, &r.log.l)
	if !bytes.Equal(r.disk.Durable[r.log.layout.PrepareAt(op%32):][:len(want)], want) ||
		!bytes.Equal(r.disk.Durable[r.log.layout.TwinAt(op%32):][:len(twin)], twin) {
		t.Fatalf("%v: op %d is acknowledged and not durable", mishap, op)
	}
}

// checkSuperblock: after a loss of power at this moment, a start opens the new superblock.
func (r *mishapRun) checkSuperblock(t *testing.T, mishap portstest.Mishap, checksum wire.Checksum) {
	t.Helper()
	after := &log{t: t, l: r.log.l, layout: r.log.layout, bytes: bytes.Clone(r.disk.Durable)}
	opened, err := datafile.OpenSuperblock(after, &after.l, make([]byte, 4096))
	if err != nil || opened.Checksum != checksum || opened.Superblock != r.next {
		t.Fatalf("%v: the superblock is acknowledged, and a start opens %+v, %v", mishap, opened, err)
	}
}

// Goal: each operation of the journal may fail, before or after it is done, be short, or be late.
// What was acknowledged is durable in that moment, and a start finds it. A failure stops the stage
// with the right kind of fault, and it says nothing more. The exceptions are one read of the
// superblock's four copies, the read of a prepare, and delays: everything is done then. A small
// prepare is read from its twin. A large one is answered as damaged, with the right kind of fault.
func TestEveryMishap(t *testing.T) {
	seed := seeded.Rand(t).Uint64()
	calm := runMishap(t, seed, portstest.Mishap{})
	if calm.fault != nil || calm.lent != 0 {
		t.Fatalf("without a mishap: fault %v, %d requests without an answer", calm.fault, calm.lent)
	}
	runs := 0
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
		portstest.Mishaps(calm.plan.Counts, 64, func(portstest.Kind) unix.Errno { return errno }, func(m portstest.Mishap) {
			runs++
			r := runMishap(t, seed, m)
			if !r.plan.Happened {
				t.Errorf("%v: it did not happen", m)
				return
			}
			want, wantDamaged := storage.FaultDisk, ""
			switch {
			case m.How == portstest.Delay || m.Kind == portstest.KindRead && m.Nth > len(readOps):
				want = ""
			case m.How != portstest.Shorten && errno == unix.ENOSPC:
				want = storage.FaultNoSpace
			}
			if m.Kind == portstest.KindRead {
				if m.Nth <= len(readOps) && readOps[m.Nth-1] == 9 {
					wantDamaged = want
				}
				want = ""
			}
			if r.damaged != nil && r.damaged.What != wantDamaged || r.damaged == nil && wantDamaged != "" {
				t.Errorf("%v: a read finds %v, want %q", m, r.damaged, wantDamaged)
			}
			if got := ""; r.fault != nil && r.fault.What != want || r.fault == nil && want != got {
				t.Errorf("%v: fault %v, want %q", m, r.fault, want)
			}
			if want == "" && r.lent != 0 {
				t.Errorf("%v: %d requests have no answer", m, r.lent)
			}
			// The medium as a loss of power leaves it, and the file as a kill leaves it.
			for i, image := range [][]byte{r.disk.Durable, r.disk.Data} {
				after := *r.log
				after.bytes = bytes.Clone(image)
				last := uint64(12)
				if len(r.appended) > 0 {
					last = r.appended[len(r.appended)-1]
				}
				if recovered, err := after.recover(0); err != nil || recovered.OpHead < last {
					t.Errorf("%v: image %d: op %d is acknowledged, a start finds %+v, %v", m, i, last, recovered, err)
				}
			}
		})
	}
	if runs < 200 && !testing.Short() {
		t.Errorf("only %d runs", runs)
	}
}
