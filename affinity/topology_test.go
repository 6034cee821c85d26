package affinity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine lays out testdata/name.txt as a tree like /sys and returns its root. A line is "path:
// content" or "path -> target of a symbolic link".
func machine(t testing.TB, name string) (root string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		link, target, isLink := strings.Cut(line, " -> ")
		// Addresses of devices hold colons without a space behind.
		path, content, isFile := strings.Cut(line, ": ")
		if isLink {
			path = link
		} else if !isFile {
			path, isFile = strings.CutSuffix(line, ":") // an empty file
		}
		if !isFile && !isLink {
			t.Fatalf("%s: neither a file nor a link: %q", name, line)
		}
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if isLink {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(content+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func parsed(t testing.TB, text string) CoreSet {
	t.Helper()
	if text == "" || text == "none" {
		return CoreSet{}
	}
	set, err := ParseCores(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// machines holds what read has read, since laying out a tree of hundreds of files takes its time.
var machines = map[string]*Topology{}

// read returns the machine of testdata/name.txt, to a process that may use the cores of allowed.
func read(t testing.TB, name, allowed string) *Topology {
	t.Helper()
	if machines[name] == nil {
		topology, err := Read(machine(t, name), CoreSet{})
		if err != nil {
			t.Fatal(err)
		}
		machines[name] = topology
	}
	topology := *machines[name]
	topology.Allowed = parsed(t, allowed)
	return &topology
}

// Goal: lists of cores are read as the kernel and operators write them, and mistakes are refused
// with a reason.
func TestParseCores(t *testing.T) {
	for _, test := range []struct{ in, want, wantError string }{
		{"2", "2", ""},
		{"2,3", "2-3", ""},
		{"3,2", "2-3", ""},
		{"2-5,8", "2-5,8", ""},
		{"0-1023", "0-1023", ""},
		{"63-64", "63-64", ""},
		{"7-7", "7", ""},
		{"", "", "must name at least one core"},
		{"5-2", "", "range 5-2 must ascend"},
		{"1,1", "", "names core 1 twice"},
		{"1-3,2", "", "names core 2 twice"},
		{"1024", "", "must be 0 to 1023"},
		{"99999999999999999999", "", "must be 0 to 1023"},
		{"-1", "", "is no core number"},
		{"1-", "", "is no core number"},
		{"1,,2", "", "is no core number"},
		{" 1", "", "is no core number"},
		{"+1", "", "is no core number"},
		{"1-2-3", "", `"2-3" is no core number`},
		{"all", "", `"all" is no core number`},
	} {
		set, err := ParseCores(test.in)
		if test.wantError != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("ParseCores(%q) = %v, %v; want error %q", test.in, set, err, test.wantError)
			}
			continue
		}
		if err != nil || set.String() != test.want {
			t.Errorf("ParseCores(%q) = %v, %v; want %s", test.in, set, err, test.want)
		}
	}
}

// Goal: whatever is accepted prints as a list that means the same.
func FuzzParseCores(f *testing.F) {
	for _, seed := range []string{"2", "2,3", "2-5,8", "0-1023", "5-2", "1,,2", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseCores(text)
		if err != nil {
			if !set.IsEmpty() {
				t.Fatalf("%q: an error and the set %v", text, set)
			}
			return
		}
		again, err := ParseCores(set.String())
		if err != nil || again != set || set.IsEmpty() || len(set.List()) != set.Count() || set.List()[0] != set.First() {
			t.Fatalf("%q -> %v -> %v, %v", text, set, again, err)
		}
	})
}

// Goal: set algebra on the borders of words.
func TestCoreSet(t *testing.T) {
	a, b := parsed(t, "0,63-65,1023"), parsed(t, "64-70")
	if got := a.And(b).String(); got != "64-65" {
		t.Errorf("And: %s", got)
	}
	if got := a.Or(b).String(); got != "0,63-70,1023" {
		t.Errorf("Or: %s", got)
	}
	if a.Has(-1) || a.Has(1024) || (CoreSet{}).First() != -1 || (CoreSet{}).String() != "none" {
		t.Error("borders")
	}
}

// Goal: two sockets with hardware threads are read right: nodes, siblings, caches each once.
func TestReadTwoSockets(t *testing.T) {
	topology := read(t, "two-sockets", "0-31")
	if len(topology.Cores) != 32 || len(topology.Nodes) != 2 {
		t.Fatalf("%d cores on %d nodes", len(topology.Cores), len(topology.Nodes))
	}
	core := topology.Core(26)
	if core.Node != 1 || core.Socket != 1 || core.Siblings.String() != "10,26" {
		t.Errorf("core 26: %+v", core)
	}
	node := topology.Node(1)
	if node.Cores.String() != "8-15,24-31" || node.MemoryBytes != 131072000<<10 || len(node.Distances) != 2 || node.Distances[0] != 21 {
		t.Errorf("node 1: %+v", node)
	}
	counts := map[string]int{}
	level := 0
	for _, cache := range topology.Caches {
		counts[cache.Kind+string(rune('0'+cache.Level))]++
		if cache.Level < level || cache.LineBytes != 64 || cache.SizeBytes == 0 {
			t.Errorf("cache %+v after level %d", cache, level)
		}
		level = cache.Level
	}
	if counts["Data1"] != 16 || counts["Instruction1"] != 16 || counts["Unified2"] != 16 || counts["Unified3"] != 2 {
		t.Errorf("caches: %v", counts)
	}
	last := topology.Caches[len(topology.Caches)-1]
	if last.SizeBytes != 30720<<10 || last.Cores != node.Cores {
		t.Errorf("last cache: %+v", last)
	}
}

// Goal: without NUMA, without sysfs at all, and with nonsense in it.
func TestReadPoorMachines(t *testing.T) {
	topology := read(t, "single-core", "0")
	if len(topology.Nodes) != 1 || topology.Nodes[0].Cores.String() != "0" || topology.CoresUsableCount() != 1 {
		t.Errorf("single core: %+v", topology.Nodes)
	}
	topology, err := Read(filepath.Join(t.TempDir(), "nothing"), Cores(0, 1, 2))
	if err != nil || len(topology.Cores) != 3 || topology.Core(2).Siblings.String() != "2" || topology.CoresUsableCount() != 3 {
		t.Errorf("no sysfs: %v, %+v", err, topology)
	}
	for path, content := range map[string]string{
		"devices/system/cpu/online":                            "0-",
		"devices/system/cpu/cpu0/topology/physical_package_id": "one",
		"devices/system/cpu/cpu0/cache/index0/size":            "32M",
		"devices/system/node/node0/distance":                   "ten",
		"devices/system/node/node0/meminfo":                    "Node 0 MemTotal: lots kB",
	} {
		root := machine(t, "two-cores")
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(root, Cores(0, 1)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s = %q: error %v, want one that names the file", path, content, err)
		}
	}
}

// Goal: the node of a disk or a card is found above a partition, through links, and unknown is said
// as unknown.
func TestNodeOfDevice(t *testing.T) {
	root := machine(t, "two-sockets")
	for _, test := range []struct {
		what      string
		got, want int
	}{
		{"NVMe partition", NodeOfBlockDevice(root, 259, 2), 1},
		{"disk of a controller without a node", NodeOfBlockDevice(root, 8, 0), NodeUnknown},
		{"no such disk", NodeOfBlockDevice(root, 1, 1), NodeUnknown},
		{"network card", NodeOfInterface(root, "eth0"), 1},
		{"loopback", NodeOfInterface(root, "lo"), NodeUnknown},
		{"a name that climbs", NodeOfInterface(root, "../../../etc"), NodeUnknown},
		{"missing file", NodeOfFile(root, filepath.Join(root, "missing")), NodeUnknown},
	} {
		if test.got != test.want {
			t.Errorf("%s: node %d, want %d", test.what, test.got, test.want)
		}
	}
}
