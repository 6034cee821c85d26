package forest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/storage/grid"
	compaction "ledger/storage/merge"
	"ledger/wire"
)

// tiny makes flushes, merges and checkpoints happen all the time.
func tiny() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 2
	l.MemtableRowsSeal = 32
	l.CacheGridBytes, l.CacheAccountsMax = 64<<10, 16
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 32<<20
	return l
}

const (
	testGridOffset = 8192
	testWaitsMax   = 1000
)

var testCluster = wire.U128{Lo: 7, Hi: 9}

// memoryDisk is a data file in memory: its reads complete when it is polled, or a few polls later.
type memoryDisk struct {
	data   []byte
	reads  []diskRead
	random *rand.Rand // nil: reads complete at the next poll
}

type diskRead struct {
	tag    uint64
	offset uint64
	buffer []byte
}

func (d *memoryDisk) grow(end uint64) {
	if end > uint64(len(d.data)) {
		d.data = append(d.data, make([]byte, end-uint64(len(d.data)))...)
	}
}

func (d *memoryDisk) Read(tag uint64, offset uint64, buffer []byte) {
	d.reads = append(d.reads, diskRead{tag, offset, buffer})
}
func (d *memoryDisk) Write(uint64, uint64, []byte, ports.WriteFlags) { panic("apply does not write") }
func (d *memoryDisk) Sync(uint64)                                    { panic("apply does not sync") }
func (d *memoryDisk) Allocate(uint64, uint64, uint64)                { panic("apply does not allocate") }
func (d *memoryDisk) Poll(out []ports.DiskCompletion) (count int) {
	for i := 0; i < len(d.reads) && count < len(out); {
		if d.random != nil && d.random.IntN(3) == 0 {
			i++
			continue
		}
		r := d.reads[i]
		d.reads = append(d.reads[:i], d.reads[i+1:]...)
		d.ReadAt(r.buffer, r.offset)
		out[count] = ports.DiskCompletion{Tag: r.tag, Result: int32(len(r.buffer))}
		count++
	}
	return count
}

func (d *memoryDisk) ReadAt(buffer []byte, offset uint64) error {
	d.grow(offset + uint64(len(buffer)))
	copy(buffer, d.data[offset:])
	return nil
}
func (d *memoryDisk) WriteAt(buffer []byte, offset uint64) error {
	d.grow(offset + uint64(len(buffer)))
	copy(d.data[offset:], buffer)
	return nil
}
func (d *memoryDisk) SizeBytes() (uint64, error) { return uint64(len(d.data)), nil }

// blocks gives compaction the disk, without delay.
type blocks struct {
	disk *memoryDisk
	g    block.Geometry
}

func (b *blocks) ReadStart(_ int, address uint64, page uint32, buffer []byte) {
	b.disk.ReadAt(buffer, testGridOffset+b.g.Offset(address, page))
}
func (b *blocks) ReadDone(int) (bool, int32)               { return true, 0 }
func (b *blocks) Missing(storage.Ref, storage.Waiter) bool { return false }
func (b *blocks) WriteStart(_ int, address uint64, data []byte) {
	b.disk.WriteAt(data, testGridOffset+b.g.Offset(address, 0))
}
func (b *blocks) WriteDone(int) (bool, int32) { return true, 0 }

// world is a forest with its disk, and a compaction that runs inline: at once, or as late as it
// may.
type world struct {
	t      testing.TB
	limits limits.Limits
	disk   *memoryDisk
	memory *arena.Arena
	grid   *grid.Grid
	forest *Forest
	merger *compaction.Merger
	late   bool
	warms  bool // waiting goes on with what was asked for ahead, as apply does
	waits  int
	covers int // steps of the filter of all ids after each op

	op         uint64
	generation *storage.Generation
	compacted  bool               // its jobs are done
	opened     storage.Checkpoint // what the forest started from
	newest     storage.Checkpoint
	sessions   [][]byte
	replies    [][]byte
	named      map[storage.Ref]bool // tables of the newest checkpoint
	namedOp    uint64               // that checkpoint's op
	captures   int
	merges     int
	flushes    int
}

func (w *world) Wait() {
	if w.grid.Poll() {
		w.waits = 0
		if w.warms {
			w.forest.WarmStep()
		}
	}
	if fault := w.forest.Fault(); fault != nil {
		panic(fault)
	}
	w.waits++
	if w.waits > testWaitsMax {
		w.t.Fatal("waits for nothing")
	}
}

func (w *world) Breathe() {}

// newWorld opens a forest over disk.
func newWorld(t testing.TB, l limits.Limits, disk *memoryDisk, checkpoint storage.Checkpoint) *world {
	w, err := tryWorld(t, l, disk, checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func tryWorld(t testing.TB, l limits.Limits, disk *memoryDisk, checkpoint storage.Checkpoint) (*world, error) {
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, limits: l, disk: disk, memory: arena.New(), opened: checkpoint, newest: checkpoint, op: checkpoint.Op, covers: 4}
	t.Cleanup(w.close)
	w.grid = grid.New(l, w.memory, disk, testGridOffset, testCluster, arena.Options{})
	w.forest = New(l, w.memory, w.grid, w)
	io := &blocks{disk, block.GeometryOf(l)}
	w.merger = compaction.New(l, w.memory, testCluster, io, io)
	return w, w.open(checkpoint)
}

// open opens a checkpoint. Damage, which ends a wait for ever, is the error.
func (w *world) open(checkpoint storage.Checkpoint) (err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case *storage.Fault:
			err = fault
		default:
			panic(fault)
		}
	}()
	w.forest.Open(&checkpoint, idsAhead(&checkpoint))
	return nil
}

