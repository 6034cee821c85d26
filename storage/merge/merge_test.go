package merge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/rowlog"
	"ledger/storage/table"
	"ledger/wire"
)

var cluster = wire.U128{Lo: 5}

func small() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.MessageBytesMax, l.MemtableRowsSeal = 1<<16, 4096
	return l
}

// fakeDisk is blocks in memory. With rng, operations end later and in any order; without, at once.
type fakeDisk struct {
	blockBytes int
	blocks     map[uint64][]byte
	rng        *rand.Rand
	reads      [ReadsMax]fakeOperation
	writes     [WritesMax]fakeOperation
	damage     func(address uint64, page uint32, buffer []byte) (errno int32)
	missing    func(storage.Ref) (repaired bool)
	pageBytes  int
	writeErrno int32
}

type fakeOperation struct {
	busy    bool
	address uint64
	page    uint32
	buffer  []byte
}

func newDisk(l limits.Limits, rng *rand.Rand) *fakeDisk {
	return &fakeDisk{blockBytes: int(l.BlockBytes), pageBytes: int(l.PageBytes), blocks: map[uint64][]byte{}, rng: rng}
}

func (d *fakeDisk) ReadStart(slot int, address uint64, page uint32, buffer []byte) {
	if d.reads[slot].busy {
		panic("slot is busy")
	}
	d.reads[slot] = fakeOperation{true, address, page, buffer}
}

func (d *fakeDisk) Missing(ref storage.Ref, _ storage.Waiter) bool {
	return d.missing != nil && d.missing(ref)
}

func (d *fakeDisk) ReadDone(slot int) (bool, int32) {
	o := &d.reads[slot]
	if !o.busy {
		panic("no such read")
	}
	if d.rng != nil && d.rng.IntN(3) > 0 {
		return false, 0
	}
	o.busy = false
	clear(o.buffer)
	copy(o.buffer, d.blocks[o.address][int(o.page)*d.pageBytes:])
	if d.damage != nil {
		return true, d.damage(o.address, o.page, o.buffer)
	}
	return true, 0
}

func (d *fakeDisk) WriteStart(slot int, address uint64, data []byte) {
	if d.writes[slot].busy {
		panic("slot is busy")
	}
	d.writes[slot] = fakeOperation{true, address, 0, data}
}

func (d *fakeDisk) WriteDone(slot int) (bool, int32) {
	o := &d.writes[slot]
	if d.rng != nil && d.rng.IntN(3) > 0 {
		return false, 0
	}
	o.busy = false
	if d.writeErrno == 0 {
		stored, ok := d.blocks[o.address]
		if !ok {
			stored = make([]byte, d.blockBytes)
			d.blocks[o.address] = stored
		}
		copy(stored, o.buffer)
	}
	return true, d.writeErrno
}

// waits counts, and lets time pass: a wait that nothing can end is found by the test's time limit.
type waits struct{ waits, breaths int }

func (w *waits) Wait()    { w.waits++ }
func (w *waits) Breathe() { w.breaths++ }

// entry of the naive model.
type entry struct {
	key       storage.Key
	tombstone bool
	value     []byte
}

// source is a memtable for one tree and for rows.
type source struct {
	entries []entry
	first   accounting.TransferOrdinal
	rows    []accounting.TransferRow
}

func (s *source) Columns(storage.TreeID, *storage.Columns) bool { return false }
func (s *source) EntriesCount(storage.TreeID) uint32            { return uint32(len(s.entries)) }
func (s *source) Entry(_ storage.TreeID, i uint32) (storage.Key, bool) {
	return s.entries[i].key, s.entries[i].tombstone
}
func (s *source) Value(_ storage.TreeID, i uint32, value []byte) {
	copy(value, s.entries[i].value)
}
func (s *source) Changes(out *storage.Changes) {
	*out = storage.Changes{}
	for i := range s.entries { // two to a row; the last one twice, if need be
		account := binary.BigEndian.Uint32(s.entries[i].key[:])
		var after accounting.Balances
		storage.GetBalances(s.entries[i].value, &after)
		if i%2 == 0 {
			out.Debits, out.Credits = append(out.Debits, account), append(out.Credits, account)
			out.Rows = append(out.Rows, accounting.TransferRow{DebitAfter: after, CreditAfter: after})
		} else {
			out.Credits[i/2], out.Rows[i/2].CreditAfter = account, after
		}
	}
}
func (s *source) RowsFirst() accounting.TransferOrdinal { return s.first }
func (s *source) RowsCount() uint32                     { return uint32(len(s.rows)) }
func (s *source) Row(i uint32) *accounting.TransferRow  { return &s.rows[i] }

