package main

import (
	"errors"
	"fmt"
	"strings"

	"ledger/cdc"
	"ledger/config"
	"ledger/feed"
)

// cdcCommand writes lines to a file, or to stdout.
type cdcCommand struct {
	jobFlags `embed:""`

	Sink   string  `placeholder:"SINK" help:"Takes the events: jsonl:FILE, a file of one JSON object per line that is continued after its last whole line, or jsonl:- for stdout. Required."`
	Rotate *string `placeholder:"SIZE" help:"Size above which the file is renamed FILE.TIMESTAMP, and a new one begun. Default: never."`
}

func (c *cdcCommand) Run(s *streams) error {
	job, err := c.job(s)
	if err != nil {
		return err
	}
	defer job.close()
	sink, last, closeSink, err := c.open(s)
	if err != nil {
		return err
	}
	if c.TimestampLast == nil {
		job.options.TimestampLast = last
	}
	job.meter.SetState(cdc.Writing)
	result, err := feed.Run(job.ctx, cdc.Source(job.lag.Fetch), cdc.Metered(job.meter, sink), job.options)
	return job.ended("cdc", result, errors.Join(err, closeSink()))
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
