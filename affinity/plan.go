package affinity

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Stage is a stage of the pipeline. A thread that runs several stages gives them turns in this
// order.
type Stage uint8

const (
	Net Stage = iota
	Consensus
	Journal
	Apply
	Compact

	StagesCount = 5
)

// String is the stage's name in the configuration.
func (s Stage) String() string {
	return [StagesCount]string{"net", "consensus", "journal", "apply", "compact"}[s]
}

const (
	// SpinNsDefault is the time that an idle stage with a core of its own polls before it parks. It
	// is about the cost of waking a parked thread.
	SpinNsDefault = 50_000

	// compactWorkersAuto is the largest number of compaction workers that automatic placement pins.
	// Each worker needs memory, and more workers would seldom have work.
	compactWorkersAuto = 4

	// compactWorkersUnpinned is the largest number of compaction workers where cores are shared.
	// The second worker runs only when the first falls behind. At the end of a bar, apply waits and
	// leaves its core free, so two workers halve that wait.
	compactWorkersUnpinned = 2

	// Time slices of the scheduler: sliceNs for a stage thread, sliceCompactNs for compaction,
	// which tolerates delays. Linux (EEVDF) lets a waking thread with a shorter time slice preempt
	// one with a longer slice. CPU shares do not change. All other threads have shorter slices,
	// among them the kernel's workers that complete durable writes. With the default slice, such a
	// worker waits up to two ticks (8 ms) for a core on which a stage is running.
	sliceNs        = 10_000_000
	sliceCompactNs = 100_000_000

	// goSpareThreads is the number of Ps (of the Go scheduler) for the runtime and the admin
	// endpoint, in addition to one P per stage thread.
	goSpareThreads = 2
)

// Request is the placement that the operator asked for. AutoRequest() has no demands.
type Request struct {
	// Node is the NUMA node for stages and memory, or NodeUnknown for automatic.
	Node int
	// NodeNear is the node nearest to the disk or the network card, or NodeUnknown. It is a
	// preference; Node is binding.
	NodeNear int
	// Cores of each stage; empty is automatic.
	Cores [StagesCount]CoreSet
	// SpinNs is the time that an idle stage spins before it parks. It counts only if SpinIsSet. The
	// default is SpinNsDefault on a core of its own and 0 on shared cores.
	SpinNs    uint64
	SpinIsSet bool
	// CompactWorkersMax is how many threads compaction can use, 1 or more.
	CompactWorkersMax int
}

// AutoRequest leaves everything to Place.
func AutoRequest() Request {
	return Request{Node: NodeUnknown, NodeNear: NodeUnknown, CompactWorkersMax: 1}
}

// Thread is one thread of the pipeline.
type Thread struct {
	Stages []Stage // the stages that take turns on this thread, at least one
	Worker int     // number of the compaction worker, from 0
	Cores  CoreSet // the cores to which the thread is pinned; empty: not pinned
	SpinNs uint64  // idle time before it parks; 0: it parks at once
}

// Name says which stages run here: "net+journal".
func (t *Thread) Name() string {
	var out strings.Builder
	for i, stage := range t.Stages {
		if i > 0 {
			out.WriteByte('+')
		}
		out.WriteString(stage.String())
	}
	if t.Worker > 0 {
		fmt.Fprintf(&out, "-%d", t.Worker)
	}
	return out.String()
}

// Plan maps stages to threads and threads to cores. Each stage runs on one thread. Compaction is
// the exception: each of its workers has a thread.
type Plan struct {
	Threads  []Thread // in order of their first stage
	Node     int      // the node whose memory is used, or NodeUnknown
	Warnings []string // placements that work, but slower than others would
}

// GoThreads is the value for GOMAXPROCS. Stage threads never yield their P, so the runtime needs
// spare Ps beside theirs.
func (p *Plan) GoThreads() int { return len(p.Threads) + goSpareThreads }

// Thread returns the index of the thread that runs stage, or -1. For compaction it is worker 0's.
func (p *Plan) Thread(stage Stage) int {
	for i := range p.Threads {
		for _, other := range p.Threads[i].Stages {
			if other == stage {
				return i
			}
		}
	}
	return -1
}

// CompactThreads returns the indexes of the threads that run compaction, in order of their workers.
func (p *Plan) CompactThreads() (threads []int) {
	for i := range p.Threads {
		for _, stage := range p.Threads[i].Stages {
			if stage == Compact {
				threads = append(threads, i)
			}
		}
	}
	return threads
}

