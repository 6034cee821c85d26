package cluster

import (
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/server"
)

// Releases of the two builds: the server under test, and one with the tag trialrelease, whose rules
// refuse accounts of a code. See limits/releases.go and accounting/rules.go.
const (
	releaseOld, releaseNew = 1, 2
	trialCode              = 0xfffe
)

const metricRelease = "ledger_cluster_running_release"

// trialBinary is a server that offers the release of tests as well: LEDGER_TRIAL_BIN, or one that
// is built here.
func trialBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LEDGER_TRIAL_BIN"); path != "" {
		return path
	}
	_, source, _, _ := runtime.Caller(0)
	path := filepath.Join(t.TempDir(), "ledger")
	command := exec.Command("go", "build", "-tags=trialrelease", "-ldflags=-checklinkname=0", "-o", path, "./cmd/ledger")
	command.Dir = filepath.Join(filepath.Dir(source), "..", "..")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building a server of the release of tests: %v\n%s", err, output)
	}
	return path
}

// rolling is a group whose replicas have programs of their own, which a test replaces.
type rolling struct {
	*group
	programs [replicas]string
	newer    string
}

func newRolling(t *testing.T, args ...string) *rolling {
	t.Helper()
	r := &rolling{newer: trialBinary(t)}
	older, folder := server.Binary(t), t.TempDir()
	for i := range r.programs {
		r.programs[i] = filepath.Join(folder, "ledger-"+strconv.Itoa(i))
		install(t, older, r.programs[i])
	}
	r.group = newGroup(t, options{args: args, isUngoverned: true, program: func(i int) string { return r.programs[i] }})
	r.binary = r.newer // inspects files of both releases
	return r
}

// install puts a program in the place of another one, as a package manager does.
func install(t *testing.T, from, to string) {
	t.Helper()
	bytes, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", bytes, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// roll replaces the program of replica i and restarts it.
func (r *rolling) roll(t *testing.T, i int) {
	t.Helper()
	install(t, r.newer, r.programs[i])
	r.terminate(i)
	r.start(i)
	r.awaitCaughtUp(i)
}

func (r *rolling) awaitRelease(release uint64, members ...int) {
	r.t.Helper()
	r.awaitLasting("the replicas run release "+strconv.FormatUint(release, 10), func() bool {
		for _, i := range members {
			if running, ok := r.metric(i, metricRelease); !ok || running != release {
				return false
			}
		}
		return true
	})
}

// trialStatus is what becomes of an account with the code of tests.
func (r *rolling) trialStatus(account uint64) tb.CreateAccountStatus {
	r.t.Helper()
	b, err := newBank(r.addresses(), false)
	if err != nil {
		r.t.Fatal(err)
	}
	defer b.Close()
	results, err := within(b.CreateAccounts, []tb.Account{{ID: id(account), Ledger: loadLedger, Code: trialCode}})
	if err != nil {
		r.t.Fatal(err)
	}
	return results[0].Status
}

// TestRollingUpgrade replaces the program of one replica after the other, under load of official
// clients and our own. The cluster runs the older rules until the last one, and passes to the newer
// ones by itself. No client has an error. The longest pause is printed.
func TestRollingUpgrade(t *testing.T) {
	r := newRolling(t)
	watches := newStopwatches(t, r.group)
	l := newLoad(t, r.group, 4)
	l.begin(smallOp, 0)
	l.awaitCalls(r.group, 200)
	begun := time.Now()
	rolled := begun
	for i := range replicas {
		if i == replicas-1 {
			rolled = time.Now()
		}
		r.roll(t, i)
		if status := r.trialStatus(1000 + uint64(i)); i < replicas-1 && status != tb.AccountCreated {
			t.Fatalf("with %d programs replaced, an account of code %d is refused: %v", i+1, trialCode, status)
		}
	}
	r.awaitRelease(releaseNew, 0, 1, 2)
	l.awaitCalls(r.group, 200)
	ended := time.Now()
	if status := r.trialStatus(2000); status != tb.AccountCodeMustNotBeZero {
		t.Fatalf("by the newer rules, an account of code %d gets %v", trialCode, status)
	}
	l.end()
	watches.probe.hurry(false)
	r.finish(l)
	t.Logf("0 errors; two programs replaced: %s", watches.longest(begun, rolled))
	t.Logf("0 errors; the last one, and the switch: %s", watches.longest(rolled, ended))
}

// TestUpgradeKilled kills a backup at the switch, and the primary right after it.
func TestUpgradeKilled(t *testing.T) {
	r := newRolling(t)
	p := newProbe(t, r.group)
	l := newLoad(t, r.group, 4)
	l.begin(smallOp, 0)
	l.awaitCalls(r.group, 100)
	for i := range replicas {
		r.roll(t, i)
	}
	primary := p.primary(r.group)
	backup := (primary + 1) % replicas
	r.await("the upgrade has begun, or is over", func() bool {
		upgrading, _ := r.metric(backup, "ledger_cluster_upgrading_release")
		running, _ := r.metric(primary, metricRelease)
		return upgrading == releaseNew || running == releaseNew
	})
	r.kill(backup)
	r.kill(primary)
	r.start(primary)
	r.awaitRelease(releaseNew, primary, (primary+2)%replicas)
	l.awaitCalls(r.group, 100, backup)
	r.start(backup)
	r.awaitRelease(releaseNew, backup)
	l.end()
	r.finish(l)
}

// contentOf is the hash of all that is in a file.
func contentOf(t *testing.T, path string) (sum [sha256.Size]byte) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// TestUpgradeRefused: with --on-upgrade=exit each process ends at the switch, and is started again
// here as a supervisor does. Behind it, the older program refuses the data file before it writes
// anything, and start --check says so.
func TestUpgradeRefused(t *testing.T) {
	r := newRolling(t, "--on-upgrade=exit")
	l := newLoad(t, r.group, 2)
	for i := range replicas {
		install(t, r.newer, r.programs[i])
		r.terminate(i)
		r.start(i)
	}
	ended := 0
	r.await("all have ended and run the newer release", func() bool {
		count := 0
		for i, process := range r.processes {
			if !process.Running() {
				ended++
				r.start(i)
			}
			if running, ok := r.metric(i, metricRelease); ok && running == releaseNew {
				count++
			}
		}
		return count == replicas
	})
	if ended != replicas {
		t.Errorf("%d processes have ended at the switch", ended)
	}
	for i := range replicas {
		r.terminate(i)
	}
	for i := range replicas {
		before := contentOf(t, r.files[i].Path)
		older := server.Binary(t)
		for _, args := range [][]string{{"start", "--check", r.files[i].Path},
			{"start", "--addresses=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", r.files[i].Path}} {
			output, err := exec.Command(older, args...).CombinedOutput()
			if status := err.(*exec.ExitError).ExitCode(); status != 1 {
				t.Errorf("%v ends with status %d: %s", args, status, output)
			}
		}
		if contentOf(t, r.files[i].Path) != before {
			t.Errorf("the older program has changed the data file of replica %d", i)
		}
		r.start(i)
	}
	r.awaitRelease(releaseNew, 0, 1, 2)
	l.begin(smallOp, 0)
	l.awaitCalls(r.group, 100)
	l.end()
	r.finish(l)
}
