package clock

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
)

// node is a machine with two clocks.
type node struct {
	clock   Clock
	bootNs  int64 // true time at which its monotonic clock was 0
	drift   int64 // of the monotonic clock, per million
	offset  int64 // of the wall clock from the true time
	isRight bool
}

func (n *node) monotonic(trueNs int64) uint64 {
	elapsed := trueNs - n.bootNs
	return uint64(elapsed + elapsed/1_000_000*n.drift)
}

func (n *node) wall(trueNs int64) uint64 { return uint64(trueNs + n.offset) }

// pongOf is a message under way.
type pongOf struct {
	from, to  int
	sentNs    uint64
	wallNs    uint64
	arrivesNs int64
}

// clusterWorld is a cluster whose true time is known to the test.
type clusterWorld struct {
	random  *rand.Rand
	nodes   []node
	pongs   []pongOf
	delayNs int64 // of a message, at most, in one direction
	errorNs int64 // of a right clock, at most
	known   int   // readings
}

// newWorld: fewer than half of the clocks are wrong, by at least apart.
func newWorld(random *rand.Rand, replicas int, apartNs int64) *clusterWorld {
	w := &clusterWorld{random: random, delayNs: 1 << (14 + random.IntN(15)), errorNs: 1 << random.IntN(25)}
	wrong := random.IntN((replicas + 1) / 2)
	for i := range replicas {
		n := node{bootNs: int64(noon) - random.Int64N(1<<40), drift: random.Int64N(201) - 100, isRight: i >= wrong}
		if n.offset = random.Int64N(2*w.errorNs+1) - w.errorNs; !n.isRight {
			n.offset = apartNs + random.Int64N(1<<(1+random.IntN(50)))
			if random.IntN(2) == 0 {
				n.offset = -n.offset
			}
		}
		w.nodes = append(w.nodes, n)
	}
	random.Shuffle(replicas, func(i, j int) { w.nodes[i], w.nodes[j] = w.nodes[j], w.nodes[i] })
	w.start()
	return w
}

// start all replicas.
func (w *clusterWorld) start() {
	replicas := len(w.nodes)
	quorum := min(3, (replicas+1)/2)
	if replicas == 2 {
		quorum = 2
	}
	for i := range w.nodes {
		n := &w.nodes[i]
		n.clock = New(i, replicas, quorum, n.monotonic(int64(noon)), n.wall(int64(noon)))
	}
}

// run lets each node ping the others every second; some messages are lost or doubled. Then it
// judges what each node says of the time.
func (w *clusterWorld) run(seconds int, judge func(n *node, clusterNs uint64, trueNs int64) string) string {
	for second := range seconds {
		trueNs := int64(noon) + int64(second)*s
		for i := range w.nodes {
			for j := range w.nodes {
				if i == j || w.random.IntN(5) == 0 {
					continue
				}
				forth, back := w.random.Int64N(w.delayNs), w.random.Int64N(w.delayNs)
				p := pongOf{from: j, to: i, sentNs: w.nodes[i].monotonic(trueNs), arrivesNs: trueNs + forth + back}
				p.wallNs = w.nodes[j].wall(trueNs + forth)
				for range 1 + w.random.IntN(5)/4 {
					w.pongs = append(w.pongs, p)
				}
			}
		}
		w.random.Shuffle(len(w.pongs), func(i, j int) { w.pongs[i], w.pongs[j] = w.pongs[j], w.pongs[i] })
		late := w.pongs[:0]
		for _, p := range w.pongs {
			if p.arrivesNs >= trueNs+s {
				late = append(late, p)
				continue
			}
			n := &w.nodes[p.to]
			n.clock.Learn(p.from, p.sentNs, p.wallNs, n.monotonic(p.arrivesNs))
			n.clock.Turn(n.monotonic(p.arrivesNs), n.wall(p.arrivesNs))
		}
		w.pongs = late
		for i := range w.nodes {
			n := &w.nodes[i]
			at := trueNs + s
			n.clock.Turn(n.monotonic(at), n.wall(at))
			clusterNs, isKnown := n.clock.Read(n.monotonic(at), n.wall(at))
			if !isKnown {
				continue
			}
			w.known++
			if reason := judge(n, clusterNs, at); reason != "" {
				return fmt.Sprintf("second %d, replica %d: %s: %+v, agreed %+v", second, i, reason, *n, n.clock.State(n.monotonic(at), n.wall(at)))
			}
		}
	}
	return ""
}

