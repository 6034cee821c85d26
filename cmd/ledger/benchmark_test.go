package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"ledger/bench"
)

// Goal: what benchmark cannot do it refuses at once, by the flag's name, before a server is started
// or a file is made.
func TestBenchmarkRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for arguments, want := range map[string]string{
		"--account-count=1":                                      "--account-count=1",
		"--transfer-batch-count=8190":                            "--transfer-batch-count=8190",
		"--transfer-batch-delay=5":                               "--transfer-batch-delay=5",
		"--id-order=odd":                                         "--id-order=odd",
		"--account-distribution=odd":                             "--account-distribution=odd",
		"--validate":                                             "--validate",
		"--imported --clients=2":                                 "--clients=2",
		"--cluster=5":                                            "--cluster=5",
		"--cluster=x --addresses=3001":                           "--cluster=x",
		"--addresses=0":                                          "--addresses=0",
		"--addresses=1:2:3":                                      "--addresses=1:2:3",
		"--addresses=3001 --cache-grid=1GiB":                     "--cache-grid=1GiB",
		"--addresses=3001 --file=x":                              "--file=x",
		"--transfer-rate=-1":                                     "--transfer-rate=-1",
		"--transfer-rate=10 --transfer-batch-delay=1ms":          "--transfer-batch-delay=1ms",
		"--metrics-address=9000":                                 "--metrics-address=9000",
		"--addresses=3001 --print-stages":                        "--print-stages",
		"--addresses=3001 --metrics-address=a:b:c":               "--metrics-address=a:b:c",
		"--transfer-count=ten":                                   "--transfer-count",
		"--transfer-count=-1":                                    "--transfer-count",
		"--transfer-pending=perhaps":                             "--transfer-pending",
		"--seed=x":                                               "--seed",
		"--clients=0":                                            "--clients=0",
		"--clients=1025":                                         "--clients=1025",
		"--account-count-hot=-1":                                 "--account-count-hot",
		"--account-batch-count=0":                                "--account-batch-count=0",
		"--query-count=x":                                        "--query-count",
		"--warmup=5":                                             "--warmup",
		"--interval=1ms":                                         "--interval=1ms",
		"--file=there/is/no/such/folder/x":                       "there/is/no/such/folder/x",
		"--cache-grid=7":                                         "--cache-grid=7",
		"--cache-transfers=1GB":                                  "--cache-transfers=1GB",
		"--statsd=127.0.0.1:8125":                                "--statsd=127.0.0.1:8125",
		"--trace=x.json":                                         "--trace=x.json",
		"--addresses=3001 --log-debug-replica":                   "--log-server",
		"--clients=1 --clients=2":                                "--clients",
		"--json=there/is/no/such/folder/x":                       "there/is/no/such/folder/x",
		"--html=there/is/no/such/folder/x":                       "there/is/no/such/folder/x",
		"--surprise":                                             "--surprise",
		"--workload=odd":                                         "--workload=odd",
		"--callers=8":                                            "--callers=8",
		"--call-rate=100":                                        "--call-rate=100",
		"--workload=payments --call-count=0":                     "--call-count=0",
		"--workload=payments --callers=1025":                     "--callers=1025",
		"--workload=payments --validate --id-order=random":       "--validate",
		"--workload=payments --transfer-rate=5":                  "--transfer-rate=5",
		"--workload=payments --account-count-hot=9999":           "--account-count-hot=9999",
		"--clients=1000 --readers=25":                            "--readers=25",
		"--account-count-hot=20000 --account-count=10000":        "--account-count-hot=20000",
		"--transfer-hot-percent=101 --addresses=127.0.0.1:39999": "--transfer-hot-percent=101",
	} {
		var errorOut bytes.Buffer
		status := run(append([]string{"benchmark"}, strings.Fields(arguments)...), os.Stdin, os.Stdout, &errorOut)
		if status != exitRefused || !strings.Contains(errorOut.String(), want) {
			t.Errorf("benchmark %s: status %d, %q; want status %d and %q", arguments, status, errorOut.String(), exitRefused, want)
		}
	}
	if left, _ := os.ReadDir("."); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Goal: each flag does what it says: the load's options, or what the server is started with, change
