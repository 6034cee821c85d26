package oracle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/zeebo/blake3"
)

// grid is a replica's disk of blocks of four pages of 512 bytes.
type grid struct {
	bytes        []byte
	checkpointOp uint64
	isLeaving    bool
}

func (g *grid) CheckpointOp() uint64 { return g.checkpointOp }

func (g *grid) IsLeaving() bool { return g.isLeaving }

func (g *grid) HasBlock(address, offsetBytes uint64, data []byte) bool {
	return bytes.Equal(g.bytes[(address-1)*2048+offsetBytes:][:len(data)], data)
}

type gridCluster struct {
	t      *testing.T
	blocks *Blocks
	disks  []*grid
}

func newGrids(t *testing.T) *gridCluster {
	c := &gridCluster{t: t}
	var disks []BlockDisk
	for range 3 {
		g := &grid{bytes: make([]byte, 20*2048)}
		c.disks, disks = append(c.disks, g), append(disks, g)
	}
	c.blocks = NewBlocks(512, 2048, len(disks), disks)
	return c
}

func sumOf(data []byte) []byte { s := blake3.Sum256(data); return s[:16] }

// built is a block of two pages; content is what its second page begins with.
func built(address uint64, kind byte, content []byte) []byte {
	b := make([]byte, 1024)
	copy(b[512:], content)
	little.PutUint64(b[blockAddressAt:], address)
	b[blockKindAt] = kind
	little.PutUint16(b[blockPagesAt:], 2)
	little.PutUint64(b[blockContentAt:], uint64(len(content)))
	copy(b[blockHeaderBytes:], sumOf(b[512:]))
	copy(b, sumOf(b[16:512]))
	return b
}

// writes makes a replica write, and the write durable. want is what the error says; empty: none.
func (c *gridCluster) writes(replica int, offsetBytes uint64, data []byte, want string) {
	c.t.Helper()
	_, err := c.blocks.Writes(replica, offsetBytes, data)
	if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		c.t.Fatalf("%v, want an error with %q", err, want)
	}
	copy(c.disks[replica].bytes[offsetBytes:], data)
}

// takes makes a replica write a superblock with a checkpoint that names these addresses, by a free
// set at address 19. The checkpoint is durable.
func (c *gridCluster) takes(replica int, op uint64, addresses ...uint64) {
	c.t.Helper()
	content := make([]byte, 8+3*16)
	little.PutUint64(content, 20)
	for i := range 3 {
		little.PutUint64(content[8+16*i:], 1<<32) // one literal
	}
	for _, address := range append(addresses, 19) {
		content[16+(address-1)/8] |= 1 << ((address - 1) % 8)
	}
	root := built(19, blockKindTrailer, content)
	copy(root[512:], content)
	c.writes(replica, 18*2048, root, "")
	encoded := make([]byte, 256)
	little.PutUint64(encoded, op)
	at := encoded[checkpointRootsAt+checkpointRootBytes:]
	little.PutUint64(at, 19)
	copy(at[8:], root[:16])
	little.PutUint64(at[24:], uint64(len(content)))
	if err := c.blocks.Checkpoint(replica, encoded); err != nil {
		c.t.Fatal(err)
	}
	c.disks[replica].checkpointOp = op
}

// Goal: a replica that leaves its state for a checkpoint of others may end what it was writing, if
// others wrote the same; and nobody else may write over what a checkpoint names.
func TestLateWrites(t *testing.T) {
	c := newGrids(t)
	first, second := built(3, 1, []byte("first")), built(3, 1, []byte("second"))
	for replica := range 2 {
		c.writes(replica, 2*2048, first, "")
		c.writes(replica, 2*2048, second, "")
	}
	c.writes(0, 2*2048, second, "")
	c.takes(0, 10, 3)
	c.disks[2].checkpointOp = 10
	c.writes(2, 2*2048, built(3, 1, []byte("third")), "is written over")
	c.disks[2].isLeaving = true
	c.writes(2, 2*2048, first, "")
	c.writes(2, 2*2048, built(3, 1, []byte("fourth")), "no replica wrote")
}

// Goal: a repair writes the header page behind the other pages, and nothing that was there before
// the address was used again.
func TestRepairOfABlock(t *testing.T) {
	c := newGrids(t)
	first, second := built(3, 1, []byte("first")), built(3, 1, []byte("second"))
	c.writes(0, 2*2048, first, "")
	c.writes(1, 2*2048, first[:512], "its other pages are not durable")
	c.writes(1, 2*2048+512, second[512:], "never part of it")
	c.writes(1, 2*2048+512, first[512:], "")
	if !c.blocks.IsRepairing(1, 3) || c.blocks.IsRepairing(0, 3) {
		t.Error("a repair has written pages, and the oracle does not say that it goes on there")
	}
	c.writes(1, 2*2048, first[:512], "")
	if c.blocks.IsRepairing(1, 3) {
		t.Error("a repair has written the header page, and the oracle says that it goes on")
	}
	c.writes(0, 2*2048, second, "")
	c.writes(1, 2*2048, second, "")
	c.writes(1, 2*2048+512, first[512:], "")
	c.writes(1, 2*2048, first[:512], "used the address again")
}

