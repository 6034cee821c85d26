package grid

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
)

// Goal: parts of blocks are returned as they were written, beside page reads, in whatever order the
// disk answers and although each place may fail once. Parts that are ended meanwhile do no harm.
func TestBlocksAreReadAsWritten(t *testing.T) {
	random := seeded.Rand(t)
	memory := arena.New()
	defer memory.Close()
	l := testLimits()
	disk := &fakeDisk{rng: random}
	refs := fill(l, disk, random, 40)
	failed := map[uint64]bool{}
	disk.damage = func(offset uint64, buffer []byte) int32 {
		if failed[offset] || random.IntN(4) > 0 {
			return 0
		}
		failed[offset] = true
		buffer[random.IntN(len(buffer))] ^= 4
		return []int32{0, -5, 100}[random.IntN(3)]
	}
	g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
	type part struct {
		ref          storage.Ref
		first, count uint32
		next         uint32 // page
	}
	var parts [BlocksMax]*part
	read, ended := 0, 0
	for range 20_000 {
		i := random.IntN(BlocksMax)
		p := parts[i]
		switch {
		case p == nil && g.BlockIsFree(i):
			p = &part{ref: refs[random.IntN(len(refs))], first: 1 + random.Uint32N(g.geometry.PagesMax-1)}
			p.count = 1 + random.Uint32N(g.geometry.PagesMax-p.first)
			if random.IntN(4) == 0 {
				p.first, p.count = 1, 0
			}
			g.BlockStart(i, p.ref, p.first, p.count)
			if p.count == 0 {
				p.count = g.geometry.PagesMax - 1
			}
			parts[i], p.next = p, p.first
		case p != nil && random.IntN(50) == 0:
			g.BlockEnd(i)
			parts[i] = nil
			ended++
		case p != nil:
			header, ok := g.BlockHeader(i)
			if !ok {
				break
			}
			if header.Address() != p.ref.Address {
				t.Fatalf("block %d, want %d", header.Address(), p.ref.Address)
			}
			page, ok := g.BlockPage(i, p.next)
			if !ok {
				break
			}
			at := gridOffset + g.geometry.Offset(p.ref.Address, p.next)
			if !bytes.Equal(page, disk.data[at:][:l.PageBytes]) {
				t.Fatalf("block %d page %d differs", p.ref.Address, p.next)
			}
			if p.next++; p.next == p.first+p.count {
				g.BlockEnd(i)
				parts[i] = nil
				read++
			}
		}
		if random.IntN(4) == 0 {
			g.Try(refs[random.IntN(len(refs))], uint32(random.IntN(8)))
		}
		if random.IntN(2) == 0 {
			g.Poll()
		}
		if g.Fault() != nil {
			t.Fatal(g.Fault())
		}
	}
	for g.BlocksInFlight() > 0 {
		g.Poll()
	}
	if read < 500 || ended < 100 || g.Statistics().Damaged < 20 {
		t.Errorf("%d parts read, %d ended, %d failures: the test shows little", read, ended, g.Statistics().Damaged)
	}
}

// Goal: a part of a block that stays damaged is a fault with the block's name for as long as it is
// wanted. One that is ended, or that Reset forgets, is none.
func TestWantedBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, harm := range map[string]func(d *fakeDisk, g *Grid, at uint64){
		"header":         func(d *fakeDisk, g *Grid, at uint64) { d.data[at+40] ^= 1 },
		"page":           func(d *fakeDisk, g *Grid, at uint64) { d.data[at+uint64(3*g.geometry.PageBytes)+7] ^= 1 },
		"behind the end": func(d *fakeDisk, g *Grid, at uint64) { d.data = d.data[:at+uint64(g.geometry.PageBytes)] },
		"unreadable": func(d *fakeDisk, g *Grid, at uint64) {
			d.damage = func(offset uint64, _ []byte) int32 {
				if offset >= at && offset < at+uint64(g.geometry.BlockBytes) {
					return -5
				}
				return 0
			}
		},
	} {
		memory := arena.New()
		l := testLimits()
		disk := &fakeDisk{}
		ref := fill(l, disk, rng, 3)[2]
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		harm(disk, g, gridOffset+g.geometry.Offset(ref.Address, 0))
		try := func(i int, first, count uint32) {
			g.BlockStart(i, ref, first, count)
			for range 10 {
				g.Poll()
				if _, ok := g.BlockHeader(i); ok {
					g.BlockPage(i, 3)
				}
			}
			if fault := g.Fault(); fault == nil || fault.Address != ref.Address || fault.Reason == "" {
				t.Errorf("%s: fault %v, want one of block %d", name, fault, ref.Address)
			}
		}
		try(0, 2, 2)
		try(1, 0, 0)
		g.BlockEnd(0)
		if g.Fault() == nil {
			t.Errorf("%s: the other part is still wanted", name)
		}
		g.BlockEnd(1)
		if g.Fault() != nil {
			t.Errorf("%s: fault %v of a block that nobody wants", name, g.Fault())
		}
		try(2, 1, 4)
		if g.Reset(poller{g}); g.Fault() != nil || !g.BlockIsFree(2) {
			t.Errorf("%s: fault %v after a reset", name, g.Fault())
		}
		memory.Close()
	}
}

