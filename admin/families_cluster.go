package admin

import (
	"strconv"

	"ledger/stages/consensus"
)

// cluster is the sample of one of several replicas, or nil.
func (s *snapshot) cluster() *consensus.ClusterSample {
	if s.Consensus.Cluster.Replicas == 0 {
		return nil
	}
	return &s.Consensus.Cluster
}

// ofCluster makes a family of a single number that only one of several replicas has.
func ofCluster(f family, value func(c *consensus.ClusterSample) uint64) family {
	f.numbers = func(s *snapshot, emit number) {
		if c := s.cluster(); c != nil {
			emit(value(c))
		}
	}
	return f
}

// perOther makes a family with numbers for each other replica.
func perOther(f family, numbers func(c *consensus.ClusterSample, p *consensus.ClusterPeer, peer string, emit number)) family {
	f.numbers = func(s *snapshot, emit number) {
		c := s.cluster()
		if c == nil {
			return
		}
		for i := range c.Indexes {
			if i != c.Self {
				numbers(c, &c.Peers[i], strconv.Itoa(int(i)), emit)
			}
		}
	}
	return f
}

func isTrue(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// role of this replica in the cluster.
func role(c *consensus.ClusterSample) string {
	switch {
	case c.IsPrimary:
		return "primary"
	case c.IsStandby():
		return "standby"
	}
	return "backup"
}

// lag is by how many ops another replica's execution is behind what this one knows to be committed.
func lag(c *consensus.ClusterSample, p *consensus.ClusterPeer) uint64 {
	return c.CommitMax - min(c.CommitMax, p.CommitMin)
}

func clusterFamilies() []family {
	return []family{
		{name: "ledger_cluster_role_info", unit: "info", kind: gauge, labels: []string{"role"},
			help: "1 for the role of this replica: primary, backup or standby",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(1, role(c))
				}
			}},
		ofCluster(family{name: "ledger_cluster_serving_replicas", unit: "replicas", kind: gauge,
			help: "1 while clients are served here: status normal, in touch with a quorum; of a standby, while it follows; /readyz tells why not"},
			func(c *consensus.ClusterSample) uint64 { return isTrue(c.Away == consensus.AwayNot) }),
		ofCluster(family{name: "ledger_cluster_named_replicas", unit: "replicas", kind: gauge,
			help: "Replicas whose data file the cluster knows: 0 until all have met, then all; only those files have a vote"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.Replicas) * isTrue(c.AreNamed) }),
		ofCluster(family{name: "ledger_cluster_voting_replicas", unit: "replicas", kind: gauge,
			help: "1 while this replica has a vote; 0 if the cluster knows another data file as this replica, and for a standby"},
			func(c *consensus.ClusterSample) uint64 { return isTrue(!c.IsStranger && !c.IsStandby()) }),
		ofCluster(family{name: "ledger_cluster_primary_index", unit: "index", kind: gauge, help: "Index of the primary of the view"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.Primary) }),
		ofCluster(family{name: "ledger_cluster_log_view", unit: "view", kind: gauge,
			help: "View whose log this replica has; behind the view during a view change"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.LogView) }),
		ofCluster(family{name: "ledger_cluster_left_views", unit: "views", kind: counter, help: "Views that this replica has left"},
			func(c *consensus.ClusterSample) uint64 { return c.ViewChanges }),
		ofCluster(family{name: "ledger_cluster_committed_op", unit: "op", kind: gauge,
			help: "Highest op that is known to be committed here; ledger_consensus_commit_op is executed"},
			func(c *consensus.ClusterSample) uint64 { return c.CommitMax }),
		{name: "ledger_cluster_log_slots", unit: "slots", kind: gauge, labels: []string{"state"},
			help: "Slots of the log that others have to help with: the prepare is damaged (faulty), or has not come yet (missing)",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(c.FaultySlots, "faulty")
					emit(c.MissingPrepares, "missing")
				}
			}},
		{name: "ledger_cluster_repaired_prepares", unit: "prepares", kind: counter, labels: []string{"event"},
			help: "Prepares that this replica asked others for (asked), got (taken), and gave to others (served)",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(c.RepairsAsked, "asked")
					emit(c.RepairsTaken, "taken")
					emit(c.RepairsServed, "served")
				}
			}},
		{name: "ledger_cluster_wanted_blocks", unit: "blocks", kind: gauge, labels: []string{"state"},
			help: "Blocks that are damaged here and that something waits for (wanted), and those of them that no other replica has brought in " +
				"three rounds of questions (lost)",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(c.BlocksWanted, "wanted")
					emit(c.BlocksLost, "lost")
				}
			}},
		{name: "ledger_cluster_repaired_blocks", unit: "blocks", kind: counter, labels: []string{"event"},
			help: "Blocks that this replica asked others for (asked), and wrote (repaired); answers that were another block (wrong), that said no " +
				"(missing), or that nothing waited for (dropped)",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(c.BlocksAsked, "asked")
					emit(c.BlocksRepaired, "repaired")
					emit(c.BlocksWrong, "wrong")
					emit(c.BlocksMissing, "missing")
					emit(c.BlocksDropped, "dropped")
				}
			}},
		ofCluster(family{name: "ledger_cluster_repaired_bytes", unit: "bytes", kind: counter,
			help: "Bytes of the blocks that others sent and that were written here"},
			func(c *consensus.ClusterSample) uint64 { return c.BlockBytesRepaired }),
		{name: "ledger_cluster_served_blocks", unit: "blocks", kind: counter, labels: []string{"event"},
			help: "Blocks that others asked this replica for: sent (served), not here or damaged (missing), and asked for beyond their share, " +
				"or not reached in time (dropped)",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(c.BlocksServed, "served")
					emit(c.BlocksLacked, "missing")
					emit(c.BlockRequestsDropped, "dropped")
				}
			}},
		ofCluster(family{name: "ledger_cluster_round_trip_ns", unit: "ns", kind: gauge,
			help: "Median round trip of a ping to the other replicas"},
			func(c *consensus.ClusterSample) uint64 { return c.RoundTripNs }),
		ofCluster(family{name: "ledger_cluster_begun_syncs", unit: "syncs", kind: counter,
			help: "Checkpoints of other replicas that this one has taken over, because it was too far behind for their logs"},
			func(c *consensus.ClusterSample) uint64 { return c.Syncs }),
		ofCluster(family{name: "ledger_cluster_syncing_op", unit: "op", kind: gauge,
			help: "Op of the checkpoint that was taken over and of which blocks are missing still; 0: there is none"},
			func(c *consensus.ClusterSample) uint64 { return c.SyncOp }),
		ofCluster(family{name: "ledger_cluster_backup_lag_ops", unit: "ops", kind: gauge,
			help: "Of a primary: committed ops that its slowest backup, of those heard within a second that need no state sync, has not executed"},
			func(c *consensus.ClusterSample) uint64 { return c.LagOps }),
		ofCluster(family{name: "ledger_cluster_pressure_paused_ns", unit: "ns", kind: counter,
			help: "Pauses before prepares so that a backup that lags stays near: at most a tenth of the time"},
			func(c *consensus.ClusterSample) uint64 { return c.PausedNs }),
		ofCluster(family{name: "ledger_cluster_paced_ns", unit: "ns", kind: counter,
			help: "Time in which a primary prepared one op for each two that a backup executed, which came back by the log"},
			func(c *consensus.ClusterSample) uint64 { return c.PacedNs }),
		ofCluster(family{name: "ledger_cluster_running_release", unit: "release", kind: gauge,
			help: "Release that this replica runs: that of the checkpoint from which it goes on"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.Release) }),
		{name: "ledger_cluster_offered_release", unit: "release", kind: gauge, labels: []string{"bound"},
			help: "Oldest (min) and newest (max) release that the program of this replica can run",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(uint64(c.ReleaseMin), "min")
					emit(uint64(c.ReleaseMax), "max")
				}
			}},
		ofCluster(family{name: "ledger_cluster_upgrading_release", unit: "release", kind: gauge,
			help: "Release to which an upgrade is under way, while requests wait; 0: there is none"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.UpgradeTo) }),
		perOther(family{name: "ledger_cluster_peer_offered_release", unit: "release", kind: gauge, labels: []string{"peer", "bound"},
			help: "Oldest and newest release that another replica or a standby offers; 0: it has told nothing for 3 s, and an upgrade waits for it"},
			func(c *consensus.ClusterSample, p *consensus.ClusterPeer, peer string, emit number) {
				emit(uint64(p.ReleaseMin), peer, "min")
				emit(uint64(p.ReleaseMax), peer, "max")
			}),
		ofCluster(family{name: "ledger_cluster_agreed_clocks", unit: "clocks", kind: gauge,
			help: "Replicas whose clocks agree, this one included; 0: no time is agreed, and a primary prepares nothing"},
			func(c *consensus.ClusterSample) uint64 { return uint64(c.Clock.Sources) }),
		ofCluster(family{name: "ledger_cluster_clock_width_ns", unit: "ns", kind: gauge,
			help: "Width of the interval in which the cluster's time lies"},
			func(c *consensus.ClusterSample) uint64 { return c.Clock.WidthNs }),
		ofCluster(family{name: "ledger_cluster_clock_age_ns", unit: "ns", kind: gauge, help: "Time since the clocks agreed last"},
			func(c *consensus.ClusterSample) uint64 { return c.Clock.AgeNs }),
		{name: "ledger_cluster_clock_off_ns", unit: "ns", kind: gauge, labels: []string{"direction"},
			help: "How far the wall clock of this replica is outside of that interval: ahead or behind",
			numbers: func(s *snapshot, emit number) {
				if c := s.cluster(); c != nil {
					emit(uint64(max(c.Clock.OwnOffsetNs, 0)), "ahead")
					emit(uint64(max(-c.Clock.OwnOffsetNs, 0)), "behind")
				}
			}},
		perOther(family{name: "ledger_cluster_peer_lag_ops", unit: "ops", kind: gauge, labels: []string{"peer"},
			help: "Ops by which another replica's execution is behind what is committed, as of its last ping or pong"},
			func(c *consensus.ClusterSample, p *consensus.ClusterPeer, peer string, emit number) {
				if p.StateNs != consensus.NeverNs {
					emit(lag(c, p), peer)
				}
			}),
		perOther(family{name: "ledger_cluster_peer_op", unit: "op", kind: gauge, labels: []string{"peer", "kind"},
			help: "What another replica told last: its highest op (head), executed op (commit) and checkpoint"},
			func(c *consensus.ClusterSample, p *consensus.ClusterPeer, peer string, emit number) {
				if p.StateNs != consensus.NeverNs {
					emit(p.Op, peer, "head")
					emit(p.CommitMin, peer, "commit")
					emit(p.CheckpointOp, peer, "checkpoint")
				}
			}),
		perOther(family{name: "ledger_cluster_peer_silent_ns", unit: "ns", kind: gauge, labels: []string{"peer"},
			help: "Time since the last message of another replica"},
			func(c *consensus.ClusterSample, p *consensus.ClusterPeer, peer string, emit number) {
				if p.SilentNs != consensus.NeverNs {
					emit(p.SilentNs, peer)
				}
			}),
	}
}
