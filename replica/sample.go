package replica

import (
	"sync/atomic"
	"time"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/metrics"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/stages/net"
	"ledger/wire"
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
	Limits       limits.Limits // in force
	Cluster      wire.U128
	Self         uint8 // index of this replica
	Replicas     uint8 // of the cluster
	File         FileSample
	// WantClients asks for the next two; the caller sets it. They are as long as there are clients.
	WantClients bool
	Sessions    []consensus.SessionSample
	Clients     []net.ClientSample // connections with a client
}

// FileSample is the room of the data file.
type FileSample struct {
	Bytes     uint64 // its size
	FreeBytes uint64 // by which it can grow: space that its file system has left; 0 for a block device
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
	producer  int // stage
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
	return edge{stages.NameOf(from) + "_to_" + stages.NameOf(to), from, to, ring.Capacity(), ring.Len, ring.LenMax}
}

// sampler is memory that a thread fills when it is asked. The asking thread reads it after the
// answer.
type sampler struct {
	net        net.Counters
	peers      net.PeersSample
	consensus  consensus.Sample
	slowest    metrics.SlowestFigures
	journal    journal.Sample
	apply      apply.Sample
	compact    []compact.Sample        // of each worker
	figures    []metrics.ThreadFigures // by thread
	edgesMax   []int                   // by edge
	memory     []arena.Entry
	residentAt time.Time // of the last look at the arena's pages

	// Lists of clients are copied only on request.
	wantClients   atomic.Bool
	sessions      []consensus.SessionSample
	clients       []net.ClientSample
	sessionsCount int
	clientsCount  int
}

// newSampler tells each thread which figures to copy. Threads may run only after it.
func (s *Server) newSampler() {
	p := &sampler{compact: make([]compact.Sample, len(s.replica.Compact)), figures: make([]metrics.ThreadFigures, len(s.threads)),
		edgesMax: make([]int, len(s.replica.edges)), memory: s.memory.Entries(),
		sessions: make([]consensus.SessionSample, s.opened.Limits.SessionsMax),
		clients:  make([]net.ClientSample, net.PortConnectionsMax(&s.opened.Limits))}
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
			if p.wantClients.Load() {
				p.clientsCount = r.Net.SampleClients(p.clients)
			}
		}
	case stages.Consensus:
		return func() {
			r.Consensus.Sample(&p.consensus)
			r.consensus.Slowest().Figures(&p.slowest)
			if p.wantClients.Load() {
				p.sessionsCount = r.Consensus.SampleSessions(p.sessions)
			}
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

// residentEvery is how often a sample looks which pages of the arena are resident. That takes 3 ms
// of a core for 4 GiB, half of what a page of metrics takes.
const residentEvery = time.Second

// Sample asks all threads for their figures and fills out. If a thread does not answer within
// timeout, its figures in out stay. There may be one caller at a time, always with the same out,
// between Run and Close.
func (s *Server) Sample(out *Sample, timeout time.Duration) {
	s.sampler.wantClients.Store(out.WantClients)
	for _, thread := range s.threads {
		thread.exchange.Ask()
		waker := thread.parker.Waker()
		waker.Wake()
	}
	if out.Threads == nil {
		out.Threads, out.Memory = make([]ThreadSample, len(s.threads)), s.sampler.memory
		out.Edges = make([]EdgeSample, len(s.replica.edges))
		out.Compact = make([]compact.Sample, len(s.sampler.compact))
		out.Resident, s.sampler.residentAt = make([]uint64, len(out.Memory)), time.Time{}
	}
	out.Need, out.Limits, out.File = s.need, s.opened.Limits, s.sampleFile()
	superblock := &s.opened.Consensus.Superblock
	out.Cluster, out.Self, out.Replicas = superblock.Cluster, superblock.Replica, superblock.ReplicasCount
	if now := time.Now(); now.Sub(s.sampler.residentAt) >= residentEvery {
		s.memory.Resident(out.Resident)
		s.sampler.residentAt = now
	}
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
		if out.WantClients {
			out.Clients = append(out.Clients[:0], p.clients[:p.clientsCount]...)
		}
	case stages.Consensus:
		out.Consensus, out.Slowest = p.consensus, p.slowest
		if out.WantClients {
			out.Sessions = append(out.Sessions[:0], p.sessions[:p.sessionsCount]...)
		}
	case stages.Journal:
		out.Journal = p.journal
	case stages.Apply:
		out.Apply = p.apply
	default:
		out.Compact[driver-stages.Compact] = p.compact[driver-stages.Compact]
	}
}

// sampleFile asks the kernel for the sizes. What it does not know stays 0.
func (s *Server) sampleFile() (f FileSample) {
	bytes, err := s.file.SizeBytes()
	if err != nil {
		return f
	}
	f.Bytes = bytes
	if bytesMax, err := s.file.BytesMax(); err == nil && bytesMax > bytes {
		f.FreeBytes = bytesMax - bytes
	}
	return f
}
