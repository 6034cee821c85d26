package cluster

import (
	"fmt"
	"testing"
	"time"
)

// stopwatches measure for how long nobody is served, and no client of either kind.
type stopwatches struct {
	probe         *probe
	official, own *asker
}

func newStopwatches(t *testing.T, g *group) stopwatches {
	t.Helper()
	s := stopwatches{newProbe(t, g), newAsker(t, g, true), newAsker(t, g, false)}
	g.await("both clients are answered", func() bool {
		return s.official.since(time.Time{}) && s.own.since(time.Time{})
	})
	s.probe.primary(g)
	s.probe.hurry(true)
	return s
}

// longest is the longest pause of each in a time.
func (s *stopwatches) longest(from, to time.Time) string {
	return fmt.Sprintf("longest pause: nobody served %.2f s, official client %.2f s, our client %.2f s", s.probe.longest(from, to).Seconds(),
		s.official.longest(from, to).Seconds(), s.own.longest(from, to).Seconds())
}

// rollsMax bounds the rolling restarts of the long form: full batches fill the disk meanwhile.
const rollsMax = 5

// TestRollingRestart stops one replica after the other as an operator does, and starts it again,
// under small requests of official clients and our own; in the long form also under full batches,
// and as often as -rounds says. The next one is stopped when the one before has caught up. No
// client has an error. The longest pauses are printed.
func TestRollingRestart(t *testing.T) {
	g := newGroup(t, options{isUngoverned: true})
	watches := newStopwatches(t, g)
	l := newLoad(t, g, 4)
	rounds, sizes := min(*roundsFlag, rollsMax), []int{smallOp}
	if rounds > 1 {
		sizes = append(sizes, batchFull)
	}
	for _, size := range sizes {
		l.begin(size, 20*time.Millisecond)
		l.awaitCalls(g, 20)
		begun, primaries := time.Now(), 0
		for range rounds {
			for i := range replicas {
				if watches.probe.primary(g) == i {
					primaries++
				}
				g.terminate(i)
				g.start(i)
				g.awaitVote(i)
				g.awaitCaughtUp(i)
			}
		}
		l.awaitCalls(g, 20)
		t.Logf("requests of %d: %d restarts in %.1f s, %d of them of the primary; 0 errors; %s", size, replicas*rounds,
			time.Since(begun).Seconds(), primaries, watches.longest(begun, time.Now()))
		l.end()
	}
	watches.probe.hurry(false)
	g.finish(l)
}