// there and nowhere else. A flag without a line here fails the test, so does a default that is not
// the reference's.
func TestBenchmarkFlags(t *testing.T) {
	parse := func(arguments ...string) (*benchmarkCommand, bench.Options) {
		t.Helper()
		var line struct {
			Benchmark benchmarkCommand `cmd:""`
		}
		parser, err := kong.New(&line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(append([]string{"benchmark"}, arguments...)); err != nil {
			t.Fatalf("%s: %v", arguments, err)
		}
		options, err := line.Benchmark.options()
		if err != nil {
			t.Fatalf("%s: %v", arguments, err)
		}
		return &line.Benchmark, options
	}
	if _, got := parse(); !reflect.DeepEqual(got, bench.DefaultOptions()) {
		t.Errorf("without flags: %+v, want %+v", got, bench.DefaultOptions())
	}
	type change func(o *bench.Options)
	options := map[string]change{
		"--account-count=20000":                   func(o *bench.Options) { o.AccountCount = 20_000 },
		"--account-count-hot=7":                   func(o *bench.Options) { o.AccountCountHot = 7 },
		"--account-distribution=zipfian":          func(o *bench.Options) { o.AccountDistribution = bench.DistributionZipfian },
		"--account-distribution=latest":           func(o *bench.Options) { o.AccountDistribution = bench.DistributionLatest },
		"--account-batch-count=100":               func(o *bench.Options) { o.AccountBatchCount = 100 },
		"--transfer-count=5":                      func(o *bench.Options) { o.TransferCount = 5 },
		"--transfer-count=1_000":                  func(o *bench.Options) { o.TransferCount = 1000 },
		"--transfer-batch-count=100":              func(o *bench.Options) { o.TransferBatchCount = 100 },
		"--transfer-batch-delay=5ms":              func(o *bench.Options) { o.TransferBatchDelay = 5 * time.Millisecond },
		"--transfer-hot-percent=30":               func(o *bench.Options) { o.TransferHotPercent = 30 },
		"--transfer-pending":                      func(o *bench.Options) { o.TransferPending = true },
		"--transfer-pending=true":                 func(o *bench.Options) { o.TransferPending = true },
		"--query-count=3":                         func(o *bench.Options) { o.QueryCount = 3 },
		"--id-order=random":                       func(o *bench.Options) { o.IDOrder = bench.IDOrderRandom },
		"--id-order=sequential":                   func(o *bench.Options) { o.IDOrder = bench.IDOrderSequential },
		"--id-order=reversed":                     func(o *bench.Options) { o.IDOrder = bench.IDOrderReversed },
		"--clients=32":                            func(o *bench.Options) { o.ClientsCount = 32 },
		"--seed=7":                                func(o *bench.Options) { o.Seed = 7 },
		"--flag-history=false":                    func(o *bench.Options) { o.FlagHistory = false },
		"--no-history":                            func(o *bench.Options) { o.FlagHistory = false },
		"--imported":                              func(o *bench.Options) { o.FlagImported = true },
		"--flag-imported":                         func(o *bench.Options) { o.FlagImported = true },
		"--validate":                              func(o *bench.Options) { o.Validate = true },
		"--transfer-rate=1000.5":                  func(o *bench.Options) { o.TransferRate = 1000.5 },
		"--build-ahead":                           func(o *bench.Options) { o.BuildAhead = true },
		"--workload=payments":                     func(o *bench.Options) { o.Workload = bench.WorkloadPayments },
		"--call-count=77":                         func(o *bench.Options) { o.CallCount = 77 },
		"--call-rate=1000.5":                      func(o *bench.Options) { o.CallRate = 1000.5 },
		"--callers=8":                             func(o *bench.Options) { o.CallersCount = 8 },
		"--readers=2":                             func(o *bench.Options) { o.ReadersCount = 2 },
		"--warmup=3s":                             func(o *bench.Options) { o.Warmup = 3 * time.Second },
		"--interval=10s":                          func(o *bench.Options) { o.Interval = 10 * time.Second },
		"--addresses=3001,localhost":              func(o *bench.Options) { o.Addresses = []string{"127.0.0.1:3001", "localhost:3001"} },
		"--addresses=3001 --cluster=7":            func(o *bench.Options) { o.Addresses, o.Cluster.Lo = []string{"127.0.0.1:3001"}, 7 },
		"--addresses=3001 --metrics-address=9000": func(o *bench.Options) { o.Addresses = []string{"127.0.0.1:3001"} },
	}
	for arguments, apply := range options {
		want := bench.DefaultOptions()
		apply(&want)
		if _, got := parse(strings.Fields(arguments)...); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", arguments, got, want)
		}
	}
	// What the server is started with, and what is printed and written: TestBenchmarkRuns has their
	// effects.
	server := map[string]bool{
		"--file=x": true, "--cache-grid=64MiB": true, "--cache-accounts=16MiB": true, "--log-server": true, "--log-debug": true,
		"--log-debug-replica": true,
		"--json=x":            true, "--html=x": true, "--print-stages": true, "--print-batch-timings": true, "--checksum-performance": true,
		"--cache-transfers=1GiB": true, "--cache-transfers-pending=1GiB": true, "--statsd=x": true, "--trace=x": true,
	}
	tried := map[string]bool{"--help": true}
	note := func(arguments string) {
		for _, argument := range strings.Fields(arguments) {
			name, _, _ := strings.Cut(argument, "=")
			tried[name] = true
		}
	}
	for arguments := range options {
		note(arguments)
	}
	for argument := range server {
		note(argument)
		command, _ := parse(argument)
		if empty, _ := parse(); reflect.DeepEqual(command, empty) {
			t.Errorf("%s changes nothing", argument)
		}
	}
	parser, err := kong.New(&struct {
		Benchmark benchmarkCommand `cmd:""`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Node.Children[0].Flags {
		for _, name := range append([]string{flag.Name}, flag.Aliases...) {
			if !tried["--"+name] {
				t.Errorf("--%s is not tried", name)
			}
		}
	}
}

// Goal: a benchmark with a server of its own, from the command line to the last line: what is
// printed, what is written, what is kept.
func TestBenchmarkRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	status, stdout, stderr := ended(t, nil, "benchmark", "--account-count=200", "--transfer-count=20000", "--transfer-batch-count=1000",
		"--clients=70",
		"--query-count=5", "--id-order=random", "--validate", "--transfer-pending", "--account-distribution=zipfian", "--checksum-performance",
		"--print-batch-timings", "--print-stages", "--log-debug-replica", "--file=kept.data", "--json=out.json", "--html=out.html",
		"--cache-grid=64MiB", "--cache-accounts=16MiB", "--cache-transfers=64MiB", "--interval=100ms", "--build-ahead")
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{
		`(?m)^20 batches in \d+\.\d\d s$`, `(?m)^load accepted = \d+ tx/s$`, `(?m)^batch latency p99\.99 = \d+ ms$`, `(?m)^5 queries in`,
		`(?m)^validated 200 accounts$`, `(?m)^validated 20000 transfers$`, `(?m)^checksum message size max = \d+ us$`,
		`(?m)^at \d+\.\d s: \d+ batches, \d+ tx, slowest \d+ ms$`, `(?m)^thread +stepping`, `(?m)^rss = \d+ bytes$`, `(?m)^datafile = \d+ bytes$`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no line like %s in\n%s", want, stdout)
		}
	}
	// On a pipe there is no progress, only what was asked for: the server's log, and the warning.
	if strings.ContainsAny(stderr, "\r\x1b") || !strings.Contains(stderr, "sessions 70") ||
		!strings.Contains(stderr, "caches: grid 64 MiB, accounts 131072") ||
		!strings.Contains(stderr, "warning: --cache-transfers=64MiB changes nothing") {
		t.Errorf("stderr: %s", stderr)
	}
	var result bench.Result
	if text, err := os.ReadFile("out.json"); err != nil || json.Unmarshal(text, &result) != nil || result.Transfers.EventsCount != 20_000 ||
		result.Options.AccountCount != 200 || result.Server == nil || !strings.Contains(result.Summary, "20000 transfers") {
		t.Errorf("out.json: error %v, %+v", err, result.Transfers)
	}
	if page, err := os.ReadFile("out.html"); err != nil || strings.Count(string(page), "<svg") < 3 ||
		!strings.Contains(string(page), "What the server did") {
		t.Errorf("out.html: %d bytes, error %v", len(page), err)
	}
	if _, err := os.Stat("kept.data"); err != nil {
		t.Errorf("the file that was named is not kept: %v", err)
	}
	if left, _ := filepath.Glob("*benchmark*"); len(left) > 0 {
		t.Errorf("files left: %q", left)
	}
}

// Goal: the payments workload with readers, from the command line to the last line, with a server
// of its own that has a session for each.
func TestBenchmarkRunsPayments(t *testing.T) {
	t.Chdir(t.TempDir())
	status, stdout, stderr := ended(t, nil, "benchmark",
		"--workload=payments", "--clients=8", "--callers=8", "--readers=60", "--call-count=3000",
		"--account-count=500", "--cache-grid=64MiB", "--cache-accounts=16MiB", "--json=out.json")
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{`(?m)^3000 calls in`, `(?m)^sessions = 8 with 8 callers each$`, `(?m)^server cpu per call = \d+\.\d us$`,
		`(?m)^search by 3 fields( +\d+){7}$`, `(?m)^60 readers: \d+ queries, \d+ rows/s$`, `(?m)^rss = \d+ bytes$`} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no line like %s in\n%s", want, stdout)
		}
	}
	var result bench.Result
	text, err := os.ReadFile("out.json")
	if err != nil || json.Unmarshal(text, &result) != nil || result.Payments.Calls.RequestsCount != 3000 {
		t.Errorf("out.json: error %v, %+v", err, result.Payments)
	}
}
