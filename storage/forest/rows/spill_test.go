package rows

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/internal/seeded"
)

// testKey is the key of tables that a test makes by itself.
var testKey = hashing.NewKey(1)

// Goal: a spill against a map: any account leaves it at any time, and the others are still found.
func TestSpill(t *testing.T) {
	random := seeded.Rand(t)
	a := arena.New()
	defer a.Close()
	const most = 60
	s := newSpill(a, &testKey, 1, most, "test")
	for range 200 {
		of := map[accounting.AccountOrdinal]uint64{}
		spread := 1 << (1 + random.IntN(9))
		for range random.IntN(500) {
			ordinal := accounting.AccountOrdinal(random.IntN(spread))
			if len(of) < most && random.IntN(2) == 0 {
				of[ordinal] = random.Uint64()
				s.put(ordinal, &accounting.Account{UserData64: of[ordinal]})
				continue
			}
			var account accounting.Account
			want, wantOk := of[ordinal]
			if ok := s.take(ordinal, &account); ok != wantOk || account.UserData64 != want {
				t.Fatalf("account %d is %d (%v), want %d (%v)", ordinal, account.UserData64, ok, want, wantOk)
			}
			delete(of, ordinal)
		}
		if int(s.count) != len(of) || s.count != s.of.Count() {
			t.Fatalf("%d accounts, %d in the table, want %d", s.count, s.of.Count(), len(of))
		}
		for ordinal, want := range of {
			if index, ok := s.of.Find(uint64(ordinal)); !ok || s.accounts[index].Ordinal != ordinal || s.accounts[index].Account.UserData64 != want {
				t.Fatalf("account %d is not found", ordinal)
			}
		}
		s.reset()
		for ordinal := range of {
			if s.take(ordinal, new(accounting.Account)) || s.of.Count() != 0 {
				t.Fatalf("account %d is there after a reset, or the table of ordinals is not empty", ordinal)
			}
		}
	}
}
