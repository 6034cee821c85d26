package cdc

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"ledger/accounting"
	"ledger/feed"
)

// Fetch asks a server for events.
type Fetch func(context.Context, accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error)

// Source makes lines of the events that fetch gives.
func Source(fetch Fetch) feed.Source {
	return source(fetch, func(out []byte, e *accounting.ChangeEvent) []byte { return append(AppendEvent(out, e), '\n') })
}

// Events is a source of the events that fetch gives, as they are.
func Events(fetch Fetch) feed.SourceOf[accounting.ChangeEvent] {
	return source(fetch, func(out []accounting.ChangeEvent, e *accounting.ChangeEvent) []accounting.ChangeEvent {
		return append(out, *e)
	})
}

func source[E any](fetch Fetch, form func([]E, *accounting.ChangeEvent) []E) feed.SourceOf[E] {
	return func(ctx context.Context, after uint64, limit uint32, rows []E) (feed.BatchOf[E], error) {
		events, err := fetch(ctx, accounting.ChangeEventsFilter{TimestampMin: after + 1, Limit: limit})
		if err != nil {
			return feed.BatchOf[E]{}, err
		}
		return feed.Append(rows, after, events, func(e *accounting.ChangeEvent) uint64 { return e.Timestamp }, form)
	}
}

// Form is the form of the lines of events.
func Form() feed.Form { return feed.Form{Start: `{"timestamp":`, Timestamp: timestampOf} }

// timestampOf reads the timestamp of a line.
func timestampOf(line []byte) (uint64, error) {
	var event struct{ Timestamp json.RawMessage }
	if err := json.Unmarshal(line, &event); err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.Trim(string(event.Timestamp), `"`), 10, 63)
}
