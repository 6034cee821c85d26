// Package coverage counts what a corpus contains: operations, results and flags.
package coverage

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// Report counts what corpora contain.
type Report struct {
	Requests map[proto.Op]int
	Events   map[proto.Op]int
	Rows     map[proto.Op]int
	Empty    map[proto.Op]int            // replies without rows
	Errors   map[string]int              // by "operation error"
	Results  map[proto.Op]map[string]int // by status
	Flags    map[string]map[string]int   // by kind, then flag
	Changes  map[uint8]int               // change events by type
	Parallel int                         // requests in parallel steps
}

// New makes an empty report.
func New() *Report {
	return &Report{
		Requests: map[proto.Op]int{},
		Events:   map[proto.Op]int{},
		Rows:     map[proto.Op]int{},
		Empty:    map[proto.Op]int{},
		Errors:   map[string]int{},
		Results:  map[proto.Op]map[string]int{proto.CreateAccounts: {}, proto.CreateTransfers: {}},
		Flags: map[string]map[string]int{"account sent": {}, "account created": {},
			"transfer sent": {}, "transfer created": {}, "account filter": {}, "query filter": {}},
		Changes: map[uint8]int{},
	}
}

// Unreachable are the statuses that no request of the official client can bring
// about, with the reason.
var Unreachable = map[proto.Op]map[string]string{
	proto.CreateTransfers: {
		"overflows_timeout": "the timestamp plus the largest timeout (2^32-1 s) stays below 2^63 ns until the year 2126, " +
			"and imported transfers must have no timeout",
	},
}

// Add counts a step.
func (r *Report) Add(step *corpus.Step) {
	step.Exchanges(func(exchange *corpus.Exchange) {
		if step.Kind == corpus.Parallel {
			r.Parallel++
		}
		r.exchange(&exchange.Request, &exchange.Reply)
	})
}

func (r *Report) exchange(request *proto.Request, reply *proto.Reply) {
	r.Requests[request.Op]++
	r.Events[request.Op] += request.Events()
	r.Rows[request.Op] += reply.Rows()
	if reply.Error != "" {
		r.Errors[string(request.Op)+" "+reply.Error]++
	} else if reply.Rows() == 0 {
		r.Empty[request.Op]++
	}
	for i, result := range reply.Results {
		r.Results[request.Op][proto.StatusName(request.Op, result.Status)]++
		created := result.Status == proto.Created
		if request.Op == proto.CreateAccounts {
			r.flags("account", proto.AccountFlagNames, request.Accounts[i].Flags, created)
		} else {
			r.flags("transfer", proto.TransferFlagNames, request.Transfers[i].Flags, created)
		}
	}
	if f := request.AccountFilter; f != nil {
		count(r.Flags["account filter"], proto.AccountFilterFlagNames, uint64(f.Flags))
	}
	if f := request.QueryFilter; f != nil {
		count(r.Flags["query filter"], proto.QueryFilterFlagNames, uint64(f.Flags))
	}
	for i := range reply.Changes {
		r.Changes[reply.Changes[i].Type]++
	}
}

func (r *Report) flags(kind string, names []string, flags uint16, created bool) {
	count(r.Flags[kind+" sent"], names, uint64(flags))
	if created {
		count(r.Flags[kind+" created"], names, uint64(flags))
	}
}

func count(into map[string]int, names []string, flags uint64) {
	for bit, name := range names {
		if flags&(1<<bit) != 0 {
			into[name]++
		}
	}
	if flags>>len(names) != 0 {
		into["(unknown bits)"]++
	}
}

// Missing lists the statuses that can be reached but that the corpora do not have.
func (r *Report) Missing() []string {
	var missing []string
	for _, op := range []proto.Op{proto.CreateAccounts, proto.CreateTransfers} {
		for _, name := range proto.StatusNames(op) {
			if r.Results[op][name] == 0 && Unreachable[op][name] == "" {
				missing = append(missing, string(op)+" "+name)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// Hit tells how many of an operation's statuses occur.
func (r *Report) Hit(op proto.Op) int { return len(r.Results[op]) }

// Total is the number of requests and of events.
func (r *Report) Total() (requests, events int) {
	for _, op := range proto.Ops {
		requests += r.Requests[op]
		events += r.Events[op]
	}
	return requests, events
}

// Print writes the report as text.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "%-22s %10s %10s %10s %10s\n", "operation", "requests", "events", "rows", "empty")
	for _, op := range proto.Ops {
		fmt.Fprintf(out, "%-22s %10d %10d %10d %10d\n", op, r.Requests[op], r.Events[op], r.Rows[op], r.Empty[op])
	}
	fmt.Fprintf(out, "%-22s %10d\n", "in parallel steps", r.Parallel)
	for _, name := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(out, "error: %-40s %10d\n", name, r.Errors[name])
	}
	for _, op := range []proto.Op{proto.CreateAccounts, proto.CreateTransfers} {
		names := proto.StatusNames(op)
		fmt.Fprintf(out, "\n%s: %d of %d statuses\n", op, r.Hit(op), len(names))
		for _, number := range slices.Sorted(maps.Keys(names)) {
			fmt.Fprintf(out, "  %-55s %10d\n", names[number], r.Results[op][names[number]])
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Flags)) {
		fmt.Fprintf(out, "\n%s flags\n", kind)
		for _, name := range slices.Sorted(maps.Keys(r.Flags[kind])) {
			fmt.Fprintf(out, "  %-55s %10d\n", name, r.Flags[kind][name])
		}
	}
	fmt.Fprintf(out, "\nchange events by type\n")
	for _, kind := range slices.Sorted(maps.Keys(r.Changes)) {
		fmt.Fprintf(out, "  %-55d %10d\n", kind, r.Changes[kind])
	}
	for _, name := range r.Missing() {
		fmt.Fprintf(out, "\nMISSING: %s", name)
	}
	for op, names := range Unreachable {
		for name, reason := range names {
			fmt.Fprintf(out, "\nunreachable: %s %s: %s\n", op, name, reason)
		}
	}
}