// draw makes distinct entries of a tree in any order; keys overlap between calls.
func draw(rng *rand.Rand, tree storage.TreeID, count int) (entries []entry) {
	spec := &storage.Trees[tree]
	spread := 1 + rng.IntN(3*count)
	seen := map[storage.Key]bool{}
	for range count {
		e := entry{value: make([]byte, spec.ValueBytes)}
		// Numbers at both ends of the key, so that prefixes are shared and postings have few
		// values.
		var text [24]byte
		binary.BigEndian.PutUint64(text[16:], uint64(rng.IntN(spread)))
		copy(e.key[:spec.KeyBytes], text[24-min(24, int(spec.KeyBytes)):])
		if spec.KeyBytes > 8 {
			e.key[1] = byte(rng.IntN(3))
		}
		if seen[e.key] {
			continue
		}
		seen[e.key] = true
		e.tombstone = spec.Tombstones && rng.IntN(3) == 0
		for i := range e.value {
			if !e.tombstone {
				e.value[i] = byte(rng.Uint32())
			}
		}
		entries = append(entries, e)
	}
	return entries
}

// aged gives a newer run's postings higher ordinals.
func aged(tree storage.TreeID, entries []entry, age int) []entry {
	if spec := &storage.Trees[tree]; spec.Encoding == storage.EncodingPrefix {
		for i := range entries {
			entries[i].key[spec.KeyBytes-uint8(tree.OrdinalBytes())] = byte(age)
		}
	}
	return entries
}

func jobOf(kind storage.JobKind, tree storage.TreeID, addresses int, from uint64) storage.Job {
	job := storage.Job{Kind: kind, Tree: tree, Tables: make([]storage.Table, 0, addresses)}
	for i := range addresses {
		job.Addresses = append(job.Addresses, from+uint64(i)*3)
	}
	return job
}

// read gives all entries of tables back, verified.
func read(t *testing.T, l limits.Limits, disk *fakeDisk, tree storage.TreeID, tables []storage.Table) (entries []entry) {
	t.Helper()
	s := table.ShapeOf(l, tree)
	g := s.Geometry
	for _, tbl := range tables {
		data := disk.blocks[tbl.Address]
		if fault := block.VerifyBlock(&g, data, tbl.Ref, cluster); fault != nil {
			t.Fatal(fault)
		}
		header := block.HeaderPage(data)
		before := len(entries)
		for n := uint32(1); n <= header.DataPages(); n++ {
			page := data[n*g.PageBytes : (n+1)*g.PageBytes]
			keys := make([]storage.Key, s.Count(page))
			s.Decode(page, 0, keys)
			for i, key := range keys {
				e := entry{key: key, tombstone: s.Tombstone(page, i), value: []byte{}}
				if s.ValueBytes > 0 {
					e.value = slices.Clone(s.Value(page, i))
				}
				entries = append(entries, e)
			}
		}
		if entries[before].key != tbl.KeyMin || entries[len(entries)-1].key != tbl.KeyMax || len(entries)-before != int(tbl.Entries) {
			t.Fatal("a table's name differs from its content")
		}
	}
	return entries
}

func equalEntries(t *testing.T, what string, got, want []entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i].key != want[i].key || got[i].tombstone != want[i].tombstone || !bytes.Equal(got[i].value, want[i].value) {
			t.Fatalf("%s: entry %d is %x %t %x, want %x %t %x", what, i, got[i].key, got[i].tombstone, got[i].value, want[i].key, want[i].tombstone,
				want[i].value)
		}
	}
}

func sorted(entries []entry) []entry {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int { return a.key.Compare(&b.key) })
	return entries
}

