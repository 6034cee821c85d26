package rows

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/manifest"
)

// world is rows on their ground, and a plain list of what they hold.
type world struct {
	*foresttest.Ground
	t      testing.TB
	random *rand.Rand
	levels *levels.Levels
	filter ids.Filter
	rows   *Rows
	keeper Keeper
	op     uint64
	under  *storage.Generation
	clock  uint64

	counted bool // ids count up, above all others
	counter uint64

	accounts  []accounting.Account
	transfers []accounting.TransferRow
	statuses  []accounting.PendingStatus
	dead      []accounting.U128
	expired   []accounting.ExpiredRow
}

func newWorld(t testing.TB, random *rand.Rand) *world {
	l := foresttest.Limits()
	if random.IntN(2) == 0 {
		l.RequestBytesMax = 32 << 10 // hash tables that grow
	}
	return worldOn(t, random, foresttest.New(t, l, random))
}

// worldOn has empty rows on a ground.
func worldOn(t testing.TB, random *rand.Rand, g *foresttest.Ground) *world {
	l := &g.Limits
	w := &world{Ground: g, t: t, random: random, op: uint64(l.BarOps) - 1, clock: 100}
	w.levels = levels.New(l, g.Memory, g.Pages, g.Free, BlocksMax(l))
	w.filter = ids.NewFilter(g.Memory, l, w.levels.FilterIDsMax(), uint64(l.MemtableRowsMax()))
	index := expiry.New(l, g.Memory, &g.Key, g.Pages, w.levels)
	w.rows = New(l, g.Memory, &g.Key, Parts{Pages: g.Pages, Levels: w.levels, Expiry: index, Filter: &w.filter, Free: g.Free})
	w.keeper = w.rows.Keeper()
	return w
}

func (w *world) id() accounting.U128 {
	if w.counted {
		w.counter++
		return accounting.U128{Lo: w.counter, Hi: ^uint64(0)}
	}
	return accounting.U128{Lo: w.random.Uint64(), Hi: w.random.Uint64() >> w.random.UintN(64)}
}

func (w *world) account() {
	w.clock += 1 + w.random.Uint64N(3)
	r := w.random
	a := accounting.Account{ID: w.id(), UserData128: accounting.U128{Hi: r.Uint64N(3)}, UserData64: r.Uint64N(4), UserData32: r.Uint32N(2),
		Ledger: 1 + r.Uint32N(2), Code: uint16(1 + r.Uint32N(5)), Timestamp: w.clock}
	if got := w.rows.AccountAppend(&a); int(got) != len(w.accounts) {
		w.t.Fatalf("account %d, want %d", got, len(w.accounts))
	}
	w.accounts = append(w.accounts, a)
}

// change changes an account and returns its balances.
func (w *world) change(ordinal accounting.AccountOrdinal) accounting.Balances {
	a := &w.accounts[ordinal]
	a.DebitsPosted.Lo += w.random.Uint64N(100)
	a.CreditsPending.Hi++
	a.Flags ^= accounting.AccountClosed
	w.rows.AccountWrite(ordinal, a)
	return accounting.Balances{DebitsPending: a.DebitsPending, DebitsPosted: a.DebitsPosted, CreditsPending: a.CreditsPending,
		CreditsPosted: a.CreditsPosted, Flags: a.Flags}
}

func (w *world) transfer() {
	w.clock += 1 + w.random.Uint64N(3)
	r := w.random
	debit := accounting.AccountOrdinal(r.IntN(len(w.accounts) - 1))
	credit := debit + 1
	row := accounting.TransferRow{DebitOrdinal: debit, CreditOrdinal: credit, DebitAfter: w.change(debit), CreditAfter: w.change(credit)}
	row.Transfer = accounting.Transfer{
		ID: w.id(), DebitAccountID: w.accounts[debit].ID, CreditAccountID: w.accounts[credit].ID, Amount: accounting.U128{Lo: r.Uint64()},
		UserData128: accounting.U128{Lo: r.Uint64N(3)}, UserData64: r.Uint64N(3), UserData32: r.Uint32N(3), Ledger: 1,
		Code:      uint16(1 + r.Uint32N(9)),
		Timestamp: w.clock,
	}
	status := accounting.PendingNone
	if r.IntN(3) == 0 {
		row.Transfer.Flags, status = accounting.TransferPending, accounting.PendingOpen
	}
	*w.rows.TransferRow() = row
	if got := w.rows.TransferAppend(); int(got) != len(w.transfers) {
		w.t.Fatalf("transfer %d, want %d", got, len(w.transfers))
	}
	w.transfers, w.statuses = append(w.transfers, row), append(w.statuses, status)
}

