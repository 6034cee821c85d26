package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/config"
	"ledger/probe"
	"ledger/wire"
)

// State of a check.
type State string

const (
	OK      State = "ok"
	Warning State = "warning"
	Failure State = "failure"
	Skipped State = "skipped" // nothing was named to examine, or it was not reached
)

// Result of one check.
type Result struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Subject is what is examined. Zero fields are left out.
type Subject struct {
	File      string           // data file; it may be missing
	KeyFile   config.Setting   // the file of the cluster's key
	Addresses config.Addresses // of the replicas, by index
	Cluster   wire.U128
	Metrics   config.Addresses // of the servers' metrics endpoints
	Timeout   time.Duration    // of the questions to servers
}

// Probes are the questions that checks ask. Machine has those of this machine; tests replace them.
type Probes struct {
	Root    string // of the folders proc and sys
	Uring   func() error
	Limit   func(resource int) (unix.Rlimit, error)
	Clock   func() (Clock, error)
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	Listen  func(address netip.AddrPort) error // whether a server could listen there
	Storage func(folder string) (Storage, error)
	Time    func(folder string, writeBytes, count int) (Timing, error) // durable writes
	File    func(path string) (File, error)
	Keys    func(file config.Setting) ([][config.ClusterKeyBytes]byte, error)
	Ping    func(ctx context.Context, options probe.Options) *probe.Report
	Status  func(ctx context.Context, address config.Address) (*admin.Status, error)
	UserID  func() int
}

// examination is one run.
type examination struct {
	Subject
	probes Probes
	ctx    context.Context
	report *probe.Report   // of the servers; nil without addresses
	status []*admin.Status // of those metrics endpoints that answered
	silent []error         // of those that did not
}

// check is one examination. It returns results for its own name.
type check struct {
	name string
	run  func(e *examination) Result
}

// checks in their order.
var checks = []check{
	{"kernel", (*examination).kernel},
	{"io_uring", (*examination).uring},
	{"seccomp", (*examination).seccomp},
	{"memlock", (*examination).memlock},
	{"open_files", (*examination).openFiles},
	{"huge_pages", (*examination).hugePages},
	{"memory", (*examination).memory},
	{"control_group", (*examination).controlGroup},
	{"clock", (*examination).clock},
	{"file_system", (*examination).fileSystem},
	{"direct_io", (*examination).directIO},
	{"free_space", (*examination).freeSpace},
	{"write_4k", (*examination).writeSmall},
	{"write_1m", (*examination).writeLarge},
	{"file_format", (*examination).fileFormat},
	{"file_permissions", (*examination).filePermissions},
	{"file_owner", (*examination).fileOwner},
	{"file_lock", (*examination).fileLock},
	{"cluster_key", (*examination).clusterKey},
	{"names", (*examination).names},
	{"ports", (*examination).ports},
	{"reachable", (*examination).reachable},
	{"cluster", (*examination).cluster},
	{"release", (*examination).release},
	{"primary", (*examination).primary},
	{"replicas", (*examination).replicas},
	{"metrics", (*examination).metrics},
	{"batch_limit", (*examination).batchLimit},
	{"sessions", (*examination).sessions},
}

// Examine runs all checks, and shows each result as soon as it is known.
func Examine(ctx context.Context, subject Subject, probes Probes, show func(Result)) (results []Result) {
	e := &examination{Subject: subject, probes: probes, ctx: ctx}
	e.askServers()
	for _, c := range checks {
		result := c.run(e)
		result.Check = c.name
		results = append(results, result)
		show(result)
	}
	return results
}

// askServers pings the addresses and reads the metrics endpoints.
func (e *examination) askServers() {
	ctx, cancel := context.WithTimeout(e.ctx, e.Timeout)
	defer cancel()
	type reply struct {
		status *admin.Status
		err    error
	}
	replies := make([]chan reply, len(e.Metrics))
	for i, address := range e.Metrics {
		replies[i] = make(chan reply, 1)
		go func() {
			status, err := e.probes.Status(ctx, address)
			replies[i] <- reply{status, err}
		}()
	}
	if len(e.Addresses) > 0 {
		e.report = e.probes.Ping(ctx, probe.Options{Addresses: e.Addresses, Cluster: e.Cluster, Timeout: e.Timeout})
	}
	for _, answered := range replies {
		if r := <-answered; r.err != nil {
			e.silent = append(e.silent, r.err)
		} else {
			e.status = append(e.status, r.status)
		}
	}
}

func ok(format string, arguments ...any) Result {
	return Result{State: OK, Text: fmt.Sprintf(format, arguments...)}
}

func skipped(format string, arguments ...any) Result {
	return Result{State: Skipped, Text: fmt.Sprintf(format, arguments...)}
}

// warning and failure begin with the remedy, which neither lacks.
func warning(remedy, format string, arguments ...any) Result {
	return Result{State: Warning, Remedy: remedy, Text: fmt.Sprintf(format, arguments...)}
}

func failure(remedy, format string, arguments ...any) Result {
	return Result{State: Failure, Remedy: remedy, Text: fmt.Sprintf(format, arguments...)}
}
