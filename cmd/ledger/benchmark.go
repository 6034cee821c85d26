package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/bench"
	"ledger/config"
	"ledger/limits"
	"ledger/wire"
)

// benchmarkCommand has the reference's flags and its defaults; those after Clients are ours.
type benchmarkCommand struct {
	Addresses string `placeholder:"LIST" help:"Servers to put load on; left out, one is started on a temporary file in this directory. Default: none."`
	Cluster   string `default:"0" help:"Id of their cluster."`

	AccountCount        uint64 `default:"10000" help:"Accounts to create."`
	AccountCountHot     uint64 `default:"0" help:"The first so many accounts are debited by --transfer-hot-percent of the transfers."`
	AccountDistribution string `default:"uniform" help:"Which accounts are used: uniform, zipfian, latest."`
	AccountBatchCount   uint32 `default:"8189" help:"Accounts per request."`
	TransferCount       uint64 `default:"10000000" help:"Transfers to create."`
	TransferBatchCount  uint32 `default:"8189" help:"Transfers per request."`
	TransferBatchDelay  string `default:"0ms" help:"Pause of a client after each batch, as in 5ms."`
	TransferHotPercent  uint32 `default:"100" help:"Share of transfers that debit a hot account, if there are any."`
	TransferPending     bool   `help:"Make 30 % of the transfers pending, to expire after 1 to 5 s."`
	QueryCount          uint64 `default:"100" help:"Queries for the transfers of one account, after the load."`
	IDOrder             string `name:"id-order" default:"tbid" help:"Order of ids: tbid (by time), sequential, random, reversed."`
	Clients             uint32 `default:"1" help:"Client sessions, each with one request in flight."`
	Seed                uint64 `default:"42" help:"What random numbers follow from."`
	FlagHistory         bool   `default:"true" help:"Accounts keep their balances after each transfer."`
	NoHistory           bool   `help:"The contrary of --flag-history."`
	Imported            bool   `aliases:"flag-imported" help:"Accounts and transfers bring their timestamps."`
	Validate            bool   `help:"Read everything back and compare, balances included; not with ids by time."`
	ChecksumPerformance bool   `help:"Measure the protocol's checksum too."`
	PrintBatchTimings   bool   `help:"Print the rate and the slowest batch of every 100 ms, after the load."`

	Workload  string  `default:"transfers" help:"What is sent: transfers (batches, then queries), payments (the calls of a payment service, 12 % of them reads)."`
	CallCount uint64  `default:"200000" help:"Payments: calls of all callers together."`
	CallRate  float64 `default:"0" help:"Payments: calls per second to offer, whatever the server does (open loop); latency counts from when a call was due. 0 makes the next call when the last is answered."`
	Callers   uint32  `default:"1" help:"Payments: callers that share each client session; their calls travel in one request where they can."`
	Readers   uint32  `default:"0" help:"Sessions that ask for 8189 rows without pause, beside the load."`

	TransferRate float64       `default:"0" help:"Transfers per second to offer, whatever the server does (open loop); latency counts from when a batch was due. 0 sends the next batch when the last is answered."`
	BuildAhead   bool          `help:"Build the next batch while one is in flight."`
	Warmup       time.Duration `default:"0s" help:"Leave the batches of so long a beginning out of the latencies."`
	Interval     time.Duration `default:"1m" help:"Report rate, p50, p99, p99.9, p100 and the server's memory of each such stretch too."`
	JSON         string        `name:"json" placeholder:"FILE" help:"Write the results as JSON. Default: no file."`
	HTML         string        `name:"html" placeholder:"FILE" help:"Write a report with plots. Default: no file."`

	MetricsAddress string `placeholder:"ADDRESS" help:"Metrics endpoint of the server, for the report; known of one that is started. Default: none."`
	PrintStages    bool   `help:"Print what the server's stages did, from its metrics."`

	File          string `placeholder:"FILE" help:"Data file of the server that is started; it is kept, and the server is stopped in order. Default: a temporary file."`
	CacheGrid     string `placeholder:"SIZE" help:"Page cache of the server that is started, see start --help. Default: that of start."`
	CacheAccounts string `placeholder:"SIZE" help:"Account cache of the server that is started. Default: that of start."`
	LogServer     bool   `aliases:"log-debug-replica,log-debug" help:"Show the log of the server that is started."`

	// Flags of the reference that set nothing here. Scripts that use them get a warning and go on,
	// or an error that names the replacement.
	CacheTransfers        string `hidden:""`
	CacheTransfersPending string `hidden:""`
	Statsd                string `hidden:""`
	Trace                 string `hidden:""`
}

