package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ledger/accounting"
)

// SinkOf takes rows; the last one is of that timestamp. After an error, nothing counts as written.
type SinkOf[E any] interface {
	Write(rows []E, last uint64) error
}

// Sink takes lines. It is File, or Stream.
type Sink = SinkOf[byte]

// Stream is a sink that keeps nothing, such as stdout.
type Stream struct{ Out io.Writer }

// Write implements Sink. An error is final, because a part of a line may have been taken.
func (s Stream) Write(lines []byte, _ uint64) error {
	if _, err := s.Out.Write(lines); err != nil {
		return Final(err)
	}
	return nil
}

// finalError is an error of a sink that another try cannot mend.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Final marks an error of a sink that another try cannot mend. It ends the job.
func Final(err error) error { return &finalError{err} }

func isFinal(err error) bool {
	final := (*finalError)(nil)
	return errors.As(err, &final)
}

// ElsewhereError says that a sink does not follow the timestamp that the job has reached: it has
// lost rows, or has some from another job. The job goes on behind Last.
type ElsewhereError struct{ Last uint64 }

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("the last timestamp of the sink is %d", e.Last)
}

// BatchOf is what a source has behind a timestamp.
type BatchOf[E any] struct {
	Rows  []E    // or, with E byte, the bytes of their lines
	Count int    // of rows
	Last  uint64 // timestamp of the last row
}

// Batch is a batch of lines.
type Batch = BatchOf[byte]

// SourceOf appends to rows what comes behind the timestamp after, at most limit rows of it. It
// waits for a server that does not answer. No rows mean that there is no more at present.
type SourceOf[E any] func(ctx context.Context, after uint64, limit uint32, rows []E) (BatchOf[E], error)

// Source is a source of lines.
type Source = SourceOf[byte]

// Append makes a batch of rows, which form turns into what the sink takes.
//
// error: their timestamps do not rise.
func Append[R, E any](out []E, after uint64, rows []R, timestamp func(*R) uint64, form func([]E, *R) []E) (BatchOf[E], error) {
	for i := range rows {
		next := timestamp(&rows[i])
		if next <= after {
			return BatchOf[E]{}, fmt.Errorf("the server sent timestamp %d behind %d: their order is broken", next, after)
		}
		after = next
		out = form(out, &rows[i])
	}
	return BatchOf[E]{out, len(rows), after}, nil
}

// Options of a job.
type Options struct {
	TimestampLast  uint64        // of the last row that is not wanted
	RowsMax        uint32        // of a batch
	IdleInterval   time.Duration // between looks for more, when there is none
	RequestsPerSec uint32        // at most; 0: no limit
	Follow         bool          // wait for more
	Messages       io.Writer
	Progress       func(Result) // is called after each batch; nil: nobody is interested
}

// Pauses before a sink is tried again.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 10 * time.Second
)

// Result is what a job did.
type Result struct {
	Count uint64 // of lines
	Last  uint64 // timestamp of the last line
}

// Run copies from a source to a sink until there is no more, or until ctx ends if it follows.
//
// error: of the source, or a final one of the sink. The end of ctx is none.
func Run[E any](ctx context.Context, source SourceOf[E], sink SinkOf[E], options Options) (result Result, err error) {
	result.Last = options.TimestampLast
	var rows []E
	paced := pacer(options.RequestsPerSec)
	for result.Last < accounting.TimestampMax {
		if !paced(ctx) {
			return result, nil
		}
		batch, err := source(ctx, result.Last, options.RowsMax, rows[:0])
		switch {
		case ctx.Err() != nil:
			return result, nil
		case err != nil:
			return result, err
		case batch.Count == 0 && !options.Follow:
			return result, nil
		case batch.Count == 0:
			err = idle(ctx, sink, options.Messages)
		default:
			err = Retry(ctx, options.Messages, func() error { return sink.Write(batch.Rows, batch.Last) })
			rows = batch.Rows // its memory is used again
		}
		switch elsewhere := (*ElsewhereError)(nil); {
		case errors.As(err, &elsewhere):
			result.Last = elsewhere.Last
			continue
		case err != nil && ctx.Err() != nil && !isFinal(err):
			return result, nil
		case err != nil:
			return result, err
		case batch.Count == 0:
			if !pause(ctx, options.IdleInterval) {
				return result, nil
			}
			continue
		}
		result.Last = batch.Last
		result.Count += uint64(batch.Count)
		if options.Progress != nil {
			options.Progress(result)
		}
	}
	return result, nil
}

// Idler is a sink that looks after itself while there is nothing to write. An error is as that of
// Write.
type Idler interface{ Idle() error }

func idle(ctx context.Context, sink any, messages io.Writer) error {
	if idler, ok := sink.(Idler); ok {
		return Retry(ctx, messages, idler.Idle)
	}
	return nil
}

// Retry tries something with a sink until it succeeds, with growing pauses, or until ctx ends.
//
// error: a final one, an ElsewhereError, or that of the last try before ctx ended.
func Retry(ctx context.Context, messages io.Writer, try func() error) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := try()
		elsewhere := (*ElsewhereError)(nil)
		if err == nil || isFinal(err) || errors.As(err, &elsewhere) || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(messages, "the sink fails (%v); nothing is lost, and it is tried again in %v\n", err, wait)
		if !pause(ctx, wait) {
			return err
		}
	}
}

// pause waits, and tells whether ctx goes on.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pacer returns a function that waits until the next request is due.
func pacer(perSec uint32) func(context.Context) bool {
	if perSec == 0 {
		return func(ctx context.Context) bool { return ctx.Err() == nil }
	}
	interval := time.Second / time.Duration(perSec)
	due := time.Now()
	return func(ctx context.Context) bool {
		isOn := pause(ctx, time.Until(due))
		due = time.Now().Add(interval)
		return isOn
	}
}