// Flushes and merges of every tree, cut anywhere, with any order of completions, give what a sort
// and a map give.
func TestFlushAndMergeAgainstNaive(t *testing.T) {
	l := small()
	for tree := storage.TreeTransferID; tree < storage.TreesCount; tree++ {
		for round := range uint64(4) {
			rng := rand.New(rand.NewPCG(seeded.Seed(t), uint64(tree)<<8|round))
			memory := arena.New()
			disk := newDisk(l, rng)
			m := New(l, memory, cluster, disk, disk)
			m.breath = 1 + rng.IntN(500)
			shape := table.ShapeOf(l, tree)
			w := &waits{}
			address := uint64(1)
			reserve := func(entries int) int {
				n := int(shape.TablesMax(uint64(entries)))
				address += uint64(3*n + 1)
				return n
			}
			model := map[storage.Key]entry{}
			var runs [][]storage.Table
			total := 0
			for age := range 1 + rng.IntN(storage.MergeRuns(&l, tree)) {
				entries := aged(tree, draw(rng, tree, 1+rng.IntN(800)), age)
				from := address
				job := jobOf(storage.JobFlushTree, tree, reserve(len(entries)), from)
				job.Source = &source{entries: entries}
				if storage.Trees[tree].Filter {
					for range job.Addresses {
						job.Filters = append(job.Filters, make([]byte, shape.FilterBytesMax()))
					}
				}
				m.Run(&job, w)
				if fault := m.Drain(w); fault != nil {
					t.Fatal(fault)
				}
				equalEntries(t, storage.Trees[tree].Name, read(t, l, disk, tree, job.Tables), sorted(entries))
				for i, filter := range job.Filters[:min(len(job.Filters), len(job.Tables))] {
					data := disk.blocks[job.Tables[i].Address][(block.HeaderPage(disk.blocks[job.Tables[i].Address]).DataPages()+1)*l.PageBytes:]
					if n := shape.FilterBytes(job.Tables[i].Entries); !bytes.Equal(filter[:n], data[:n]) {
						t.Fatal("the filter given back differs from the block's")
					}
				}
				runs = append([][]storage.Table{slices.Clone(job.Tables)}, runs...)
				for _, e := range entries {
					model[e.key] = e
				}
				total += len(entries)
			}
			drop := rng.IntN(2) == 0
			var want []entry
			for _, e := range model {
				if !e.tombstone || !drop {
					want = append(want, e)
				}
			}
			var got []entry
			from := storage.Job{}
			for pieces := 0; ; pieces++ {
				entriesMax := 1 + rng.IntN(total)
				start := address
				job := jobOf(storage.JobMerge, tree, reserve(entriesMax+storage.MergeRunsMax), start)
				job.Runs, job.DropTombstones, job.EntriesMax = runs, drop, uint64(entriesMax)
				job.From, job.FromKey = from.From, from.FromKey
				m.Run(&job, w)
				if fault := m.Drain(w); fault != nil {
					t.Fatal(fault)
				}
				got = append(got, read(t, l, disk, tree, job.Tables)...)
				if job.Finished {
					break
				}
				from.From, from.FromKey = true, job.UpTo
				if pieces > total {
					t.Fatal("the merge does not end")
				}
			}
			equalEntries(t, storage.Trees[tree].Name+" merged", got, sorted(want))
			memory.Close()
		}
	}
}

func typicalRow(rng *rand.Rand, index uint64) (row accounting.TransferRow) {
	t := &row.Transfer
	t.ID, t.Amount = wire.U128{Lo: rng.Uint64(), Hi: rng.Uint64()}, wire.U128{Lo: rng.Uint64N(10000)}
	t.UserData128, t.UserData64, t.UserData32 = wire.U128{Lo: rng.Uint64(), Hi: rng.Uint64()}, rng.Uint64(), rng.Uint32()
	t.Ledger, t.Code, t.Timestamp = 1, uint16(1+rng.IntN(65535)), 1_700_000_000_000_000_000+index
	row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(rng.IntN(10000)), accounting.AccountOrdinal(rng.IntN(10000))
	row.DebitAfter.DebitsPosted, row.CreditAfter.CreditsPosted = wire.U128{Lo: rng.Uint64N(1 << 26)}, wire.U128{Lo: rng.Uint64N(1 << 26)}
	row.DebitAfter.CreditsPosted, row.CreditAfter.DebitsPosted = wire.U128{Lo: rng.Uint64N(1 << 26)}, wire.U128{Lo: rng.Uint64N(1 << 26)}
	row.DebitAfter.Flags, row.CreditAfter.Flags = accounting.AccountHistory, accounting.AccountHistory
	return row
}

