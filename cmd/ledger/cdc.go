package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/cdc"
	"ledger/client"
	"ledger/config"
	"ledger/feed"
	"ledger/patient"
	"ledger/wire"
)

// cdcCommand has the flags of the reference's job for AMQP that mean something here; --sink,
// --rotate and --follow are ours.
type cdcCommand struct {
	Cluster   string `default:"0" placeholder:"N" help:"Id of the cluster."`
	Addresses string `default:"3001" placeholder:"LIST" help:"Addresses of its replicas, as those of start."`

	Sink                   string  `placeholder:"SINK" help:"Takes the events: jsonl:FILE, a file of one JSON object per line that is continued after its last whole line, or jsonl:- for stdout. Required."`
	Rotate                 *string `placeholder:"SIZE" help:"Size above which the file is renamed FILE.TIMESTAMP, and a new one begun. Default: never."`
	TimestampLast          *string `placeholder:"TIMESTAMP" help:"Begin behind this timestamp; 0 begins with the first event. Default: that of the last event in the file."`
	EventCountMax          string  `default:"2730" placeholder:"N" help:"Events that are fetched and written at a time."`
	IdleIntervalMs         string  `default:"1000" placeholder:"N" help:"Milliseconds until the next look, when there are no events."`
	RequestsPerSecondLimit *string `placeholder:"N" help:"Requests per second to the server, at most. Default: no limit."`
	Follow                 bool    `default:"true" help:"Wait for more events; false ends when there are no more."`
}

const (
	cdcProgress     = 10 * time.Minute // between two lines that tell how far the job is
	cdcEventsMax    = 2730             // the most that a reply holds
	idleMsMax       = 24 * 60 * 60 * 1000
	requestsPerSMax = 1_000_000
)

func (c *cdcCommand) Run(s *streams) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	options.Messages, options.Progress = s.err, progressTo(s.err, "events", cdcProgress)
	servers, err := serversOf(c.Cluster, c.Addresses)
	if err != nil {
		return err
	}
	servers.Messages = s.err
	defer servers.Close()
	sink, last, closeSink, err := c.open(s)
	if err != nil {
		return err
	}
	if c.TimestampLast == nil {
		options.TimestampLast = last
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	result, err := feed.Run(ctx, cdc.Source(eventsOf(servers)), sink, options)
	if err = errors.Join(err, closeSink()); err != nil {
		err = fmt.Errorf("cdc: %w", err)
	}
	fmt.Fprintf(s.err, "%d events were written; the last timestamp is %d\n", result.Count, result.Last)
	return err
}

// options are those of the job, from the flags.
func (c *cdcCommand) options() (options feed.Options, err error) {
	options.Follow = c.Follow
	idleMs := uint32(0)
	for _, number := range []struct {
		flag     string
		text     *string
		to       *uint32
		min, max uint32
	}{{"event-count-max", &c.EventCountMax, &options.RowsMax, 1, cdcEventsMax},
		{"idle-interval-ms", &c.IdleIntervalMs, &idleMs, 1, idleMsMax},
		{"requests-per-second-limit", c.RequestsPerSecondLimit, &options.RequestsPerSec, 1, requestsPerSMax}} {
		if number.text == nil {
			continue
		}
		if *number.to, err = config.ParseCount(*number.text, number.min, number.max); err != nil {
			return options, fmt.Errorf("--%s=%s: %w", number.flag, *number.text, err)
		}
	}
	options.IdleInterval = time.Duration(idleMs) * time.Millisecond
	if c.TimestampLast != nil {
		timestamp, err := wire.ParseU128(*c.TimestampLast)
		if err != nil || timestamp.Hi != 0 || timestamp.Lo > accounting.TimestampMax {
			return options, fmt.Errorf("--timestamp-last=%s: must be a number of 0 to 2^63-1, nanoseconds since 1970", *c.TimestampLast)
		}
		options.TimestampLast = timestamp.Lo
	}
	return options, nil
}

// open opens the sink. It gives the timestamp of the last event that it has.
func (c *cdcCommand) open(s *streams) (sink feed.Sink, last uint64, closeSink func() error, err error) {
	rotateBytes := uint64(0)
	if c.Rotate != nil {
		if rotateBytes, err = config.ParseSize(*c.Rotate); err != nil || rotateBytes == 0 {
			return nil, 0, nil, fmt.Errorf("--rotate=%s: must be a size, as in 1GiB", *c.Rotate)
		}
	}
	path, isJSONL := strings.CutPrefix(c.Sink, "jsonl:")
	switch {
	case c.Sink == "-" || isJSONL && path == "-":
		if c.Rotate != nil {
			return nil, 0, nil, fmt.Errorf("--rotate=%s: goes with a file, not with stdout", *c.Rotate)
		}
		return feed.Stream{Out: s.out}, 0, func() error { return nil }, nil
	case !isJSONL || path == "":
		return nil, 0, nil, fmt.Errorf("--sink=%s: must be jsonl:FILE, or jsonl:- for stdout", c.Sink)
	}
	file, err := feed.OpenFile(path, cdc.Form(), int64(min(rotateBytes, 1<<62)))
	if err != nil {
		return nil, 0, nil, fmt.Errorf("--sink=%s: %w", c.Sink, err)
	}
	return file, file.Last(), file.Close, nil
}

// eventsOf fetches events from a server. An ended session is replaced.
func eventsOf(servers *patient.Connection[*client.Client]) func(context.Context, accounting.ChangeEventsFilter) (
	[]accounting.ChangeEvent, error) {
	return func(ctx context.Context, filter accounting.ChangeEventsFilter) (events []accounting.ChangeEvent, err error) {
		err = persistently(ctx, servers, func(ctx context.Context, c *client.Client) error {
			var err error
			events, err = c.GetChangeEvents(ctx, filter)
			return err
		})
		return events, err
	}
}
