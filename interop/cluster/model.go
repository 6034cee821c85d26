package cluster

import (
	"fmt"

	"github.com/anishathalye/porcupine"
	tb "github.com/tigerbeetle/tigerbeetle-go"
)

const (
	modelAccounts = 6
	// The first so many accounts must not owe: their debits may not exceed their credits. So the
	// answer to a transfer depends on what came before it.
	modelLimited = 4
)

// state of the model: the balances, and the time of the newest transfer. Times rise with every
// transfer that is created, so the time says which transfers exist.
type state struct {
	newest   uint64
	balances [modelAccounts]balance
}

type balance struct{ debits, credits uint64 }

// move is a transfer. Accounts count from 0.
type move struct {
	id            uint64
	debit, credit int
	amount        uint64
}

// outcome is the answer to a move, or to the lookup of one: its time is 0 if it does not exist.
type outcome struct {
	status    tb.CreateTransferStatus
	timestamp uint64
	isUnknown bool // nobody was told
}

// call is what a client asks: moves to be made, ids of moves to be looked up, or the balances.
type call struct {
	moves    []move
	lookups  []uint64
	isRepeat bool // its moves were sent before without an answer
}

type reply struct {
	moves    []outcome
	lookups  []uint64 // the time of each, or 0
	balances [modelAccounts]balance
}

// model is the sequential specification. final has the time of each transfer that exists.
func model(first state, final map[uint64]uint64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(before, input, output any) (bool, any) {
			s, c, r := before.(state), input.(*call), output.(*reply)
			switch {
			case c.moves != nil:
				for i := range c.moves {
					if !s.apply(&c.moves[i], &r.moves[i], c.isRepeat, final) {
						return false, before
					}
				}
				return true, s
			case c.lookups != nil:
				for i, id := range c.lookups {
					want := final[id]
					if want > s.newest {
						want = 0
					}
					if r.lookups[i] != want {
						return false, before
					}
				}
				return true, s
			}
			return r.balances == s.balances, s
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", *input.(*call), *output.(*reply)) },
	}
}

// apply makes a move if its outcome is right in this state.
func (s *state) apply(m *move, o *outcome, isRepeat bool, final map[uint64]uint64) bool {
	if o.isUnknown {
		return true
	}
	debit, credit := &s.balances[m.debit], &s.balances[m.credit]
	exceeds := m.debit < modelLimited && debit.debits+m.amount > debit.credits
	switch o.status {
	case tb.TransferCreated:
		if exceeds || o.timestamp <= s.newest || final[m.id] != o.timestamp {
			return false
		}
		s.newest = o.timestamp
		debit.debits += m.amount
		credit.credits += m.amount
		return true
	case tb.TransferExists:
		return isRepeat && o.timestamp <= s.newest && final[m.id] == o.timestamp
	case tb.TransferExceedsCredits:
		return exceeds && final[m.id] == 0
	case tb.TransferIDAlreadyFailed:
		return isRepeat && final[m.id] == 0
	}
	return false
}
