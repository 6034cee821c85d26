package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// Run puts the load on the server and measures it. The server should have no accounts and
// transfers, or the ids should be time-based.
//
// progress: shows the progress of each stage; may be nil.
// error:    of the options or the context, an eviction, or an event that was not accepted.
func Run(ctx context.Context, options Options, progress *Progress) (*Result, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &load{plan: newPlan(options), progress: progress}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	r := &Result{
		Options: options, StartedAt: time.Now().UTC(),
		Machine: Machine{runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()},
	}
	var err error
	if r.Accounts, err = l.run(ctx, l.accountsStage()); err != nil {
		return nil, err
	}
	r.Readers, err = l.beside(ctx, func(ctx context.Context) (err error) {
		if options.Workload == WorkloadPayments {
			return l.runPayments(ctx, r)
		}
		r.Transfers, err = l.run(ctx, l.transfersStage())
		return err
	})
	if err != nil {
		return nil, err
	}
	if options.Workload == WorkloadPayments {
		return r, nil // its sessions have ended, and it has queries of its own
	}
	if options.QueryCount > 0 {
		if r.Queries, err = l.run(ctx, l.queriesStage()); err != nil {
			return nil, err
		}
	}
	if options.Validate {
		sums := newBalances(&l.plan)
		for _, s := range []*stage{l.validateTransfersStage(sums), l.validateAccountsStage(sums)} {
			if _, err := l.run(ctx, s); err != nil {
				return nil, err
			}
		}
		r.Validated = &Validated{options.AccountCount, options.TransferCount}
	}
	return r, nil
}

// load is the clients and their common data.
type load struct {
	plan
	workers  []*worker
	readers  []*worker // heavy readers beside them
	progress *Progress
}

// worker is one client.
type worker struct {
	builder  *builder
	session  *client.Session
	requests [2]*client.Message // the second one for building ahead
	reply    *client.Message
	expected []byte // of a validated batch
}

// stage is one kind of requests.
type stage struct {
	name      string
	unit      string // of events, for the display
	operation wire.Operation
	count     uint64 // events
	batch     uint64 // events per request, at most
	// build fills a request's events and returns their number.
	build func(w *worker, batch, first, count uint64, events []byte) (eventsCount int)
	// check checks the results.
	check     func(w *worker, batch, first, count uint64, results []byte) error
	interval  time.Duration // between batches of all clients, in an open loop
	delay     time.Duration
	warmup    time.Duration
	ahead     bool
	nextBatch atomic.Uint64
}

func (s *stage) batches() uint64 { return (s.count + s.batch - 1) / s.batch }

func (l *load) open(ctx context.Context) error {
	all := make([]*worker, l.options.ClientsCount+l.options.ReadersCount)
	l.workers, l.readers = all[:l.options.ClientsCount], all[l.options.ClientsCount:]
	// Like any client, this waits for a server that is not there, or that has another cluster. The
	// user should know.
	late := time.AfterFunc(l.options.LateAfter, func() {
		if l.options.Late != nil {
			l.options.Late()
		}
	})
	defer late.Stop()
	return each(all, func(i int) error {
		session, err := client.Open(ctx, client.Options{Addresses: l.options.Addresses, Cluster: l.options.Cluster})
		if err != nil {
			return fmt.Errorf("client %d of %d: registering: %w", i+1, len(all), err)
		}
		all[i] = &worker{
			builder: newBuilder(l.plan), session: session,
			requests: [2]*client.Message{client.NewMessage(), client.NewMessage()}, reply: client.NewMessage(),
		}
		return nil
	})
}

func (l *load) close() {
	for _, some := range [][]*worker{l.workers, l.readers} {
		for _, w := range some {
			if w != nil {
				w.session.Close()
			}
		}
	}
}

// each runs work for all clients in parallel and returns the first error.
func each(workers []*worker, work func(i int) error) error {
	errors := make([]error, len(workers))
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() { errors[i] = work(i) })
	}
	running.Wait()
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs one stage on all clients.
func (l *load) run(ctx context.Context, s *stage) (*Stage, error) {
	bodyBytesMax := l.workers[0].session.BodyBytesMax()
	if eventsMax := uint64(wire.EventsMax(s.operation, bodyBytesMax)); s.operation.Class() != wire.ClassQuery && s.batch > eventsMax {
		return nil, fmt.Errorf("%s: batches of %d: the server takes at most %d; lower --account-batch-count and "+
			"--transfer-batch-count, or start it without --development",
			s.name, s.batch, eventsMax)
	}
	total := &counts{}
	intervals := &intervals{period: l.options.Interval, memory: l.options.ServerMemory, ended: l.progress.interval(s)}
	recorders := make([]*recorder, len(l.workers))
	for i := range recorders {
		recorders[i] = newRecorder(s.interval > 0, total, intervals)
	}
	l.progress.begin(s, total)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := time.Now()
	err := each(l.workers, func(i int) error {
		err := l.workers[i].run(ctx, s, recorders[i], started)
		if err != nil {
			cancel(fmt.Errorf("client %d of %d: %w", i+1, len(l.workers), err)) // the other clients' errors are consequences of this one
		}
		return err
	})
	if err != nil {
		err = context.Cause(ctx)
	}
	duration := time.Since(started)
	l.progress.end()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	for _, other := range recorders[1:] {
		recorders[0].merge(other)
	}
	return recorders[0].stage(duration), nil
}

