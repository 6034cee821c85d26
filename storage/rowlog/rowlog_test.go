package rowlog

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

var cluster = wire.U128{Lo: 1}

func small() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	return l
}

// typical is a row of the load generator: everything random that can be, history on.
func typical(rng *rand.Rand, index uint64) (row accounting.TransferRow) {
	t := &row.Transfer
	t.ID = wire.U128{Lo: rng.Uint64(), Hi: rng.Uint64()}
	t.Amount = wire.U128{Lo: rng.Uint64N(10000)}
	t.UserData128 = wire.U128{Lo: rng.Uint64(), Hi: rng.Uint64()}
	t.UserData64, t.UserData32 = rng.Uint64(), rng.Uint32()
	t.Ledger, t.Code, t.Timestamp = 1, uint16(1+rng.IntN(65535)), 1_700_000_000_000_000_000+index
	row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(rng.IntN(10000)), accounting.AccountOrdinal(rng.IntN(10000))
	for _, b := range []*accounting.Balances{&row.DebitAfter, &row.CreditAfter} {
		b.DebitsPosted, b.CreditsPosted = wire.U128{Lo: rng.Uint64N(1 << 26)}, wire.U128{Lo: rng.Uint64N(1 << 26)}
		b.Flags = accounting.AccountHistory
	}
	return row
}

// any row: every field of any width, ids near to each other or not.
func anyRow(rng *rand.Rand, last *accounting.TransferRow) (row accounting.TransferRow) {
	number := func(bitsMax uint) uint64 {
		if rng.IntN(3) == 0 {
			return 0
		}
		return rng.Uint64() >> (64 - 1 - uint(rng.UintN(bitsMax)))
	}
	wide := func() wire.U128 {
		if rng.IntN(2) == 0 {
			return wire.U128{Lo: number(64)}
		}
		return wire.U128{Lo: rng.Uint64(), Hi: number(64)}
	}
	t := &row.Transfer
	switch rng.IntN(4) {
	case 0:
		t.ID = wide()
	case 1:
		t.ID, _ = last.Transfer.ID.Add(wire.U128{Lo: number(64)})
	case 2:
		t.ID, _ = last.Transfer.ID.Sub(wire.U128{Lo: number(64)})
	case 3:
		t.ID = wire.U128{Lo: rng.Uint64(), Hi: rng.Uint64()}
	}
	switch rng.IntN(3) {
	case 0:
		t.PendingID = wide()
	case 1:
		t.PendingID, _ = t.ID.Sub(wire.U128{Lo: number(64)})
	}
	t.Amount, t.UserData128 = wide(), wide()
	t.UserData64, t.UserData32, t.Code = number(64), uint32(number(32)), uint16(number(16))
	t.Timeout, t.Flags = uint32(number(32)), accounting.TransferFlags(number(16))
	t.Ledger = last.Transfer.Ledger
	if rng.IntN(3) == 0 {
		t.Ledger = uint32(number(32))
	}
	t.Timestamp = last.Transfer.Timestamp + 1 + number(50)
	row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(number(32)), accounting.AccountOrdinal(number(32))
	for _, b := range []*accounting.Balances{&row.DebitAfter, &row.CreditAfter} {
		b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted = wide(), wide(), wide(), wide()
		b.Flags = accounting.AccountFlags(number(16))
	}
	return row
}

func pack(s *Shape, first accounting.TransferOrdinal, rows []accounting.TransferRow) (tables []storage.Table, blocks [][]byte) {
	var b Builder
	for i := range rows {
		for {
			if !b.Open() {
				buffer := make([]byte, s.Geometry.BlockBytes)
				for j := range buffer {
					buffer[j] = 0x55
				}
				blocks = append(blocks, buffer)
				b.Begin(s, buffer)
			}
			if b.Add(first+accounting.TransferOrdinal(i), &rows[i]) {
				break
			}
			tables = append(tables, b.Finish(cluster, uint64(len(blocks)), false))
		}
	}
	if b.Open() {
		tables = append(tables, b.Finish(cluster, uint64(len(blocks)), true))
	}
	return tables, blocks
}

