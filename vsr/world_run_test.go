package vsr

import (
	"math/rand/v2"

	"ledger/wire"
)

const worldViews = 12

type sentBallot struct {
	from   int
	ballot *Ballot
}

type sentStart struct {
	view      uint32
	from      int
	list      List
	commitMax uint64
	nonce     [16]byte
}

type sentPrepare struct {
	view   uint32
	header Header
}

// world is a cluster, all that was ever sent in it, and what the oracle has counted.
type world struct {
	q        Quorums
	nodes    []*node
	ballots  [worldViews + 2][]sentBallot
	starts   []sentStart
	prepares []sentPrepare

	acks      map[sentPrepare]uint8 // bits of the replicas that acknowledged it in the view
	committed [machineSlots]Header
	first     [machineSlots]uint32  // the first view that committed it
	chosen    [worldViews + 2]*List // by view: what its primary chose
	isFaulty  bool                  // disks may rot
	isMixed   bool                  // some prepares are large
	percent   int                   // the chance of what may happen
	slow      int                   // the chance that a write ends is divided by one more
	reach     uint                  // bits of the nodes that are not cut off
	breaks    string                // a rule that the nodes do not keep
	marks     map[string]int
	failure   string
	isTraced  bool
	trace     []string
}

func newWorld(replicas int, breaks string) *world {
	w := &world{q: QuorumsOf(replicas), reach: 1<<replicas - 1, acks: map[sentPrepare]uint8{}, marks: map[string]int{}, breaks: breaks}
	root := Header{Checksum: wire.Checksum{1}}
	for id := range replicas {
		n := &node{w: w, id: id, up: true, super: super{view: 1, logView: 1}}
		n.list.Headers[0], n.list.Count = root, 1
		for op := range n.slots {
			n.slots[op] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}}
			n.entries[op].Header = Header{Op: uint64(op), Blank: true}
		}
		n.entries[0] = Entry{Header: root, IsHeld: true}
		n.isChosen = w.q.PrimaryOf(1) == id
		n.persist()
		w.nodes = append(w.nodes, n)
	}
	return w
}

// worstOp is an op that hurts: the last one that somebody acknowledged, or one near it.
func (w *world) worstOp(random *rand.Rand) int {
	last := 1
	for p := range w.acks {
		last = max(last, int(p.header.Op))
	}
	return max(1, min(worldOps, last+1-random.IntN(3)))
}

// rot: one copy of an op's slot or both go bad. A running replica notices it, or does not.
func (w *world) rot(random *rand.Rand, n *node, op int) {
	if n.rotted[op] || n.writes[op] != 0 {
		return
	}
	for _, other := range w.nodes { // one replica of each op, so that the cluster can mend it
		if other.rotted[op] {
			return
		}
	}
	n.rotted[op] = true
	which := random.IntN(3)
	if which != 0 {
		n.slots[op].P = Copy{}
	}
	if which != 1 {
		n.slots[op].T = Copy{}
	}
	if e := &n.entries[op]; n.up && which == 2 && random.IntN(2) == 0 && e.IsHeld {
		n.notice(op)
	}
	w.log("op %d rots at %d; its slots: %s", op, n.id, lazy(n.slotsText))
}

