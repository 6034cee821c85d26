package rows

import (
	"encoding/binary"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// Goal: a sealed memtable shows each tree exactly the entries that its rows imply.
func TestFlushSource(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 40 {
		for range 2 + random.IntN(10) {
			w.account()
		}
		m := w.rows.filling
		transfers, accounts, expired, statuses := len(w.transfers), int(m.accountsFirst), len(w.expired), slices.Clone(w.statuses)
		changed := map[accounting.AccountOrdinal]bool{}
		for range random.IntN(40) {
			w.step()
		}
		for _, row := range w.transfers[transfers:] {
			changed[row.DebitOrdinal], changed[row.CreditOrdinal] = true, true
		}
		if len(w.expired) > expired {
			changed[0], changed[1] = true, true
		}
		w.rows.seal()
		if m.EntriesCount(storage.TreeBalances) != uint32(len(changed)) {
			t.Fatalf("%d accounts have changed, want %d", m.EntriesCount(storage.TreeBalances), len(changed))
		}
		for field := range keys.FieldsCount {
			var want, wantAccounts []accounting.U128
			for i := range w.transfers[transfers:] {
				want = append(want, keys.TransferField(&w.transfers[transfers+i].Transfer, field))
			}
			for i := range w.accounts[accounts:] {
				wantAccounts = append(wantAccounts, keys.AccountField(&w.accounts[accounts+i], field))
			}
			sameColumn(t, m, storage.TreeTransferUser128+storage.TreeID(field), uint64(transfers), want)
			sameColumn(t, m, storage.TreeAccountUser128+storage.TreeID(field), uint64(accounts), wantAccounts)
		}
		pending := map[storage.Key]accounting.PendingStatus{}
		for ordinal, status := range w.statuses {
			if status != accounting.PendingNone && (ordinal >= transfers || status != statuses[ordinal]) {
				pending[keys.Number(uint64(ordinal))] = status
			}
		}
		if got := m.EntriesCount(storage.TreePending); int(got) != len(pending) {
			t.Fatalf("%d statuses, want %d", got, len(pending))
		}
		for i := range m.EntriesCount(storage.TreePending) {
			key, _ := m.Entry(storage.TreePending, i)
			var value [1]byte
			if m.Value(storage.TreePending, i, value[:]); pending[key] != accounting.PendingStatus(value[0]) {
				t.Fatalf("the status of %x is %d, want %d", key, value[0], pending[key])
			}
		}
		for i := range m.EntriesCount(storage.TreeAccount) {
			var value [storage.AccountBytes]byte
			var got accounting.Account
			m.Value(storage.TreeAccount, i, value[:])
			keys.GetAccount(value[:], &got)
			if key, _ := m.Entry(storage.TreeAccount, i); key != keys.Account(accounting.AccountOrdinal(accounts+int(i))) ||
				got.ID != w.accounts[accounts+int(i)].ID {
				t.Fatalf("account %d is %+v at %x", accounts+int(i), got, key)
			}
		}
		w.rows.flushing = nil // nobody flushes it: the next one begins behind it
		w.rows.tail.first, w.rows.tail.count = accounting.TransferOrdinal(len(w.transfers)), 0
		w.rows.cache.reset()
		w.restoreBalances()
		w.rows.expiry.Flushed()
	}
}

// restoreBalances makes the accounts what the rows say, after a memtable was thrown away.
func (w *world) restoreBalances() {
	w.rows.cache = newCache(w.Memory, &w.Key, 1<<10, false)
	for ordinal := range w.accounts {
		w.rows.cachePut(accounting.AccountOrdinal(ordinal), &w.accounts[ordinal], epochNone)
	}
}

// sameColumn compares a tree of a memtable with the values of its rows, zero for none.
func sameColumn(t *testing.T, m *memtable, tree storage.TreeID, first uint64, values []accounting.U128) {
	t.Helper()
	var c storage.Columns
	if !m.Columns(tree, &c) {
		t.Fatalf("%s has no columns", storage.Trees[tree].Name)
	}
	at := uint32(0)
	for row, value := range values {
		if value.IsZero() {
			continue
		}
		if int(at) == c.Count() || c.Value(at) != value || c.Ordinal(at) != first+uint64(row) {
			t.Fatalf("%s: entry %d of %d, want %v of row %d", storage.Trees[tree].Name, at, c.Count(), value, row)
		}
		at++
	}
	if int(at) != c.Count() || m.EntriesCount(tree) != at {
		t.Fatalf("%s: %d entries, counted %d, want %d", storage.Trees[tree].Name, c.Count(), m.EntriesCount(tree), at)
	}
}

// Goal: a flush gets the rows that were carried before those of the memtable, and the trees without
// columns the keys and values that rows imply: timestamps of accounts, expiries, statuses of its
// own and of earlier transfers. Before a chain's end and after a rollback there is nothing else.
func TestFlushEntries(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 10 {
		w.account()
	}
	expected := func(m *memtable, tree storage.TreeID, want map[storage.Key]string) {
		t.Helper()
		if got := m.EntriesCount(tree); int(got) != len(want) {
			t.Fatalf("%s has %d entries, want %d", storage.Trees[tree].Name, got, len(want))
		}
		for i := range m.EntriesCount(tree) {
			value := make([]byte, storage.Trees[tree].ValueBytes)
			key, tombstone := m.Entry(tree, i)
			m.Value(tree, i, value)
			if wanted, ok := want[key]; !ok || wanted != string(value) || tombstone {
				t.Fatalf("%s: %x is %x (%v), want %x (%v)", storage.Trees[tree].Name, key, value, tombstone, wanted, ok)
			}
			delete(want, key)
		}
	}
	carried := 0
	for bar := range 60 {
		m := w.rows.filling
		transfers, accounts, expired := int(m.transfersFirst), int(m.accountsFirst), len(w.expired)
		if bar == 0 {
			expired = 0
		}
		for range random.IntN(60) {
			w.step()
		}
		if random.IntN(2) == 0 {
			saved := *w
			saved.accounts, saved.statuses = slices.Clone(w.accounts), slices.Clone(w.statuses)
			w.rows.ChainOpen()
			for range random.IntN(10) {
				w.step()
			}
			w.rows.ChainRollback()
			*w = saved
		}
		if m.rowsAll() < w.Limits.MemtableRowsSeal {
			for len(w.transfers)-transfers < int(w.Limits.MemtableRowsSeal) {
				w.transfer()
			}
		}
		stamps, expiries := map[storage.Key]string{}, map[storage.Key]string{}
		for ordinal := accounts; ordinal < len(w.accounts); ordinal++ {
			value := binary.LittleEndian.AppendUint32(nil, uint32(ordinal))
			stamps[keys.Number(w.accounts[ordinal].Timestamp)] = string(value)
		}
		for i := range w.expired[expired:] {
			row := &w.expired[expired+i]
			value := make([]byte, storage.Trees[storage.TreeExpired].ValueBytes)
			keys.PutExpired(value, row)
			expiries[keys.Number(row.Timestamp)] = string(value)
		}
		expected(m, storage.TreeAccountStamp, stamps)
		expected(m, storage.TreeExpired, expiries)
		var changes storage.Changes
		m.Changes(&changes)
		if !slices.Equal(changes.Rows, w.transfers[transfers:]) || !slices.Equal(changes.Expired, w.expired[expired:]) ||
			len(changes.Debits) != len(changes.Rows) || len(changes.ExpiredAt) != len(changes.Expired) {
			t.Fatalf("the changes of balances are others than those of %d rows and %d expiries", len(changes.Rows), len(changes.Expired))
		}
		for i := range changes.Rows {
			if changes.Debits[i] != uint32(changes.Rows[i].DebitOrdinal) || changes.Credits[i] != uint32(changes.Rows[i].CreditOrdinal) {
				t.Fatalf("row %d changes accounts %d and %d, said are %d and %d", i, changes.Rows[i].DebitOrdinal,
					changes.Rows[i].CreditOrdinal, changes.Debits[i], changes.Credits[i])
			}
		}
		for i, row := range w.expired[expired:] { // so many rows came before it
			before := uint32(0)
			for at := range changes.Rows {
				if changes.Rows[at].Transfer.Timestamp < row.Timestamp {
					before++
				}
			}
			if changes.ExpiredAt[i] != before {
				t.Fatalf("expiry %d comes behind %d rows, want %d", i, changes.ExpiredAt[i], before)
			}
		}
		w.install() // the rows of the flush before are carried from here on
		first := int(m.RowsFirst())
		if int(m.RowsCount()) != len(w.transfers)-first || m.EntriesCount(storage.TreeTransferLog) != m.RowsCount() || first > transfers {
			t.Fatalf("the flush has %d rows from %d on, want %d", m.RowsCount(), first, len(w.transfers)-first)
		}
		for i := range m.RowsCount() {
			if *m.Row(i) != w.transfers[first+int(i)] {
				t.Fatalf("row %d of the flush is %+v, want %+v", i, *m.Row(i), w.transfers[first+int(i)])
			}
		}
		carried += transfers - first
		w.plan(bar%5 == 4)
	}
	if carried < 20 {
		t.Errorf("%d rows were carried: the test shows little", carried)
	}
}
