package grid

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/table"
)

// A point read of a cached table of ids: header page, page, search, value.
func BenchmarkPointGetCached(b *testing.B) {
	memory := arena.New()
	defer memory.Close()
	l := limits.Production()
	l.CacheGridBytes = 64 << 20
	s := table.ShapeOf(l, storage.TreeTransferID)
	rng := rand.New(rand.NewPCG(1, 1))
	disk := &fakeDisk{queued: make([]ports.DiskCompletion, 0, 64), data: make([]byte, gridOffset+50*int(l.BlockBytes))}
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{HugePages: true})
	type place struct {
		key   storage.Key
		table int
	}
	var tables []storage.Table
	var places []place
	for i := range 50 { // 24 MiB: beyond the processor's caches, as the real one is
		keys := make([]storage.Key, 19000)
		for j := range keys {
			binary.BigEndian.PutUint64(keys[j][:], rng.Uint64())
		}
		slices.SortFunc(keys, func(x, y storage.Key) int { return x.Compare(&y) })
		var builder table.Builder
		builder.Reset(&s, 0)
		builder.Begin(disk.data[gridOffset+i*int(l.BlockBytes):][:l.BlockBytes])
		for j := range keys {
			builder.Add(&keys[j], false, keys[j][:8])
			if j%10 == 0 {
				places = append(places, place{keys[j], i})
			}
		}
		tables = append(tables, builder.Finish(cluster, uint64(i+1), nil))
	}
	rng.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	get := func(p *place) []byte {
		ref := tables[p.table].Ref
		header := block.HeaderPage(g.Page(ref, 0, poller{g}))
		number := s.PageFind(header, &p.key)
		page := g.Page(ref, number, poller{g})
		index, exact := s.Search(page, &p.key)
		if !exact {
			b.Fatal("a key is not found")
		}
		return s.Value(page, index)
	}
	for i := range places {
		get(&places[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i == len(places) {
			i = 0
		}
		get(&places[i])
	}
}
