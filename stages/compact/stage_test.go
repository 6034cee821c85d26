package compact

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/storage/table"
	"ledger/wire"
)

const gridAt = 8192

var cluster = wire.U128{Lo: 11}

func testLimits() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.MessageBytesMax, l.MemtableRowsSeal = 1<<16, 4096
	return l
}

// fakeDisk is a file whose writes stay volatile until a sync, with operations that end in any order
// and can fail.
type fakeDisk struct {
	data, durable []byte // as reads see it; as power loss leaves it
	reserved      uint64 // disk space exists up to here
	rng           *rand.Rand
	queue         []fakeOperation
	completed     []fakeOperation // writes since the last sync
	diskBytes     uint64          // space of the whole disk, 0: endless
	device        bool            // a block device, on which nothing can be reserved: Linux looks at the end of the range first
	writeResult   func(offset uint64, buffer []byte) (written int, result int32)
	syncResult    int32
	unreadable    map[uint64]bool // offsets of sectors
	writesFlying  int
	writesPeak    int
	syncs         int
	allocations   int
}

type fakeOperation struct {
	kind   ActionKind
	tag    uint64
	offset uint64
	buffer []byte
	length uint64
	covers int // a sync: writes completed when it was queued
}

func (d *fakeDisk) Read(tag, offset uint64, buffer []byte) {
	d.queue = append(d.queue, fakeOperation{kind: ActionRead, tag: tag, offset: offset, buffer: buffer})
}
func (d *fakeDisk) Write(tag, offset uint64, buffer []byte, _ ports.WriteFlags) {
	if offset+uint64(len(buffer)) > d.reserved {
		panic("a write behind the reserved space")
	}
	d.writesFlying++
	d.writesPeak = max(d.writesPeak, d.writesFlying)
	d.queue = append(d.queue, fakeOperation{kind: ActionWrite, tag: tag, offset: offset, buffer: buffer})
}
func (d *fakeDisk) Sync(tag uint64) {
	d.queue = append(d.queue, fakeOperation{kind: ActionSync, tag: tag, covers: len(d.completed)})
}
func (d *fakeDisk) Allocate(tag, offset, length uint64) {
	d.queue = append(d.queue, fakeOperation{kind: ActionAllocate, tag: tag, offset: offset, length: length})
}

func (d *fakeDisk) Poll(out []ports.DiskCompletion) (count int) {
	for count < len(out) && len(d.queue) > 0 && d.rng.IntN(3) > 0 {
		i := d.rng.IntN(len(d.queue))
		o := d.queue[i]
		d.queue = slices.Delete(d.queue, i, i+1)
		out[count] = ports.DiskCompletion{Tag: o.tag, Result: d.perform(&o)}
		count++
	}
	return count
}

func (d *fakeDisk) perform(o *fakeOperation) int32 {
	switch o.kind {
	case ActionRead:
		clear(o.buffer)
		for at := range d.unreadable {
			if at >= o.offset && at < o.offset+uint64(len(o.buffer)) {
				return -5 // EIO
			}
		}
		if o.offset < uint64(len(d.data)) {
			return int32(copy(o.buffer, d.data[o.offset:]))
		}
		return 0
	case ActionWrite:
		d.writesFlying--
		written, result := len(o.buffer), int32(len(o.buffer))
		if d.writeResult != nil {
			written, result = d.writeResult(o.offset, o.buffer)
		}
		copy(d.data[o.offset:], o.buffer[:written])
		d.completed = append(d.completed, *o)
		return result
	case ActionSync:
		d.syncs++
		if d.syncResult == 0 {
			for _, w := range d.completed[:o.covers] {
				copy(d.durable[w.offset:], d.data[w.offset:w.offset+uint64(len(w.buffer))])
			}
		}
		return d.syncResult
	case ActionAllocate:
		d.allocations++
		if d.device && o.offset+o.length <= d.diskBytes {
			d.reserved = max(d.reserved, o.offset+o.length)
			return -95 // EOPNOTSUPP
		}
		if d.device {
			return -22 // EINVAL
		}
		if d.diskBytes > 0 && o.offset+o.length > d.diskBytes {
			return -28 // ENOSPC
		}
		d.reserved = max(d.reserved, o.offset+o.length)
		return 0
	}
	panic("kind")
}

