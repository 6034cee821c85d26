package table

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// The bytes of tables do not change by accident: every file out there would become unreadable, or
// replicas of two builds would disagree. A change is a new format version.
func TestFormatIsFixed(t *testing.T) {
	want := map[storage.TreeID]string{
		storage.TreeTransferID:      "53a928074a962f282a0bd6ad70871768",
		storage.TreeAccount:         "a861310a449bd3f9d52b24a570762bba",
		storage.TreeBalances:        "ff54e85d2cc09988b24418c5d3fbabb4",
		storage.TreeExpiry:          "34efd19aec2484fd537be984c8f1c92b",
		storage.TreeExpired:         "c32efe178575d62a51188cc069051824",
		storage.TreeTransferDebit:   "bf4b109300e145bc086668b2b17cbf36",
		storage.TreeTransferUser128: "f2606f9756b5d21f7755b65ab3760832",
		storage.TreeAccountCode:     "48e3332b8a492cb5b18076899de79d0e",
	}
	for _, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeAccount, storage.TreeBalances, storage.TreeExpiry,
		storage.TreeExpired, storage.TreeTransferDebit, storage.TreeTransferUser128, storage.TreeAccountCode} {
		s := ShapeOf(limits.Production(), tree)
		tables, _, _ := build(&s, entriesOf(rand.New(rand.NewPCG(1, uint64(tree))), &s, 3000), 1)
		var all []byte
		for _, table := range tables {
			all = append(all, table.Checksum[:]...)
		}
		sum := block.Checksum(all)
		if got := hex.EncodeToString(sum[:]); got != want[tree] {
			t.Errorf("%s: the blocks' checksum is %s, want %s", storage.Trees[tree].Name, got, want[tree])
		}
	}
}

// FuzzTable builds tables from the input's bytes: whatever the keys are, they come back and are
// found.
func FuzzTable(f *testing.F) {
	f.Add(uint8(8), []byte{1, 2, 3})
	f.Add(uint8(1), make([]byte, 300))
	f.Add(uint8(10), []byte("a longer text, so that there are several keys in the table from the start on"))
	small := limits.Production()
	small.SectorBytes, small.PageBytes, small.BlockBytes = 512, 512, 4096
	f.Fuzz(func(t *testing.T, tree uint8, data []byte) {
		id := storage.TreeTransferID + storage.TreeID(tree)%(storage.TreesCount-storage.TreeTransferID)
		s := ShapeOf(small, id)
		var entries []entry
		var key storage.Key
		for len(data) >= 2 && len(entries) < 3000 {
			// Each key is the one before with some bytes changed, so that prefixes are shared.
			at, n := int(data[0])%s.KeyBytes, int(data[0])%7
			data = data[1:]
			n = copy(key[at:s.KeyBytes], data[:min(n+1, len(data))])
			data = data[n:]
			e := entry{key: key, value: make([]byte, s.ValueBytes), tombstone: s.tombstones && key[0]&1 == 1}
			if len(e.value) >= 8 && !e.tombstone {
				binary.LittleEndian.PutUint64(e.value, uint64(len(data)))
			}
			entries = append(entries, e)
		}
		slices.SortStableFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
		entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.key == b.key })
		if len(entries) == 0 {
			return
		}
		tables, blocks, filters := build(&s, entries, 1)
		rng := rand.New(rand.NewPCG(uint64(tree), uint64(len(entries))))
		at := 0
		for i, table := range tables {
			check(t, rng, &s, table, blocks[i], filters[i], entries[at:at+int(table.Entries)])
			at += int(table.Entries)
		}
	})
}
