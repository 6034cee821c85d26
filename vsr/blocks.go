package vsr

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// Limits of the repair of blocks.
const (
	// BlockWantsMax blocks are wanted at a time.
	BlockWantsMax = 64
	// BlocksPerRequest is the largest number of blocks that one request names.
	BlocksPerRequest = 4

	blockRequestsMax = 5           // requests to one peer that are not answered
	blockExpiryNs    = 250_000_000 // then the request is given up
	blockAgainNs     = 100_000_000 // then another peer is asked as well
	blockPauseNsMin  = 100_000_000 // between two rounds; it doubles with each round
	blockPauseNsMax  = 10_000_000_000
)

// Block names a block of the grid.
type Block struct {
	Address  uint64
	Checksum wire.Checksum
}

// BlockBudget decides which peer is asked for which block, and when. In one round, each connected
// peer is asked once for a block. A round that does not bring the block ends when nobody is asked
// for it any more. Then there is a pause, which gets longer.
//
//	Want -> Ask (a peer) -> Arrived -> Repaired: the want ends
//	         ^    |            |
//	         |    |            +-> Wrong ----+
//	         |    +-> Missing, expired ------+
//	         +---- another peer, or the next round
//
// A block that came is held, which means that it lies in memory until it is written. What a peer
// has been asked for and what is held of it are at most heldMax blocks together. So no block that
// was asked for finds the memory full, unless it comes after its request expired.
type BlockBudget struct {
	self    int
	count   int // of replicas
	heldMax int
	peers   [limits.ReplicasMax]blockPeer
	wants   [BlockWantsMax]blockWant
	wanted  int
	serial  uint64 // of the newest want
}

type blockPeer struct {
	isConnected bool
	held        int
	asked       [blockRequestsMax]blockRequest
}

type blockRequest struct {
	names  [BlocksPerRequest]Block
	out    uint8 // bits of the names that are not answered
	sentNs uint64
}

type blockWant struct {
	block  Block
	serial uint64 // 0: the place is free
	isHeld bool   // it came, and is being written
	asked  uint8  // peers that were asked in this round
	out    uint8  // of them, those that may still answer
	lacks  uint8  // of them, those that answered that they have not got it
	nextNs uint64 // nobody is asked before
	rounds uint32 // that brought nothing
	// lost counts the rounds without a break in which every other replica of the cluster said that it
	// has not got the block.
	lost uint32
}

// BlockToken names the want for which a block is held.
type BlockToken struct {
	block  Block
	want   int
	serial uint64
	from   int
}

// NewBlockBudget of a replica of a cluster, which holds up to heldMax blocks of each peer.
func NewBlockBudget(self, replicas, heldMax int) BlockBudget {
	assert.That(replicas <= limits.ReplicasMax, "the cluster has as many replicas as are possible, or fewer")
	return BlockBudget{self: self, count: replicas, heldMax: heldMax}
}

// Count is the number of blocks that are wanted.
func (b *BlockBudget) Count() int { return b.wanted }

// others are the bits of all other replicas.
func (b *BlockBudget) others() uint8 { return (1<<b.count - 1) &^ (1 << b.self) }

// connected are the bits of the peers that can be asked.
func (b *BlockBudget) connected() (peers uint8) {
	for i := range b.count {
		if b.peers[i].isConnected && i != b.self {
			peers |= 1 << i
		}
	}
	return peers
}

// Connected says whether a peer can be asked. What it was asked over a connection that has ended
// will not come, so it may be asked again over the next one.
func (b *BlockBudget) Connected(nowNs uint64, peer int, isConnected bool) {
	p := &b.peers[peer]
	p.isConnected, p.asked = isConnected, [blockRequestsMax]blockRequest{}
	for i := range b.wants {
		w := &b.wants[i]
		w.asked &^= 1 << peer
		w.lacks &^= 1 << peer
		w.silenced(peer, nowNs)
	}
}

// silenced: no answer of a peer is waited for. If that was the last one, the next peer may be asked
// at once.
func (w *blockWant) silenced(peer int, nowNs uint64) {
	if w.out>>peer&1 == 0 {
		return
	}
	if w.out &^= 1 << peer; w.out == 0 {
		w.nextNs = min(w.nextNs, nowNs)
	}
}

// find returns the place of a want, -1 if the block is not wanted.
func (b *BlockBudget) find(block Block) int {
	for i := range b.wants {
		if w := &b.wants[i]; w.serial > 0 && w.block == block {
			return i
		}
	}
	return -1
}

