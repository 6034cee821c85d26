package consensus

import (
	"ledger/clock"
	"ledger/limits"
	"ledger/peer"
)

// ClusterSample is what one of several replicas knows of itself and of the others.
type ClusterSample struct {
	Replicas, Self  uint8 // Replicas is 0 in a cluster of one; a standby's Self is Replicas or above
	Indexes         uint8 // one more than the highest index of a peer
	Primary         uint8 // of the view
	IsPrimary       bool
	Away            Away
	LogView         uint32
	ViewChanges     uint64 // views that were left since the start
	AreNamed        bool   // the state names the data files that count
	IsStranger      bool   // it names another one as this replica
	CommitMax       uint64 // known to be committed; executed is Sample.Commit
	FaultySlots     uint64 // slots of the log whose prepare is damaged here
	MissingPrepares uint64 // prepares of the log that are neither here nor on their way to the disk
	RepairsAsked    uint64 // requests for prepares to others
	RepairsTaken    uint64 // prepares that came because they were asked for
	RepairsServed   uint64 // prepares that others asked for and got
	RoundTripNs     uint64 // median of the others
	Syncs           uint64 // checkpoints of others that were taken over since the start
	SyncOp          uint64 // the one of which not all is here yet; 0: none
	OpenNs          uint64 // how long the last opening of a checkpoint took
	LagOps          uint64 // of a primary: of its slowest backup that is heard and can be kept near
	PausedNs        uint64 // pauses before prepares, so that backups stay near
	PacedNs         uint64 // in which one op was prepared for each two that a backup executed
	// Blocks of the grid that this replica cannot read and asks others for: those that it waits for
	// now, those of them that no other replica brings, those it has asked for, those that are whole
	// again and their bytes, answers that were another block, answers that say no, and blocks that
	// came and that nothing waited for.
	BlocksWanted, BlocksLost, BlocksAsked, BlocksRepaired, BlockBytesRepaired uint64
	BlocksWrong, BlocksMissing, BlocksDropped                                 uint64
	// Blocks that others ask for: those they got, those that are not here or damaged, and those that
	// were asked for beyond what one may ask for.
	BlocksServed, BlocksLacked, BlockRequestsDropped uint64
	// The release that runs, those that this program offers, and that to which an upgrade is under way
	// here; 0: none.
	Release, ReleaseMin, ReleaseMax, UpgradeTo uint32

	Clock clock.State
	Peers [limits.MembersMax]ClusterPeer // standbys with an address included
}

// ClusterPeer is what is known of another replica.
type ClusterPeer struct {
	SilentNs uint64 // since its last message; NeverNs: none came
	StateNs  uint64 // age of what follows; NeverNs: not known

	Op, CommitMin, CommitMax, CheckpointOp uint64
	LogView                                uint32
	ReleaseMin, ReleaseMax                 uint32 // that it offers; 0: it has told nothing of late
	Status                                 peer.Status
	ClockAgreed                            bool
}

// IsStandby tells whether this is the sample of a standby.
func (c *ClusterSample) IsStandby() bool { return c.Self >= c.Replicas }

// NeverNs stands for the age of what never was.
const NeverNs = ^uint64(0)

// helped counts repairs of the log.
type helped struct{ askedCount, takenCount, servedCount uint64 }

func (h *helped) asked()  { h.askedCount++ }
func (h *helped) taken()  { h.takenCount++ }
func (h *helped) served() { h.servedCount++ }

func (h *helped) takenSoFar() uint64 { return h.takenCount }

// sampleCluster fills out. Ages are as of the last step.
func (s *Stage) sampleCluster(out *ClusterSample) {
	now := s.timers.now()
	*out = ClusterSample{
		Replicas: uint8(s.quorums.Replicas), Indexes: uint8(s.limits.IndexesCount()), Self: uint8(s.self),
		Primary:   uint8(s.quorums.PrimaryOf(s.views.now())),
		IsPrimary: s.isPrimary(), Away: s.service.reason(), LogView: s.superblocks.now().LogView, ViewChanges: s.service.leftCount(),
		CommitMax: s.commits.max(), RepairsAsked: s.helped.askedCount, RepairsTaken: s.helped.takenCount,
		RepairsServed: s.helped.servedCount, RoundTripNs: s.clock.RoundTripNs(), Clock: s.clock.State(now, s.turn.wall()),
	}
	out.AreNamed, out.IsStranger = s.members.now().AreNamed(), s.isStranger()
	s.blocks.fill(out)
	s.lost.fill(out)
	s.blockServing.fill(out)
	out.LagOps, out.PausedNs = s.pressure.lag(now), s.pressure.pausedNs()
	out.PacedNs = s.pace.TotalNs()
	out.Syncs, out.OpenNs = s.syncing.count(), s.opening.lastNs(now)
	out.Release, out.ReleaseMin, out.ReleaseMax = s.limits.Release, s.limits.ReleaseMin, s.limits.ReleaseMax
	out.UpgradeTo = s.upgrade.under()
	if s.isSyncing() {
		out.SyncOp = s.superblocks.now().Checkpoint.Op
	}
	out.FaultySlots, out.MissingPrepares = s.log.damages()
	age := func(atNs uint64) uint64 {
		if atNs == 0 {
			return NeverNs
		}
		return now - min(now, atNs)
	}
	for i := range out.Indexes {
		state, stateNs, toldNs := s.peers.stateOf(int(i))
		out.Peers[i] = ClusterPeer{SilentNs: age(toldNs), StateNs: age(stateNs), Op: state.Op, CommitMin: state.CommitMin,
			CommitMax: state.CommitMax, CheckpointOp: state.CheckpointOp, LogView: state.LogView, Status: state.Status,
			ClockAgreed: state.ClockAgreed == 1}
		offered := s.peers.offered(int(i), now)
		out.Peers[i].ReleaseMin, out.Peers[i].ReleaseMax = offered.Min, offered.Max
	}
}
