package cluster

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	pausesFlag = flag.String("pauses", "5s", "how long TestBackupPauses stops a backup, as in 1s,5s,60s")
	sizesFlag  = flag.String("sizes", fmt.Sprint(batchFull, ",", smallOp), "transfers of the requests of TestBackupPauses")
)

const (
	smallOp = 10 // transfers of a small request
	// logLap is a lag that the log cannot make good: state sync has to.
	logLap = logSlots + 100
	// pauseNoticed is when the others of a backup that was stopped have to be as fast as before.
	pauseNoticed = 5 * time.Second
)

// TestBackupPauses stops a backup and lets it go on later, under full batches and under small ops.
// It has to come back by itself, by the log or by state sync. Throughput and times are printed.
func TestBackupPauses(t *testing.T) {
	isLong(t)
	g := newGroup(t, options{isUngoverned: true})
	p := newProbe(t, g)
	l := newLoad(t, g, 8)
	for sizeText := range strings.SplitSeq(*sizesFlag, ",") {
		size, err := strconv.Atoi(sizeText)
		if err != nil || size < 1 || size > batchFull {
			t.Fatalf("-sizes=%s: want numbers from 1 to %d", *sizesFlag, batchFull)
		}
		for text := range strings.SplitSeq(*pausesFlag, ",") {
			length, err := time.ParseDuration(text)
			if err != nil {
				t.Fatalf("-pauses=%s: %v", *pausesFlag, err)
			}
			g.pause(p, l, size, length)
		}
	}
	g.finish(l)
}

// pause stops a backup for so long under load, and awaits its return under load.
func (g *group) pause(p *probe, l *load, size int, length time.Duration) {
	g.t.Helper()
	backup := (p.primary(g) + 1) % replicas
	l.begin(size, 0)
	before := l.during(g, 2*time.Second)
	syncs, _ := g.metric(backup, metricSyncs)
	g.signal(backup, syscall.SIGSTOP)
	stopped := l.during(g, min(length, pauseNoticed))
	if length > pauseNoticed {
		stopped = l.during(g, length-pauseNoticed) // of the time in which it is known
	}
	lag := g.newest(backup).commit // one that is stopped would be asked until a timeout, and stand still for longer
	g.signal(backup, syscall.SIGCONT)
	begun, calls := time.Now(), l.calls.Load()
	g.await("the backup that was stopped answers", func() bool {
		f, ok := g.figures(backup)
		if ok {
			lag -= min(lag, f.executed)
		}
		return ok
	})
	g.awaitCaughtUp(backup)
	took := time.Since(begun)
	after := float64(l.calls.Load()-calls) / took.Seconds()
	syncsAfter, known := g.metric(backup, metricSyncs)
	later := l.during(g, 2*time.Second)
	l.end()
	g.t.Logf("requests of %d, stopped for %v: %.1f requests/s before, %.0f %% meanwhile, %.0f %% until it was back, %.0f %% then; "+
		"%d ops behind, back after %.1f s; %s", size, length, before, 100*stopped/before, 100*after/before, 100*later/before, lag, took.Seconds(),
		syncsSaid(syncsAfter-syncs, known))
}

// metricSyncs counts the checkpoints that a replica has taken over since its start.
const metricSyncs = "ledger_cluster_begun_syncs"

func syncsSaid(count uint64, known bool) string {
	if !known {
		return "the number of syncs is not known"
	}
	return fmt.Sprintf("%d syncs", count)
}

// during measures requests per second for a time.
func (l *load) during(g *group, length time.Duration) float64 {
	l.t.Helper()
	begun, calls := time.Now(), l.calls.Load()
	for time.Since(begun) < length {
		g.alive()
		time.Sleep(pollNext)
	}
	return float64(l.calls.Load()-calls) / time.Since(begun).Seconds()
}

// finish audits and compares the replicas.
func (g *group) finish(l *load) {
	g.t.Helper()
	l.audit()
	g.settle(l)
	g.t.Logf("%d transfers, 0 lost, 0 doubled, %s", l.transfers(), g.wantEqualDigests())
}

// TestKilledWhileSyncing kills a backup, which then is more than a log behind, and kills it again
// in the middle of its state sync, twice. The times of these kills are drawn.
func TestKilledWhileSyncing(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{isUngoverned: true})
	p := newProbe(t, g)
	l := newLoad(t, g, 8)
	l.begin(batchFull, 0)
	l.awaitCalls(g, 16)
	l.end()
	backup := (p.primary(g) + 1) % replicas
	before, _ := g.figures(backup)
	g.kill(backup)
	l.begin(smallOp, 0)
	g.await("the cluster is more than a log ahead, with a checkpoint", func() bool {
		g.alive(backup)
		newest := g.newest()
		f, _ := g.figures(p.primary(g))
		return newest.commit > before.executed+logLap && f.checkpoint > before.executed
	})
	begun := time.Now()
	for round := range 2 {
		g.start(backup)
		g.await("the backup has taken over a checkpoint", func() bool {
			g.alive()
			f, ok := g.figures(backup)
			return ok && f.checkpoint > before.checkpoint && f.checkpoint >= before.executed
		})
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		f, _ := g.figures(backup)
		g.kill(backup)
		t.Logf("kill %d: after %v, at checkpoint op %d, executed op %d of %d", round+1, time.Since(begun), f.checkpoint, f.executed,
			g.newest().commit)
	}
	g.start(backup)
	g.awaitCaughtUp(backup)
	t.Logf("back after %v, two kills included", time.Since(begun))
	l.end()
	g.finish(l)
}

// TestSlowBackup makes each disk request of a backup take 30 ms longer. The others have to keep
// their throughput. The backup may lag, and come back by state sync.
func TestSlowBackup(t *testing.T) {
	isLong(t)
	f, o := newFaults(t)
	o.isUngoverned = true
	g := newGroup(t, o)
	p := newProbe(t, g)
	l := newLoad(t, g, 8)
	for _, size := range []int{batchFull, smallOp} {
		backup := (p.primary(g) + 1) % replicas
		l.begin(size, 0)
		before := l.during(g, slowWindow)
		f.slow(backup, slowDelay)
		during := l.during(g, 3*slowWindow)
		behind := g.newest().commit
		if its, ok := g.figures(backup); ok {
			behind -= min(behind, its.executed)
		}
		f.slow(backup, 0)
		begun := time.Now()
		g.awaitCaughtUp(backup)
		syncs, known := g.metric(backup, metricSyncs)
		l.end()
		t.Logf("requests of %d, backup with %v more per disk request: %.1f requests/s before, %.0f %% meanwhile; %d ops behind then, "+
			"caught up %.1f s after; %s", size, slowDelay, before, 100*during/before, behind, time.Since(begun).Seconds(), syncsSaid(syncs, known))
	}
	g.finish(l)
}