// source is a sealed memtable: ids in any order, postings, rows.
type source struct {
	keys []storage.Key
	rows []accounting.TransferRow
}

func newSource(rng *rand.Rand, tree storage.TreeID, count int) *source {
	s := &source{}
	for i := range count {
		var key storage.Key
		for j := range int(storage.Trees[tree].KeyBytes) {
			key[j] = byte(rng.Uint32())
		}
		s.keys = append(s.keys, key)
		row := accounting.TransferRow{DebitOrdinal: accounting.AccountOrdinal(i)}
		row.Transfer.ID, row.Transfer.Timestamp = wire.U128{Lo: rng.Uint64(), Hi: 1}, uint64(i)+1
		s.rows = append(s.rows, row)
	}
	return s
}

func (s *source) Columns(storage.TreeID, *storage.Columns) bool        { return false }
func (s *source) Changes(*storage.Changes)                             {}
func (s *source) EntriesCount(storage.TreeID) uint32                   { return uint32(len(s.keys)) }
func (s *source) Entry(_ storage.TreeID, i uint32) (storage.Key, bool) { return s.keys[i], false }
func (s *source) Value(_ storage.TreeID, i uint32, value []byte)       { copy(value, s.keys[i][:]) }
func (s *source) RowsFirst() accounting.TransferOrdinal                { return 100 }
func (s *source) RowsCount() uint32                                    { return uint32(len(s.rows)) }
func (s *source) Row(i uint32) *accounting.TransferRow                 { return &s.rows[i] }

func jobOf(kind storage.JobKind, tree storage.TreeID, from uint64, n int) storage.Job {
	job := storage.Job{Kind: kind, Tree: tree, Tables: make([]storage.Table, 0, n)}
	for i := range n {
		job.Addresses = append(job.Addresses, from+uint64(i))
	}
	return job
}

// bench is a stage with its driver, rings and disk.
type bench struct {
	disk     *fakeDisk
	stage    *Stage
	driver   *Driver
	requests *ring.SPSC[stages.ApplyToCompact]
	results  *ring.SPSC[stages.CompactToApply]
	memory   *arena.Arena
	slots    *stages.Slots // of a cluster of several
}

func newBench(seed uint64) *bench { return newBenchOf(seed, testLimits()) }

func newBenchOf(seed uint64, l limits.Limits) *bench {
	b := &bench{memory: arena.New(), requests: ring.NewSPSC[stages.ApplyToCompact](8), results: ring.NewSPSC[stages.CompactToApply](8)}
	const fileBytes = gridAt + 4096*4096
	b.disk = &fakeDisk{data: make([]byte, fileBytes), durable: make([]byte, fileBytes), rng: rand.New(rand.NewPCG(seed, 0)), reserved: gridAt}
	if l.ReplicasCount > 1 {
		b.slots = &stages.Slots{}
		for class := range b.slots.Pools {
			b.slots.Pools[class] = arena.NewPool(b.memory, 8, l.RepairSlotBytes(), "slots")
		}
	}
	b.stage = New(l, cluster, gridAt, b.slots, b.memory)
	b.driver = NewDriver(b.stage, b.disk, b.requests, stages.Sender[stages.CompactToApply]{Ring: b.results})
	return b
}

func (b *bench) close() {
	b.stage.Stop()
	b.memory.Close()
}

// result turns until something is done.
func (b *bench) result(t *testing.T) stages.CompactToApply {
	t.Helper()
	for range 200000 {
		b.driver.Turn(0, 0)
		if result, ok := b.results.PopOne(); ok {
			return result
		}
	}
	t.Fatal("nothing is done")
	return stages.CompactToApply{}
}

// give hands over the jobs of a generation.
func (b *bench) give(g *storage.Generation) {
	for i := range g.Jobs {
		b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactJob, Job: &g.Jobs[i]})
	}
}

