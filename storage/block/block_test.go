package block

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"ledger/limits"
	"ledger/storage"
	"ledger/wire"
)

var cluster = wire.U128{Lo: 7, Hi: 9}

func geometries() map[string]Geometry {
	small := limits.Production()
	small.SectorBytes, small.PageBytes, small.BlockBytes = 512, 512, 4096
	middle := small
	middle.PageBytes = 1024
	return map[string]Geometry{"production": GeometryOf(limits.Production()), "512": GeometryOf(small), "1024": GeometryOf(middle)}
}

// Any bit that flips in a sealed block is found, and so is a block that stands in another's place.
func TestVerifyFindsDamage(t *testing.T) {
	for name, g := range geometries() {
		rng := rand.New(rand.NewPCG(1, 2))
		buffer := make([]byte, g.BlockBytes)
		header := Begin(&g, buffer)
		pages := g.PagesMax
		for page := uint32(1); page < pages; page++ {
			for i := page * g.PageBytes; i < (page+1)*g.PageBytes; i++ {
				buffer[i] = byte(rng.Uint32())
			}
			header.PageSet(page, &storage.Key{byte(page)}, page*10)
		}
		fields := Fields{Cluster: cluster, Address: 5, Kind: KindTable, Tree: 3, Encoding: storage.EncodingPlain, PagesUsed: pages,
			FilterPages: 1, Entries: 99, KeyMax: storage.Key{9}, Partial: true}
		ref := Seal(&g, buffer, &fields)
		if fault := VerifyBlock(&g, buffer, ref, cluster); fault != nil {
			t.Fatalf("%s: sound block: %v", name, fault)
		}
		if header.Entries() != 99 || header.Tree() != 3 || header.DataPages() != pages-2 || header.FirstEntry(2) != 20 ||
			*header.FirstKey(2) != (storage.Key{2}) || *header.KeyMax() != (storage.Key{9}) || !header.Partial() || header.Address() != 5 {
			t.Fatalf("%s: fields differ", name)
		}
		for range 200 {
			bit := rng.Uint32N(g.BlockBytes * 8)
			buffer[bit/8] ^= 1 << (bit % 8)
			if VerifyBlock(&g, buffer, ref, cluster) == nil {
				t.Fatalf("%s: flipped bit %d is not found", name, bit)
			}
			buffer[bit/8] ^= 1 << (bit % 8)
		}
		other := ref
		other.Address++
		if VerifyBlock(&g, buffer, other, cluster) == nil {
			t.Fatalf("%s: a misdirected block is not found", name)
		}
		if VerifyBlock(&g, buffer, ref, wire.U128{}) == nil {
			t.Fatalf("%s: a block of another cluster is not found", name)
		}
	}
}

type memoryFile struct {
	data         []byte
	unreadableAt uint64 // 0: all can be read
}

func (f *memoryFile) ReadAt(buffer []byte, offset uint64) error {
	if at := f.unreadableAt; at > 0 && at >= offset && at < offset+uint64(len(buffer)) {
		return errors.New("a sector is unreadable")
	}
	clear(buffer)
	if offset < uint64(len(f.data)) {
		copy(buffer, f.data[offset:])
	}
	return nil
}
func (f *memoryFile) WriteAt(buffer []byte, offset uint64) error {
	copy(f.data[offset:], buffer)
	return nil
}
func (f *memoryFile) SizeBytes() (uint64, error) { return uint64(len(f.data)), nil }

// A trailer of any length comes back as it was written. A damaged or shortened one, or one of
// another kind, is refused.
func TestTrailer(t *testing.T) {
	for name, g := range geometries() {
		rng := rand.New(rand.NewPCG(3, 4))
		capacity := int(g.trailerCapacity())
		for _, length := range []int{
			0, 1, int(g.PageBytes), capacity - 1, capacity, capacity + 1,
			2*capacity - 24, 2*capacity - 23, 3*capacity + 17, 64*capacity + 5, 300 * capacity,
		} {
			content := make([]byte, length)
			for i := range content {
				content[i] = byte(rng.Uint32())
			}
			chunks := [][]byte{nil}
			for rest := content; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(capacity))
				chunks = append(chunks, rest[:n])
				rest = rest[n:]
			}
			blocks := int(g.TrailerBlocks(uint64(length)))
			const gridOffset = 1 << 12
			file := &memoryFile{data: make([]byte, gridOffset+(blocks*2+2)*int(g.BlockBytes))}
			trailer := NewTrailer(&g, cluster, storage.TrailerSessions, chunks, make([]storage.Ref, blocks))
			buffer := make([]byte, g.BlockBytes)
			var root storage.Ref
			for i := range blocks {
				ref, used := trailer.Build(buffer, uint64(i*2+1))
				if trailer.Unbuilt() != uint64(blocks-1-i) {
					t.Fatalf("%d of %d blocks are left", trailer.Unbuilt(), blocks-1-i)
				}
				_ = file.WriteAt(buffer[:used], gridOffset+g.Offset(ref.Address, 0))
				root = ref
			}
			if length > 0 && HeaderPage(buffer).Entries() != uint32(blocks-1) {
				t.Fatalf("%s, %d bytes: the root lists %d of %d other blocks", name, length, HeaderPage(buffer).Entries(), blocks-1)
			}
			got := make([]byte, length)
			visited := 0
			read := func() *storage.Fault {
				return ReadTrailer(file, gridOffset, &g, cluster, storage.TrailerSessions, root, got, buffer, func(uint64) { visited++ })
			}
			if fault := read(); fault != nil || !bytes.Equal(got, content) || visited != blocks {
				t.Fatalf("%s, %d bytes: fault %v, equal %t, visited %d of %d", name, length, fault, bytes.Equal(got, content), visited, blocks)
			}
			if length == 0 {
				continue
			}
			file.data[gridOffset+int(g.PageBytes)] ^= 1 // the first block's content
			if read() == nil {
				t.Fatalf("%s, %d bytes: damage is not found", name, length)
			}
			file.data[gridOffset+int(g.PageBytes)] ^= 1
			if ReadTrailer(file, gridOffset, &g, cluster, storage.TrailerManifest, root, got, buffer, nil) == nil {
				t.Fatalf("%s: another kind's trailer is taken", name)
			}
			for _, other := range []int{length - 1, length + 1, length - capacity, length + capacity} {
				if other < 0 {
					continue
				}
				if ReadTrailer(file, gridOffset, &g, cluster, storage.TrailerSessions, root, make([]byte, other), buffer, nil) == nil {
					t.Fatalf("%s: a trailer of %d bytes is taken for one of %d", name, length, other)
				}
			}
		}
	}
}