// Full blocks hold the first rows, the partial one the rest, and the carried rows continue where
// the full blocks end.
func TestFlushRows(t *testing.T) {
	l := small()
	for round := range uint64(20) {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), round))
		memory := arena.New()
		disk := newDisk(l, rng)
		m := New(l, memory, cluster, disk, disk)
		m.breath = 1 + rng.IntN(500)
		src := &source{first: accounting.TransferOrdinal(rng.Uint64N(1 << 30))}
		count := rng.IntN(400)
		if round == 0 {
			count = 0
		}
		for i := range count {
			src.rows = append(src.rows, typicalRow(rng, uint64(i)))
		}
		shape := rowlog.ShapeOf(l)
		job := jobOf(storage.JobFlushRows, storage.TreeTransferLog, int(shape.BlocksMax(uint64(count))), 7)
		job.Source, job.PartialWritten = src, round%2 == 0
		m.Run(&job, &waits{})
		if fault := m.Drain(&waits{}); fault != nil {
			t.Fatal(fault)
		}
		rows := uint32(0)
		for i, tbl := range job.Tables {
			if tbl.Partial != (job.PartialWritten && i == len(job.Tables)-1) {
				t.Fatalf("table %d of %d: partial is %t", i, len(job.Tables), tbl.Partial)
			}
			if !tbl.Partial {
				rows += tbl.Entries
			} else if rows+tbl.Entries != uint32(count) {
				t.Fatalf("%d rows in the partial block, %d in full ones, of %d", tbl.Entries, rows, count)
			}
			data := disk.blocks[tbl.Address]
			if fault := block.VerifyBlock(&shape.Geometry, data, tbl.Ref, cluster); fault != nil {
				t.Fatal(fault)
			}
			var row accounting.TransferRow
			first, _ := rowlog.KeyParts(&tbl.KeyMin)
			for j := range tbl.Entries {
				n := shape.PageFind(block.HeaderPage(data), j)
				rowlog.Read(data[n*l.PageBytes:(n+1)*l.PageBytes], first+accounting.TransferOrdinal(j), &row)
				if row != src.rows[uint32(first-src.first)+j] {
					t.Fatalf("row %d of block %d differs", j, i)
				}
			}
		}
		if job.RowsWritten != rows {
			t.Fatalf("%d rows written, full blocks hold %d", job.RowsWritten, rows)
		}
		memory.Close()
	}
}

// The same jobs in steps of any size, with completions at any time, write the same bytes.
func TestBytesAreAFunctionOfTheJob(t *testing.T) {
	l := small()
	var first map[uint64][]byte
	var firstTables []storage.Table
	for variant := range 6 {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), 77))
		memory := arena.New()
		var diskRng *rand.Rand
		if variant > 0 {
			diskRng = rand.New(rand.NewPCG(uint64(variant), 0))
		}
		disk := newDisk(l, diskRng)
		m := New(l, memory, cluster, disk, disk)
		m.breath = 1 << (3 * variant)
		for i := range m.outputs { // what was in the buffers does not show
			for j := range m.outputs[i].buffer {
				m.outputs[i].buffer[j] = byte(variant)
			}
		}
		w := &waits{}
		var tables []storage.Table
		address := uint64(1)
		for _, tree := range []storage.TreeID{storage.TreeTransferID, storage.TreeExpiry, storage.TreeTransferUser32} {
			var runs [][]storage.Table
			for i := range 4 {
				job := jobOf(storage.JobFlushTree, tree, 200, address)
				job.Source = &source{entries: aged(tree, draw(rng, tree, 700), 4-i)}
				address += 1000
				m.Run(&job, w)
				m.Drain(w)
				runs = append(runs, job.Tables)
				tables = append(tables, job.Tables...)
			}
			job := jobOf(storage.JobMerge, tree, 300, address)
			job.Runs, job.EntriesMax = runs, 1500
			address += 1000
			m.Run(&job, w)
			m.Drain(w)
			tables = append(tables, job.Tables...)
		}
		if variant == 0 {
			first, firstTables = disk.blocks, tables
		} else if !slices.Equal(tables, firstTables) {
			t.Fatalf("variant %d: tables differ", variant)
		}
		for address, data := range first {
			if !bytes.Equal(disk.blocks[address], data) {
				t.Fatalf("variant %d: block %d differs", variant, address)
			}
		}
		memory.Close()
	}
}