// run hands over a generation and turns until all its jobs are done, which they are in order.
func (b *bench) run(t *testing.T, g *storage.Generation) {
	t.Helper()
	b.give(g)
	for i := range g.Jobs {
		if got := b.result(t); got.Job != &g.Jobs[i] || got.Checkpoint != nil {
			t.Fatalf("job %d does not come back in its place", i)
		}
	}
}

// generation with flushes of three kinds.
func generation(rng *rand.Rand) *storage.Generation {
	g := &storage.Generation{}
	for i, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeTransferDebit} {
		job := jobOf(storage.JobFlushTree, tree, uint64(1+200*i), 100)
		job.Source = newSource(rng, tree, 900)
		g.Jobs = append(g.Jobs, job)
	}
	rows := jobOf(storage.JobFlushRows, storage.TreeTransferLog, 500, 400)
	rows.Source, rows.PartialWritten = newSource(rng, storage.TreeTransferID, 300), true
	g.Jobs = append(g.Jobs, rows)
	return g
}

func checkpoint(rng *rand.Rand) (*storage.CheckpointJob, [storage.TrailersCount][]byte) {
	job := &storage.CheckpointJob{Op: 895}
	var content [storage.TrailersCount][]byte
	address := uint64(1000)
	for kind := range storage.TrailersCount {
		content[kind] = make([]byte, 9000)
		for i := range content[kind] {
			content[kind][i] = byte(rng.Uint32())
		}
		job.Chunks[kind] = [][]byte{content[kind]}
		for range 3 {
			job.Addresses[kind] = append(job.Addresses[kind], address)
			job.Names[kind] = append(job.Names[kind], storage.Ref{})
			address++
		}
	}
	return job, content
}

type file struct{ data []byte }

func (f file) ReadAt(buffer []byte, offset uint64) error { copy(buffer, f.data[offset:]); return nil }
func (f file) WriteAt([]byte, uint64) error              { panic("not written") }
func (f file) SizeBytes() (uint64, error)                { return uint64(len(f.data)), nil }

// A generation's blocks can be read when it is done; after the checkpoint they and its trailers
// survive power loss.
func TestGenerationThenCheckpoint(t *testing.T) {
	for seed := range uint64(20) {
		b := newBench(seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		g := generation(rng)
		b.run(t, g)
		geometry := block.GeometryOf(testLimits())
		buffer := make([]byte, testLimits().BlockBytes)
		verify := func(data []byte) {
			t.Helper()
			for i := range g.Jobs {
				if g.Jobs[i].Fault != nil || len(g.Jobs[i].Tables) == 0 {
					t.Fatalf("job %d: fault %v, %d tables", i, g.Jobs[i].Fault, len(g.Jobs[i].Tables))
				}
				for _, tbl := range g.Jobs[i].Tables {
					if fault := block.ReadBlock(file{data}, gridAt, &geometry, cluster, tbl.Ref, buffer); fault != nil {
						t.Fatal(fault)
					}
				}
			}
		}
		verify(b.disk.data)
		job, content := checkpoint(rng)
		merge := jobOf(storage.JobMerge, storage.TreeTransferID, 1100, 100)
		merge.Runs, merge.EntriesMax = [][]storage.Table{g.Jobs[0].Tables}, 1<<30
		next := &storage.Generation{Op: 31, Jobs: []storage.Job{merge}}
		b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: job})
		b.give(next)
		seen := 0
		for range 2 {
			result := b.result(t)
			if result.Checkpoint == job {
				seen |= 1
				verify(b.disk.durable)
				for kind := range storage.TrailersCount {
					got := make([]byte, len(content[kind]))
					fault := block.ReadTrailer(file{b.disk.durable}, gridAt, &geometry, cluster, kind, job.Roots[kind], got, buffer, nil)
					if fault != nil {
						t.Fatal(fault)
					}
					if !bytes.Equal(got, content[kind]) {
						t.Fatal("a trailer differs")
					}
				}
			}
			if result.Job == &next.Jobs[0] {
				seen |= 2
				if entries := next.Jobs[0].Tables; next.Jobs[0].Fault != nil || !next.Jobs[0].Finished || len(entries) == 0 {
					t.Fatalf("merge: %+v", next.Jobs[0])
				}
			}
		}
		if seen != 3 || job.Fault != nil || b.disk.syncs != 1 || b.stage.tasksCount != 0 {
			t.Fatalf("seen %d, fault %v, %d syncs", seen, job.Fault, b.disk.syncs)
		}
		if b.disk.writesPeak > 4 {
			t.Fatalf("%d writes in flight, at most 4", b.disk.writesPeak)
		}
		if b.disk.allocations > 20 {
			t.Fatalf("the file grew %d times", b.disk.allocations)
		}
		b.close()
	}
}

