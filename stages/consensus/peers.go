package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/vsr"
)

// peers is what is known of the connections with the other replicas, and with standbys, by index.
type peers struct {
	replicas int    // of the cluster
	indexes  int    // one more than the highest index of a peer
	all      uint16 // bits of the others
	live     uint16
	each     [limits.MembersMax]peerState
	isBlamed bool // the message of this moment is malformed
}

// peerState is one of the others.
type peerState struct {
	sends    int                      // messages that net has
	forwards [forwardsMax]stages.Slot // of them, forwarded requests
	liveNs   uint64                   // since when it is connected; 0: it is not
	heardNs  uint64                   // when it last echoed or acknowledged
	toldNs   uint64                   // when its last message came
	state    peer.State               // as of its last ping or pong
	stateNs  uint64                   // when that came; 0: never
}

// forwardsMax is the largest number of clients' requests that are on their way to the primary.
const forwardsMax = 2

func newPeers(self int, l *limits.Limits) peers {
	p := peers{replicas: int(l.ReplicasCount), indexes: int(l.IndexesCount())}
	p.all = (1<<p.indexes - 1) &^ (1 << self)
	for i := range p.each {
		for j := range p.each[i].forwards {
			p.each[i].forwards[j] = stages.SlotNone
		}
	}
	return p
}

// others are the bits of all other replicas.
func (p *peers) others() uint16 { return p.all & (1<<p.replicas - 1) }

// members are the bits of all other replicas and of the standbys.
func (p *peers) members() uint16 { return p.all }

// connected: there is a connection with a peer, or none.
func (p *peers) connected(replica int, isLive bool, nowNs uint64) {
	p.live &^= 1 << replica
	p.each[replica].liveNs = 0
	if isLive {
		p.live |= 1 << replica
		p.each[replica].liveNs = max(nowNs, 1)
	}
}

// reachable are those of to that take another message.
func (p *peers) reachable(to uint16) (bits uint16) {
	for i := range p.indexes {
		if to&p.live&p.all>>i&1 != 0 && p.each[i].sends < stages.BudgetPeerSends {
			bits |= 1 << i
		}
	}
	return bits
}

// sent counts a message to each of to.
func (p *peers) sent(to uint16) {
	for i := range p.indexes {
		if to>>i&1 != 0 {
			p.each[i].sends++
		}
	}
}

// returned: net has no use any more for the message in slot to peer.
func (p *peers) returned(replica int, slot stages.Slot) {
	p.each[replica].sends--
	for i := range p.each[replica].forwards {
		if p.each[replica].forwards[i] == slot {
			p.each[replica].forwards[i] = stages.SlotNone
		}
	}
}

// mayForward tells whether the request in slot may be forwarded to peer, and counts it.
func (p *peers) mayForward(replica int, slot stages.Slot) bool {
	if p.reachable(1<<replica) == 0 {
		return false
	}
	for i := range p.each[replica].forwards {
		if p.each[replica].forwards[i] == stages.SlotNone {
			p.each[replica].forwards[i] = slot
			return true
		}
	}
	return false
}

// heard an echo or an acknowledgement.
func (p *peers) heard(replica int, nowNs uint64) { p.each[replica].heardNs = nowNs }

// late: this replica did not run for so long. What the others answered meanwhile may not have been
// read, so the time does not count for their silence.
func (p *peers) late(lateNs uint64) {
	for i := range p.indexes {
		p.each[i].heardNs += lateNs
	}
}

// blame: the message that is looked at breaks a rule, though it is authentic.
func (p *peers) blame() { p.isBlamed = true }

// blamed tells it once.
func (p *peers) blamed() (isBlamed bool) {
	isBlamed, p.isBlamed = p.isBlamed, false
	return isBlamed
}

// told: a message came.
func (p *peers) told(replica int, nowNs uint64) { p.each[replica].toldNs = max(nowNs, 1) }

// toldSince are the bits of the replicas of which a message came after sinceNs.
func (p *peers) toldSince(sinceNs uint64) (bits uint16) {
	for i := range p.replicas {
		if p.live&p.all>>i&1 != 0 && p.each[i].toldNs > sinceNs {
			bits |= 1 << i
		}
	}
	return bits
}

// reports: a ping or a pong told the state of a peer.
func (p *peers) reports(from int, state *peer.State, nowNs uint64) {
	p.each[from].state, p.each[from].stateNs = *state, max(nowNs, 1)
}

// reported is what a peer last told of its state; zero if it has told nothing.
func (p *peers) reported(replica int) *peer.State { return &p.each[replica].state }

// reportForNs: what a peer has told longer ago says nothing of now. It tells once a second.
const reportForNs = 3_000_000_000

// isReported tells whether a peer has told its state of late.
func (p *peers) isReported(replica int, nowNs uint64) bool {
	e := &p.each[replica]
	return e.stateNs > 0 && nowNs <= e.stateNs+reportForNs
}

// offered are the releases that a peer has told of late that it offers.
func (p *peers) offered(peer int, nowNs uint64) vsr.Releases {
	if !p.isReported(peer, nowNs) {
		return vsr.Releases{}
	}
	state := &p.each[peer].state
	return vsr.Releases{Min: state.ReleaseMin, Max: state.ReleaseMax}
}

// stateOf a peer, when it told that, and when any message of it came; 0: never.
func (p *peers) stateOf(replica int) (state *peer.State, stateNs, toldNs uint64) {
	return &p.each[replica].state, p.each[replica].stateNs, p.each[replica].toldNs
}

// liveSince fills in since when each replica is connected; 0: it is not.
func (p *peers) liveSince(times *[limits.ReplicasMax]uint64) []uint64 {
	for i := range p.replicas {
		times[i] = p.each[i].liveNs
	}
	return times[:p.replicas]
}

// heardAt fills in when each replica was last heard.
func (p *peers) heardAt(times *[limits.ReplicasMax]uint64) []uint64 {
	for i := range p.replicas {
		times[i] = p.each[i].heardNs
	}
	return times[:p.replicas]
}
