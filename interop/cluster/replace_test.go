package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	metricNamed   = "ledger_cluster_named_replicas"
	metricVoting  = "ledger_cluster_voting_replicas"
	metricServing = "ledger_cluster_serving_replicas"
)

// recover runs `ledger recover` for replica i, as an operator does.
func (g *group) recover(i int) {
	g.t.Helper()
	command := exec.Command(g.binary, "recover", "--cluster=0", fmt.Sprintf("--replica=%d", i), fmt.Sprintf("--replica-count=%d", replicas),
		"--addresses="+strings.Join(g.addresses(), ","), g.files[i].Path)
	deadline := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	defer deadline.Stop()
	output, err := command.CombinedOutput()
	for _, want := range []string{"the cluster answers", "is made: start it"} {
		if err != nil || !strings.Contains(string(output), want) {
			g.t.Fatalf("recover: %v: want %q: %s", err, want, output)
		}
	}
}

// TestReplacedReplica replaces a backup whose data file is lost, under load, in a cluster with a
// key, and replaces the key around that: its first round begins with the start of the new file, so
// one replica has both keys while the others have the old one. A start with a key that the others
// have not got is refused, and says so. The new file has a vote: the cluster serves with it when
// the other backup is gone. The lost file, which turns up, has none. No client has an error.
func TestReplacedReplica(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	older, newer, wrong := newKey(), newKey(), newKey()
	writeKeys(t, path, older)
	g := newGroup(t, options{args: []string{"--cluster-key-file=" + path}, isUngoverned: true})
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	l.begin(smallOp, 0)
	g.await("the files of all replicas are known, and there is a checkpoint", func() bool {
		g.alive()
		for i := range replicas {
			f, _ := g.figures(i)
			if named, _ := g.metric(i, metricNamed); named != replicas || f.checkpoint == 0 {
				return false
			}
		}
		return true
	})
	l.pause.Store(int64(20 * time.Millisecond))

	primary := p.primary(g)
	lost, other := (primary+1)%replicas, (primary+2)%replicas
	g.kill(lost)
	turnedUp := g.files[lost].Path + ".lost"
	if err := os.Rename(g.files[lost].Path, turnedUp); err != nil {
		t.Fatal(err)
	}
	l.awaitCalls(g, 20, lost)
	begun := time.Now()
	g.recover(lost)
	named := time.Since(begun)

	writeKeys(t, path, wrong)
	g.start(lost)
	g.await("both sides name the key", func() bool {
		g.alive()
		return g.told(lost, "refused", "key of the cluster") && g.told(other, "refused", "key of the cluster")
	})
	if serving, _ := g.metric(lost, metricServing); serving != 0 {
		t.Error("a replica with another key serves clients")
	}
	g.kill(lost)
	writeKeys(t, path, older, newer)
	started := time.Now()
	g.start(lost)
	g.awaitVote(lost)
	g.awaitCaughtUp(lost)
	back := time.Since(started)
	for round, keys := range [][]string{{older, newer}, {newer, older}, {newer}} {
		writeKeys(t, path, keys...)
		for _, i := range []int{primary, other, lost} {
			if round == 0 && i == lost {
				continue // it runs with both
			}
			g.terminate(i)
			g.start(i)
			g.awaitVote(i)
			g.awaitCaughtUp(i)
		}
	}
	ended := time.Now()
	g.kill(other)
	l.awaitCalls(g, 20, other)
	g.start(other)
	g.awaitCaughtUp(other)

	g.kill(lost)
	swap(t, g.files[lost].Path, turnedUp)
	g.start(lost)
	g.await("the lost file, which turns up, has no vote", func() bool {
		g.alive()
		return strings.Contains(g.page(lost, "/readyz"), "has no vote")
	})
	g.kill(lost)
	swap(t, g.files[lost].Path, turnedUp)
	g.start(lost)
	g.awaitVote(lost)
	g.awaitCaughtUp(lost)
	l.end()
	g.finish(l)
	t.Logf("recover took %.1f s, the new file was back %.1f s after its start; 3 rounds of keys; 0 errors; longest pause %.2f s",
		named.Seconds(), back.Seconds(), p.longest(begun, ended).Seconds())
}

// awaitVote waits until replica i has a vote and serves.
func (g *group) awaitVote(i int) {
	g.t.Helper()
	g.await(fmt.Sprintf("replica %d has a vote", i), func() bool {
		g.alive()
		voting, ok := g.metric(i, metricVoting)
		serving, _ := g.metric(i, metricServing)
		return ok && voting == 1 && serving == 1
	})
}

// swap exchanges the names of two files.
func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, names := range [][2]string{{a, a + ".swap"}, {b, a}, {a + ".swap", b}} {
		if err := os.Rename(names[0], names[1]); err != nil {
			t.Fatal(err)
		}
	}
}
