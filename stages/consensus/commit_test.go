package consensus

import (
	"testing"

	"ledger/stages"
	"ledger/storage"
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
