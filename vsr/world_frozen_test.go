package vsr

import (
	"math/rand/v2"
	"testing"
)

// Goal: what a ballot says to be committed does not depend on commit_max of the superblock, which
// is only a hint. Node 2 has op 1 of view 1, which view 3 left out; in view 3 other ops are
// committed. Node 1 begins view 4, and knows of that log only what lies above op 2: so its list
// ends there. Node 2 follows, crashes and forgets commit_max. If its list went down below that of
// view 4, it would say that it has the op that was left out.
func TestListEndsWhereTheDurableOneDoes(t *testing.T) {
	frozen := 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(3, "")
		one, two := w.nodes[1], w.nodes[2]
		one.prepare()
		one.crash(random) // its own write has not ended
		one.slots[1] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}}
		two.take(&w.prepares[0])
		two.settle()
		one.restart(random)
		w.elect(3, 0, 1)
		one.follow(w.lastStart())
		one.persist()
		w.nodes[0].lead()
		first := len(w.prepares)
		for range 5 {
			w.nodes[0].prepare() // before any of them is committed, so that none says that another is
		}
		for i := range w.prepares[first:] {
			one.take(&w.prepares[first+i])
		}
		w.nodes[0].settle()
		one.settle()
		one.crash(random)
		one.slots[1], one.slots[2] = Slot{}, Slot{}
		one.disk.list = List{Count: 1} // of the beginning of view 3
		one.disk.list.Headers[0] = w.nodes[0].entries[0].Header
		one.restart(random)
		one.commitMax = 3 // as it has heard
		w.elect(4, 0, 1)
		if one.logView != 4 || one.disk.list.lowestChained() < 3 {
			continue
		}
		two.follow(w.lastStart())
		two.persist()
		two.crash(random)
		w.nodes[0].crash(random)
		w.nodes[0].disk.commitMax = 0
		w.nodes[0].restart(random)
		two.disk.commitMax = 0
		two.restart(random)
		frozen++
		two.enter(8)
		if l := &two.list; l.Lowest() < 3 {
			t.Fatalf("the list of node 2 goes down to op %d, below that of view 4: %s", l.Lowest(), l.text())
		}
		if w.elect(8, 0, 2); w.failure != "" {
			t.Fatal(w.failure)
		}
	}
	if frozen == 0 {
		t.Error("no list of view 4 ends above op 2")
	}
}
