package rows

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
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

// resolve changes the status of a pending transfer. Some change twice.
func (w *world) resolve() {
	for range 20 {
		if len(w.statuses) == 0 {
			return
		}
		at := w.random.IntN(len(w.statuses))
		status := &w.statuses[at]
		switch {
		case *status == accounting.PendingOpen:
			*status = accounting.PendingPosted
		case *status == accounting.PendingPosted && w.random.IntN(3) == 0:
			*status = accounting.PendingVoided
		default:
			continue
		}
		w.rows.PendingWrite(accounting.TransferOrdinal(at), *status)
		return
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
		w.under = nil
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

// filled is a world with accounts, transfers and dead ids, whose last bar has written all of them.
func filled(t testing.TB, random *rand.Rand, bars int) *world {
	w := newWorld(t, random)
	for range 8 {
		w.account()
	}
	for bar := range bars {
		for range 10 + random.IntN(30) {
			w.transfer()
			if random.IntN(10) == 0 {
				w.kill()
			}
			if random.IntN(10) == 0 {
				w.account()
			}
		}
		w.resolve()
		w.bar(bar == bars-1)
	}
	return w
}

// reopened is a world with nothing in memory that goes on from the state of w. All that came since
// the last bar is lost to it.
func (w *world) reopened() *world {
	w.install()
	w.keeper.CheckOnDisk()
	encoded := w.manifest()
	again := worldOn(w.t, w.random, w.Again())
	r := manifest.NewReader(encoded, math.MaxUint64, block.GeometryOf(w.Limits).PagesMax)
	head := r.Head()
	again.keeper.Decode(&r, &head)
	again.levels.Decode(&r, &head.Levels)
	if !r.End() {
		w.t.Fatal("the manifest is refused")
	}
	again.levels.OpenFilters(again.Grid)
	again.keeper.OpenTail(again.Grid)
	for _, run := range again.levels.Tree(storage.TreeTransferID).Runs() {
		again.keeper.IDStored(keys.IDOf(run.KeyMax()))
	}
	again.accounts, again.transfers, again.statuses = slices.Clone(w.accounts), slices.Clone(w.transfers), slices.Clone(w.statuses)
	again.dead, again.clock, again.op = slices.Clone(w.dead), w.clock, w.op
	return again
}