// Want takes in a block that is not wanted yet, and returns the place of the want. What a peer may
// still send because of an earlier want counts for this one.
func (b *BlockBudget) Want(nowNs uint64, block Block) (at int) {
	assert.Below(b.wanted, BlockWantsMax, "blocks that are wanted")
	assert.That(b.find(block) < 0, "a block is wanted once")
	b.Expire(nowNs) // nobody did, while nothing was wanted
	for b.wants[at].serial > 0 {
		at++
	}
	b.wanted++
	b.serial++
	w := &b.wants[at]
	*w = blockWant{block: block, serial: b.serial, nextNs: nowNs}
	for i := range b.count {
		if b.isOut(i, block) {
			w.asked |= 1 << i
			w.out |= 1 << i
		}
	}
	return at
}

// Unwant ends a want, if there is one.
func (b *BlockBudget) Unwant(block Block) {
	if at := b.find(block); at >= 0 {
		b.end(at)
	}
}

func (b *BlockBudget) end(at int) {
	b.wants[at] = blockWant{}
	b.wanted--
}

// At returns the want of a place: how many rounds brought nothing, and for how many of them without
// a break all other replicas have said that they have not got the block.
func (b *BlockBudget) At(at int) (block Block, rounds, lost uint32, ok bool) {
	w := &b.wants[at]
	return w.block, w.rounds, w.lost, w.serial > 0
}

// Rounds counts those that brought nothing for the want of a place; 0: there is none, or no round
// has ended.
func (b *BlockBudget) Rounds(at int) uint32 { return b.wants[at].rounds }

// Ask chooses a peer, and up to four blocks to ask it for, and counts the request as out. It takes
// any of the peers that have room, because a block is as good from each. random is a number that
// the caller draws. The caller asks until ok is false.
func (b *BlockBudget) Ask(nowNs, random uint64) (peer int, names [BlocksPerRequest]Block, count int, ok bool) {
	b.Expire(nowNs)
	may := uint8(0)
	for i := range b.wants {
		if w := &b.wants[i]; w.isDue(nowNs) {
			may |= ^w.asked
		}
	}
	may &= b.connected()
	for i := range b.count {
		if may>>i&1 != 0 && b.room(i) == 0 {
			may &^= 1 << i
		}
	}
	if may == 0 {
		return 0, names, 0, false
	}
	for skip := uniform(random, uint64(bits.OnesCount8(may))); skip > 0; skip-- {
		may &= may - 1
	}
	peer = bits.TrailingZeros8(may)
	request := b.free(peer)
	*request = blockRequest{sentNs: nowNs}
	for i, most := 0, b.room(peer); i < len(b.wants) && count < most; i++ {
		w := &b.wants[i]
		if !w.isDue(nowNs) || w.asked>>peer&1 != 0 || hasAddress(names[:count], w.block.Address) {
			continue
		}
		names[count] = w.block
		request.out |= 1 << count
		count++
		w.asked |= 1 << peer
		w.out |= 1 << peer
		w.nextNs = nowNs + blockAgainNs
	}
	request.names = names
	return peer, names, count, true
}

func (w *blockWant) isDue(nowNs uint64) bool { return w.serial > 0 && !w.isHeld && w.nextNs <= nowNs }

// hasAddress: a request names an address once.
func hasAddress(names []Block, address uint64) bool {
	for i := range names {
		if names[i].Address == address {
			return true
		}
	}
	return false
}

// room is the number of blocks that one more request to a peer may name.
func (b *BlockBudget) room(peer int) int {
	if b.free(peer) == nil {
		return 0
	}
	p := &b.peers[peer]
	taken := p.held
	for i := range p.asked {
		taken += bits.OnesCount8(p.asked[i].out)
	}
	return min(max(b.heldMax-taken, 0), BlocksPerRequest)
}

// free is the place of one more request to a peer, nil if there is none.
func (b *BlockBudget) free(peer int) *blockRequest {
	for i := range b.peers[peer].asked {
		if a := &b.peers[peer].asked[i]; a.out == 0 {
			return a
		}
	}
	return nil
}

// isOut tells whether a peer may still answer for a block.
func (b *BlockBudget) isOut(peer int, block Block) bool {
	request, _ := b.outAt(peer, block)
	return request != nil
}

