package sim

import (
	"math/rand/v2"

	"ledger/sim/model"
	"ledger/sim/workload"
)

// auditor queries the whole state: every account and transfer by id, and by every field by which
// they can be found. The judge compares the replies.
type auditor struct {
	requests []workload.Request
	next     int
}

var _ workload.Source = (*auditor)(nil)

// The number of queries of each kind for a large state.
const (
	auditAccountsMax = 24
	auditWindowsMax  = 4
)

func newAuditor(m *model.Machine, l model.Limits, random *rand.Rand) *auditor {
	a := &auditor{}
	var ids []model.Number
	for _, account := range m.Accounts() {
		ids = append(ids, account.ID)
	}
	a.lookups(model.LookupAccounts, ids, l)
	ids = ids[:0]
	for _, transfer := range m.Transfers() {
		ids = append(ids, transfer.ID)
	}
	a.lookups(model.LookupTransfers, ids, l)

	accounts := m.Accounts()
	for _, i := range random.Perm(len(accounts))[:min(len(accounts), auditAccountsMax)] {
		f := model.AccountFilter{AccountID: accounts[i].ID, Limit: 8189, Flags: model.FilterDebits | model.FilterCredits}
		f.Flags |= uint32(random.IntN(2)) * model.FilterReversed
		a.ask(model.GetAccountTransfers, f.Append(nil))
		a.ask(model.GetAccountBalances, f.Append(nil))
	}
	q := model.QueryFilter{Limit: 8189}
	a.ask(model.QueryAccounts, q.Append(nil))
	a.ask(model.QueryTransfers, q.Append(nil))
	for _, by := range sample(random, accounts, auditWindowsMax) {
		a.ask(model.QueryAccounts, (&model.QueryFilter{Limit: 8189, Ledger: by.Ledger}).Append(nil))
		a.ask(model.QueryAccounts, (&model.QueryFilter{Limit: 8189, Code: by.Code}).Append(nil))
		a.ask(model.QueryAccounts, (&model.QueryFilter{Limit: 8189, UserData128: by.UserData128, UserData64: by.UserData64}).Append(nil))
		a.ask(model.QueryAccounts, (&model.QueryFilter{Limit: 8189, UserData32: by.UserData32, Flags: model.QueryReversed}).Append(nil))
	}
	for _, by := range sample(random, m.Transfers(), auditWindowsMax) {
		a.ask(model.QueryTransfers, (&model.QueryFilter{Limit: 8189, Ledger: by.Ledger, Flags: model.QueryReversed}).Append(nil))
		a.ask(model.QueryTransfers, (&model.QueryFilter{Limit: 8189, Code: by.Code}).Append(nil))
		a.ask(model.QueryTransfers, (&model.QueryFilter{Limit: 8189, UserData128: by.UserData128}).Append(nil))
		a.ask(model.QueryTransfers, (&model.QueryFilter{Limit: 8189, UserData64: by.UserData64, UserData32: by.UserData32}).Append(nil))
	}
	stamps := m.EventStamps()
	rows := l.RowsMax(model.GetChangeEvents)
	windows := 0
	for from := 0; from < len(stamps) && windows < 16; from, windows = from+rows, windows+1 {
		a.ask(model.GetChangeEvents, (&model.ChangesFilter{TimestampMin: stamps[from], Limit: 8189}).Append(nil))
	}
	return a
}

func sample[T any](random *rand.Rand, list []T, most int) (out []T) {
	for _, i := range random.Perm(len(list))[:min(len(list), most)] {
		out = append(out, list[i])
	}
	return out
}

func (a *auditor) lookups(o model.Operation, ids []model.Number, l model.Limits) {
	most := min(l.EventsMax(o), 2000)
	for len(ids) > 0 {
		n := min(len(ids), most)
		batch := make([]byte, 16*n)
		for i, id := range ids[:n] {
			id.Put(batch[16*i:])
		}
		a.ask(o, batch)
		ids = ids[n:]
	}
}

func (a *auditor) ask(o model.Operation, batch []byte) {
	body := batch
	if o.IsMultiBatch() {
		body = model.Join([][]byte{batch}, o.EventBytes())
	}
	a.requests = append(a.requests, workload.Request{Operation: o, Body: body})
}

// Next implements workload.Source.
func (a *auditor) Next(uint64) workload.Request {
	if a.next == len(a.requests) {
		return workload.Request{Operation: model.Noop, Body: []byte{}}
	}
	a.next++
	return a.requests[a.next-1]
}

// Observe implements workload.Source.
func (a *auditor) Observe(workload.Request, uint64, []byte) {}
