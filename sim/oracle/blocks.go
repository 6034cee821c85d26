package oracle

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
)

// Block is what was written once at an address of the grid: its header page, and the pages behind
// it that it uses.
type Block struct {
	Address  uint64
	Checksum Checksum
	Bytes    []byte // of the used pages

	// Faults has a bit for each replica whose disk has spoiled the block, since it was last whole
	// there.
	Faults uint8
}

// IsTrailer tells whether the block is part of a checkpoint's trailer.
func (b *Block) IsTrailer() bool { return b.Bytes[blockKindAt] == blockKindTrailer }

// BlockDisk is what the ledger asks of one replica's disk.
type BlockDisk interface {
	// HasBlock tells whether a read returns these bytes at this place of a block, also behind a
	// power cut.
	HasBlock(address, offsetBytes uint64, data []byte) bool
	// CheckpointOp is the op of the durable checkpoint.
	CheckpointOp() uint64
	// IsLeaving tells whether the replica still has the state that it leaves for that checkpoint,
	// which came from others.
	IsLeaving() bool
}

// Blocks is the ledger of the grid: which block was written at which address, which of them the
// newest checkpoints name, and where they are whole. The state is a function of the log. So all
// replicas write the same blocks at an address, one after the other, and nothing else.
type Blocks struct {
	pageBytes, blockBytes uint64
	disks                 []BlockDisk
	replicas, quorum      int
	written               map[uint64][]*Block // by address, in the order in which the first replica wrote them
	wrote                 []map[uint64]int    // by replica: what it wrote since it opened its checkpoint, as an index there
	repairing             []map[uint64]bool   // by replica: blocks of which a repair wrote pages, and the header page not yet
	spoiled               []map[*Block]bool   // by replica: what its disk has spoiled since its process began; true: see Reopens
	checkpoints           []*named            // oldest first
	promised              []uint64            // by replica: the newest checkpoint that a data file had which is not there any more
}

// named is what a checkpoint names.
type named struct {
	op     uint64
	blocks map[uint64]*Block
	order  []*Block // by address
}

// checkpointsKept is how many checkpoints the ledger knows. A replica that is further behind takes
// a newer one from others.
const checkpointsKept = 64

// NewBlocks makes the ledger of replicas with these disks, and of standbys behind them. Standbys
// write the same blocks, and count for nothing.
func NewBlocks(pageBytes, blockBytes uint32, replicas int, disks []BlockDisk) *Blocks {
	b := &Blocks{pageBytes: uint64(pageBytes), blockBytes: uint64(blockBytes), disks: disks, replicas: replicas, quorum: replication[replicas],
		written: map[uint64][]*Block{}}
	for range disks {
		b.wrote, b.promised = append(b.wrote, map[uint64]int{}), append(b.promised, 0)
		b.repairing, b.spoiled = append(b.repairing, map[uint64]bool{}), append(b.spoiled, map[*Block]bool{})
	}
	return b
}

// Starts: the process of a replica begins, and opens its checkpoint. What it writes from now on it
// may have written before.
func (b *Blocks) Starts(replica int) {
	b.opens(replica)
	clear(b.spoiled[replica])
}

// Reopens: a replica has dropped its state, and opens a checkpoint while it runs. It may do so
// because of any block that its disk has spoiled.
func (b *Blocks) Reopens(replica int) {
	b.opens(replica)
	for block := range b.spoiled[replica] { // the order does not matter: all get the same
		b.spoiled[replica][block] = true
	}
}

func (b *Blocks) opens(replica int) {
	clear(b.wrote[replica])
	clear(b.repairing[replica])
}

// IsRepairing tells whether a replica is between the pages of a repair and their header page. What
// its disk spoils then, the repair cannot know: the header page comes behind pages that are gone.
func (b *Blocks) IsRepairing(replica int, address uint64) bool { return b.repairing[replica][address] }

// Writes: a replica begins to write into the grid. It returns the block of which the write is the
// last part of a repair, or nil.
func (b *Blocks) Writes(replica int, offsetBytes uint64, data []byte) (repaired *Block, err error) {
	address, at := offsetBytes/b.blockBytes+1, offsetBytes%b.blockBytes
	switch {
	case at+uint64(len(data)) > b.blockBytes:
		return nil, fmt.Errorf("a write of %d bytes at page %d of block %d goes into the next one", len(data), at/b.pageBytes, address)
	case at > 0:
		for _, block := range b.written[address] {
			if end := at + uint64(len(data)); end <= uint64(len(block.Bytes)) && bytes.Equal(block.Bytes[at:end], data) {
				b.repairing[replica][address] = true
				return nil, nil
			}
		}
		return nil, fmt.Errorf("pages from %d on are written into block %d that were never part of it", at/b.pageBytes, address)
	case uint64(len(data)) == b.pageBytes:
		return b.repairs(replica, address, data)
	}
	return nil, b.builds(replica, address, data)
}

