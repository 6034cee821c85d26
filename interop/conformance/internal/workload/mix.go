package workload

import "ledger/interop/conformance/internal/proto"

// A mix says what kinds of requests and events a workload has, and how often.
type mix struct {
	calls     weights // operations
	transfers weights // kinds of transfers, see transferOf
	batch     [2]int  // least and most events in a create request
	ledgers   int
	amounts   amountStyle
	faults    float64 // share of events with a fault
	chains    float64 // chance that a chain begins at an event
	resend    float64 // share of accounts that are sent again
	limited   float64 // share of accounts with a limit
	history   float64 // share of accounts with history
	closed    float64 // share of accounts that are created closed
	hot       float64 // chance to pick one of the first few accounts
	plainData float64 // share of user_data fields that are zero
	wideIDs   float64 // share of ids from the whole 128-bit range
	// badFilters is the share of filters that are invalid.
	badFilters float64
}

type amountStyle int

const (
	amountsSmall amountStyle = iota
	amountsAtLimit
	amountsHuge
)

// The names of calls in a mix, besides the operations.
const callAll = "lookup_all"

var ordinaryCalls = weights{
	{"create_transfers", 50}, {"create_accounts", 8}, {"lookup_accounts", 12},
	{"lookup_transfers", 8}, {"get_account_transfers", 6}, {"get_account_balances", 3},
	{"query_accounts", 3}, {"query_transfers", 4}, {"get_change_events", 2}, {callAll, 1},
}

var queryCalls = weights{
	{"create_transfers", 15}, {"create_accounts", 4}, {"lookup_accounts", 4},
	{"lookup_transfers", 4}, {"get_account_transfers", 25}, {"get_account_balances", 12},
	{"query_accounts", 20}, {"query_transfers", 25}, {"get_change_events", 8},
}

// ordinary is the mix that the others start from.
func ordinary() mix {
	return mix{
		calls:      ordinaryCalls,
		transfers:  weights{{"plain", 80}, {"pending", 8}, {"post", 4}, {"void", 3}, {"again", 4}, {"failed", 1}},
		batch:      [2]int{1, 12},
		ledgers:    3,
		faults:     0.08,
		chains:     0.02,
		resend:     0.1,
		limited:    0.1,
		history:    0.3,
		closed:     0.01,
		hot:        0.2,
		plainData:  0.5,
		wideIDs:    0.03,
		badFilters: 0.08,
	}
}

// mixes are the ordinary mix with something more of one thing.
var mixes = map[string]func() mix{
	"basic": ordinary,
	"chains": func() mix {
		m := ordinary()
		m.chains = 0.25
		m.batch = [2]int{1, 24}
		m.limited = 0.25
		m.faults = 0.05
		return m
	},
	"two-phase": func() mix {
		m := ordinary()
		m.transfers = weights{{"plain", 10}, {"pending", 40}, {"post", 25}, {"void", 15}, {"again", 8}, {"failed", 2}}
		m.faults = 0.12
		return m
	},
	"balancing": func() mix {
		m := ordinary()
		m.transfers = weights{{"plain", 35}, {"balancing", 40}, {"pending", 8}, {"post", 6}, {"void", 3}, {"again", 8}}
		m.limited = 0.4
		return m
	},
	"limits": func() mix {
		m := ordinary()
		m.transfers = weights{{"plain", 60}, {"pending", 15}, {"post", 8}, {"void", 5}, {"balancing", 6}, {"again", 3}, {"failed", 3}}
		m.limited = 0.7
		m.amounts = amountsAtLimit
		m.faults = 0.03
		return m
	},
	"closing": func() mix {
		m := ordinary()
		m.transfers = weights{{"plain", 35}, {"closing", 20}, {"pending", 8}, {"post", 10}, {"void", 22}, {"again", 4}, {"failed", 1}}
		m.closed = 0.1
		m.faults = 0.04
		return m
	},
	"history": func() mix {
		m := ordinary()
		m.calls = queryCalls
		m.calls = append(weights{{"get_account_balances", 60}, {"create_transfers", 20}}, m.calls...)
		m.history = 0.7
		m.hot = 0.5
		m.batch = [2]int{1, 30}
		m.faults = 0.03
		return m
	},
	"queries": func() mix {
		m := ordinary()
		m.calls = queryCalls
		m.plainData = 0.25
		m.batch = [2]int{1, 30}
		m.faults = 0.03
		m.badFilters = 0.15
		return m
	},
	"changes": func() mix {
		m := ordinary()
		m.calls = append(weights{{"get_change_events", 40}}, ordinaryCalls...)
		m.transfers = weights{{"plain", 40}, {"pending", 20}, {"post", 12}, {"void", 8}, {"balancing", 8}, {"closing", 6}, {"again", 6}}
		m.faults = 0.04
		return m
	},
	"idempotency": func() mix {
		m := ordinary()
		m.transfers = weights{{"plain", 22}, {"pending", 10}, {"post", 8}, {"void", 5}, {"balancing", 5}, {"closing", 2}, {"again", 36},
			{"failed", 12}}
		m.resend = 0.5
		m.limited = 0.3
		m.amounts = amountsAtLimit
		m.faults = 0.05
		return m
	},
	"overflow": func() mix {
		m := ordinary()
		m.calls = append(weights{{"create_accounts", 10}}, ordinaryCalls...)
		m.transfers = weights{{"plain", 40}, {"pending", 25}, {"post", 12}, {"void", 10}, {"balancing", 10}, {"again", 3}}
		m.amounts = amountsHuge
		m.faults = 0.02
		m.hot = 0
		m.limited = 0.15
		return m
	},
}

// ordinaryCall queues a request of the mix.
func (g *Generator) ordinaryCall() {
	name := g.choose(g.mix.calls)
	if name == callAll {
		for _, request := range g.allAccounts() {
			g.call(request)
		}
		return
	}
	g.call(g.request(proto.Op(name)))
}

// request makes up a request for an operation.
func (g *Generator) request(op proto.Op) proto.Request {
	events := g.between(g.mix.batch[0], g.mix.batch[1])
	if g.chance(0.01) {
		events = 0
	}
	switch op {
	case proto.CreateAccounts:
		return g.createAccounts(events)
	case proto.CreateTransfers:
		return g.createTransfers(events)
	case proto.LookupAccounts:
		return g.lookupAccounts(min(events, 12))
	case proto.LookupTransfers:
		return g.lookupTransfers(min(events, 12))
	case proto.QueryAccounts, proto.QueryTransfers:
		return g.queryFilter(op)
	case proto.GetChangeEvents:
		return g.changesFilter()
	}
	return g.accountFilter(op)
}

// firstAccounts queues a request that creates valid accounts to begin with.
func (g *Generator) firstAccounts(events int) {
	mix := g.mix
	g.mix.faults, g.mix.chains, g.mix.resend, g.mix.closed = 0, 0, 0, 0
	g.call(g.createAccounts(events))
	g.mix = mix
}

// useMix makes a profile of a single mix.
func useMix(name string) func(*Generator) {
	return func(g *Generator) {
		if g.script++; g.script == 1 {
			g.mix = mixes[name]()
			g.firstAccounts(20)
			return
		}
		g.ordinaryCall()
		if g.number >= g.requests {
			g.finalLookups()
		}
	}
}

// finalLookups compares the whole state of all accounts at the end.
func (g *Generator) finalLookups() {
	for _, request := range g.allAccounts() {
		g.call(request)
	}
}