// What the disk does wrong becomes the fault of the job or of the checkpoint, and of everything
// after it.
func TestDiskFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(d *fakeDisk)
		want string // of the generation; else of the checkpoint
		sync bool
	}{
		{"write fails", func(d *fakeDisk) {
			d.writeResult = func(offset uint64, b []byte) (int, int32) {
				if offset == gridAt+2*4096 {
					return 0, -5
				}
				return len(b), int32(len(b))
			}
		}, "disk", false},
		{"write is short", func(d *fakeDisk) {
			d.writeResult = func(offset uint64, b []byte) (int, int32) { return 512, 512 }
		}, "disk", false},
		{"disk is full", func(d *fakeDisk) { d.diskBytes = gridAt + 100*4096 }, storage.FaultNoSpace, false},
		{"device is full", func(d *fakeDisk) { d.diskBytes, d.device = gridAt+100*4096, true }, storage.FaultNoSpace, false},
		{"sync fails", func(d *fakeDisk) { d.syncResult = -5 }, "disk", true},
	} {
		b := newBench(3)
		c.set(b.disk)
		rng := rand.New(rand.NewPCG(3, 3))
		g := generation(rng)
		b.run(t, g)
		for i := range g.Jobs {
			if fault := g.Jobs[i].Fault; (fault != nil) == c.sync || fault != nil && fault.What != c.want {
				t.Errorf("%s: job %d has fault %v", c.name, i, fault)
			}
		}
		job, _ := checkpoint(rng)
		b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: job})
		if b.result(t).Checkpoint != job || job.Fault == nil || job.Fault.What != c.want {
			t.Errorf("%s: checkpoint's fault is %v", c.name, job.Fault)
		}
		b.close()
	}
}

// A write that was torn without a word, or lost, is found when a merge reads the block.
func TestTornWriteIsFoundByMerge(t *testing.T) {
	for _, written := range []int{0, 512, 1024} {
		b := newBench(5)
		b.disk.writeResult = func(offset uint64, buffer []byte) (int, int32) {
			if offset == gridAt+4096 {
				return written, int32(len(buffer))
			}
			return len(buffer), int32(len(buffer))
		}
		g := generation(rand.New(rand.NewPCG(5, 5)))
		b.run(t, g)
		merge := jobOf(storage.JobMerge, storage.TreeTransferID, 1100, 100)
		merge.Runs, merge.EntriesMax = [][]storage.Table{g.Jobs[0].Tables}, 1<<30
		next := &storage.Generation{Jobs: []storage.Job{merge}}
		b.run(t, next)
		if fault := next.Jobs[0].Fault; fault == nil || fault.What != "block" || fault.Address != 2 {
			t.Errorf("%d bytes written: fault %v, want one of block 2", written, fault)
		}
		b.close()
	}
}

// A disk or a block device that has no room for a whole step still takes the blocks that fit.
func TestGrowthWithoutReserve(t *testing.T) {
	for _, device := range []bool{false, true} {
		b := newBench(6)
		b.disk.diskBytes, b.disk.device = gridAt+511*4096, device
		g := generation(rand.New(rand.NewPCG(6, 6)))
		b.run(t, g)
		for i := range g.Jobs {
			if g.Jobs[i].Fault != nil {
				t.Errorf("device %t: %v", device, g.Jobs[i].Fault)
			}
		}
		b.close()
	}
}

