package replica

import (
	"sync/atomic"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/stages/net"
	"ledger/storage"
)

// Ports are the stages' ports to the disk and the network. Each is used by one stage.
type Ports struct {
	Network     ports.Network
	Names       ports.Names // of the other replicas; nil in a cluster of one
	JournalDisk ports.Disk
	ApplyDisk   ports.Disk   // grid reads
	CompactDisk []ports.Disk // grid reads and writes, of each worker
}

// Disk operations that each stage may have queued at the same time, for ports.Thread.Disk.
const (
	JournalOperationsMax = 64
	ApplyOperationsMax   = 128
	CompactOperationsMax = compact.OperationsMax
)

// Options of one start.
type Options struct {
	Consensus consensus.Options
	// Seed of the jitter of timers and of the nonce of this start, which is random. NowNs and WallNs
	// are the clocks of the start. A cluster of one uses none of them.
	Seed, NowNs, WallNs uint64
	// Wakers of the threads that run the drivers, in order of the drivers; nil: all share a thread.
	Wakers []ring.Waker
	// Clock is used only for metrics. It is nil in the simulator.
	Clock func() uint64
	// Peers is nil in a cluster of one.
	Peers *net.PeersOptions
	// Log takes events about connections, at most one for each.
	Log func(net.LogEntry)
	// ThreadsCount is the number of threads that write to the board. Slow is called for each slow
	// op, on the thread of consensus. Both are only for metrics.
	ThreadsCount int
	Slow         func(*metrics.SlowOp)
	// Trace is called for each op that ended, on the thread of consensus; nil: not at all.
	Trace func(*metrics.Op)
	// Reserved is called when all memory is reserved, before the indexes of the data file are read
	// into it. Its error ends New. It may be nil.
	Reserved func() error
	// Ready is called when the log is executed and clients are served, Fault when the replica must
	// stop, Left when one that was told to leave has nothing to wait for, ClockBehind when the wall
	// clock is behind the newest timestamp, and Service of one of several replicas whenever it begins
	// or ends to serve. Left, ClockBehind and Service may be nil. All are called on the thread of
	// consensus.
	Ready       func()
	Fault       func(*storage.Fault)
	Left        func()
	ClockBehind func(behindNs uint64)
	Service     func(consensus.Service)
	LostBlocks  func(consensus.LostBlocks)
	Healing     func(consensus.Healing)
	// Finding is called for each damage that the scrubber finds, on the threads of journal and of the
	// first worker of compact. It counts only within the call. It may be nil.
	Finding func(*storage.Finding)
	// ScrubFromOf65536 is the share of the file at which the scrubber begins.
	ScrubFromOf65536 uint32
	SyncNews         func(consensus.SyncNews)
	Upgrade          func(consensus.UpgradeNews)
}

// Replica is the joined stages of one replica. They do not run by themselves.
type Replica struct {
	// Drivers in order of the stages. The workers of compact are the last, from stages.Compact on.
	Drivers   []stages.Driver
	Consensus *consensus.Stage
	Journal   *journal.Stage
	Net       *net.Stage
	Apply     *apply.Stage
	Compact   []*compact.Stage // the workers
	Slots     *stages.Slots
	consensus *consensus.Driver
	leaves    atomic.Bool
	Board     *metrics.Board
	edges     []edge
}

// ringCapacity is the smallest power of two that is at least count.
func ringCapacity(count uint32) int {
	capacity := 64
	for capacity < int(count) {
		capacity *= 2
	}
	return capacity
}

