package cluster

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"ledger/interop/server"
)

// page is what the metrics endpoint of replica i answers; "" if it does not.
func (g *group) page(i int, path string) string {
	response, err := figureClient.Get(fmt.Sprintf("http://127.0.0.1:%d%s", g.metrics[i], path))
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// trickleRate lets handshakes and some prepares of small requests through, in bytes per second.
const trickleRate = 4 << 10

// trickle throttles what the others say to replica i on each connection; 0: no longer.
func (g *group) trickle(i, rate int) {
	for j := range replicas {
		if j != i {
			g.flow(j, i).throttled(rate)
		}
	}
}

// TestUpgradeStateSync: a backup misses the switch to the newer release, and comes back when the
// others have gone on by more than a log. With the older program it says what it needs, serves
// nobody, and leaves its checkpoint as it was. With the newer one it starts as the older release,
// takes over a checkpoint of the newer one, and goes on as that. No client has an error.
//
// What the others say to the backup arrives at a trickle from the moment at which the last program
// is to be replaced. So it still tells what it offers, the upgrade begins, and it is over on the
// others before the backup has the log of it.
func TestUpgradeStateSync(t *testing.T) {
	r := newRolling(t)
	p := newProbe(t, r.group)
	l := newLoad(t, r.group, 8)
	l.begin(smallOp, 20*time.Millisecond)
	l.awaitCalls(r.group, 50)
	backup := (p.primary(r.group) + 1) % replicas
	first, last := (backup+1)%replicas, (backup+2)%replicas
	r.roll(t, backup)
	r.roll(t, first)
	r.trickle(backup, trickleRate)
	install(t, r.newer, r.programs[last])
	r.terminate(last)
	r.start(last)
	r.awaitRelease(releaseNew, first, last)
	if running, ok := r.metric(backup, metricRelease); !ok || running != releaseOld {
		t.Fatalf("the backup that hears the others late runs release %d (it answers: %v)", running, ok)
	}
	before, _ := r.figures(backup)
	r.kill(backup)
	r.trickle(backup, 0)
	l.pause.Store(0)
	r.await("the others are more than a log ahead, with a checkpoint", func() bool {
		r.alive(backup)
		f, _ := r.figures(first)
		return f.commit > before.executed+logLap && f.checkpoint > before.executed
	})

	install(t, server.Binary(t), r.programs[backup])
	r.start(backup)
	r.await("the older program says what it needs", func() bool {
		r.alive()
		return strings.Contains(r.page(backup, "/readyz"), "release")
	})
	said := strings.TrimSpace(r.page(backup, "/readyz"))
	l.awaitCalls(r.group, 50)
	if f, ok := r.figures(backup); ok && f.checkpoint > before.executed {
		t.Errorf("the older program has taken over the checkpoint of op %d", f.checkpoint)
	}
	r.kill(backup)

	install(t, r.newer, r.programs[backup])
	behind := r.newest().commit - before.executed
	begun := time.Now()
	r.start(backup)
	r.awaitRelease(releaseNew, backup)
	r.awaitCaughtUp(backup)
	took := time.Since(begun)
	if behind <= logLap { // no log leads to it, so it came back by state sync; the new program may start before a line says so
		t.Errorf("replica %d was %d ops behind, and the logs of the others have the last %d", backup, behind, logLap)
	}
	l.end()
	r.finish(l)
	t.Logf("0 errors; %d ops behind; with the older program: %q; with the newer one back after %.1f s", behind, said, took.Seconds())
}
