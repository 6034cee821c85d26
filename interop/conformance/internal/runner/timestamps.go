package runner

import (
	"slices"

	"ledger/interop/conformance/internal/proto"
)

// resolve returns a copy of the request in which all timestamps are numbers.
func (r *Runner) resolve(request *proto.Request) (*proto.Request, error) {
	resolved := *request
	var failed error
	set := func(t *proto.Time) {
		value, err := r.times.Resolve(*t)
		if err != nil {
			failed = err
		}
		*t = proto.Plain(value)
	}
	switch request.Op {
	case proto.CreateAccounts:
		resolved.Accounts = slices.Clone(request.Accounts)
		for i := range resolved.Accounts {
			r.resolveEvent(&resolved.Accounts[i].Timestamp, set)
		}
	case proto.CreateTransfers:
		resolved.Transfers = slices.Clone(request.Transfers)
		for i := range resolved.Transfers {
			r.resolveEvent(&resolved.Transfers[i].Timestamp, set)
		}
	case proto.GetAccountTransfers, proto.GetAccountBalances:
		filter := *request.AccountFilter
		set(&filter.TimestampMin)
		set(&filter.TimestampMax)
		resolved.AccountFilter = &filter
	case proto.QueryAccounts, proto.QueryTransfers:
		filter := *request.QueryFilter
		set(&filter.TimestampMin)
		set(&filter.TimestampMax)
		resolved.QueryFilter = &filter
	case proto.GetChangeEvents:
		filter := *request.ChangesFilter
		set(&filter.TimestampMin)
		set(&filter.TimestampMax)
		resolved.ChangesFilter = &filter
	}
	return &resolved, failed
}

// resolveEvent resolves the timestamp that the user chose for an event, and
// remembers how the corpus writes it.
func (r *Runner) resolveEvent(t *proto.Time, set func(*proto.Time)) {
	if t.IsZero() {
		return
	}
	name := *t
	set(t)
	r.times.Alias(name, t.Value)
}

// name replaces the numbers in the reply's timestamps by names. It returns a
// complaint if that is not possible in a consistent way.
func (r *Runner) name(request *proto.Request, reply, expected *proto.Reply, after uint64) string {
	n := namer{times: r.times, recording: expected == nil}
	if expected == nil {
		expected = &proto.Reply{}
	}
	if complaint := r.nameResults(request, reply.Results, after); complaint != "" {
		return complaint
	}
	nameRows(&n, proto.AccountColumns, reply.Accounts, expected.Accounts)
	nameRows(&n, proto.TransferColumns, reply.Transfers, expected.Transfers)
	nameRows(&n, proto.BalanceColumns, reply.Balances, expected.Balances)
	nameRows(&n, proto.ChangeColumns, reply.Changes, expected.Changes)
	if n.complaint == "" {
		n.complaint = r.inOrder(reply.Changes)
	}
	return n.complaint
}

// inOrder checks that change events come in the order of their timestamps. This
// also puts fresh timestamps in their place between the known ones.
func (r *Runner) inOrder(changes []proto.Change) string {
	var previous uint64
	for i := range changes {
		value, err := r.times.Resolve(changes[i].Timestamp)
		if err != nil || value <= previous {
			return "change events are not in the order of their timestamps"
		}
		previous = value
	}
	return ""
}

// nameResults names the timestamps in the results of create_accounts and
// create_transfers. A timestamp that has no name is the event's own.
func (r *Runner) nameResults(request *proto.Request, results []proto.Result, after uint64) string {
	if len(results) > request.Events() {
		return "there are more results than events"
	}
	for i := range results {
		value := results[i].Timestamp.Value
		name, known := r.times.Name(value)
		if !known {
			name = proto.At(request.Number, i)
			if err := r.times.Bind(name, value, after); err != nil {
				return err.Error()
			}
			after = value
		}
		results[i].Timestamp = name
	}
	return ""
}

// A namer names the timestamps in rows.
type namer struct {
	times     namingTable
	recording bool
	complaint string
}

// namingTable is the part of clock.Table that a namer needs.
type namingTable interface {
	Name(uint64) (proto.Time, bool)
	IsBound(proto.Time) bool
	Bind(name proto.Time, value, after uint64) error
	BindFresh(uint64) (proto.Time, error)
}

func nameRows[T any](n *namer, columns []proto.Column[T], rows, expected []T) {
	for i := range rows {
		for _, column := range columns {
			if column.Time == nil {
				continue
			}
			var hint proto.Time
			if i < len(expected) {
				hint = *column.Time(&expected[i])
			}
			n.name(column.Time(&rows[i]), hint)
		}
	}
}

// name names one timestamp. One that is seen for the first time gets the expected
// name if that is a fresh one; otherwise it stays a number and shows up as a
// difference.
func (n *namer) name(t *proto.Time, expected proto.Time) {
	value := t.Value
	if name, known := n.times.Name(value); known {
		*t = name
		return
	}
	if n.recording {
		name, err := n.times.BindFresh(value)
		if err != nil {
			n.complaint = err.Error()
		}
		*t = name
		return
	}
	if expected.Request == proto.Fresh && !n.times.IsBound(expected) {
		if err := n.times.Bind(expected, value, 0); err != nil {
			n.complaint = err.Error()
			return
		}
		*t = expected
	}
}
