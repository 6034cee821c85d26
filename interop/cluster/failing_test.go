package cluster

import (
	"testing"
	"time"
)

const (
	readsPerFailure = 5
	// statusDisk is the status of a server that stops because of its disk or its data file.
	statusDisk = 3
)

// TestFailingDisk has the disk of a backup fail one of 5 reads: the backup has what it cannot read
// from the others, and goes on. Then all its writes fail: it stops with a status and a reason, and
// the others go on.
func TestFailingDisk(t *testing.T) {
	f, o := newFaults(t)
	o.args = readingArgs
	g := newGroup(t, o)
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	g.fill(l)
	backup := (p.primary(g) + 1) % replicas
	g.kill(backup) // what it has in memory is not read
	g.start(backup)
	g.awaitCaughtUp(backup)
	f.failReads(backup, readsPerFailure)
	var wanted, lost, repaired uint64
	l.readDisk(g, backup, func() bool {
		wanted, lost, repaired = g.healing(backup)
		return repaired != 0
	})
	t.Logf("one of %d reads fails: %d blocks repaired, %d wanted, %d lost", readsPerFailure, repaired, wanted, lost)
	f.failReads(backup, 0)

	f.failWrites(backup, true)
	l.begin(100, 0)
	status, err := g.processes[backup].Ended(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status != statusDisk {
		t.Errorf("the backup ended with status %d, want %d", status, statusDisk)
	}
	l.awaitCalls(g, 8, backup)
	t.Logf("all writes fail: %s", g.files[backup].LogTail(3))
	f.failWrites(backup, false)
	g.start(backup)
	g.awaitCaughtUp(backup)
	l.end()
	g.finish(l)
}
