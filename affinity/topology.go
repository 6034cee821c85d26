package affinity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// NodesMax is the number of NUMA nodes that a memory binding can name.
const NodesMax = 64

// Core is one core that is online.
type Core struct {
	Number   int
	Node     int     // NUMA node
	Socket   int     // physical package
	Siblings CoreSet // the hardware threads of this physical core, itself included
}

// Cache is one cache and the cores behind it.
type Cache struct {
	Level     int
	Kind      string // "Data", "Instruction", "Unified"
	SizeBytes uint64
	LineBytes uint32
	Cores     CoreSet
}

// Node is one NUMA node.
type Node struct {
	Number      int
	Cores       CoreSet // online ones
	MemoryBytes uint64  // 0 if unknown
	Distances   []int   // to each node, in the order of Topology.Nodes; 10 means local; nil if unknown
}

// Topology is the cores, nodes and caches of a machine, and the part that this process may use.
type Topology struct {
	Cores    []Core  // online, by number
	Nodes    []Node  // by number; never empty
	Caches   []Cache // each once, by level, then by first core
	Present  CoreSet // plugged in
	Online   CoreSet
	Isolated CoreSet // kept from the scheduler: only pinned threads run there
	Allowed  CoreSet // the cores on which this process may run: its affinity mask, and so its cpuset
	// QuotaCores is the processor time of the process in cores (a container's quota). 0 means no
	// quota.
	QuotaCores int
}

// System reads the topology of this machine, for this process. It must be called at start, before
// GOMAXPROCS is changed.
func System() (*Topology, error) {
	allowed, err := Allowed()
	if err != nil {
		return nil, err
	}
	t, err := Read("/sys", allowed)
	if err != nil {
		return nil, err
	}
	// The runtime has read the cgroup's quota already. It keeps at least 2, and so does this
	// program.
	if quota := runtime.GOMAXPROCS(0); quota < allowed.Count() {
		t.QuotaCores = quota
	}
	return t, nil
}

// Read reads the topology below root, which has the layout of /sys, for a process that may use the
// cores of allowed.
//
// error: a file with wrong content. Missing files are no error; see Faults in the package
// documentation.
func Read(root string, allowed CoreSet) (*Topology, error) {
	r := reader{root: root}
	t := &Topology{Allowed: allowed}
	t.Online = r.cores("devices/system/cpu/online", allowed)
	t.Present = r.cores("devices/system/cpu/present", t.Online)
	t.Isolated = r.cores("devices/system/cpu/isolated", CoreSet{})
	for _, number := range t.Online.List() {
		base := fmt.Sprintf("devices/system/cpu/cpu%d/", number)
		siblings := r.cores(base+"topology/core_cpus_list", r.cores(base+"topology/thread_siblings_list", Cores(number)))
		t.Cores = append(t.Cores, Core{
			Number:   number,
			Socket:   max(0, r.number(base+"topology/physical_package_id", 0)),
			Siblings: siblings.And(t.Online),
		})
		r.caches(base+"cache/", t)
	}
	slices.SortStableFunc(t.Caches, func(a, b Cache) int { return a.Level - b.Level })
	r.nodes(t)
	return t, r.err
}

// Core returns the online core of that number, or nil.
func (t *Topology) Core(number int) *Core {
	for i := range t.Cores {
		if t.Cores[i].Number == number {
			return &t.Cores[i]
		}
	}
	return nil
}

// Node returns the node of that number, or nil.
func (t *Topology) Node(number int) *Node {
	for i := range t.Nodes {
		if t.Nodes[i].Number == number {
			return &t.Nodes[i]
		}
	}
	return nil
}

// usable is the set of cores to which a plan may pin threads by itself.
func (t *Topology) usable() CoreSet { return t.Allowed.And(t.Online) }

// areSiblings tells whether a and b are two single cores that are hardware threads of one physical
// core.
func (t *Topology) areSiblings(a, b CoreSet) bool {
	return a != b && a.Count() == 1 && b.Count() == 1 && t.Core(a.First()).Siblings.Has(b.First())
}

// CoresUsableCount is the number of cores that this process can use at the same time.
func (t *Topology) CoresUsableCount() int {
	count := t.usable().Count()
	if t.QuotaCores > 0 {
		count = min(count, t.QuotaCores)
	}
	return count
}

