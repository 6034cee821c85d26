package consensus

import (
	"ledger/limits"
	"ledger/metrics"
	"ledger/stages"
	"ledger/storage"
)

// Events are the inputs of a step. Completions free room for new work, so answers come before
// requests.
type Events struct {
	// Leaves: the process is about to end. It stays true.
	Leaves  bool
	WallNs  uint64 // the wall clock: for timestamps of prepares, due expiries, and the report of a clock that is behind
	Journal []stages.JournalToConsensus
	Apply   []stages.ApplyToConsensus
	Net     []stages.NetToConsensus
}

// Actions are the outputs of a step, in order within each slice. The slices are preallocated, and a
// step never exceeds them.
type Actions struct {
	Net     []stages.ConsensusToNet
	Journal []stages.ConsensusToJournal
	Apply   []stages.ConsensusToApply
	// Ops that have ended, for the recorder of slow ops.
	Ops []metrics.Op
	// Ready becomes true in the step from which on clients are served, for the first time.
	Ready bool
	// Left becomes true in the step from which on a process that is about to end has nothing to wait
	// for, for the first time.
	Left bool
	// Service is set when it has changed. It points into the stage, and is read before the next step.
	Service *Service
	// LostBlocks is set when a line is to say something about blocks that no replica brings. It points
	// into the stage, and is read before the next step.
	LostBlocks *LostBlocks
	// Healing is set when there is something to say about repair. It points into the stage, and is
	// read before the next step.
	Healing *Healing
	// SyncNews is set when a line is to say something about state sync. It points into the stage too.
	SyncNews *SyncNews
	// Upgrade is set when this replica executes the first op of an upgrade. It points into the stage.
	Upgrade *UpgradeNews
	// ClockBehindNs is set once an hour while the wall clock is behind the newest timestamp of the
	// log.
	ClockBehindNs uint64
	// Fault stops the replica.
	Fault *storage.Fault
}

// NewActions returns actions with room for all outputs of one step with limits l.
func NewActions(l *limits.Limits) Actions {
	// One answer to each event of net; a reply to each client in flight; the slot of each prepare,
	// and of each request of a group; a session that each prepare may end, since a register has a
	// prepare of its own; an answer to each request that waited for the start.
	net := netEventsMax + ClientsInFlightMax(l) + 2*l.PipelineOpsMax + queueMax(l) + l.ConnectionsMax
	if l.PeersCount() > 0 {
		// To each event an answer to one peer, and the slot of its message; what timers send; what
		// a view change lets go; an acknowledgement of each op above commit_max.
		net += netEventsMax + 8*l.PipelineOpsMax + 16
		// To each event of apply an answer to one peer, and the slot of a block; a request for blocks
		// for each that may be held.
		net += 2*applyEventsMax + heldBlocksMax
	}
	return Actions{
		Net:     make([]stages.ConsensusToNet, 0, net),
		Journal: make([]stages.ConsensusToJournal, 0, 64),
		Apply:   make([]stages.ConsensusToApply, 0, 64),
		Ops:     make([]metrics.Op, 0, l.PipelineOpsMax+stages.LateRepliesMax), // and late replies
	}
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Net, a.Journal, a.Apply, a.Ops = a.Net[:0], a.Journal[:0], a.Apply[:0], a.Ops[:0]
	a.Ready, a.Left = false, false
	a.Service, a.LostBlocks, a.Healing, a.SyncNews, a.Upgrade, a.ClockBehindNs, a.Fault = nil, nil, nil, nil, nil, 0, nil
}