func (b *BlockBudget) outAt(peer int, block Block) (request *blockRequest, name int) {
	for i := range b.peers[peer].asked {
		a := &b.peers[peer].asked[i]
		for j := range a.names {
			if a.out>>j&1 != 0 && a.names[j] == block {
				return a, j
			}
		}
	}
	return nil, 0
}

// answered: a peer has answered for a block. It returns the place of the want, or -1.
func (b *BlockBudget) answered(nowNs uint64, peer int, block Block) (at int) {
	if request, name := b.outAt(peer, block); request != nil {
		request.out &^= 1 << name
	}
	if at = b.find(block); at >= 0 {
		b.wants[at].silenced(peer, nowNs)
	}
	return at
}

// Arrived takes a block that came from a peer. isTaken: it is wanted, none is held for that want,
// and there is memory for it. Then it is held until Repaired or Refused. Otherwise it is dropped.
func (b *BlockBudget) Arrived(nowNs uint64, peer int, block Block) (token BlockToken, isTaken bool) {
	at := b.answered(nowNs, peer, block)
	if at < 0 || b.wants[at].isHeld || b.peers[peer].held >= b.heldMax {
		return BlockToken{}, false
	}
	b.wants[at].isHeld = true
	b.peers[peer].held++
	return BlockToken{block, at, b.wants[at].serial, peer}, true
}

// Missing: a peer has answered that it has not got a block. It is left for another one.
func (b *BlockBudget) Missing(nowNs uint64, peer int, block Block) {
	if at := b.answered(nowNs, peer, block); at >= 0 && b.wants[at].asked>>peer&1 != 0 {
		b.wants[at].lacks |= 1 << peer
	}
}

// Repaired: a block that was held is written. That ends the want of this block, also one that began
// while the block was held.
func (b *BlockBudget) Repaired(token BlockToken) {
	b.letGo(token)
	b.Unwant(token.block)
}

// Refused: what was held is not the block, or it is not wanted any more. If its want is still
// there, another peer is asked. One that began later may have a block of its own that is held.
func (b *BlockBudget) Refused(nowNs uint64, token BlockToken) {
	if b.letGo(token) {
		w := &b.wants[token.want]
		w.isHeld, w.nextNs = false, min(w.nextNs, nowNs)
	}
}

// letGo gives memory back. It tells whether the want is still there.
func (b *BlockBudget) letGo(token BlockToken) bool {
	assert.That(b.peers[token.from].held > 0, "a block that is let go was held")
	b.peers[token.from].held--
	return b.wants[token.want].serial == token.serial
}

// Expire gives up what did not come in time, and ends rounds. It returns whether a round ended.
func (b *BlockBudget) Expire(nowNs uint64) (hasEnded bool) {
	for i := range b.count {
		for j := range b.peers[i].asked {
			if a := &b.peers[i].asked[j]; a.out != 0 && nowNs >= a.sentNs+blockExpiryNs {
				b.giveUp(i, a, nowNs)
			}
		}
	}
	connected := b.connected()
	for i := range b.wants {
		w := &b.wants[i]
		if w.serial == 0 || w.isHeld || w.out != 0 || w.asked == 0 || connected&^w.asked != 0 {
			continue
		}
		w.rounds++
		if w.lost++; w.lacks != b.others() {
			w.lost = 0
		}
		w.asked, w.lacks = 0, 0
		w.nextNs = nowNs + min(uint64(blockPauseNsMin)<<min(w.rounds-1, 16), blockPauseNsMax)
		hasEnded = true
	}
	return hasEnded
}

func (b *BlockBudget) giveUp(peer int, request *blockRequest, nowNs uint64) {
	for j := range request.names {
		if request.out>>j&1 == 0 {
			continue
		}
		if at := b.find(request.names[j]); at >= 0 {
			b.wants[at].silenced(peer, nowNs)
		}
	}
	request.out = 0
}

// NextNs returns when something is due that nothing but time brings about, or the greatest number.
// What could be asked for now, and has no room, waits for an answer, an expiry or a connection.
func (b *BlockBudget) NextNs(nowNs uint64) uint64 {
	next := ^uint64(0)
	if b.wanted == 0 {
		return next
	}
	for i := range b.count {
		for j := range b.peers[i].asked {
			if a := &b.peers[i].asked[j]; a.out != 0 {
				next = min(next, a.sentNs+blockExpiryNs)
			}
		}
	}
	for i := range b.wants {
		if w := &b.wants[i]; w.serial > 0 && !w.isHeld && w.nextNs > nowNs {
			next = min(next, w.nextNs)
		}
	}
	return next
}
