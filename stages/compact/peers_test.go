package compact

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
)

func severalLimits() limits.Limits {
	l := testLimits()
	l.ReplicasCount = 3
	return l
}

// makeBlock builds a block of random pages.
func makeBlock(rng *rand.Rand, l limits.Limits, address uint64) (storage.Ref, []byte) {
	g := block.GeometryOf(l)
	used := 2 + rng.Uint32N(g.PagesMax-1)
	data := make([]byte, used*g.PageBytes)
	header := block.Begin(&g, data)
	for page := uint32(1); page < used; page++ {
		for i := page * g.PageBytes; i < (page+1)*g.PageBytes; i++ {
			data[i] = byte(rng.Uint32())
		}
		header.PageSet(page, &storage.Key{}, 0)
	}
	ref := block.Seal(&g, data, &block.Fields{Cluster: cluster, Address: address, Kind: block.KindTable, PagesUsed: used})
	return ref, data
}

// lend puts the pages of a block into a slot.
func (b *bench) lend(data []byte) stages.Slot {
	slot := b.slots.Get(stages.SlotPeer)
	copy(b.slots.Bytes(slot)[stages.BlockOffsetBytes:], data)
	return slot
}

func (b *bench) repair(ref storage.Ref, data []byte) {
	b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactBlockRepair, Slot: b.lend(data), Ref: ref, Bytes: uint32(len(data))})
}

// cut returns what a power cut may leave of the file: what a sync covers, and of the other writes,
// ended or not, any pages. No write lies behind endAt.
func (d *fakeDisk) cut(rng *rand.Rand, pageBytes int, endAt uint64) []byte {
	image := bytes.Clone(d.durable[:endAt])
	apply := func(w *fakeOperation, data []byte) {
		for at := 0; at < len(w.buffer); at += pageBytes {
			if rng.IntN(2) == 0 {
				copy(image[int(w.offset)+at:], data[at:at+pageBytes])
			}
		}
	}
	for i := range d.completed { // their buffers have been used again
		apply(&d.completed[i], d.data[d.completed[i].offset:])
	}
	for i := range d.queue {
		if w := &d.queue[i]; w.kind == ActionWrite {
			apply(w, w.buffer)
		}
	}
	return image
}

// Goal: whenever the power is cut, a repaired block whose header page survives has all of its other
// pages. Repairs come while others are written or synced.
func TestRepairsSurvivePowerCuts(t *testing.T) {
	l := severalLimits()
	g := block.GeometryOf(l)
	repairs, syncs := 0, 0
	for seed := range uint64(20) {
		b := newBenchOf(seed, l)
		rng := rand.New(rand.NewPCG(seed, 1))
		var refs []storage.Ref
		var blocks [][]byte
		under, ended := 0, 0
		for turns := 0; ended < 24; turns++ {
			if turns > 100_000 {
				t.Fatalf("seed %d: %d repairs have ended", seed, ended)
			}
			if under < stages.BlocksRepairedMax && len(refs) < 24 && rng.IntN(6) == 0 {
				ref, data := makeBlock(rng, l, uint64(len(refs)*3+1))
				refs, blocks = append(refs, ref), append(blocks, data)
				b.repair(ref, data)
				under++
			}
			b.driver.Turn(0, 0)
			for result, ok := b.results.PopOne(); ok; result, ok = b.results.PopOne() {
				if result.Kind != stages.CompactBlockRepaired || result.Repair != stages.RepairWritten || result.Fault != nil {
					t.Fatalf("seed %d: %+v", seed, result)
				}
				b.slots.Put(result.Slot)
				under--
				ended++
			}
			image := b.disk.cut(rng, int(g.PageBytes), gridAt+g.Offset(24*3+2, 0))
			for i, ref := range refs {
				at := gridAt + g.Offset(ref.Address, 0)
				if !bytes.Equal(image[at:][:g.PageBytes], blocks[i][:g.PageBytes]) {
					continue
				}
				for page := 1; page < len(blocks[i])/int(g.PageBytes); page++ {
					from := page * int(g.PageBytes)
					if !bytes.Equal(image[int(at)+from:][:g.PageBytes], blocks[i][from:][:g.PageBytes]) {
						t.Fatalf("seed %d: a power cut: the header page of block %d survives without page %d", seed, ref.Address, page)
					}
				}
			}
		}
		for i, ref := range refs {
			if at := gridAt + g.Offset(ref.Address, 0); !bytes.Equal(b.disk.data[at:][:len(blocks[i])], blocks[i]) {
				t.Fatalf("seed %d: block %d is not as it was sent", seed, ref.Address)
			}
		}
		repairs, syncs = repairs+ended, syncs+b.disk.syncs
		b.close()
	}
	if syncs == 0 || syncs >= repairs {
		t.Errorf("%d syncs for %d repairs, want some in common", syncs, repairs)
	}
}

