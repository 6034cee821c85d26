package doctor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/config"
	"ledger/probe"
	"ledger/wire"
)

// patient is a machine and a cluster that lack nothing, and what a test breaks of it.
type patient struct {
	t *testing.T
	Subject
	Probes
}

// healthy makes one.
func healthy(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t}
	p.Subject = Subject{File: "/data/0.data", KeyFile: config.Flag("cluster-key-file", "/data/cluster.key"),
		Addresses: config.Addresses{{Host: "10.0.0.1", Port: 1}, {Host: "b.example", Port: 2}},
		Cluster:   wire.U128{Lo: 7}, Metrics: config.Addresses{{Host: "10.0.0.1", Port: 9}}, Timeout: time.Second}
	p.Root = t.TempDir()
	for path, content := range map[string]string{
		"proc/sys/kernel/osrelease":         "6.18.0-generic",
		"proc/sys/kernel/io_uring_disabled": "0",
		"proc/self/status":                  "Name:\tx\nCapEff:\t0000000000000000\nSeccomp:\t0\n",
		"proc/meminfo":                      "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\n",
		"proc/self/cgroup":                  "0::/ledger\n",
		"proc/self/mountinfo":               "35 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
		"sys/fs/cgroup/ledger/cpu.max":      "max 100000",
		"sys/fs/cgroup/ledger/memory.max":   "max",

		"sys/kernel/mm/transparent_hugepage/enabled":                      "always [madvise] never",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
	} {
		p.write(path, content)
	}
	p.Uring = func() error { return nil }
	p.Limit = func(int) (unix.Rlimit, error) {
		return unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil
	}
	p.Clock = func() (Clock, error) { return Clock{IsSynchronised: true, ErrorMax: time.Millisecond}, nil }
	p.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.2")}, nil
	}
	p.Listen = func(netip.AddrPort) error { return unix.EADDRNOTAVAIL }
	p.Storage = func(string) (Storage, error) {
		return Storage{Name: "ext4", FreeBytes: 500 << 30, AllBytes: 1 << 40}, nil
	}
	p.Time = func(string, int, int) (Timing, error) { return Timing{Median: 100 * time.Microsecond, Count: 64}, nil }
	p.Probes.File = func(string) (File, error) {
		return File{Exists: true, Mode: 0o600, Owner: 1000, IsOurs: true, Cluster: "7", Replicas: 2, SizeBytes: 2 << 30}, nil
	}
	p.Ping = func(context.Context, probe.Options) *probe.Report {
		return &probe.Report{Verdict: probe.VerdictServed, Text: "10.0.0.1:1 takes requests", Replicas: []probe.Replica{
			{Index: 0, Address: "10.0.0.1:1", State: probe.StateAnswers, Release: "0.17.9", IsPrimary: true},
			{Index: 1, Address: "b.example:2", State: probe.StateAnswers, Release: "0.17.9", Replica: 1},
		}}
	}
	p.Status = func(context.Context, config.Address) (*admin.Status, error) {
		return &admin.Status{IsReady: true, Role: "primary", Sessions: 3,
			Limits: admin.StatusLimits{RequestBytes: wire.MessageBytesMax, Sessions: 64}}, nil
	}
	p.Keys = func(config.Setting) ([][config.ClusterKeyBytes]byte, error) {
		return [][config.ClusterKeyBytes]byte{{1}}, nil
	}
	p.UserID = func() int { return 1000 }
	return p
}

// write a file of proc or sys.
func (p *patient) write(path, content string) {
	p.t.Helper()
	path = filepath.Join(p.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// remove a file of proc or sys.
func (p *patient) remove(path string) {
	p.t.Helper()
	if err := os.Remove(filepath.Join(p.Root, path)); err != nil {
		p.t.Fatal(err)
	}
}

// examined is the result of each check.
func (p *patient) examined() map[string]Result {
	results := map[string]Result{}
	for _, r := range Examine(p.t.Context(), p.Subject, p.Probes, func(Result) {}) {
		results[r.Check] = r
	}
	return results
}

// pings changes the report of the servers.
func (p *patient) pings(change func(r *probe.Report)) {
	before := p.Ping
	p.Ping = func(ctx context.Context, o probe.Options) *probe.Report {
		r := before(ctx, o)
		change(r)
		return r
	}
}

// looks changes the data file.
func (p *patient) looks(change func(f *File)) {
	before := p.Probes.File
	p.Probes.File = func(path string) (File, error) {
		f, err := before(path)
		change(&f)
		return f, err
	}
}

// says changes the state of the server.
func (p *patient) says(change func(s *admin.Status)) {
	before := p.Status
	p.Status = func(ctx context.Context, a config.Address) (*admin.Status, error) {
		s, err := before(ctx, a)
		change(s)
		return s, err
	}
}

// stores changes the file system.
func (p *patient) stores(change func(s *Storage)) {
	before := p.Storage
	p.Storage = func(folder string) (Storage, error) {
		s, err := before(folder)
		change(&s)
		return s, err
	}
}

// illness is what a test breaks, and what the check says then.
type illness struct {
	name  string
	give  func(p *patient)
	state State
	text  string
}

// diagnosed runs a check on each illness. A check that is not ok has a remedy, and one that is ok
// has none.
func diagnosed(t *testing.T, check string, illnesses ...illness) {
	t.Helper()
	well := healthy(t).examined()[check]
	if well.State != OK || well.Text == "" || well.Remedy != "" {
		t.Errorf("a healthy machine: %+v", well)
	}
	for _, i := range illnesses {
		p := healthy(t)
		i.give(p)
		got := p.examined()[check]
		needs := got.State == Warning || got.State == Failure
		if got.State != i.state || !strings.Contains(got.Text, i.text) || needs != (got.Remedy != "") || strings.Contains(got.Text, "\n") {
			t.Errorf("%s: %+v, want %s with %q", i.name, got, i.state, i.text)
		}
	}
}

var errBroken = errors.New("it is broken")

// Goal: a healthy machine and cluster pass every check, each in its order, and without a subject
// the checks of files and servers are left out.
func TestHealthy(t *testing.T) {
	p := healthy(t)
	for i, r := range Examine(t.Context(), p.Subject, p.Probes, func(Result) {}) {
		if r.State != OK || r.Check != checks[i].name {
			t.Errorf("%+v", r)
		}
	}
	p.Subject = Subject{Timeout: time.Second}
	skippedCount := 0
	for _, r := range p.examined() {
		if r.State == Skipped {
			skippedCount++
		} else if r.State != OK {
			t.Errorf("without a subject: %+v", r)
		}
	}
	if skippedCount != 15 {
		t.Errorf("without a subject, %d checks are skipped", skippedCount)
	}
}

// Goal: the table of docs/doctor.md has a row for each check, in order, and the test that it names
// exists.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	paths, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(text)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|.*\\| `(Test[A-Za-z0-9]+)` \\|$").FindAllStringSubmatch(string(page), -1)
	if len(rows) != len(checks) {
		t.Errorf("docs/doctor.md has %d rows, there are %d checks", len(rows), len(checks))
	}
	for i := range min(len(rows), len(checks)) {
		if rows[i][1] != checks[i].name {
			t.Errorf("row %d is of %s, want %s", i, rows[i][1], checks[i].name)
		}
		if !strings.Contains(tests, "\nfunc "+rows[i][2]+"(t *testing.T) {") {
			t.Errorf("%s: there is no test %s", rows[i][1], rows[i][2])
		}
	}
}