// resolve changes the status of a pending transfer.
func (w *world) resolve() {
	for range 20 {
		if len(w.statuses) == 0 {
			return
		}
		at := w.random.IntN(len(w.statuses))
		if w.statuses[at] == accounting.PendingOpen {
			w.statuses[at] = accounting.PendingPosted
			w.rows.PendingWrite(accounting.TransferOrdinal(at), accounting.PendingPosted)
			return
		}
	}
}

func (w *world) expire() {
	w.clock++
	row := accounting.ExpiredRow{Timestamp: w.clock, DebitAfter: w.change(0), CreditAfter: w.change(1), CreditOrdinal: 1}
	w.rows.ExpiredAppend(&row)
	w.expired = append(w.expired, row)
}

func (w *world) step() {
	switch w.random.IntN(8) {
	case 0:
		w.account()
	case 1, 2:
		w.resolve()
	case 3:
		w.expire()
	default:
		w.transfer()
	}
}

func (w *world) kill() {
	id := w.id()
	w.rows.TransferKill(id)
	w.dead = append(w.dead, id)
}

// bar installs the generation before and plans the next one.
func (w *world) bar(checkpoint bool) {
	w.install()
	w.plan(checkpoint)
}

func (w *world) install() {
	w.levels.Collect(w.under)
	if w.under != nil {
		flushed := w.keeper.Install(w.under)
		w.levels.Install(w.under, &flushed)
		w.keeper.Installed()
	}
	w.check()
}

func (w *world) plan(checkpoint bool) {
	w.levels.PlanBegin(w.op, w.keeper.BarRows())
	if w.keeper.IsDue(checkpoint) {
		w.keeper.Plan(checkpoint)
	}
	w.levels.PlanMerges()
	w.under = w.levels.PlanEnd()
	w.Compact(w.under)
	w.op += uint64(w.Limits.BarOps)
}

func (w *world) check() {
	named := map[uint64]string{}
	name := func(address uint64, owner string) {
		if other, ok := named[address]; ok || !w.Free.IsAcquired(address) {
			w.t.Fatalf("block %d belongs to %s and %s", address, owner, other)
		}
		named[address] = owner
	}
	w.keeper.Check(name)
	w.levels.Check(name)
	if got := uint64(len(named)) + w.Free.WaitingCount(); got != w.Free.AcquiredCount() {
		w.t.Fatalf("%d blocks are named or wait, %d are acquired", got, w.Free.AcquiredCount())
	}
}

