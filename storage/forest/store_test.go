package forest

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/internal/seeded"
	"ledger/storage"
)

// twins are the forest and a plain store that get the same calls.
type twins struct {
	t      testing.TB
	random *rand.Rand
	w      *world
	plain  *memory.Store
	clock  uint64
	ids    []accounting.U128 // of transfers, dead ones included
	open   []openPending
}

type openPending struct {
	ordinal accounting.TransferOrdinal
	atNs    uint64
}

func (p *twins) id() accounting.U128 {
	id := accounting.U128{Lo: p.random.Uint64(), Hi: p.random.Uint64()}
	switch p.random.IntN(3) {
	case 0:
		id.Hi = 0
	case 1:
		id.Lo = 5 // fences with equal halves
	}
	return id
}

func (p *twins) account() {
	p.clock += uint64(1 + p.random.IntN(3))
	a := accounting.Account{
		ID: p.id(), UserData128: accounting.U128{Hi: uint64(p.random.IntN(3))}, UserData64: uint64(p.random.IntN(4)),
		UserData32: uint32(p.random.IntN(2)),
		Ledger:     uint32(1 + p.random.IntN(2)), Code: uint16(1 + p.random.IntN(5)), Timestamp: p.clock,
	}
	if got, want := p.w.forest.AccountAppend(&a), p.plain.AccountAppend(&a); got != want {
		p.t.Fatalf("account %d, want %d", got, want)
	}
}

func (p *twins) change(ordinal accounting.AccountOrdinal) accounting.Balances {
	var got, want accounting.Account
	p.w.forest.AccountRead(ordinal, &got)
	p.plain.AccountRead(ordinal, &want)
	if got != want {
		p.t.Fatalf("account %d is %+v, want %+v", ordinal, got, want)
	}
	got.DebitsPosted.Lo += uint64(1 + p.random.IntN(1000))
	got.CreditsPending.Hi++
	got.Flags ^= accounting.AccountClosed
	p.w.forest.AccountWrite(ordinal, &got)
	p.plain.AccountWrite(ordinal, &got)
	return accounting.Balances{DebitsPending: got.DebitsPending, DebitsPosted: got.DebitsPosted,
		CreditsPending: got.CreditsPending, CreditsPosted: got.CreditsPosted, Flags: got.Flags}
}

func (p *twins) pick() accounting.AccountOrdinal {
	count := int(p.w.forest.AccountsCount())
	if p.random.IntN(2) == 0 {
		return accounting.AccountOrdinal(p.random.IntN(min(count, 4))) // a few have many transfers
	}
	return accounting.AccountOrdinal(p.random.IntN(count))
}

func (p *twins) transfer() {
	p.clock += uint64(1 + p.random.IntN(3))
	r := p.random
	debit, credit := p.pick(), p.pick()
	if debit == credit {
		return
	}
	var a accounting.Account
	row := accounting.TransferRow{DebitOrdinal: debit, CreditOrdinal: credit, DebitAfter: p.change(debit), CreditAfter: p.change(credit)}
	t := &row.Transfer
	t.ID = p.id()
	p.plain.AccountRead(debit, &a)
	t.DebitAccountID = a.ID
	p.plain.AccountRead(credit, &a)
	t.CreditAccountID = a.ID
	t.Amount = accounting.U128{Lo: r.Uint64() >> r.IntN(64)}
	t.UserData128 = accounting.U128{Lo: uint64(r.IntN(3)), Hi: uint64(r.IntN(2))}
	t.UserData64, t.UserData32 = uint64(r.IntN(20)), uint32(r.IntN(200))
	t.Ledger, t.Code, t.Timestamp = 1, uint16(1+r.IntN(7)), p.clock
	if r.IntN(4) == 0 {
		t.Flags |= accounting.TransferPending
	}
	*p.w.forest.TransferRow(), *p.plain.TransferRow() = row, row
	got, want := p.w.forest.TransferAppend(), p.plain.TransferAppend()
	if got != want {
		p.t.Fatalf("transfer %d, want %d", got, want)
	}
	p.ids = append(p.ids, t.ID)
	if t.Flags&accounting.TransferPending != 0 {
		pending := openPending{got, p.clock + uint64(r.IntN(5000))}
		p.w.forest.ExpiryAdd(pending.atNs, pending.ordinal)
		p.plain.ExpiryAdd(pending.atNs, pending.ordinal)
		p.open = append(p.open, pending)
	}
}

