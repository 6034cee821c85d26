package bench

import (
	"fmt"

	"ledger/client"
	"ledger/wire"
)

// validateAccountsStage reads all accounts back and compares what does not change with time.
func (l *load) validateAccountsStage() *stage {
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
			}
			return nil
		},
	}
}

// validateTransfersStage reads all transfers back: they never change.
func (l *load) validateTransfersStage() *stage {
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
			}
			return nil
		},
	}
}

// expectedBytes is memory to compute a batch in.
func (w *worker) expectedBytes() []byte {
	if w.expected == nil {
		w.expected = client.NewMessage().Body()
	}
	return w.expected
}
