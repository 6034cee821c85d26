package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// rowsOf makes a source of rows that are timestamps.
func rowsOf(fetch func(ctx context.Context, after uint64) ([]uint64, error)) Source {
	return func(ctx context.Context, after uint64, limit uint32, lines []byte) (Batch, error) {
		rows, err := fetch(ctx, after)
		if err != nil {
			return Batch{}, err
		}
		return Append(lines, after, rows[:min(len(rows), int(limit))], func(row *uint64) uint64 { return *row },
			func(out []byte, row *uint64) []byte { return append(out, line(*row)...) })
	}
}

// stored is a source of the rows 1 to count, at most rowsMax at a time.
func stored(count uint64, rowsMax uint32) Source {
	return rowsOf(func(_ context.Context, after uint64) (rows []uint64, err error) {
		for after++; after <= count && len(rows) < int(rowsMax); after++ {
			rows = append(rows, after)
		}
		return rows, nil
	})
}

// shaky is a sink that fails failures times before each success.
type shaky struct {
	failures, left int
	out            bytes.Buffer
	final          error
}

func (s *shaky) Write(lines []byte, _ uint64) error {
	switch {
	case s.final != nil:
		return &finalError{s.final}
	case s.left > 0:
		s.left--
		return errors.New("a full disk")
	}
	s.left = s.failures
	s.out.Write(lines)
	return nil
}

// timestamps are those of all lines.
func timestamps(t *testing.T, text string) (list []uint64) {
	t.Helper()
	for line := range strings.Lines(text) {
		timestamp, err := timestampOf([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, timestamp)
	}
	return list
}

// Goal: all events arrive once, in order, whatever the sizes of replies and the failures of the
// sink.
func TestRun(t *testing.T) {
	for _, test := range []struct {
		last      uint64
		limit     uint32
		rowsMax   uint32
		failures  int
		wantCount uint64
	}{{0, 2730, 7, 0, 20}, {0, 3, 7, 1, 20}, {20, 3, 7, 0, 0}, {12, 100, 100, 2, 8}} {
		sink := &shaky{failures: test.failures, left: test.failures}
		var messages bytes.Buffer
		options := Options{TimestampLast: test.last, RowsMax: test.limit, Messages: &messages}
		result, err := Run(context.Background(), stored(20, test.rowsMax), sink, options)
		got := timestamps(t, sink.out.String())
		if err != nil || result.Count != test.wantCount || result.Last != 20 || uint64(len(got)) != test.wantCount {
			t.Fatalf("%+v: %+v, %d lines, error %v", test, result, len(got), err)
		}
		for i, timestamp := range got {
			if timestamp != test.last+uint64(i)+1 {
				t.Errorf("%+v: line %d has %d", test, i, timestamp)
			}
		}
		if test.failures > 0 && !strings.Contains(messages.String(), "the sink fails (a full disk); nothing is lost") {
			t.Errorf("%+v: %s", test, messages.String())
		}
	}
}

// Goal: a job that follows waits for new events, and the end of its context is no error, wherever
// it comes.
func TestRunFollows(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	looks := 0
	source := rowsOf(func(ctx context.Context, after uint64) ([]uint64, error) {
		looks++
		switch looks {
		case 1, 3:
			return nil, nil
		case 5:
			cancel()
			return nil, ctx.Err()
		}
		return []uint64{after + 11}, nil
	})
	sink := &shaky{}
	result, err := Run(ctx, source, sink, Options{RowsMax: 1, IdleInterval: time.Millisecond, Follow: true})
	if got := timestamps(t, sink.out.String()); err != nil || fmt.Sprint(got) != "[11 22]" || result.Count != 2 {
		t.Errorf("%+v, lines %v, error %v", result, got, err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	broken := &shaky{left: 1 << 30}
	messages := writer(func() { cancel() })
	if result, err := Run(ctx, stored(5, 5), broken, Options{RowsMax: 5, Messages: messages}); err != nil || result.Count != 0 {
		t.Errorf("%+v, error %v", result, err)
	}
}

// writer calls a function for each message.
type writer func()

func (w writer) Write(text []byte) (int, error) { w(); return len(text), nil }

// Goal: an error that another try cannot mend ends the job, and so does a server that breaks the
// order.
func TestRunFails(t *testing.T) {
	if _, err := Run(context.Background(), stored(5, 5), &shaky{final: errors.New("broken pipe")}, Options{RowsMax: 5}); err == nil {
		t.Error("no error of a broken pipe")
	}
	if err := (Stream{writerFails{}}).Write([]byte("x"), 1); !errors.As(err, new(*finalError)) {
		t.Errorf("%v is not final", err)
	}
	lost := errors.New("lost")
	source := rowsOf(func(context.Context, uint64) ([]uint64, error) { return nil, lost })
	if _, err := Run(context.Background(), source, &shaky{}, Options{RowsMax: 5}); !errors.Is(err, lost) {
		t.Error(err)
	}
	source = rowsOf(func(context.Context, uint64) ([]uint64, error) { return []uint64{5, 5}, nil })
	sink := &shaky{}
	if _, err := Run(context.Background(), source, sink, Options{RowsMax: 5}); err == nil || sink.out.Len() > 0 {
		t.Errorf("error %v, written %s", err, sink.out.String())
	}
}

type writerFails struct{}

func (writerFails) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Goal: a limit on requests spaces them.
func TestRunIsPaced(t *testing.T) {
	begun := time.Now()
	if _, err := Run(context.Background(), stored(5, 1), &shaky{}, Options{RowsMax: 1, RequestsPerSec: 100}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 50*time.Millisecond { // six requests
		t.Errorf("took %v", took)
	}
}

// moved is a sink that is elsewhere once, when a row has arrived.
type moved struct {
	shaky
	at, to uint64
}

func (m *moved) Write(lines []byte, last uint64) error {
	if last == m.at {
		m.at = 0
		return fmt.Errorf("connected again: %w", &ElsewhereError{m.to})
	}
	return m.shaky.Write(lines, last)
}

// Goal: the job follows a sink that has lost rows, or has more than the job wrote.
func TestRunElsewhere(t *testing.T) {
	for _, test := range []struct {
		to   uint64
		want string
	}{{1, "[1 2 3 2 3 4 5 6]"}, {3, "[1 2 3 4 5 6]"}, {5, "[1 2 3 6]"}} {
		sink := &moved{at: 4, to: test.to}
		result, err := Run(context.Background(), stored(6, 1), sink, Options{RowsMax: 1, Messages: io.Discard})
		if got := fmt.Sprint(timestamps(t, sink.out.String())); err != nil || got != test.want || result.Last != 6 {
			t.Errorf("elsewhere at %d: lines %s, want %s, %+v, error %v", test.to, got, test.want, result, err)
		}
	}
}