// Goal: rows of any contents come back by ordinal, in sequence and by timestamp.
func TestRowsComeBack(t *testing.T) {
	for _, l := range []limits.Limits{limits.Production(), small()} {
		s := ShapeOf(l)
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seeded.Seed(t), seed))
			var rows []accounting.TransferRow
			var last accounting.TransferRow
			for i := range uint64(1 + rng.IntN(3000)) {
				row := typical(rng, i)
				if seed%2 == 0 {
					row = anyRow(rng, &last)
				}
				rows, last = append(rows, row), row
			}
			first := accounting.TransferOrdinal(rng.Uint64N(1 << 39))
			tables, blocks := pack(&s, first, rows)
			if uint64(len(tables)) > s.BlocksMax(uint64(len(rows))) {
				t.Fatalf("%d blocks, at most %d planned", len(tables), s.BlocksMax(uint64(len(rows))))
			}
			at := 0
			for i, table := range tables {
				if fault := block.VerifyBlock(&s.Geometry, blocks[i], table.Ref, cluster); fault != nil {
					t.Fatal(fault)
				}
				if table.Entries > s.RowsPerBlockMax() {
					t.Fatalf("%d rows in a block, at most %d planned", table.Entries, s.RowsPerBlockMax())
				}
				checkBlock(t, &s, table, blocks[i], first+accounting.TransferOrdinal(at), rows[at:at+int(table.Entries)])
				at += int(table.Entries)
			}
			if at != len(rows) {
				t.Fatalf("%d rows, want %d", at, len(rows))
			}
		}
	}
}

func checkBlock(t *testing.T, s *Shape, table storage.Table, data []byte, first accounting.TransferOrdinal, rows []accounting.TransferRow) {
	t.Helper()
	header := block.HeaderPage(data)
	page := func(n uint32) []byte { return data[n*s.Geometry.PageBytes : (n+1)*s.Geometry.PageBytes] }
	last := len(rows) - 1
	if table.KeyMin != Key(first, rows[0].Transfer.Timestamp) ||
		table.KeyMax != Key(first+accounting.TransferOrdinal(last), rows[last].Transfer.Timestamp) {
		t.Fatal("key range differs")
	}
	for i := range rows {
		want := rows[i]
		want.Transfer.DebitAccountID, want.Transfer.CreditAccountID = wire.U128{}, wire.U128{}
		ordinal := first + accounting.TransferOrdinal(i)
		n := s.PageFind(header, uint32(i))
		var got accounting.TransferRow
		if Read(page(n), ordinal, &got); got != want {
			t.Fatalf("row %d: %+v, want %+v", i, got, want)
		}
		var object accounting.Transfer
		if debit, credit := ReadObject(page(n), ordinal, &object); object != want.Transfer || debit != want.DebitOrdinal ||
			credit != want.CreditOrdinal {
			t.Fatalf("object %d: %+v, want %+v", i, object, want.Transfer)
		}
		for _, stamp := range []uint64{want.Transfer.Timestamp, want.Transfer.Timestamp - 1} {
			expected := i
			if stamp < want.Transfer.Timestamp && i > 0 && rows[i-1].Transfer.Timestamp == stamp {
				expected = i - 1
			}
			n := s.PageFindStamp(header, stamp)
			if found := int(header.FirstEntry(n)) + SearchStamp(page(n), stamp); found != expected {
				t.Fatalf("timestamp %d is row %d, want %d", stamp, found, expected)
			}
		}
	}
	n := header.DataPages()
	if SearchStamp(page(n), rows[last].Transfer.Timestamp+1) != Count(page(n)) {
		t.Fatal("a later timestamp has no row")
	}
	buffer := make([]accounting.TransferRow, 23)
	for i := 0; i < len(rows); {
		n := s.PageFind(header, uint32(i))
		got := ReadRows(page(n), i-int(header.FirstEntry(n)), buffer)
		if got == 0 {
			t.Fatalf("no rows from %d on", i)
		}
		for j := range got {
			want := rows[i+j]
			if buffer[j] != want {
				t.Fatalf("sequence: row %d: %+v, want %+v", i+j, buffer[j], want)
			}
		}
		i += got
	}
}

