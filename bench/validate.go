package bench

import (
	"fmt"
	"sync/atomic"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// balances are, for each account, the sums of the transfers that were read back.
type balances struct {
	indexOf map[wire.U128]uint64
	sums    []balanceSums
}

// balanceSums of one account. Pending amounts are upper bounds, because all of them expire.
type balanceSums struct {
	debitsPosted, creditsPosted, debitsPending, creditsPending atomic.Uint64
}

func newBalances(p *plan) *balances {
	b := &balances{indexOf: make(map[wire.U128]uint64, p.options.AccountCount), sums: make([]balanceSums, p.options.AccountCount)}
	for i := range p.options.AccountCount {
		b.indexOf[p.accountID(i)] = i
	}
	return b
}

// add counts a transfer.
func (b *balances) add(t *client.Transfer) {
	debit, credit := &b.sums[b.indexOf[t.DebitAccountID]], &b.sums[b.indexOf[t.CreditAccountID]]
	if t.Flags&accounting.TransferPending != 0 {
		debit.debitsPending.Add(t.Amount.Lo)
		credit.creditsPending.Add(t.Amount.Lo)
		return
	}
	debit.debitsPosted.Add(t.Amount.Lo)
	credit.creditsPosted.Add(t.Amount.Lo)
}

// check compares an account's balances with the sums of its transfers.
func (b *balances) check(index uint64, a *client.Account) error {
	sums := &b.sums[index]
	for _, balance := range []struct {
		name    string
		got     wire.U128
		want    uint64
		orLower bool
	}{
		{"debits_posted", a.DebitsPosted, sums.debitsPosted.Load(), false},
		{"credits_posted", a.CreditsPosted, sums.creditsPosted.Load(), false},
		{"debits_pending", a.DebitsPending, sums.debitsPending.Load(), true},
		{"credits_pending", a.CreditsPending, sums.creditsPending.Load(), true},
	} {
		if balance.got.Hi != 0 || balance.got.Lo > balance.want || balance.got.Lo < balance.want && !balance.orLower {
			return fmt.Errorf("account %d has %s %v, want %d: what its transfers add up to", index, balance.name, balance.got, balance.want)
		}
	}
	return nil
}

// validateAccountsStage reads all accounts back and compares them, balances included.
func (l *load) validateAccountsStage(sums *balances) *stage {
	return &stage{
		name: "validate accounts", unit: "accounts", operation: wire.OperationLookupAccounts,
		count: l.options.AccountCount, batch: uint64(l.options.AccountBatchCount),
		build: func(w *worker, _, first, count uint64, events []byte) int {
			ids := client.View[wire.U128](events)
			for i := range count {
				ids[i] = w.builder.accountID(first + i)
			}
			return int(count)
		},
		check: func(w *worker, batch, first, count uint64, results []byte) error {
			rows := client.View[client.Account](results)
			if err := lengthIs(len(rows), count); err != nil {
				return err
			}
			expected := client.View[client.Account](w.expectedBytes())[:count]
			w.builder.accounts(batch, first, expected)
			for i := range rows {
				row := rows[i]
				row.DebitsPending, row.DebitsPosted, row.CreditsPending, row.CreditsPosted = wire.U128{}, wire.U128{}, wire.U128{}, wire.U128{}
				if !l.options.FlagImported {
					row.Timestamp = 0
				}
				if row != expected[i] {
					return fmt.Errorf("account %d is %+v, want %+v", first+uint64(i), rows[i], expected[i])
				}
				if err := sums.check(first+uint64(i), &rows[i]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// validateTransfersStage reads back all transfers, which never change, and adds them up.
func (l *load) validateTransfersStage(sums *balances) *stage {
	return &stage{
		name: "validate transfers", unit: "transfers", operation: wire.OperationLookupTransfers,
		count: l.options.TransferCount, batch: uint64(l.options.TransferBatchCount),
		build: func(w *worker, _, first, count uint64, events []byte) int {
			ids := client.View[wire.U128](events)
			for i := range count {
				ids[i] = w.builder.id(first + i)
			}
			return int(count)
		},
		check: func(w *worker, batch, first, count uint64, results []byte) error {
			rows := client.View[client.Transfer](results)
			if err := lengthIs(len(rows), count); err != nil {
				return err
			}
			expected := client.View[client.Transfer](w.expectedBytes())[:count]
			w.builder.transfers(batch, first, expected)
			for i := range rows {
				row := rows[i]
				if !l.options.FlagImported {
					row.Timestamp = 0
				}
				if row != expected[i] {
					return fmt.Errorf("transfer %d is %+v, want %+v", first+uint64(i), rows[i], expected[i])
				}
				sums.add(&rows[i])
			}
			return nil
		},
	}
}

// expectedBytes is memory in which a batch is computed.
func (w *worker) expectedBytes() []byte {
	if w.expected == nil {
		w.expected = client.NewMessage().Body()
	}
	return w.expected
}
