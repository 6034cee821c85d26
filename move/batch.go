package move

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ledger/wire"
)

// flow is the import of one kind of rows: accounts or transfers.
type flow[R any] struct {
	what  string // of the rows, for messages
	next  source[R]
	facts func(*R) facts
	max   int // of the rows of a request

	areOthersOurs func() bool // as isOurs, for the other kind
	foresee       func(ctx context.Context, rows []R, isNew bool) ([]uint32, error)
	create        func(context.Context, *batch[R]) error
	statusName    func(uint32) string
	moved         *Moved

	serverLast uint64    // timestamp of the newest one that the server had when the import began
	serverID   wire.U128 // its id
	isMet      bool      // it was among the rows
	skipped    uint64    // rows that the server had

	carried []R // the beginning of a chain that did not fit
	places  []Place
}

// facts are what a flow has to know of a row.
type facts struct {
	id        wire.U128
	timestamp uint64
	isLinked  bool
}

// batch is one request, or the rows up to a wrong one.
type batch[R any] struct {
	rows    []R
	places  []Place
	wrong   []*RowError // then nothing of it is imported
	isEnd   bool        // there are no more
	isOurs  bool        // all that the server had of this kind is of the source
	skipped uint64      // rows so far that the server had
}

// wrongPerBatch bounds the list of wrong rows of one batch.
const wrongPerBatch = 10

// skippedMax is the number of rows that are left out before a batch without rows tells of it.
const skippedMax = 1 << 16

// fill collects the next batch. Rows that the server has are left out. A chain is never cut.
func (f *flow[R]) fill(ctx context.Context) (b batch[R], err error) {
	defer func() { b.isOurs, b.skipped = f.isOurs(), f.skipped }()
	b.rows, b.places = append(make([]R, 0, f.max), f.carried...), append(make([]Place, 0, f.max), f.places...)
	f.carried, f.places = nil, nil
	for skipped := f.skipped; len(b.rows) < f.max && len(b.wrong) < wrongPerBatch && f.skipped < skipped+skippedMax; {
		var row R
		place, err := f.next(ctx, &row)
		wrong := (*RowError)(nil)
		switch {
		case errors.Is(err, io.EOF):
			b.isEnd = true
			return b, nil
		case errors.As(err, &wrong):
			b.wrong = append(b.wrong, wrong)
			continue
		case err != nil:
			return b, err
		}
		if isThere, err := f.skip(&row); err != nil || isThere {
			if err != nil {
				return b, err
			}
			continue
		}
		b.rows, b.places = append(b.rows, row), append(b.places, place)
	}
	return b, f.cut(&b)
}

// skip tells whether the server has a row, because an earlier run has imported it.
func (f *flow[R]) skip(row *R) (bool, error) {
	facts := f.facts(row)
	switch {
	case facts.timestamp == 0 || facts.timestamp > f.serverLast:
		return false, f.met()
	case facts.timestamp == f.serverLast:
		f.isMet = facts.id == f.serverID
	}
	f.skipped++
	return true, nil
}

// isOurs tells whether all that the server had when the import began is of the source.
func (f *flow[R]) isOurs() bool { return f.serverLast == 0 || f.isMet }

// met checks, once rows were left out, that the newest one of the server was among them.
func (f *flow[R]) met() error {
	if f.skipped == 0 || f.isMet {
		return nil
	}
	return fmt.Errorf("the server has %s %s with timestamp %d, which the source does not have, and %d older ones of the source may be "+
		"missing in it: imported timestamps must rise, so import into a new server, or rows that are newer than that", f.what, f.serverID,
		f.serverLast, f.skipped)
}

// cut ends a full batch before a chain that goes on.
func (f *flow[R]) cut(b *batch[R]) error {
	end := len(b.rows)
	for end > 0 && f.facts(&b.rows[end-1]).isLinked {
		end--
	}
	switch {
	case end == len(b.rows) || end == 0 && len(b.wrong) > 0:
		return nil
	case end == 0:
		return fmt.Errorf("%s: the chain of linked %ss that begins here has more than the %d of a request of this server: "+
			"import into a server that takes larger requests", b.places[0], f.what, f.max)
	}
	f.carried, f.places = b.rows[end:], b.places[end:]
	b.rows, b.places = b.rows[:end], b.places[:end]
	return nil
}
