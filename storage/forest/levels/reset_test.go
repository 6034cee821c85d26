package levels

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
)

// Goal: trees that are reset, with a generation planned, runs half covered and filters in use, are
// like new ones: they have no table, and then the same plans at the same addresses.
func TestResetIsNew(t *testing.T) {
	random := seeded.Rand(t)
	for round := range 4 {
		used := newWorld(t, foresttest.Limits(), random)
		for range 15 * round {
			used.bar(used.rows(random.IntN(120), round == 2))
		}
		filter := ids.NewFilter(used.Memory, &used.Limits, used.trees.FilterIDsMax(), uint64(used.Limits.MemtableRowsMax()))
		loader := ids.NewLoader(used.Memory, &filter)
		if room, ok := filter.Open(used.trees.CoverOverlapping(0)); ok {
			used.trees.CoverRoom(room)
			used.trees.CoverStep(used.Grid, &loader)
		}
		used.trees.PlanBegin(used.op, 10)
		used.trees.PlanFlush(used.rows(10, true))
		used.Compact(used.trees.PlanEnd())
		used.trees.Reset(used.Grid, &loader)
		used.Grid.Reset(used.Ground)
		used.Free.Reset()
		if used.trees.IsUnder() || used.trees.IsCovering() || used.trees.cover.under || used.trees.Next(&Listing{}, 1) != nil {
			t.Fatal("trees that were reset have a generation, a run to cover or a table")
		}
		if pool, filters := used.trees.pool.used, used.trees.filters.used; pool != 0 || filters != 0 {
			t.Fatalf("%d places of tables and %d filters are in use after a reset", pool, filters)
		}
		seed := random.Uint64()
		var manifests [2][][]byte
		for i := range manifests {
			w := newWorld(t, foresttest.Limits(), random)
			if i == 1 {
				w.Ground, w.trees = used.Ground, used.trees
			}
			w.random = rand.New(rand.NewPCG(seed, 0))
			for bar := range 40 {
				w.bar(w.rows(10+bar*3, bar%10 < 3))
				w.check()
				manifests[i] = append(manifests[i], w.manifest())
			}
			w.answers(w.trees)
		}
		for bar := range manifests[0] {
			if !slices.Equal(manifests[0][bar], manifests[1][bar]) {
				t.Fatalf("after bar %d the manifest of trees that were reset is another one", bar)
			}
		}
	}
}