// Goal: what is not the block is not written, and its slot comes back at once.
func TestRepairsOfWrongBlocks(t *testing.T) {
	l := severalLimits()
	rng := seeded.Rand(t)
	page := int(l.PageBytes)
	for name, change := range map[string]func(ref *storage.Ref, data []byte) []byte{
		"header damaged":  func(_ *storage.Ref, data []byte) []byte { data[60] ^= 1; return data },
		"page damaged":    func(_ *storage.Ref, data []byte) []byte { data[len(data)-1] ^= 1; return data },
		"a page missing":  func(_ *storage.Ref, data []byte) []byte { return data[:len(data)-page] },
		"a page too many": func(_ *storage.Ref, data []byte) []byte { return append(data, make([]byte, page)...) },
		"half a page":     func(_ *storage.Ref, data []byte) []byte { return data[:len(data)-page/2] },
		"nothing":         func(_ *storage.Ref, data []byte) []byte { return nil },
		"too long":        func(_ *storage.Ref, data []byte) []byte { return make([]byte, 2*l.BlockBytes) },
		"other address":   func(ref *storage.Ref, data []byte) []byte { ref.Address++; return data },
		"other checksum":  func(ref *storage.Ref, data []byte) []byte { ref.Checksum[3] ^= 1; return data },
	} {
		b := newBenchOf(1, l)
		ref, data := makeBlock(rng, l, 5)
		data = change(&ref, data)
		b.repair(ref, data)
		if result := b.result(t); result.Repair != stages.RepairWrong || result.Ref != ref || len(b.disk.completed) > 0 {
			t.Errorf("%s: %+v and %d writes, want RepairWrong and none", name, result, len(b.disk.completed))
		}
		b.close()
	}
}

// Goal: a disk that does not take a repair is a fault, and the slot comes back with it. After a
// failed sync no header page is written.
func TestRepairsOnAFailingDisk(t *testing.T) {
	l := severalLimits()
	for name, c := range map[string]struct {
		fail func(d *fakeDisk)
		want string
	}{
		"write":    {func(d *fakeDisk) { d.writeResult = func(uint64, []byte) (int, int32) { return 0, -5 } }, storage.FaultDisk},
		"no space": {func(d *fakeDisk) { d.diskBytes = gridAt }, storage.FaultNoSpace},
		"sync":     {func(d *fakeDisk) { d.syncResult = -5 }, storage.FaultDisk},
	} {
		b := newBenchOf(2, l)
		c.fail(b.disk)
		ref, data := makeBlock(rand.New(rand.NewPCG(1, 1)), l, 7)
		b.repair(ref, data)
		result := b.result(t)
		if result.Kind != stages.CompactBlockRepaired || result.Fault == nil || result.Fault.What != c.want || result.Ref != ref {
			t.Errorf("%s: %+v, want a fault of %q", name, result, c.want)
		}
		if at := gridAt + b.stage.geometry.Offset(7, 0); !bytes.Equal(b.disk.data[at:][:l.PageBytes], make([]byte, l.PageBytes)) {
			t.Errorf("%s: the header page was written", name)
		}
		b.close()
	}
}

