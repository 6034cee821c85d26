package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/admin"
	"ledger/cdc"
	"ledger/client"
	"ledger/config"
	"ledger/feed"
	"ledger/patient"
	"ledger/wire"
)

// jobFlags are the flags of all jobs that copy change events. Those of the reference's job for AMQP
// have its names; --follow and --metrics-address are ours.
type jobFlags struct {
	Cluster   string `default:"0" placeholder:"N" help:"Id of the cluster."`
	Addresses string `default:"3001" placeholder:"LIST" help:"Addresses of its replicas, as those of start."`

	TimestampLast          *string `placeholder:"TIMESTAMP" help:"Begin behind this timestamp; 0 begins with the first event. Default: the last one that the sink has."`
	EventCountMax          string  `default:"2730" placeholder:"N" help:"Events that are fetched and written at a time."`
	IdleIntervalMs         string  `default:"1000" placeholder:"N" help:"Milliseconds until the next look, when there are no events."`
	RequestsPerSecondLimit *string `placeholder:"N" help:"Requests per second to the server, at most. Default: no limit."`
	Follow                 bool    `default:"true" help:"Wait for more events; false ends when there are no more."`
	MetricsAddress         *string `placeholder:"ADDRESS" help:"Serve the job's metrics over HTTP at PORT or HOST:PORT: /metrics, /healthz. Default: not served."`
}

const (
	jobProgress     = 10 * time.Minute // between two lines that tell how far the job is
	jobEventsMax    = 2730             // the most that a reply holds
	idleMsMax       = 24 * 60 * 60 * 1000
	requestsPerSMax = 1_000_000
)

// job is what copying needs beside its sink.
type job struct {
	ctx     context.Context // ends when the job is asked to
	options feed.Options
	lag     *cdc.Lag
	meter   *cdc.Meter
	cluster wire.U128
	servers *patient.Connection[*client.Client]
	s       *streams
	closers []func()
}

// job reads the flags, and opens the metrics port if there is one.
func (f *jobFlags) job(s *streams) (*job, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	servers, err := serversOf(f.Cluster, f.Addresses)
	if err != nil {
		return nil, err
	}
	servers.Messages = s.err
	lag := cdc.NewLag(eventsOf(servers), options.RequestsPerSec > 0)
	j := &job{options: options, lag: lag, meter: cdc.NewMeter(lag), cluster: servers.Options.Cluster, servers: servers, s: s}
	tell := progressTo(s.err, "events", jobProgress)
	j.options.Messages, j.options.Progress = s.err, func(result feed.Result) {
		lag.Progress(result)
		tell(result)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	j.ctx = ctx
	j.closers = append(j.closers, servers.Close, stop)
	if f.MetricsAddress != nil {
		if err := j.serve(*f.MetricsAddress); err != nil {
			j.close()
			return nil, fmt.Errorf("--metrics-address=%s: %w", *f.MetricsAddress, err)
		}
	}
	return j, nil
}

// serve opens the metrics port, and counts the events that wait.
func (j *job) serve(text string) error {
	address, err := config.ParseAddress(text)
	if err != nil {
		return err
	}
	pages, err := admin.Serve(address.String(), j.meter.Pages())
	if err != nil {
		return err
	}
	fmt.Fprintf(j.s.err, "metrics at http://%s/metrics\n", pages.Address())
	if !pages.IsLoopback() {
		fmt.Fprintln(j.s.err, exposed(address))
	}
	ctx, stop := context.WithCancel(j.ctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		j.lag.Watch(ctx)
	}()
	j.closers = append(j.closers, func() {
		stop()
		<-counted // it uses the session
		_ = pages.Close()
	})
	return nil
}

// close gives everything up, the newest first.
func (j *job) close() {
	for i := range j.closers {
		j.closers[len(j.closers)-1-i]()
	}
}

// ended tells what the job did.
func (j *job) ended(command string, result feed.Result, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", command, err)
	}
	fmt.Fprintf(j.s.err, "%d events were written; the last timestamp is %d\n", result.Count, result.Last)
	return err
}

// options are those of the job, from the flags.
func (f *jobFlags) options() (options feed.Options, err error) {
	options.Follow = f.Follow
	idleMs := uint32(0)
	for _, number := range []countFlag{{"event-count-max", &f.EventCountMax, &options.RowsMax, 1, jobEventsMax},
		{"idle-interval-ms", &f.IdleIntervalMs, &idleMs, 1, idleMsMax},
		{"requests-per-second-limit", f.RequestsPerSecondLimit, &options.RequestsPerSec, 1, requestsPerSMax}} {
		if err := number.read(); err != nil {
			return options, err
		}
	}
	options.IdleInterval = time.Duration(idleMs) * time.Millisecond
	if f.TimestampLast != nil {
		timestamp, err := wire.ParseU128(*f.TimestampLast)
		if err != nil || timestamp.Hi != 0 || timestamp.Lo > accounting.TimestampMax {
			return options, fmt.Errorf("--timestamp-last=%s: must be a number of 0 to 2^63-1, nanoseconds since 1970", *f.TimestampLast)
		}
		options.TimestampLast = timestamp.Lo
	}
	return options, nil
}

// countFlag is a flag whose value is a number.
type countFlag struct {
	flag     string
	text     *string // nil: it was not given
	to       *uint32
	min, max uint32
}

func (c *countFlag) read() (err error) {
	if c.text == nil {
		return nil
	}
	if *c.to, err = config.ParseCount(*c.text, c.min, c.max); err != nil {
		return fmt.Errorf("--%s=%s: %w", c.flag, *c.text, err)
	}
	return nil
}

// eventsOf fetches events from a server. An ended session is replaced.
func eventsOf(servers *patient.Connection[*client.Client]) cdc.Fetch {
	return func(ctx context.Context, filter accounting.ChangeEventsFilter) (events []accounting.ChangeEvent, err error) {
		err = persistently(ctx, servers, func(ctx context.Context, c *client.Client) error {
			var err error
			events, err = c.GetChangeEvents(ctx, filter)
			return err
		})
		return events, err
	}
}