// Goal: a block that a checkpoint names is written over only when a quorum and the replica itself
// have a later checkpoint that does not name it. A replica that executes the past writes again what
// it wrote.
func TestReuseOfABlock(t *testing.T) {
	c := newGrids(t)
	first, second, third := built(3, 1, []byte("first")), built(3, 1, []byte("second")), built(3, 1, []byte("third"))
	c.writes(0, 2*2048, first, "")
	c.writes(0, 2*2048, second, "") // no checkpoint names the first one
	c.takes(0, 10, 3)
	c.writes(1, 2*2048, first, "") // it is behind
	c.writes(1, 2*2048, second, "")
	c.writes(0, 2*2048, third, "of checkpoint 10 is written over")

	c = newGrids(t)
	c.writes(0, 2*2048, first, "")
	c.takes(0, 10, 3)
	c.disks[0].checkpointOp = 20
	c.writes(0, 2*2048, second, "1 replicas have a later one")
}

// Goal: what a checkpoint names is looked for on the disks, and only what another replica has may
// be spoiled.
func TestWholeBlocks(t *testing.T) {
	c := newGrids(t)
	block := built(3, 1, []byte("a block"))
	c.writes(0, 2*2048, block, "")
	c.takes(0, 10, 3)
	if named := c.blocks.Named(10); len(named) != 2 || named[0].Address != 3 || c.blocks.Missing(0, 10) != nil {
		t.Fatalf("the checkpoint names %v, and %v is missing", named, c.blocks.Missing(0, 10))
	}
	if missing := c.blocks.Missing(1, 10); missing == nil || missing.Address != 3 {
		t.Fatalf("a replica that has nothing misses %v", missing)
	}
	held := c.blocks.Found(0, 3)
	if c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("the only copy of a block may be spoiled")
	}
	copy(c.disks[2].bytes[2*2048:], block)
	if !c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("a block that another replica has may not be spoiled")
	}
	if c.blocks.MaySpoil(0, 2, held) {
		t.Fatal("a block may be spoiled whose other copy is in a data file that will be taken away")
	}
	c.blocks.Spoils(0, held)
	c.disks[0].bytes[2*2048+600] ^= 1
	if c.blocks.Missing(0, 10) != nil || len(c.blocks.Broken(0, 10)) != 1 || c.blocks.MaySpoil(2, -1, held) {
		t.Fatal("a block that the disk has spoiled is not missing, but broken, and no copy for others")
	}
}

// Goal: a copy counts only where it stays. A replica whose checkpoint is older than another block
// at the address writes that one over it when it executes its log again.
func TestSpoiledBesideACopyThatGoes(t *testing.T) {
	c := newGrids(t)
	for _, data := range []string{"first", "second"} {
		for replica := range 2 {
			c.writes(replica, 2*2048, built(3, 1, []byte(data)), "")
		}
	}
	c.takes(0, 10, 3)
	held := c.blocks.Found(0, 3)
	if c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("a block may be spoiled because of a copy over which the first block may be written again")
	}
	c.disks[1].checkpointOp = 10
	if !c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("a block may not be spoiled although another replica has it in its checkpoint")
	}
	for replica := range 2 { // and once more, behind the checkpoint
		c.writes(replica, 3*2048, built(4, 1, []byte("alone")), "")
	}
	if !c.blocks.MaySpoil(0, -1, c.blocks.Found(0, 4)) {
		t.Fatal("a block may not be spoiled although nothing else is written at its address again")
	}
}

// Goal: a replica makes a block again that no checkpoint names, but once for each process. After
// that, its disk may spoil the block only if the replica's checkpoint names it.
func TestSpoiledOnceMore(t *testing.T) {
	c := newGrids(t)
	block := built(3, 1, []byte("a block"))
	c.writes(0, 2*2048, block, "")
	held := c.blocks.Found(0, 3)
	spoil := func() {
		t.Helper()
		if !c.blocks.MaySpoil(0, -1, held) {
			t.Fatal("a block that can be made again may not be spoiled")
		}
		c.blocks.Spoils(0, held)
		c.disks[0].bytes[2*2048+600] ^= 1
	}
	spoil()
	c.disks[0].bytes[2*2048+600] ^= 1 // it is repaired
	spoil()
	c.blocks.Reopens(0)
	c.writes(0, 2*2048, block, "")
	if c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("a block may be spoiled that was made again already")
	}
	copy(c.disks[1].bytes[2*2048:], block)
	if c.blocks.MaySpoil(0, -1, held) {
		t.Fatal("a block may be spoiled that was made again already, because of a copy that may go away")
	}
	c.blocks.Starts(0)
	c.writes(0, 2*2048, block, "")
	spoil()
	c.blocks.Reopens(0)
	c.writes(0, 2*2048, block, "")
	c.takes(0, 10, 3)
	spoil() // a checkpoint names it, and another replica has it
}
