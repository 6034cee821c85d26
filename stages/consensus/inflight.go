package consensus

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/wire"
)

// clientIndex maps client ids to small numbers by open addressing, at most half full. Nothing reads
// its cells in their order, so the order cannot reach replicated state.
type clientIndex struct {
	key   hashing.Key // clients choose their ids
	cells []indexCell
	mask  uint64
	count int
	max   int
}

type indexCell struct {
	client wire.U128 // zero: free (no client has id 0)
	value  uint32
	_      uint32
}

func newClientIndex(key *hashing.Key, max uint32, memory *arena.Arena, name string) clientIndex {
	cellsCount := uint64(1) << bits.Len64(uint64(max)*2)
	return clientIndex{key: *key, cells: arena.Slice[indexCell](memory, cellsCount, name), mask: cellsCount - 1, max: int(max)}
}

func (x *clientIndex) isFull() bool { return x.count == x.max }

func (x *clientIndex) home(client wire.U128) uint64 {
	return x.key.Hash(client.Lo, client.Hi) & x.mask
}

func (x *clientIndex) get(client wire.U128) (uint32, bool) {
	for i := x.home(client); ; i = (i + 1) & x.mask {
		cell := &x.cells[i]
		if cell.client == client {
			return cell.value, true
		}
		if cell.client.IsZero() {
			return 0, false
		}
	}
}

func (x *clientIndex) put(client wire.U128, value uint32) {
	assert.That(!client.IsZero(), "a client has an id")
	assert.Below(x.count, x.max, "clients in an index")
	i := x.home(client)
	for ; !x.cells[i].client.IsZero(); i = (i + 1) & x.mask {
		assert.That(x.cells[i].client != client, "a client is in an index once")
	}
	x.cells[i] = indexCell{client: client, value: value}
	x.count++
}

// remove moves the following cells up into the gap (backward shift), so there are no tombstones.
func (x *clientIndex) remove(client wire.U128) {
	i := x.home(client)
	for x.cells[i].client != client {
		assert.That(!x.cells[i].client.IsZero(), "a removed client is in the index")
		i = (i + 1) & x.mask
	}
	for j := (i + 1) & x.mask; !x.cells[j].client.IsZero(); j = (j + 1) & x.mask {
		if home := x.home(x.cells[j].client); (j-home)&x.mask >= (j-i)&x.mask {
			x.cells[i] = x.cells[j]
			i = j
		}
	}
	x.cells[i] = indexCell{}
	x.count--
}

// clear removes all clients.
func (x *clientIndex) clear() {
	clear(x.cells)
	x.count = 0
}
