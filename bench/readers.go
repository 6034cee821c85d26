package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// heavyReader makes the queries of one heavy reader. Each asks for as many rows as fit a reply: all
// transfers from a moment on, and the newest ones of an account, in turn. Moments and accounts are
// drawn from what its replies have shown, so it also reads what was there before this load.
type heavyReader struct {
	*builder
	made    uint64
	first   uint64 // timestamps that were seen
	last    uint64
	account wire.U128 // zero: none was seen yet
}

func newHeavyReader(p plan, index uint64) *heavyReader {
	r := &heavyReader{builder: newBuilder(p)}
	r.source.Seed(mix(p.options.Seed+1), index)
	return r
}

// next fills in an event and returns its operation.
func (r *heavyReader) next(events []byte) wire.Operation {
	r.made++
	rowsMax := wire.RowsMax(wire.OperationQueryTransfers, wire.BodyBytesMax)
	if r.made%2 == 0 && !r.account.IsZero() {
		client.View[client.AccountFilter](events[:wire.AccountFilterBytes])[0] = client.AccountFilter{
			AccountID: r.account, Limit: rowsMax, Flags: accounting.FilterDebits | accounting.FilterCredits | accounting.FilterReversed,
		}
		return wire.OperationGetAccountTransfers
	}
	filter := client.QueryFilter{Ledger: ledgerNumber, Limit: rowsMax}
	if span := r.last - r.first; span > 0 {
		filter.TimestampMin = r.first + r.random.Uint64N(span)
	}
	client.View[client.QueryFilter](events[:wire.QueryFilterBytes])[0] = filter
	return wire.OperationQueryTransfers
}

// saw notes the rows of a reply.
func (r *heavyReader) saw(rows []client.Transfer) {
	for i := range rows {
		if r.first == 0 || rows[i].Timestamp < r.first {
			r.first = rows[i].Timestamp
		}
		r.last = max(r.last, rows[i].Timestamp)
	}
	if len(rows) > 0 {
		r.account = rows[r.random.IntN(len(rows))].CreditAccountID
	}
}

// beside runs work while Options.ReadersCount heavy readers ask without pause. It returns what they
// measured, with rows as events; nil without readers.
func (l *load) beside(ctx context.Context, work func(ctx context.Context) error) (*Stage, error) {
	if len(l.readers) == 0 {
		return nil, work(ctx)
	}
	readers := newShared(&l.options, false, nil)
	ended := errors.New("the load that readers run beside has ended")
	reading, stop := context.WithCancelCause(ctx)
	working, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	started := time.Now()
	var running sync.WaitGroup
	for i, w := range l.readers {
		running.Go(func() {
			err := w.read(reading, newHeavyReader(l.plan, uint64(i)), readers, started)
			if err != nil && context.Cause(reading) != ended { //nolint:errorlint // the very value, which is this call's own
				fail(err)
			}
		})
	}
	err := work(working)
	stop(ended)
	running.Wait()
	if cause := context.Cause(working); cause != nil {
		err = cause
	}
	return readers.stage(time.Since(started)), err
}

// read asks until the context ends.
func (w *worker) read(ctx context.Context, queries *heavyReader, to *shared, started time.Time) error {
	request := w.requests[0]
	for {
		operation := queries.next(request.Body())
		begun := time.Now()
		if _, err := w.session.Do(ctx, operation, request, request.EndBatch(operation, 1), w.reply); err != nil {
			return err
		}
		done := time.Now()
		results, err := w.reply.Results(operation)
		if err != nil {
			return err
		}
		rows := client.View[client.Transfer](results)
		queries.saw(rows)
		to.record(done.Sub(started), done.Sub(begun), done.Sub(begun), uint64(len(rows)), begun.Sub(started) >= w.builder.options.Warmup)
	}
}
