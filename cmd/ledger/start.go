package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/affinity"
	"ledger/config"
	"ledger/events"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/replica"
	"ledger/wire"
)

type startCommand struct {
	Addresses        *string `placeholder:"LIST" help:"Addresses of all replicas: PORT, HOST, HOST:PORT or [v6]:PORT, comma separated; 0 picks a free port, prints it, and ends when stdin does."`
	CacheGrid        *string `placeholder:"SIZE" help:"Page cache. Default: ${cache_grid}, with --development ${cache_grid_development}."`
	CacheRecent      *string `placeholder:"PERCENT" help:"Part of the page cache in which the newest blocks stay from the moment they are written; 0 to ${cache_recent_max}. Default: ${cache_recent}."`
	CacheAccounts    *string `placeholder:"SIZE" help:"Account cache. Default: ${cache_accounts}, with --development ${cache_accounts_development}."`
	LimitStorage     *string `placeholder:"SIZE" help:"Largest data file. Default: ${limit_storage}."`
	ScrubDays        *string `placeholder:"DAYS" help:"The scrubber reads the whole data file in this time, to find damage that nobody has needed yet; 0 switches it off. Default: ${scrub_days}."`
	ClientReleaseMax *string `placeholder:"RELEASE" help:"Newest client library that is served, as in 0.18.3: a newer one is evicted. Default: ${client_release_max}."`
	ClusterKeyFile   *string `placeholder:"FILE" help:"The key that all replicas share, as ledger keygen makes it: a replica without it is refused, and nothing can be forged between them. Default: no key."`
	PerAddress       *string `name:"connections-per-address" placeholder:"N" help:"Connections that one address may have, IPv6 by its /64, and as many that are not identified; loopback and replicas are not limited. Default: no limit."`
	Development      *string `placeholder:"BOOL" help:"Requests of ${request_development}, small caches, direct I/O optional. Default: false."`
	Config           *string `placeholder:"FILE" help:"TOML file with the same settings and [affinity]; flags win over it. Default: no file."`
	IO               *string `name:"io" placeholder:"KIND" help:"uring, posix, or auto: io_uring where the kernel has it. Default: auto."`
	MetricsAddress   *string `placeholder:"ADDRESS" help:"Serve metrics over HTTP at PORT or HOST:PORT: /metrics, /summary, /healthz, /readyz. Default: not served."`
	MetricsPprof     *string `placeholder:"BOOL" help:"Serve profiles there as well, at /debug/pprof/. Default: false."`
	Statsd           *string `placeholder:"ADDRESS" help:"Send figures by UDP to a statsd agent at HOST, HOST:PORT or PORT, every ten seconds. Default: not sent."`
	Trace            *string `placeholder:"FILE" help:"Write how each op spent its time to a new file that Perfetto opens, up to 1 GiB. Default: no file."`
	Log              *string `placeholder:"FORMAT" help:"How stderr tells what happens: text, or json, an object for each line. Default: text."`
	OnUpgrade        *string `placeholder:"HOW" help:"When the cluster passes to another release: restart, the process becomes one of the program's file, if that offers the release; or exit, with status 7. Default: restart."`
	Check            bool    `help:"Say what a start of this program would do with the data file, which may be in use, and write nothing: releases, what of the log is executed again, and whether it is refused. The exit status is that of the start."`
	JSON             bool    `name:"json" help:"With --check: write one JSON object instead of text."`
	File             string  `arg:"" help:"The data file."`
}

func (c *startCommand) Run(s *streams) error {
	flags := config.Settings{
		Addresses:        setting("addresses", c.Addresses),
		CacheGrid:        setting("cache-grid", c.CacheGrid),
		CacheRecent:      setting("cache-recent", c.CacheRecent),
		CacheAccounts:    setting("cache-accounts", c.CacheAccounts),
		LimitStorage:     setting("limit-storage", c.LimitStorage),
		ScrubDays:        setting("scrub-days", c.ScrubDays),
		ClientReleaseMax: setting("client-release-max", c.ClientReleaseMax),
		ClusterKeyFile:   setting("cluster-key-file", c.ClusterKeyFile),
		PerAddress:       setting("connections-per-address", c.PerAddress),
		Development:      setting("development", c.Development),
		MetricsAddress:   setting("metrics-address", c.MetricsAddress),
		MetricsPprof:     setting("metrics-pprof", c.MetricsPprof),
		Log:              setting("log", c.Log),
		OnUpgrade:        setting("on-upgrade", c.OnUpgrade),
		Statsd:           setting("statsd", c.Statsd),
		Trace:            setting("trace", c.Trace),
	}
	if c.Config != nil {
		file, err := config.Load(*c.Config)
		if err != nil {
			return err
		}
		flags = config.Merge(flags, file)
	}
	if c.Check && !flags.Addresses.IsSet() {
		flags.Addresses = config.Flag("addresses", checkAddress)
	}
	start, err := flags.Resolve()
	if err != nil {
		return err
	}
	if c.Check {
		return check(s, start, c.File, c.JSON)
	}
	if c.JSON {
		return errors.New("--json: only start --check writes JSON; --log=json makes the lines of a server JSON")
	}
	keys, err := config.LoadClusterKeys(start.ClusterKeyFile)
	if err != nil {
		return err
	}
	return serve(s, start, c.IO, c.File, "", keys)
}