// Goal: a whole block is read although the disk does not give its unused pages, which nobody writes
// again. One of whose used pages that is true is wanted.
func TestUnusedPagesDoNotMatter(t *testing.T) {
	l := testLimits()
	for _, beyond := range []uint32{0, 1} {
		memory := arena.New()
		disk := &fakeDisk{}
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		disk.data = make([]byte, gridOffset+uint64(l.BlockBytes))
		trailer := block.NewTrailer(&g.geometry, cluster, storage.TrailerManifest, [][]byte{make([]byte, 100)}, make([]storage.Ref, 1))
		ref, usedBytes := trailer.Build(disk.data[gridOffset:], 1)
		at, used := uint64(gridOffset), usedBytes/l.PageBytes
		bad := at + uint64((used-1+beyond)*l.PageBytes)
		disk.damage = func(offset uint64, data []byte) int32 {
			if offset <= bad && bad < offset+uint64(len(data)) {
				return -5
			}
			return 0
		}
		if used == g.geometry.PagesMax {
			t.Fatal("the block has no unused page")
		}
		g.BlockStart(0, ref, 0, 0)
		for range 20 {
			g.Poll()
		}
		_, isRead := g.BlockHeader(0)
		if isRead != (beyond == 1) || (g.Fault() == nil) != isRead {
			t.Errorf("page %d of %d used ones is bad: read %v, %v", used-1+beyond, used, isRead, g.Fault())
		}
		if isRead && len(g.BlockBytes(0)) != int(used*l.PageBytes) {
			t.Error("not all used pages are there")
		}
		memory.Close()
	}
}

// Goal: a trailer of any length comes back as it was built, one whose names fill several blocks
// too, and damage in any of its blocks is a fault of that block.
func TestReadTrailer(t *testing.T) {
	random := seeded.Rand(t)
	l := testLimits()
	geometry := block.GeometryOf(l)
	for _, size := range []int{0, 1, 3000, 3584, 3585, 7000, 40_000, 700_000} {
		memory := arena.New()
		disk := &fakeDisk{rng: random}
		g := New(l, memory, disk, gridOffset, cluster, arena.Options{})
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		blocks := geometry.TrailerBlocks(uint64(size))
		disk.data = make([]byte, gridOffset+blocks*uint64(l.BlockBytes))
		trailer := block.NewTrailer(&geometry, cluster, storage.TrailerManifest, [][]byte{content}, make([]storage.Ref, blocks))
		root, buffer := storage.Ref{}, make([]byte, l.BlockBytes)
		for trailer.Unbuilt() > 0 {
			var used uint32
			address := trailer.Unbuilt()
			root, used = trailer.Build(buffer, address)
			copy(disk.data[gridOffset+geometry.Offset(address, 0):], buffer[:used])
		}
		names := make([]byte, geometry.TrailerNamesBytes(uint64(size)))
		got := make([]byte, size)
		if reason := g.ReadTrailer(storage.TrailerManifest, root, inPieces(got), names, poller{g}); reason != "" || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes in %d blocks: %q, or the content differs", size, blocks, reason)
		}
		if size == 0 {
			memory.Close()
			continue
		}
		address := 1 + random.Uint64N(blocks)
		disk.data[gridOffset+geometry.Offset(address, 1)] ^= 1
		func() {
			defer func() {
				if fault, ok := recover().(*storage.Fault); !ok || fault.Address != address {
					t.Errorf("%d bytes in %d blocks: fault %v, want one of block %d", size, blocks, fault, address)
				}
			}()
			g.ReadTrailer(storage.TrailerManifest, root, inPieces(got), names, stopper{g})
		}()
		memory.Close()
	}
}

// stopper panics with the fault, like a stage that never resumes the caller.
type stopper struct{ g *Grid }

func (s stopper) Wait() {
	s.g.Poll()
	if fault := s.g.Fault(); fault != nil {
		panic(fault)
	}
}
func (s stopper) Breathe() {}

// inPieces is the room for a trailer in three pieces, of which one is empty.
func inPieces(room []byte) [][]byte {
	at := len(room) / 3
	return [][]byte{room[:at], {}, room[at:]}
}
