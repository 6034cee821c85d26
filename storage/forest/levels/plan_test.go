package levels

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
)

// Goal: a merge takes exactly the oldest runs of its level, never more than entriesMax entries a
// job, and has ended before its level holds as many other runs, if all flushes are alike.
func TestMergePace(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	ended := 0
	for range 300 {
		generation := w.bar(w.rows(40, false))
		for i := range generation.Jobs {
			job := &generation.Jobs[i]
			if job.Kind != storage.JobMerge {
				continue
			}
			if job.EntriesMax > w.trees.plan.entriesMax+1 || len(job.Runs) > storage.MergeRuns(&w.Limits, job.Tree) {
				t.Fatalf("a job of %s takes %d entries of %d runs", storage.Trees[job.Tree].Name, job.EntriesMax, len(job.Runs))
			}
			if len(job.Tables) > len(job.Addresses) {
				t.Fatalf("%d tables are written to %d addresses", len(job.Tables), len(job.Addresses))
			}
		}
		for i := range w.trees.trees {
			tree := &w.trees.trees[i]
			for j := range tree.levels {
				l := &tree.levels[j]
				if len(l.runs) > 2*tree.runsMerged {
					t.Fatalf("level %d of %s holds %d runs", j, tree.spec.Name, len(l.runs))
				}
				if m := &l.merge; m.inputs != 0 && (m.inputs != tree.runsMerged || m.entriesLeft == 0 || m.entriesLeft > m.entriesAll) {
					t.Fatalf("a merge of %d runs has %d of %d entries left", m.inputs, m.entriesLeft, m.entriesAll)
				}
			}
		}
	}
	var c Counters
	w.trees.Count(&c)
	for _, merges := range c.Merges {
		ended += int(merges)
	}
	if ended < 10 || c.Merges[1] == 0 {
		t.Errorf("%d merges have ended, on the second level %d: the test shows little", ended, c.Merges[1])
	}
}

// Goal: merges go on where four tables hold more entries than a job can merge, as those of dense
// postings do after many million transfers. Otherwise a level fills until it has no room for
// another run.
func TestTablesLargerThanAJob(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	w.trees.plan.entriesMax = 64
	large, most := 0, 0
	for range 300 {
		for i := range w.bar(w.rows(40, false)).Jobs {
			job := &w.trees.plan.generation.Jobs[i]
			if job.Kind == storage.JobMerge && keys.IsPosting(job.Tree) && len(job.Runs) > 0 &&
				uint64(job.Runs[0][0].Entries) > w.trees.plan.entriesMax/mergeTablesMin {
				large++
			}
		}
		for i := range w.trees.trees {
			for j := range w.trees.trees[i].levels {
				most = max(most, len(w.trees.trees[i].levels[j].runs))
			}
		}
	}
	if most > 3*runsMerged || large < 100 {
		t.Errorf("a level holds %d runs, want at most %d; %d jobs read tables that hold more than a job's share", most, 3*runsMerged, large)
	}
}

// Goal: the plan depends only on the calls: other caches, other timing and a restart lead to the
// same jobs, addresses and manifest.
func TestPlanIsAFunctionOfTheCalls(t *testing.T) {
	random := seeded.Rand(t)
	seed := random.Uint64()
	var manifests [2][][]byte
	for i := range manifests {
		l := foresttest.Limits()
		if i == 1 {
			l.CacheGridBytes = 1 << 20
		}
		w := newWorld(t, l, rand.New(rand.NewPCG(seed, 0)))
		for bar := range 60 {
			w.bar(w.rows(10+bar%50, bar%20 < 5))
			if i == 1 && bar%7 == 0 { // reads that the other one does not make
				w.trees.Find(storage.TreePending, &storage.Key{7: byte(bar)}, make([]byte, 1))
			}
			manifests[i] = append(manifests[i], w.manifest())
		}
	}
	for bar := range manifests[0] {
		if !slices.Equal(manifests[0][bar], manifests[1][bar]) {
			t.Fatalf("after bar %d the manifests differ", bar)
		}
	}
}

// Goal: runs of ids that ascend without overlap are listed one behind the other and not read. One
// id that lies below the run before is enough that they are merged.
func TestMergeByReference(t *testing.T) {
	random := seeded.Rand(t)
	for _, overlaps := range []bool{false, true} {
		w := newWorld(t, foresttest.Limits(), random)
		merges := 0
		var ids []*source
		for i := range 2 * storage.MergeRuns(&w.Limits, storage.TreeTransferID) {
			s := w.rows(300, true)
			s.codes, s.order, s.expiries, s.removed = nil, nil, nil, nil
			if overlaps && i == 3 {
				s.ids[299] = accounting.U128{Lo: ids[1].ids[0].Lo + 1}
			}
			ids = append(ids, s)
			generation := w.bar(s)
			for j := range generation.Jobs {
				if generation.Jobs[j].Kind == storage.JobMerge && generation.Jobs[j].Tree == storage.TreeTransferID {
					merges++
				}
			}
			w.check()
		}
		var c Counters
		w.trees.Count(&c)
		if (merges > 0) != overlaps || !overlaps && c.TablesMoved == 0 {
			t.Errorf("overlap %v: %d jobs, %d tables moved", overlaps, merges, c.TablesMoved)
		}
	}
}