// keyUnused is a warning about a key that has no use.
func keyUnused(keys [][config.ClusterKeyBytes]byte, replicas uint32) string {
	if len(keys) == 0 || replicas > 1 {
		return ""
	}
	return "--cluster-key-file is not used: the data file is of a cluster of 1 replica, which no other one connects to"
}

// flushedWithin bounds the time for the last lines, because stderr may have no reader.
const flushedWithin = time.Second

// serve runs a replica until a signal, a fault, or the end of a harness's stdin. ready is a line
// that is printed when clients are served.
//
// From here on, only the log's goroutine writes to stderr. So a reader that pauses or goes away can
// neither stop a stage nor delay the end.
//
// keys are those of the cluster.
func serve(s *streams, start *config.Start, io *string, path, ready string, keys [][config.ClusterKeyBytes]byte) error {
	kind, err := ioKind(io) // an error in the command line does not belong to the log
	if err != nil {
		return err
	}
	traced, err := createTrace(start)
	if err != nil {
		return err
	}
	// Go ends a process whose stdout or stderr has lost its reader, unless SIGPIPE is ignored.
	signal.Ignore(unix.SIGPIPE)
	format := events.FormatText
	if start.LogJSON {
		format = events.FormatJSON
	}
	log := events.New(s.err, format)
	err = serveLogged(&streams{in: s.in, out: s.out, err: log.Lines()}, log, start, kind, path, ready, traced, keys)
	next := (*restart)(nil)
	if logged := (*loggedError)(nil); err != nil && !errors.As(err, &logged) && !errors.As(err, &next) {
		err = fail(log, err)
	}
	log.Close(flushedWithin)
	if next != nil {
		return next.become()
	}
	return err
}

// fail logs the reason why the server ends.
func fail(log *events.Log, err error) error {
	log.Failed(events.Failed{Reason: err.Error(), Status: statusOf(err)})
	return &loggedError{err}
}

// beforeStop is set by tests. It stands for a disk that keeps the server from stopping, or for a
// broken assertion.
var beforeStop func()

