package consensus

import (
	"testing"

	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// Goal: a prepare of the log that does not read back right, or that the log has not got, stops a
// single replica: with the fault that journal names, word for word, and before the op is executed.
// The ops before it are executed or not, and clients are never served.
func TestDamagedRead(t *testing.T) {
	damage := &storage.Fault{What: storage.FaultLog, Reason: "the prepare of op 3 is damaged; a start looks for another copy"}
	disk := &storage.Fault{What: storage.FaultDisk, Reason: "reading the prepare of op 3: result -5"}
	for _, c := range []struct {
		name  string
		read  stages.JournalReadResult
		fault *storage.Fault
		want  string
	}{
		{"damaged", stages.ReadDamaged, damage, damage.Reason},
		{"the disk fails", stages.ReadDamaged, disk, disk.Reason},
		{"absent", stages.ReadAbsent, nil, "the log has another prepare in the place of op 3"},
	} {
		w := newTester(t, testLimits())
		f := w.register(5)
		for range 5 {
			f = w.next(f)
		}
		w.crash(false, false)
		for turns := 0; w.fault == nil; turns++ {
			w.turn()
			if turns > 100 || w.ready {
				t.Fatalf("%s: the replica goes on", c.name)
			}
			for i, r := range w.reads {
				if r.Op == 3 {
					w.reads = append(w.reads[:i], w.reads[i+1:]...)
					w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalReadDone, Read: c.read, Slot: r.Slot,
						Op: 3, Checksum: r.Checksum, Fault: c.fault})
					break
				}
			}
			w.finishRead(0)
			w.finishCommit()
		}
		if w.executed >= 3 || w.fault.Reason != c.want || c.fault != nil && w.fault.What != c.fault.What {
			t.Errorf("%s: op %d is executed, fault %v, want %s", c.name, w.executed, w.fault, c.want)
		}
		if c.fault != nil && !w.stage.log.isFaulty(3) {
			t.Errorf("%s: the slot of op 3 is not faulty", c.name)
		}
		w.turn() // nothing is wanted any more
	}
}

// Goal: catching up is no phase of a start. Ops that come into the log while the replica serves, as
// a backup gets them, are read from the log, in the budget of the commit queue, and executed as
// soon as they are known to be committed. They change the sessions, and nobody is sent their
// replies.
func TestLoadWhileServing(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(5)
	w.settle()
	s := w.stage
	w.answers = nil
	first := s.log.head() + 1
	const ops = 11
	for op := first; op < first+ops; op++ {
		f.Operation, f.Release, f.Cluster = wire.OperationLookupAccountsUnbatched, testRelease, testCluster
		f.Number = uint32(op)
		header := prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{Op: op, Commit: op - 1,
			Parent: s.log.checksum(op - 1), Cluster: testCluster, Timestamp: s.log.timestampLast() + 1, View: w.superblock.View,
			SizeBytes: prepare.HeaderBytes, RequestsCount: 1, Client: f.Client,
			Request: f.Number, RequestChecksum: wire.Checksum{byte(op)}, Session: f.Session, Release: testRelease, RequestLimit: 1 << 20,
			Operation: f.Operation, Command: prepare.CommandPrepare}, prepare.Sum(nil))
		s.log.append(header)
		s.log.beginWrite(op)
		s.log.endWrite(op, header.Checksum())
		w.log[op], w.head = header, op
	}
	w.turn()
	if len(w.reads)+len(w.commits) != 0 {
		t.Fatal("an op is read or executed that is not known to be committed")
	}
	for _, committed := range []uint64{first + 1, first + 1, first + ops - 2, first + ops - 1} {
		s.commits.raiseMax(committed)
		w.turn()
		if len(w.reads) > int(w.l.PipelineOpsMax) {
			t.Fatalf("%d reads at once, the commit queue has room for %d ops", len(w.reads), w.l.PipelineOpsMax)
		}
		w.settle()
		if s.commits.min() != committed || w.executed != committed {
			t.Fatalf("commit_min %d, executed %d, want %d", s.commits.min(), w.executed, committed)
		}
	}
	if len(w.answers) != 0 {
		t.Fatalf("%d answers to requests that nobody sent here", len(w.answers))
	}
	w.checkQuiet()
}

// Goal: journal hears that a slot of the log has no right copy, so that it writes one copy after
// the other, also when another prepare has taken the place of the damaged one.
func TestFaultySlotIsWrittenInTurn(t *testing.T) {
	w := newTester(t, testLimits())
	s := w.stage
	for _, isFaulty := range []bool{false, true} {
		header, slot := w.foreign(s.log.head() + 1)
		var out Actions
		s.send.begin(&out)
		s.log.append(header)
		if isFaulty { // the prepare that had this op before a view change
			s.log.damaged(header.Op(), header.Checksum())
			s.log.truncate(header.Op() - 1)
			s.log.append(header)
			if s.log.isFaulty(header.Op()) {
				t.Fatal("a prepare that never was on disk is faulty")
			}
		}
		s.log.beginWrite(header.Op())
		s.send.append(header.Op(), slot, s.log.writesInTurn(header.Op()))
		if len(out.Journal) != 1 || out.Journal[0].InTurn != isFaulty {
			t.Fatalf("faulty %v: the prepare is written as if its slot were clean, or the other way round: %+v", isFaulty, out.Journal)
		}
	}
}
