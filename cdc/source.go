package cdc

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"ledger/accounting"
	"ledger/feed"
)

// Source makes lines of the events that fetch gives.
func Source(fetch func(context.Context, accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error)) feed.Source {
	return func(ctx context.Context, after uint64, limit uint32, lines []byte) (feed.Batch, error) {
		events, err := fetch(ctx, accounting.ChangeEventsFilter{TimestampMin: after + 1, Limit: limit})
		if err != nil {
			return feed.Batch{}, err
		}
		return feed.Append(lines, after, events, func(e *accounting.ChangeEvent) uint64 { return e.Timestamp },
			func(out []byte, e *accounting.ChangeEvent) []byte { return append(AppendEvent(out, e), '\n') })
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