// Goal: the file grows in whole steps as long as they fit, and by the last one to the last whole
// block below the storage limit, wherever the limit is in a step or a block.
func TestGrowthEndsAtTheStorageLimit(t *testing.T) {
	endless := newBench(6)
	defer endless.close()
	endless.run(t, generation(rand.New(rand.NewPCG(6, 6))))
	highest := uint64(0) // block that the generation writes
	for i := range endless.disk.completed {
		highest = max(highest, (endless.disk.completed[i].offset-gridAt)/4096+1)
	}
	stepped := (highest + growBlocks - 1) / growBlocks * growBlocks
	for _, blocksMax := range []uint64{highest, highest + 1, stepped - 1, stepped, stepped + 1, stepped + growBlocks} {
		for _, rest := range []uint64{0, 1, 4095} {
			l := testLimits()
			l.StorageBytesMax = datafile.NewLayout(&l).GridAt + blocksMax*uint64(l.BlockBytes) + rest
			b := newBenchOf(6, l)
			b.run(t, generation(rand.New(rand.NewPCG(6, 6))))
			if want := gridAt + min(blocksMax, stepped)*uint64(l.BlockBytes); b.disk.reserved != want {
				t.Errorf("a limit of %d blocks and %d bytes: the file grows to %d, want %d", blocksMax, rest, b.disk.reserved, want)
			}
			b.close()
		}
	}
}

// Goal: the same generation gives the same bytes for any order in which its operations end.
func TestBytesDoNotDependOnTiming(t *testing.T) {
	var first []byte
	for seed := range uint64(6) {
		b := newBench(seed)
		rng := rand.New(rand.NewPCG(1, 1))
		g := generation(rng)
		b.run(t, g)
		merge := jobOf(storage.JobMerge, storage.TreeTransferDebit, 1100, 100)
		merge.Runs, merge.EntriesMax = [][]storage.Table{g.Jobs[1].Tables}, 500
		b.run(t, &storage.Generation{Jobs: []storage.Job{merge}})
		if first == nil {
			first = b.disk.data
		} else if !bytes.Equal(first, b.disk.data) {
			t.Fatalf("seed %d: the file differs", seed)
		}
		b.close()
	}
}

// After start-up nothing allocates: a generation of flushes and a merge, and a checkpoint.
func TestNoAllocation(t *testing.T) {
	b := newBench(9)
	defer b.close()
	b.disk.queue = make([]fakeOperation, 0, 64)
	b.disk.completed = make([]fakeOperation, 0, 1<<20)
	rng := rand.New(rand.NewPCG(9, 9))
	g := generation(rng)
	job, _ := checkpoint(rng)
	merge := jobOf(storage.JobMerge, storage.TreeTransferID, 1100, 100)
	merge.Runs, merge.EntriesMax = [][]storage.Table{nil}, 1<<30
	next := &storage.Generation{Jobs: []storage.Job{merge}}
	if allocs := testing.AllocsPerRun(5, func() {
		b.run(t, g)
		next.Jobs[0].Runs[0] = g.Jobs[0].Tables
		b.run(t, next)
		b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: job})
		b.result(t)
	}); allocs != 0 {
		t.Fatalf("a bar allocates %.1f times, want 0", allocs)
	}
}

// One turn is short: the work is cut into steps.
func BenchmarkTurn(b *testing.B) {
	l := limits.Production()
	memory := arena.New()
	defer memory.Close()
	disk := &fakeDisk{data: make([]byte, 64<<20), durable: make([]byte, 1), rng: rand.New(rand.NewPCG(1, 1)), reserved: 0}
	stage := New(l, cluster, 0, nil, memory)
	defer stage.Stop()
	requests, results := ring.NewSPSC[stages.ApplyToCompact](256), ring.NewSPSC[stages.CompactToApply](256)
	driver := NewDriver(stage, disk, requests, stages.Sender[stages.CompactToApply]{Ring: results})
	shape := table.ShapeOf(l, storage.TreeTransferID)
	src := &source{}
	for i := range uint64(65536) {
		var key storage.Key
		binary.BigEndian.PutUint64(key[:], i*0x9e3779b97f4a7c15)
		src.keys = append(src.keys, key)
	}
	job := jobOf(storage.JobFlushTree, storage.TreeTransferID, 1, int(shape.TablesMax(65536)))
	job.Source = src
	g := &storage.Generation{Jobs: []storage.Job{job}}
	var lengths []time.Duration
	for b.Loop() {
		requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactJob, Job: &g.Jobs[0]})
		for {
			start := time.Now()
			driver.Turn(0, 0)
			lengths = append(lengths, time.Since(start))
			if _, ok := results.PopOne(); ok {
				break
			}
		}
		disk.completed = disk.completed[:0]
	}
	slices.Sort(lengths)
	b.ReportMetric(float64(lengths[len(lengths)/2].Nanoseconds())/1000, "us/turn-p50")
	b.ReportMetric(float64(lengths[len(lengths)*99/100].Nanoseconds())/1000, "us/turn-p99")
	b.ReportMetric(float64(len(lengths))/float64(b.N), "turns/flush")
}

