package model

import "fmt"

// CheckRollbacks makes every rollback compare the state with a full copy taken at its savepoint.
func (m *Machine) CheckRollbacks() { m.checkRollbacks = true }

// CheckBalances recomputes the balances of all accounts from the transfers and compares.
func (m *Machine) CheckBalances() error {
	type balances struct{ debitsPending, debitsPosted, creditsPending, creditsPosted Number }
	want := map[Number]balances{}
	for _, t := range m.transfersInOrder {
		debit, credit := want[t.DebitAccountID], want[t.CreditAccountID]
		switch {
		case t.Flags&TransferPending == 0 && t.Flags&TransferVoidPending == 0:
			debit.debitsPosted = mustPlus(debit.debitsPosted, t.Amount)
			credit.creditsPosted = mustPlus(credit.creditsPosted, t.Amount)
		case t.Flags&TransferPending != 0 && m.pending[t.Timestamp] == pendingOpen:
			debit.debitsPending = mustPlus(debit.debitsPending, t.Amount)
			credit.creditsPending = mustPlus(credit.creditsPending, t.Amount)
		}
		want[t.DebitAccountID], want[t.CreditAccountID] = debit, credit
	}
	for id, a := range m.accounts {
		if got := (balances{a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted}); got != want[id] {
			return fmt.Errorf("account %x has %x, its transfers add up to %x", id, got, want[id])
		}
	}
	return nil
}
