package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ledger/accounting"
)

// Sink takes lines; the last one is of the event of that timestamp. It is File, or Stream. After an
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

// Source fetches events. It waits for a server that does not answer.
type Source func(context.Context, accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error)

// Options of a job.
type Options struct {
	TimestampLast  uint64        // of the last event that is not wanted
	EventsMax      uint32        // of a batch
	IdleInterval   time.Duration // between looks for events, when there are none
	RequestsPerSec uint32        // at most; 0: no limit
	Follow         bool          // wait for more events
	Messages       io.Writer
}

// Pauses before a sink is tried again.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 10 * time.Second
)

// Result is what a job did.
type Result struct {
	EventsCount uint64
	Last        uint64 // timestamp of the last event
}

// Run copies events until there are no more, or until ctx ends if it follows them.
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
		events, err := source(ctx, accounting.ChangeEventsFilter{TimestampMin: result.Last + 1, Limit: options.EventsMax})
		switch {
		case ctx.Err() != nil:
			return result, nil
		case err != nil:
			return result, err
		case len(events) == 0 && !options.Follow:
			return result, nil
		case len(events) == 0:
			if !pause(ctx, options.IdleInterval) {
				return result, nil
			}
			continue
		}
		lines = lines[:0]
		last := result.Last
		for i := range events {
			if events[i].Timestamp <= last {
				return result, fmt.Errorf("the server sent event %d behind event %d: their order is broken", events[i].Timestamp, last)
			}
			last = events[i].Timestamp
			lines = append(AppendEvent(lines, &events[i]), '\n')
		}
		if isWritten, err := write(ctx, sink, lines, last, options.Messages); !isWritten {
			return result, err
		}
		result.Last = last
		result.EventsCount += uint64(len(events))
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
