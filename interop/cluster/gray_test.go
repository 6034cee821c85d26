package cluster

import (
	"syscall"
	"testing"
	"time"
)

const (
	// A process that is starved of its cores: of each 50 ms it stands still for 40.
	starvedStops = 40 * time.Millisecond
	starvedRuns  = 10 * time.Millisecond
	// thinLink is a link on which a full batch takes a second.
	thinLink = 1 << 20
	grayOps  = 40
)

// starve stops and continues a process again and again until the returned function is called.
func (g *group) starve(i int) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			_ = g.processes[i].Signal(syscall.SIGSTOP)
			goesOn := pause(starvedStops, stop)
			_ = g.processes[i].Signal(syscall.SIGCONT)
			if !goesOn || !pause(starvedRuns, stop) {
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

// TestGrayReplica starves the primary of its cores, then a backup. Then it throttles what the
// primary says to the others. None of them is dead, and all are in the way. Clients have to be
// served all the time, be it by another primary. Shares of the throughput decide nothing.
func TestGrayReplica(t *testing.T) {
	isLong(t)
	g := newGroup(t, options{})
	r := &rotting{T: t, g: g, p: newProbe(t, g), l: newLoad(t, g, 4)}
	l := r.l
	r.p.hurry(true)
	for _, one := range []struct {
		row       string
		isPrimary bool
		begin     func(i int) (end func())
	}{
		{"the primary gets a fifth of its cores", true, g.starve},
		{"a backup gets a fifth of its cores", false, g.starve},
		{"the primary's links are thin", true, func(i int) func() {
			set := func(rate int) {
				for j := range replicas {
					if j != i {
						g.flow(i, j).throttled(rate)
					}
				}
			}
			set(thinLink)
			return func() { set(0) }
		}},
	} {
		l.begin(batchFull, pauseBusy)
		l.awaitCalls(g, 4)
		before := l.rate(g, 16)
		victim := r.p.primary(g)
		if !one.isPrimary {
			victim = (victim + 1) % replicas
		}
		begun, calls := time.Now(), l.calls.Load()
		end := one.begin(victim)
		g.await(one.row+": requests are answered", func() bool {
			g.alive()
			return l.calls.Load() >= calls+grayOps
		})
		during := float64(l.calls.Load()-calls) / time.Since(begun).Seconds()
		next := r.p.primary(g)
		gap := r.p.longest(begun, time.Now())
		end()
		g.awaitCaughtUp(victim)
		l.end()
		t.Logf("| %s | gap %.2f s | %.0f %% of the throughput meanwhile, primary changed: %v |", one.row, gap.Seconds(), 100*during/before,
			one.isPrimary && next != victim)
	}
	r.p.hurry(false)
	g.finish(l)
}
