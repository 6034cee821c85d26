package merge

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/wire"
)

// columnar is a memtable for one tree that shows columns, as the forest's does.
type columnar struct {
	source
	columns storage.Columns
}

func (c *columnar) Columns(_ storage.TreeID, out *storage.Columns) bool {
	*out = c.columns
	return true
}

// hasDead tells whether ids of a tree may stand for no row.
func hasDead(tree storage.TreeID) bool { return tree == storage.TreeTransferID }

// ordinalOf is the ordinal in a value of a tree of ids.
func ordinalOf(value []byte) uint64 {
	if len(value) == 4 {
		return uint64(binary.LittleEndian.Uint32(value))
	}
	return binary.LittleEndian.Uint64(value)
}

// newColumns takes entries apart. They are in order of ordinals; of ids, the dead ones come last.
func newColumns(tree storage.TreeID, entries []entry) *columnar {
	c := &columnar{source: source{entries: entries}}
	out := &c.columns
	spec := &storage.Trees[tree]
	if storage.Trees[tree].Filter {
		for i := range entries {
			id := wire.U128{Hi: binary.BigEndian.Uint64(entries[i].key[:]), Lo: binary.BigEndian.Uint64(entries[i].key[8:])}
			if hasDead(tree) && ordinalOf(entries[i].value) == storage.TransferDeadMark {
				out.Dead = append(out.Dead, id)
				continue
			}
			out.Wide = append(out.Wide, id)
			if i == 0 {
				out.OrdinalFirst = ordinalOf(entries[0].value)
			}
		}
		return c
	}
	gaps := false
	for i := range entries {
		key := entries[i].key[:]
		at := int(spec.KeyBytes) - tree.OrdinalBytes()
		ordinal := uint64(0)
		for _, b := range key[at:spec.KeyBytes] {
			ordinal = ordinal<<8 | uint64(b)
		}
		if i == 0 {
			out.OrdinalFirst = ordinal
		}
		out.Rows = append(out.Rows, uint32(ordinal-out.OrdinalFirst))
		gaps = gaps || ordinal != out.OrdinalFirst+uint64(i)
		switch at {
		case 2:
			out.Narrow = append(out.Narrow, uint32(binary.BigEndian.Uint16(key)))
		case 4:
			out.Narrow = append(out.Narrow, binary.BigEndian.Uint32(key))
		case 8:
			out.Numbers = append(out.Numbers, binary.BigEndian.Uint64(key))
		default:
			out.Wide = append(out.Wide, wire.U128{Hi: binary.BigEndian.Uint64(key), Lo: binary.BigEndian.Uint64(key[8:])})
		}
	}
	if !gaps {
		out.Rows = nil
	}
	return c
}

// drawColumns makes entries whose values differ in any bits, with few or many equal ones.
func drawColumns(rng *rand.Rand, tree storage.TreeID, count int) (entries []entry) {
	spec := &storage.Trees[tree]
	var masks, base [2]uint64
	for i := range masks {
		masks[i] = rng.Uint64() >> rng.IntN(64) << rng.IntN(64)
		if rng.IntN(2) == 0 {
			masks[i] &= rng.Uint64() & rng.Uint64() & rng.Uint64()
		}
		base[i] = rng.Uint64()
	}
	values := make([][2]uint64, 1+rng.IntN(2*count))
	for i := range values {
		for j := range masks {
			values[i][j] = base[j]&^masks[j] | rng.Uint64()&masks[j]
		}
	}
	ordinal, gaps, ascend := rng.Uint64N(1<<39)>>(8*(5-tree.OrdinalBytes())), rng.IntN(2) == 0, rng.IntN(4) == 0
	if tree == storage.TreeAccountID {
		ordinal &= 1<<31 - 1
	}
	dead := count
	if spec.Filter {
		gaps = false
	}
	if hasDead(tree) {
		dead = rng.IntN(2 * count)
	}
	seen := map[storage.Key]bool{}
	for i := range count {
		e := entry{value: make([]byte, spec.ValueBytes)}
		value := values[rng.IntN(len(values))]
		if ordinal++; gaps {
			ordinal += rng.Uint64N(4)
		}
		binary.BigEndian.PutUint64(e.key[:], value[0])
		binary.BigEndian.PutUint64(e.key[8:], value[1])
		switch {
		case hasDead(tree):
			mark := ordinal
			if i >= dead {
				mark = storage.TransferDeadMark
			}
			binary.LittleEndian.PutUint64(e.value, mark)
		case spec.Filter:
			binary.LittleEndian.PutUint32(e.value, uint32(ordinal))
		default:
			at := int(spec.KeyBytes) - tree.OrdinalBytes()
			clear(e.key[at:])
			if at+4 < int(spec.KeyBytes) {
				e.key[at] = byte(ordinal >> 32)
				at++
			}
			binary.BigEndian.PutUint32(e.key[at:], uint32(ordinal))
		}
		if !seen[e.key] {
			seen[e.key] = true
			entries = append(entries, e)
		}
	}
	if tree == storage.TreeAccountID {
		for i := range entries {
			binary.LittleEndian.PutUint32(entries[i].value, uint32(ordinalOf(entries[0].value))+uint32(i))
		}
	} else if hasDead(tree) {
		// Ordinals have no gaps.
		for i := range entries {
			if first := binary.LittleEndian.Uint64(entries[0].value); binary.LittleEndian.Uint64(entries[i].value) != storage.TransferDeadMark {
				binary.LittleEndian.PutUint64(entries[i].value, first+uint64(i))
			}
		}
	} else if ascend { // as ledgers do, which are mostly one
		at := int(spec.KeyBytes) - tree.OrdinalBytes()
		for i := range entries {
			copy(entries[i].key[:at], entries[0].key[:at])
		}
	}
	return entries
}

// A flush of columns writes what a flush of entries does.
func TestColumnsWriteTheBytesOfEntries(t *testing.T) {
	l := small()
	trees := []storage.TreeID{storage.TreeTransferID, storage.TreeAccountID}
	for tree := storage.TreeTransferDebit; tree < storage.TreesCount; tree++ {
		trees = append(trees, tree)
	}
	for round := range uint64(600) {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), round))
		tree := trees[rng.IntN(len(trees))]
		entries := drawColumns(rng, tree, 1+rng.IntN(1<<rng.IntN(13)))
		var disks [2]*fakeDisk
		var tables [2][]storage.Table
		for i, src := range []storage.FlushSource{&source{entries: entries}, newColumns(tree, entries)} {
			memory := arena.New()
			disks[i] = newDisk(l, nil)
			m := New(l, memory, cluster, disks[i], disks[i])
			m.breath = 1 + rng.IntN(500)
			job := jobOf(storage.JobFlushTree, tree, 400, 1)
			job.Source = src
			m.Run(&job, &waits{})
			if fault := m.Drain(&waits{}); fault != nil {
				t.Fatal(fault)
			}
			if got := m.Statistics().EntriesFlushed; got != uint64(len(entries)) {
				t.Fatalf("%d entries flushed, want %d", got, len(entries))
			}
			tables[i] = job.Tables
			memory.Close()
		}
		if len(tables[0]) == 0 || !slices.Equal(tables[0], tables[1]) { // checksums are in the names
			t.Fatalf("round %d, %s: the tables of %d entries differ", round, storage.Trees[tree].Name, len(entries))
		}
	}
}
