package cluster

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// scrubbing makes the scrubber read the grid at its highest pace.
const scrubbing = "--scrub-days=0.0001"

var (
	sectorsFlag   = flag.Int("sectors", 100, "sectors of each zone that the tests of healing overwrite")
	transfersFlag = flag.Uint64("transfers", 40_000, "transfers that the tests of healing make first")
)

// TestBackupHeals damages the data file of a backup while it runs, while it is down, and zeroes the
// whole grid while it is down. Each time, the backup has to become whole by itself: what is asked
// for at once, and the rest when the scrubber comes by.
func TestBackupHeals(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{args: []string{scrubbing}})
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	g.fill(l)
	backup := (p.primary(g) + 1) % replicas
	for _, round := range []struct {
		name   string
		isDown bool
		damage func()
	}{
		{"while it runs", false, func() { g.spoil(backup, random, *sectorsFlag) }},
		{"while it is down", true, func() { g.spoil(backup, random, *sectorsFlag) }},
		{"grid zeroed", true, func() { g.zeroGrid(backup) }},
	} {
		l.begin(batchFull, pauseBusy)
		before := l.rate(g, 8)
		_, _, repairedBefore := g.healing(backup)
		if round.isDown {
			g.kill(backup)
			g.awaitUnlocked(backup)
			repairedBefore = 0
		}
		round.damage()
		found := g.wounds(backup)
		begun := time.Now()
		if round.isDown {
			g.start(backup)
		}
		during := l.rate(g, 8, backup)
		g.awaitCaughtUp(backup)
		back := time.Since(begun)
		l.end()
		g.heal(l, backup)
		_, _, repaired := g.healing(backup)
		t.Logf("%s: %d damaged pages %s; %.1f batches/s before, %.1f meanwhile (%.0f %%); caught up after %.1f s, whole after %.1f s; "+
			"%d blocks repaired", round.name, len(found), counted(found), before, during, 100*during/before, back.Seconds(),
			time.Since(begun).Seconds(), repaired-min(repaired, repairedBefore))
	}
	g.finish(l)
}

// fill makes transfers, and goes on until they are in a checkpoint.
func (g *group) fill(l *load) {
	g.t.Helper()
	l.begin(batchFull, 0)
	l.awaitCalls(g, 1+*transfersFlag/batchFull)
	l.end()
	g.settle(l)
}

// rate measures batches per second.
func (l *load) rate(g *group, count uint64, dead ...int) float64 {
	l.t.Helper()
	begun, calls := time.Now(), l.calls.Load()
	l.awaitCalls(g, count, dead...)
	return float64(l.calls.Load()-calls) / time.Since(begun).Seconds()
}

// heal reads all that was acknowledged, and waits until `ledger verify` finds nothing wrong in the
// grid of replica i. The scrubber finds what nobody has asked for, or only from the cache.
func (g *group) heal(l *load, i int) {
	g.t.Helper()
	l.audit()
	l.readIndexes()
	g.awaitCaughtUp(i)
	last := ""
	g.awaitLasting(fmt.Sprintf("replica %d is whole", i), func() bool {
		g.t.Helper()
		g.alive()
		all := g.wounds(i)
		if now := counted(all); len(all) > 0 && now != last {
			g.t.Logf("replica %d still has damaged pages: %s", i, now)
			last = now
		}
		return len(all) == 0
	})
}

// TestAllDamaged damages all replicas at once, each in a third of all blocks, so that each block is
// whole on two of them. Every query has to be answered as if nothing had happened.
func TestAllDamaged(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{args: []string{scrubbing}})
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	g.fill(l)
	g.crash()
	for i := range replicas {
		count := 0
		for _, table := range g.tables(i) {
			if table.Address%replicas == uint64(i) {
				g.overwrite(i, table.Offset+random.Uint64N(1+table.Pages)*sectorBytes, garbage(random))
				count++
			}
		}
		t.Logf("replica %d: %d blocks are damaged", i, count)
	}
	begun := time.Now()
	served := g.startAll(p)
	for i := range replicas {
		g.heal(l, i)
	}
	t.Logf("served after %v, whole after %v", served, time.Since(begun))
	l.begin(batchFull, 0)
	l.awaitCalls(g, 8)
	l.end()
	g.finish(l)
}

// TestBlockLostEverywhere damages the same page on all replicas. What does not need it is served. A
// request that needs it waits, and a line names the block. When one replica has the page again, all
// have, and the request is answered.
func TestBlockLostEverywhere(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{args: []string{scrubbing}})
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	g.fill(l)
	g.crash()
	lost := g.oldestRows(0)
	page := lost.Offset + (1+lost.Pages/4)*sectorBytes
	var before [sectorBytes]byte
	g.onFile(0, func(file *os.File) error {
		_, err := file.ReadAt(before[:], int64(page))
		return err
	})
	for i := range replicas {
		g.overwrite(i, page, garbage(random))
	}
	served := g.startAll(p)
	l.begin(100, 0)
	l.awaitCalls(g, 20)
	l.end()
	t.Logf("block %d of %s: others served after %v", lost.Address, lost.Tree, served)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.audit()
	}()
	told := fmt.Sprintf("block %d of %s", lost.Address, lost.Tree)
	g.await("a line names the lost "+told, func() bool {
		g.alive()
		select {
		case <-done:
			g.t.Fatal("what needs the lost block was answered")
		default:
		}
		return slices.ContainsFunc(g.lines(), func(line string) bool { return strings.Contains(line, told) })
	})
	i := random.IntN(replicas)
	g.kill(i)
	g.awaitUnlocked(i)
	g.overwrite(i, page, before[:])
	begun := time.Now()
	g.start(i)
	g.await("the request is answered", func() bool {
		g.alive()
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	t.Logf("answered %v after replica %d had the block again", time.Since(begun), i)
	for i := range replicas {
		g.awaitCaughtUp(i)
	}
	g.finish(l)
}

// oldestRows is the lowest table of rows of transfers with the smallest address.
func (g *group) oldestRows(i int) (oldest table) {
	g.t.Helper()
	for _, one := range g.tables(i) {
		if one.Tree == "transfer_log" && one.Pages > 8 && (oldest.Tree == "" || one.Level > oldest.Level ||
			one.Level == oldest.Level && one.Address < oldest.Address) {
			oldest = one
		}
	}
	if oldest.Tree == "" {
		g.t.Fatal("there is no table of rows of transfers")
	}
	return oldest
}
