package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ledger/accounting"
	"ledger/client"
)

// Payments is the result of the payments workload.
type Payments struct {
	Calls *Stage `json:"calls"` // all of them; events are calls
	Kinds []Kind `json:"kinds"`
	// ServerCPUNs is the processor time of a server that was started here, from the first call to
	// the last.
	ServerCPUNs int64 `json:"server_cpu_ns,omitempty"`
}

// Kind is one kind of calls; events are transfers, ids, or the rows of answers.
type Kind struct {
	Name string `json:"name"`
	*Stage
}

// shared is a recorder that many callers use, because one for each of them would be large.
type shared struct {
	mutex sync.Mutex
	*recorder
}

func newShared(o *Options, openLoop bool, ended func(*Interval)) *shared {
	return &shared{recorder: newRecorder(openLoop, &counts{}, &intervals{period: o.Interval, memory: o.ServerMemory, ended: ended})}
}

func (s *shared) record(doneAfter, latency, service time.Duration, eventsCount uint64, isCounted bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.recorder.record(doneAfter, latency, service, eventsCount, isCounted)
}

// paymentsRun is one run of the payments workload.
type paymentsRun struct {
	*load
	started   time.Time
	interval  time.Duration // between the calls of all callers, in an open loop
	all       *shared
	transfers *shared
	kinds     [callKindsCount]*shared
}

// runPayments makes all calls. Options.CallersCount callers share each session, and their calls
// travel in one request where they can.
func (l *load) runPayments(ctx context.Context, r *Result) error {
	o := &l.options
	shown := &stage{name: "payments", unit: "calls", count: o.CallCount}
	run := &paymentsRun{load: l}
	if o.CallRate > 0 {
		run.interval = max(time.Duration(float64(time.Second)/o.CallRate), time.Nanosecond)
	}
	run.all = newShared(o, o.CallRate > 0, l.progress.interval(shown))
	run.transfers = newShared(o, o.CallRate > 0, nil)
	for kind := range run.kinds {
		run.kinds[kind] = newShared(o, o.CallRate > 0, nil)
	}
	clients := make([]*client.Client, len(l.workers))
	for i, w := range l.workers {
		clients[i] = client.Share(w.session)
	}
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	cpuNs := int64(0)
	if o.ServerCPU != nil {
		cpuNs = o.ServerCPU()
	}
	l.progress.begin(shown, run.all.counts)
	err := run.callers(ctx, clients)
	duration := time.Since(run.started)
	l.progress.end()
	if err != nil {
		return fmt.Errorf("payments: %w", err)
	}
	r.Transfers = run.transfers.stage(duration)
	r.Payments = &Payments{Calls: run.all.stage(duration)}
	if o.ServerCPU != nil {
		r.Payments.ServerCPUNs = o.ServerCPU() - cpuNs
	}
	for kind, measured := range run.kinds {
		r.Payments.Kinds = append(r.Payments.Kinds, Kind{callKinds[kind].name, measured.stage(duration)})
	}
	return nil
}

// callers runs all callers to their end, and returns the first error.
func (p *paymentsRun) callers(ctx context.Context, clients []*client.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.started = time.Now()
	var running sync.WaitGroup
	callersCount := uint64(len(clients)) * uint64(p.options.CallersCount)
	for index := range callersCount {
		running.Go(func() {
			// Neighbours in time are callers of different sessions.
			at := index % uint64(len(clients))
			if err := p.caller(ctx, clients[at], newCaller(p.plan, index, callersCount)); err != nil {
				cancel(fmt.Errorf("client %d of %d: %w", at+1, len(clients), err)) // later errors are consequences of this one
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// caller makes the calls of one caller.
func (p *paymentsRun) caller(ctx context.Context, c *client.Client, calls *caller) error {
	for number := calls.index; number < p.options.CallCount; number += calls.count {
		one := calls.next()
		begun := time.Now()
		due := begun
		if p.interval > 0 {
			due = p.started.Add(time.Duration(number) * p.interval)
			if err := sleepUntil(ctx, due); err != nil {
				return err
			}
			begun = time.Now()
		}
		eventsCount, fault, err := one.make(ctx, c)
		if err != nil {
			return err
		}
		done := time.Now()
		if fault != "" {
			return fmt.Errorf("%s, call %d: %s: the database is not empty, or has other rules", callKinds[one.kind].name, number, fault)
		}
		doneAfter, latency, service := done.Sub(p.started), done.Sub(due), done.Sub(begun)
		isCounted := begun.Sub(p.started) >= p.options.Warmup
		p.all.record(doneAfter, latency, service, 1, isCounted)
		p.kinds[one.kind].record(doneAfter, latency, service, eventsCount, isCounted)
		if one.kind.isCreate() {
			p.transfers.record(doneAfter, latency, service, eventsCount, isCounted)
		}
	}
	return nil
}

// make makes the call and looks at its results. fault tells what is wrong with them.
func (one *call) make(ctx context.Context, c *client.Client) (eventsCount uint64, fault string, err error) {
	switch one.kind {
	case callLookupAccounts:
		rows, err := c.LookupAccounts(ctx, one.ids)
		return uint64(len(rows)), differs(len(rows), len(one.ids)), err
	case callLookupTransfers:
		rows, err := c.LookupTransfers(ctx, one.ids)
		return uint64(len(rows)), differs(len(rows), len(one.ids)), err
	case callNewest:
		rows, err := c.GetAccountTransfers(ctx, one.account)
		return uint64(len(rows)), one.wrongRow(rows, func(t *client.Transfer) bool {
			return (t.DebitAccountID == one.account.AccountID) != (t.CreditAccountID == one.account.AccountID)
		}), err
	case callSearchTwo, callSearchThree:
		rows, err := c.QueryTransfers(ctx, one.query)
		return uint64(len(rows)), one.wrongRow(rows, func(t *client.Transfer) bool {
			return t.UserData32 == one.query.UserData32 && t.Code == one.query.Code &&
				(one.query.UserData64 == 0 || t.UserData64 == one.query.UserData64)
		}), err
	}
	results, err := c.CreateTransfers(ctx, one.transfers)
	for i := range results {
		if results[i].Status != accounting.TransferStatusCreated {
			return 0, fmt.Sprintf("transfer %v: %v", one.transfers[i].ID, results[i].Status), err
		}
	}
	return uint64(len(results)), differs(len(results), len(one.transfers)), err
}

func differs(got, want int) string {
	if got != want {
		return fmt.Sprintf("%d results for %d events", got, want)
	}
	return ""
}

// wrongRow names the first row that does not belong to the answer: it does not match, or is not
// older than the one before.
func (one *call) wrongRow(rows []client.Transfer, matches func(*client.Transfer) bool) string {
	for i := range rows {
		if !matches(&rows[i]) || i > 0 && rows[i].Timestamp >= rows[i-1].Timestamp {
			return fmt.Sprintf("transfer %v at place %d does not belong there", rows[i].ID, i)
		}
	}
	return ""
}
