package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/client"
	"ledger/client/clienttest"
	"ledger/internal/seeded"
	"ledger/wire"
)

// payments is a small payments workload.
func payments(addresses []string) Options {
	o := small(addresses)
	o.Workload, o.IDOrder, o.CallCount, o.CallersCount, o.ClientsCount = WorkloadPayments, IDOrderRandom, 4000, 4, 3
	return o
}

// keep copies a call, whose slices the caller uses again.
func keep(one call) call {
	one.transfers, one.ids = slices.Clone(one.transfers), slices.Clone(one.ids)
	return one
}

// Goal: the calls of a caller are a function of the seed and the caller's index, whatever others
// do. Another seed, or another caller, makes other calls.
func TestCallsRepeat(t *testing.T) {
	random := seeded.Rand(t)
	o := payments(nil)
	o.Seed = random.Uint64()
	p := newPlan(o)
	one, other, neighbour := newCaller(p, 3, 12), newCaller(p, 3, 12), newCaller(p, 4, 12)
	o.Seed++
	elsewhere := newCaller(newPlan(o), 3, 12)
	equal := func(a, b call) bool {
		return a.kind == b.kind && slices.Equal(a.transfers, b.transfers) && slices.Equal(a.ids, b.ids) &&
			a.account == b.account && a.query == b.query
	}
	same := [2]int{}
	for range 500 {
		want := keep(one.next())
		for i, different := range []*caller{neighbour, elsewhere} {
			if equal(want, different.next()) {
				same[i]++
			}
		}
		if got := other.next(); !equal(want, got) {
			t.Fatalf("a call is %+v, and %+v the second time", want, got)
		}
	}
	if same[0] > 10 || same[1] > 10 {
		t.Errorf("of 500 calls, %d are those of a neighbour, and %d of another seed", same[0], same[1])
	}
}

// Goal: the mix is what its table says: 12 of 100 calls read, lists have 1 to 50 events, all pay to
// a few accounts, and each post and void settles a pending transfer of this caller, once.
func TestCallsMix(t *testing.T) {
	o := payments(nil)
	o.AccountCount = 10_000
	c := newCaller(newPlan(o), 0, 1)
	const calls = 20_000
	counts, lengths := [callKindsCount]int{}, [listMax + 1]int{}
	open, toPayees, toAll := map[wire.U128]wire.U128{}, 0, 0
	for range calls {
		one := c.next()
		counts[one.kind]++
		lengths[max(len(one.transfers), len(one.ids))]++
		for _, tr := range one.transfers {
			switch one.kind {
			case callPay, callHold:
				toAll++
				for index := range o.payees() {
					if tr.CreditAccountID == c.accountID(index) {
						toPayees++
					}
				}
				if tr.DebitAccountID == tr.CreditAccountID {
					t.Fatalf("%+v pays to itself", tr)
				}
				if pending := tr.Flags == accounting.TransferPending; pending != (one.kind == callHold) || pending != (tr.Timeout > 0) {
					t.Fatalf("a transfer of a %s is %+v", callKinds[one.kind].name, tr)
				}
				if tr.Timeout == keptTimeoutS {
					open[tr.ID] = tr.Amount
				}
			default:
				held, isOpen := open[tr.PendingID]
				if !isOpen || held.Less(tr.Amount) {
					t.Fatalf("%+v settles %v", tr, held)
				}
				delete(open, tr.PendingID)
			}
		}
	}
	reads := calls - counts[callPay] - counts[callHold] - counts[callPost] - counts[callVoid]
	if reads < calls*11/100 || reads > calls*13/100 {
		t.Errorf("%d of %d calls read", reads, calls)
	}
	for kind, count := range counts {
		if want := calls * int(callKinds[kind].percent) / 100; count < want/2 || count > want*3/2 {
			t.Errorf("%d of %d calls are %s, want about %d", count, calls, callKinds[kind].name, want)
		}
	}
	if lengths[1] == 0 || lengths[listMax] == 0 || lengths[1] < lengths[listMax] {
		t.Errorf("lists of 1: %d, of %d: %d", lengths[1], listMax, lengths[listMax])
	}
	if toPayees < toAll*payeesPercent*8/1000 || toPayees > toAll*payeesPercent*12/1000 {
		t.Errorf("%d of %d payments to the accounts that all pay to", toPayees, toAll)
	}
	percents := uint32(0)
	for _, kind := range callKinds {
		percents += kind.percent
	}
	if percents != 100 {
		t.Errorf("the kinds are %d of 100 calls", percents)
	}
}

