package cluster

import (
	"testing"

	"github.com/anishathalye/porcupine"
	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// TestJudge tests the judge of histories: it accepts what a right cluster may answer, and refuses
// each kind of wrong answer. Account 5 may owe, and account 0 may not.
func TestJudge(t *testing.T) {
	pay := func(id uint64, debit, credit int, amount uint64) *call {
		return &call{moves: []move{{id, debit, credit, amount}}}
	}
	again := func(c *call) *call { return &call{moves: c.moves, isRepeat: true} }
	is := func(status tb.CreateTransferStatus, timestamp uint64) *reply {
		return &reply{moves: []outcome{{status: status, timestamp: timestamp}}}
	}
	have := func(debtor, owner uint64) *reply {
		r := &reply{}
		r.balances[5].debits, r.balances[0].credits = debtor, owner
		return r
	}
	look := func(id uint64) *call { return &call{lookups: []uint64{id}} }
	seen := func(timestamp uint64) *reply { return &reply{lookups: []uint64{timestamp}} }
	lend, lendMore := pay(1, 5, 0, 100), pay(2, 5, 0, 100)
	final := map[uint64]uint64{1: 10, 2: 20}
	op := func(client int, called int64, in *call, returned int64, out *reply) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned}
	}
	created, exists := tb.TransferCreated, tb.TransferExists
	cases := []struct {
		name string
		want porcupine.CheckResult
		ops  []porcupine.Operation
	}{
		{"one after the other", porcupine.Ok, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)), op(0, 3, &call{}, 4, have(100, 100)),
			op(0, 5, lendMore, 6, is(created, 20)), op(0, 7, look(2), 8, seen(20))}},
		{"a read during a write may be old", porcupine.Ok, []porcupine.Operation{op(0, 1, lend, 9, is(created, 10)),
			op(1, 2, &call{}, 3, have(0, 0))}},
		{"a stale read", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)), op(1, 3, &call{}, 4, have(0, 0))}},
		{"a stale lookup", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)), op(1, 3, look(1), 4, seen(0))}},
		{"back and forth", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 9, is(created, 10)), op(1, 2, &call{}, 3, have(100, 100)),
			op(1, 4, &call{}, 5, have(0, 0))}},
		{"a lost write", porcupine.Illegal, []porcupine.Operation{op(0, 1, pay(3, 5, 0, 1), 2, is(created, 15))}},
		{"a doubled write", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)), op(0, 3, &call{}, 4, have(200, 200))}},
		{"created twice", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)),
			op(0, 3, again(lend), 4, is(created, 10))}},
		{"exists without a repeat", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)),
			op(0, 3, lend, 4, is(exists, 10))}},
		{"a repeat that finds the first", porcupine.Ok, []porcupine.Operation{op(0, 1, lend, int64(never), is(created, 10)),
			op(0, 3, again(lend), 4, is(exists, 10))}},
		{"exists before it was sent", porcupine.Illegal, []porcupine.Operation{op(1, 1, again(lend), 2, is(exists, 10)),
			op(0, 3, lend, 4, is(created, 10))}},
		{"times that do not rise", porcupine.Illegal, []porcupine.Operation{op(0, 1, lendMore, 2, is(created, 20)),
			op(0, 3, lend, 4, is(created, 10))}},
		{"refused for want of money", porcupine.Ok, []porcupine.Operation{op(0, 1, pay(3, 0, 1, 50), 2, is(tb.TransferExceedsCredits, 0)),
			op(0, 3, lend, 4, is(created, 10))}},
		{"refused with enough money", porcupine.Illegal, []porcupine.Operation{op(0, 1, lend, 2, is(created, 10)),
			op(0, 3, pay(3, 0, 1, 50), 4, is(tb.TransferExceedsCredits, 0))}},
	}
	for _, one := range cases {
		if got := porcupine.CheckOperations(model(state{}, final), one.ops); got != (one.want == porcupine.Ok) {
			t.Errorf("%s: accepted %v, want %v", one.name, got, one.want)
		}
	}
}
