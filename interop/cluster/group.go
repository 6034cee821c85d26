package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ledger/interop/server"
)

const (
	replicas = 3
	// limitStorage bounds each data file, and what a server reserves for its indexes.
	limitStorage = "16GiB"
	// How long the cluster may take for anything that it has to do in the end.
	patience = 5 * time.Minute
	pollNext = 20 * time.Millisecond
	// pollLasting is the pause where nothing is missed between two looks.
	pollLasting = 100 * time.Millisecond
)

// group is a cluster: data files, processes, and the proxies between all of them.
//
// Replica i connects to replica j < i through peers[i][j]. Clients connect to replica i through
// clients[i]. The servers' own ports are known to the proxies and to probes only.
type group struct {
	t         testing.TB
	files     [replicas]*server.File
	processes [replicas]*server.Process
	ports     [replicas]int
	metrics   [replicas]int
	peers     [replicas][replicas]*link
	clients   [replicas]*link
	binary    string
	governor  governor
}

// options are the differences of a group from the usual one.
type options struct {
	binary string                     // the server under test; "": the one of LEDGER_BIN
	args   []string                   // further flags of start
	env    func(replica int) []string // environment of its process; may be nil
	// program is the server's file of each replica, if they have files of their own.
	program func(replica int) string
	// isUngoverned: clients do not rest when a replica is far behind.
	isUngoverned bool
}

// newGroup formats three data files and starts a server on each.
func newGroup(t testing.TB, o options) *group {
	t.Helper()
	g := &group{t: t, binary: o.binary}
	if g.binary == "" {
		g.binary = server.Binary(t)
	}
	taken := map[int]bool{}
	for i := range replicas {
		g.ports[i], g.metrics[i] = freePort(t, taken), freePort(t, taken)
	}
	for i := range replicas {
		its := server.Options{Binary: g.binary, StartArgs: []string{"--cache-grid=64MiB", "--cache-accounts=8MiB",
			"--limit-storage=" + limitStorage, fmt.Sprintf("--metrics-address=127.0.0.1:%d", g.metrics[i])}}
		its.StartArgs = append(its.StartArgs, o.args...)
		if o.program != nil {
			its.Binary = o.program(i)
		}
		if o.env != nil {
			its.Env = o.env(i)
		}
		g.files[i] = server.FormatReplica(t, its, i, replicas)
		g.clients[i] = g.link(g.ports[i])
		for j := range i {
			g.peers[i][j] = g.link(g.ports[j])
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i, file := range g.files {
				t.Logf("replica %d: %s", i, told(file.LogTail(400)))
			}
		}
	})
	for i := range replicas {
		g.start(i)
	}
	g.awaitListening()
	g.governor.isOff = o.isUngoverned
	g.governor.watch(g)
	return g
}

// awaitListening waits until a replica listens. It fails if one ends before.
func (g *group) awaitListening() {
	g.t.Helper()
	g.await("a replica listens", func() bool {
		for i, process := range g.processes {
			if _, ok := g.figures(i); ok {
				return true
			}
			if !process.Running() {
				g.t.Fatalf("replica %d has ended", i)
			}
		}
		return false
	})
}