// Goal: the payments workload runs to its end in every form; each answer is what it should be, and
// each call is counted, in its kind.
func TestPaymentsRun(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"closed loop":  func(*Options) {},
		"open loop":    func(o *Options) { o.CallRate = 1e5 },
		"ids by time":  func(o *Options) { o.IDOrder = IDOrderTBID },
		"sequential":   func(o *Options) { o.IDOrder = IDOrderSequential },
		"readers":      func(o *Options) { o.ReadersCount = 2 },
		"few accounts": func(o *Options) { o.AccountCount = 2 },
		"few calls":    func(o *Options) { o.CallCount = 5 },
		"alone":        func(o *Options) { o.ClientsCount, o.CallersCount = 1, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := payments(startServer(t, clienttest.Options{}).Addresses())
			change(&o)
			r, err := Run(context.Background(), o, NewProgress(new(bytes.Buffer)))
			if err != nil {
				t.Fatal(err)
			}
			calls, transfers := uint64(0), uint64(0)
			for i, kind := range r.Payments.Kinds {
				calls += kind.RequestsCount
				if callKind(i).isCreate() {
					transfers += kind.EventsCount
				}
			}
			if all := r.Payments.Calls; calls != o.CallCount || all.RequestsCount != o.CallCount || all.Latency.Count != int64(o.CallCount) ||
				(all.Service != nil) != (o.CallRate > 0) {
				t.Errorf("%d calls of all kinds, %d in all, %d latencies; want %d", calls, all.RequestsCount, all.Latency.Count, o.CallCount)
			}
			if transfers == 0 || r.Transfers.EventsCount != transfers {
				t.Errorf("%d transfers, %d in all", transfers, r.Transfers.EventsCount)
			}
			if (r.Readers != nil) != (o.ReadersCount > 0) {
				t.Errorf("readers: %+v", r.Readers)
			}
		})
	}
}

// Goal: readers run beside a load of transfers, are counted in rows, and end with it.
func TestReadersBesideTransfers(t *testing.T) {
	o := small(startServer(t, clienttest.Options{}).Addresses())
	o.ReadersCount, o.TransferCount, o.TransferBatchCount, o.Validate, o.IDOrder = 2, 20_000, 100, true, IDOrderRandom
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Readers; s == nil || s.RequestsCount == 0 || s.EventsCount == 0 || r.Transfers.EventsCount != o.TransferCount {
		t.Errorf("readers %+v beside %d transfers", r.Readers, r.Transfers.EventsCount)
	}
}

// Goal: a payment that is not accepted ends the run with an error that says which and why.
func TestPaymentsFail(t *testing.T) {
	o := payments(startServer(t, clienttest.Options{}).Addresses())
	o.IDOrder, o.CallCount = IDOrderSequential, 200
	if _, err := Run(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
	l := &load{plan: newPlan(o)}
	l.options.Seed++ // other transfers, with the ids that exist
	defer l.close()
	if err := l.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := l.runPayments(context.Background(), &Result{}); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("error %v, want one that names the status", err)
	}
	one := call{kind: callNewest, account: client.AccountFilter{AccountID: wire.U128From(1)}}
	rows := []client.Transfer{{Timestamp: 5}, {Timestamp: 5}}
	always := func(*client.Transfer) bool { return true }
	if one.wrongRow(rows[:1], always) != "" || one.wrongRow(rows, always) == "" ||
		one.wrongRow(rows[:1], func(*client.Transfer) bool { return false }) == "" {
		t.Error("wrong rows are not found")
	}
}

// Goal: the report of payments in its three forms has a line for each kind of calls.
func TestPaymentsReports(t *testing.T) {
	o := payments(startServer(t, clienttest.Options{}).Addresses())
	cpu := int64(0)
	o.ServerCPU = func() int64 { cpu += 4e9; return cpu }
	o.CallRate, o.ReadersCount = 1e5, 1
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, page, data bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		`(?m)^4000 calls in \d+\.\d\d s$`, `(?m)^load offered = 100000 calls/s$`, `(?m)^load accepted = \d+ calls/s$`,
		`(?m)^server cpu per call = 1000\.0 us$`, `(?m)^all calls( +\d+){7}$`, `(?m)^20 newest( +\d+){7}$`, `(?m)^search by 3 fields( +\d+){7}$`,
		`(?m)^from sending`, `(?m)^1 readers: \d+ queries, \d+ rows/s$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text.String()) {
			t.Errorf("no line like %s in\n%s", pattern, text.String())
		}
	}
	var back Result
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || len(back.Payments.Kinds) != int(callKindsCount) ||
		back.Payments.Kinds[callNewest].Name != "20 newest" || back.Payments.Kinds[callNewest].RequestsCount == 0 {
		t.Errorf("read back: %v, %+v", err, back.Payments)
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if html := page.String(); !strings.Contains(html, "search by 3 fields") || !strings.Contains(html, "calls/s and") {
		t.Error("the page lacks the kinds of calls")
	}
}
