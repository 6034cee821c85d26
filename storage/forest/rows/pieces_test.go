package rows

import (
	"encoding/binary"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// Goal: the cache of pending transfers has exactly the newest ones that were neither dropped nor
// taken back, as many as fit.
func TestPendingsAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	for range 50 {
		a := arena.New()
		room := 1 + random.IntN(40)
		p := newPendings(a, &testKey, uint32(room), false)
		type kept struct {
			ordinal accounting.TransferOrdinal
			status  accounting.PendingStatus
		}
		var ring []kept // of the places that were written, the oldest first; PendingNone: dropped
		next := accounting.TransferOrdinal(0)
		for range 600 {
			switch n := random.IntN(8); {
			case n == 0 && len(ring) > 0:
				// A rollback takes the last one back. The one whose place it took does not return.
				p.pop()
				ring = ring[:len(ring)-1]
				next--
			case n == 1 && len(ring) > 0:
				at := random.IntN(len(ring))
				p.drop(ring[at].ordinal)
				ring[at].status = accounting.PendingNone
			case n == 2 && len(ring) > 0:
				at := random.IntN(len(ring))
				if row := p.find(ring[at].ordinal); row != nil {
					row.Status = accounting.PendingVoided
					ring[at].status = accounting.PendingVoided
				}
			default:
				row := accounting.TransferRow{DebitOrdinal: accounting.AccountOrdinal(next), CreditOrdinal: 7}
				row.Transfer.Timestamp = uint64(next)
				p.put(next, &row)
				ring = append(ring, kept{next, accounting.PendingOpen})
				next++
				if len(ring) > room {
					ring = ring[1:]
				}
			}
			found := 0
			for _, k := range ring {
				row := p.find(k.ordinal)
				if (row != nil) != (k.status != accounting.PendingNone) {
					t.Fatalf("%d of %d: found %v, want status %d", k.ordinal, next, row != nil, k.status)
				}
				if row != nil {
					found++
					if row.Status != k.status || row.Ordinal != k.ordinal || row.Transfer.Timestamp != uint64(k.ordinal) ||
						row.Debit != accounting.AccountOrdinal(k.ordinal) || row.Credit != 7 {
						t.Fatalf("%d is %+v, want status %d", k.ordinal, row, k.status)
					}
				}
			}
			if int(p.of.Count()) != found {
				t.Fatalf("%d transfers are found, the table has %d", found, p.of.Count())
			}
		}
		for p.reset(1024) {
		}
		if p.of.Count() != 0 || p.next != 0 {
			t.Fatalf("after a reset %d transfers are found", p.of.Count())
		}
		a.Close()
	}
}

// Goal: the tail carries exactly the rows behind those that were written, in order, whether they
// were in the tail before or in the memtable.
func TestCarryAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	for range 300 {
		const room = 12
		carried := tail{rows: make([]accounting.TransferRow, room)}
		stamp := uint64(0)
		var want []uint64 // timestamps of the carried rows
		for range 20 {
			m := &memtable{tail: &carried, rows: make([]accounting.TransferRow, 40)}
			all := slices.Clone(want)
			for range random.IntN(30) {
				stamp++
				m.rows[m.rowsCount].Transfer.Timestamp = stamp
				m.rowsCount++
				all = append(all, stamp)
			}
			written := uint32(max(0, len(all)-random.IntN(room+1)))
			first := carried.first
			for i, timestamp := range all {
				if m.Row(uint32(i)).Transfer.Timestamp != timestamp {
					t.Fatalf("row %d of the flush is that of %d, want %d", i, m.Row(uint32(i)).Transfer.Timestamp, timestamp)
				}
			}
			carried.carry(m, written)
			if want = all[written:]; carried.first != first+accounting.TransferOrdinal(written) || int(carried.count) != len(want) {
				t.Fatalf("%d rows from %d are carried, want %d from %d", carried.count, carried.first, len(want), uint64(first)+uint64(written))
			}
			for i, timestamp := range want {
				if carried.rows[i].Transfer.Timestamp != timestamp {
					t.Fatalf("carried row %d is that of %d, want %d", i, carried.rows[i].Transfer.Timestamp, timestamp)
				}
			}
		}
	}
}

// Goal: the log finds the block of every row, and refuses a block for which there is no room.
func TestRowLog(t *testing.T) {
	random := seeded.Rand(t)
	a := arena.New()
	defer a.Close()
	const blocks = 30
	s := &Rows{log: newRowLog(a, blocks)}
	var blockOf []uint32 // by ordinal
	for at := range uint32(blocks) {
		var table storage.Table
		table.Address, table.Entries = uint64(at+1), 1+random.Uint32N(20)
		binary.BigEndian.PutUint64(table.KeyMin[0:], uint64(len(blockOf)))
		binary.BigEndian.PutUint64(table.KeyMin[8:], 10*uint64(len(blockOf))) // a timestamp
		if !s.log.add(&table) {
			t.Fatalf("block %d has no room", at)
		}
		for range table.Entries {
			blockOf = append(blockOf, at)
		}
	}
	if s.log.add(&storage.Table{}) {
		t.Error("there is room for more blocks than there is memory for")
	}
	for ordinal, want := range blockOf {
		if got := s.logTable(uint64(ordinal)); got != int(want) {
			t.Fatalf("row %d is in block %d, want %d", ordinal, got, want)
		}
		for at := range uint32(blocks) {
			if s.logHas(at, uint64(ordinal)) != (at == want) {
				t.Fatalf("block %d has row %d: %v", at, ordinal, at != want)
			}
		}
	}
	for range 200 {
		stamp := random.Uint64N(10 * uint64(len(blockOf)))
		want := -1
		for want+1 < blocks && s.log.stamps[want+1] <= stamp {
			want++
		}
		if got := lastAtMost(s.log.stamps[:s.log.count], stamp); got != want {
			t.Fatalf("the last block at or before %d is %d, want %d", stamp, got, want)
		}
	}
}

