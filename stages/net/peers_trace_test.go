package net

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"ledger/peer"
)

var updateFlag = flag.Bool("update", false, "write the golden file anew: read the difference")

// Goal: how three replicas connect, exchange messages and lose each other stays as it is written
// down, step by step.
func TestPeersTrace(t *testing.T) {
	const path = "testdata/peers.golden"
	text := ""
	w := newPeerWorld(t, rand.New(rand.NewPCG(5, 0)), 3)
	w.say = func(format string, arguments ...any) { text += fmt.Sprintf(format+"\n", arguments...) }
	w.start()
	w.say("# Each replica connects to those of a lower index.")
	w.pass("all are connected", w.allLive)

	w.say("\n# A message goes to both others from one slot, which comes back once for each of them.")
	w.nodes[0].send(peer.CommandDoViewChange, 6)
	w.settle()

	w.say("\n# A message without a body: its slot comes back at once.")
	w.nodes[1].send(peer.CommandPrepareOK, 1)
	w.settle()

	w.say("\n# The connections of replica 2 end. What is sent to it meanwhile is dropped, and its slot comes back.")
	w.mishapOf(w.nodes[2])
	w.settle()
	w.nodes[0].send(peer.CommandPrepareOK, 6)
	w.settle()

	w.say("\n# Replica 2 connects again.")
	w.pass("all are connected", w.allLive)
	if *updateFlag {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(golden) != text {
		t.Errorf("go test . -run TestPeersTrace -update writes what happens now:\n%s", text)
	}
}