// cover goes on with the filter of all ids.
func (w *world) cover(steps int) {
	for range steps {
		w.grid.Poll()
		if !w.forest.CoverStep() && !w.forest.levels.IsCovering() {
			return
		}
	}
	if fault := w.forest.Fault(); fault != nil {
		panic(fault)
	}
}

func (w *world) close() {
	if w.memory != nil {
		w.memory.Close()
		w.memory = nil
	}
}

func (w *world) compact() {
	if w.generation == nil || w.compacted {
		return
	}
	w.compacted = true
	for i := range w.generation.Jobs {
		job := &w.generation.Jobs[i]
		w.merger.Run(job, w)
		if job.Kind == storage.JobMerge {
			w.merges++
		} else {
			w.flushes++
		}
	}
	if fault := w.merger.Drain(w); fault != nil {
		w.t.Fatal(fault)
	}
}

// ended does what apply does at the end of an op, recovery included.
func (w *world) ended() {
	w.cover(w.covers)
	w.op++
	op, l, f := w.op, &w.limits, w.forest
	if !l.IsBarEnd(op) || w.opened.Op > 0 && op < l.CheckpointTrigger(w.opened.Op) {
		return
	}
	if w.opened.Op == 0 || op > l.CheckpointTrigger(w.opened.Op) {
		if w.late {
			w.compact()
		}
		f.BarInstall(w.generation)
		if l.IsTrigger(op) {
			job := f.CheckpointCapture(op, limits.Release, w.sessions, w.replies)
			w.merger.Checkpoint(job, w)
			if job.Fault != nil {
				w.t.Fatal(job.Fault)
			}
			before := w.newest.Op
			w.newest = f.CheckpointState()
			w.checkBirths(before)
			w.captures++
		}
		if f.CheckpointDue(op, w.newest.Op) {
			f.CheckpointDurable()
		}
	}
	w.generation, w.compacted = f.BarPlan(op, l.IsCheckpoint(op)), false
	if !w.late {
		w.compact()
	}
}

// checkBirths demands of the tables that a checkpoint names: exactly those that the checkpoint
// before, of op before, did not name were born behind it.
func (w *world) checkBirths(before uint64) {
	named := map[storage.Ref]bool{}
	check := func(t *storage.Table) {
		named[t.Ref] = true
		known := before == w.namedOp // not after a start
		if t.BornOp > w.newest.Op || known && (t.BornOp > before) == w.named[t.Ref] || !w.limits.IsBarEnd(t.BornOp) {
			w.t.Fatalf("the checkpoint of op %d, after that of %d, which named the table: %t: born at %d: %+v", w.newest.Op, before,
				w.named[t.Ref], t.BornOp, t)
		}
	}
	for _, t := range tablesOf(w.forest) {
		check(&t.Table)
	}
	w.named, w.namedOp = named, w.newest.Op
}

// state is everything that must be a pure function of the ops: what a checkpoint at this moment
// would say.
func (w *world) state() []byte {
	f := w.forest
	out := make([]byte, f.manifestBytes(f.checkpoint.trailersCount))
	out = f.manifestEncode(out)
	for address := uint64(1); address <= f.freeSet.High(); address++ {
		if f.freeSet.IsAcquired(address) {
			out = append(out, 1)
		} else {
			out = append(out, 0)
		}
	}
	return append(out, byte(f.freeSet.WaitingCount()), byte(f.freeSet.WaitingCount()>>8))
}

// same fails unless the bytes of both disks, and both states, are equal.
func same(t testing.TB, what string, a, b *world) {
	t.Helper()
	if !bytes.Equal(a.state(), b.state()) {
		t.Fatalf("%s: manifest or free set differs at ops %d and %d", what, a.op, b.op)
	}
	size := max(len(a.disk.data), len(b.disk.data))
	a.disk.grow(uint64(size))
	b.disk.grow(uint64(size))
	if !bytes.Equal(a.disk.data, b.disk.data) {
		t.Fatalf("%s: the disks differ at op %d", what, a.op)
	}
}

// logged is an op for replay.
type logged struct {
	op      uint64
	request accounting.Request
}

// runsCount is the number of runs of all trees.
func runsCount(c *Counters) (count uint64) {
	for i := range c.Trees {
		for _, runs := range c.Trees[i].Runs {
			count += runs
		}
	}
	return count
}

// idsAhead is 0 or some number of ids that ops behind a checkpoint may bring. It depends on nothing
// but the checkpoint.
func idsAhead(checkpoint *storage.Checkpoint) uint64 {
	return checkpoint.Op / 3 % 4 * 50
}