// The rows of the load generator take what the file's budget gives them: 60 bytes and 22 for the
// balances.
func TestRowBytes(t *testing.T) {
	s := ShapeOf(limits.Production())
	rng := rand.New(rand.NewPCG(1, 9))
	for _, sequential := range []bool{false, true} {
		var rows []accounting.TransferRow
		for i := range uint64(65536) {
			row := typical(rng, i)
			if sequential {
				row.Transfer.ID = wire.U128{Lo: i + 1}
			}
			rows = append(rows, row)
		}
		tables, _ := pack(&s, 0, rows)
		pages := 0
		for _, table := range tables {
			pages += int(table.PagesUsed)
		}
		perRow := float64(pages) * float64(s.Geometry.PageBytes) / float64(len(rows))
		t.Logf("sequential ids %t: %.1f bytes per row", sequential, perRow)
		if perRow > 82 {
			t.Errorf("%.1f bytes per row, want at most 82", perRow)
		}
	}
}

// FuzzRows builds rows from the input's bytes; rows of any bytes come back.
func FuzzRows(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint64(0))
	f.Add(make([]byte, 600), uint64(1<<39))
	s := ShapeOf(small())
	f.Fuzz(func(t *testing.T, data []byte, first uint64) {
		var rows []accounting.TransferRow
		var stamp uint64
		next := func() (value uint64) {
			var word [8]byte
			n := 0
			if len(data) > 0 {
				n = int(data[0] % 9)
				data = data[1:]
				data = data[copy(word[:n], data):]
			}
			return binary.LittleEndian.Uint64(word[:])
		}
		for len(data) > 0 && len(rows) < 100 {
			var row accounting.TransferRow
			tr := &row.Transfer
			tr.ID, tr.PendingID, tr.Amount = wire.U128{Lo: next(), Hi: next()}, wire.U128{Lo: next(), Hi: next()}, wire.U128{Lo: next(), Hi: next()}
			tr.UserData128, tr.UserData64, tr.UserData32 = wire.U128{Lo: next(), Hi: next()}, next(), uint32(next())
			tr.Timeout, tr.Ledger, tr.Code, tr.Flags = uint32(next()), uint32(next()), uint16(next()), accounting.TransferFlags(next())
			stamp += 1 + next()>>16
			tr.Timestamp = stamp
			var list [8]*wire.U128
			listBalances(&list, &row)
			for _, b := range list {
				*b = wire.U128{Lo: next(), Hi: next()}
			}
			row.DebitAfter.Flags, row.CreditAfter.Flags = accounting.AccountFlags(next()), accounting.AccountFlags(next())
			row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(next()), accounting.AccountOrdinal(next())
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			return
		}
		ordinal := accounting.TransferOrdinal(first % (1 << 39))
		tables, blocks := pack(&s, ordinal, rows)
		at := 0
		for i, table := range tables {
			checkBlock(t, &s, table, blocks[i], ordinal+accounting.TransferOrdinal(at), rows[at:at+int(table.Entries)])
			at += int(table.Entries)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	s := ShapeOf(limits.Production())
	rng := rand.New(rand.NewPCG(1, 9))
	rows := make([]accounting.TransferRow, 7000)
	for i := range rows {
		rows[i] = typical(rng, uint64(i))
	}
	buffer := make([]byte, s.Geometry.BlockBytes)
	var builder Builder
	b.ReportAllocs()
	for b.Loop() {
		builder.Begin(&s, buffer)
		for i := range rows {
			if !builder.Add(accounting.TransferOrdinal(i), &rows[i]) {
				break
			}
		}
		builder.Finish(cluster, 1, false)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(builder.entries), "ns/row")
}

func BenchmarkRead(b *testing.B) {
	s := ShapeOf(limits.Production())
	rng := rand.New(rand.NewPCG(1, 9))
	rows := make([]accounting.TransferRow, 6000)
	for i := range rows {
		rows[i] = typical(rng, uint64(i))
	}
	tables, blocks := pack(&s, 0, rows)
	header := block.HeaderPage(blocks[0])
	page := func(n uint32) []byte { return blocks[0][n*s.Geometry.PageBytes : (n+1)*s.Geometry.PageBytes] }
	b.Run("point", func(b *testing.B) {
		b.ReportAllocs()
		var row accounting.TransferRow
		i := uint32(0)
		for b.Loop() {
			i = (i + 7919) % tables[0].Entries
			Read(page(s.PageFind(header, i)), accounting.TransferOrdinal(i), &row)
		}
	})
	b.Run("sequence", func(b *testing.B) {
		b.ReportAllocs()
		count := 0
		for b.Loop() {
			count = ReadRows(page(1), 0, rows)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/row")
	})
}