// repairs: the header page of a block that another replica wrote. All other pages are durable by
// now. Otherwise a power cut could leave a header page that promises them.
func (b *Blocks) repairs(replica int, address uint64, page []byte) (*Block, error) {
	delete(b.repairing[replica], address)
	list := b.written[address]
	for i := len(list) - 1; i >= 0; i-- {
		block := list[i]
		if !bytes.Equal(block.Bytes[:b.pageBytes], page) {
			continue
		}
		if now, isWritten := b.wrote[replica][address]; isWritten && i < now {
			return nil, fmt.Errorf("block %d is repaired with what it was before this replica used the address again", address)
		}
		if !b.disks[replica].HasBlock(address, b.pageBytes, block.Bytes[b.pageBytes:]) {
			return nil, fmt.Errorf("the header page of block %d is written, and its other pages are not durable", address)
		}
		if b.disks[replica].IsLeaving() {
			return block, nil // a late write, see builds
		}
		return block, b.mayWrite(replica, block, i)
	}
	return nil, fmt.Errorf("the header page is written of a block %d that was never built", address)
}

// builds: compaction writes a whole block.
func (b *Blocks) builds(replica int, address uint64, data []byte) error {
	block, err := b.parse(address, data)
	if err != nil {
		return err
	}
	list := b.written[address]
	if b.disks[replica].IsLeaving() {
		// A late write. What the checkpoint of others names at its address was born in the sync
		// range, so it is read, and fetched if it was written over, before the range ends.
		if !slices.ContainsFunc(list, func(one *Block) bool { return bytes.Equal(one.Bytes, block.Bytes) }) {
			return fmt.Errorf("block %d is one that no replica wrote", address)
		}
		return nil
	}
	now, isWritten := b.wrote[replica][address]
	first := now
	if !isWritten {
		first = b.firstBehind(replica, address)
	}
	for i := first; i < len(list); i++ {
		if list[i].Checksum == block.Checksum {
			if !bytes.Equal(list[i].Bytes, block.Bytes) {
				return fmt.Errorf("block %d has the same header page and other pages", address)
			}
			b.wrote[replica][address] = i
			return b.mayWrite(replica, list[i], i)
		}
	}
	if isWritten && now < len(list)-1 {
		return fmt.Errorf("block %d is another one than other replicas wrote behind the same one", address)
	}
	b.written[address] = append(list, block)
	b.wrote[replica][address] = len(list)
	return b.mayWrite(replica, block, len(list))
}

// firstBehind is the first block of an address that a replica can write behind its durable
// checkpoint: the one that this checkpoint names there, or the last one before it that names any.
// The same bytes may have lain there earlier, and may be written again.
func (b *Blocks) firstBehind(replica int, address uint64) int {
	op := b.disks[replica].CheckpointOp()
	for i := len(b.checkpoints) - 1; i >= 0; i-- {
		if c := b.checkpoints[i]; c.op <= op && c.blocks[address] != nil {
			return b.indexOf(c.blocks[address])
		}
	}
	return 0
}

// mayWrite demands that no block is written over that is still needed. One that a checkpoint names
// is needed until a quorum, and the replica itself, has a later checkpoint that does not name it. A
// replica that executes the past writes what lay at the address before.
func (b *Blocks) mayWrite(replica int, block *Block, index int) error {
	for i := len(b.checkpoints) - 1; i >= 0; i-- {
		c := b.checkpoints[i]
		before := c.blocks[block.Address]
		if before == nil || before == block {
			continue
		}
		if b.indexOf(before) > index {
			if b.disks[replica].CheckpointOp() >= c.op {
				return fmt.Errorf("block %d of checkpoint %d is written over with what was there before", block.Address, c.op)
			}
			continue
		}
		later := 0
		for i, disk := range b.disks[:b.replicas] {
			if max(disk.CheckpointOp(), b.promised[i]) > c.op {
				later++
			}
		}
		if later < b.quorum || b.disks[replica].CheckpointOp() <= c.op {
			return fmt.Errorf("block %d of checkpoint %d is written over; this replica has checkpoint %d, and %d replicas have a later one",
				block.Address, c.op, b.disks[replica].CheckpointOp(), later)
		}
		return nil
	}
	return nil
}

func (b *Blocks) indexOf(block *Block) int {
	list := b.written[block.Address]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == block {
			return i
		}
	}
	return -1
}