// Goal: behind a repair a page is read as often as before it until its block is missing. A read
// that fails once makes nobody ask for a block that is whole.
func TestReadsBehindARepair(t *testing.T) {
	l := small()
	for _, c := range []struct {
		name          string
		page          int // that fails, -1: the read does
		fails, wanted int // reads that fail behind the first repair; how often the block is missing
	}{
		{"header, no read fails", 0, 0, 1}, {"header once", 0, 1, 1}, {"page once", 2, 1, 1}, {"error once", -1, 1, 1},
		{"header twice", 0, 2, 2}, {"page twice", 2, 2, 2}, {"error three times", -1, 3, 2}, {"error four times", -1, 4, 3},
	} {
		memory := arena.New()
		rng := rand.New(rand.NewPCG(1, 1))
		disk := newDisk(l, rng)
		m := New(l, memory, cluster, disk, disk)
		var runs [][]storage.Table
		for i := range 3 {
			job := jobOf(storage.JobFlushTree, storage.TreeTransferID, 40, uint64(i*1000+1))
			job.Source = &source{entries: draw(rng, storage.TreeTransferID, 500)}
			m.Run(&job, &waits{})
			m.Drain(&waits{})
			runs = append(runs, job.Tables)
		}
		victim, wanted, left := runs[1][1].Ref, 0, 0
		disk.damage = func(address uint64, page uint32, buffer []byte) int32 {
			if at := (c.page - int(page)) * int(l.PageBytes); address != victim.Address || c.page >= 0 && (at < 0 || at >= len(buffer)) {
				return 0
			} else if wanted > 0 && left == 0 {
				return 0
			} else if left = max(left-1, 0); c.page < 0 {
				return 5
			} else {
				buffer[at+20] ^= 1
			}
			return 0
		}
		disk.missing = func(ref storage.Ref) bool {
			if ref != victim {
				t.Errorf("%s: block %d is missing, and not %d", c.name, ref.Address, victim.Address)
			}
			if wanted++; wanted == 1 {
				left = c.fails
			}
			return true
		}
		job := jobOf(storage.JobMerge, storage.TreeTransferID, 100, 9000)
		job.Runs, job.EntriesMax = runs, 1<<40
		m.Run(&job, &waits{})
		m.Drain(&waits{})
		if wanted != c.wanted || job.Fault != nil || !job.Finished {
			t.Errorf("%s: missing %d times, fault %v, want %d times and none", c.name, wanted, job.Fault, c.wanted)
		}
		memory.Close()
	}
}

