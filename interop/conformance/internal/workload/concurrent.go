package workload

import (
	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// Lanes run at the same time, so nothing that one does may show up in another: each
// has a ledger, accounts and ids of its own.
const (
	maxLanes    = 48
	firstLedger = 1000
	idsPerLane  = 1_000_000
)

// concurrentNext queues a parallel step of many lanes, then looks at the accounts.
func concurrentNext(g *Generator) {
	g.script++
	if g.script == 1 {
		g.mix = mixes["basic"]()
		for i := range maxLanes {
			g.lanes = append(g.lanes, newModel(uint64(i+1)*idsPerLane))
		}
	}
	lanes := g.between(2, maxLanes)
	if g.chance(0.5) {
		lanes = maxLanes
	}
	step := &corpus.Step{Kind: corpus.Parallel}
	// In most steps all lanes do the same: only equal operations share a message.
	var same proto.Op
	if g.chance(0.7) {
		same = proto.Op(g.choose(laneCalls))
	}
	for i := range lanes {
		step.Lanes = append(step.Lanes, g.laneOf(i, same))
	}
	g.queue = append(g.queue, step)
	if g.chance(0.3) {
		g.lookAtLanes()
	}
}

var laneCalls = weights{
	{"create_transfers", 50}, {"create_accounts", 8}, {"lookup_accounts", 12},
	{"lookup_transfers", 10}, {"get_account_transfers", 8}, {"get_account_balances", 4},
	{"query_accounts", 4}, {"query_transfers", 6},
}

// laneOf makes up the calls of a lane: of one operation, or of any for "".
func (g *Generator) laneOf(i int, same proto.Op) []corpus.Exchange {
	outer := g.model
	g.model, g.lane = g.lanes[i], firstLedger+uint32(i)
	defer func() { g.model, g.lane = outer, 0 }()
	g.mix = mixes[pick(g, "basic", "chains", "two-phase", "limits", "balancing", "idempotency", "closing")]()
	g.mix.batch = [2]int{1, 20}

	var lane []corpus.Exchange
	add := func(request proto.Request) {
		lane = append(lane, corpus.Exchange{Request: g.numbered(request)})
	}
	if len(g.model.accounts) < 4 {
		add(g.createAccounts(6))
		return lane
	}
	for range g.between(1, 4) {
		op := same
		if op == "" {
			op = proto.Op(g.choose(laneCalls))
		}
		add(g.laneRequest(op))
	}
	return lane
}

// laneRequest makes up a request whose reply depends on the lane's ledger only.
func (g *Generator) laneRequest(op proto.Op) proto.Request {
	request := g.request(op)
	if request.QueryFilter != nil {
		request.QueryFilter.Ledger = g.lane
		request.QueryFilter.Limit = min(request.QueryFilter.Limit, 100)
	}
	if request.AccountFilter != nil {
		request.AccountFilter.Limit = min(request.AccountFilter.Limit, 100)
	}
	for i := range request.Accounts {
		request.Accounts[i].Ledger = g.lane
	}
	return request
}

// lookAtLanes queues lookups of all accounts of all lanes.
func (g *Generator) lookAtLanes() {
	outer := g.model
	for _, lane := range g.lanes {
		g.model = lane
		for _, request := range g.allAccounts() {
			g.call(request)
		}
	}
	g.model = outer
}