// resolve posts a pending transfer, or lets the first one expire.
func (p *twins) resolve(expire bool) {
	if len(p.open) == 0 {
		return
	}
	at := p.random.IntN(len(p.open))
	pending := p.open[at]
	if expire {
		atNs, ordinal, ok := p.plain.ExpiryFirst()
		gotNs, got, gotOk := p.w.forest.ExpiryFirst()
		if atNs != gotNs || ordinal != got || ok != gotOk {
			p.t.Fatalf("first expiry is %d of %d (%v), want %d of %d (%v)", gotNs, got, gotOk, atNs, ordinal, ok)
		}
		for at = range p.open {
			if p.open[at].ordinal == ordinal {
				break
			}
		}
		pending = p.open[at]
	}
	p.open = append(p.open[:at], p.open[at+1:]...)
	if got, want := p.w.forest.PendingRead(pending.ordinal), p.plain.PendingRead(pending.ordinal); got != want {
		p.t.Fatalf("status of %d is %d, want %d", pending.ordinal, got, want)
	}
	status := accounting.PendingPosted
	if expire {
		status = accounting.PendingExpired
	}
	p.w.forest.PendingWrite(pending.ordinal, status)
	p.plain.PendingWrite(pending.ordinal, status)
	p.w.forest.ExpiryRemove(pending.atNs, pending.ordinal)
	p.plain.ExpiryRemove(pending.atNs, pending.ordinal)
	if expire {
		p.clock += 2
		row := accounting.ExpiredRow{Timestamp: p.clock, Pending: pending.ordinal, DebitAfter: p.change(0), CreditAfter: p.change(1),
			CreditOrdinal: 1}
		p.w.forest.ExpiredAppend(&row)
		p.plain.ExpiredAppend(&row)
		if p.random.IntN(3) == 0 {
			p.clock-- // the next transfer may hide the expiry
		}
	}
}

// chain makes changes that are rolled back more often than not.
func (p *twins) chain() {
	ids, open, clock := len(p.ids), append([]openPending(nil), p.open...), p.clock
	p.w.forest.ChainOpen()
	p.plain.ChainOpen()
	for range 1 + p.random.IntN(6) {
		switch p.random.IntN(5) {
		case 0:
			p.account()
		case 1:
			p.resolve(false)
		default:
			p.transfer()
		}
		if p.random.IntN(4) == 0 {
			p.first()
		}
	}
	if p.random.IntN(3) == 0 {
		p.w.forest.ChainCommit()
		p.plain.ChainCommit()
		return
	}
	p.w.forest.ChainRollback()
	p.plain.ChainRollback()
	p.ids, p.open, p.clock = p.ids[:ids], open, clock
}

func (p *twins) first() {
	atNs, ordinal, ok := p.plain.ExpiryFirst()
	gotNs, got, gotOk := p.w.forest.ExpiryFirst()
	if ok != gotOk || ok && (atNs != gotNs || ordinal != got) {
		p.t.Fatalf("first expiry is %d of %d (%v), want %d of %d (%v)", gotNs, got, gotOk, atNs, ordinal, ok)
	}
}

func (p *twins) find() {
	if len(p.ids) > 0 {
		id := p.ids[p.random.IntN(len(p.ids))]
		got, gotState := p.w.forest.TransferFind(id)
		want, wantState := p.plain.TransferFind(id)
		if gotState != wantState || gotState == accounting.TransferExists && got != want {
			p.t.Fatalf("id %v is %d (%d), want %d (%d)", id, got, gotState, want, wantState)
		}
		if gotState == accounting.TransferExists {
			var a, b accounting.Transfer
			ad, ac := p.w.forest.TransferRead(got, &a)
			bd, bc := p.plain.TransferRead(want, &b)
			if a != b || ad != bd || ac != bc {
				p.t.Fatalf("transfer %d is %+v, want %+v", got, a, b)
			}
		}
	}
	if _, state := p.w.forest.TransferFind(p.id()); state != accounting.TransferAbsent {
		p.t.Fatal("a new id is not absent")
	}
	stamp := p.stamp()
	if got, want := p.w.forest.TransferStampExists(stamp), p.plain.TransferStampExists(stamp); got != want {
		p.t.Fatalf("timestamp %d of a transfer: %v, want %v", stamp, got, want)
	}
	if got, want := p.w.forest.AccountStampExists(stamp), p.plain.AccountStampExists(stamp); got != want {
		p.t.Fatalf("timestamp %d of an account: %v, want %v", stamp, got, want)
	}
}

func (p *twins) stamp() uint64 { return uint64(p.random.Int64N(int64(p.clock) + 10)) }

