package replica

import (
	"ledger/arena"
	"ledger/limits"
	"ledger/ports"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/wire"
)

// Ports are what the stages ask of the world, each used by one stage.
type Ports struct {
	Network     ports.Network
	JournalDisk ports.Disk
	ApplyDisk   ports.Disk // grid reads
	CompactDisk ports.Disk // grid reads and writes
}

// Disk operations that each stage may have queued at once, for ports.Thread.Disk.
const (
	JournalOperationsMax = 64
	ApplyOperationsMax   = 128
	CompactOperationsMax = 64
)

// Options of one start.
type Options struct {
	Consensus consensus.Options
	Plant     consensus.Plant
	// Wakers of the thread that runs each stage; zero where all stages share a thread.
	Wakers [stages.Count]ring.Waker
	// Clock is for the metrics alone; nil in the simulator.
	Clock func() uint64
	// Log takes what happened on the network's edge: at most a line for each connection.
	Log func(net.LogEntry)
	// Ready is called when clients are served, Fault when the replica must stop; both on the thread of consensus.
	Ready func()
	Fault func(*storage.Fault)
}

// Replica is the stages of one replica, joined, not running.
type Replica struct {
	Drivers   [stages.Count]stages.Driver
	Consensus *consensus.Stage
	Journal   *journal.Stage
	Net       *net.Stage
	Apply     *apply.Stage
	Compact   *compact.Stage
	Slots     *stages.Slots
	timer     *consensus.Driver
	edges     []edge
}

// NewSlots reserves the message slots of a replica. Slots are touched last-in first-out, so what load never needs costs nothing.
func NewSlots(l *limits.Limits, memory *arena.Arena) *stages.Slots {
	message := uint64(max(l.MessageBytesMax, wire.MessageBytesMax))
	slots := &stages.Slots{}
	// A client's message is one in reception and one in the queue or the pipeline.
	slots.Pools[stages.SlotClient] = arena.NewPool(memory, 2*l.ConnectionsMax+l.PipelineOpsMax, message, "client slots")
	slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, l.PipelineOpsMax+2, message, "prepare slots")
	// A session's last reply, the one that a checkpoint being written pins, the one on its way to a connection that does not read, and
	// the pipeline's.
	slots.Pools[stages.SlotReply] = arena.NewPool(memory, 2*l.SessionsMax+l.ConnectionsMax+2*l.PipelineOpsMax, message, "reply slots")
	return slots
}

// ringCapacity is the power of two at or above count.
func ringCapacity(count uint32) int {
	capacity := 64
	for capacity < int(count) {
		capacity *= 2
	}
	return capacity
}

// New joins the stages of an opened replica. forest has been opened at the same checkpoint.
func New(o *Opened, p Ports, slots *stages.Slots, file ports.File, memory *arena.Arena, options Options) (*Replica, error) {
	l := o.Limits
	r := &Replica{Slots: slots}
	superblock := &o.Consensus.Superblock
	clientSlots, inFlight := slots.Pools[stages.SlotClient].SlotsCount(), consensus.ClientsInFlightMax(&l)
	netToConsensus := ring.NewSPSC[stages.NetToConsensus](ringCapacity(net.BudgetToConsensus(&l, clientSlots, inFlight)))
	consensusToNet := ring.NewSPSC[stages.ConsensusToNet](ringCapacity(net.BudgetToNet(clientSlots, inFlight)))
	consensusToJournal := ring.NewSPSC[stages.ConsensusToJournal](64)
	journalToConsensus := ring.NewSPSC[stages.JournalToConsensus](64)
	consensusToApply := ring.NewSPSC[stages.ConsensusToApply](64)
	applyToConsensus := ring.NewSPSC[stages.ApplyToConsensus](64)
	applyToCompact := ring.NewSPSC[stages.ApplyToCompact](8)
	compactToApply := ring.NewSPSC[stages.CompactToApply](8)

	var err error
	r.Consensus, err = consensus.New(l, options.Consensus, slots, &o.Consensus, memory, options.Plant)
	if err != nil {
		return nil, err
	}
	r.timer = consensus.NewDriver(r.Consensus, consensus.Edges{
		FromNet:     netToConsensus,
		FromJournal: journalToConsensus,
		FromApply:   applyToConsensus,
		ToNet:       sender(consensusToNet, options.Wakers[stages.Net]),
		ToJournal:   sender(consensusToJournal, options.Wakers[stages.Journal]),
		ToApply:     sender(consensusToApply, options.Wakers[stages.Apply]),
	}, options.Ready, options.Fault)
	r.Drivers[stages.Consensus] = r.timer

	r.Journal = journal.New(l, superblock.Cluster, slots, o.Journal.Headers, memory)
	r.Drivers[stages.Journal] = journal.NewDriver(r.Journal, p.JournalDisk, consensusToJournal,
		sender(journalToConsensus, options.Wakers[stages.Consensus]))

	r.Net = net.New(l, superblock.Cluster, slots, memory)
	r.Drivers[stages.Net] = net.NewDriver(r.Net, p.Network, consensusToNet,
		sender(netToConsensus, options.Wakers[stages.Consensus]), options.Log)

	r.Apply, err = apply.New(l, superblock.Cluster, slots, superblock.Checkpoint, o.Layout.GridAt, file, p.ApplyDisk, memory)
	if err != nil {
		return nil, err
	}
	switch options.Plant {
	case consensus.PlantSkipVerify:
		r.Apply.PlantSkipVerify()
	case consensus.PlantReuseEarly:
		r.Apply.PlantReuseEarly()
	}
	r.Drivers[stages.Apply] = apply.NewDriver(r.Apply, p.ApplyDisk, consensusToApply,
		sender(applyToConsensus, options.Wakers[stages.Consensus]), compactToApply, sender(applyToCompact, options.Wakers[stages.Compact]))

	r.Compact = compact.New(l, superblock.Cluster, o.Layout.GridAt, memory)
	r.Drivers[stages.Compact] = compact.NewDriver(r.Compact, p.CompactDisk, applyToCompact,
		sender(compactToApply, options.Wakers[stages.Apply]))
	r.Apply.SetClock(options.Clock)
	r.edges = []edge{
		edgeOf(stages.Net, stages.Consensus, netToConsensus),
		edgeOf(stages.Consensus, stages.Net, consensusToNet),
		edgeOf(stages.Consensus, stages.Journal, consensusToJournal),
		edgeOf(stages.Journal, stages.Consensus, journalToConsensus),
		edgeOf(stages.Consensus, stages.Apply, consensusToApply),
		edgeOf(stages.Apply, stages.Consensus, applyToConsensus),
		edgeOf(stages.Apply, stages.Compact, applyToCompact),
		edgeOf(stages.Compact, stages.Apply, compactToApply),
	}
	return r, nil
}

func sender[T any](to *ring.SPSC[T], waker ring.Waker) stages.Sender[T] {
	return stages.Sender[T]{Ring: to, Waker: waker}
}

// TimerNs is when consensus wants a turn at the latest.
func (r *Replica) TimerNs() uint64 { return r.timer.TimerNs() }

// Stop unwinds the work that is under way in the stages, without finishing it: the simulator's crash.
func (r *Replica) Stop() {
	r.Apply.Stop()
	r.Compact.Stop()
}