func serveLogged(s *streams, log *events.Log, start *config.Start, kind replica.IOKind, path, ready string,
	traced *os.File, keys [][config.ClusterKeyBytes]byte) error {
	program := ownProgram()
	topology, err := affinity.System()
	if err != nil {
		return err
	}
	start.Affinity.NodeNear = affinity.NodeOfFile("/sys", path)
	plan, err := affinity.Place(topology, start.Affinity)
	if err != nil {
		return err
	}
	// The endpoint is opened before the data file, so that it can tell the progress of the start.
	progress := &replica.Progress{}
	figures := admin.NewFigures(version, start.Limits.PageBytes)
	supervisor := newSupervisor()
	supervisor.start(progress, figures.Answers)
	defer supervisor.end()
	endpoint, err := listenMetrics(s, start, progress, log, figures)
	if err != nil {
		return err
	}
	defer endpoint.Close()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: start.Development, SectorBytes: start.Limits.SectorBytes})
	if err != nil {
		return err
	}
	defer file.Close()
	// The port is opened before the data file is touched, so that a port in use leaves the file as
	// it was. Clients that connect now wait in the listener's queue.
	own, err := ownAddress(start, file)
	if err != nil {
		return err
	}
	listen, err := resolve(own)
	if err != nil {
		return err
	}
	fd, port, err := posix.Listen(listen)
	if err != nil {
		return err
	}
	defer unix.Close(fd)

	options := replica.ServerOptions{IO: kind, ReleaseClientMax: start.ClientReleaseMax, Progress: progress,
		Addresses: start.Addresses, ClusterKeys: keys}
	if endpoint != nil {
		options.Descriptors = admin.DescriptorsMax
	}
	tracing := startTrace(traced, file, start)
	defer endTrace(tracing, log)
	if tracing != nil {
		options.Trace = tracing.Put
	}
	server, err := replica.NewServer(file, start.Limits, plan, options)
	if err != nil {
		return classify(path, err)
	}
	defer server.Close()
	defer endpoint.Close() // before the server, whose threads it asks
	defer supervisor.end() // as well
	for _, warning := range append(plan.Warnings, server.Warnings()...) {
		fmt.Fprintf(s.err, "warning: %s\n", warning)
	}
	server.Repairs(log)
	for _, warning := range []string{start.Addresses.Unused(server.Replicas()), clusterZero(server.Cluster(), start.Development),
		trialRelease(&start.Limits), keyUnused(keys, server.Replicas())} {
		if warning != "" {
			fmt.Fprintf(s.err, "warning: %s\n", warning)
		}
	}

	// Nothing on the data path allocates, so automatic collections are switched off. The limit is
	// for garbage of cold paths.
	runtime.GOMAXPROCS(plan.GoThreads())
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(replica.GoHeapBytesMax)

	// Signals are handled before clients are served, because a program that reads "listening" may
	// send one at once.
	signals, stopping := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	go obey(signals, stopping, log)
	ended := make(chan error, 1)
	harness := start.Addresses.IsPickPort()
	err = server.Run(fd, replica.Callbacks{
		Prepared: func() {
			log.Started(server.Started())
			server.LogLimits(log)
		},
		Ready: func() {
			endpoint.SetReady(true)
			supervisor.served()
			log.Listening(events.Listening{Address: netip.AddrPortFrom(listen.Addr(), port).String()})
			if ready != "" {
				log.Notice(events.Notice{Line: ready})
			}
			if harness {
				go announce(s.out, port) // not on the stage thread, because stdout may be full
			}
		},
		Log: log,
		Ended: func(err error) {
			endpoint.SetReady(false)
			select {
			case ended <- err:
			default: // one reason is enough, and a stage thread must not wait
			}
		},
	})
	if err != nil {
		return classify(path, err)
	}
	figures.Attach(server)
	endpoint.Attach(server)
	if start.Statsd.Host != "" {
		statsd := admin.StartStatsd(start.Statsd.String(), figures)
		defer statsd.Close() // before the server, which it asks
	}
	stdin := make(chan struct{})
	if harness {
		go awaitInput(s.in, stdin)
	}
	select {
	case err := <-ended:
		if next := nextRelease(log, err, !start.EndsOnUpgrade, program); next != nil {
			if again := (*restart)(nil); errors.As(next, &again) {
				supervisor.leave()
			}
			return next
		}
		// The line is written before the stop, because the stop waits for the disk.
		return fail(log, classify(path, err))
	case <-stopping:
		supervisor.end()
		if beforeStop != nil {
			beforeStop()
		}
		endpoint.SetReady(false)
		if err := settle(server, log, ended); err != nil {
			return fail(log, classify(path, err))
		}
		return nil
	case <-stdin:
		// At once: the harness may be gone, and the data file needs no farewell. A harness that has
		// closed its end of stderr delays nothing; one that holds it and does not read, by
		// flushedWithin.
		log.InputEnded(events.InputEnded{Status: exitDone})
		log.Close(flushedWithin)
		os.Exit(exitDone)
	}
	return nil
}

// settledWithin bounds the time for which a stop waits for a checkpoint. Supervisors that kill a
// process that does not end wait for 10 s and more.
const settledWithin = 8 * time.Second

// settle lets the server take a checkpoint before it ends, if the next start would have much to
// execute without one.
//
// error: the server has stopped by itself meanwhile.
func settle(server *replica.Server, log *events.Log, ended <-chan error) error {
	began := time.Now()
	settled := events.Settled{}
	select {
	case err := <-ended:
		return err
	case <-server.Leave():
		settled.IsDone = true
	case <-time.After(settledWithin):
	}
	settled.DurationNs = uint64(time.Since(began))
	if !settled.IsDone || settled.DurationNs > settledQuickNs {
		log.Settled(settled)
	}
	return nil
}

// settledQuickNs is the time up to which a checkpoint before the end gets no line.
const settledQuickNs = 100_000_000

// obey closes stopping at the first signal. The second signal ends the process at once. The first
// one waits for the disk, which may hang. Everything that was acknowledged is durable in either
// case.
func obey(signals <-chan os.Signal, stopping chan<- struct{}, log *events.Log) {
	log.Stopping(events.Stopping{Signal: signalName(<-signals)})
	close(stopping)
	second := <-signals
	os.Exit(exitSignaled + int(second.(unix.Signal)))
}

func signalName(s os.Signal) string { return unix.SignalName(s.(unix.Signal)) }

