package replica

import (
	"os"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage/datafile"
)

// superblockOf reads the superblock of a file that no server has.
func superblockOf(t *testing.T, path string, l *limits.Limits) datafile.Superblock {
	t.Helper()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	superblock, err := datafile.OpenSuperblock(file, l, memory.Bytes(uint64(l.MessageBytesMax), 4096, "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	return superblock.Superblock
}

// Goal: a server that is about to be stopped with much in its log has a checkpoint first, and the
// next start executes hardly more than a bar of no-ops. Its clients go on with their sessions. That
// checkpoint is the one that any execution of the same log takes: it comes out again when the log
// is executed from its first op, by other workers.
func TestLeave(t *testing.T) {
	l := limits.Development()
	l.JournalSlotsCount, l.BarOps, l.SlackOps = 256, 8, 16 // a checkpoint after 224 ops
	l.MemtableRowsSeal, l.CacheGridBytes, l.CacheAccountsMax = 1024, 32<<20, 1<<16
	l.TailEventsMax = 1000
	const checkpointOp, triggerOp = 223, 231
	path := formatted(t, l)
	formattedBytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	layout := datafile.NewLayout(&l)

	s := started(t, path, l, IOAuto)
	c := registered(t, s.address, 1)
	c.makeAccounts(1, 100)
	next := uint64(1)
	for op := range uint64(60) {
		c.makeTransfers(next, 200, 1+op%99, 100)
		next += 200
	}
	select {
	case <-s.server.Leave():
	case err := <-s.ended:
		t.Fatal(err)
	}
	s.close()
	want := superblockOf(t, path, &l).Checkpoint
	if want.Op != checkpointOp {
		t.Fatalf("the server may be stopped at checkpoint %d, want %d", want.Op, checkpointOp)
	}
	s = started(t, path, l, IOAuto)
	if head := s.server.opened.Consensus.OpHead; head != triggerOp {
		t.Errorf("the log ends at op %d, want the trigger, %d", head, triggerOp)
	}
	c.address = s.address
	c.connect()
	c.makeTransfers(next, 200, 1, 100)
	<-s.server.Leave() // at once, since little is in the log
	s.close()
	if got := superblockOf(t, path, &l).Checkpoint.Op; got != checkpointOp {
		t.Errorf("with 200 events in the log a stop takes checkpoint %d", got)
	}

	for _, workers := range []uint32{1, 4} {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(formattedBytes[:layout.TwinsAt], 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(int64(layout.GridAt)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		l.CompactWorkers = workers
		s := started(t, path, l, IOAuto)
		<-s.server.Leave()
		s.close()
		if got := superblockOf(t, path, &l).Checkpoint; got != want {
			t.Errorf("%d workers: the checkpoint that the log leads to is %+v, want %+v", workers, got, want)
		}
	}
}