// Goal: a column is right at any time while its memtable fills, whenever the first gap comes, and
// after rows were taken back.
func TestValueListsAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	for range 200 {
		a := arena.New()
		const most = 60
		options := arena.Options{Class: arena.Table}
		lists := newValueLists(a, most, "test", options, options)
		var rows [][keys.FieldsCount]accounting.U128
		dense := random.IntN(most) // so many rows have all values
		for range 150 {
			switch {
			case random.IntN(4) == 0 && len(rows) > 0: // as a rollback does
				last := rows[len(rows)-1]
				rows = rows[:len(rows)-1]
				for field := range last {
					if !last[field].IsZero() {
						lists[field].count--
					}
				}
			case len(rows) < most:
				var row [keys.FieldsCount]accounting.U128
				for field := range row {
					if len(rows) < dense || random.IntN(3) > 0 {
						row[field].Lo = 1 + random.Uint64N(1<<15)
					}
				}
				if !row[keys.User128].IsZero() {
					row[keys.User128].Hi = random.Uint64()
				}
				lists.add(uint32(len(rows)), row[keys.User128], row[keys.User64].Lo, uint32(row[keys.User32].Lo), uint32(row[keys.Ledger].Lo),
					uint16(row[keys.Code].Lo))
				rows = append(rows, row)
			}
			if random.IntN(10) == 0 {
				lists.seal(uint32(len(rows))) // it may come at any time, and changes no column
			}
			for field := range keys.FieldsCount {
				var c storage.Columns
				lists[field].column(uint32(len(rows)), &c)
				at := uint32(0)
				for row := range rows {
					want := rows[row][field]
					if want.IsZero() {
						continue
					}
					if int(at) >= c.Count() || c.Value(at) != want || c.Ordinal(at) != uint64(row) {
						t.Fatalf("field %d: entry %d of %d is not %v of row %d", field, at, c.Count(), want, row)
					}
					at++
				}
				if int(at) != c.Count() {
					t.Fatalf("field %d has %d entries, want %d", field, c.Count(), at)
				}
			}
		}
		a.Close()
	}
}

// Goal: a memtable finds exactly its ids, of rows and dead ones, while its tables grow, and after
// it was emptied.
func TestMemtableFinds(t *testing.T) {
	random := seeded.Rand(t)
	l := foresttest.Limits()
	l.RequestBytesMax = 32 << 10 // tables that grow
	w := worldOn(t, random, foresttest.New(t, l, random))
	for range 20 {
		w.account()
	}
	for range 5 {
		type place struct {
			ordinal accounting.TransferOrdinal
			state   accounting.TransferState
		}
		want := map[accounting.U128]place{}
		m := w.rows.filling
		for range 150 {
			if random.IntN(4) == 0 {
				w.kill()
				want[w.dead[len(w.dead)-1]] = place{0, accounting.TransferDead}
			} else {
				w.transfer()
				last := len(w.transfers) - 1
				want[w.transfers[last].Transfer.ID] = place{accounting.TransferOrdinal(last), accounting.TransferExists}
			}
		}
		for id, want := range want {
			if ordinal, state := m.transferFind(id, ids.Hash(&w.Key, id)); state != want.state || ordinal != want.ordinal {
				t.Fatalf("id %v is %d (%d), want %d (%d)", id, ordinal, state, want.ordinal, want.state)
			}
			if _, state := w.rows.memtables[1].transferFind(id, ids.Hash(&w.Key, id)); m == w.rows.memtables[0] &&
				state != accounting.TransferAbsent {
				t.Fatalf("id %v is in both memtables", id)
			}
		}
		for range 100 {
			id := w.id()
			if _, state := m.transferFind(id, ids.Hash(&w.Key, id)); state != accounting.TransferAbsent {
				t.Fatalf("id %v is found", id)
			}
		}
		m.begin(m.transfersNext(), m.accountsNext(), m.transferStampMax(), m.accountStampMax())
		for id := range want {
			if _, state := m.transferFind(id, ids.Hash(&w.Key, id)); state != accounting.TransferAbsent {
				t.Fatalf("id %v is found in an empty memtable", id)
			}
		}
		if m.rowsAll() != 0 || m.ids.Count() != 0 || m.EntriesCount(storage.TreeTransferID) != 0 {
			t.Fatalf("an empty memtable has %d rows and %d ids", m.rowsAll(), m.ids.Count())
		}
		w.rows.cache.reset() // its accounts say that the memtable has their changes
		w.restoreBalances()
	}
}