// announce tells a harness the port. A closed stdout is no error.
func announce(out *os.File, port uint16) {
	fmt.Fprintf(out, "%d\n", port)
	out.Close()
}

// listenMetrics opens the metrics endpoint, or returns nil if none is wanted. Until clients are
// served, the endpoint tells the progress of the start.
func listenMetrics(s *streams, start *config.Start, progress *replica.Progress, log admin.Leveled,
	figures *admin.Figures) (*admin.Server, error) {
	if start.MetricsAddress.Host == "" {
		return nil, nil
	}
	endpoint, err := admin.Listen(start.MetricsAddress.String(), admin.Options{
		Version: version, PageBytes: start.Limits.PageBytes, Pprof: start.MetricsPprof, Progress: progress, Log: log,
		Figures: figures,
	})
	switch {
	case err == nil:
		if !endpoint.IsLoopback() {
			fmt.Fprintln(s.err, exposed(start.MetricsAddress))
		}
		fmt.Fprintf(s.err, "metrics at http://%s\n", endpoint.Address())
		return endpoint, nil
	case start.MetricsOptional:
		fmt.Fprintf(s.err, "warning: no metrics: %v\n", err)
		return nil, nil
	}
	return nil, fmt.Errorf("--metrics-address=%s: %w", start.MetricsAddress, err)
}

// clusterZero is the warning about a production start of cluster 0, which is for tests. It is "" if
// there is nothing to warn of.
func clusterZero(cluster wire.U128, development bool) string {
	if development || !cluster.IsZero() {
		return ""
	}
	return "the data file is of cluster 0, which is for tests: clients of other test servers can reach it by mistake; format " +
		"production files with an id of their own, " +
		"or start this one with --development"
}

// exposed is the warning about a metrics address that is no loopback address.
func exposed(address config.Address) string {
	return fmt.Sprintf("warning: --metrics-address=%s: other machines reach this address, and the endpoint has no password: "+
		"name a loopback address, as in 127.0.0.1:%d, or keep it on a private network", address, address.Port)
}

// awaitInput returns when in ends or yields a byte.
func awaitInput(in io.Reader, done chan<- struct{}) {
	var one [1]byte
	_, _ = in.Read(one[:])
	close(done)
}

func ioKind(flag *string) (replica.IOKind, error) {
	if flag == nil {
		return replica.IOAuto, nil
	}
	switch *flag {
	case "auto":
		return replica.IOAuto, nil
	case "uring":
		return replica.IOUring, nil
	case "posix":
		return replica.IOPosix, nil
	}
	return 0, fmt.Errorf("--io=%s: must be auto, uring or posix", *flag)
}

// ownAddress is the address of this replica: that of its index in the list. Those behind the
// replicas' are of standbys. A file that is none of ours has no index, and is refused later.
func ownAddress(start *config.Start, file ports.File) (config.Address, error) {
	index, count, ok := replica.PositionOf(file, &start.Limits)
	if !ok {
		return start.Addresses[0], nil
	}
	start.Limits.StandbysCount = start.Addresses.Standbys(uint32(index), uint32(count))
	if err := start.Addresses.CheckReplicas(uint32(index), uint32(count)); err != nil {
		return config.Address{}, fmt.Errorf("%s: %w", start.AddressesOrigin, err)
	}
	return start.Addresses[index], nil
}

// resolve turns the replica's own address into one on which it can listen.
func resolve(address config.Address) (netip.AddrPort, error) {
	if ip, ok := address.IP(); ok {
		return netip.AddrPortFrom(ip, address.Port), nil
	}
	ip, err := lookup(address.Host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("--addresses: %s: %w", address, err)
	}
	return netip.AddrPortFrom(ip, address.Port), nil
}

// classify gives an error its exit status.
func classify(path string, err error) error {
	if err == nil {
		return nil
	}
	var fault *replica.FaultError
	switch {
	case noSpace(err) != "":
		return &statusError{exitNoSpace, fmt.Errorf("%s: no space left on the disk: free some, or raise the quota or limit, and start again; "+
			"nothing acknowledged is lost: %w", path, err)}
	case errors.Is(err, replica.ErrStorageLimit):
		return &statusError{exitLimit, fmt.Errorf("%s: %w", path, err)}
	case errors.As(err, &fault) && fault.NeedsOthers():
		return &statusError{exitOthers, fmt.Errorf("%s: %w", path, err)}
	case errors.As(err, &fault):
		return &statusError{exitDamage, fmt.Errorf("%s: %w", path, err)}
	}
	return fmt.Errorf("%s: %w", path, err)
}