// No header page, however mangled, makes the verifiers panic.
func FuzzVerifyBlock(f *testing.F) {
	g := geometries()["512"]
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, data []byte) {
		buffer := make([]byte, g.BlockBytes)
		copy(buffer, data)
		// Make the checksums right, so that the checks behind them are reached.
		header := HeaderPage(buffer[:g.PageBytes])
		sum := Checksum(header[16:])
		copy(header, sum[:])
		ref := storage.Ref{Address: header.Address(), Checksum: sum}
		VerifyBlock(&g, buffer, ref, wire.U128FromBytes(header[atCluster:]))
	})
}

func BenchmarkSeal(b *testing.B) {
	g := GeometryOf(limits.Production())
	buffer := make([]byte, g.BlockBytes)
	b.SetBytes(int64(g.BlockBytes))
	b.ReportAllocs()
	for b.Loop() {
		Seal(&g, buffer, &Fields{Address: 1, Kind: KindTable, PagesUsed: g.PagesMax})
	}
}

// Goal: behind a damaged block of a trailer the others are found as long as their names are known,
// and each block that is visited is whole or has a fault.
func TestWalkTrailer(t *testing.T) {
	g := geometries()["512"]
	content := make([]byte, 300*int(g.trailerCapacity()))
	blocks := g.TrailerBlocks(uint64(len(content)))
	file, buffer := &memoryFile{data: make([]byte, (blocks+1)*uint64(g.BlockBytes))}, make([]byte, g.BlockBytes)
	trailer := NewTrailer(&g, cluster, storage.TrailerReplies, [][]byte{content}, make([]storage.Ref, blocks))
	var root storage.Ref
	for trailer.Unbuilt() > 0 {
		address := trailer.Unbuilt()
		var used uint32
		root, used = trailer.Build(buffer, address)
		copy(file.data[g.Offset(address, 0):], buffer[:used])
	}
	named := g.trailerCapacity() / nameBytes // blocks that the root names
	for _, damaged := range []uint64{1, 2, 3, blocks - 1, blocks} {
		at := g.Offset(damaged, 1)
		file.data[at] ^= 1
		whole, faults := uint64(0), uint64(0)
		WalkTrailer(file, 0, &g, cluster, storage.TrailerReplies, root, uint64(len(content)), buffer,
			func(ref storage.Ref, part []byte, fault *storage.Fault) bool {
				if fault == nil {
					whole++
				} else if faults++; fault.Address != damaged || len(part) > 0 {
					t.Errorf("block %d is damaged, fault %v", damaged, fault)
				}
				return true
			})
		file.data[at] ^= 1
		if isNamed := damaged > named; faults != 1 || isNamed && whole+1 != blocks || damaged == 1 && whole > 0 {
			t.Errorf("block %d of %d is damaged: %d are whole, %d faults", damaged, blocks, whole, faults)
		}
		if damaged > 1 && whole < named {
			t.Errorf("block %d of %d is damaged: only %d others are found, the root names %d", damaged, blocks, whole, named)
		}
	}
}

// Goal: a block is read although the disk does not give a page that is not used, and is not one of
// whose used pages that is true.
func TestReadBlockUnreadable(t *testing.T) {
	g := geometries()["512"]
	const gridOffset = 1 << 12
	file := &memoryFile{data: make([]byte, gridOffset+g.BlockBytes)}
	buffer := make([]byte, g.BlockBytes)
	trailer := NewTrailer(&g, cluster, storage.TrailerReplies, [][]byte{make([]byte, 2*g.PageBytes)}, nil)
	ref, usedBytes := trailer.Build(buffer, 1)
	_ = file.WriteAt(buffer[:usedBytes], gridOffset)
	if usedBytes != 3*g.PageBytes || usedBytes == g.BlockBytes {
		t.Fatalf("%d bytes are used", usedBytes)
	}
	for page := range g.PagesMax {
		file.unreadableAt = gridOffset + g.Offset(1, page)
		fault := ReadBlock(file, gridOffset, &g, cluster, ref, buffer)
		if isUsed := page < 3; (fault != nil) != isUsed || isUsed && fault.What != storage.FaultDisk {
			t.Errorf("page %d: fault %v", page, fault)
		}
	}
}
