package net

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/peer"
	"ledger/stages"
)

// peerScenario connects two replicas, of which one has a port with a mishap, and sends messages of
// all commands both ways. It returns how many of them arrived.
func peerScenario(t *testing.T, plan *portstest.Plan, withPort int) (arrived int) {
	w := newPeerWorld(t, rand.New(rand.NewPCG(7, 0)), 2)
	w.wrap = func(index int, network ports.Network) ports.Network {
		if index == withPort {
			return portstest.NewMishapNetwork(network, plan)
		}
		return network
	}
	w.start()
	defer func() {
		for _, n := range w.nodes {
			n.memory.Close()
		}
	}()
	// A delayed event comes after some polls, so more turns are needed until nothing moves.
	calm := func() {
		for range portstest.DelayPolls + 2 {
			w.settle()
		}
	}
	connected := func() bool {
		calm()
		return w.allLive()
	}
	w.pass("both are connected", connected)
	for command := peer.Command(1); command <= commandsLast; command++ {
		w.nodes[0].send(command, 2)
		w.nodes[1].send(command, 1)
		if command%4 == 0 {
			w.pass("both are connected", connected)
		}
	}
	calm()
	arrived = w.arrived
	w.pass("both hear each other at the end", func() bool {
		calm()
		before := [2]int{w.nodes[0].got[peer.CommandPing], w.nodes[1].got[peer.CommandPing]}
		for _, n := range w.nodes {
			n.send(peer.CommandPing, 3&^(1<<n.index))
		}
		calm()
		return w.nodes[0].got[peer.CommandPing] > before[0] && w.nodes[1].got[peer.CommandPing] > before[1]
	})
	for _, n := range w.nodes {
		for i := range n.ends {
			if e := &n.ends[i]; e.open && !e.dialing {
				e.isOver = true
				e.part()
			}
		}
	}
	calm()
	for _, n := range w.nodes {
		for _, class := range []stages.SlotClass{stages.SlotPeer, stages.SlotSmall, stages.SlotSend, stages.SlotPrepare, stages.SlotRepair} {
			if pool := n.slots.Pools[class]; pool.FreeCount() != pool.SlotsCount() {
				t.Errorf("%v: node %d: %d of %d slots of class %d are free", plan.Mishap, n.index, pool.FreeCount(), pool.SlotsCount(), class)
			}
		}
		if len(n.leases) != 0 {
			t.Errorf("%v: node %d: %d leases are out", plan.Mishap, n.index, len(n.leases))
		}
	}
	return arrived
}

// Goal: each receive, send, accept and close of a connection between replicas may fail, be short or
// be late, on either side. The replicas connect again, no message arrives twice or changed, and no
// slot or lease is left behind.
func TestEveryMishapOfPeers(t *testing.T) {
	for withPort := range 2 {
		calm := portstest.Plan{}
		all := peerScenario(t, &calm, withPort)
		if all != 2*int(commandsLast) {
			t.Errorf("%d messages arrive if nothing goes wrong, want %d", all, 2*commandsLast)
		}
		errno := func(kind portstest.Kind) unix.Errno {
			if kind == portstest.KindAccept {
				return unix.EMFILE
			}
			return unix.ECONNRESET
		}
		runs := 0
		portstest.Mishaps(calm.Counts, 24, errno, func(m portstest.Mishap) {
			runs++
			plan := portstest.Plan{Mishap: m}
			arrived := peerScenario(t, &plan, withPort)
			if !plan.Happened && m.Kind != portstest.KindClose {
				t.Errorf("port of %d, %v: it did not happen", withPort, m)
			}
			if arrived < all-8 {
				t.Errorf("port of %d, %v: %d of %d messages arrive", withPort, m, arrived, all)
			}
		})
		if runs < 50 && !testing.Short() {
			t.Errorf("only %d runs", runs)
		}
	}
}