// Goal: a block that is sound on the disk is served as it is, and one that is damaged, short or
// absent never, whatever else goes on.
func TestServesBlocks(t *testing.T) {
	l := severalLimits()
	g := block.GeometryOf(l)
	rng := seeded.Rand(t)
	b := newBenchOf(3, l)
	defer b.close()
	blocks := map[storage.Ref][]byte{}
	b.disk.unreadable = map[uint64]bool{}
	want := map[storage.Ref]stages.JournalReadResult{}
	var refs []storage.Ref
	for address := uint64(1); address <= 40; address++ {
		ref, data := makeBlock(rng, l, address)
		at := gridAt + g.Offset(address, 0)
		copy(b.disk.data[at:], data)
		refs = append(refs, ref)
		blocks[ref] = data
		pages := uint64(len(data)) / uint64(l.PageBytes)
		switch want[ref] = stages.ReadOK; rng.IntN(6) {
		case 2:
			b.disk.unreadable[at+rng.Uint64N(pages)*uint64(l.PageBytes)] = true
			want[ref] = stages.ReadDamaged
		case 3: // nobody writes an unused page again
			if pages < uint64(g.PagesMax) {
				b.disk.unreadable[at+(pages+rng.Uint64N(uint64(g.PagesMax)-pages))*uint64(l.PageBytes)] = true
			}
		case 0:
			b.disk.data[at+40+uint64(rng.IntN(len(data)-40))] ^= 1
			want[ref] = stages.ReadDamaged
		case 1:
			other, data := makeBlock(rng, l, address)
			copy(b.disk.data[at:], data)
			want[ref] = stages.ReadAbsent
			_ = other
		}
	}
	last, data := makeBlock(rng, l, 41) // the file ends behind its used pages
	end := gridAt + g.Offset(41, 0) + uint64(len(data))
	b.disk.data = b.disk.data[:end]
	copy(b.disk.data[end-uint64(len(data)):], data)
	behind, _ := makeBlock(rng, l, 60)
	refs = append(refs, last, behind)
	blocks[last], want[last], want[behind] = data, stages.ReadOK, stages.ReadDamaged
	under, answers := 0, 0
	for answers < 400 {
		if under < stages.BlocksServedMax && rng.IntN(3) == 0 {
			slot := b.slots.Get(stages.SlotRepair)
			b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactBlockServe, Slot: slot, Ref: refs[rng.IntN(len(refs))]})
			under++
		}
		b.driver.Turn(0, 0)
		for result, ok := b.results.PopOne(); ok; result, ok = b.results.PopOne() {
			under--
			answers++
			if result.Read != want[result.Ref] {
				if result.Read == stages.ReadOK {
					t.Fatalf("block %d is served, and it is damaged or absent", result.Ref.Address)
				}
				t.Fatalf("block %d: %d, want %d", result.Ref.Address, result.Read, want[result.Ref])
			}
			if got := b.slots.Bytes(result.Slot)[stages.BlockOffsetBytes:][:result.Bytes]; result.Read == stages.ReadOK &&
				!bytes.Equal(got, blocks[result.Ref]) {
				t.Fatalf("block %d is served with other bytes", result.Ref.Address)
			}
			b.slots.Put(result.Slot)
		}
	}
}

// flushesAndMerge runs flushes of ids, and returns the merge of all of them.
func flushesAndMerge(t *testing.T, b *bench, seed uint64) (flushes, merge *storage.Generation) {
	rng := rand.New(rand.NewPCG(seed, 1))
	flushes = &storage.Generation{}
	job := jobOf(storage.JobMerge, storage.TreeTransferID, 2000, 200)
	for i := range storage.MergeRuns(ptr(testLimits()), storage.TreeTransferID) {
		flush := jobOf(storage.JobFlushTree, storage.TreeTransferID, uint64(1+100*i), 100)
		flush.Source = newSource(rng, storage.TreeTransferID, 200+rng.IntN(300))
		flushes.Jobs = append(flushes.Jobs, flush)
	}
	for i := range flushes.Jobs {
		b.run(t, &storage.Generation{Jobs: flushes.Jobs[i : i+1]})
		job.Runs = append(job.Runs, flushes.Jobs[i].Tables)
	}
	job.EntriesMax = 1 << 30
	return flushes, &storage.Generation{Jobs: []storage.Job{job}}
}