// Goal: after a reset, a merge that met a damaged block runs again and writes what it would have
// written without the damage. Without a reset, it has the fault of the first try. A merge that ends
// with a fault leaves no read under way, into whose memory the next one would read.
func TestResetAfterDamage(t *testing.T) {
	for seed := range uint64(60) {
		b := newBench(seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		flushes := &storage.Generation{}
		for i := range storage.MergeRuns(ptr(testLimits()), storage.TreeTransferID) {
			job := jobOf(storage.JobFlushTree, storage.TreeTransferID, uint64(1+100*i), 100)
			job.Source = newSource(rng, storage.TreeTransferID, 200+rng.IntN(300))
			flushes.Jobs = append(flushes.Jobs, job)
		}
		for i := range flushes.Jobs {
			b.run(t, &storage.Generation{Jobs: flushes.Jobs[i : i+1]})
		}
		merge := func(from uint64) *storage.Generation {
			job := jobOf(storage.JobMerge, storage.TreeTransferID, from, 200)
			for i := range flushes.Jobs {
				job.Runs = append(job.Runs, flushes.Jobs[i].Tables)
			}
			job.EntriesMax = 1 << 30
			return &storage.Generation{Jobs: []storage.Job{job}}
		}
		tables := flushes.Jobs[rng.IntN(len(flushes.Jobs))].Tables
		geometry := block.GeometryOf(testLimits())
		at := gridAt + geometry.Offset(tables[rng.IntN(len(tables))].Address, uint32(rng.IntN(2))) + 60
		b.disk.data[at] ^= 1
		first, again, last, straight := merge(2000), merge(2000), merge(2000), merge(3000)
		b.run(t, first)
		for i := range b.stage.reads {
			if b.stage.reads[i].busy {
				t.Fatalf("seed %d: a read is under way behind the merge", seed)
			}
		}
		b.disk.data[at] ^= 1
		if b.run(t, again); first.Jobs[0].Fault == nil || again.Jobs[0].Fault != first.Jobs[0].Fault {
			t.Fatalf("seed %d: faults %v and then %v, want twice the same", seed, first.Jobs[0].Fault, again.Jobs[0].Fault)
		}
		b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactReset})
		b.run(t, last)
		b.run(t, straight)
		if last.Jobs[0].Fault != nil || len(last.Jobs[0].Tables) != len(straight.Jobs[0].Tables) {
			t.Fatalf("seed %d: after a reset: fault %v, %d tables, want %d", seed, last.Jobs[0].Fault, len(last.Jobs[0].Tables),
				len(straight.Jobs[0].Tables))
		}
		page := uint64(testLimits().PageBytes)
		for i, table := range last.Jobs[0].Tables {
			other := straight.Jobs[0].Tables[i]
			a, b := b.disk.data[gridAt+geometry.Offset(table.Address, 1):], b.disk.data[gridAt+geometry.Offset(other.Address, 1):]
			if size := uint64(table.PagesUsed-1) * page; table.PagesUsed != other.PagesUsed || !bytes.Equal(a[:size], b[:size]) {
				t.Fatalf("seed %d: table %d differs", seed, i)
			}
		}
		b.close()
	}
}

func ptr[T any](v T) *T { return &v }