// CheckCores returns an error unless a thread can be pinned to each of cores.
func (t *Topology) CheckCores(cores CoreSet) error {
	for _, core := range cores.List() {
		switch {
		case !t.Present.Has(core):
			return fmt.Errorf("core %d does not exist: this machine has %s", core, t.Present)
		case !t.Online.Has(core):
			return fmt.Errorf("core %d is offline: online are %s", core, t.Online)
		// The process's mask leaves out isolated cores, but threads may be pinned to them on
		// purpose.
		case !t.Allowed.Has(core) && !t.Isolated.Has(core):
			return fmt.Errorf("core %d is not allowed to this process (cpuset or taskset): allowed are %s", core, t.usable())
		}
	}
	return nil
}

// reader reads small files of sysfs and keeps the first error.
type reader struct {
	root string
	err  error
}

func (r *reader) fail(path string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", filepath.Join(r.root, path), err)
	}
}

// text returns the content of a file without its newline. ok is false if there is no file.
func (r *reader) text(path string) (text string, ok bool) {
	content, err := os.ReadFile(filepath.Join(r.root, path))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			r.fail(path, err)
		}
		return "", false
	}
	return strings.TrimSpace(string(content)), true
}

// cores reads a list of cores. An empty file is the empty set. If there is no file, it returns
// missing.
func (r *reader) cores(path string, missing CoreSet) CoreSet {
	text, ok := r.text(path)
	if !ok {
		return missing
	}
	if text == "" {
		return CoreSet{}
	}
	set, err := ParseCores(text)
	if err != nil {
		r.fail(path, err)
		return missing
	}
	return set
}

func (r *reader) number(path string, missing int) int {
	text, ok := r.text(path)
	if !ok {
		return missing
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		r.fail(path, err)
		return missing
	}
	return number
}

// caches adds the caches below base (of one core) that no earlier core has shown.
func (r *reader) caches(base string, t *Topology) {
	for index := 0; ; index++ {
		path := fmt.Sprintf("%sindex%d/", base, index)
		level := r.number(path+"level", 0)
		if level == 0 {
			return
		}
		kind, _ := r.text(path + "type")
		cache := Cache{
			Level:     level,
			Kind:      kind,
			SizeBytes: r.kibibytes(path+"size") << 10,
			LineBytes: uint32(max(0, r.number(path+"coherency_line_size", 0))),
			Cores:     r.cores(path+"shared_cpu_list", CoreSet{}),
		}
		seen := slices.ContainsFunc(t.Caches, func(other Cache) bool {
			return other.Level == level && other.Kind == kind && other.Cores == cache.Cores
		})
		if !seen {
			t.Caches = append(t.Caches, cache)
		}
	}
}

// kibibytes reads a size like "32K".
func (r *reader) kibibytes(path string) uint64 {
	text, ok := r.text(path)
	if !ok {
		return 0
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(text, "K"), 10, 32)
	if err != nil {
		r.fail(path, err)
	}
	return size
}

// nodes reads the NUMA nodes and sets the node of each core. If there are no nodes, all cores are
// on node 0.
func (r *reader) nodes(t *Topology) {
	const base = "devices/system/node/"
	numbers := r.cores(base+"online", CoreSet{}).List() // a list of nodes looks like a list of cores
	for _, number := range numbers {
		path := fmt.Sprintf("%snode%d/", base, number)
		node := Node{Number: number, Cores: r.cores(path+"cpulist", CoreSet{}).And(t.Online)}
		if number >= NodesMax {
			r.fail(path, fmt.Errorf("more than %d nodes", NodesMax))
			return
		}
		if text, ok := r.text(path + "distance"); ok {
			for field := range strings.FieldsSeq(text) {
				distance, err := strconv.Atoi(field)
				if err != nil {
					r.fail(path+"distance", err)
					return
				}
				node.Distances = append(node.Distances, distance)
			}
		}
		if text, ok := r.text(path + "meminfo"); ok {
			// The first line: "Node 0 MemTotal:        8087768 kB".
			if fields := strings.Fields(text); len(fields) >= 4 && fields[2] == "MemTotal:" {
				size, err := strconv.ParseUint(fields[3], 10, 50)
				if err != nil {
					r.fail(path+"meminfo", err)
					return
				}
				node.MemoryBytes = size << 10
			}
		}
		t.Nodes = append(t.Nodes, node)
		for _, core := range node.Cores.List() {
			t.Core(core).Node = number
		}
	}
	if len(t.Nodes) == 0 {
		t.Nodes = []Node{{Number: 0, Cores: t.Online}}
	}
}
