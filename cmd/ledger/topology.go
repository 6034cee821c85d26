package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/valyala/bytebufferpool"

	"ledger/affinity"
	"ledger/limits"
	"ledger/replica"
)

type topologyCommand struct {
	TOML *string `name:"toml" placeholder:"FILE" help:"Write the plan to a new file for start --config, instead of behind the description. Default: no file."`
	File string  `arg:"" optional:"" default:"." help:"The data file, or the directory where it will be: its disk's NUMA node is preferred."`
}

// Run shows the machine and proposes a plan. Without --toml, the whole output is a configuration
// file, in which the description is comments.
func (c *topologyCommand) Run(s *streams) error {
	topology, err := affinity.System()
	if err != nil {
		return err
	}
	m := machine{root: "/sys", topology: topology, dataFile: c.File, diskNode: diskNodeOf("/sys", c.File)}
	plan, err := m.propose()
	if err != nil {
		return err
	}
	description := bytebufferpool.Get()
	defer bytebufferpool.Put(description)
	m.describe(description)
	if available, source, err := replica.MemoryAvailable("/"); err == nil {
		fmt.Fprintf(description, "memory: %d MiB, by %s\n", available>>20, source)
	}
	fmt.Fprintf(description, "\nproposed plan, GOMAXPROCS %d:\n%s", plan.GoThreads(), plan)
	if c.TOML == nil {
		for line := range strings.Lines(description.String()) {
			fmt.Fprint(s.out, strings.TrimRight("# "+line, " \n")+"\n")
		}
		fmt.Fprintln(s.out)
		return writePlan(s.out, plan)
	}
	if _, err := s.out.Write(description.B); err != nil {
		return err
	}
	return createPlan(*c.TOML, plan)
}

// createPlan writes a plan to a new file. An existing file is an error, because it may contain
// manual changes.
func createPlan(path string, plan *affinity.Plan) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--toml=%s: the file exists: name another, or remove it first", path)
	}
	if err != nil {
		return fmt.Errorf("--toml=%s: %w", path, err)
	}
	return errors.Join(writePlan(file, plan), file.Close())
}

// machine is the machine for which a plan is made.
type machine struct {
	root     string // laid out as /sys
	topology *affinity.Topology
	dataFile string
	diskNode int
}

// diskNodeOf returns the node of the disk that holds path. If path does not exist, its directory
// decides.
func diskNodeOf(root, path string) int {
	for {
		if _, err := os.Stat(path); err == nil {
			return affinity.NodeOfFile(root, path)
		}
		parent := filepath.Dir(path)
		if parent == path {
			return affinity.NodeUnknown
		}
		path = parent
	}
}

// propose is the plan that start would make for this data file.
func (m *machine) propose() (*affinity.Plan, error) {
	request := affinity.AutoRequest()
	request.NodeNear = m.diskNode
	request.CompactWorkersMax = limits.CompactWorkersMax
	return affinity.Place(m.topology, request)
}

// describe shows the machine, the data file's disk and the network cards.
func (m *machine) describe(out io.Writer) {
	fmt.Fprint(out, m.topology)
	fmt.Fprintf(out, "disk of %s: %s\n", m.dataFile, nodeName(m.diskNode))
	for _, name := range m.interfaces() {
		fmt.Fprintf(out, "network card %s: %s\n", name, nodeName(affinity.NodeOfInterface(m.root, name)))
	}
}

func nodeName(node int) string {
	if node == affinity.NodeUnknown {
		return "near no node in particular (one node, or a virtual machine)"
	}
	return fmt.Sprintf("near node %d", node)
}

// interfaces are the names of the network interfaces with hardware.
func (m *machine) interfaces() (names []string) {
	entries, err := os.ReadDir(filepath.Join(m.root, "class/net"))
	if err != nil {
		return nil // a container without sysfs
	}
	for _, entry := range entries {
		target, err := filepath.EvalSymlinks(filepath.Join(m.root, "class/net", entry.Name()))
		if err == nil && !strings.Contains(target, "/devices/virtual/") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// writePlan writes the plan as a configuration file. Stages that are not pinned stay "auto". Then
// the same machine makes the same threads again, and a larger machine may do better.
func writePlan(out io.Writer, plan *affinity.Plan) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, "[affinity]")
	node, spinNs, isPinned := "auto", uint64(0), false
	if plan.Node != affinity.NodeUnknown {
		node = fmt.Sprint(plan.Node)
	}
	fmt.Fprintf(w, "numa_node = %q\n", node)
	for stage := range affinity.Stage(affinity.StagesCount) {
		cores, comment := "auto", ""
		var set affinity.CoreSet
		for i := range plan.Threads {
			thread := &plan.Threads[i]
			for _, other := range thread.Stages {
				// If several stages share a range of cores, it is that of the node, which numa_node
				// names.
				if other == stage && (thread.Cores.Count() == 1 || stage == affinity.Compact && len(thread.Stages) == 1 && isOwn(plan, i)) {
					set = set.Or(thread.Cores)
					spinNs, isPinned = max(spinNs, thread.SpinNs), true
				}
			}
		}
		if !set.IsEmpty() {
			cores = set.String()
		} else if i := plan.Thread(stage); i >= 0 && len(plan.Threads[i].Stages) > 1 {
			comment = " # shares a thread: " + plan.Threads[i].Name()
		}
		fmt.Fprintf(w, "%-9s = %q%s\n", stage, cores, comment)
	}
	spin := "auto"
	if isPinned {
		spin = time.Duration(spinNs).String()
		spin = strings.Replace(spin, "µ", "u", 1)
	}
	fmt.Fprintf(w, "%-9s = %q # how long an idle stage spins before it parks\n", "spin", spin)
	return w.Flush()
}

// isOwn tells whether no other thread has any core of this thread.
func isOwn(plan *affinity.Plan, index int) bool {
	cores := plan.Threads[index].Cores
	if cores.IsEmpty() {
		return false
	}
	for i := range plan.Threads {
		if i != index && !plan.Threads[i].Cores.And(cores).IsEmpty() {
			return false
		}
	}
	return true
}
