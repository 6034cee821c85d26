package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ledger/accounting"
)

// Sink takes lines; the last one is of that timestamp. It is File, or Stream. After an
// error, nothing counts as written.
type Sink interface {
	Write(lines []byte, last uint64) error
}

// Stream is a sink that keeps nothing, such as stdout.
type Stream struct{ Out io.Writer }

// Write implements Sink. An error is final, because a part of a line may have been taken.
func (s Stream) Write(lines []byte, _ uint64) error {
	if _, err := s.Out.Write(lines); err != nil {
		return &finalError{err}
	}
	return nil
}

// finalError is an error of a sink that another try cannot mend.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Batch is what a source has behind a timestamp.
type Batch struct {
	Lines []byte
	Count int    // of lines
	Last  uint64 // timestamp of the last line
}

// Source appends to lines what comes behind the timestamp after, at most limit lines of it. It
// waits for a server that does not answer. No lines mean that there is no more at present.
type Source func(ctx context.Context, after uint64, limit uint32, lines []byte) (Batch, error)

// Append makes a batch of rows.
//
// error: their timestamps do not rise.
func Append[R any](lines []byte, after uint64, rows []R, timestamp func(*R) uint64, line func([]byte, *R) []byte) (Batch, error) {
	for i := range rows {
		next := timestamp(&rows[i])
		if next <= after {
			return Batch{}, fmt.Errorf("the server sent timestamp %d behind %d: their order is broken", next, after)
		}
		after = next
		lines = line(lines, &rows[i])
	}
	return Batch{lines, len(rows), after}, nil
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
func Run(ctx context.Context, source Source, sink Sink, options Options) (result Result, err error) {
	result.Last = options.TimestampLast
	var lines []byte
	paced := pacer(options.RequestsPerSec)
	for result.Last < accounting.TimestampMax {
		if !paced(ctx) {
			return result, nil
		}
		batch, err := source(ctx, result.Last, options.RowsMax, lines[:0])
		switch {
		case ctx.Err() != nil:
			return result, nil
		case err != nil:
			return result, err
		case batch.Count == 0 && !options.Follow:
			return result, nil
		case batch.Count == 0:
			if !pause(ctx, options.IdleInterval) {
				return result, nil
			}
			continue
		}
		if isWritten, err := write(ctx, sink, batch.Lines, batch.Last, options.Messages); !isWritten {
			return result, err
		}
		lines = batch.Lines // its memory is used again
		result.Last = batch.Last
		result.Count += uint64(batch.Count)
		if options.Progress != nil {
			options.Progress(result)
		}
	}
	return result, nil
}

// write tries until the sink has taken the lines, or until ctx ends.
func write(ctx context.Context, sink Sink, lines []byte, last uint64, messages io.Writer) (isWritten bool, err error) {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := sink.Write(lines, last)
		if final := (*finalError)(nil); err == nil || errors.As(err, &final) {
			return err == nil, err
		}
		fmt.Fprintf(messages, "the sink fails (%v); nothing is lost, and it is tried again in %v\n", err, wait)
		if !pause(ctx, wait) {
			return false, nil
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
