package affinity

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// show writes a plan on one line, for tables: "net@2 consensus+apply@- compact@4-5 node=1".
func show(p *Plan) string {
	var out strings.Builder
	for i := range p.Threads {
		thread := &p.Threads[i]
		place := thread.Cores.String()
		if thread.Cores.IsEmpty() {
			place = "-"
		}
		fmt.Fprintf(&out, "%s@%s", thread.Name(), place)
		if thread.SpinNs != 0 {
			fmt.Fprintf(&out, "/spin%d", thread.SpinNs)
		}
		out.WriteByte(' ')
	}
	fmt.Fprintf(&out, "node=%d", p.Node)
	return out.String()
}

// ask makes a request from "net=2 compact=6-9 numa_node=1 near=0 workers=4 spin=7".
func ask(t testing.TB, text string) Request {
	t.Helper()
	request := AutoRequest()
	for field := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(field, "=")
		var number int
		fmt.Sscan(value, &number)
		switch key {
		case "numa_node":
			request.Node = number
		case "near":
			request.NodeNear = number
		case "workers":
			request.CompactWorkersMax = number
		case "spin":
			request.SpinNs, request.SpinIsSet = uint64(number), true
		default:
			found := false
			for stage := range Stage(StagesCount) {
				if stage.String() == key {
					request.Cores[stage], found = parsed(t, value), true
				}
			}
			if !found {
				t.Fatalf("what is %q?", field)
			}
		}
	}
	return request
}

