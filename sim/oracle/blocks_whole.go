package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// namedBy reads the encoding of a free set: the addresses that are acquired and do not wait to be
// free. It is the highest address, and three bitmaps: acquired, waiting for the bar, waiting for
// this checkpoint. A bitmap is a sequence of markers: whether a fill is of ones (1 bit), its words
// (31 bits), and how many literal words follow (32 bits).
func namedBy(content []byte) (addresses []uint64, err error) {
	next := func() (word uint64) {
		if len(content) < 8 {
			err = errors.New("the free set is cut off")
			return 0
		}
		word, content = little.Uint64(content), content[8:]
		return word
	}
	high := next()
	words := int(high+63) / 64
	var maps [3][]uint64
	for i := range maps {
		for len(maps[i]) < words && err == nil {
			marker := next()
			for range marker >> 1 & (1<<31 - 1) {
				maps[i] = append(maps[i], -(marker & 1))
			}
			for range marker >> 32 {
				maps[i] = append(maps[i], next())
			}
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range words {
		for word := maps[0][i] &^ (maps[1][i] | maps[2][i]); word != 0; word &= word - 1 {
			addresses = append(addresses, uint64(64*i+bits.TrailingZeros64(word)+1))
		}
	}
	return addresses, nil
}

// Sent judges a block that leaves a replica for another one.
func (b *Blocks) Sent(address uint64, checksum Checksum, pages []byte) error {
	block := b.find(address, checksum)
	if block == nil || !bytes.Equal(block.Bytes, pages) {
		return fmt.Errorf("block %d is not what was written", address)
	}
	return nil
}

// IsReused tells whether a replica has written something later at the address of a block.
func (b *Blocks) IsReused(replica int, address uint64, checksum Checksum) bool {
	now, isWritten := b.wrote[replica][address]
	block := b.find(address, checksum)
	return isWritten && block != nil && b.indexOf(block) < now
}

// IsKnown tells whether a block was ever written.
func (b *Blocks) IsKnown(address uint64, checksum Checksum) bool {
	return b.find(address, checksum) != nil
}

// IsWhole tells whether a block is whole on the disk of a replica, so that a power cut leaves it.
func (b *Blocks) IsWhole(replica int, block *Block) bool {
	if !b.disks[replica].HasBlock(block.Address, 0, block.Bytes) {
		return false
	}
	block.Faults &^= 1 << replica
	return true
}

// Named is what the checkpoint of op names, by address; nil if it is not known.
func (b *Blocks) Named(op uint64) []*Block {
	for i := len(b.checkpoints) - 1; i >= 0; i-- {
		if b.checkpoints[i].op == op {
			return b.checkpoints[i].order
		}
	}
	return nil
}

// Missing returns a block that the checkpoint of op names and that a replica does not have,
// although its disk has not spoiled it; nil: there is none.
func (b *Blocks) Missing(replica int, op uint64) *Block {
	for _, block := range b.Named(op) {
		if block.Faults>>replica&1 == 0 && !b.IsWhole(replica, block) {
			return block
		}
	}
	return nil
}

// Broken counts the blocks that the checkpoint of op names and that are not whole on a replica.
func (b *Blocks) Broken(replica int, op uint64) (blocks []*Block) {
	for _, block := range b.Named(op) {
		if !b.IsWhole(replica, block) {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// Found returns the newest block that is whole at an address of a replica, or nil.
func (b *Blocks) Found(replica int, address uint64) *Block {
	list := b.written[address]
	for i := len(list) - 1; i >= 0; i-- {
		if b.IsWhole(replica, list[i]) {
			return list[i]
		}
	}
	return nil
}

// Before returns what lay at the address before a block, or nil.
func (b *Blocks) Before(block *Block) *Block {
	if i := b.indexOf(block); i > 0 {
		return b.written[block.Address][i-1]
	}
	return nil
}

// Spoils: the disk of a replica has spoiled a block.
func (b *Blocks) Spoils(replica int, block *Block) {
	block.Faults |= 1 << replica
	if _, known := b.spoiled[replica][block]; !known {
		b.spoiled[replica][block] = false // true when the replica has opened its checkpoint again
	}
}

// MaySpoil tells whether the disk of a replica may spoil a block that is whole there: it can be
// repaired, because another replica has it, or because the replica makes it again. leaving: a
// replica whose data file will be taken away, so that what is whole there counts for nothing; -1:
// there is none.
func (b *Blocks) MaySpoil(replica, leaving int, block *Block) bool {
	return !b.isLastTime(replica, block) && (b.isWholeBeside(replica, leaving, block) || b.mayRebuild(replica, block))
}

// isLastTime tells whether a replica may stop if its disk spoils a block once more. For a block
// that its checkpoint does not name, it executes its log again once, and stops the next time. That
// others have the block does not help: they may write over it before they answer.
func (b *Blocks) isLastTime(replica int, block *Block) bool {
	return b.spoiled[replica][block] && !slices.Contains(b.Named(b.disks[replica].CheckpointOp()), block)
}

// mayRebuild tells whether a block that is whole on a replica may be spoiled there although no
// other replica has it: no checkpoint names it, and the replica itself has written it since it
// opened its checkpoint. So it writes it again when it opens that checkpoint again and executes the
// log. It may have to become part of the next checkpoint, so no other disk has spoiled it.
func (b *Blocks) mayRebuild(replica int, block *Block) bool {
	now, isWritten := b.wrote[replica][block.Address]
	if !isWritten || b.indexOf(block) != now || block.Faults&^(1<<replica) != 0 {
		return false
	}
	for _, c := range b.checkpoints {
		if c.blocks[block.Address] == block {
			return false
		}
	}
	return true
}

// Change takes that a replica has another data file from now on. spoiled: what its disk has spoiled
// in that file. It returns what it has spoiled in the one before. What the others conclude from the
// newest checkpoint of the file before stays true: it was there.
func (b *Blocks) Change(replica int, spoiled []*Block) (before []*Block) {
	b.promised[replica] = max(b.promised[replica], b.disks[replica].CheckpointOp())
	b.Starts(replica)
	for _, list := range b.written { // the order does not matter: it is a set
		for _, block := range list {
			if block.Faults>>replica&1 != 0 {
				before = append(before, block)
				block.Faults &^= 1 << replica
			}
		}
	}
	for _, block := range spoiled {
		block.Faults |= 1 << replica
	}
	return before
}

// MayLose tells whether a replica may lose all blocks: what the others' checkpoints name, and what
// their disks have spoiled since, is whole on one of the others as well.
func (b *Blocks) MayLose(replica int) (ok bool) {
	ok = true
	for other, disk := range b.disks {
		if other == replica {
			continue
		}
		for _, block := range b.Named(disk.CheckpointOp()) {
			ok = ok && (b.IsWhole(other, block) || b.isWholeBeside(replica, other, block))
		}
	}
	if !ok {
		return false
	}
	for _, list := range b.written { // the order does not matter: each block is looked at
		block := list[len(list)-1]
		if block.Faults&^(1<<replica) != 0 && b.IsWhole(replica, block) {
			ok = b.isWholeBeside(replica, replica, block) && ok
		}
	}
	return ok
}

// isWholeBeside tells whether a block is whole on a replica that is neither of these, and stays so.
func (b *Blocks) isWholeBeside(one, other int, block *Block) bool {
	for i := range b.replicas {
		if i != one && i != other && b.IsWhole(i, block) && b.stays(i, block) {
			return true
		}
	}
	return false
}

// stays tells whether a replica writes nothing else over a block when it executes the log behind
// its checkpoint again. What it writes there before it writes the block is lost for those who need
// the block meanwhile; and if it takes a checkpoint of others instead of going on, the block is.
func (b *Blocks) stays(replica int, block *Block) bool {
	index := b.indexOf(block)
	if first := b.firstBehind(replica, block.Address); first > 0 || b.names(replica, block.Address) {
		return index-first <= 1
	}
	return index == 0
}

// names tells whether a checkpoint up to the durable one of a replica names a block at an address.
func (b *Blocks) names(replica int, address uint64) bool {
	op := b.disks[replica].CheckpointOp()
	return slices.ContainsFunc(b.checkpoints, func(c *named) bool { return c.op <= op && c.blocks[address] != nil })
}
