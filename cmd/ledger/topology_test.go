package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ledger/affinity"
	"ledger/config"
)

// sysfs lays out a machine of package affinity's testdata as a tree like /sys and returns its root.
func sysfs(t testing.TB, name string) (root string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../affinity/testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		path, target, isLink := strings.Cut(line, " -> ")
		content := ""
		if !isLink {
			var isFile bool
			if path, content, isFile = strings.Cut(line, ": "); !isFile {
				path = strings.TrimSuffix(line, ":")
			}
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

// placed is the plan that start makes with a configuration file on a machine.
func placed(t testing.TB, topology *affinity.Topology, file string, diskNode int) *affinity.Plan {
	t.Helper()
	settings, err := config.ParseFile("plan.toml", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	settings.Addresses = config.Flag("addresses", "3001")
	start, err := settings.Resolve()
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	start.Affinity.NodeNear = diskNode
	plan, err := affinity.Place(topology, start.Affinity)
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	return plan
}

// Goal: what is proposed for a machine is what start does with the file, thread by thread; and the
// description says what there is.
func TestTopologyRoundTrip(t *testing.T) {
	for _, test := range []struct {
		name, allowed string
		diskNode      int
		file          []string // lines of the file
		description   []string
	}{
		{"single-core", "0", affinity.NodeUnknown,
			[]string{`net       = "auto" # shares a thread: net+consensus+journal+apply`, `spin      = "auto"`},
			[]string{"disk of data: near no node in particular"}},
		{"two-cores", "0-1", affinity.NodeUnknown,
			[]string{`numa_node = "auto"`, `compact   = "auto"`, `apply     = "auto" # shares`}, []string{"physical core:", "cache L2"}},
		{"one-socket-smt", "0-11", affinity.NodeUnknown,
			[]string{`numa_node = "0"`, `spin      = "50us"`}, []string{"cores: 0-11 online"}},
		{"one-socket-isolated", "0-7", affinity.NodeUnknown, nil, []string{"isolated"}},
		{"two-sockets", "0-31", 1,
			[]string{`numa_node = "1"`, `net       = "10"`, `compact   = "14-15"`},
			[]string{"disk of data: near node 1", "network card eth0: near node 1", "node 0: cores 0-7,16-23"}},
		{"two-sockets", "0-31", affinity.NodeUnknown, []string{`numa_node = "0"`, `net       = "2"`}, []string{"disk of data: near no node"}},
		{"two-sockets", "0-3,16-19", 1, []string{`net       = "auto"`}, []string{"0-3,16-19 allowed"}},
	} {
		root := sysfs(t, test.name)
		allowed, err := affinity.ParseCores(test.allowed)
		if err != nil {
			t.Fatal(err)
		}
		topology, err := affinity.Read(root, allowed)
		if err != nil {
			t.Fatal(err)
		}
		m := machine{root: root, topology: topology, dataFile: "data", diskNode: test.diskNode}
		plan, err := m.propose()
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var file, description bytes.Buffer
		if err := writePlan(&file, plan); err != nil {
			t.Fatal(err)
		}
		if got := placed(t, topology, file.String(), test.diskNode); !reflect.DeepEqual(got, plan) {
			t.Errorf("%s: the file\n%s\nmakes\n%s\nthe proposal was\n%s", test.name, file.String(), got, plan)
		}
		for _, line := range test.file {
			if !strings.Contains("\n"+file.String(), "\n"+line) {
				t.Errorf("%s: no line %s in\n%s", test.name, line, file.String())
			}
		}
		m.describe(&description)
		for _, words := range test.description {
			if !strings.Contains(description.String(), words) {
				t.Errorf("%s: no %q in\n%s", test.name, words, description.String())
			}
		}
		if strings.Contains(description.String(), "network card lo:") {
			t.Errorf("%s: the loopback interface is no card", test.name)
		}
	}
}

// Goal: the disk's node is that of the block device, found from the data file's path before the
// file exists.
func TestDiskNode(t *testing.T) {
	root := sysfs(t, "two-sockets")
	if node := affinity.NodeOfBlockDevice(root, 259, 2); node != 1 {
		t.Fatalf("the fixture's disk is near node %d, want 1", node)
	}
	missing := filepath.Join(t.TempDir(), "not", "yet.data")
	if got, want := diskNodeOf("/sys", missing), affinity.NodeOfFile("/sys", os.TempDir()); got != want {
		t.Errorf("a file that is not there yet: node %d, want its directory's %d", got, want)
	}
}

// Goal: on the machine that runs this, the command's output is a file that start accepts, and an
// existing file is left alone.
func TestTopologyCommand(t *testing.T) {
	directory := t.TempDir()
	capture := func(arguments ...string) (status int, out, errors string) {
		t.Helper()
		file, err := os.CreateTemp(directory, "out")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var errorOut bytes.Buffer
		status = run(arguments, os.Stdin, file, &errorOut)
		content, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return status, string(content), errorOut.String()
	}
	status, out, errors := capture("topology", directory)
	if status != exitDone || errors != "" || !strings.HasPrefix(out, "# cores: ") {
		t.Fatalf("status %d, %s\n%s", status, errors, out)
	}
	topology, err := affinity.System()
	if err != nil {
		t.Fatal(err)
	}
	plan := placed(t, topology, out, affinity.NodeOfFile("/sys", directory))
	if !strings.Contains(out, "# proposed plan, GOMAXPROCS ") || !strings.Contains(out, plan.Threads[0].Name()) {
		t.Errorf("the output does not show its plan %s\n%s", plan, out)
	}
	path := filepath.Join(directory, "ledger.toml")
	if status, out, errors = capture("topology", "--toml="+path, directory); status != exitDone || !strings.HasPrefix(out, "cores: ") {
		t.Fatalf("status %d, %s\n%s", status, errors, out)
	}
	before, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(before), "[affinity]\n") {
		t.Fatalf("%v\n%s", err, before)
	}
	if status, _, errors := capture("topology", "--toml="+path); status != exitRefused || !strings.Contains(errors, "the file exists") {
		t.Errorf("status %d, %s", status, errors)
	}
}
