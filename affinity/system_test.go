package affinity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThread runs body on a goroutine whose thread ends with it, since a pinned thread must not
// return to the pool.
func onThread(t *testing.T, thread Thread, body func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		err := thread.Enter()
		body()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Goal: on the machine that runs this, the automatic plan can be entered, and each thread is where
// the plan says.
func TestThisMachine(t *testing.T) {
	topology, err := System()
	if err != nil {
		t.Fatal(err)
	}
	if topology.usable().IsEmpty() || len(topology.Nodes) == 0 {
		t.Fatalf("%+v", topology)
	}
	plan, err := Place(topology, AutoRequest())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", plan)
	for i := range plan.Threads {
		thread := plan.Threads[i]
		onThread(t, thread, func() {
			if allowed, err := Allowed(); err != nil || !thread.Cores.IsEmpty() && allowed != thread.Cores {
				t.Errorf("%s: on %s, %v; want %s", thread.Name(), allowed, err, thread.Cores)
			}
		})
	}
}

// Goal: a thread gets its cores and its name, and no other thread gets any of them.
func TestEnter(t *testing.T) {
	before, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	for _, core := range before.List() {
		thread := Thread{Stages: []Stage{Net, Consensus, Journal, Apply}, Cores: Cores(core)}
		onThread(t, thread, func() {
			allowed, err := Allowed()
			if err != nil || allowed != thread.Cores {
				t.Errorf("on %s, %v; want core %d", allowed, err, core)
			}
			name, err := os.ReadFile("/proc/thread-self/comm")
			if err != nil || strings.TrimSpace(string(name)) != "net+consensus+j" {
				t.Errorf("name %q, %v", name, err)
			}
		})
	}
	if after, err := Allowed(); err != nil || after != before {
		t.Errorf("this thread is on %s now, was on %s", after, before)
	}
}

// Goal: a core that went away between the plan and the thread is an error to log, not a crash.
func TestPinRefused(t *testing.T) {
	done := make(chan error)
	go func() {
		thread := Thread{Stages: []Stage{Net}, Cores: Cores(CoresMax - 1)}
		done <- thread.Enter()
	}()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cannot pin a thread to core 1023") {
		t.Errorf("error %v", err)
	}
}

func mapped(t *testing.T, sizeBytes int) []byte {
	data, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(data) })
	return data
}

// Goal: memory can be bound, advised and locked here, or the error says what to do; it stays usable
// either way.
func TestMemory(t *testing.T) {
	topology, err := System()
	if err != nil {
		t.Fatal(err)
	}
	data := mapped(t, 4<<20)
	node := topology.Nodes[0].Number
	if err := BindMemory(data, node); err != nil {
		t.Logf("not bound: %v", err) // some containers forbid it
	} else {
		data[0] = 1
		var got int32
		_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&got)), 0, 0,
			uintptr(unsafe.Pointer(&data[0])), unix.MPOL_F_NODE|unix.MPOL_F_ADDR, 0)
		if errno != 0 || int(got) != node {
			t.Errorf("page is on node %d, %v; want %d", got, errno, node)
		}
	}
	if err := LockMemory(data[:1<<20], nil, data[1<<20:2<<20]); err != nil {
		t.Logf("not locked: %v", err)
	}
	for i := range data {
		data[i] = byte(i)
	}
	for _, err := range []error{BindMemory(nil, 0), LockMemory()} {
		if err != nil {
			t.Errorf("nothing: %v", err)
		}
	}
}

// Goal: a thread of the plan asks for its time slice, compaction for the longest one; a policy that
// the operator chose stays.
func TestSlice(t *testing.T) {
	for _, test := range []struct {
		stage  Stage
		wantNs uint64
	}{{Journal, sliceNs}, {Compact, sliceCompactNs}} {
		onThread(t, Thread{Stages: []Stage{test.stage}}, func() {
			attributes, err := unix.SchedGetAttr(0, 0)
			// Kernels that do not know slices tell 0.
			if err != nil || attributes.Runtime != test.wantNs && attributes.Runtime != 0 {
				t.Errorf("%v: slice of %d ns, %v; want %d", test.stage, attributes.Runtime, err, test.wantNs)
			}
		})
	}
	onThread(t, Thread{Stages: []Stage{Journal}}, func() {
		idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(0, &idle, 0); err != nil {
			t.Fatal(err)
		}
		if err := SetSlice(sliceNs); err != nil {
			t.Error(err)
		}
		if attributes, err := unix.SchedGetAttr(0, 0); err != nil || attributes.Policy != unix.SCHED_IDLE {
			t.Errorf("%+v, %v", attributes, err)
		}
	})
}

// Goal: refusals of the kernel come back as one error that names size and reason.
func TestMemoryRefused(t *testing.T) {
	data := mapped(t, 8192)
	for what, err := range map[string]error{
		"node 64":              BindMemory(data, NodesMax),
		"node -1":              BindMemory(data, NodeUnknown),
		"node 63 of a machine": BindMemory(data, NodesMax-1),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	hole := mapped(t, 3*4096)
	if err := unix.Munmap(hole); err != nil {
		t.Fatal(err)
	}
	// The addresses are free now, so that locking is refused whatever the privileges.
	err := LockMemory(data, hole)
	if err == nil || !strings.Contains(err.Error(), "12288 of 20480 bytes are not locked") || !strings.Contains(err.Error(), "CAP_IPC_LOCK") {
		t.Errorf("error %v", err)
	}
}

// Goal: the node of a file, and of a directory, is that of the controller of the disk that holds
// it. A file that does not exist has none, nor has one whose disk the system does not know, or
// whose controller has no node.
func TestNodeOfFile(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(file, &stat); err != nil {
		t.Fatal(err)
	}
	// As in /sys: a link by the device's numbers leads to the partition, which lies below its disk and
	// that below its controller.
	root := t.TempDir()
	controller := filepath.Join(root, "devices/pci0000:00/0000:00:1f.2")
	partition := filepath.Join(controller, "block/sda/sda1")
	links := filepath.Join(root, "dev/block")
	link := filepath.Join(links, fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
	for _, path := range []string{partition, links} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what, path string, want int) {
		t.Helper()
		if node := NodeOfFile(root, path); node != want {
			t.Errorf("%s: node %d, want %d", what, node, want)
		}
	}
	expect("an unknown disk", file, NodeUnknown)
	if err := os.Symlink(partition, link); err != nil {
		t.Fatal(err)
	}
	expect("a controller that tells nothing", file, NodeUnknown)
	for content, want := range map[string]int{"3\n": 3, "0\n": 0, "-1\n": NodeUnknown, "nonsense\n": NodeUnknown, "100000\n": NodeUnknown} {
		if err := os.WriteFile(filepath.Join(controller, "numa_node"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprintf("a file, the node is %q", content), file, want)
		expect(fmt.Sprintf("a directory, the node is %q", content), directory, want)
		expect("a file that does not exist", filepath.Join(directory, "absent"), NodeUnknown)
	}
	// The real system: a node that it has, or none.
	if node := NodeOfFile("/sys", file); node < NodeUnknown || node >= NodesMax {
		t.Errorf("node %d of the real file", node)
	}
}
