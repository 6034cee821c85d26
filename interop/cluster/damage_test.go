package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var placementsFlag = flag.Int("placements", 2, "how often TestDamagedLogs damages the logs of all replicas")

// window is the number of ops of which each may be damaged on one replica.
const window = 4

// TestDamagedLogs damages the logs of all three replicas, so that all heads are uncertain with a
// faulty slot above each, and each op is damaged on at most one replica. The cluster has to recover
// by itself and must have lost nothing.
func TestDamagedLogs(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{})
	p := newProbe(t, g)
	p.primary(g)
	l := newLoad(t, g, 4)
	var took []time.Duration
	skips := 0
	for len(took) < *placementsFlag {
		size := batchFull
		if random.IntN(2) == 0 {
			size = 1 + random.IntN(100) // small prepares, which have whole twins
		}
		l.begin(size, 20*time.Millisecond)
		l.awaitCalls(g, 10)
		g.crash()
		if g.hasFrozenList() {
			skips++
			g.startAll(p)
			l.end()
			continue
		}
		described := g.damage(random)
		for i := range replicas {
			if w := g.wal(i); len(w.Uncertain) == 0 {
				t.Fatalf("placement %s: the head %d of replica %d is not uncertain", described, w.Head, i)
			}
		}
		took = append(took, g.startAll(p))
		t.Logf("placement %d, %s: served after %v", len(took), described, took[len(took)-1])
		for i := range replicas {
			g.awaitCaughtUp(i)
		}
		l.end()
	}
	l.audit()
	g.settle(l)
	digest := g.wantEqualDigests()
	t.Logf("%d placements, %d crashes in a view change, which do not count, %d transfers, 0 lost, 0 doubled, %s", len(took), skips,
		l.transfers(), digest)
	t.Logf("| damaged logs on all replicas | %d | %s |", len(took), spread(took))
}

// hasFrozenList tells whether a replica crashed in a view change. Its head and what is uncertain
// above it are then in its superblock, whatever becomes of its log.
func (g *group) hasFrozenList() bool {
	g.t.Helper()
	for i := range replicas {
		s := g.superblock(i)
		if f := &s.Copies[s.Chosen].Fields; f.View != f.LogView {
			return true
		}
	}
	return false
}

// damage draws a placement and damages the logs.
func (g *group) damage(random *rand.Rand) (described string) {
	g.t.Helper()
	var logs [replicas]wal
	var heads []uint64
	for i := range logs {
		logs[i] = g.wal(i)
		heads = append(heads, logs[i].Head)
	}
	slices.Sort(heads)
	// A replica with the highest head needs a damaged op behind all heads, or its own head. Not every
	// window has a placement for all three, so each try draws another one.
	var first uint64
	var victims [window]int
	for !uncertain(&logs, first, victims) {
		first = heads[replicas-1] - uint64(random.IntN(3))
		for i := range victims {
			victims[i] = random.IntN(replicas+1) - 1
		}
	}
	for i, victim := range victims {
		if victim < 0 {
			continue
		}
		op := first + uint64(i)
		s := &logs[victim].Slots[op%logSlots]
		garbage := make([]byte, sectorBytes)
		for at := range garbage {
			garbage[at] = byte(random.Uint32())
		}
		// Of a large prepare, a sector of the body may be enough: its twin says what it was.
		if s.Twin.Kind == "header" && s.Twin.Op == op && random.IntN(2) == 0 {
			sectors := (s.Prepare.SizeBytes + sectorBytes - 1) / sectorBytes
			g.overwrite(victim, s.Prepare.Offset+random.Uint64N(sectors-1)*sectorBytes, garbage)
		} else {
			g.overwrite(victim, s.Prepare.Offset, garbage)
			g.overwrite(victim, s.Twin.Offset, garbage)
		}
		described += fmt.Sprintf("op %d on %d, ", op, victim)
	}
	return fmt.Sprintf("%sheads were %d, %d and %d", described, logs[0].Head, logs[1].Head, logs[2].Head)
}

// uncertain tells whether a placement leaves each replica with a damaged op above its head.
func uncertain(logs *[replicas]wal, first uint64, victims [window]int) bool {
	for i := range logs {
		head, highest := logs[i].Head, uint64(0)
		for at, victim := range victims {
			if victim == i {
				highest = first + uint64(at)
			}
		}
		for op := head; op > 0 && op+window > head; op-- { // the head that is left
			if at := op - first; at < window && victims[at] == i {
				head = op - 1
				continue
			}
			break
		}
		if highest <= head {
			return false
		}
	}
	return true
}