// parse checks a block by the tables of docs/design/storage.md.
func (b *Blocks) parse(address uint64, data []byte) (*Block, error) {
	pages := uint64(little.Uint16(data[blockPagesAt:]))
	sum := func(data []byte) Checksum { s := blake3.Sum256(data); return Checksum(s[:16]) }
	block := &Block{Address: address, Checksum: Checksum(data[:16])}
	switch {
	case little.Uint64(data[blockAddressAt:]) != address:
		return nil, fmt.Errorf("block %d says that it is block %d", address, little.Uint64(data[blockAddressAt:]))
	case pages < 2 || pages*b.pageBytes != uint64(len(data)):
		return nil, fmt.Errorf("block %d says that it has %d pages, and %d bytes are written", address, pages, len(data))
	case sum(data[16:b.pageBytes]) != block.Checksum:
		return nil, fmt.Errorf("the checksum of the header page of block %d is wrong", address)
	}
	for page := uint64(1); page < pages; page++ {
		at := blockHeaderBytes + (page-1)*blockEntryBytes
		if sum(data[page*b.pageBytes:(page+1)*b.pageBytes]) != Checksum(data[at:at+16]) {
			return nil, fmt.Errorf("the checksum of page %d of block %d is wrong", page, address)
		}
	}
	block.Bytes = append([]byte(nil), data...)
	return block, nil
}

// Offsets in a header page.
const (
	blockAddressAt   = 32
	blockKindAt      = 42
	blockPagesAt     = 46
	blockEntriesAt   = 52
	blockContentAt   = 56
	blockHeaderBytes = 128
	blockEntryBytes  = 44
	blockKindTrailer = 2
)

// Checkpoint: a replica begins to write a superblock with this checkpoint, in the superblock's
// encoding. The first one has captured it.
func (b *Blocks) Checkpoint(replica int, encoded []byte) error {
	op := little.Uint64(encoded)
	for i := len(b.checkpoints) - 1; i >= 0; i-- {
		if c := b.checkpoints[i]; c.op == op {
			return nil
		} else if c.op < op {
			break
		}
	}
	root := encoded[checkpointRootsAt+checkpointRootBytes:] // the free set's, behind the manifest's
	content, err := b.trailer(little.Uint64(root), Checksum(root[8:24]), little.Uint64(root[24:]))
	if err != nil {
		return err
	}
	addresses, err := namedBy(content)
	if err != nil {
		return err
	}
	c := &named{op: op, blocks: map[uint64]*Block{}}
	for _, address := range addresses {
		block := b.of(replica, address)
		if block == nil {
			return fmt.Errorf("checkpoint %d names block %d, which was never written", op, address)
		}
		c.blocks[address] = block
		c.order = append(c.order, block)
	}
	b.checkpoints = append(b.checkpoints, c)
	if len(b.checkpoints) > checkpointsKept {
		b.checkpoints = b.checkpoints[1:]
	}
	return nil
}

// Offsets in a checkpoint.
const (
	checkpointRootsAt   = 8 + 16 + 16
	checkpointRootBytes = 8 + 16 + 8
)

// of is the block that a replica has at an address: what it wrote since it opened its checkpoint,
// or what that checkpoint names.
func (b *Blocks) of(replica int, address uint64) *Block {
	if index, ok := b.wrote[replica][address]; ok {
		return b.written[address][index]
	}
	for i := len(b.checkpoints) - 1; i >= 0; i-- {
		if block := b.checkpoints[i].blocks[address]; block != nil {
			return block
		}
	}
	return nil
}

// trailer puts the content of a trailer together. Its stream begins with the names of all blocks
// but the root.
func (b *Blocks) trailer(address uint64, checksum Checksum, contentBytes uint64) ([]byte, error) {
	var stream []byte
	names := uint64(0)
	for i := uint64(0); uint64(len(stream)) < names*nameBytes+contentBytes || i == 0; i++ {
		if i > 0 {
			name := stream[(i-1)*nameBytes:]
			address, checksum = little.Uint64(name), Checksum(name[8:nameBytes])
		}
		block := b.find(address, checksum)
		if block == nil || !block.IsTrailer() {
			return nil, fmt.Errorf("block %d of a trailer was never written", address)
		}
		if i == 0 {
			names = uint64(little.Uint32(block.Bytes[blockEntriesAt:]))
		}
		stream = append(stream, block.Bytes[b.pageBytes:][:little.Uint64(block.Bytes[blockContentAt:])]...)
	}
	return stream[names*nameBytes:], nil
}

const nameBytes = 8 + 16

func (b *Blocks) find(address uint64, checksum Checksum) *Block {
	list := b.written[address]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Checksum == checksum {
			return list[i]
		}
	}
	return nil
}
