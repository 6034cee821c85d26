package workload

import (
	"math/rand/v2"

	"ledger/sim/model"
)

// IDOrder is the order of new ids.
type IDOrder uint8

// Orders of ids. Random ones use all 128 bits.
const (
	IDIncreasing IDOrder = iota
	IDDecreasing
	IDRandom
	idOrders
)

// transferKind is the kind of an event of create_transfers.
type transferKind int

const (
	kindSingle    transferKind = iota // a plain transfer
	kindPending                       // a pending one, often with a timeout of 1..3 s
	kindPost                          // posts a remembered pending one
	kindVoid                          // voids a remembered pending one
	kindBalancing                     // balancing on one side or both
	kindClosing                       // pending, and closes an account or two
	kindReopen                        // voids a closing one
	kindRepeat                        // a remembered transfer again, unchanged or with one field changed
	kindMistake                       // one field wrong
	kindWhale                         // amounts near 2^128 between accounts of a ledger of their own
	kindDead                          // an id that has failed permanently
	transferKinds
)

// Profile is the tendencies of a Generator. Shares are relative to their group, percents to
// everything.
type Profile struct {
	Accounts int // create accounts until about this many exist
	IDs      IDOrder

	OperationShares map[model.Operation]int // by base operation; create_accounts counts after the first Accounts
	TransferShares  [transferKinds]int

	DeprecatedPercent  int // requests that use a deprecated operation
	InvalidPercent     int // requests that the server has to refuse
	MultiBatchPercent  int // requests of several batches
	FullBatchPercent   int // batches as large as they may be
	BatchEventsMax     int // of the others
	ImportedPercent    int // create batches in import mode
	MistakePercent     int // account events with one thing wrong
	ChainPercent       int // events that start a chain
	ChainEventsMax     int
	ChainBreakPercent  int // chains in which an event is a mistake
	LimitedPercent     int // accounts with a limit on one side
	HistoryPercent     int
	LongHoldPercent    int // timeouts of an hour
	FilterWrongPercent int // invalid filters
	TrialPercent       int // accounts with a code that only some releases accept

	LedgersCount uint32 // few ledgers and few values of user data and codes, so that queries find something
	ValuesCount  uint64
}

// TypicalProfile mostly succeeds, like most of a simulation should.
func TypicalProfile() Profile {
	return Profile{
		Accounts: 40,
		IDs:      IDIncreasing,
		OperationShares: map[model.Operation]int{
			model.CreateAccounts: 4, model.CreateTransfers: 60, model.LookupAccounts: 8, model.LookupTransfers: 6,
			model.GetAccountTransfers: 6, model.GetAccountBalances: 5, model.QueryAccounts: 3, model.QueryTransfers: 5,
			model.GetChangeEvents: 4, model.Noop: 1,
		},
		TransferShares: [transferKinds]int{
			kindSingle: 40, kindPending: 20, kindPost: 12, kindVoid: 6, kindBalancing: 5, kindClosing: 2, kindReopen: 3,
			kindRepeat: 5, kindMistake: 4, kindWhale: 2, kindDead: 1,
		},
		DeprecatedPercent:  8,
		InvalidPercent:     1,
		MultiBatchPercent:  15,
		FullBatchPercent:   1,
		BatchEventsMax:     24,
		ImportedPercent:    8,
		MistakePercent:     8,
		ChainPercent:       8,
		ChainEventsMax:     5,
		ChainBreakPercent:  30,
		LimitedPercent:     20,
		HistoryPercent:     40,
		LongHoldPercent:    3,
		FilterWrongPercent: 8,
		LedgersCount:       2,
		ValuesCount:        3,
	}
}

// DrawProfile varies the typical profile: each value may stay, become zero, or grow.
func DrawProfile(random *rand.Rand) Profile {
	p := TypicalProfile()
	vary := func(value *int, most int) {
		switch random.IntN(4) {
		case 0:
			*value = 0
		case 1:
			*value = min(most, *value*(2+random.IntN(4)))
		}
	}
	p.Accounts = []int{2, 8, 40, 200, 1000}[random.IntN(5)]
	p.IDs = IDOrder(random.IntN(int(idOrders)))
	for o := model.GetChangeEvents; o <= model.CreateTransfers; o++ { // a fixed order: maps have none
		if share, ok := p.OperationShares[o]; ok && o != model.CreateTransfers {
			vary(&share, 60)
			p.OperationShares[o] = share
		}
	}
	for kind := range p.TransferShares {
		vary(&p.TransferShares[kind], 60)
	}
	p.TransferShares[kindSingle] = max(p.TransferShares[kindSingle], 10)
	vary(&p.DeprecatedPercent, 60)
	vary(&p.InvalidPercent, 5)
	vary(&p.MultiBatchPercent, 60)
	vary(&p.FullBatchPercent, 10)
	p.BatchEventsMax = []int{1, 4, 24, 100}[random.IntN(4)]
	vary(&p.ImportedPercent, 40)
	vary(&p.MistakePercent, 30)
	vary(&p.ChainPercent, 40)
	p.ChainEventsMax = 2 + random.IntN(12)
	vary(&p.ChainBreakPercent, 60)
	vary(&p.LimitedPercent, 60)
	vary(&p.HistoryPercent, 100)
	p.LongHoldPercent = []int{0, 3, 3, 50}[random.IntN(4)]
	vary(&p.FilterWrongPercent, 30)
	p.LedgersCount = 1 + random.Uint32N(4)
	p.ValuesCount = 1 + random.Uint64N(6)
	return p
}
