package storetest

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
)

// forgetful is a store that loses one kind of change. A pair must notice.
type forgetful struct {
	*memory.Store
	rollbacks, expiries bool
}

func (s *forgetful) ChainRollback() {
	if s.rollbacks {
		s.ChainCommit()
		return
	}
	s.Store.ChainRollback()
}

func (s *forgetful) ExpiryFirst() (uint64, accounting.TransferOrdinal, bool) {
	if s.expiries {
		return 0, 0, false
	}
	return s.Store.ExpiryFirst()
}

// quiet takes failures for the test of the test.
type quiet struct {
	testing.TB
	failed bool
}

func (q *quiet) Helper()               {}
func (q *quiet) Fatalf(string, ...any) { q.failed = true; panic(q) }
func (q *quiet) run(f func()) (failed bool) {
	defer func() {
		if recovered := recover(); recovered != nil && recovered != any(q) {
			panic(recovered)
		}
		failed = q.failed
	}()
	f()
	return
}

// Goal: a right store passes, and each kind of fault is found.
func TestPairFindsFaults(t *testing.T) {
	tests := []struct {
		name  string
		store *forgetful
		fails bool
	}{
		{"right", &forgetful{}, false},
		{"rollbacks", &forgetful{rollbacks: true}, true},
		{"expiries", &forgetful{expiries: true}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.store.Store = memory.New(0, 0)
			judge := &quiet{TB: t}
			failed := judge.run(func() {
				pair := NewPair(judge, limits.Production(), test.store, rand.New(rand.NewPCG(1, 0)))
				for step := range 1500 {
					pair.step()
					if step == 700 {
						pair.Reopened(test.store)
					}
				}
			})
			if failed != test.fails {
				t.Fatalf("failed %v, want %v", failed, test.fails)
			}
		})
	}
}
