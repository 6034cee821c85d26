package net

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
)

// peerSlots are the slots for messages of other replicas. Each replica has some of its own, so that
// one that floods cannot take the room of the others. What exceeds them comes from a common part.
type peerSlots struct {
	slots  *stages.Slots
	own    [2]uint32 // slots of each class that one replica has for itself
	common [2]uint32 // and those for all
	held   [limits.MembersMax][2]uint32
	// extra is the number of common slots that are taken.
	extra [2]uint32
	of    [2][]peerSlot
	nowNs uint64
}

// peerSlot says whose message is in a slot.
type peerSlot struct {
	peer       uint8 // noPeer: the slot is free
	arrivingNs uint64
}

const noPeer = peer.PeerUnknown

// Both classes, by their index here.
var peerClasses = [2]stages.SlotClass{stages.SlotSmall, stages.SlotPeer}

func newPeerSlots(l *limits.Limits, slots *stages.Slots) peerSlots {
	p := peerSlots{slots: slots, own: [2]uint32{l.SmallSlotsOwn(), l.PeerSlotsOwn()}}
	for i, class := range peerClasses {
		count := slots.Pools[class].SlotsCount()
		assert.AtMost(l.PeersCount()*p.own[i], count, "slots that peers have for themselves")
		p.common[i] = count - l.PeersCount()*p.own[i]
		p.of[i] = make([]peerSlot, count)
		for at := range p.of[i] {
			p.of[i][at].peer = noPeer
		}
	}
	return p
}

// Take implements peer.Slots. A small message takes a slot of its size, or a large one if its
// sender has none left.
func (p *peerSlots) Take(e *peer.Envelope) (slot uint32, memory []byte, ok bool) {
	first := 0
	if peer.InnerBytes+e.BodyBytes > limits.SmallSlotBytes {
		first = 1
	}
	for i := first; i < len(peerClasses); i++ {
		if !p.mayTake(i, e.Author) {
			continue
		}
		taken := p.slots.Get(peerClasses[i])
		assert.That(taken != stages.SlotNone, "a slot that a peer may take is free")
		if p.held[e.Author][i] >= p.own[i] {
			p.extra[i]++
		}
		p.held[e.Author][i]++
		p.of[i][taken.Handle()] = peerSlot{e.Author, p.nowNs}
		return uint32(taken), p.slots.Bytes(taken), true
	}
	return 0, nil, false
}

// mayTake tells whether one more slot of a class is for this peer.
func (p *peerSlots) mayTake(i int, of uint8) bool {
	return p.held[of][i] < p.own[i] || p.extra[i] < p.common[i]
}

// put takes a slot back.
func (p *peerSlots) put(slot stages.Slot) {
	i := p.index(slot)
	one := &p.of[i][slot.Handle()]
	assert.That(one.peer != noPeer, "a slot of a peer's message that comes back was taken")
	held := &p.held[one.peer][i]
	if *held > p.own[i] {
		p.extra[i]--
	}
	*held--
	one.peer = noPeer
	p.slots.Put(slot)
}

// arrivingNs is when the head of the message in slot came.
func (p *peerSlots) arrivingNs(slot stages.Slot) uint64 {
	return p.of[p.index(slot)][slot.Handle()].arrivingNs
}

func (p *peerSlots) index(slot stages.Slot) int {
	if slot.Class() == stages.SlotSmall {
		return 0
	}
	assert.That(slot.Class() == stages.SlotPeer, "a message of a peer lies in a slot for them")
	return 1
}

// check asserts that each slot is free, or counted for one peer.
func (p *peerSlots) check() {
	for i, class := range peerClasses {
		count, extra := p.slots.Pools[class].FreeCount(), uint32(0)
		for of := range p.held {
			count += p.held[of][i]
			extra += p.held[of][i] - min(p.held[of][i], p.own[i])
		}
		assert.Equal(count, p.slots.Pools[class].SlotsCount(), "slots of peers' messages, held and free")
		assert.Equal(extra, p.extra[i], "common slots of peers' messages")
	}
}