// checkReference handles the flags that only the reference uses.
func (c *benchmarkCommand) checkReference(errorOut io.Writer) error {
	switch {
	case c.Statsd != "":
		return fmt.Errorf("--statsd=%s: the load is not sent to an agent: start --statsd sends the server's figures, --json writes the load's",
			c.Statsd)
	case c.Trace != "":
		return fmt.Errorf("--trace=%s: the load has no trace: start --trace writes the server's, --print-batch-timings tells how the load went",
			c.Trace)
	}
	for _, cache := range []struct{ flag, value string }{{"cache-transfers", c.CacheTransfers},
		{"cache-transfers-pending", c.CacheTransfersPending}} {
		if cache.value == "" {
			continue
		}
		if _, err := config.ParseSize(cache.value); err != nil {
			return fmt.Errorf("--%s=%s: %w", cache.flag, cache.value, err)
		}
		fmt.Fprintf(errorOut, "warning: --%s=%s changes nothing: transfers are cached by --cache-grid, pending ones by --cache-accounts\n",
			cache.flag, cache.value)
	}
	return nil
}

func (c *benchmarkCommand) Run(s *streams) error {
	if err := c.checkReference(s.err); err != nil {
		return err
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	if err := options.Check(); err != nil {
		return err
	}
	files, err := c.openReports() // opened before the load, so that a wrong name does not waste it
	if err != nil {
		return err
	}
	defer files.abandon()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var server *bench.Server
	if c.Addresses == "" {
		if server, err = c.startServer(ctx, s); err != nil {
			return err
		}
		options.Addresses, options.ServerMemory, options.ServerCPU = []string{server.Address}, server.MemoryBytes, server.CPUNs
		go func() {
			<-server.Exited()
			cancel(errors.New("the server ended before the load did"))
		}()
	}
	options.Late = func() {
		fmt.Fprintf(s.err, "no answer from %s for %v: is a server of cluster %s there? Waiting for it\n", strings.Join(options.Addresses, ","),
			options.LateAfter, options.Cluster)
	}
	var progress *bench.Progress
	if isTerminal(s.err) {
		progress = bench.NewProgress(s.err)
	}
	result, err := bench.Run(ctx, options, progress)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if server != nil {
			_, stopErr := server.Stop()
			err = errors.Join(err, stopErr)
		}
		return fmt.Errorf("benchmark: %w", err)
	}
	if c.ChecksumPerformance {
		result.Checksum = bench.MeasureChecksum()
	}
	if server != nil && c.MetricsAddress == "" {
		c.MetricsAddress = server.MetricsAddress
	}
	if c.MetricsAddress != "" {
		if result.Summary, err = bench.FetchSummary(ctx, c.MetricsAddress); err != nil {
			fmt.Fprintf(s.err, "warning: %v\n", err) // the load is done; its result is worth more than this error
		}
	}
	if server != nil {
		if result.Server, err = server.Stop(); err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
	}
	return c.report(result, s.out, &files)
}

// wantsSummary tells whether the server's own figures are used.
func (c *benchmarkCommand) wantsSummary() bool { return c.PrintStages || c.JSON != "" || c.HTML != "" }

// options are the options of the load, from the flags.
func (c *benchmarkCommand) options() (bench.Options, error) {
	options := bench.Options{
		AccountCount: c.AccountCount, AccountCountHot: c.AccountCountHot, AccountDistribution: bench.Distribution(c.AccountDistribution),
		AccountBatchCount: c.AccountBatchCount, TransferCount: c.TransferCount, TransferBatchCount: c.TransferBatchCount,
		TransferHotPercent: c.TransferHotPercent, TransferPending: c.TransferPending, TransferRate: c.TransferRate,
		BuildAhead: c.BuildAhead, Warmup: c.Warmup, Interval: c.Interval, LateAfter: bench.DefaultOptions().LateAfter, QueryCount: c.QueryCount,
		IDOrder:  bench.IDOrder(c.IDOrder),
		Workload: bench.Workload(c.Workload), CallCount: c.CallCount, CallRate: c.CallRate, CallersCount: c.Callers, ReadersCount: c.Readers,
		ClientsCount: c.Clients, Seed: c.Seed, FlagHistory: c.FlagHistory && !c.NoHistory, FlagImported: c.Imported, Validate: c.Validate,
	}
	var err error
	if options.TransferBatchDelay, err = time.ParseDuration(c.TransferBatchDelay); err != nil {
		return options, fmt.Errorf("--transfer-batch-delay=%s: must be a duration, as in 5ms", c.TransferBatchDelay)
	}
	if options.Cluster, err = wire.ParseU128(c.Cluster); err != nil {
		return options, fmt.Errorf("--cluster=%s: %w", c.Cluster, err)
	}
	if c.PrintStages && c.Addresses != "" && c.MetricsAddress == "" {
		return options, errors.New("--print-stages: with --addresses it needs --metrics-address")
	}
	if c.MetricsAddress != "" {
		if c.Addresses == "" {
			return options, fmt.Errorf("--metrics-address=%s: goes with --addresses; of the server that is started here it is known",
				c.MetricsAddress)
		}
		address, err := config.ParseAddress(c.MetricsAddress)
		if err != nil {
			return options, fmt.Errorf("--metrics-address=%s: %w", c.MetricsAddress, err)
		}
		c.MetricsAddress = address.String()
	}
	if c.Addresses == "" {
		if !options.Cluster.IsZero() {
			return options, fmt.Errorf("--cluster=%s: goes with --addresses; the server that is started here has cluster 0", c.Cluster)
		}
		return options, c.checkServer()
	}
	if c.LogServer {
		return options, errors.New("--log-server: is for a server that is started here, not with --addresses")
	}
	for flag, value := range map[string]string{"file": c.File, "cache-grid": c.CacheGrid, "cache-accounts": c.CacheAccounts} {
		if value != "" {
			return options, fmt.Errorf("--%s=%s: is for a server that is started here, not with --addresses", flag, value)
		}
	}
	addresses, err := config.ParseAddresses(c.Addresses, wire.ReplicasMax)
	if err == nil && addresses.IsPickPort() {
		err = errors.New("must name a port")
	}
	if err != nil {
		return options, fmt.Errorf("--addresses=%s: %w", c.Addresses, err)
	}
	for _, address := range addresses {
		options.Addresses = append(options.Addresses, address.String())
	}
	return options, nil
}

