package rows

import (
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