// String describes the plan, one line per thread.
func (p *Plan) String() string {
	var out strings.Builder
	for i := range p.Threads {
		t := &p.Threads[i]
		place := "not pinned"
		if !t.Cores.IsEmpty() {
			place = "core " + t.Cores.String()
		}
		fmt.Fprintf(&out, "%s: %s, spin %d ns\n", t.Name(), place, t.SpinNs)
	}
	if p.Node != NodeUnknown {
		fmt.Fprintf(&out, "memory: node %d\n", p.Node)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", warning)
	}
	return out.String()
}

// RequestError names a setting that cannot be followed, and the reason.
type RequestError struct {
	Key  string // numa_node, or a stage
	Text string // its value
	Err  error
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("[affinity] %s = %q: %v", e.Key, e.Text, e.Err)
}

func (e *RequestError) Unwrap() error { return e.Err }

// Place makes the plan for request on topology. The same arguments always give the same plan.
//
// error: a *RequestError, for a core or a node that does not exist or is not allowed.
func Place(t *Topology, request Request) (*Plan, error) {
	if request.Node != NodeUnknown {
		if err := checkNode(t, request.Node); err != nil {
			return nil, &RequestError{Key: "numa_node", Text: fmt.Sprint(request.Node), Err: err}
		}
	}
	var explicit, auto []Stage
	var taken CoreSet
	for stage := range Stage(StagesCount) {
		cores := request.Cores[stage]
		if cores.IsEmpty() {
			auto = append(auto, stage)
			continue
		}
		if err := t.CheckCores(cores); err != nil {
			return nil, &RequestError{Key: stage.String(), Text: cores.String(), Err: err}
		}
		explicit = append(explicit, stage)
		taken = taken.Or(cores)
	}
	p := &Plan{Node: request.Node}
	p.placeExplicit(request, explicit)
	p.placeAuto(t, request, auto, taken)
	p.sortThreads()
	p.chooseNode(t)
	p.settle(t, request)
	return p, nil
}

func checkNode(t *Topology, number int) error {
	node := t.Node(number)
	if node == nil {
		names := make([]string, len(t.Nodes))
		for i := range t.Nodes {
			names[i] = fmt.Sprint(t.Nodes[i].Number)
		}
		return fmt.Errorf("must be a node of this machine: %s", strings.Join(names, ", "))
	}
	if node.Cores.And(t.usable()).IsEmpty() {
		return fmt.Errorf("node %d has no core that this process may use: allowed are %s", number, t.usable())
	}
	return nil
}

// placeExplicit makes the threads of stages whose cores the operator named. Stages that name the
// same single core share a thread.
func (p *Plan) placeExplicit(request Request, stages []Stage) {
	for _, stage := range stages {
		cores := request.Cores[stage]
		if cores.Count() == 1 {
			if i := p.threadOn(cores); i >= 0 {
				p.Threads[i].Stages = append(p.Threads[i].Stages, stage)
				continue
			}
		}
		if stage != Compact {
			p.Threads = append(p.Threads, Thread{Stages: []Stage{stage}, Cores: cores})
			continue
		}
		// Compaction gets one worker per core. Cores beyond the largest number of workers are added
		// to the workers in turn, so that no core stays unused.
		list := cores.List()
		workersCount := max(1, min(len(list), request.CompactWorkersMax))
		workers := make([]Thread, workersCount)
		for i, core := range list {
			workers[i%workersCount].Cores.Add(core)
		}
		for i := range workers {
			workers[i].Stages, workers[i].Worker = []Stage{Compact}, i
		}
		p.Threads = append(p.Threads, workers...)
	}
}

// threadOn returns the index of the thread that has exactly these cores, or -1.
func (p *Plan) threadOn(cores CoreSet) int {
	for i := range p.Threads {
		if p.Threads[i].Cores == cores {
			return i
		}
	}
	return -1
}

