package vsr

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// settle: all that a node writes is written, and it acknowledges what it may.
func (n *node) settle() {
	for op := uint64(1); op <= worldOps; op++ {
		n.finish(op)
		n.finish(op)
		n.acknowledge(op)
	}
}

// send the primary's next op to some nodes, which write and acknowledge it.
func (w *world) send(primary int, to ...int) {
	w.nodes[primary].prepare()
	w.nodes[primary].settle()
	for _, id := range to {
		w.nodes[id].take(&w.prepares[len(w.prepares)-1])
		w.nodes[id].settle()
	}
}

// elect: some nodes enter a view, make that durable, and vote. The primary, if it is one of them,
// chooses and begins.
func (w *world) elect(view uint32, members ...int) {
	for _, id := range members {
		w.nodes[id].enter(view)
		w.nodes[id].persist()
		w.nodes[id].vote()
	}
	w.start(view)
}

// start: the primary of a view hears the ballots, chooses, and begins.
func (w *world) start(view uint32) {
	primary := w.nodes[w.q.PrimaryOf(view)]
	for _, b := range w.ballots[view] {
		primary.ballots[b.from] = b.ballot
	}
	primary.choose()
	primary.persist()
	primary.lead()
}

// lastStart is the newest start_view.
func (w *world) lastStart() *sentStart { return &w.starts[len(w.starts)-1] }

// power fails at a node, and comes back.
func (n *node) power(random *rand.Rand) {
	n.crash(random)
	n.restart(random)
}

// damage both copies of an op while a node is down.
func (n *node) damage(random *rand.Rand, op int) {
	n.crash(random)
	n.slots[op] = Slot{}
	n.restart(random)
}

// Goal: each rule is needed. Every schedule loses a committed op if nodes do not keep the rule of
// its name, and nothing if they do. In view 1 node 1 is the primary.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		rule, breaks string
		schedule     func(w *world, random *rand.Rand)
	}{
		{"the view is durable before a message of that view is sent", "vote before log_view is durable", func(w *world, random *rand.Rand) {
			// Node 2 votes in view 3, and after a crash acknowledges in view 1.
			w.nodes[2].enter(3)
			w.nodes[2].vote()
			w.elect(3, 0)
			w.nodes[2].power(random)
			w.send(1, 2)
		}},
		{"log_view is durable before an acknowledgement is sent", "ack before log_view is durable", func(w *world, random *rand.Rand) {
			// The specification's 9.4, op by op: node 0 acknowledges in view 2, and after a crash votes
			// with the log of view 1.
			w.elect(2, 0, 2)
			w.nodes[0].follow(w.lastStart())
			w.send(2, 0)
			w.nodes[0].power(random)
			w.elect(3, 1, 0)
		}},
		{"log_view is in the superblock", "log_view in memory only", func(w *world, random *rand.Rand) {
			w.elect(2, 0, 2)
			w.nodes[0].follow(w.lastStart())
			w.nodes[0].persist()
			w.send(2, 0)
			w.nodes[0].power(random)
			w.elect(3, 1, 0)
		}},
		{"a slot that is not clean is mended one copy after the other", "repair through the append path", func(w *world, random *rand.Rand) {
			// Nodes 0 and 1 commit op 1, node 0's copy rots, and the power fails while it is mended.
			w.send(1, 0)
			w.nodes[0].slots[1] = Slot{}
			w.nodes[0].notice(1)
			w.nodes[0].repair(w.nodes[1])
			if random.IntN(2) == 0 {
				w.nodes[0].finish(1)
			}
			w.nodes[0].power(random)
			w.elect(2, 0, 2)
		}},
		{"an uncertain head follows only a newer start_view", "a stale start_view is followed", func(w *world, random *rand.Rand) {
			w.elect(4, 0, 1, 2) // with an empty log
			stale := *w.lastStart()
			w.nodes[0].follow(&stale)
			w.nodes[0].persist()
			w.send(1, 0)
			w.nodes[0].damage(random, 1)
			w.nodes[0].follow(&stale)
			w.nodes[0].persist()
			w.elect(5, 0, 2)
		}},
		{"a checkpoint's list does not end below the view's", "a checkpoint's list ends below the view's", func(w *world, random *rand.Rand) {
			// Node 0 has both ops in view 4, whose log begins with them. They are of view 1.
			w.send(1, 0)
			w.send(1, 0)
			w.elect(4, 0, 1, 2)
			w.nodes[0].follow(w.lastStart())
			w.nodes[0].persist()
			w.nodes[0].power(random)
			w.elect(5, 0, 2)
		}},
		{"what is uncertain is part of the ballot", "a restart forgets what it has not", func(w *world, random *rand.Rand) {
			w.send(1, 0)
			w.nodes[0].damage(random, 1)
			w.elect(2, 0, 2)
		}},
		{"what is uncertain is frozen, whatever becomes of the slot", "list thawed", func(w *world, random *rand.Rand) {
			w.send(1, 0)
			w.nodes[0].damage(random, 1)
			w.nodes[0].enter(2)
			w.nodes[0].persist()
			w.nodes[0].power(random)
			w.nodes[0].uncertain = Set{} // as a look at the slots may find at a start with log_view < view
			w.elect(5, 0, 2)
		}},
	} {
		lost := 0
		for seed := range uint64(100) {
			w := newWorld(3, "")
			c.schedule(w, rand.New(rand.NewPCG(seed, 0)))
			if w.failure != "" {
				t.Errorf("%s: %s", c.rule, w.failure)
			}
			w = newWorld(3, c.breaks)
			if c.schedule(w, rand.New(rand.NewPCG(seed, 0))); strings.Contains(w.failure, "has lost op") {
				lost++
			}
		}
		if lost == 0 {
			t.Errorf("%s: nothing is lost without this rule", c.rule)
		}
	}
}