// Damage that goes away is read over; damage that stays, and a disk that fails, end the job with a
// fault.
func TestFaults(t *testing.T) {
	l := small()
	for _, c := range []struct {
		name   string
		page   int // that is damaged, -1: the read fails
		always bool
		fault  string
	}{
		{"header once", 0, false, ""}, {"page once", 2, false, ""}, {"last page once", 5, false, ""}, {"error once", -1, false, ""},
		{"header", 0, true, "block"}, {"page", 2, true, "block"}, {"last page", 5, true, "block"}, {"error", -1, true, "disk"},
	} {
		memory := arena.New()
		rng := rand.New(rand.NewPCG(1, 1))
		disk := newDisk(l, rng)
		m := New(l, memory, cluster, disk, disk)
		var runs [][]storage.Table
		for i := range 3 {
			job := jobOf(storage.JobFlushTree, storage.TreeTransferID, 40, uint64(i*1000+1))
			job.Source = &source{entries: draw(rng, storage.TreeTransferID, 500)}
			m.Run(&job, &waits{})
			m.Drain(&waits{})
			runs = append(runs, job.Tables)
		}
		damaged := 0
		victim := runs[1][1].Address
		disk.damage = func(address uint64, page uint32, buffer []byte) int32 {
			if address != victim || damaged > 0 && !c.always {
				return 0
			}
			if c.page < 0 {
				damaged++
				return 5
			}
			if at := (c.page - int(page)) * int(l.PageBytes); at >= 0 && at < len(buffer) {
				damaged++
				buffer[at+20] ^= 1
			}
			return 0
		}
		job := jobOf(storage.JobMerge, storage.TreeTransferID, 100, 9000)
		job.Runs, job.EntriesMax = runs, 1<<40
		m.Run(&job, &waits{})
		m.Drain(&waits{})
		switch {
		case damaged == 0:
			t.Errorf("%s: nothing was damaged", c.name)
		case c.fault == "" && (job.Fault != nil || !job.Finished):
			t.Errorf("%s: fault %v, want none", c.name, job.Fault)
		case c.fault != "" && (job.Fault == nil || job.Fault.What != c.fault || job.Fault.Address != victim):
			t.Errorf("%s: fault %v, want one of %s %d", c.name, job.Fault, c.fault, victim)
		}
		memory.Close()
	}

	for errno, what := range map[int32]string{5: storage.FaultDisk, 28: storage.FaultNoSpace, 122: storage.FaultNoSpace,
		27: storage.FaultNoSpace} {
		memory := arena.New()
		disk := newDisk(l, nil)
		disk.writeErrno = errno
		m := New(l, memory, cluster, disk, disk)
		job := jobOf(storage.JobFlushTree, storage.TreeAccount, 900, 1)
		job.Source = &source{entries: draw(rand.New(rand.NewPCG(1, 1)), storage.TreeAccount, 500)}
		m.Run(&job, &waits{})
		if fault := m.Drain(&waits{}); fault == nil || fault.What != what {
			t.Errorf("a write that fails with errno %d: fault %v, want %s", errno, fault, what)
		}
		if m.Run(&job, &waits{}); job.Fault == nil {
			t.Error("after a fault every job ends with it")
		}
		memory.Close()
	}
}

type chainFile struct{ disk *fakeDisk }

func (f chainFile) ReadAt(buffer []byte, offset uint64) error {
	clear(buffer)
	copy(buffer, f.disk.blocks[offset/uint64(f.disk.blockBytes)+1])
	return nil
}
func (f chainFile) WriteAt([]byte, uint64) error { return fmt.Errorf("not written") }
func (f chainFile) SizeBytes() (uint64, error)   { return 0, nil }

// The trailers of a checkpoint come back from their roots.
func TestCheckpoint(t *testing.T) {
	l := small()
	memory := arena.New()
	defer memory.Close()
	rng := rand.New(rand.NewPCG(4, 4))
	disk := newDisk(l, rng)
	m := New(l, memory, cluster, disk, disk)
	g := block.GeometryOf(l)
	var job storage.CheckpointJob
	var content [storage.TrailersCount][]byte
	address := uint64(10)
	for kind := range storage.TrailersCount {
		content[kind] = make([]byte, int(kind)*30000)
		for i := range content[kind] {
			content[kind][i] = byte(rng.Uint32())
		}
		half := len(content[kind]) / 3
		job.Chunks[kind] = [][]byte{content[kind][:half], content[kind][half:]}
		for range g.TrailerBlocks(uint64(len(content[kind]))) {
			job.Addresses[kind] = append(job.Addresses[kind], address)
			job.Names[kind] = append(job.Names[kind], storage.Ref{})
			address += 2
		}
	}
	m.Checkpoint(&job, &waits{})
	if job.Fault != nil {
		t.Fatal(job.Fault)
	}
	for kind := range storage.TrailersCount {
		got := make([]byte, len(content[kind]))
		fault := block.ReadTrailer(chainFile{disk}, 0, &g, cluster, kind, job.Roots[kind], got, make([]byte, l.BlockBytes), nil)
		if fault != nil {
			t.Fatal(fault)
		}
		if !bytes.Equal(got, content[kind]) {
			t.Fatalf("trailer %d differs", kind)
		}
	}
	if !job.Roots[storage.TrailerManifest].IsZero() {
		t.Fatal("an empty trailer has no root")
	}
}