// run sends batches until there are no more.
func (w *worker) run(ctx context.Context, s *stage, recorder *recorder, started time.Time) error {
	batch, current := s.nextBatch.Add(1)-1, 0
	bodyBytes := w.prepare(s, batch, current)
	for bodyBytes > 0 {
		begun := time.Now()
		due := begun
		if s.interval > 0 {
			due = started.Add(time.Duration(batch) * s.interval)
			if err := sleepUntil(ctx, due); err != nil {
				return err
			}
			begun = time.Now()
		}
		if err := w.session.Begin(ctx, s.operation, w.requests[current], bodyBytes, w.reply); err != nil {
			return err
		}
		nextBatch, nextBodyBytes := uint64(0), 0
		if s.ahead {
			nextBatch = s.nextBatch.Add(1) - 1
			nextBodyBytes = w.prepare(s, nextBatch, 1-current)
		}
		if _, err := w.session.Wait(ctx); err != nil {
			return err
		}
		done := time.Now()
		if s.ahead { // building may have taken longer than the answer
			done = begun.Add(w.session.Latency())
		}
		first, count := s.events(batch)
		recorder.record(done.Sub(started), done.Sub(due), done.Sub(begun), count, begun.Sub(started) >= s.warmup)
		results, err := w.reply.Results(s.operation)
		if err != nil {
			return err
		}
		if err := s.check(w, batch, first, count, results); err != nil {
			return err
		}
		if s.ahead {
			batch, bodyBytes, current = nextBatch, nextBodyBytes, 1-current
			continue
		}
		if s.delay > 0 {
			if err := sleepUntil(ctx, time.Now().Add(s.delay)); err != nil {
				return err
			}
		}
		batch = s.nextBatch.Add(1) - 1
		bodyBytes = w.prepare(s, batch, current)
	}
	return nil
}

// events returns the events of a batch.
func (s *stage) events(batch uint64) (first, count uint64) {
	first = batch * s.batch
	return first, min(s.batch, s.count-first)
}

// prepare builds a batch and returns the length of its body. It returns 0 after the last batch.
func (w *worker) prepare(s *stage, batch uint64, into int) (bodyBytes int) {
	if batch >= s.batches() {
		return 0
	}
	first, count := s.events(batch)
	message := w.requests[into]
	eventsCount := s.build(w, batch, first, count, message.Body())
	return message.EndBatch(s.operation, eventsCount)
}

func (l *load) accountsStage() *stage {
	return &stage{
		name: "create accounts", unit: "accounts", operation: wire.OperationCreateAccounts,
		count: l.options.AccountCount, batch: uint64(l.options.AccountBatchCount),
		build: func(w *worker, batch, first, count uint64, events []byte) int {
			w.builder.accounts(batch, first, client.View[client.Account](events)[:count])
			return int(count)
		},
		check: func(_ *worker, _, first, count uint64, results []byte) error {
			rows := client.View[client.CreateAccountResult](results)
			for i := range rows {
				if rows[i].Status != accounting.AccountStatusCreated {
					return fmt.Errorf("account %d: %v: the database is not empty, or has other rules", first+uint64(i), rows[i].Status)
				}
			}
			return lengthIs(len(rows), count)
		},
	}
}

func (l *load) transfersStage() *stage {
	s := &stage{
		name: "create transfers", unit: "transfers", operation: wire.OperationCreateTransfers,
		count: l.options.TransferCount, batch: uint64(l.options.TransferBatchCount), delay: l.options.TransferBatchDelay,
		ahead: l.options.BuildAhead && l.options.TransferRate == 0, warmup: l.options.Warmup,
		build: func(w *worker, batch, first, count uint64, events []byte) int {
			w.builder.transfers(batch, first, client.View[client.Transfer](events)[:count])
			return int(count)
		},
		check: func(_ *worker, _, first, count uint64, results []byte) error {
			rows := client.View[client.CreateTransferResult](results)
			for i := range rows {
				if rows[i].Status != accounting.TransferStatusCreated {
					return fmt.Errorf("transfer %d: %v: the database is not empty, or has other rules", first+uint64(i), rows[i].Status)
				}
			}
			return lengthIs(len(rows), count)
		},
	}
	if rate := l.options.TransferRate; rate > 0 {
		s.interval = max(time.Duration(float64(s.batch)/rate*float64(time.Second)), time.Nanosecond)
	}
	return s
}

func (l *load) queriesStage() *stage {
	return &stage{
		name: "query", unit: "queries", operation: wire.OperationGetAccountTransfers, count: l.options.QueryCount, batch: 1,
		build: func(w *worker, _, first, _ uint64, events []byte) int {
			client.View[client.AccountFilter](events[:wire.AccountFilterBytes])[0] = w.builder.query(first)
			return 1
		},
		check: func(w *worker, _, first, _ uint64, results []byte) error {
			account := w.builder.query(first).AccountID
			for _, row := range client.View[client.Transfer](results) {
				if (row.DebitAccountID == account) == (row.CreditAccountID == account) {
					return fmt.Errorf("query %d: transfer %v is not one of account %v", first, row.ID, account)
				}
			}
			return nil
		},
	}
}

// lengthIs demands one result for each event.
func lengthIs(got int, want uint64) error {
	if uint64(got) != want {
		return fmt.Errorf("%d results for %d events", got, want)
	}
	return nil
}
