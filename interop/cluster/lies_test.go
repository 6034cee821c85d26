package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

const (
	readsPerStray = 5
	// writesPerLoss is more than the copies of a superblock, so of each at most one is lost.
	writesPerLoss = 7
)

// TestLyingDisk has the disk of a backup bring other bytes than those asked for, and then leave
// writes out that it has acknowledged. Nobody may notice but the backup, which has to be whole in
// the end. Then its syncs fail: it stops with a status and a reason, and the others go on.
func TestLyingDisk(t *testing.T) {
	isLong(t)
	f, o := newFaults(t)
	o.args = append([]string{scrubbing}, readingArgs...)
	g := newGroup(t, o)
	r := &rotting{T: t, g: g, p: newProbe(t, g), l: newLoad(t, g, 4)}
	l := r.l
	g.fill(l)
	backup := (r.p.primary(g) + 1) % replicas
	restart := func() {
		g.kill(backup)
		g.awaitUnlocked(backup)
		g.start(backup)
		g.awaitCaughtUp(backup)
	}
	restart() // what it has in memory is not read
	f.strayReads(backup, readsPerStray)
	r.p.hurry(true)
	begun := time.Now()
	var damaged uint64
	l.readDisk(g, backup, func() bool {
		damaged, _ = g.metric(backup, "ledger_grid_damaged_pages")
		return damaged != 0
	})
	f.strayReads(backup, 0)
	_, _, repaired := g.healing(backup)
	r.row("reads bring what lies elsewhere", begun, "%d noticed, %d blocks repaired", damaged, repaired)

	begun = time.Now()
	var taken uint64
	g.await("the backup has got something of what its disk lost", func() bool { // a checkpoint may have covered all of it
		l.begin(batchFull, pauseBusy)
		f.loseWrites(backup, writesPerLoss)
		l.awaitCalls(g, 40)
		g.awaitCaughtUp(backup)
		f.loseWrites(backup, 0)
		restart()
		l.awaitCalls(g, 4)
		l.end()
		g.heal(l, backup)
		taken, _ = g.metric(backup, `ledger_cluster_repaired_prepares{event="taken"}`)
		_, _, repaired = g.healing(backup)
		return taken+repaired > 0
	})
	r.row("writes are acknowledged and lost", begun, "%d prepares and %d blocks from others after a restart", taken, repaired)

	begun = time.Now()
	f.failSyncs(backup, true)
	l.begin(1, 0)
	g.await("the backup ends", func() bool { return !g.processes[backup].Running() })
	status, err := g.processes[backup].Ended(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status != statusDisk {
		t.Errorf("the backup ended with status %d, want %d", status, statusDisk)
	}
	l.awaitCalls(g, 8, backup)
	l.end()
	r.p.hurry(false)
	_, said, _ := strings.Cut(g.files[backup].LogTail(1), "stopped: ")
	r.row("a sync fails", begun, "status %d: %s", status, said)
	f.failSyncs(backup, false)
	g.start(backup)
	g.awaitCaughtUp(backup)
	g.finish(l)
}

const (
	clockJump    = time.Hour // how wrong clocks are, in TestClockJumps
	messagesMany = 15
)

// TestClockJumps sets the wall clock of a backup, then of the primary, an hour ahead: nobody may
// notice, and time stamps have to stay right. Then the clocks of two replicas are wrong at a start,
// each in another way: no request may be taken until they are right again.
func TestClockJumps(t *testing.T) {
	f, o := newFaults(t)
	g := newGroup(t, o)
	r := &rotting{T: t, g: g, p: newProbe(t, g), l: newLoad(t, g, 4)}
	l := r.l
	r.p.hurry(true)
	for _, who := range []string{"a backup", "the primary"} {
		l.begin(10, pauseBusy)
		victim := r.p.primary(g)
		if who == "a backup" {
			victim = (victim + 1) % replicas
		}
		begun := time.Now()
		f.setClock(victim, clockJump)
		g.await("the replica says that its clock is ahead", func() bool {
			g.alive()
			off, _ := g.metric(victim, `ledger_cluster_clock_off_ns{direction="ahead"}`)
			return off > uint64(clockJump/2)
		})
		said := time.Since(begun)
		l.awaitCalls(g, 8)
		l.end()
		stamp := r.newestStamp()
		if off := time.Since(time.Unix(0, int64(stamp))); off.Abs() > clockJump/2 {
			t.Errorf("the clock of %s was wrong by %v, and a new transfer has a time stamp that is wrong by %v", who, clockJump, -off)
		}
		f.setClock(victim, 0)
		r.row("the clock of "+who+" jumps by an hour", begun, "metrics tell %.1f s later; time stamps stay right; primary changed: %v",
			said.Seconds(), who == "the primary" && r.p.primary(g) != victim)
	}
	// A time that was agreed on holds for a minute. So the clocks are wrong from a start on.
	g.crash()
	f.setClock(0, clockJump)
	f.setClock(1, -clockJump)
	begun := time.Now()
	for i := range replicas {
		g.start(i)
	}
	// Replicas with right clocks serve within three seconds, which is some ten messages of each.
	g.await("the replicas have compared their clocks many times", func() bool {
		g.alive()
		for i := range replicas {
			count, _ := g.metric(i, fmt.Sprintf(`ledger_peer_received_messages{peer="%d"}`, (i+1)%replicas))
			if count < messagesMany {
				return false
			}
		}
		return true
	})
	g.await("a replica says that the clocks do not agree", func() bool {
		g.alive()
		return slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return strings.Contains(g.page(i, "/readyz"), "do not agree on the time") })
	})
	said := time.Since(begun)
	if r.p.since(begun) {
		t.Error("a client was answered by replicas that do not know the time")
	}
	f.setClock(0, 0)
	f.setClock(1, 0)
	back := time.Now()
	g.await("clients are served", func() bool {
		g.alive()
		return r.p.since(back)
	})
	r.p.hurry(false)
	t.Logf("| the clocks of a majority are wrong at a start | until they are right | nobody served for %.1f s; served %.2f s after the "+
		"clocks were right |", said.Seconds(), time.Since(back).Seconds())
	for i := range replicas {
		g.awaitCaughtUp(i)
	}
	g.finish(l)
}

// newestStamp is the time stamp of the newest transfer of the first writer. The writers have ended.
func (r *rotting) newestStamp() uint64 {
	r.Helper()
	w := r.l.writers[0]
	rows, err := within(w.bank.LookupTransfers, []tb.Uint128{w.transfer(w.count - 1).ID})
	if err != nil || len(rows) != 1 {
		r.Fatalf("%d transfers: %v", len(rows), err)
	}
	return rows[0].Timestamp
}