// Goal: a merge that meets damaged blocks waits for each of them, reads what the same worker has
// repaired meanwhile, and writes what it would have written without damage. If apply gives the job
// up instead, the job comes back with a fault, and the next one after a reset is right.
func TestMergeWaitsForRepair(t *testing.T) {
	l := severalLimits()
	for seed := range uint64(12) {
		straight := newBenchOf(seed, l)
		_, merge := flushesAndMerge(t, straight, seed)
		straight.run(t, merge)
		b := newBenchOf(seed, l)
		flushes, merge := flushesAndMerge(t, b, seed)
		whole := bytes.Clone(b.disk.data)
		g := &b.stage.geometry
		rng := rand.New(rand.NewPCG(seed, 2))
		damaged := 0
		for i := range flushes.Jobs {
			for _, table := range flushes.Jobs[i].Tables {
				if rng.IntN(3) == 0 {
					at := gridAt + g.Offset(table.Address, uint32(rng.IntN(2)))
					b.disk.data[at+uint64(rng.Uint32N(g.PageBytes))] ^= 2
					damaged++
				}
			}
		}
		b.give(merge)
		repaired, gaveUp := 0, false
		for turns := 0; ; turns++ {
			result := b.result(t)
			if result.Kind == stages.CompactJobDone {
				if !gaveUp {
					break
				}
				if result.Job.Fault == nil {
					t.Fatalf("seed %d: a job that was given up has no fault", seed)
				}
				gaveUp = false
				b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactReset})
				b.give(merge)
				continue
			}
			switch result.Kind {
			case stages.CompactBlockWanted:
				if gaveUp {
					t.Fatalf("seed %d: a block is wanted for a job that was given up", seed)
				}
				if rng.IntN(8) == 0 {
					b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactGiveUp})
					gaveUp = true
					continue
				}
				b.repair(result.Ref, whole[gridAt+g.Offset(result.Ref.Address, 0):][:usedBytes(g, whole, result.Ref)])
			case stages.CompactBlockRepaired:
				b.slots.Put(result.Slot)
				repaired++
				b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactBlockAgain, Ref: result.Ref})
			}
		}
		if merge.Jobs[0].Fault != nil {
			t.Fatalf("seed %d: %v", seed, merge.Jobs[0].Fault)
		}
		if repaired == 0 {
			t.Errorf("seed %d: %d blocks are damaged, and none was repaired", seed, damaged)
		}
		for _, table := range merge.Jobs[0].Tables {
			at := gridAt + g.Offset(table.Address, 0)
			if size := uint64(table.PagesUsed) * uint64(g.PageBytes); !bytes.Equal(b.disk.data[at:at+size], straight.disk.data[at:at+size]) {
				t.Fatalf("seed %d: block %d differs", seed, table.Address)
			}
		}
		b.close()
		straight.close()
	}
}

func usedBytes(g *block.Geometry, file []byte, ref storage.Ref) uint32 {
	return block.HeaderPage(file[gridAt+g.Offset(ref.Address, 0):]).PagesUsed() * g.PageBytes
}

// Goal: nothing allocates where blocks are served and repaired.
func TestPeersAllocateNothing(t *testing.T) {
	l := severalLimits()
	b := newBenchOf(4, l)
	defer b.close()
	b.disk.queue = make([]fakeOperation, 0, 64)
	b.disk.completed = make([]fakeOperation, 0, 1<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	ref, data := makeBlock(rng, l, 9)
	absent, _ := makeBlock(rng, l, 10)
	wrong := bytes.Clone(data)
	wrong[len(wrong)-1] ^= 1
	if allocs := testing.AllocsPerRun(50, func() {
		b.repair(ref, data)
		b.slots.Put(b.result(t).Slot)
		b.repair(ref, wrong)
		b.slots.Put(b.result(t).Slot)
		for _, ref := range [...]storage.Ref{ref, absent} {
			b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactBlockServe, Slot: b.slots.Get(stages.SlotRepair), Ref: ref})
			b.slots.Put(b.result(t).Slot)
		}
	}); allocs != 0 {
		t.Fatalf("it allocates %.1f times, want 0", allocs)
	}
}