// Goal: each kind of machine and each kind of request gets the threads that the design promises.
func TestPlace(t *testing.T) {
	const fused = "net+consensus+journal+apply@- compact@- node=-1"
	for _, test := range []struct{ name, machine, allowed, request, want string }{
		{"one core", "single-core", "0", "", fused},
		{"one core, spinning asked for", "single-core", "0", "spin=9000", fused},
		{"two cores", "two-cores", "0-1", "", fused},
		{"two cores, spinning asked for", "two-cores", "0-1", "spin=9000",
			"net+consensus+journal+apply@-/spin9000 compact@-/spin9000 node=-1"},
		{"taskset to one of two", "two-cores", "1", "", fused},
		{"all on one core by hand", "two-cores", "0-1", "net=1 consensus=1 journal=1 apply=1 compact=1",
			"net+consensus+journal+apply+compact@1/spin50000 node=0"},
		{"apply on a core of its own, the rest automatic", "two-cores", "0-1", "apply=1",
			"net+consensus+journal@- apply@1/spin50000 compact@- node=0"},
		{"overlapping sets", "two-cores", "0-1", "net=0 consensus=0 journal=0-1 apply=1 compact=0-1",
			"net+consensus@0 journal@0-1 apply@1 compact@0-1 node=0"},

		{"desktop: six physical cores", "one-socket-smt", "0-11", "",
			"net@2/spin50000 consensus@4/spin50000 journal@6/spin50000 apply@8/spin50000 compact@10/spin50000 node=0"},
		{"desktop, second hardware threads only", "one-socket-smt", "1,3,5,7,9,11", "",
			"net@3/spin50000 consensus@5/spin50000 journal@7/spin50000 apply@9/spin50000 compact@11/spin50000 node=0"},
		{"desktop, three physical cores allowed", "one-socket-smt", "0-5", "", fused},
		{"desktop, some by hand", "one-socket-smt", "0-11", "net=11 compact=0",
			"net@11/spin50000 consensus@4/spin50000 journal@6/spin50000 apply@8/spin50000 compact@0/spin50000 node=0"},

		{"two sockets", "two-sockets", "0-31", "",
			"net@3/spin50000 consensus@4/spin50000 journal@5/spin50000 apply@6/spin50000 compact@7/spin50000 node=0"},
		{"two sockets, disk at node 1", "two-sockets", "0-31", "near=1",
			"net@11/spin50000 consensus@12/spin50000 journal@13/spin50000 apply@14/spin50000 compact@15/spin50000 node=1"},
		{"two sockets, disk at node 1, cpuset leaves too little there", "two-sockets", "0-9", "near=1",
			"net@3/spin50000 consensus@4/spin50000 journal@5/spin50000 apply@6/spin50000 compact@7/spin50000 node=0"},
		{"two sockets, node asked for", "two-sockets", "0-31", "numa_node=1 spin=1000",
			"net@11/spin1000 consensus@12/spin1000 journal@13/spin1000 apply@14/spin1000 compact@15/spin1000 node=1"},
		{"two sockets, node asked for, few cores there", "two-sockets", "0-9", "numa_node=1",
			"net+consensus+journal+apply@8-9 compact@8-9 node=1"},
		{"two sockets, cpuset across both, too few on each", "two-sockets", "5-10", "", fused},
		{"several workers", "two-sockets", "0-31", "net=2 journal=3 consensus=4 apply=5 compact=6-7,0-1 workers=4",
			"net@2/spin50000 consensus@4/spin50000 journal@3/spin50000 apply@5/spin50000 compact@0/spin50000 compact-1@1/spin50000 " +
				"compact-2@6/spin50000 compact-3@7/spin50000 node=0"},
		{"more cores than workers", "two-sockets", "0-31", "net=2 journal=3 consensus=4 apply=5 compact=0-1,6-7 workers=2",
			"net@2/spin50000 consensus@4/spin50000 journal@3/spin50000 apply@5/spin50000 compact@0,6/spin50000 compact-1@1,7/spin50000 node=0"},
		{"one worker", "two-sockets", "0-31", "net=2 journal=3 consensus=4 apply=5 compact=0-1",
			"net@2/spin50000 consensus@4/spin50000 journal@3/spin50000 apply@5/spin50000 compact@0-1/spin50000 node=0"},

		{"spare cores are compaction's: half of them", "two-sockets", "0-31", "workers=8",
			"net@2/spin50000 consensus@3/spin50000 journal@4/spin50000 apply@5/spin50000 compact@6/spin50000 compact-1@7/spin50000 node=0"},
		{"no spare cores", "one-socket-smt", "0-11", "workers=8",
			"net@2/spin50000 consensus@4/spin50000 journal@6/spin50000 apply@8/spin50000 compact@10/spin50000 node=0"},
		{"two workers where cores are shared", "two-cores", "0-1", "workers=8", "net+consensus+journal+apply@- compact@- compact-1@- node=-1"},
		{"one core", "single-core", "0", "workers=8", fused},

		{"isolated cores by hand", "one-socket-isolated", "0-2", "net=4 journal=5 consensus=6 apply=7 compact=0",
			"net@4/spin50000 consensus@6/spin50000 journal@5/spin50000 apply@7/spin50000 compact@0/spin50000 node=0"},
		{"isolated cores are not taken unasked", "one-socket-isolated", "0-2", "", fused},
	} {
		plan, err := Place(read(t, test.machine, test.allowed), ask(t, test.request))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := show(plan); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// Goal: a container's quota counts like missing cores.
func TestPlaceUnderQuota(t *testing.T) {
	topology := read(t, "two-sockets", "0-31")
	topology.QuotaCores = 4
	plan, err := Place(topology, AutoRequest())
	if err != nil || len(plan.Threads) != 2 || !plan.Threads[0].Cores.IsEmpty() {
		t.Fatalf("%v\n%v", err, plan)
	}
}

// Goal: what cannot be followed is refused with the key, the value, the reason and the way out.
func TestPlaceRefused(t *testing.T) {
	for _, test := range []struct{ machine, allowed, request, want string }{
		{"two-cores", "0-1", "journal=9", `[affinity] journal = "9": core 9 does not exist: this machine has 0-1`},
		{"two-cores", "0-1", "compact=1-2", `[affinity] compact = "1-2": core 2 does not exist: this machine has 0-1`},
		{"two-cores", "0", "apply=1", `[affinity] apply = "1": core 1 is not allowed to this process (cpuset or taskset): allowed are 0`},
		{"one-socket-isolated", "0-2", "net=3", `[affinity] net = "3": core 3 is offline: online are 0-2,4-7`},
		{"two-sockets", "0-31", "numa_node=2", `[affinity] numa_node = "2": must be a node of this machine: 0, 1`},
		{"two-sockets", "0-7", "numa_node=1", `[affinity] numa_node = "1": node 1 has no core that this process may use: allowed are 0-7`},
	} {
		topology := read(t, test.machine, test.allowed)
		if test.machine == "one-socket-isolated" {
			topology.Present = parsed(t, "0-7")
		}
		plan, err := Place(topology, ask(t, test.request))
		if err == nil || err.Error() != test.want {
			t.Errorf("%s, %s: plan %v\n got %v\nwant %s", test.machine, test.request, plan, err, test.want)
		}
	}
}

// Goal: what works but slowly is said.
func TestPlaceWarns(t *testing.T) {
	for _, test := range []struct{ request, want string }{
		{"net=2 journal=3 consensus=4 apply=8 compact=5", "several NUMA nodes"},
		{"net=2 journal=3 consensus=4 apply=5 compact=6 numa_node=1", "outside of NUMA node 1"},
		{"net=2 journal=3 consensus=4 apply=18 compact=6", "net and apply run on two hardware threads of one physical core (2, 18)"},
		{"net=2 journal=3 consensus=4 apply=5 compact=6", ""},
		{"", ""},
	} {
		plan, err := Place(read(t, "two-sockets", "0-31"), ask(t, test.request))
		if err != nil {
			t.Errorf("%s: %v", test.request, err)
			continue
		}
		got := strings.Join(plan.Warnings, "; ")
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: warnings %q, want %q", test.request, got, test.want)
		}
		if test.want != "" && !strings.Contains(plan.String(), "warning: ") {
			t.Errorf("%s: String hides the warning:\n%s", test.request, plan)
		}
	}
}

// Goal: for any request on any machine, a plan is whole: it has each stage once, pinned as asked
// and only to allowed processors.
func TestPlaceProperties(t *testing.T) {
	machines := []*Topology{read(t, "single-core", "0"), read(t, "two-cores", "0-1"), read(t, "one-socket-smt", "0-11"),
		read(t, "one-socket-isolated", "0-2,4-7"), read(t, "two-sockets", "0-31")}
	rapid.Check(t, func(t *rapid.T) {
		topology := *rapid.SampledFrom(machines).Draw(t, "machine")
		online := topology.Online.List()
		topology.Allowed = Cores(rapid.SliceOfNDistinct(rapid.SampledFrom(online), 1, len(online), rapid.ID).Draw(t, "allowed")...)
		request := AutoRequest()
		request.CompactWorkersMax = rapid.IntRange(1, 4).Draw(t, "workers")
		request.NodeNear = rapid.IntRange(NodeUnknown, 1).Draw(t, "near")
		for stage := range Stage(StagesCount) {
			if rapid.Bool().Draw(t, "explicit") {
				request.Cores[stage] = Cores(rapid.SliceOfNDistinct(rapid.SampledFrom(topology.Allowed.List()), 1, min(4, topology.Allowed.Count()),
					rapid.ID).Draw(t, "cores")...)
			}
		}
		plan, err := Place(&topology, request)
		if err != nil {
			t.Fatal(err)
		}
		var placed [StagesCount]CoreSet
		var threadsCount [StagesCount]int
		for i := range plan.Threads {
			thread := &plan.Threads[i]
			if thread.Cores.Or(topology.Allowed) != topology.Allowed {
				t.Fatalf("%s is pinned to %s, allowed are %s", thread.Name(), thread.Cores, topology.Allowed)
			}
			for _, stage := range thread.Stages {
				placed[stage] = placed[stage].Or(thread.Cores)
				threadsCount[stage]++
			}
		}
		for stage := range Stage(StagesCount) {
			if threadsCount[stage] != 1 && (stage != Compact || threadsCount[stage] < 1 || threadsCount[stage] > request.CompactWorkersMax) {
				t.Fatalf("%s is on %d threads\n%v", stage, threadsCount[stage], plan)
			}
			if plan.Thread(stage) < 0 {
				t.Fatalf("%s is not found", stage)
			}
			if want := request.Cores[stage]; !want.IsEmpty() && placed[stage] != want {
				t.Fatalf("%s is on %s, asked for %s\n%v", stage, placed[stage], want, plan)
			}
		}
		if plan.GoThreads() != len(plan.Threads)+2 {
			t.Fatalf("GoThreads %d for %d threads", plan.GoThreads(), len(plan.Threads))
		}
	})
}
