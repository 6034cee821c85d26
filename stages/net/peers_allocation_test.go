package net

import (
	"math/rand/v2"
	"testing"

	"ledger/internal/ports"
	"ledger/peer"
	"ledger/stages"
)

// Goal: a step that sends messages to peers, and one that receives them, allocates nothing.
func TestPeersDoNotAllocate(t *testing.T) {
	w := newPeerWorld(t, rand.New(rand.NewPCG(3, 0)), 2)
	w.start()
	w.pass("both are connected", w.allLive)
	from, to := w.nodes[0], w.nodes[1]
	for _, command := range []peer.Command{peer.CommandPrepare, peer.CommandPrepareOK, peer.CommandBlock} {
		slot := from.slots.Get(stages.SlotPrepare)
		message := testMessage(w.random, command, 1)
		copy(from.slots.Bytes(slot), message)
		round := sameRound(t, from, to, &stages.ConsensusToNet{Kind: stages.NetPeerSend, Slot: slot, Bytes: uint32(len(message)),
			Command: uint8(command), Peers: 2, View: testView + 1})
		round()
		if allocs := testing.AllocsPerRun(100, round); allocs != 0 {
			t.Errorf("%s allocates %.1f times, want 0", command, allocs)
		}
	}
}

// sameRound returns a function that sends a message from one stage to the other, and gives back
// what that lends. It does without the drivers, because the world's port allocates.
func sameRound(t *testing.T, from, to *peerNode, send *stages.ConsensusToNet) func() {
	outs := [2]Actions{from.stage.NewActions(), to.stage.NewActions()}
	var request [1]stages.ConsensusToNet
	var event [1]ports.NetworkEvent
	var receives [2][]byte // at the receiver
	at := -1
	for i := range to.ends {
		if e := &to.ends[i]; e.open && e.receive != nil {
			at, receives[1] = i, e.receive
		}
	}
	sender := to.ends[at].other.id
	return func() {
		outs[0].Reset()
		request[0] = *send
		from.stage.Step(from.world.nowNs, Events{Consensus: request[:]}, &outs[0])
		var parts [2][]byte
		total := 0
		for i := range outs[0].Network {
			if a := &outs[0].Network[i]; a.Kind == NetworkSend || a.Kind == NetworkSendParts {
				parts = [2][]byte{a.Buffer, a.Body}
				total += len(a.Buffer) + len(a.Body)
			}
		}
		if total == 0 {
			t.Fatal("nothing is sent")
		}
		for _, part := range parts {
			for len(part) > 0 {
				count := copy(receives[1], part)
				part = part[count:]
				outs[1].Reset()
				event[0] = ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: ports.ConnectionID(at), Bytes: int32(count)}
				to.stage.Step(to.world.nowNs, Events{Network: event[:]}, &outs[1])
				for i := range outs[1].Network {
					if a := &outs[1].Network[i]; a.Kind == NetworkReceive || a.Kind == NetworkReceiveAll {
						receives[1] = a.Buffer
					}
				}
				for i := range outs[1].Consensus {
					if e := &outs[1].Consensus[i]; e.Kind == stages.NetPeerMessage {
						request[0] = stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot}
						to.stage.Step(to.world.nowNs, Events{Consensus: request[:]}, &outs[1])
					}
				}
			}
		}
		outs[0].Reset()
		event[0] = ports.NetworkEvent{Kind: ports.NetworkSent, Connection: ports.ConnectionID(sender), Bytes: int32(total)}
		from.stage.Step(from.world.nowNs, Events{Network: event[:]}, &outs[0])
	}
}
