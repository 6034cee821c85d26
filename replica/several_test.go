package replica

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages/journal"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// formattedOf is a data file in memory, of a small log: that of one replica of several.
func formattedOf(t *testing.T, index, count uint8, memory *arena.Arena) (*memoryFile, limits.Limits) {
	t.Helper()
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax, l.MessageBytesMax = 32, 4, 4, 4, 8192
	l.TwinBytes = 4096
	l.RequestBytesMax, l.GroupBytesMax = 8192, 8192-limits.HeaderBytes
	file := &memoryFile{}
	options := datafile.FormatOptions{Cluster: wire.U128{Lo: 3}, Replica: index, ReplicasCount: count, Incarnation: 7}
	if err := datafile.Format(file, &l, &options, memory.Bytes(1<<20, 4096, "scratch")); err != nil {
		t.Fatal(err)
	}
	return file, l
}

// Goal: one of several replicas starts in the view that its superblock has. A start of a log
// without damage writes nothing at all, while a single replica takes a new view. What the log
// says, goes to consensus.
func TestOpenOfSeveral(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	for _, count := range []uint8{2, 3, 4, 5, 6} {
		index := count - 1
		file, l := formattedOf(t, index, count, memory)
		scratch := memory.Bytes(1<<20, 4096, "scratch")
		was, err := datafile.OpenSuperblock(file, &l, scratch)
		if err != nil {
			t.Fatal(err)
		}
		next := was.Superblock
		next.Sequence, next.Parent, next.View, next.LogView, next.CommitMax = 2, was.Checksum, 5, 4, 1
		var headers [3][prepare.HeaderBytes]byte
		parent := was.Checkpoint.PrepareChecksum
		for op := range headers {
			h := prepare.Put(headers[op][:], &prepare.Fields{Parent: parent, Cluster: next.Cluster, Op: uint64(op) + 1, View: 4,
				SizeBytes: 256, RequestsCount: 1, Command: prepare.CommandPrepare, Operation: wire.OperationNoop}, prepare.Sum(nil))
			parent = h.Checksum()
		}
		for i := range headers {
			next.Headers[i] = headers[len(headers)-1-i]
		}
		next.HeadersCount = uint8(len(headers))
		uncertain := vsr.Set{}
		uncertain.Add(9)
		uncertain.Put(&next.Uncertain)
		checksum, err := datafile.WriteSuperblock(file, &l, &next, scratch)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(file.bytes)
		for start := range 2 {
			o, err := Open(file, l, memory)
			if err != nil {
				t.Fatalf("%d replicas, start %d: %v", count, start, err)
			}
			c := &o.Consensus
			if c.Superblock != next || c.SuperblockChecksum != checksum || c.OpHead != 3 || c.CommitMax != 1 || c.Uncertain != uncertain {
				t.Errorf("%d replicas, start %d: %+v", count, start, c)
			}
			// The list's prepares are not in the log: their headers are known.
			dirty := vsr.Set{}
			for op := uint64(1); op <= 3; op++ {
				dirty.Add(op)
				if h := prepare.Header(c.Headers[op*256:][:256]); h.Op() != op || h.Checksum() != prepare.Header(headers[op-1][:]).Checksum() {
					t.Errorf("%d replicas: the header of op %d is %d", count, op, h.Op())
				}
			}
			if c.Dirty != dirty || c.Faulty != (vsr.Set{}) {
				t.Errorf("%d replicas: dirty %x, faulty %x", count, c.Dirty[0], c.Faulty[0])
			}
			if o.Limits.ReplicasCount != uint32(count) {
				t.Errorf("limits say %d replicas, want %d", o.Limits.ReplicasCount, count)
			}
			if !bytes.Equal(file.bytes, before) {
				t.Fatalf("%d replicas: start %d has written to the file", count, start)
			}
		}
	}
}

// Goal: a superblock whose position no format can have written is refused, with the values and the
// limits.
func TestPosition(t *testing.T) {
	for _, c := range []struct {
		index, count uint8
		want         string
	}{
		{0, 1, ""}, {5, 6, ""}, {2, 3, ""},
		{0, 0, "0 replicas; they are 1 to 6"},
		{0, 7, "7 replicas; they are 1 to 6"},
		{3, 3, ""}, {11, 6, ""}, // standbys
		{9, 3, "replica 9 of 3"}, {1, 1, "replica 1 of 1"},
		{255, 2, "replica 255 of 2"},
	} {
		err := checkPosition(c.index, c.count)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("replica %d of %d: %v, want %q", c.index, c.count, err, c.want)
		}
	}
}

// Goal: the error of a fault says what it means for a cluster: a single replica has no other copy,
// one of several needs what the others have, and a failing disk is its own affair.
func TestFaultOfSeveral(t *testing.T) {
	for _, c := range []struct {
		what   string
		count  uint32
		needs  bool
		phrase string
	}{
		{storage.FaultBlock, 1, false, "a single replica has no other copy"},
		{storage.FaultLog, 1, false, "a single replica has no other copy"},
		{storage.FaultBlock, 3, true, "the other replicas have what this one needs"},
		{storage.FaultBehind, 3, true, "the other replicas have what this one needs"},
		{storage.FaultLog, 3, false, "stopped: log: why"},
		{storage.FaultDisk, 3, false, "stopped: disk: why"},
		{storage.FaultSuperblock, 6, false, "stopped: superblock: why"},
	} {
		err := ofReplicas(faultError(&storage.Fault{What: c.what, Reason: "why"}), c.count)
		var fault *FaultError
		if !errors.As(err, &fault) || fault.NeedsOthers() != c.needs || !strings.Contains(err.Error(), c.phrase) {
			t.Errorf("%s of %d replicas: %v", c.what, c.count, err)
		}
	}
	for _, err := range []error{nil, errors.New("another"), faultError(&storage.Fault{What: storage.FaultNoSpace})} {
		if got := ofReplicas(err, 3); got != err {
			t.Errorf("%v has become %v", err, got)
		}
	}
}

// Goal: a start says what the log of one of several replicas lacks, with the numbers, and nothing
// of a log that is whole.
func TestLogWarnings(t *testing.T) {
	log := journal.Several{}
	if got := logWarnings(&log, false); len(got) > 0 {
		t.Errorf("a whole log: %q", got)
	}
	for op := uint64(3); op < 9; op++ {
		log.Faulty.Add(op)
	}
	log.Uncertain.Add(1023)
	log.Uncertain.Add(64)
	got := strings.Join(logWarnings(&log, false), "; ")
	if !strings.HasPrefix(got, "6 slots of the log do not prove") || !strings.Contains(got, "uncertain: 2 ops above it") {
		t.Errorf("%q", got)
	}
}
