package peer

import (
	"ledger/prepare"
	"ledger/wire"
)

// RequestHeaders asks for the headers of a range of ops, both ends included.
type RequestHeaders struct {
	OpMin, OpMax uint64
}

func (m *RequestHeaders) fields(c *cursor) {
	c.u64("op min", &m.OpMin)
	c.u64("op max", &m.OpMax)
}

func (m *RequestHeaders) check(e *Envelope, _ *Bounds) Fault {
	switch {
	case m.OpMin > m.OpMax:
		return fault(e.Command, "op min", m.OpMin, "it must be at most op max", m.OpMax)
	case m.OpMax-m.OpMin >= HeadersPerAnswer:
		return fault(e.Command, "op max", m.OpMax, "with op min it must be a range of at most", HeadersPerAnswer)
	}
	return Fault{}
}

// Headers answers with the headers that the author has, by falling op: the body.
type Headers struct {
	HeadersCount uint8
}

func (m *Headers) fields(c *cursor) { u8(c, "headers count", &m.HeadersCount) }

func (m *Headers) check(e *Envelope, _ *Bounds) Fault {
	count := uint64(m.HeadersCount)
	switch {
	case count == 0 || count > HeadersPerAnswer:
		return fault(e.Command, "headers count", count, "it must be 1 to", HeadersPerAnswer)
	case count*prepare.HeaderBytes != uint64(e.BodyBytes):
		return fault(e.Command, "headers count", count, "256 bytes each must be the body's", uint64(e.BodyBytes))
	}
	return Fault{}
}

// RequestPrepare asks for one prepare. With checksum 0 it asks for that which the log of ViewOf has
// at this op.
type RequestPrepare struct {
	Checksum wire.Checksum
	Op       uint64
	ViewOf   uint32
}

func (m *RequestPrepare) fields(c *cursor) {
	c.bytes("checksum", m.Checksum[:])
	c.u64("op", &m.Op)
	c.u32("view of", &m.ViewOf)
}

func (m *RequestPrepare) check(e *Envelope, _ *Bounds) Fault {
	switch {
	case m.Op == 0:
		return fault(e.Command, "op", 0, "it must be at least", 1)
	case !m.Checksum.IsZero() && m.ViewOf != 0:
		return fault(e.Command, "view of", uint64(m.ViewOf), "it must be 0 where the checksum names the prepare", 0)
	}
	return Fault{}
}

// Missing says why an answer does not bring what was asked for.
type Missing uint8

// Both mean: ask somebody else. Neither is a nack.
const (
	MissingHere    Missing = iota + 1 // it is not here
	MissingDamaged                    // it was here
)

func (m Missing) check(e *Envelope) Fault {
	if m != MissingHere && m != MissingDamaged {
		return fault(e.Command, "missing", uint64(m), "it must be 1 or", uint64(MissingDamaged))
	}
	return Fault{}
}

// PrepareMissing answers a request_prepare, and repeats it.
type PrepareMissing struct {
	Checksum wire.Checksum
	Op       uint64
	Missing  Missing
}

func (m *PrepareMissing) fields(c *cursor) {
	c.bytes("checksum", m.Checksum[:])
	c.u64("op", &m.Op)
	u8(c, "missing", &m.Missing)
}

func (m *PrepareMissing) check(e *Envelope, _ *Bounds) Fault {
	if m.Op == 0 {
		return fault(e.Command, "op", 0, "it must be at least", 1)
	}
	return m.Missing.check(e)
}

// BlockName names a block of the grid.
type BlockName struct {
	Checksum wire.Checksum
	Address  uint64 // from 1
}

func (n *BlockName) fields(c *cursor) {
	c.bytes("block checksum", n.Checksum[:])
	c.u64("block address", &n.Address)
}

func (n *BlockName) check(e *Envelope) Fault {
	switch {
	case n.Address == 0:
		return fault(e.Command, "block address", 0, "it must be at least", 1)
	case n.Checksum.IsZero():
		return faultLong(e.Command, "block checksum", n.Checksum[:], "it must not be 0")
	}
	return Fault{}
}

// RequestBlocks asks for up to four blocks. Each has an answer of its own.
type RequestBlocks struct {
	BlocksCount uint8
	Blocks      [BlocksPerRequest]BlockName
}

func (m *RequestBlocks) fields(c *cursor) {
	u8(c, "blocks count", &m.BlocksCount)
	c.pad(7)
	for i := range m.Blocks {
		m.Blocks[i].fields(c)
	}
}

func (m *RequestBlocks) check(e *Envelope, _ *Bounds) Fault {
	if m.BlocksCount == 0 || m.BlocksCount > BlocksPerRequest {
		return fault(e.Command, "blocks count", uint64(m.BlocksCount), "it must be 1 to", BlocksPerRequest)
	}
	for i := range m.Blocks {
		n := &m.Blocks[i]
		if i >= int(m.BlocksCount) {
			if *n != (BlockName{}) {
				return fault(e.Command, "block address", n.Address, "names behind the count must be 0; the count is", uint64(m.BlocksCount))
			}
			continue
		}
		if f := n.check(e); f.Faulty() {
			return f
		}
		for j := range i {
			if m.Blocks[j].Address == n.Address {
				return fault(e.Command, "block address", n.Address, "it must be there once, and is also name", uint64(j))
			}
		}
	}
	return Fault{}
}

// Block is a block: its used pages are the body.
type Block struct {
	Name BlockName
}

func (m *Block) fields(c *cursor) { m.Name.fields(c) }

func (m *Block) check(e *Envelope, b *Bounds) Fault {
	if e.BodyBytes%b.pageBytes != 0 {
		return fault(e.Command, "body bytes", uint64(e.BodyBytes), "it must be whole pages, the size of which is", uint64(b.pageBytes))
	}
	return m.Name.check(e)
}

// BlockMissing answers for one block of a request_blocks.
type BlockMissing struct {
	Name    BlockName
	Missing Missing
}

func (m *BlockMissing) fields(c *cursor) {
	m.Name.fields(c)
	u8(c, "missing", &m.Missing)
}

func (m *BlockMissing) check(e *Envelope, _ *Bounds) Fault {
	if f := m.Name.check(e); f.Faulty() {
		return f
	}
	return m.Missing.check(e)
}