// query compares one scan over transfers, one over accounts, one over events.
func (p *twins) query() {
	r := p.random
	some := func(n int) uint64 {
		if r.IntN(3) > 0 {
			return 0
		}
		return uint64(r.IntN(n))
	}
	scan := accounting.TransferScan{
		UserData128: accounting.U128{Lo: some(3), Hi: some(2)}, UserData64: some(20), UserData32: uint32(some(200)),
		Ledger: uint32(some(3)), Code: uint16(some(8)), Reversed: r.IntN(2) == 0, TimestampMin: 1, TimestampMax: 1<<63 - 1, LimitRows: 8189,
	}
	if r.IntN(2) == 0 {
		scan.ByAccount, scan.Account = true, p.pick()
		side := 1 + r.IntN(3)
		scan.Debits, scan.Credits = side&1 != 0, side&2 != 0
	}
	if r.IntN(2) == 0 {
		scan.TimestampMin, scan.TimestampMax = p.stamp(), p.stamp()
		if scan.TimestampMin > scan.TimestampMax {
			scan.TimestampMin, scan.TimestampMax = scan.TimestampMax, scan.TimestampMin
		}
	}
	p.w.forest.TransfersOpen(&scan)
	p.plain.TransfersOpen(&scan)
	for rows := 0; ; rows++ {
		var got, want accounting.TransferRow
		ok, wantOk := p.w.forest.TransfersNext(&got), p.plain.TransfersNext(&want)
		if ok != wantOk || ok && got != want {
			p.t.Fatalf("row %d of %+v is %v %+v\nwant %v %+v", rows, scan, ok, got, wantOk, want)
		}
		if !ok || rows > 300 && r.IntN(100) == 0 {
			break
		}
	}
	accounts := accounting.AccountScan{
		UserData128: accounting.U128{Hi: some(3)}, UserData64: some(4), UserData32: uint32(some(2)), Ledger: uint32(some(3)),
		Code:     uint16(some(6)),
		Reversed: scan.Reversed, TimestampMin: scan.TimestampMin, TimestampMax: scan.TimestampMax, LimitRows: 8189,
	}
	p.w.forest.AccountsOpen(&accounts)
	p.plain.AccountsOpen(&accounts)
	for {
		var got, want accounting.Account
		ok, wantOk := p.w.forest.AccountsNext(&got), p.plain.AccountsNext(&want)
		if ok != wantOk || ok && got != want {
			p.t.Fatalf("%+v: account %v %+v\nwant %v %+v", accounts, ok, got, wantOk, want)
		}
		if !ok {
			break
		}
	}
	p.w.forest.EventsOpen(scan.TimestampMin, scan.TimestampMax)
	p.plain.EventsOpen(scan.TimestampMin, scan.TimestampMax)
	for rows := 0; ; rows++ {
		var got, want accounting.EventRow
		ok, wantOk := p.w.forest.EventsNext(&got), p.plain.EventsNext(&want)
		if ok != wantOk || ok && got != want {
			p.t.Fatalf("event %d is %v %+v\nwant %v %+v", rows, ok, got, wantOk, want)
		}
		if !ok || rows > 300 && r.IntN(100) == 0 {
			break
		}
	}
}

// Goal: the answers of a plain store to every call, over trees of several levels: intersections of
// any fields, both directions, any range, while merges are under way; ids, statuses, expiries and
// chains that are rolled back; and after restarts.
func TestStoreAgainstPlainStore(t *testing.T) {
	random := seeded.Rand(t)
	ops := 3000
	if testing.Short() {
		ops = 700
	}
	l := tiny()
	p := &twins{t: t, random: random, w: newWorld(t, l, &memoryDisk{random: random}, storage.Checkpoint{}), plain: memory.New(64, 1024),
		clock: 100}
	shrink(p.w.forest)
	for range 10 {
		p.account()
	}
	quiet := false
	for op := range ops {
		if op%200 == 0 {
			quiet = random.IntN(3) == 0 // small flushes at checkpoints only
		}
		for range 1 + random.IntN(12) {
			switch n := random.IntN(20); {
			case n == 0:
				p.account()
			case n == 1:
				id := p.id()
				p.w.forest.TransferKill(id)
				p.plain.TransferKill(id)
				p.ids = append(p.ids, id)
			case n == 2:
				p.chain()
			case n < 5:
				p.resolve(n == 3)
			case quiet && n > 6:
			default:
				p.transfer()
			}
			p.first()
			p.find()
		}
		if random.IntN(4) == 0 {
			p.query()
		}
		p.w.ended()
	}
	c := p.w.forest.Counters()
	deepest := 0
	for i := range c.Trees {
		for level, runs := range c.Trees[i].Runs {
			if runs > 0 {
				deepest = max(deepest, level)
			}
		}
	}
	t.Logf("%d transfers, %d accounts, %d runs, level %d, %d merges, %d blocks, %d page waits",
		p.w.forest.TransfersCount(), p.w.forest.AccountsCount(), runsCount(&c), deepest, p.w.merges, c.BlocksAcquired, c.PageWaits)
	if !testing.Short() && deepest < 2 {
		t.Error("no tree has three levels: the test shows little")
	}
}