// Goal: records of any distribution come out in order, in whichever bits they differ.
func TestSort(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	disk := newDisk(small(), nil)
	m := New(limits.Production(), memory, cluster, disk, disk)
	m.waiter = &waits{}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), seed))
		count := 1 + rng.IntN(1<<rng.IntN(16))
		records := m.records[0][:count]
		masks := [3]uint64{}
		for i := range masks {
			masks[i] = (rng.Uint64() & rng.Uint64()) >> rng.IntN(64) << rng.IntN(64)
		}
		for i := range records {
			records[i] = record{Words: table.Words{A: rng.Uint64() & masks[0], B: rng.Uint64() & masks[1], C: rng.Uint64() & masks[2]},
				index: uint32(i)}
		}
		want := slices.Clone(records)
		slices.SortStableFunc(want, func(a, b record) int {
			switch {
			case a.less(&b):
				return -1
			case b.less(&a):
				return 1
			}
			return 0
		})
		m.sort(records, m.records[1][:count])
		if !slices.Equal(records, want) {
			t.Fatalf("seed %d: %d records are not in order", seed, count)
		}
	}
}

// A merge that is cut into small jobs reads little more than what it merges: each job starts at the
// page where the last stopped.
func TestCutMergesReadLittleMore(t *testing.T) {
	l := limits.Production()
	memory := arena.New()
	defer memory.Close()
	disk := newDisk(l, rand.New(rand.NewPCG(6, 6)))
	m := New(l, memory, cluster, disk, disk)
	rng := rand.New(rand.NewPCG(7, 7))
	var runs [][]storage.Table
	const rows = 40000
	shape := table.ShapeOf(l, storage.TreeTransferID)
	for i := range uint64(storage.MergeRuns(&l, storage.TreeTransferID)) {
		entries := make([]entry, rows)
		for j := range entries {
			binary.BigEndian.PutUint64(entries[j].key[:], rng.Uint64())
			entries[j].value = make([]byte, 8)
		}
		job := jobOf(storage.JobFlushTree, storage.TreeTransferID, int(shape.TablesMax(rows)), 1+i*1000)
		job.Source = &source{entries: entries}
		m.Run(&job, &waits{})
		m.Drain(&waits{})
		runs = append(runs, job.Tables)
	}
	before := m.Statistics()
	var from storage.Key
	for pieces, finished := 0, false; !finished; pieces++ {
		job := jobOf(storage.JobMerge, storage.TreeTransferID, 10, uint64(10000+pieces*100))
		job.Runs, job.EntriesMax, job.From, job.FromKey = runs, 60000, pieces > 0, from
		m.Run(&job, &waits{})
		if m.Drain(&waits{}) != nil {
			t.Fatal(m.Fault())
		}
		finished, from = job.Finished, job.UpTo
	}
	after := m.Statistics()
	read, written := after.BytesRead-before.BytesRead, after.BytesWritten-before.BytesWritten
	t.Logf("%d bytes read, %d written", read, written)
	if read > 2*written {
		t.Errorf("%d bytes read for %d bytes written", read, written)
	}
}

// Goal: a job builds its outputs in the memory that it was given for them, the same bytes that it
// writes; outputs beyond that memory are built elsewhere, and no result depends on it.
func TestOutputsInFrames(t *testing.T) {
	random := seeded.Rand(t)
	l := small()
	for frames := range 4 {
		disk := newDisk(l, random)
		memory := arena.New()
		m := New(l, memory, cluster, disk, disk)
		job := jobOf(storage.JobFlushTree, storage.TreeTransferID, 60, 1)
		var entries []entry
		for len(entries) < 800 { // fewer may not fill more tables than there are frames
			entries = draw(random, storage.TreeTransferID, 1000)
		}
		job.Source = &source{entries: entries}
		for range frames {
			job.Frames = append(job.Frames, make([]byte, l.BlockBytes))
		}
		m.Run(&job, &waits{})
		if fault := m.Drain(&waits{}); fault != nil || len(job.Tables) < 4 {
			t.Fatalf("%d tables, fault %v", len(job.Tables), fault)
		}
		for i, frame := range job.Frames {
			used := int(job.Tables[i].PagesUsed) * int(l.PageBytes)
			if !bytes.Equal(frame[:used], disk.blocks[job.Tables[i].Address][:used]) {
				t.Errorf("output %d of %d is not in its memory", i, len(job.Tables))
			}
		}
		if got := read(t, l, disk, storage.TreeTransferID, job.Tables); len(got) != len(entries) {
			t.Errorf("%d frames: %d entries, want %d", frames, len(got), len(entries))
		}
		memory.Close()
	}
}
