package grid

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// build makes a block of random pages in memory that belongs to a job, as compaction does.
func build(l limits.Limits, memory []byte, address uint64, random *rand.Rand) storage.Ref {
	g := block.GeometryOf(l)
	header := block.Begin(&g, memory)
	for p := uint32(1); p < g.PagesMax; p++ {
		for j := range memory[p*g.PageBytes : (p+1)*g.PageBytes] {
			memory[p*g.PageBytes+uint32(j)] = byte(random.Uint32())
		}
		header.PageSet(p, &storage.Key{}, 0)
	}
	return block.Seal(&g, memory, &block.Fields{Cluster: cluster, Address: address, Kind: block.KindTable, PagesUsed: g.PagesMax})
}

// Goal: whatever is lent, kept, returned and forgotten, in any order: a block that is kept is found
// whole, at its address and under its checksum alone, without a read; the block that was kept first
// goes first, and only when no memory is free; and no more than half of the memory is lent.
func TestRecentAgainstAModel(t *testing.T) {
	random := seeded.Rand(t)
	evicted := 0
	for range 20 {
		memory := arena.New()
		l := testLimits()
		l.CacheRecentPercent = 50
		l.CacheGridBytes = uint64(2*(1+random.IntN(20))) * uint64(l.BlockBytes)
		disk := &fakeDisk{}
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		frames := int(recentFrames(&l))
		type kept struct {
			ref  storage.Ref
			page []byte // page 3
		}
		type lent struct {
			memory []byte
			number uint32
		}
		var keeps []kept // the oldest first
		var lents []lent
		drop := func(address uint64) {
			for i := range keeps {
				if keeps[i].ref.Address == address {
					keeps = append(keeps[:i], keeps[i+1:]...)
					return
				}
			}
		}
		for range 1000 {
			switch i := random.IntN(10); {
			case i < 4:
				wantNone := 2*len(lents) >= frames
				if !wantNone && len(keeps)+len(lents) == frames {
					keeps = keeps[1:]
					evicted++
				}
				bytes, number := g.Lend()
				if (bytes == nil) != wantNone {
					t.Fatalf("%d of %d lent: one more is %t", len(lents), frames, bytes != nil)
				}
				if bytes != nil {
					lents = append(lents, lent{bytes, number})
				}
			case i < 8 && len(lents) > 0:
				at := random.IntN(len(lents))
				one := lents[at]
				lents = append(lents[:at], lents[at+1:]...)
				ref := build(l, one.memory, 1+random.Uint64N(60), random) // often an address that is kept already
				drop(ref.Address)
				g.Keep(one.number, ref, block.GeometryOf(l).PagesMax)
				keeps = append(keeps, kept{ref, append([]byte(nil), one.memory[3*l.PageBytes:4*l.PageBytes]...)})
			case i < 9 && len(lents) > 0:
				g.Return(lents[0].number)
				lents = lents[1:]
			default:
				address := 1 + random.Uint64N(60)
				g.Forget(address)
				drop(address)
			}
			if random.IntN(100) == 0 {
				g.Reset(poller{g})
				lents = nil
			}
			known := map[uint64]bool{}
			for i := range keeps {
				k := &keeps[i]
				known[k.ref.Address] = true
				other := k.ref
				other.Checksum[0]++
				if !bytes.Equal(g.Lookup(k.ref, 3), k.page) || g.Lookup(k.ref, 0) == nil || g.Lookup(other, 3) != nil {
					t.Fatalf("block %d, %d of %d that are kept, is not found as it was built", k.ref.Address, i, len(keeps))
				}
				if header := g.Lookup(k.ref, 0); block.VerifyPage(block.HeaderPage(header), 3, g.Page(k.ref, 3, poller{g})) != "" {
					t.Fatalf("block %d: its header page does not prove its pages", k.ref.Address)
				}
			}
			for address := range uint64(61) {
				if _, ok := g.recent.find(address); ok != known[address] {
					t.Fatalf("address %d is kept: %t, want %t", address, ok, known[address])
				}
			}
		}
		if disk.readsIn > 0 {
			t.Errorf("%d reads", disk.readsIn)
		}
		memory.Close()
	}
	if evicted < 100 {
		t.Errorf("%d blocks made room: the test shows little", evicted)
	}
}

// Goal: a block that had to make room is read from the disk again; a page beyond those that the
// block uses is not found; and what is kept is no reason for a read ahead.
func TestRecentMakesRoom(t *testing.T) {
	random := seeded.Rand(t)
	memory := arena.New()
	defer memory.Close()
	l := testLimits()
	l.CacheRecentPercent = 25
	l.CacheGridBytes = 4 * uint64(l.BlockBytes)
	disk := &fakeDisk{}
	refs := fill(l, disk, random, 2)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	for i, ref := range refs {
		lent, number := g.Lend()
		copy(lent, disk.data[gridOffset+i*int(l.BlockBytes):])
		g.Keep(number, ref, 5)
		if g.Warm(ref, 4); g.Lookup(ref, 4) == nil || disk.readsIn > 0 {
			t.Fatalf("block %d: %d reads", i, disk.readsIn)
		}
		if g.Lookup(ref, 5) != nil {
			t.Error("a page that the block does not use is found")
		}
	}
	if g.Lookup(refs[0], 4) != nil {
		t.Error("two blocks are kept in the memory of one")
	}
	page := g.Page(refs[0], 4, poller{g})
	if disk.readsIn != 2 || !bytes.Equal(page, disk.data[gridOffset+4*l.PageBytes:][:l.PageBytes]) {
		t.Errorf("%d reads, want two: the page and its header page", disk.readsIn)
	}
	if s := g.Statistics(); s.RecentHits != 2 || s.PageHits != 2 || s.PageLookups != 5 {
		t.Errorf("statistics %+v", s)
	}
}

// Goal: the newest blocks take their share out of the cache, and no memory beside it; without a
// share, or in a cache of less than a block, there are none.
func TestRecentIsAShare(t *testing.T) {
	for _, one := range []struct {
		cacheBytes uint64
		percent    uint32
		frames     uint64
	}{{1 << 30, 25, 512}, {1 << 30, 0, 0}, {1 << 30, 50, 1024}, {8 << 20, 25, 4}, {512 << 10, 50, 0}} {
		l := limits.Production()
		l.CacheGridBytes, l.CacheRecentPercent = one.cacheBytes, one.percent
		memory := arena.New()
		g := New(l, memory, &fakeDisk{}, gridOffset, wire.U128{}, arena.Options{})
		if got := recentFrames(&l); got != one.frames || RecentBytes(&l) != got<<19 {
			t.Errorf("%d %% of %d MiB: %d blocks, want %d", one.percent, one.cacheBytes>>20, got, one.frames)
		}
		if got := uint64(len(g.pages.memory) + len(g.recent.memory)); got != one.cacheBytes {
			t.Errorf("%d %% of %d MiB: %d bytes of pages and blocks", one.percent, one.cacheBytes>>20, got)
		}
		if lent, _ := g.Lend(); (lent != nil) != (one.frames > 0) {
			t.Errorf("%d %% of %d MiB: lends %t", one.percent, one.cacheBytes>>20, lent != nil)
		}
		memory.Close()
	}
}
