package replica

import (
	"time"

	"ledger/internal/arena"
	"ledger/metrics"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/stages/net"
)

// Sample is the figures of a running server. Each part is of one moment of the thread that runs it.
type Sample struct {
	Threads      []ThreadSample
	Edges        []EdgeSample
	Net          net.Counters
	Peers        net.PeersSample
	Consensus    consensus.Sample
	Journal      journal.Sample
	Apply        apply.Sample
	Compact      []compact.Sample // of each worker
	Slowest      metrics.SlowestFigures
	SlowUnlogged uint64        // slow ops that were not logged: there were too many at once
	LogDropped   uint64        // lines of the log that were lost
	Memory       []arena.Entry // what was reserved at start
	Need         MemoryNeed    // the memory that may become resident
	Resident     []uint64      // the resident part of it; see arena.Resident
}

// ThreadSample of one stage thread.
type ThreadSample struct {
	Name     string
	Stages   []int // numbers of the stages that take turns on it; each worker of compact has one
	Figures  metrics.ThreadFigures
	Syscalls uint64
	Wakes    uint64 // wakes that needed a system call of the waking thread
	Answered bool   // the figures of this thread and its stages are current; else they are the previous ones
}

// EdgeSample of one ring.
type EdgeSample struct {
	Name            string
	Count, Capacity uint64
	CountMax        uint64 // since the start, as found by the consumer
}

// edge is a ring with its figures.
type edge struct {
	name      string
	consumer  int // stage
	capacity  int
	length    func() int
	lengthMax func() int // on the consumer's thread
}

func edgeOf[R interface {
	Len() int
	LenMax() int
	Capacity() int
}](from, to int, ring R) edge {
	return edge{stages.NameOf(from) + "_to_" + stages.NameOf(to), to, ring.Capacity(), ring.Len, ring.LenMax}
}

// sampler is memory that a thread fills when it is asked. The asking thread reads it after the
// answer.
type sampler struct {
	net       net.Counters
	peers     net.PeersSample
	consensus consensus.Sample
	slowest   metrics.SlowestFigures
	journal   journal.Sample
	apply     apply.Sample
	compact   []compact.Sample        // of each worker
	figures   []metrics.ThreadFigures // by thread
	edgesMax  []int                   // by edge
	memory    []arena.Entry
}

// newSampler tells each thread which figures to copy. Threads may run only after it.
func (s *Server) newSampler() {
	p := &sampler{compact: make([]compact.Sample, len(s.replica.Compact)), figures: make([]metrics.ThreadFigures, len(s.threads)),
		edgesMax: make([]int, len(s.replica.edges)), memory: s.memory.Entries()}
	s.sampler = p
	for i, thread := range s.threads {
		thread.samplers = append(thread.samplers, func() { thread.figures.Copy(&p.figures[i]) })
		for _, driver := range thread.numbers {
			thread.samplers = append(thread.samplers, s.stageSampler(driver), s.edgesSampler(driver))
		}
	}
}

func (s *Server) stageSampler(driver int) func() {
	p, r := s.sampler, s.replica
	switch driver {
	case stages.Net:
		return func() {
			p.net = r.Net.Counters
			r.Net.SamplePeers(&p.peers)
		}
	case stages.Consensus:
		return func() {
			r.Consensus.Sample(&p.consensus)
			r.consensus.Slowest().Figures(&p.slowest)
		}
	case stages.Journal:
		return func() { r.Journal.Sample(&p.journal) }
	case stages.Apply:
		return func() { r.Apply.Sample(&p.apply) }
	default:
		worker := driver - stages.Compact
		return func() { r.Compact[worker].Sample(&p.compact[worker]) }
	}
}

// edgesSampler returns a function that copies the figures of the rings that a stage reads.
func (s *Server) edgesSampler(stage int) func() {
	p, edges := s.sampler, s.replica.edges
	return func() {
		for i := range edges {
			if edges[i].consumer == stage {
				p.edgesMax[i] = edges[i].lengthMax()
			}
		}
	}
}

// Sample asks all threads for their figures and fills out. If a thread does not answer within
// timeout, its figures in out stay. There may be one caller at a time, always with the same out,
// between Run and Close.
func (s *Server) Sample(out *Sample, timeout time.Duration) {
	for _, thread := range s.threads {
		thread.exchange.Ask()
		waker := thread.parker.Waker()
		waker.Wake()
	}
	if out.Threads == nil {
		out.Threads, out.Memory = make([]ThreadSample, len(s.threads)), s.sampler.memory
		out.Edges = make([]EdgeSample, len(s.replica.edges))
		out.Compact = make([]compact.Sample, len(s.sampler.compact))
		out.Resident = make([]uint64, len(out.Memory))
	}
	out.Need = s.need
	s.memory.Resident(out.Resident)
	out.LogDropped = s.log.DroppedLines()
	out.SlowUnlogged = s.slowLog.unlogged.Load()
	deadline := time.Now().Add(timeout)
	for i, thread := range s.threads {
		t := &out.Threads[i]
		t.Name, t.Syscalls, t.Wakes = thread.place.Name(), thread.kernel.SyscallCount(), thread.parker.WakesCount()
		t.Stages = thread.numbers
		if t.Answered = thread.exchange.Await(deadline); !t.Answered {
			continue
		}
		t.Figures = s.sampler.figures[i]
		for _, driver := range thread.numbers {
			s.take(driver, out)
		}
	}
	for i, e := range s.replica.edges {
		edge := &out.Edges[i]
		edge.Name, edge.Count, edge.Capacity = e.name, uint64(e.length()), uint64(e.capacity)
	}
}

func (s *Server) take(driver int, out *Sample) {
	p := s.sampler
	for i := range out.Edges {
		if s.replica.edges[i].consumer == driver {
			out.Edges[i].CountMax = uint64(p.edgesMax[i])
		}
	}
	switch driver {
	case stages.Net:
		out.Net, out.Peers = p.net, p.peers
	case stages.Consensus:
		out.Consensus, out.Slowest = p.consensus, p.slowest
	case stages.Journal:
		out.Journal = p.journal
	case stages.Apply:
		out.Apply = p.apply
	default:
		out.Compact[driver-stages.Compact] = p.compact[driver-stages.Compact]
	}
}
