package vsr

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// Limits of the repair of prepares.
const (
	repairsPerPeerMax   = 4           // prepares asked of one peer that have not come
	repairBytesMax      = 2 << 20     // what these may be large together: two full ones. One alone may have any size
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
	count       int    // of asked
	bytes       uint64 // of asked
}

type repairRequest struct {
	isOut     bool
	op        uint64
	bytes     uint64
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
	p := &b.peers[peer]
	p.isConnected, p.asked, p.count, p.bytes = isConnected, [repairsPerPeerMax]repairRequest{}, 0, 0
}

// Wanted is a prepare that is asked for.
type Wanted struct {
	Op       uint64
	Checksum wire.Checksum
	Bytes    uint32 // as its header says
}

// Ask chooses a peer for a prepare, and counts the request as out. It takes the one of the least
// latency that has room, and in one of ten cases any that has room. A peer is not asked for what it
// has been asked and may still send. random is a number that the caller draws.
func (b *Budget) Ask(nowNs uint64, w Wanted, random uint64) (peer int, ok bool) {
	b.Expire(nowNs)
	peer, room := -1, 0
	for i := range b.count {
		if !b.hasRoom(i, w) {
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
			if !b.hasRoom(i, w) {
				continue
			}
			if skip == 0 {
				peer = i
				break
			}
			skip--
		}
	}
	b.put(peer, nowNs, w)
	return peer, true
}

// AskAll counts a request to every peer that has room: a new primary has no time to try one after
// the other. It returns their bits.
func (b *Budget) AskAll(nowNs uint64, w Wanted) (peers uint8) {
	b.Expire(nowNs)
	for i := range b.count {
		if b.hasRoom(i, w) {
			b.put(i, nowNs, w)
			peers |= 1 << i
		}
	}
	return peers
}

// Out counts the requests that are out. isAsked: this prepare is among them.
func (b *Budget) Out(w Wanted) (count int, isAsked bool) {
	for i := range b.count {
		p := &b.peers[i]
		count += p.count
		isAsked = isAsked || p.isAsked(w.Op, w.Checksum)
	}
	return count, isAsked
}

// Answered takes a prepare that came from a peer, and measures. What comes after the expiry is
// taken by the log, and changes nothing here.
func (b *Budget) Answered(peer int, nowNs, op uint64, checksum wire.Checksum) {
	p := &b.peers[peer]
	for i := range p.asked {
		if a := &p.asked[i]; a.isOut && a.op == op && a.checksum == checksum {
			p.latencyNs = (p.latencyNs*4 + max(nowNs, a.sentNs) - a.sentNs) / 5
			p.end(a)
		}
	}
}

// Missing takes a peer's word that it has not got a prepare. It counts as a request that was given
// up: otherwise a peer that is as far behind, and near, would be the fastest of all, and be asked
// for what the others have.
func (b *Budget) Missing(peer int, op uint64, checksum wire.Checksum) {
	p := &b.peers[peer]
	for i := range p.asked {
		if a := &p.asked[i]; a.isOut && a.op == op && a.checksum == checksum {
			p.giveUp(a)
		}
	}
}

// NextNs returns when the next request expires, or the greatest number if none is out.
func (b *Budget) NextNs() uint64 {
	next := ^uint64(0)
	for i := range b.count {
		for j := range b.peers[i].asked {
			if a := &b.peers[i].asked[j]; a.isOut {
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
				p.giveUp(a)
				count++
			}
		}
	}
	return count
}

func (b *Budget) hasRoom(peer int, w Wanted) bool {
	p := &b.peers[peer]
	return peer != b.self && p.isConnected && p.count < len(p.asked) && (p.count == 0 || p.bytes+uint64(w.Bytes) <= repairBytesMax) &&
		!p.isAsked(w.Op, w.Checksum)
}

func (p *budgetPeer) isAsked(op uint64, checksum wire.Checksum) bool {
	for i := range p.asked {
		if a := &p.asked[i]; a.isOut && a.op == op && a.checksum == checksum {
			return true
		}
	}
	return false
}

func (b *Budget) put(peer int, nowNs uint64, w Wanted) {
	p := &b.peers[peer]
	for i := range p.asked {
		if a := &p.asked[i]; !a.isOut {
			expiry := min(max(2*p.latencyNs, repairExpiryNsMin), repairExpiryNsMax)
			*a = repairRequest{isOut: true, op: w.Op, bytes: uint64(w.Bytes), checksum: w.Checksum, sentNs: nowNs, expiresNs: nowNs + expiry}
			p.count++
			p.bytes += a.bytes
			return
		}
	}
	assert.That(false, "the peer has room")
}

// giveUp a request. The peer counts as slower than it was waited for.
func (p *budgetPeer) giveUp(a *repairRequest) {
	p.latencyNs = min((p.latencyNs*4+2*(a.expiresNs-a.sentNs))/5, repairExpiryNsMax)
	p.end(a)
}

// end of a request.
func (p *budgetPeer) end(a *repairRequest) {
	a.isOut = false
	p.count--
	p.bytes -= a.bytes
}

// uniform maps a random number to 0..below-1.
func uniform(random, below uint64) uint64 {
	high, _ := bits.Mul64(random, below)
	return high
}
