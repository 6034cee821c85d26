package inspect

import (
	"testing"

	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/wire"
)

// memoryFile is a data file in memory.
type memoryFile struct{ bytes []byte }

func (f *memoryFile) ReadAt(buffer []byte, offset uint64) error {
	clear(buffer)
	if offset < uint64(len(f.bytes)) {
		copy(buffer, f.bytes[offset:])
	}
	return nil
}

func (f *memoryFile) WriteAt(buffer []byte, offset uint64) error {
	if need := offset + uint64(len(buffer)); need > uint64(len(f.bytes)) {
		f.bytes = append(f.bytes, make([]byte, need-uint64(len(f.bytes)))...)
	}
	copy(f.bytes[offset:], buffer)
	return nil
}

func (f *memoryFile) SizeBytes() (uint64, error) { return uint64(len(f.bytes)), nil }

// tiny is small enough for a fuzzer.
func tiny() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes, l.SuperblockBytes = 512, 512, 4096, limits.SuperblockContentBytes
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 2
	l.MessageBytesMax, l.TwinBytes, l.RequestBytesMax, l.GroupBytesMax = 8192, 1024, 4096, 4096
	return l
}

// Goal: contents that no server writes, all of whose checksums are right, make no report panic: any
// bytes as the content of any trailer, as the header page of a block, as a slot of the log, and any
// checkpoint.
func FuzzContents(f *testing.F) {
	f.Add([]byte("a manifest"), uint8(0), uint64(7), uint64(3))
	f.Add(make([]byte, 600), uint8(2), uint64(600), uint64(0))
	f.Add(make([]byte, 9000), uint8(3), uint64(1)<<40, ^uint64(0))
	f.Fuzz(func(t *testing.T, content []byte, kind uint8, size, address uint64) {
		if len(content) > 64<<10 {
			return
		}
		l := tiny()
		file, scratch := &memoryFile{}, make([]byte, l.MessageBytesMax)
		cluster := wire.U128{Lo: 7}
		if err := datafile.Format(file, &l, &datafile.FormatOptions{Cluster: cluster, ReplicasCount: 1, Incarnation: 1}, scratch); err != nil {
			t.Fatal(err)
		}
		layout, g := datafile.NewLayout(&l), block.GeometryOf(l)
		trailerKind := storage.TrailerKind(kind % uint8(storage.TrailersCount))
		trailer := block.NewTrailer(&g, cluster, trailerKind, [][]byte{content}, make([]storage.Ref, g.TrailerBlocks(uint64(len(content)))+1))
		superblock := datafile.Superblock{Sequence: 2, Cluster: cluster, ReplicasCount: 1, SessionsMax: 64, Incarnation: 1,
			Release: limits.Release}
		checkpoint := &superblock.Checkpoint
		checkpoint.BlocksHigh = size
		checkpoint.Op = address
		if address%2 == 0 {
			checkpoint.Op = l.CheckpointAfter(0)
		}
		for trailer.Unbuilt() > 0 {
			at := trailer.Unbuilt()
			root, used := trailer.Build(scratch[:l.BlockBytes], at)
			checkpoint.Roots[trailerKind] = root
			if err := file.WriteAt(scratch[:used], layout.GridAt+g.Offset(at, 0)); err != nil {
				t.Fatal(err)
			}
		}
		checkpoint.TrailerBytes[trailerKind] = uint64(len(content))
		// The next trailer says something that is not so.
		other := (trailerKind + 1) % storage.TrailersCount
		checkpoint.Roots[other], checkpoint.TrailerBytes[other] = storage.Ref{Address: address, Checksum: wire.Checksum{kind}}, size
		// A page of anything, with a right checksum, in the place of a block, and a slot of anything.
		page := make([]byte, l.PageBytes)
		copy(page[16:], content)
		sum := block.Checksum(page[16:])
		copy(page, sum[:])
		_ = file.WriteAt(page, layout.GridAt+g.Offset(20, 0))
		_ = file.WriteAt(page, layout.TwinAt(uint64(kind)%32))
		if _, err := datafile.WriteSuperblock(file, &l, &superblock, scratch); err != nil {
			t.Fatal(err)
		}
		inspected, err := Open(file, l)
		if err != nil {
			t.Fatal(err)
		}
		defer inspected.Close()
		everything(inspected)
		_, _ = inspected.Block(20)
		if r, err := inspected.Verify(nil); err == nil && len(r.Damaged) == 0 && size != 0 {
			t.Error("nothing is damaged")
		}
	})
}
