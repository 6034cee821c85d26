package grid

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/storage"
)

// Goal: in a cluster of several, damage of a page or of a part of a block is no fault but a want.
// Callers wait, and read what was repaired. A block that was refused is a fault all the same.
func TestWantsAreRead(t *testing.T) {
	random := seeded.Rand(t)
	l := testLimits()
	l.ReplicasCount = 3
	for round := range 200 {
		memory := arena.New()
		disk := &fakeDisk{rng: random}
		refs := fill(l, disk, random, 6)
		whole := bytes.Clone(disk.data)
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		ref := refs[random.IntN(len(refs))]
		at := gridOffset + g.geometry.Offset(ref.Address, 0)
		page := random.Uint32N(4)
		disk.data[at+uint64(page*l.PageBytes)+uint64(random.Uint32N(l.PageBytes))] ^= 1
		number := 1 + random.Uint32N(3)
		if page > 0 {
			number = page
		}
		part := random.IntN(2) == 0
		if part {
			g.BlockStart(3, ref, 1, 4)
		}
		take := func() []byte {
			if !part {
				g.Start(ref, number)
				return g.Lookup(ref, number)
			}
			if _, ok := g.BlockHeader(3); !ok {
				return nil
			}
			data, _ := g.BlockPage(3, number)
			return data
		}
		for range 40 {
			if g.Poll(); take() != nil {
				t.Fatalf("round %d: a damaged page is returned", round)
			}
		}
		wanted := map[storage.Ref]int{}
		for place := range WantsMax {
			if ref, ok := g.Want(place); ok {
				wanted[ref]++
			}
		}
		if g.Fault() != nil || len(wanted) != 1 || wanted[ref] != 1 || g.WantsCount() != 1 {
			t.Fatalf("round %d: fault %v, wants %v, want block %d and no fault", round, g.Fault(), wanted, ref.Address)
		}
		reads := disk.readsIn
		for range 10 {
			g.Poll()
			take()
		}
		if disk.readsIn != reads {
			t.Fatalf("round %d: a wanted block is read again before it is repaired", round)
		}
		copy(disk.data, whole)
		g.Repaired(ref)
		data := take()
		for range 40 {
			if data = take(); data != nil {
				break
			}
			g.Poll()
		}
		if !bytes.Equal(data, whole[at+uint64(number*l.PageBytes):][:l.PageBytes]) {
			t.Fatalf("round %d: the repaired page is not read", round)
		}
		if g.WantsCount() != 0 {
			t.Fatalf("round %d: the block is still wanted", round)
		}
		g.BlockStart(5, ref, 0, 0)
		for _, ok := g.BlockHeader(5); !ok; _, ok = g.BlockHeader(5) {
			g.Poll()
		}
		if g.BlockRefuse(5, "it is another one"); g.Fault() == nil {
			t.Fatalf("round %d: a block that was refused is no fault", round)
		}
		memory.Close()
	}
}

// Goal: an address that was freed is not wanted any more, and a read of it that fails later wants
// nothing: the address may belong to another block by then.
func TestWithdraw(t *testing.T) {
	l := testLimits()
	l.ReplicasCount = 3
	memory := arena.New()
	defer memory.Close()
	disk := &fakeDisk{}
	refs := fill(l, disk, rand.New(rand.NewPCG(1, 1)), 3)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	for _, ref := range refs {
		disk.data[gridOffset+g.geometry.Offset(ref.Address, 0)+40] ^= 1
	}
	g.Start(refs[0], 2)
	for range 10 {
		g.Poll()
	}
	g.Start(refs[1], 2) // on its way when the address is freed
	g.Start(refs[2], 2)
	g.Withdraw(func(address uint64) bool { return address == refs[2].Address })
	for range 10 {
		g.Poll()
	}
	if ref, ok := g.Want(BlocksMax); !ok || ref != refs[2] || g.WantsCount() != 1 {
		t.Errorf("%d blocks are wanted, one of them %d: want only block %d", g.WantsCount(), ref.Address, refs[2].Address)
	}
	if g.InFlight() != 0 {
		t.Errorf("%d reads are under way", g.InFlight())
	}
	if g.Reset(poller{g}); g.WantsCount() != 0 {
		t.Error("a block is wanted after a reset")
	}
}

// Goal: while more blocks are damaged than can be wanted, every page is read in the end.
func TestMoreDamageThanWants(t *testing.T) {
	random := seeded.Rand(t)
	l := testLimits()
	l.ReplicasCount = 3
	memory := arena.New()
	defer memory.Close()
	disk := &fakeDisk{rng: random}
	refs := fill(l, disk, random, 2*readsMax)
	whole := bytes.Clone(disk.data)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	for _, ref := range refs {
		disk.data[gridOffset+g.geometry.Offset(ref.Address, 0)+40] ^= 1
	}
	read, most := 0, 0
	for turns := 0; read < len(refs); turns++ {
		for _, ref := range refs[read:] {
			g.Start(ref, 1)
		}
		if g.Poll(); g.Lookup(refs[read], 1) != nil {
			read++
		}
		most = max(most, g.WantsCount())
		if ref, ok := g.Want(random.IntN(WantsMax)); ok {
			at := gridOffset + g.geometry.Offset(ref.Address, 0)
			copy(disk.data[at:at+uint64(l.BlockBytes)], whole[at:])
			g.Repaired(ref)
		}
		if turns > 1_000_000 {
			t.Fatalf("%d of %d pages are read", read, len(refs))
		}
	}
	if most != readsMax {
		t.Errorf("%d blocks are wanted at most, want %d", most, readsMax)
	}
}

// Goal: damage that is repaired allocates nothing: of a page, and of a part of a block.
func TestWantsAllocateNothing(t *testing.T) {
	l := testLimits()
	l.ReplicasCount = 3
	memory := arena.New()
	defer memory.Close()
	disk := &fakeDisk{queued: make([]ports.DiskCompletion, 0, 64)}
	refs := fill(l, disk, rand.New(rand.NewPCG(1, 1)), 100)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	next := 0
	if allocs := testing.AllocsPerRun(40, func() {
		page, part := refs[next], refs[next+1]
		next += 2
		for _, ref := range [...]storage.Ref{page, part} {
			disk.data[gridOffset+g.geometry.Offset(ref.Address, 2)+9] ^= 1
		}
		g.Start(page, 2)
		g.BlockStart(4, part, 1, 3)
		poll := func() {
			for range 20 {
				g.Poll()
				if _, ok := g.BlockHeader(4); ok {
					g.BlockPage(4, 2)
				}
			}
		}
		if poll(); g.WantsCount() != 2 {
			t.Fatalf("%d blocks are wanted, want 2", g.WantsCount())
		}
		for _, ref := range [...]storage.Ref{page, part} {
			disk.data[gridOffset+g.geometry.Offset(ref.Address, 2)+9] ^= 1
			g.Repaired(ref)
		}
		g.Start(page, 2)
		if poll(); g.Lookup(page, 2) == nil || g.WantsCount() != 0 {
			t.Fatal("a repaired page is not read")
		}
		g.BlockEnd(4)
	}); allocs != 0 {
		t.Fatalf("it allocates %.1f times, want 0", allocs)
	}
}