// Goal: if the clocks of a majority are right, the true time is in every replica's interval,
// whatever the others show, and the cluster's time is known. (A wrong clock may agree with a right
// one by chance: what can be said then is below.)
func TestTrueTimeIsInTheInterval(t *testing.T) {
	random := seeded.Rand(t)
	for range 300 {
		replicas := 2 + random.IntN(5)
		w := newWorld(random, replicas, 60*s)
		reason := w.run(100, func(n *node, _ uint64, trueNs int64) string {
			lower, upper, _ := n.clock.bounds(n.monotonic(trueNs))
			if trueNs < int64(lower)-w.errorNs || trueNs > int64(upper)+w.errorNs {
				return fmt.Sprintf("the true time is off by %d or %d", trueNs-int64(lower), int64(upper)-trueNs)
			}
			return ""
		})
		if reason != "" {
			t.Fatalf("%d replicas, delays to %d ns, errors to %d ns: %s", replicas, w.delayNs, w.errorNs, reason)
		}
		if w.known < replicas*90 {
			t.Fatalf("%d replicas know the time %d times in 100 s", replicas, w.known)
		}
	}
}

// Goal: whatever a minority of clocks show, the cluster's time is off by no more than the delays,
// the errors of right clocks, and what clocks drift. In every agreement there is a right clock.
func TestClusterTimeIsNearTheTrueTime(t *testing.T) {
	random := seeded.Rand(t)
	for range 300 {
		replicas := 2 + random.IntN(5)
		w := newWorld(random, replicas, 0)
		reason := w.run(60, func(n *node, clusterNs uint64, trueNs int64) string {
			state := n.clock.State(n.monotonic(trueNs), 0)
			// An interval reaches from a source's offset by its tolerance, half the round trip and drift.
			limit := 2*(w.delayNs+int64(state.ToleranceNs)+int64(drift(80*s))) + w.errorNs
			if off := int64(clusterNs) - trueNs; max(off, -off) > limit {
				return fmt.Sprintf("the cluster's time is off by %d, more than %d", off, limit)
			}
			return ""
		})
		if reason != "" {
			t.Fatalf("%d replicas, delays to %d ns, errors to %d ns: %s", replicas, w.delayNs, w.errorNs, reason)
		}
	}
}

// Goal: a majority of wrong clocks that differ from each other leaves no time, and no timestamp.
func TestNoTimeWithoutAgreement(t *testing.T) {
	random := seeded.Rand(t)
	for range 100 {
		replicas := 3 + 2*random.IntN(2)
		w := newWorld(random, replicas, 60*s)
		for i := range w.nodes {
			w.nodes[i].offset = int64(i) * 25 * s
		}
		w.start()
		w.run(60, func(*node, uint64, int64) string { return "" })
		if w.known != 0 {
			t.Fatalf("%d clocks that are 25 s apart agree %d times", replicas, w.known)
		}
	}
}

// Fuzz: whatever comes, the time is in the interval, an agreement is one of a quorum, and nothing
// breaks.
func FuzzClock(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		take := func() uint64 {
			if len(data) == 0 {
				return 0
			}
			length := int(data[0] % 9)
			data = data[1:]
			value := uint64(0)
			for range min(length, len(data)) {
				value = value<<8 | uint64(data[0])
				data = data[1:]
			}
			return value
		}
		replicas := int(take()%6) + 1
		quorum := int(take()%uint64(replicas)) + 1
		nowNs := take() >> 1
		c := New(int(take()%8), replicas, quorum, nowNs, take())
		for len(data) > 0 {
			nowNs += take() >> 20
			switch take() % 3 {
			case 0:
				c.Learn(int(take()%8), nowNs-take()>>24, take(), nowNs)
			case 1:
				if c.Turn(nowNs, take()) && c.epoch.sources < quorum {
					t.Fatalf("%d of %d agree", c.epoch.sources, quorum)
				}
			}
			wallNs := take()
			got, isKnown := c.Read(nowNs, wallNs)
			lower, upper, _ := c.bounds(nowNs)
			if isKnown && replicas > 1 && (got < lower || got > upper || lower > upper) {
				t.Fatalf("%d is not in %d to %d", got, lower, upper)
			}
			if state := c.State(nowNs, wallNs); replicas > 1 && state.IsKnown != isKnown {
				t.Fatalf("%+v, %v", state, isKnown)
			}
			if c.RoundTripNs() == 0 || c.NextNs(nowNs) == 0 {
				t.Fatal("a timer would fire for ever")
			}
		}
	})
}