// answers compares what the rows say with the lists: everything, or some of it.
func (w *world) answers(all bool) {
	w.t.Helper()
	s, reader := w.rows, w.rows.Reader()
	for ordinal := range w.accounts {
		if !all && w.random.IntN(20) > 0 {
			continue
		}
		var got accounting.Account
		found, ok := s.AccountFind(w.accounts[ordinal].ID, &got)
		if !ok || int(found) != ordinal || got != w.accounts[ordinal] {
			w.t.Fatalf("account %d is %d (%v): %+v, want %+v", ordinal, found, ok, got, w.accounts[ordinal])
		}
		if s.AccountRead(found, &got); got != w.accounts[ordinal] {
			w.t.Fatalf("account %d is read as %+v, want %+v", ordinal, got, w.accounts[ordinal])
		}
	}
	for ordinal := range w.transfers {
		if !all && w.random.IntN(20) > 0 {
			continue
		}
		want := &w.transfers[ordinal]
		found, state := s.TransferFind(want.Transfer.ID)
		if state != accounting.TransferExists || int(found) != ordinal {
			w.t.Fatalf("transfer %d is %d (%d)", ordinal, found, state)
		}
		var transfer accounting.Transfer
		debit, credit := s.TransferRead(found, &transfer)
		if transfer != want.Transfer || debit != want.DebitOrdinal || credit != want.CreditOrdinal {
			w.t.Fatalf("transfer %d is read as %+v, want %+v", ordinal, transfer, want.Transfer)
		}
		if got := s.PendingRead(found); got != w.statuses[ordinal] {
			w.t.Fatalf("the status of %d is %d, want %d", ordinal, got, w.statuses[ordinal])
		}
		var row accounting.TransferRow
		if reader.Read(found, &row); row != *want {
			w.t.Fatalf("row %d is %+v, want %+v", ordinal, row, want)
		}
	}
	for _, id := range w.dead {
		if _, state := s.TransferFind(id); state != accounting.TransferDead {
			w.t.Fatalf("dead id %v has state %d", id, state)
		}
	}
	if _, state := s.TransferFind(w.id()); state != accounting.TransferAbsent {
		w.t.Fatal("an id that nobody has is found")
	}
	w.stamps()
}

// stamps compares ranges of timestamps with a walk.
func (w *world) stamps() {
	w.t.Helper()
	for range 10 {
		low, high := w.random.Uint64N(w.clock+3), w.random.Uint64N(w.clock+3)
		low, high = min(low, high), max(low, high)
		walk := func(count int, stamp func(i int) uint64) (first, end uint64) {
			for ; first < uint64(count) && stamp(int(first)) < low; first++ {
			}
			for ; end < uint64(count) && stamp(int(end)) <= high; end++ {
			}
			return first, end
		}
		reader := w.rows.Reader()
		first, end := reader.TransferRange(low, high)
		if a, b := walk(len(w.transfers), func(i int) uint64 { return w.transfers[i].Transfer.Timestamp }); first != a || end != b {
			w.t.Fatalf("transfers of %d..%d are %d..%d, want %d..%d", low, high, first, end, a, b)
		}
		first, end = reader.AccountRange(low, high)
		if a, b := walk(len(w.accounts), func(i int) uint64 { return w.accounts[i].Timestamp }); first != a || end != b {
			w.t.Fatalf("accounts of %d..%d are %d..%d, want %d..%d", low, high, first, end, a, b)
		}
		is := func(a accounting.Account) bool { return a.Timestamp == low }
		if w.rows.AccountStampExists(low) != slices.ContainsFunc(w.accounts, is) {
			w.t.Fatalf("timestamp %d of an account", low)
		}
		if w.rows.TransferStampExists(low) !=
			slices.ContainsFunc(w.transfers, func(r accounting.TransferRow) bool { return r.Transfer.Timestamp == low }) {
			w.t.Fatalf("timestamp %d of a transfer", low)
		}
	}
}

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
		accounts, transfers, statuses := slices.Clone(w.accounts), slices.Clone(w.transfers), slices.Clone(w.statuses)
		w.install() // nothing has come since
		w.keeper.CheckOnDisk()
		again := worldOn(t, random, w.Again())
		encoded := w.manifest()
		r := manifest.NewReader(encoded, math.MaxUint64, block.GeometryOf(w.Limits).PagesMax)
		head := r.Head()
		again.keeper.Decode(&r, &head)
		again.levels.Decode(&r, &head.Levels)
		if !r.End() {
			t.Fatal("the manifest is refused")
		}
		again.levels.OpenFilters(again.Grid)
		again.keeper.OpenTail(again.Grid)
		for _, run := range again.levels.Tree(storage.TreeTransferID).Runs() {
			again.keeper.IDStored(keys.IDOf(run.KeyMax()))
		}
		again.accounts, again.transfers, again.statuses, again.clock = accounts, transfers, statuses, w.clock
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
