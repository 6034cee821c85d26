package vsr

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// Limits of the repair of prepares.
const (
	repairsPerPeerMax   = 2           // prepares asked of one peer that have not come
	repairLatencyNsInit = 100_000_000 // of a peer that has answered nothing yet
	repairExpiryNsMax   = 500_000_000 // a request is given up after twice its peer's latency, and at most this
	repairExpiryNsMin   = 10_000_000
	repairRandomPercent = 10 // of the choices take any peer, so that a better one than the best is found
)

// Budget bounds what a replica asks of its peers, so that repair neither floods a peer nor waits
// for a dead one.
type Budget struct {
	self  int
	peers [limits.ReplicasMax]budgetPeer
	count int // of replicas
}

type budgetPeer struct {
	isConnected bool
	latencyNs   uint64
	asked       [repairsPerPeerMax]repairRequest
}

type repairRequest struct {
	isOut     bool
	op        uint64
	checksum  wire.Checksum
	sentNs    uint64
	expiresNs uint64
}

// NewBudget of a replica of a cluster, or of a standby.
func NewBudget(self, replicas int) Budget {
	assert.That(replicas <= limits.ReplicasMax && self < limits.MembersMax, "the replica is one of the cluster, or a standby")
	b := Budget{self: self, count: replicas}
	for i := range b.peers {
		b.peers[i].latencyNs = repairLatencyNsInit
	}
	return b
}

// Connected says whether a peer can be asked. What it was asked over a connection that has ended
// will not come.
func (b *Budget) Connected(peer int, isConnected bool) {
	b.peers[peer].isConnected = isConnected
	b.peers[peer].asked = [repairsPerPeerMax]repairRequest{}
}

// Ask chooses a peer for a prepare, and counts the request as out. It takes the one of the least
// latency that has room, and in one of ten cases any that has room. A peer is not asked for what it
// has been asked and may still send. random is a number that the caller draws.
func (b *Budget) Ask(nowNs, op uint64, checksum wire.Checksum, random uint64) (peer int, ok bool) {
	b.Expire(nowNs)
	peer, room := -1, 0
	for i := range b.count {
		if !b.hasRoom(i, op, checksum) {
			continue
		}
		room++
		if peer < 0 || b.peers[i].latencyNs < b.peers[peer].latencyNs {
			peer = i
		}
	}
	if room == 0 {
		return 0, false
	}
	if random%100 < repairRandomPercent {
		skip := uniform(random/100<<32, uint64(room))
		for i := range b.count {
			if !b.hasRoom(i, op, checksum) {
				continue
			}
			if skip == 0 {
				peer = i
				break
			}
			skip--
		}
	}
	b.put(peer, nowNs, op, checksum)
	return peer, true
}

// AskAll counts a request to every peer that has room: a new primary has no time to try one after
// the other. It returns their bits.
func (b *Budget) AskAll(nowNs, op uint64, checksum wire.Checksum) (peers uint8) {
	b.Expire(nowNs)
	for i := range b.count {
		if b.hasRoom(i, op, checksum) {
			b.put(i, nowNs, op, checksum)
			peers |= 1 << i
		}
	}
	return peers
}

// Answered takes a prepare that came from a peer, and measures. What comes after the expiry is
// taken by the log, and changes nothing here.
func (b *Budget) Answered(peer int, nowNs, op uint64, checksum wire.Checksum) {
	p := &b.peers[peer]
	for i := range p.asked {
		if a := &p.asked[i]; a.isOut && a.op == op && a.checksum == checksum {
			p.latencyNs = (p.latencyNs*4 + max(nowNs, a.sentNs) - a.sentNs) / 5
			a.isOut = false
		}
	}
}

// NextNs returns when the next request expires, or the greatest number if none is out.
func (b *Budget) NextNs() uint64 {
	next := ^uint64(0)
	for i := range b.count {
		for _, a := range b.peers[i].asked {
			if a.isOut {
				next = min(next, a.expiresNs)
			}
		}
	}
	return next
}

// Expire gives up what did not come in time, and returns how much that was. A peer that does not
// answer counts as slower from then on.
func (b *Budget) Expire(nowNs uint64) (count int) {
	for i := range b.count {
		p := &b.peers[i]
		for j := range p.asked {
			if a := &p.asked[j]; a.isOut && nowNs >= a.expiresNs {
				a.isOut = false
				p.latencyNs = min((p.latencyNs*4+2*(a.expiresNs-a.sentNs))/5, repairExpiryNsMax)
				count++
			}
		}
	}
	return count
}

func (b *Budget) hasRoom(peer int, op uint64, checksum wire.Checksum) bool {
	p := &b.peers[peer]
	if peer == b.self || !p.isConnected {
		return false
	}
	room := false
	for i := range p.asked {
		switch a := &p.asked[i]; {
		case !a.isOut:
			room = true
		case a.op == op && a.checksum == checksum:
			return false
		}
	}
	return room
}

func (b *Budget) put(peer int, nowNs, op uint64, checksum wire.Checksum) {
	p := &b.peers[peer]
	for i := range p.asked {
		if a := &p.asked[i]; !a.isOut {
			expiry := min(max(2*p.latencyNs, repairExpiryNsMin), repairExpiryNsMax)
			*a = repairRequest{isOut: true, op: op, checksum: checksum, sentNs: nowNs, expiresNs: nowNs + expiry}
			return
		}
	}
	assert.That(false, "the peer has room")
}

// uniform maps a random number to 0..below-1.
func uniform(random, below uint64) uint64 {
	high, _ := bits.Mul64(random, below)
	return high
}
