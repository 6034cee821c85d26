package merge

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/rowlog"
	"ledger/storage/table"
)

// benchmarkRows is what a bar of full messages leaves in a memtable.
const benchmarkRows = 32 * 8189

// run calls f under b and reports the thread's own time per unit, because the machine may be
// shared.
func run(b *testing.B, units float64, unit string, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() float64 {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
			b.Fatal(err)
		}
		return float64(usage.Utime.Nano() + usage.Stime.Nano())
	}
	f() // the fake disk's blocks exist from here on
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		f()
	}
	b.ReportMetric((cpu()-before)/float64(b.N)/units, "cpu-ns/"+unit)
}

// load makes the entries that so many transfers of the load generator leave in a tree, in order of
// commit.
func load(rng *rand.Rand, tree storage.TreeID, first uint64, sequentialIDs bool) (entries []entry) {
	for i := range uint64(benchmarkRows) {
		e := entry{value: make([]byte, storage.Trees[tree].ValueBytes)}
		key := e.key[:]
		ordinal := first + i
		random := func(n int) {
			for j := range n {
				key[j] = byte(rng.Uint32())
			}
		}
		at := int(storage.Trees[tree].KeyBytes) - 5
		switch tree {
		case storage.TreeTransferID:
			if random(16); sequentialIDs {
				clear(key)
				binary.BigEndian.PutUint64(key[8:], ordinal)
			}
			binary.LittleEndian.PutUint64(e.value, ordinal)
			entries = append(entries, e)
			continue
		case storage.TreeTransferDebit, storage.TreeTransferCredit:
			binary.BigEndian.PutUint32(key, rng.Uint32N(10000))
		case storage.TreeTransferCode:
			binary.BigEndian.PutUint16(key, uint16(rng.Uint32N(65535)+1))
		case storage.TreeTransferLedger:
			binary.BigEndian.PutUint32(key, 1)
		default:
			random(at)
		}
		binary.BigEndian.PutUint64(key[at:], ordinal<<24)
		entries = append(entries, e)
	}
	return entries
}

var benchmarkTrees = []storage.TreeID{
	storage.TreeTransferID, storage.TreeTransferDebit, storage.TreeTransferUser128, storage.TreeTransferUser32,
	storage.TreeTransferLedger, storage.TreeTransferCode,
}

// A flush of 65,536 rows, one tree: extract, sort, pack, checksum (the disk is memory).
func BenchmarkFlushTree(b *testing.B) {
	l := limits.Production()
	for _, tree := range benchmarkTrees {
		b.Run(storage.Trees[tree].Name, func(b *testing.B) {
			memory := arena.New()
			defer memory.Close()
			disk := newDisk(l, nil)
			m := New(l, memory, cluster, disk, disk)
			shape := table.ShapeOf(l, tree)
			job := jobOf(storage.JobFlushTree, tree, int(shape.TablesMax(benchmarkRows)), 1)
			job.Source = newColumns(tree, load(rand.New(rand.NewPCG(1, 1)), tree, 0, false))
			w := &waits{}
			run(b, benchmarkRows, "entry", func() {
				m.Run(&job, w)
				m.Drain(w)
			})
		})
	}
}

func BenchmarkFlushRows(b *testing.B) {
	l := limits.Production()
	memory := arena.New()
	defer memory.Close()
	disk := newDisk(l, nil)
	m := New(l, memory, cluster, disk, disk)
	shape := rowlog.ShapeOf(l)
	job := jobOf(storage.JobFlushRows, storage.TreeTransferLog, int(shape.BlocksMax(benchmarkRows)), 1)
	src := &source{}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range uint64(benchmarkRows) {
		src.rows = append(src.rows, typicalRow(rng, i))
	}
	job.Source = src
	w := &waits{}
	run(b, benchmarkRows, "row", func() {
		m.Run(&job, w)
		m.Drain(w)
	})
}

// A merge of eight runs of 65,536 entries.
func BenchmarkMerge(b *testing.B) {
	l := limits.Production()
	for _, tree := range benchmarkTrees {
		b.Run(storage.Trees[tree].Name, func(b *testing.B) {
			memory := arena.New()
			defer memory.Close()
			disk := newDisk(l, nil)
			m := New(l, memory, cluster, disk, disk)
			shape := table.ShapeOf(l, tree)
			w := &waits{}
			rng := rand.New(rand.NewPCG(1, 1))
			address := uint64(1)
			total := uint64(0)
			merge := storage.Job{}
			for i := range uint64(storage.MergeRuns(&l, tree)) {
				job := jobOf(storage.JobFlushTree, tree, int(shape.TablesMax(benchmarkRows)), address)
				address += 1000
				job.Source = newColumns(tree, load(rng, tree, i*benchmarkRows, false))
				m.Run(&job, w)
				m.Drain(w)
				merge.Runs = append([][]storage.Table{job.Tables}, merge.Runs...)
				total += benchmarkRows
			}
			job := jobOf(storage.JobMerge, tree, int(shape.TablesMax(total)), address)
			job.Runs, job.EntriesMax = merge.Runs, 1<<40
			before := m.Statistics().BytesWritten
			m.Run(&job, w)
			b.SetBytes(int64(m.Statistics().BytesWritten - before))
			run(b, float64(total), "entry", func() {
				m.Run(&job, w)
				m.Drain(w)
			})
		})
	}
}
