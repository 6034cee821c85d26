package grid

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

var cluster = wire.U128{Lo: 3}

const gridOffset = 1 << 14

// fakeDisk completes reads in any order, and can damage or fail them.
type fakeDisk struct {
	data    []byte
	rng     *rand.Rand
	queued  []ports.DiskCompletion
	damage  func(offset uint64, buffer []byte) int32 // result, 0: sound
	readsIn int
}

func (d *fakeDisk) Read(tag, offset uint64, buffer []byte) {
	clear(buffer)
	result := int32(0)
	if offset < uint64(len(d.data)) {
		result = int32(copy(buffer, d.data[offset:]))
	}
	if d.damage != nil {
		if r := d.damage(offset, buffer); r != 0 {
			result = r
		}
	}
	d.readsIn++
	d.queued = append(d.queued, ports.DiskCompletion{Tag: tag, Result: result})
}
func (d *fakeDisk) Write(uint64, uint64, []byte, ports.WriteFlags) { panic("no writes") }
func (d *fakeDisk) Sync(uint64)                                    { panic("no syncs") }
func (d *fakeDisk) Allocate(uint64, uint64, uint64)                { panic("no allocation") }
func (d *fakeDisk) Poll(out []ports.DiskCompletion) int {
	if d.rng != nil {
		d.rng.Shuffle(len(d.queued), func(i, j int) { d.queued[i], d.queued[j] = d.queued[j], d.queued[i] })
	}
	n := min(len(d.queued), len(out))
	if d.rng != nil && n > 0 {
		n = d.rng.IntN(n + 1)
	}
	copy(out, d.queued[:n])
	d.queued = d.queued[:copy(d.queued, d.queued[n:])]
	return n
}

func testLimits() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.CacheGridBytes = 64 * 512
	return l
}

// fill writes blocks of random pages and returns their names.
func fill(l limits.Limits, disk *fakeDisk, rng *rand.Rand, blocks int) (refs []storage.Ref) {
	g := block.GeometryOf(l)
	disk.data = make([]byte, gridOffset+blocks*int(l.BlockBytes))
	buffer := make([]byte, l.BlockBytes)
	for i := range blocks {
		header := block.Begin(&g, buffer)
		for p := uint32(1); p < g.PagesMax; p++ {
			for j := range buffer[p*g.PageBytes : (p+1)*g.PageBytes] {
				buffer[p*g.PageBytes+uint32(j)] = byte(rng.Uint32())
			}
			header.PageSet(p, &storage.Key{}, 0)
		}
		ref := block.Seal(&g, buffer, &block.Fields{Cluster: cluster, Address: uint64(i + 1), Kind: block.KindTable, PagesUsed: g.PagesMax})
		copy(disk.data[gridOffset+g.Offset(ref.Address, 0):], buffer)
		refs = append(refs, ref)
	}
	return refs
}

type poller struct{ g *Grid }

func (p poller) Wait()    { p.g.Poll() }
func (p poller) Breathe() {}

// Goal: a page is served as it was written, for any choice of pages that are read ahead and any
// order in which reads complete.
func TestPagesAreServedAsWritten(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 1))
		memory := arena.New()
		l := testLimits()
		disk := &fakeDisk{rng: rng}
		refs := fill(l, disk, rng, 60)
		// One read in ten is damaged, but never the repetition of a damaged one.
		bad := map[uint64]bool{}
		disk.damage = func(offset uint64, buffer []byte) int32 {
			if bad[offset] {
				delete(bad, offset)
				return 0
			}
			if rng.IntN(10) > 0 {
				return 0
			}
			bad[offset] = true
			buffer[rng.IntN(len(buffer))] ^= 4
			return []int32{0, -5, 100}[rng.IntN(3)]
		}
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		for range 20000 {
			ref, page := refs[rng.IntN(len(refs))], uint32(rng.IntN(8))
			if rng.IntN(3) == 0 {
				g.Try(ref, page)
				continue
			}
			got := g.Page(ref, page, poller{g})
			offset := gridOffset + g.geometry.Offset(ref.Address, page)
			want := disk.data[offset : offset+uint64(l.PageBytes)]
			if page == 0 {
				want = want[:g.geometry.HeaderUsedBytes()]
				got = got[:len(want)]
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: block %d page %d differs", seed, ref.Address, page)
			}
			if g.InFlight() > readsMax {
				t.Fatal("too many reads")
			}
		}
		if g.Fault() != nil {
			t.Fatalf("seed %d: %v", seed, g.Fault())
		}
		memory.Close()
	}
}