// Goal: many runs that ascend, as they wait behind a long merge, become runs of the next level by
// reference, some at each bar, also at bars at whose ends no generation is under way. Each such bar
// is known before its plan (world.bar).
func TestMergesByReferenceInARow(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	flush := func(rows int) *storage.Generation {
		s := w.rows(rows, true)
		s.codes, s.order, s.expiries, s.removed = nil, nil, nil, nil
		return w.bar(s)
	}
	tree := &w.trees.trees[storage.TreeTransferID]
	count := tree.runsMerged
	tree.runsMerged = 4 * count // none begins, as if one were under way
	for range 3 * count {
		flush(100)
	}
	tree.runsMerged = count
	alone := 0
	for range 5 {
		moved := w.moved
		if flush(0) == nil && w.moved > moved {
			alone++
		}
		w.check()
	}
	if alone != 3 || w.trees.MergesBegin() {
		t.Errorf("%d plans have changed visible runs with nothing under way, want 3; more begin: %v", alone, w.trees.MergesBegin())
	}
}

// Goal: a job that fails stops the forest with its fault.
func TestFailedJob(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	w.trees.PlanBegin(w.op, 10)
	w.trees.PlanFlush(w.rows(10, true))
	generation := w.trees.PlanEnd()
	want := &storage.Fault{What: storage.FaultDisk, Reason: "a test"}
	generation.Jobs[0].Fault = want
	if got := foresttest.Fault(func() { w.trees.Collect(generation) }); got != want {
		t.Errorf("the fault is %v", got)
	}
}

// Goal: addresses and filters that a generation did not use are given back.
func TestCollectGivesBack(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	w.trees.PlanBegin(w.op, 700)
	s := w.rows(700, false)
	w.trees.PlanFlush(s)
	generation := w.trees.PlanEnd()
	reserved, slots := w.Free.AcquiredCount(), w.trees.filters.used
	w.Compact(generation)
	used := uint64(0)
	for i := range generation.Jobs {
		used += uint64(len(generation.Jobs[i].Tables))
	}
	w.trees.Collect(generation)
	if w.Free.AcquiredCount() != used || used >= reserved {
		t.Errorf("%d blocks are acquired, %d were reserved, %d are used", w.Free.AcquiredCount(), reserved, used)
	}
	filters := uint32(len(generation.Jobs[0].Tables)) // the first job is that of the ids
	if free := uint32(len(w.trees.filters.free)); slots-free != filters {
		t.Errorf("%d filters are in use, want %d", slots-free, filters)
	}
}

// Goal: a data file, a list of tables and a memory of filters that are full are faults that say so.
func TestFull(t *testing.T) {
	random := seeded.Rand(t)
	for _, test := range []struct {
		reason string
		shrink func(w *world)
	}{
		{"--limit-storage", func(w *world) {
			for range w.Limits.StorageBytesMax / uint64(w.Limits.BlockBytes) {
				w.Free.Acquire(make([]uint64, 1))
			}
		}},
		{"more tables than", func(w *world) { w.trees.pool.tables = w.trees.pool.tables[:8] }},
		{"more ids than", func(w *world) { w.trees.filters.memory = w.trees.filters.memory[:3*w.trees.filters.slotBytes] }},
	} {
		w := newWorld(t, foresttest.Limits(), random)
		test.shrink(w)
		fault := foresttest.Fault(func() {
			for range 100 {
				w.bar(w.rows(100, false))
			}
		})
		if fault == nil || fault.What != storage.FaultStorageLimit || !strings.Contains(fault.Reason, test.reason) {
			t.Errorf("%s: the fault is %v", test.reason, fault)
		}
	}
}

// Goal: a damaged block that a look-up needs is a fault that names it.
func TestDamagedBlock(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	w.bar(w.rows(100, false))
	address := w.trees.Tree(storage.TreePending).Runs()[0].Table(0).Address
	w.Damage(address)
	fault := foresttest.Fault(func() {
		for ordinal := range w.model.statuses {
			w.trees.Find(storage.TreePending, &storage.Key{7: byte(ordinal)}, make([]byte, 1))
		}
	})
	if fault == nil || fault.Address != address {
		t.Errorf("the fault is %v, want one of block %d", fault, address)
	}
}