// New joins the stages of an opened replica. Apply opens the state of the checkpoint in its first
// turns.
func New(o *Opened, p Ports, slots *stages.Slots, memory *arena.Arena, options Options) (*Replica, error) {
	l := o.Limits
	workers := int(l.CompactWorkers)
	assert.Equal(len(p.CompactDisk), workers, "disks of the workers of compact")
	r := &Replica{Slots: slots, Board: new(metrics.Board), Drivers: make([]stages.Driver, stages.Compact+workers)}
	waker := func(driver int) ring.Waker {
		if options.Wakers == nil {
			return ring.Waker{}
		}
		return options.Wakers[driver]
	}
	superblock := &o.Consensus.Superblock
	clientSlots, inFlight := slots.Pools[stages.SlotClient].SlotsCount(), consensus.ClientsInFlightMax(&l)
	netToConsensus := ring.NewSPSC[stages.NetToConsensus](ringCapacity(net.BudgetToConsensus(&l, clientSlots, inFlight)))
	consensusToNet := ring.NewSPSC[stages.ConsensusToNet](ringCapacity(net.BudgetToNet(&l, clientSlots, inFlight)))
	consensusToJournal := ring.NewSPSC[stages.ConsensusToJournal](64)
	journalToConsensus := ring.NewSPSC[stages.JournalToConsensus](64)
	consensusToApply := ring.NewSPSC[stages.ConsensusToApply](stages.RingConsensusToApply(&l))
	applyToConsensus := ring.NewSPSC[stages.ApplyToConsensus](stages.RingApplyToConsensus(&l))

	o.Consensus.Seed, o.Consensus.NowNs, o.Consensus.WallNs = options.Seed, options.NowNs, options.WallNs
	r.Consensus = consensus.New(l, options.Consensus, slots, &o.Consensus, memory)
	r.consensus = consensus.NewDriver(r.Consensus, consensus.Edges{
		FromNet:     netToConsensus,
		FromJournal: journalToConsensus,
		FromApply:   applyToConsensus,
		ToNet:       sender(consensusToNet, waker(stages.Net)),
		ToJournal:   sender(consensusToJournal, waker(stages.Journal)),
		ToApply:     sender(consensusToApply, waker(stages.Apply)),
	}, consensus.Callbacks{Ready: options.Ready, Leaves: r.leaves.Load, Left: options.Left, ClockBehind: options.ClockBehind,
		Fault: options.Fault, Service: options.Service, LostBlocks: options.LostBlocks, Healing: options.Healing,
		SyncNews: options.SyncNews, Upgrade: options.Upgrade})
	slowest := metrics.NewSlowest(r.Board, options.ThreadsCount, options.Slow)
	slowest.SetTrace(options.Trace)
	r.consensus.SetSlowest(slowest)
	r.Drivers[stages.Consensus] = r.consensus

	r.Journal = journal.New(l, superblock.Cluster, slots, o.Journal.Headers, memory)
	journalDriver := journal.NewDriver(r.Journal, p.JournalDisk, consensusToJournal,
		sender(journalToConsensus, waker(stages.Consensus)))
	journalDriver.SetBoard(r.Board)
	journalDriver.OnFinding(options.Finding)
	if l.ScrubPeriodNs > 0 {
		r.Journal.Scrub(o.scrubStart(options.ScrubFromOf65536), memory)
	}
	r.Drivers[stages.Journal] = journalDriver

	r.Net = net.New(l, superblock.Cluster, slots, memory, options.Peers)
	r.Drivers[stages.Net] = net.NewDriver(r.Net, p.Network, p.Names, consensusToNet,
		sender(netToConsensus, waker(stages.Consensus)), options.Log)

	r.Apply = apply.New(l, superblock.Cluster, slots, superblock.Checkpoint, o.Layout.GridAt, p.ApplyDisk, memory)
	r.Apply.SyncRange(superblock.SyncOpMin, superblock.SyncOpMax)
	if l.TouchesMemoryAtStart() {
		r.Apply.Expect(apply.Ahead{Op: o.Consensus.OpHead, IDs: o.eventsAhead()}, memory)
	}
	toWorkers := make([]apply.Worker, workers)
	for i := range toWorkers {
		applyToCompact := ring.NewSPSC[stages.ApplyToCompact](ringCapacity(uint32(stages.BudgetCompact)))
		compactToApply := ring.NewSPSC[stages.CompactToApply](ringCapacity(uint32(stages.BudgetCompact)))
		driver := stages.Compact + i
		toWorkers[i] = apply.Worker{To: sender(applyToCompact, waker(driver)), From: compactToApply}
		var blockSlots *stages.Slots
		if i == 0 && l.ReplicasCount > 1 {
			blockSlots = slots
		}
		r.Compact = append(r.Compact, compact.New(l, superblock.Cluster, o.Layout.GridAt, blockSlots, memory))
		compactDriver := compact.NewDriver(r.Compact[i], p.CompactDisk[i], applyToCompact, sender(compactToApply, waker(stages.Apply)))
		compactDriver.SetBoard(&r.Board.Workers[i%metrics.WorkersMax])
		compactDriver.OnFinding(options.Finding)
		if i == 0 && l.ScrubPeriodNs > 0 {
			r.Compact[i].Scrub(&l, superblock.Cluster, l.ScrubPeriodNs, options.ScrubFromOf65536, memory)
		}
		r.Drivers[driver] = compactDriver
		r.edges = append(r.edges, edgeOf(stages.Apply, driver, applyToCompact), edgeOf(driver, stages.Apply, compactToApply))
	}
	if options.Reserved != nil {
		if err := options.Reserved(); err != nil {
			return nil, err
		}
	}
	applyDriver := apply.NewDriver(r.Apply, p.ApplyDisk, consensusToApply,
		sender(applyToConsensus, waker(stages.Consensus)), toWorkers)
	applyDriver.SetBoard(r.Board)
	r.Drivers[stages.Apply] = applyDriver
	r.Apply.SetClock(options.Clock)
	r.edges = append([]edge{
		edgeOf(stages.Net, stages.Consensus, netToConsensus),
		edgeOf(stages.Consensus, stages.Net, consensusToNet),
		edgeOf(stages.Consensus, stages.Journal, consensusToJournal),
		edgeOf(stages.Journal, stages.Consensus, journalToConsensus),
		edgeOf(stages.Consensus, stages.Apply, consensusToApply),
		edgeOf(stages.Apply, stages.Consensus, applyToConsensus),
	}, r.edges...)
	return r, nil
}

func sender[T any](to *ring.SPSC[T], waker ring.Waker) stages.Sender[T] {
	return stages.Sender[T]{Ring: to, Waker: waker}
}

// Sent is the set of the drivers, by number, for which messages of one driver wait on a ring. The
// threads of a server learn that from their wakers, and the simulator, which has none, from here.
func (r *Replica) Sent(driver int) (consumers uint32) {
	for i := range r.edges {
		if e := &r.edges[i]; e.producer == driver && e.length() > 0 {
			consumers |= 1 << e.consumer
		}
	}
	return consumers
}

// Stop unwinds the work of the stages without finishing it. Only the simulator calls it, for a
// crash.
func (r *Replica) Stop() {
	r.Apply.Stop()
	for _, worker := range r.Compact {
		worker.Stop()
	}
}
