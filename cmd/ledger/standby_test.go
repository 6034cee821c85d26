package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/limits"
)

// newProcessesWith formats the files of replicas and of standbys behind them. Clients know the
// replicas only.
func newProcessesWith(t *testing.T, count, standbys int) *processes {
	t.Helper()
	p := newProcesses(t, count)
	more := freeAddresses(t, 2*standbys)
	p.metrics = append(p.metrics, more[standbys:]...)
	p.replicas, p.standbys = make([]*follower, count+standbys), more[:standbys]
	for i := range standbys {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("7_%d.data", count+i))
		status, _, stderr := ended(t, nil, "format", "--cluster=7", fmt.Sprintf("--standby=%d", count+i),
			fmt.Sprintf("--replica-count=%d", count), "--development", path)
		if status != exitDone || !strings.Contains(stderr, "counts for no quorum and serves no clients") {
			t.Fatalf("format: status %d: %s", status, stderr)
		}
		p.paths = append(p.paths, path)
	}
	return p
}

// digest of the newest checkpoint of a data file.
func digest(t *testing.T, path string) (op uint64, text string) {
	t.Helper()
	status, stdout, stderr := ended(t, nil, "inspect", "digest", "--json", path)
	var d struct {
		CheckpointOp uint64 `json:"checkpoint_op"`
	}
	if err := json.Unmarshal([]byte(stdout), &d); status != exitDone || err != nil {
		t.Fatalf("inspect digest: status %d, %v: %s%s", status, err, stdout, stderr)
	}
	return d.CheckpointOp, stdout
}

// Goal: a standby follows three replicas under load, says that it is one, and has the same
// checkpoint as they in the end. It counts for no quorum: with one replica of three it serves
// nothing. A client that comes to it gets no answer, and one line says so. It catches up after a
// restart.
func TestClusterStandby(t *testing.T) {
	const standby = 3
	p := newProcessesWith(t, 3, 1)
	p.startAll()
	c := p.client()
	accounts := uint64(0)
	more := func(count int) {
		t.Helper()
		for range count {
			accounts++
			makeAccount(t, c, accounts)
		}
	}
	more(500)
	p.awaitReady(standby, true)
	for path, want := range map[string]string{
		"/metrics": `ledger_cluster_role_info{role="standby"} 1`, "/status": `"role":"standby"`,
		"/summary": "standby 3 of a cluster of 3 replicas; the primary of the view is replica",
	} {
		if _, body := page(p.metrics[standby], path); !strings.Contains(body, want) {
			t.Errorf("%s of the standby has not %q: %s", path, want, body)
		}
	}
	if _, body := page(p.metrics[0], "/metrics"); !strings.Contains(body, `ledger_cluster_peer_lag_ops{peer="3"}`) {
		t.Errorf("a replica does not tell the lag of the standby: %s", body)
	}

	// The standby restarts while the others go on.
	if err := p.replicas[standby].Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, p.replicas[standby].Cmd); status != exitDone {
		t.Errorf("the standby: status %d: %s", status, p.replicas[standby].said)
	}
	more(200)
	p.start(standby, nil)
	p.replicas[standby].said.await(t, "standby 3 of a cluster of 3 replicas")
	p.awaitReady(standby, true)

	dead := p.primary()
	p.kill(dead)
	more(200) // two of three replicas
	other := (dead + 1) % 3
	p.kill(other)
	last := 3 - dead - other
	p.awaitReady(last, false)
	p.awaitReady(standby, false)
	if isReady, body := p.ready(last); isReady {
		t.Errorf("a replica serves with a standby only: %s", body)
	}
	p.start(dead, nil)
	p.start(other, nil)
	for i := range p.replicas {
		p.awaitReady(i, true)
	}
	more(200)

	// A client with the standby's address.
	status, _, _ := ended(t, nil, "ping", "--cluster=7", "--addresses="+p.standbys[0], "--timeout=300ms")
	if status == exitDone {
		t.Error("the standby answers a client")
	}
	p.replicas[standby].said.await(t, "a client has sent a message to this standby")

	// Checkpoints of one op come when all have executed the same ops.
	l := limits.Production()
	for accounts < l.CheckpointTrigger(l.CheckpointAfter(0))+uint64(l.SlackOps) {
		more(50)
	}
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(50 * time.Millisecond) {
		var ops [4]uint64
		var texts [4]string
		for i, path := range p.paths {
			ops[i], texts[i] = digest(t, path)
		}
		if ops == [4]uint64{ops[0], ops[0], ops[0], ops[0]} && ops[0] > 0 {
			if texts != [4]string{texts[0], texts[0], texts[0], texts[0]} {
				t.Fatalf("the checkpoints differ: %v", texts)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the checkpoints are of ops %v; %d accounts", ops, accounts)
		}
	}
}

// Goal: a standby that the replicas have no address of is refused by them, and both sides say what
// to do. Starts and formats that do not fit are refused with the way out.
func TestStandbyRefusals(t *testing.T) {
	p := newProcessesWith(t, 3, 1)
	for i := range 3 {
		p.start(i, nil)
	}
	for i := range 3 {
		p.replicas[i].said.await(t, "info: listening on ")
	}
	for i := range 3 {
		_ = p.replicas[i].Process.Kill()
		_ = p.replicas[i].Wait()
		p.replicas[i] = p.follow(p.paths[i], p.addresses, nil) // without the standby
	}
	p.start(3, nil)
	p.replicas[0].said.await(t, "standbys here, and index of a standby: ours is 0, theirs is 3: start every replica with --addresses")
	p.replicas[3].said.await(t, "standbys here, and index of a standby")

	for _, c := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"format", "--standby=1", "--replica-count=1"}, "--standby=1: a cluster of 1 replica has no standbys"},
		{[]string{"format", "--standby=2", "--replica-count=3"}, "--standby=2: must be a number of 3 to 8"},
		{[]string{"format", "--standby=9", "--replica-count=3"}, "--standby=9: must be a number of 3 to 8"},
		{[]string{"format", "--standby=3", "--replica=0", "--replica-count=3"}, "--standby=3: must not come with --replica"},
	} {
		path := filepath.Join(t.TempDir(), "x.data")
		if status, _, stderr := ended(t, nil, append(c.arguments, "--cluster=7", "--development", path)...); status != exitRefused ||
			!strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d: %s, want %q", c.arguments, status, stderr, c.want)
		}
	}
	_ = p.replicas[3].Process.Kill()
	_ = p.replicas[3].Wait()
	status, _, stderr := ended(t, nil, "start", "--development", "--addresses="+strings.Join(p.addresses, ","), p.paths[3])
	if status != exitRefused || !strings.Contains(stderr, "must name 4 addresses or more, not 3: the data file is standby 3") {
		t.Errorf("a standby without an address: status %d: %s", status, stderr)
	}
}