// placeAuto makes the threads of the other stages. If there are enough free physical cores, each
// stage is pinned to one. Otherwise all stages but compaction share one unpinned thread, and
// compaction gets unpinned workers.
func (p *Plan) placeAuto(t *Topology, request Request, stages []Stage, taken CoreSet) {
	if len(stages) == 0 {
		return
	}
	needed := len(stages) + 1 // one core for clients, the runtime and interrupts
	cores := roomiestNode(t, request, taken, needed)
	quotaLeft := t.CoresUsableCount() - len(p.Threads)
	if len(cores) >= needed && quotaLeft >= needed {
		// Stages get the last cores of the list, because core 0 and its neighbours serve most
		// interrupts. The spare core is one of those.
		spareCount := min(len(cores), quotaLeft) - needed
		workersCount := 1 + min(spareCount/2, compactWorkersAuto-1, request.CompactWorkersMax-1)
		threads := make([]Thread, 0, len(stages)+workersCount-1)
		for _, stage := range stages {
			threads = append(threads, Thread{Stages: []Stage{stage}})
			for worker := 1; stage == Compact && worker < workersCount; worker++ {
				threads = append(threads, Thread{Stages: []Stage{stage}, Worker: worker})
			}
		}
		cores = cores[len(cores)-len(threads):]
		for i := range threads {
			threads[i].Cores = Cores(cores[i])
		}
		p.Threads = append(p.Threads, threads...)
		return
	}
	var fused, alone []Stage
	for _, stage := range stages {
		if stage == Compact {
			alone = append(alone, stage)
		} else {
			fused = append(fused, stage)
		}
	}
	var near CoreSet // all cores of the node that the operator named; empty if none was named
	if request.Node != NodeUnknown && len(t.Nodes) > 1 {
		near = t.Node(request.Node).Cores.And(t.usable())
	}
	if len(fused) > 0 {
		p.Threads = append(p.Threads, Thread{Stages: fused, Cores: near})
	}
	if len(alone) > 0 {
		for worker := range min(t.CoresUsableCount(), compactWorkersUnpinned, request.CompactWorkersMax) {
			p.Threads = append(p.Threads, Thread{Stages: alone, Worker: worker, Cores: near})
		}
	}
}

// roomiestNode chooses a NUMA node and returns its free physical cores (the first hardware thread
// of each). A node that the operator named is taken. Otherwise the near node is taken if it has as
// many cores as needed. Otherwise the node with most free cores is taken, and of equals the lowest.
func roomiestNode(t *Topology, request Request, taken CoreSet, needed int) (best []int) {
	for i := range t.Nodes {
		number := t.Nodes[i].Number
		if request.Node != NodeUnknown && number != request.Node {
			continue
		}
		var free []int
		for _, core := range t.Nodes[i].Cores.And(t.usable()).List() {
			siblings := t.Core(core).Siblings
			isFirst := siblings.And(t.usable()).First() == core
			if isFirst && siblings.And(taken).IsEmpty() { // a core with a taken sibling is not free
				free = append(free, core)
			}
		}
		if number == request.NodeNear && len(free) >= needed {
			return free
		}
		if len(free) > len(best) {
			best = free
		}
	}
	return best
}

// sortThreads orders the threads by their first stage, and workers of compaction by number.
func (p *Plan) sortThreads() {
	slices.SortStableFunc(p.Threads, func(a, b Thread) int {
		return cmp.Or(cmp.Compare(a.Stages[0], b.Stages[0]), cmp.Compare(a.Worker, b.Worker))
	})
}

// chooseNode sets the node for memory if the operator named none: the node of all pinned threads.
// It warns if pinned threads are on several nodes or outside of the node for memory.
func (p *Plan) chooseNode(t *Topology) {
	var nodes uint64 // one bit per node
	for i := range p.Threads {
		for _, core := range p.Threads[i].Cores.List() {
			nodes |= 1 << t.Core(core).Node
		}
	}
	switch count := bits.OnesCount64(nodes); {
	case count > 1:
		p.Warnings = append(p.Warnings, "stages are pinned to several NUMA nodes: every batch crosses between them")
	case count == 1 && p.Node == NodeUnknown:
		p.Node = bits.TrailingZeros64(nodes)
	case count == 1 && nodes != 1<<p.Node:
		p.Warnings = append(p.Warnings, fmt.Sprintf("stages are pinned to cores outside of NUMA node %d, where their memory is", p.Node))
	}
}

// settle sets the spin time of each thread, which depends on the cores that other threads share
// with it. It warns of threads on two hardware threads of one physical core.
func (p *Plan) settle(t *Topology, request Request) {
	for i := range p.Threads {
		thread := &p.Threads[i]
		unpinned, shared := thread.Cores.IsEmpty(), false
		for j := range p.Threads {
			other := &p.Threads[j]
			if j != i && !thread.Cores.And(other.Cores).IsEmpty() {
				shared = true
			}
			if j > i && t.areSiblings(thread.Cores, other.Cores) {
				p.Warnings = append(p.Warnings, fmt.Sprintf("%s and %s run on two hardware threads of one physical core (%s, %s): each slows the other",
					thread.Name(), other.Name(), thread.Cores, other.Cores))
			}
		}
		switch {
		case shared || t.CoresUsableCount() == 1:
			thread.SpinNs = 0 // a spinning thread would take the core from the thread it waits for
		case request.SpinIsSet:
			thread.SpinNs = request.SpinNs
		case !unpinned:
			thread.SpinNs = SpinNsDefault
		}
	}
}
