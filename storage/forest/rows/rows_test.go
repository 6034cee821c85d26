package rows

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/manifest"
)

// Goal: accounts, transfers, their statuses and their ids are what was stored, wherever they lie:
// in either memtable, in the caches or the spill, in the carried tail, in the log and the trees.
// The invariants hold at every end of a bar.
func TestAgainstLists(t *testing.T) {
	for name, requestBytes := range map[string]uint32{"full tables": 1 << 20, "tables that grow": 32 << 10} {
		t.Run(name, func(t *testing.T) { againstLists(t, requestBytes) })
	}
}

func againstLists(t *testing.T, requestBytes uint32) {
	random := seeded.Rand(t)
	l := foresttest.Limits()
	l.RequestBytesMax = min(l.RequestBytesMax, requestBytes)
	w := worldOn(t, random, foresttest.New(t, l, random))
	for range 20 {
		w.account()
	}
	bars := 200
	if testing.Short() {
		bars = 50
	}
	for bar := range bars {
		for range random.IntN(25) {
			w.step()
		}
		if random.IntN(3) == 0 {
			w.kill()
		}
		w.answers(false)
		w.bar(bar%9 == 8)
		if bar%20 == 0 {
			w.answers(true)
		}
	}
	w.answers(true)
	c := w.keeper.Counters()
	t.Logf("%d transfers, %d accounts, %+v", len(w.transfers), len(w.accounts), c)
	if c.DirtyEvicted == 0 || c.AccountLoads == 0 || w.rows.log.count == 0 {
		t.Error("the test shows little")
	}
	expired := w.rows.Reader().Expired()
	inMemory := slices.Concat(expired[:]...)
	if got := len(inMemory); got > len(w.expired) || !slices.Equal(inMemory, w.expired[len(w.expired)-got:]) {
		t.Errorf("%d expiries are in memory, not the last ones", got)
	}
}

// fingerprint is everything that a rollback has to restore. Which accounts are cached may differ.
func (w *world) fingerprint() []byte {
	var out bytes.Buffer
	m := w.rows.filling
	fmt.Fprintln(&out, m.rowsCount, m.createdCount, m.changesCount, m.expiredCount, m.deadCount, m.accountsChanged, m.pending.count,
		m.ids.Count(), m.accountIDs.Count(), m.changeOf.Count(), m.statuses[:m.rowsCount], m.changes[:m.changesCount],
		m.transferStampMax(), m.accountStampMax(), w.rows.AccountsCount(), w.rows.TransfersCount())
	for i := range m.fields {
		fmt.Fprintln(&out, m.fields[i].count, m.accountFields[i].count)
	}
	for tree := storage.TreeTransferLog + 1; tree < storage.TreesCount; tree++ {
		var c storage.Columns
		if tree != storage.TreeTransferID && m.Columns(tree, &c) {
			for i := range uint32(c.Count()) {
				fmt.Fprintln(&out, c.Value(i), c.Ordinal(i))
			}
		}
	}
	return out.Bytes()
}

// Goal: a rollback restores every count, list and table of the filling memtable, and all answers,
// though accounts leave the cache within the chain.
func TestRollbackRestores(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 40 { // more than the cache holds
		w.account()
	}
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	for round := range rounds {
		for range random.IntN(12) {
			w.step()
		}
		if round%4 == 3 {
			w.bar(round%12 == 11)
		}
		before := w.fingerprint()
		saved := *w
		saved.accounts, saved.transfers, saved.statuses = slices.Clone(w.accounts), slices.Clone(w.transfers), slices.Clone(w.statuses)
		w.rows.ChainOpen()
		for range 1 + random.IntN(15) {
			w.step()
		}
		if random.IntN(4) == 0 {
			w.rows.ChainCommit()
			continue
		}
		w.rows.ChainRollback()
		created, stored := w.accounts[len(saved.accounts):], w.transfers[len(saved.transfers):]
		w.accounts, w.transfers, w.statuses, w.expired, w.clock = saved.accounts, saved.transfers, saved.statuses, saved.expired, saved.clock
		for _, a := range created {
			var account accounting.Account
			if _, ok := w.rows.AccountFind(a.ID, &account); ok {
				t.Fatalf("round %d: account %v was rolled back, and is found", round, a.ID)
			}
		}
		for i := range stored {
			if _, state := w.rows.TransferFind(stored[i].Transfer.ID); state != accounting.TransferAbsent {
				t.Fatalf("round %d: transfer %v was rolled back, and is found", round, stored[i].Transfer.ID)
			}
		}
		if after := w.fingerprint(); !bytes.Equal(after, before) {
			t.Fatalf("round %d: after a rollback the memtable is\n%s\nwant\n%s", round, after, before)
		}
		w.answers(false)
		w.keeper.Check(func(uint64, string) {})
	}
	w.answers(true)
}