// reached are the nodes that are not cut off now.
func (w *world) reached() (nodes []*node) {
	for i, n := range w.nodes {
		if w.reach>>i&1 != 0 {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func chance(random *rand.Rand, percent int) bool { return random.IntN(100) < percent }

// request: the primary prepares, and some receive it, write it, acknowledge it, and hear of it.
func (w *world) request(random *rand.Rand) {
	for _, n := range w.reached() {
		if chance(random, 70) {
			n.prepare()
		}
	}
	w.spread(random, w.percent)
}

// spread lets things happen, each with a chance.
func (w *world) spread(random *rand.Rand, percent int) {
	reached := w.reached()
	for _, n := range reached {
		if !n.up {
			continue
		}
		for i := range w.prepares {
			if chance(random, percent) {
				n.take(&w.prepares[i])
			}
		}
		if chance(random, percent) {
			n.repair(reached[random.IntN(len(reached))])
		}
		for op := uint64(1); op <= worldOps; op++ {
			for n.writes[op] != 0 && chance(random, percent/(1+w.slow)) {
				n.finish(op)
			}
			if chance(random, percent) {
				n.acknowledge(op)
			}
		}
		primary := w.nodes[w.q.PrimaryOf(n.view)]
		isHeard := primary.view == n.view && primary.isChosen && primary.isDurable() && chance(random, percent/2)
		if isHeard && n.logView == n.view {
			n.commitMax = max(n.commitMax, min(primary.commitMax, n.head)) // a heartbeat
		}
		w.execute(n)
	}
}

// change: some replicas leave for a view, vote, and the primary may begin it. Ballots and
// start_views of any time come as well.
func (w *world) change(random *rand.Rand, percent int) {
	highest := uint32(0)
	for _, n := range w.reached() {
		highest = max(highest, n.view)
	}
	view := highest + uint32(random.IntN(2))
	if chance(random, 15) {
		view = 1 + uint32(random.IntN(worldViews))
	}
	for _, n := range w.reached() {
		if view <= worldViews && chance(random, percent) {
			n.enter(view)
		}
		w.maybePersist(random, n, percent)
		if chance(random, percent) {
			n.vote()
		}
	}
	w.begin(random, percent)
}

// maybePersist: the superblock's write is done, or the power fails before.
func (w *world) maybePersist(random *rand.Rand, n *node, percent int) {
	if n.up && chance(random, percent) {
		n.persist()
	}
}

func (w *world) begin(random *rand.Rand, percent int) {
	reached := w.reached()
	for _, n := range reached {
		if !n.up {
			continue
		}
		if n.status == statusChange && int(n.view) < len(w.ballots) {
			for _, b := range w.ballots[n.view] {
				if w.reach>>b.from&1 != 0 && chance(random, percent) {
					n.ballots[b.from] = b.ballot
				}
			}
			n.choose()
		}
		w.maybePersist(random, n, percent)
		n.lead()
	}
	for _, n := range reached {
		if asked := reached[random.IntN(len(reached))]; n.up && asked.up && asked.isChosen && asked.isDurable() && chance(random, 20) {
			asked.sendStart(n.nonce) // it has asked for a start_view
		}
		for range 2 {
			if len(w.starts) > 0 && chance(random, percent) {
				n.follow(&w.starts[len(w.starts)-1-random.IntN(min(len(w.starts), 6))])
			}
		}
		w.maybePersist(random, n, percent)
	}
}

// run a schedule. It returns what went wrong.
func (w *world) run(random *rand.Rand, steps int) string {
	for range steps {
		x, n := random.IntN(100), w.nodes[random.IntN(len(w.nodes))]
		if chance(random, 30) { // another partition, or none
			if w.reach = 1<<len(w.nodes) - 1; chance(random, 70) {
				w.reach = 1 + uint(random.IntN(int(w.reach)))
			}
		}
		switch {
		case x < 40:
			w.request(random)
		case x < 55:
			w.change(random, min(w.percent+20, 90))
		case x < 65:
			w.begin(random, w.percent)
		case x < 75 && n.up:
			if chance(random, 50) { // while it writes
				n.repair(w.nodes[random.IntN(len(w.nodes))])
			}
			w.maybePersist(random, n, 50)
			n.crash(random)
		case x < 92:
			n.restart(random)
			if n.status == statusHead && len(w.starts) > 0 && chance(random, 50) {
				n.follow(&w.starts[random.IntN(len(w.starts))]) // it asks, and something old comes
			}
		case w.isFaulty:
			w.rot(random, n, w.worstOp(random))
		}
		if w.failure != "" {
			return w.failure
		}
	}
	return ""
}
