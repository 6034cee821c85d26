package net

import (
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
	"ledger/peer"
)

// Goal: two to six replicas find each other, and exchange messages of every kind and of random
// sizes over a network that cuts bytes, connections and processes. Messages arrive whole, once and
// in order, or not at all; each slot and each lease comes back exactly once; when the network is
// well again, all speak to each other.
func TestPeersAnyOrder(t *testing.T) {
	first := seeded.Seed(t)
	runs := uint64(6)
	if testing.Short() {
		runs = 2
	}
	var got [commandsLast + 1]int
	for seed := first; seed < first+runs; seed++ {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newPeerWorld(t, random, 2+int(seed%5))
		w.faulty = true
		w.start()
		for range 30_000 {
			w.step()
		}
		w.faulty = false
		w.pass("all are connected", w.allLive)
		before := w.arrived
		for range 3000 {
			w.step()
		}
		if w.arrived-before < 100 {
			t.Errorf("seed %d: %d messages of a calm network", seed, w.arrived-before)
		}
		w.checkFree()
		lives, faults := 0, uint64(0)
		for _, n := range w.nodes {
			lives += n.lives
			for command, count := range n.got {
				got[command] += count
			}
			for replica := range w.nodes {
				c := n.stage.peers.hub.CountersOf(uint8(replica))
				faults += c.Received.Malformed + c.Received.Forged
			}
		}
		if faults > 0 {
			t.Errorf("seed %d: %d messages break a rule", seed, faults)
		}
		if t.Logf("seed %d: %d replicas, %d messages, %d connections since the last restarts", seed, len(w.nodes), w.arrived, lives); lives == 0 {
			t.Errorf("seed %d: nobody connects", seed)
		}
	}
	for command := peer.Command(1); command <= commandsLast; command++ {
		if got[command] == 0 {
			t.Errorf("no %s arrives", command)
		}
	}
}
