package replica

import (
	"errors"
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/stages/journal"
	"ledger/storage"
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
	if need := int(offset) + len(buffer); need > len(f.bytes) {
		f.bytes = append(f.bytes, make([]byte, need-len(f.bytes))...)
	}
	copy(f.bytes[offset:], buffer)
	return nil
}

func (f *memoryFile) SizeBytes() (uint64, error) { return uint64(len(f.bytes)), nil }
func (f *memoryFile) Sync() error                { return nil }

// A log that ends before an op that was on disk when the superblock was written has lost
// acknowledged ops: it is refused. Else each start takes a view of its own.
func TestOpenCommitMax(t *testing.T) {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax, l.MessageBytesMax = 32, 4, 4, 4, 8192
	l.TwinBytes = 4096
	l.RequestBytesMax, l.GroupBytesMax = 8192, 8192-limits.HeaderBytes
	memory := arena.New()
	defer memory.Close()
	file := &memoryFile{}
	scratch := memory.Bytes(1<<20, 4096, "scratch")
	options := datafile.FormatOptions{Cluster: wire.U128{Lo: 3}, ReplicasCount: 1, Incarnation: 1}
	if err := datafile.Format(file, &l, &options, scratch); err != nil {
		t.Fatal(err)
	}
	for view := range uint32(3) {
		o, err := Open(file, l, memory)
		if err != nil || o.Consensus.Superblock.View != view+1 || o.Consensus.OpHead != 0 {
			t.Fatalf("start %d: %+v, %v", view, o, err)
		}
	}
	superblock, err := datafile.OpenSuperblock(file, &l, scratch)
	if err != nil {
		t.Fatal(err)
	}
	next := superblock.Superblock
	next.Sequence, next.Parent, next.CommitMax = next.Sequence+1, superblock.Checksum, 5
	if _, err := datafile.WriteSuperblock(file, &l, &next, scratch); err != nil {
		t.Fatal(err)
	}
	_, err = Open(file, l, memory)
	var damage *journal.DamageError
	if !errors.As(err, &damage) || !strings.Contains(err.Error(), "ends at op 0, but op 5") || damage.Fault().What != storage.FaultLog {
		t.Fatalf("error %v", err)
	}
}

// A limit below the file's size is a reached limit, and the error names both sizes; the file is not
// touched.
func TestOpenBelowTheStorageLimit(t *testing.T) {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax, l.MessageBytesMax = 32, 4, 4, 4, 8192
	l.TwinBytes = 4096
	l.RequestBytesMax, l.GroupBytesMax = 8192, 8192-limits.HeaderBytes
	memory := arena.New()
	defer memory.Close()
	file := &memoryFile{}
	scratch := memory.Bytes(1<<20, 4096, "scratch")
	options := datafile.FormatOptions{Cluster: wire.U128{Lo: 3}, ReplicasCount: 1, Incarnation: 1}
	if err := datafile.Format(file, &l, &options, scratch); err != nil {
		t.Fatal(err)
	}
	file.bytes = append(file.bytes, make([]byte, 8<<20-len(file.bytes))...)
	l.StorageBytesMax = 8<<20 - 1
	_, err := Open(file, l, memory)
	if !errors.Is(err, ErrStorageLimit) || !strings.Contains(err.Error(), "8388608 bytes") || !strings.Contains(err.Error(), "8388607 bytes") {
		t.Fatalf("error %v", err)
	}
	l.StorageBytesMax = 8 << 20
	if _, err := Open(file, l, memory); err != nil {
		t.Fatal(err)
	}
}
