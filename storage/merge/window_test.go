package merge

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/table"
)

// Merges by windows, of values that differ in any bits, with runs that are much longer than what is
// decoded of them, and cut anywhere, give what a sort gives. Of equal ids the newest run's counts.
func TestWindowsAgainstNaive(t *testing.T) {
	l := small()
	for round := range uint64(150) {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), round))
		tree := storage.TreeTransferID
		if n := rng.IntN(8); n > 0 {
			tree = storage.TreeTransferDebit + storage.TreeID(n-1)
		}
		shape := table.ShapeOf(l, tree)
		memory := arena.New()
		disk := newDisk(l, rng)
		m := New(l, memory, cluster, disk, disk)
		m.breath = 1 + rng.IntN(5000)
		entries := drawColumns(rng, tree, 1+rng.IntN(1<<rng.IntN(16)))
		model := map[storage.Key]entry{}
		var runs [][]storage.Table
		address := uint64(1)
		reserve := func(entries int) int {
			n := int(shape.TablesMax(uint64(entries)))
			address += uint64(3*n + 1)
			return n
		}
		runsLeft := 1 + rng.IntN(storage.MergeRuns(&l, tree))
		for rest := entries; len(rest) > 0 && runsLeft > 0; runsLeft-- {
			count := len(rest)
			if runsLeft > 1 {
				count = 1 + rng.IntN(len(rest))
			}
			part := slices.Clone(rest[:count])
			rest = rest[count:]
			if tree == storage.TreeTransferID {
				for i := range len(part) / 3 { // again what an older run has
					again := entries[rng.IntN(len(entries)-len(rest))]
					part[i].key = again.key
				}
				seen := map[storage.Key]bool{}
				part = slices.DeleteFunc(part, func(e entry) bool {
					found := seen[e.key]
					seen[e.key] = true
					return found
				})
			}
			start := address
			job := jobOf(storage.JobFlushTree, tree, reserve(len(part)), start)
			job.Source = &source{entries: part}
			m.Run(&job, &waits{})
			if fault := m.Drain(&waits{}); fault != nil {
				t.Fatal(fault)
			}
			runs = append([][]storage.Table{job.Tables}, runs...)
			for _, e := range part {
				model[e.key] = e
			}
		}
		var want, got []entry
		for _, e := range model {
			want = append(want, e)
		}
		job := storage.Job{}
		for !job.Finished {
			entriesMax := 1 + rng.IntN(1+rng.IntN(2*len(entries)))
			from, fromKey, start := job.Tables != nil, job.UpTo, address
			job = jobOf(storage.JobMerge, tree, reserve(entriesMax+storage.MergeRunsMax), start)
			job.Runs, job.EntriesMax, job.From, job.FromKey = runs, uint64(entriesMax), from, fromKey
			m.Run(&job, &waits{})
			if fault := m.Drain(&waits{}); fault != nil {
				t.Fatal(fault)
			}
			got = append(got, read(t, l, disk, tree, job.Tables)...)
		}
		equalEntries(t, storage.Trees[tree].Name, got, sorted(want))
		memory.Close()
	}
}
