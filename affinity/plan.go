package affinity

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Stage of the pipeline, in the order in which a thread that runs several gives them their turns.
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
	// SpinNsDefault is how long an idle stage that has its core to itself looks for work before it parks: about what
	// waking it would cost.
	SpinNsDefault = 50_000

	// compactWorkersAuto is how many workers compaction gets at most when nobody says how many: each needs memory, and more would
	// seldom have anything to do.
	compactWorkersAuto = 4

	// compactWorkersUnpinned is how many it gets where cores are shared: the second works only when the first falls behind, and then the
	// end of a bar, at which apply leaves its core, waits half as long.
	compactWorkersUnpinned = 2

	// sliceNs is the time slice of a stage thread, sliceCompactNs that of compaction, which is never in a hurry. Whoever has a shorter
	// one, as all others have, runs at once when it wakes, and no less of the core is ours for it. Among these are the kernel's
	// workers that finish our durable writes: without, one waits for a core that a stage is busy on for up to two ticks, 8 ms.
	sliceNs        = 10_000_000
	sliceCompactNs = 100_000_000

	// goSpareThreads are for the runtime and the admin endpoint, beside one P per stage thread.
	goSpareThreads = 2
)

// Request is what the operator asked for. AutoRequest() is nothing in particular.
type Request struct {
	// Node is the NUMA node for stages and memory, or NodeUnknown for automatic.
	Node int
	// NodeNear is the node nearest to the disk or the network card, or NodeUnknown: a wish, where Node is an order.
	NodeNear int
	// Cores of each stage; empty is automatic.
	Cores [StagesCount]CoreSet
	// SpinNs is how long an idle stage spins before it parks, where SpinIsSet; else SpinNsDefault on cores of its own
	// and 0 on shared ones.
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
	Stages []Stage // that take turns on it, at least one
	Worker int     // of compaction: 0 to its workers-1
	Cores  CoreSet // that it is pinned to; empty: not pinned
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

// Plan maps stages to threads and threads to cores. Each stage is on one thread; compaction may be on several, one
// per worker.
type Plan struct {
	Threads  []Thread // in order of their first stage
	Node     int      // where memory belongs, or NodeUnknown
	Warnings []string // what works, but slower than it could
}

// GoThreads is the GOMAXPROCS that leaves the runtime room beside stage threads that never yield.
func (p *Plan) GoThreads() int { return len(p.Threads) + goSpareThreads }

// Thread returns the index of the thread that runs stage (of compaction: worker 0).
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

// CompactThreads are the indexes of the threads that run compaction, by worker.
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

// String shows the plan, a line per thread.
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

// RequestError says which setting cannot be followed, and why.
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
// error: a *RequestError, for a core or a node that is not there or not allowed.
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

// placeExplicit makes the threads that were placed by hand. Stages that name the same single core share a thread.
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
		// Several cores are several workers; cores beyond them are dealt out, so that none stays unused.
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

// threadOn returns the thread that has exactly these cores, or -1.
func (p *Plan) threadOn(cores CoreSet) int {
	for i := range p.Threads {
		if p.Threads[i].Cores == cores {
			return i
		}
	}
	return -1
}

// placeAuto makes the threads of the other stages: pinned, a physical core each, if there are enough; else two.
func (p *Plan) placeAuto(t *Topology, request Request, stages []Stage, taken CoreSet) {
	if len(stages) == 0 {
		return
	}
	needed := len(stages) + 1 // one for clients, runtime and interrupts
	cores := roomiestNode(t, request, taken, needed)
	quotaLeft := t.CoresUsableCount() - len(p.Threads)
	if len(cores) >= needed && quotaLeft >= needed {
		// The last ones: core 0 and its neighbours serve most interrupts, and one of them is the spare.
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
	var near CoreSet // not a core, but at least the node, where the operator named one
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

// roomiestNode returns the free physical cores (the first hardware thread of each) of the node to use: the one
// asked for; else the near one if it has as many as needed; else the one with most, the lowest of equals.
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
			if isFirst && siblings.And(taken).IsEmpty() { // half a physical core is no core
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

// sortThreads puts threads in order of their first stage, stages in order of their turns, workers by number.
func (p *Plan) sortThreads() {
	slices.SortStableFunc(p.Threads, func(a, b Thread) int {
		return cmp.Or(cmp.Compare(a.Stages[0], b.Stages[0]), cmp.Compare(a.Worker, b.Worker))
	})
}

// chooseNode finds the node for memory, if none was asked for: the one that all pinned threads are on.
func (p *Plan) chooseNode(t *Topology) {
	var nodes uint64 // a bit per node
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

// settle decides on spinning, which depends on who shares what.
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
			thread.SpinNs = 0 // it would spin in the way of the thread it waits for
		case request.SpinIsSet:
			thread.SpinNs = request.SpinNs
		case !unpinned:
			thread.SpinNs = SpinNsDefault
		}
	}
}