// A page that stays damaged is not served: demanded it is a fault, read ahead it is forgotten.
func TestDamageIsAFaultWhenDemanded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, where := range []string{"header", "page", "unreadable", "stale", "behind the end"} {
		memory := arena.New()
		l := testLimits()
		disk := &fakeDisk{}
		refs := fill(l, disk, rng, 3)
		ref := refs[1]
		geometry := block.GeometryOf(l)
		at := gridOffset + geometry.Offset(ref.Address, 0)
		switch where {
		case "header":
			disk.data[at+40] ^= 1
		case "page":
			disk.data[at+uint64(2*l.PageBytes)+7] ^= 1
		case "unreadable":
			disk.damage = func(offset uint64, _ []byte) int32 {
				if offset == at+uint64(2*l.PageBytes) {
					return -5
				}
				return 0
			}
		case "stale": // the whole block of another address
			copy(disk.data[at:at+uint64(l.BlockBytes)], disk.data[gridOffset:])
		case "behind the end":
			disk.data = disk.data[:at+uint64(l.PageBytes)]
		}
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		for range 10 {
			if _, ok := g.Try(ref, 2); ok {
				t.Fatalf("%s: damage is served", where)
			}
			g.Poll()
			g.Poll()
		}
		if g.Fault() != nil {
			t.Fatalf("%s: read ahead it is no fault: %v", where, g.Fault())
		}
		for range 20 {
			if g.Lookup(ref, 2) != nil {
				t.Fatalf("%s: damage is served", where)
			}
			g.Start(ref, 2)
			g.Poll()
		}
		if g.Fault() == nil || g.Fault().Address != ref.Address {
			t.Fatalf("%s: fault %v, want one of block %d", where, g.Fault(), ref.Address)
		}
		if got := g.Page(refs[0], 1, poller{g}); got == nil {
			t.Fatal("other blocks are still served")
		}
		memory.Close()
	}
}

// Reading neither hits nor misses allocates.
func TestNoAllocation(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	l := testLimits()
	disk := &fakeDisk{queued: make([]ports.DiskCompletion, 0, 64)}
	refs := fill(l, disk, rand.New(rand.NewPCG(2, 2)), 60)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	var w storage.Waiter = poller{g}
	i := 0
	if allocs := testing.AllocsPerRun(2000, func() {
		i++
		g.Page(refs[i*7%len(refs)], uint32(i%8), w)
	}); allocs != 0 {
		t.Fatalf("Page allocates %.2f times per call, want 0", allocs)
	}
}

func BenchmarkLookupCached(b *testing.B) {
	memory := arena.New()
	defer memory.Close()
	l := testLimits()
	l.CacheGridBytes = 64 << 20
	disk := &fakeDisk{queued: make([]ports.DiskCompletion, 0, 64)}
	refs := fill(l, disk, rand.New(rand.NewPCG(2, 2)), 1000)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	for _, ref := range refs {
		for page := range uint32(8) {
			g.Page(ref, page, poller{g})
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7919
		if g.Lookup(refs[i%len(refs)], uint32(1+i%7)) == nil {
			b.Fatal("miss")
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	memory := arena.New()
	defer memory.Close()
	l := limits.Production()
	l.CacheGridBytes = 1 << 20
	disk := &fakeDisk{queued: make([]ports.DiskCompletion, 0, 64)}
	refs := fill(l, disk, rand.New(rand.NewPCG(2, 2)), 20)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	b.ReportAllocs()
	b.SetBytes(int64(l.PageBytes))
	i := 0
	for b.Loop() {
		i += 7919
		g.Page(refs[i%len(refs)], uint32(1+i%31), poller{g})
	}
}

// Goal: what is looked for is counted once, found or not, however long it is waited for.
func TestLookupsCounted(t *testing.T) {
	l := testLimits()
	memory := arena.New()
	defer memory.Close()
	disk := &fakeDisk{}
	refs := fill(l, disk, rand.New(rand.NewPCG(1, 1)), 1)
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	find := func(page uint32) {
		if g.Lookup(refs[0], page) == nil {
			g.Page(refs[0], page, poller{g})
		}
	}
	for _, page := range []uint32{0, 1, 1, 0, 2, 1} {
		find(page)
	}
	got := g.Statistics()
	if got.PageLookups != 4 || got.PageHits != 2 || got.HeaderLookups != 2 || got.HeaderHits != 1 || got.Reads != 3 {
		t.Errorf("%+v", got)
	}
}