// Goal: with any of the look-ahead calls, or none, the answers are the same; what they name may be
// something else than what comes.
func TestAheadChangesNoAnswer(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 30 {
		w.account()
	}
	for bar := range 80 {
		w.counted = bar%20 >= 10
		var batch []accounting.Transfer
		for range random.IntN(70) {
			transfer := accounting.Transfer{ID: w.id(), DebitAccountID: w.accounts[random.IntN(len(w.accounts))].ID,
				CreditAccountID: w.id()}
			if len(w.transfers) > 0 && random.IntN(3) == 0 {
				transfer.ID = w.transfers[random.IntN(len(w.transfers))].Transfer.ID
			}
			batch = append(batch, transfer)
		}
		if len(batch) > 0 {
			w.rows.Lookahead(bytesOf(batch))
		}
		for i := range batch {
			if random.IntN(8) == 0 {
				continue // refused before it is looked for
			}
			id := batch[i].ID
			at := slices.IndexFunc(w.transfers, func(r accounting.TransferRow) bool { return r.Transfer.ID == id })
			if got, state := w.rows.TransferFind(id); (state == accounting.TransferExists) != (at >= 0) || at >= 0 && int(got) != at {
				t.Fatalf("id %v is %d (%d), want %d", id, got, state, at)
			}
			var account accounting.Account
			want := slices.IndexFunc(w.accounts, func(a accounting.Account) bool { return a.ID == batch[i].DebitAccountID })
			if got, ok := w.rows.AccountFind(batch[i].DebitAccountID, &account); !ok || int(got) != want || account != w.accounts[want] {
				t.Fatalf("account %v is %d (%v), want %d", batch[i].DebitAccountID, got, ok, want)
			}
			if _, ok := w.rows.AccountFind(batch[i].CreditAccountID, &account); ok {
				t.Fatal("an account that nobody has is found")
			}
			if at < 0 && random.IntN(3) == 0 {
				w.transfer()
			}
		}
		w.rows.Lookahead(nil)
		var wanted []accounting.U128
		for range 20 {
			if len(w.transfers) > 0 {
				wanted = append(wanted, w.transfers[random.IntN(len(w.transfers))].Transfer.ID)
				w.rows.WarmPending(wanted[len(wanted)-1])
			}
		}
		if len(wanted) > 0 && random.IntN(2) == 0 {
			w.rows.LookupTransfers(bytesOf(wanted))
		}
		w.Grid.Poll()
		w.rows.WarmStep()
		w.answers(false)
		w.rows.LookupTransfers(nil)
		w.bar(bar%10 == 9)
	}
	if w.filter.Generations() == 0 {
		t.Error("no id was added to the filter of all ids: the test shows little")
	}
}

// manifest is the rows' and the trees' parts of a manifest.
func (w *world) manifest() []byte {
	out := make([]byte, manifest.HeadBytes+w.keeper.EncodedBytes()+w.levels.EncodedBytes())
	var head manifest.Head
	w.keeper.Head(&head)
	w.levels.LevelsCount(&head.Levels)
	m := manifest.NewWriter(out)
	m.Head(&head)
	w.keeper.Encode(m)
	w.levels.Encode(m)
	return m.End(nil)
}

// Goal: rows that are opened from a manifest answer as those that wrote it: the log, the trees and
// the carried rows, whose block does not have the ids of their accounts. They encode to the same
// manifest.
func TestOpenAnswers(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 20 {
		w.account()
	}
	opened := 0
	for bar := range 120 {
		for range random.IntN(20) {
			w.step()
		}
		w.bar(bar%10 == 0)
		if bar%10 != 0 {
			continue
		}
		again := w.reopened()
		encoded := w.manifest()
		again.answers(true)
		if !bytes.Equal(again.manifest(), encoded) {
			t.Fatal("opened rows encode to another manifest")
		}
		if again.rows.tail.count > 0 {
			opened++
		}
		w.plan(false)
	}
	if opened == 0 {
		t.Error("no row was carried: the test shows little")
	}
}