// told leaves out lines of a log that come with every start, and those about slow ops.
func told(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !commonplace.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

var commonplace = regexp.MustCompile(`warning: (slow: |--cache-grid|the data file is of cluster 0)|` +
	` info: (metrics at|limits|cluster key|slots|caches|compaction|memory|io|  )`)

func (g *group) link(port int) *link {
	l, err := newLink(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(l.close)
	return l
}

// freePort is a port below those that the kernel gives to outgoing connections. So no connection of
// a proxy can take the port of a server that is down.
func freePort(t testing.TB, taken map[int]bool) int {
	t.Helper()
	for range 1000 {
		port := 15000 + rand.IntN(17000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil || taken[port] {
			continue
		}
		listener.Close()
		taken[port] = true
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// addresses are those that clients use.
func (g *group) addresses() (list []string) {
	for _, l := range g.clients {
		list = append(list, l.address)
	}
	return list
}

// start starts replica i and does not wait for it.
func (g *group) start(i int) {
	g.t.Helper()
	var list [replicas]string
	for j := range list {
		switch {
		case j < i:
			list[j] = g.peers[i][j].address
		default: // its own, and those that connect to it
			list[j] = fmt.Sprintf("127.0.0.1:%d", g.ports[j])
		}
	}
	g.processes[i] = g.files[i].LaunchCluster(g.t, g.ports[i], strings.Join(list[:], ","))
}

func (g *group) kill(i int) { g.processes[i].Kill() }

func (g *group) signal(i int, signal syscall.Signal) {
	g.t.Helper()
	if err := g.processes[i].Signal(signal); err != nil {
		g.t.Fatalf("replica %d: %v: %v", i, signal, err)
	}
}

// terminate stops replica i as an operator does.
func (g *group) terminate(i int) {
	g.t.Helper()
	g.processes[i].Stop(g.t)
}

// cut holds back what travels from one replica to another, or lets it go on.
func (g *group) cut(from, to int, cut bool) { g.flow(from, to).cutOff(cut) }

func (g *group) flow(from, to int) *flow {
	if from > to {
		return g.peers[from][to].forth
	}
	return g.peers[to][from].back
}

// isolate cuts replica i off from the others in both directions, or ends that.
func (g *group) isolate(i int, cut bool) {
	for j := range replicas {
		if j != i {
			g.cut(i, j, cut)
			g.cut(j, i, cut)
		}
	}
}

// deafen cuts off what others say to replica i, or ends that.
func (g *group) deafen(i int, cut bool) {
	for j := range replicas {
		if j != i {
			g.cut(j, i, cut)
		}
	}
}

// mute cuts off what replica i says to the others, or ends that.
func (g *group) mute(i int, cut bool) {
	for j := range replicas {
		if j != i {
			g.cut(i, j, cut)
		}
	}
}

// foundDamage is the status of an inspection that has found damage.
const foundDamage = 3

// inspect runs an inspection of replica i's data file.
func (g *group) inspect(i int, what ...string) []byte {
	g.t.Helper()
	return g.command(i, append([]string{"inspect"}, what...)...)
}

// command runs a command on replica i's data file, which may be damaged.
func (g *group) command(i int, what ...string) []byte {
	g.t.Helper()
	command := exec.Command(g.binary, append(what, g.files[i].Path)...)
	output, err := command.Output()
	if err != nil && command.ProcessState.ExitCode() != foundDamage {
		g.t.Fatalf("replica %d: %v: %v\n%s", i, what, err, output)
	}
	return output
}

// wantEqualDigests compares the checkpoints of all replicas, which have executed the same ops. They
// may still be about to write the next checkpoint, so it waits until the data files have the same.
func (g *group) wantEqualDigests() string {
	g.t.Helper()
	var digests [replicas]string
	g.awaitLasting("the data files have checkpoints of the same op", func() bool {
		g.t.Helper()
		var ops [replicas]uint64
		for i := range replicas {
			output := g.inspect(i, "digest", "--json")
			var digest struct {
				CheckpointOp uint64 `json:"checkpoint_op"`
			}
			if err := json.Unmarshal(output, &digest); err != nil {
				g.t.Fatalf("replica %d: inspect digest --json: %v\n%s", i, err, output)
			}
			digests[i], ops[i] = string(output), digest.CheckpointOp
		}
		return ops == [replicas]uint64{ops[0], ops[0], ops[0]}
	})
	for i, digest := range digests {
		if digest != digests[0] {
			g.t.Fatalf("the checkpoints differ: replica 0 has %s, replica %d has %s", digests[0], i, digest)
		}
	}
	return strings.TrimSpace(digests[0])
}
