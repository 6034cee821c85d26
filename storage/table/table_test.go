package table

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

var cluster = wire.U128{Lo: 1}

func variants() map[string]limits.Limits {
	production := limits.Production()
	small := production
	small.SectorBytes, small.PageBytes, small.BlockBytes = 512, 512, 4096
	middle := small
	middle.PageBytes = 1024
	return map[string]limits.Limits{"production": production, "512": small, "1024": middle}
}

type entry struct {
	key       storage.Key
	tombstone bool
	value     []byte
}

// putUint writes value into data, the most significant byte first.
func putUint(data []byte, value uint64) {
	for i := len(data) - 1; i >= 0; i-- {
		data[i] = byte(value)
		value >>= 8
	}
}

func ordinalPut(s *Shape, key *storage.Key, ordinal uint64) {
	putUint(key[s.valueAt:s.KeyBytes], ordinal)
}

// entriesOf makes sorted distinct entries: dense or sparse values, and ordinals of any width.
func entriesOf(rng *rand.Rand, s *Shape, count int) (entries []entry) {
	distinct := 1 + rng.IntN(count)
	ordinalMax := uint64(1) << (4 + rng.IntN(34))
	values := make([]storage.Key, distinct)
	for i := range values {
		for j := range s.KeyBytes {
			values[i][j] = byte(rng.Uint32())
		}
		if distinct%2 == 0 {
			binary.BigEndian.PutUint64(values[i][:], uint64(i))
		}
	}
	for range count {
		e := entry{key: values[rng.IntN(distinct)]}
		if s.Encoding == storage.EncodingPrefix {
			ordinalPut(s, &e.key, rng.Uint64N(ordinalMax)&(1<<(8*s.ordinalBytes)-1))
		}
		for j := s.KeyBytes; j < len(e.key); j++ {
			e.key[j] = 0
		}
		e.tombstone = s.tombstones && rng.IntN(3) == 0
		e.value = make([]byte, s.ValueBytes)
		for j := range e.value {
			if !e.tombstone {
				e.value[j] = byte(rng.Uint32())
			}
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
	return slices.CompactFunc(entries, func(a, b entry) bool { return a.key == b.key })
}

// build packs entries into tables and returns them with their blocks.
func build(s *Shape, entries []entry, width int) (tables []storage.Table, blocks [][]byte, filters [][]byte) {
	var b Builder
	b.Reset(s, width)
	finish := func() {
		tables = append(tables, b.Finish(cluster, uint64(len(tables)+1), nil))
		filters = append(filters, b.Filter())
	}
	for i := range entries {
		e := &entries[i]
		for {
			if !b.Open() {
				buffer := make([]byte, s.Geometry.BlockBytes)
				for j := range buffer {
					buffer[j] = 0xaa // padding must not depend on what was there
				}
				blocks = append(blocks, buffer)
				b.Begin(buffer)
			}
			if b.Add(&e.key, e.tombstone, e.value) {
				break
			}
			finish()
		}
	}
	if b.Open() {
		finish()
	}
	return tables, blocks, filters
}

// Every tree's tables give back what was put in, find every key and refuse every other, and need no
// more blocks than planned.
func TestTablesAgainstSortedEntries(t *testing.T) {
	rng := rand.New(rand.NewPCG(seeded.Seed(t), 0))
	for name, l := range variants() {
		for tree := storage.TreeTransferID; tree < storage.TreesCount; tree++ {
			s := ShapeOf(l, tree)
			for round := range 4 {
				entries := entriesOf(rng, &s, 1+rng.IntN(map[bool]int{true: 50000, false: 500}[name == "production"]))
				tables, blocks, filters := build(&s, entries, round)
				if uint64(len(tables)) > s.TablesMax(uint64(len(entries))) {
					t.Fatalf("%s %s: %d tables for %d entries, at most %d planned", name, storage.Trees[tree].Name, len(tables), len(entries),
						s.TablesMax(uint64(len(entries))))
				}
				at := 0
				for i, table := range tables {
					if fault := block.VerifyBlock(&s.Geometry, blocks[i][:uint32(table.PagesUsed)*s.Geometry.PageBytes], table.Ref,
						cluster); fault != nil {
						t.Fatal(fault)
					}
					check(t, rng, &s, table, blocks[i], filters[i], entries[at:at+int(table.Entries)])
					at += int(table.Entries)
				}
				if at != len(entries) {
					t.Fatalf("%s %s: %d of %d entries", name, storage.Trees[tree].Name, at, len(entries))
				}
			}
		}
	}
}

func check(t *testing.T, rng *rand.Rand, s *Shape, table storage.Table, data, filter []byte, entries []entry) {
	t.Helper()
	header := block.HeaderPage(data[:s.Geometry.HeaderUsedBytes()])
	page := func(n uint32) []byte { return data[n*s.Geometry.PageBytes : (n+1)*s.Geometry.PageBytes] }
	if table.KeyMin != entries[0].key || table.KeyMax != entries[len(entries)-1].key || *header.KeyMax() != table.KeyMax {
		t.Fatal("key range differs")
	}
	at := 0
	for n := uint32(1); n <= header.DataPages(); n++ {
		if int(header.FirstEntry(n)) != at || *header.FirstKey(n) != entries[at].key {
			t.Fatalf("page %d starts with entry %d, want %d", n, header.FirstEntry(n), at)
		}
		count := s.Count(page(n))
		keys := make([]storage.Key, count+3)
		if got := s.Decode(page(n), 0, keys); got != count {
			t.Fatalf("decoded %d, want %d", got, count)
		}
		for i := range count {
			e := &entries[at+i]
			if keys[i] != e.key || s.Tombstone(page(n), i) != e.tombstone || s.ValueBytes > 0 && !bytes.Equal(s.Value(page(n), i), e.value) {
				t.Fatalf("%s: entry %d of page %d differs: %x, want %x", storage.Trees[s.Tree].Name, i, n, keys[i], e.key)
			}
		}
		from := rng.IntN(count)
		got := s.Decode(page(n), from, keys[:min(5, len(keys))])
		for i := range got {
			if keys[i] != entries[at+from+i].key {
				t.Fatal("a batch from the middle differs")
			}
		}
		var key storage.Key
		if s.Put(s.WordsOf(&entries[at].key), &key); key != entries[at].key {
			t.Fatal("a key differs from its words")
		}
		if keyAt(s, page(n), from, &key); key != entries[at+from].key {
			t.Fatal("a single key differs")
		}
		at += count
	}
	if at != len(entries) || int(header.Entries()) != at {
		t.Fatalf("%d entries, header says %d, want %d", at, header.Entries(), len(entries))
	}
	for range 300 {
		var key storage.Key
		want := rng.IntN(len(entries))
		key = entries[want].key
		exactWant := true
		if rng.IntN(2) == 0 {
			key[rng.IntN(s.KeyBytes)] ^= 1 << rng.IntN(8)
			want, exactWant = slices.BinarySearchFunc(entries, key, func(e entry, k storage.Key) int { return e.key.Compare(&k) })
		}
		n := s.PageFind(header, &key)
		index, exact := s.Search(page(n), &key)
		if got := int(header.FirstEntry(n)) + index; exact != exactWant || got != want {
			t.Fatalf("%s: search %x gives %d %t, want %d %t", storage.Trees[s.Tree].Name, key, got, exact, want, exactWant)
		}
		if exactWant && filter != nil && len(filter) > 0 && !hasKey(filter, &key) {
			t.Fatal("the filter denies a key of its table")
		}
	}
}

// Few absent keys pass the filter, whether ids are random or follow each other, and it lies in the
// last pages.
func TestFilterPassesFewAbsentKeys(t *testing.T) {
	s := ShapeOf(limits.Production(), storage.TreeTransferID)
	rng := rand.New(rand.NewPCG(3, 3))
	for _, kind := range []string{"random", "sequential", "high"} {
		var entries []entry
		id := func(i uint64) (key storage.Key) {
			switch kind {
			case "random":
				binary.BigEndian.PutUint64(key[0:], rng.Uint64())
				binary.BigEndian.PutUint64(key[8:], rng.Uint64())
			case "sequential":
				binary.BigEndian.PutUint64(key[8:], i)
			case "high":
				binary.BigEndian.PutUint64(key[0:], i)
			}
			return key
		}
		count := s.dataPagesMax * uint32(s.pageEntries)
		for i := range uint64(count) {
			entries = append(entries, entry{key: id(2 * i), value: make([]byte, 8)})
		}
		slices.SortFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
		tables, blocks, filters := build(&s, entries, 0)
		if len(tables) != 1 {
			t.Fatalf("%d tables, want 1 full one", len(tables))
		}
		header := block.HeaderPage(blocks[0])
		start := (header.DataPages() + 1) * s.Geometry.PageBytes
		if header.FilterPages() != s.FilterPages(count) || !bytes.Equal(filters[0], blocks[0][start:start+s.FilterBytes(count)]) {
			t.Fatal("the filter is not in the last pages")
		}
		passed := 0
		const probes = 200000
		for i := range uint64(probes) {
			key := id(2*i + 1)
			if hasKey(filters[0], &key) {
				passed++
			}
		}
		t.Logf("%s: %d keys, %d of %d absent keys pass (%.2f %%)", kind, count, passed, probes, float64(passed)*100/probes)
		if passed > probes/100 {
			t.Errorf("%s: more than 1 %% pass", kind)
		}
	}
}

// Postings take the bytes that the file's budget gives them.
func TestPostingBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, c := range []struct {
		tree   storage.TreeID
		values uint64 // 0: all distinct
		max    float64
	}{
		{storage.TreeTransferDebit, 10000, 3.6}, {storage.TreeTransferLedger, 1, 1.4}, {storage.TreeTransferUser128, 0, 20},
		{storage.TreeTransferUser64, 0, 12}, {storage.TreeTransferUser32, 0, 8}, {storage.TreeTransferCode, 65535, 4.2},
	} {
		s := ShapeOf(limits.Production(), c.tree)
		var entries []entry
		const count = 500000
		for i := range uint64(count) {
			e := entry{}
			if c.values == 0 {
				for j := range s.valueAt {
					e.key[j] = byte(rng.Uint32())
				}
			} else {
				putUint(e.key[:s.valueAt], rng.Uint64N(c.values))
			}
			ordinalPut(&s, &e.key, 3_000_000+i)
			entries = append(entries, e)
		}
		slices.SortFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
		tables, _, _ := build(&s, entries, 3)
		pages := 0
		for _, table := range tables {
			pages += int(table.PagesUsed)
		}
		perEntry := float64(pages) * float64(s.Geometry.PageBytes) / count
		t.Logf("%s: %.2f bytes per entry", storage.Trees[c.tree].Name, perEntry)
		if perEntry > c.max {
			t.Errorf("%s: %.2f bytes per entry, want at most %.2f", storage.Trees[c.tree].Name, perEntry, c.max)
		}
	}
}

func benchmarkTable(tree storage.TreeID) (s Shape, entries []entry, blocks [][]byte) {
	s = ShapeOf(limits.Production(), tree)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range uint64(15000) {
		e := entry{value: make([]byte, s.ValueBytes)}
		for j := range s.KeyBytes {
			e.key[j] = byte(rng.Uint32())
		}
		if s.Encoding == storage.EncodingPrefix {
			ordinalPut(&s, &e.key, i)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
	_, blocks, _ = build(&s, entries, 2)
	return s, entries, blocks
}

func BenchmarkSearch(b *testing.B) {
	for _, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeTransferUser128} {
		b.Run(storage.Trees[tree].Name, func(b *testing.B) {
			s, entries, blocks := benchmarkTable(tree)
			header := block.HeaderPage(blocks[0])
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % int(header.Entries())
				n := s.PageFind(header, &entries[i].key)
				if _, exact := s.Search(blocks[0][n*s.Geometry.PageBytes:(n+1)*s.Geometry.PageBytes], &entries[i].key); !exact {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkFilterHas(b *testing.B) {
	s, entries, blocks := benchmarkTable(storage.TreeTransferID)
	header := block.HeaderPage(blocks[0])
	start := (header.DataPages() + 1) * s.Geometry.PageBytes
	filter := blocks[0][start : start+s.FilterBytes(header.Entries())]
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(entries)
		if !hasKey(filter, &entries[i].key) {
			b.Fatal("denied")
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeTransferUser128, storage.TreeTransferDebit} {
		b.Run(storage.Trees[tree].Name, func(b *testing.B) {
			s, entries, blocks := benchmarkTable(tree)
			var builder Builder
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(&s, 2)
				builder.Begin(blocks[0])
				for i := range entries {
					if !builder.Add(&entries[i].key, false, entries[i].value) {
						break
					}
				}
				builder.Finish(cluster, 1, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(builder.entries), "ns/entry")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeTransferUser128, storage.TreeTransferDebit} {
		b.Run(storage.Trees[tree].Name, func(b *testing.B) {
			s, _, blocks := benchmarkTable(tree)
			page := blocks[0][s.Geometry.PageBytes : 2*s.Geometry.PageBytes]
			keys := make([]storage.Key, keysPerPageMax(&s))
			count := 0
			for b.Loop() {
				count = s.Decode(page, 0, keys)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/entry")
		})
	}
}

func hasKey(filter []byte, key *storage.Key) bool {
	k := FilterKeyOf(key)
	return k.Has(filter)
}

// keyAt fills key with the key at index.
func keyAt(s *Shape, page []byte, index int, key *storage.Key) {
	var out [1]Words
	s.DecodeWords(page, index, out[:])
	s.Put(out[0], key)
}

// keysPerPageMax is the most entries of one page.
func keysPerPageMax(s *Shape) int {
	if s.Encoding == storage.EncodingPlain {
		return s.pageEntries
	}
	return int(s.Geometry.PageBytes) - pageHeaderBytes // a byte each at the least
}

// Goal: FilterPasses says what FilterKey says, for ids in a filter and for others, and needs every
// bit of an id: a bucket that lacks any one of them does not let it pass.
func TestFilterPasses(t *testing.T) {
	random := seeded.Rand(t)
	filter := make([]byte, 16*FilterBucketBytes)
	for range 500 {
		FilterAdd(filter, random.Uint64())
	}
	passed := 0
	for range 20_000 {
		var key storage.Key
		binary.BigEndian.PutUint64(key[:], random.Uint64())
		binary.BigEndian.PutUint64(key[8:], random.Uint64())
		k := FilterKeyOf(&key)
		bucket := (*[FilterBucketBytes]byte)(k.Bucket(filter))
		if FilterPasses(bucket, k.Hash()) != k.In(bucket[:]) {
			t.Fatalf("%x: the answers differ", key)
		}
		if k.In(bucket[:]) {
			passed++
		}
		var alone [FilterBucketBytes]byte
		FilterAdd(alone[:], k.Hash())
		if !FilterPasses(&alone, k.Hash()) {
			t.Fatalf("%x does not pass its own bits", key)
		}
		for at := range alone {
			for bits := alone[at]; bits > 0; bits &= bits - 1 {
				lacking := alone
				lacking[at] &^= bits & -bits
				if FilterPasses(&lacking, k.Hash()) {
					t.Fatalf("%x passes without a bit of byte %d", key, at)
				}
			}
		}
	}
	if passed == 0 {
		t.Error("no id passes: the test shows little")
	}
}
