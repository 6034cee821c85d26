package merge

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/wire"
)

// changing is a memtable of rows and expiries.
type changing struct {
	source
	changes storage.Changes
}

func (c *changing) Changes(out *storage.Changes) { *out = c.changes }

// Balances are those of an account's last event, be it a transfer or an expiry, and of both sides.
func TestFlushBalances(t *testing.T) {
	l := small()
	for round := range uint64(200) {
		rng := rand.New(rand.NewPCG(seeded.Seed(t), round))
		src := &changing{}
		c := &src.changes
		accounts := 1 + rng.Uint32N(1<<rng.IntN(14))
		from := rng.Uint32() >> (1 + rng.IntN(31))
		expiries := rng.IntN(4)
		type change struct {
			expired bool
			index   int
			credit  uint32
		}
		last := map[uint32]change{}
		number := uint64(0)
		balances := func() accounting.Balances { // of a change: its number and another
			number++
			return accounting.Balances{DebitsPending: wire.U128From(number), CreditsPosted: wire.U128{Hi: rng.Uint64()},
				Flags: accounting.AccountFlags(rng.Uint32())}
		}
		for range 1 + rng.IntN(1<<rng.IntN(13)) {
			debit, credit := from+rng.Uint32N(accounts), from+rng.Uint32N(accounts)
			if rng.IntN(4) < expiries {
				c.Expired = append(c.Expired, accounting.ExpiredRow{
					DebitOrdinal: accounting.AccountOrdinal(debit), CreditOrdinal: accounting.AccountOrdinal(credit), DebitAfter: balances(),
					CreditAfter: balances(),
				})
				c.ExpiredAt = append(c.ExpiredAt, uint32(len(c.Debits)))
				last[debit], last[credit] = change{true, len(c.Expired) - 1, 0}, change{true, len(c.Expired) - 1, 1}
			} else {
				c.Debits, c.Credits = append(c.Debits, debit), append(c.Credits, credit)
				c.Rows = append(c.Rows, accounting.TransferRow{DebitAfter: balances(), CreditAfter: balances()})
				last[debit], last[credit] = change{false, len(c.Debits) - 1, 0}, change{false, len(c.Debits) - 1, 1}
			}
		}
		var want []entry
		for account, at := range last {
			e := entry{value: make([]byte, storage.BalancesBytes)}
			binary.BigEndian.PutUint32(e.key[:], account)
			debit, credit := (*accounting.Balances)(nil), (*accounting.Balances)(nil)
			if at.expired {
				debit, credit = &c.Expired[at.index].DebitAfter, &c.Expired[at.index].CreditAfter
			} else {
				debit, credit = &c.Rows[at.index].DebitAfter, &c.Rows[at.index].CreditAfter
			}
			storage.PutBalances(e.value, [...]*accounting.Balances{debit, credit}[at.credit])
			want = append(want, e)
		}
		memory := arena.New()
		disk := newDisk(l, rng)
		m := New(l, memory, cluster, disk, disk)
		m.breath = 1 + rng.IntN(500)
		job := jobOf(storage.JobFlushTree, storage.TreeBalances, 4000, 1)
		job.Source = src
		m.Run(&job, &waits{})
		if fault := m.Drain(&waits{}); fault != nil {
			t.Fatal(fault)
		}
		equalEntries(t, "balances", read(t, l, disk, storage.TreeBalances, job.Tables), sorted(want))
		memory.Close()
	}
}