// checkServer checks the settings of the server that will be started here. It is called before a
// data file is made.
func (c *benchmarkCommand) checkServer() error {
	settings := config.Settings{Addresses: config.Flag("addresses", "0")}
	if c.CacheGrid != "" {
		settings.CacheGrid = config.Flag("cache-grid", c.CacheGrid)
	}
	if c.CacheAccounts != "" {
		settings.CacheAccounts = config.Flag("cache-accounts", c.CacheAccounts)
	}
	if _, err := settings.Resolve(); err != nil {
		return err
	}
	if c.File == "" {
		return nil
	}
	if _, err := os.Lstat(c.File); err == nil {
		return fmt.Errorf("--file=%s: exists: name another, a new one is made for each run", c.File)
	}
	if _, err := os.Stat(filepath.Dir(c.File)); err != nil {
		return fmt.Errorf("--file=%s: %w", c.File, err)
	}
	return nil
}

func (c *benchmarkCommand) startServer(ctx context.Context, s *streams) (*bench.Server, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding our own program: %w", err)
	}
	options := bench.ServerOptions{Binary: binary, File: c.File, Metrics: c.wantsSummary()}
	if sessions := limits.Production().SessionsMax; c.Clients+c.Readers > sessions {
		options.FormatFlags = []string{fmt.Sprintf("--clients-max=%d", c.Clients+c.Readers)}
	}
	if c.CacheGrid != "" {
		options.StartFlags = append(options.StartFlags, "--cache-grid="+c.CacheGrid)
	}
	if c.CacheAccounts != "" {
		options.StartFlags = append(options.StartFlags, "--cache-accounts="+c.CacheAccounts)
	}
	if c.LogServer {
		options.Log = s.err
	}
	return bench.StartServer(ctx, options)
}

// reports are the files for the result; nil: not wanted.
type reports struct{ json, html *os.File }

func (c *benchmarkCommand) openReports() (r reports, err error) {
	for _, one := range []struct {
		flag, name string
		file       **os.File
	}{{"json", c.JSON, &r.json}, {"html", c.HTML, &r.html}} {
		if one.name == "" {
			continue
		}
		if *one.file, err = os.Create(one.name); err != nil {
			r.abandon()
			return reports{}, fmt.Errorf("--%s=%s: %w", one.flag, one.name, err)
		}
	}
	return r, nil
}

// write writes the files.
func (r *reports) write(result *bench.Result) error {
	for _, one := range []struct {
		file  **os.File
		write func(io.Writer) error
	}{{&r.json, result.WriteJSON}, {&r.html, result.WriteHTML}} {
		file := *one.file
		if file == nil {
			continue
		}
		*one.file = nil
		if err := errors.Join(one.write(file), file.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name(), err)
		}
	}
	return nil
}

// abandon removes the files that were not finished.
func (r *reports) abandon() {
	for _, file := range []*os.File{r.json, r.html} {
		if file != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}
}

// report prints the result and writes the files.
func (c *benchmarkCommand) report(result *bench.Result, out io.Writer, files *reports) error {
	if c.PrintBatchTimings {
		for _, p := range result.Transfers.Timeline {
			fmt.Fprintf(out, "at %.1f s: %d batches, %d tx, slowest %d ms\n", float64(p.AtNs)/1e9, p.RequestsCount, p.EventsCount,
				p.LatencyMaxNs/1e6)
		}
	}
	if err := result.WriteText(out); err != nil {
		return err
	}
	if c.PrintStages && result.Summary != "" {
		fmt.Fprintf(out, "\n%s", result.Summary)
	}
	return files.write(result)
}

// isTerminal tells whether out is a terminal.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
