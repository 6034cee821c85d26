package peer

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// Self is what this replica tells of itself in each handshake, and what it asks of the others.
type Self struct {
	Cluster       wire.U128
	Index         uint8
	ReplicasCount uint8
	// StandbysCount is the number of standbys that this replica lets in. They have the indexes behind
	// those of the replicas. A standby, whose own index is one of these, lets nobody in: it calls the
	// replicas.
	StandbysCount uint8
	Fixed         Fixed
	Incarnation   uint64 // of the data file
	// Process is drawn at random at each start. A newer connection of the same process replaces the
	// older one. That of another process has to wait until the older one is silent.
	Process         uint64
	Releases        Range
	Rules           Range
	BlockFormats    Range
	StorageBytesMax uint64 // --limit-storage
	FileBytes       uint64 // size of the data file; the caller keeps it up to date
	Keys            *Keys
}

// check asserts what the caller has to know.
func (s *Self) check() {
	assert.That(s.ReplicasCount >= 2 && s.ReplicasCount <= limits.ReplicasMax, "a cluster with peers has 2..6 replicas")
	assert.AtMost(s.StandbysCount, limits.StandbysMax, "standbys of a cluster")
	assert.Below(s.Index, s.ReplicasCount+limits.StandbysMax, "index of this replica or standby")
	assert.That(!s.isStandby() || s.StandbysCount == 0, "a standby speaks to no standby")
	assert.That(s.Incarnation != 0 && s.Process != 0, "a data file and a process have numbers")
	assert.That(s.Keys != nil, "there are keys, or keys without a key")
}

// isStandby tells whether this is a standby.
func (s *Self) isStandby() bool { return s.Index >= s.ReplicasCount }

// indexesCount is one more than the highest index that a peer may have.
func (s *Self) indexesCount() uint8 { return s.ReplicasCount + s.StandbysCount }

// calledCount is the number of peers that this side connects to: the replicas below its index.
func (s *Self) calledCount() uint8 { return min(s.Index, s.ReplicasCount) }

// peersCount is the number of peers.
func (s *Self) peersCount() uint8 {
	if s.isStandby() {
		return s.ReplicasCount
	}
	return s.indexesCount() - 1
}

// frame fills the fields that are the same in each handshake.
func (s *Self) frame(kind FrameKind, target uint8) Frame {
	f := s.frameOfStranger(kind, ReasonNone)
	f.Target, f.ReplicasCount = target, s.ReplicasCount
	f.Releases, f.Rules, f.BlockFormats = s.Releases, s.Rules, s.BlockFormats
	f.Cluster, f.Digest, f.Fixed = s.Cluster, s.Fixed.Digest(), s.Fixed
	f.Incarnation, f.Process = s.Incarnation, s.Process
	f.StorageBytesMax, f.FileBytes = s.StorageBytesMax, s.FileBytes
	return f
}

// frameOfStranger has only what anybody may know.
func (s *Self) frameOfStranger(kind FrameKind, reason Reason) Frame {
	f := Frame{Version: ProtocolVersion, Kind: kind, Index: s.Index, Reason: reason}
	if s.Keys.Keyed() {
		f.Keyed = 1
	}
	return f
}

// compare returns the first field that keeps this replica from speaking to the sender of f.
func (s *Self) compare(f *Frame) Refusal {
	number := func(reason Reason, ours, theirs uint64) Refusal {
		return Refusal{Reason: reason, Peer: f.Index, Ours: Value{Lo: ours}, Theirs: Value{Lo: theirs}}
	}
	ranges := func(reason Reason, ours, theirs Range) Refusal {
		return Refusal{Reason: reason, Peer: f.Index, Ours: ours.value(), Theirs: theirs.value()}
	}
	switch {
	case f.Cluster != s.Cluster:
		return Refusal{Reason: ReasonCluster, Peer: f.Index, Ours: Value(s.Cluster), Theirs: Value(f.Cluster)}
	case f.ReplicasCount != s.ReplicasCount:
		return number(ReasonReplicas, uint64(s.ReplicasCount), uint64(f.ReplicasCount))
	case f.Index >= s.ReplicasCount && f.Index < s.ReplicasCount+limits.StandbysMax && f.Index >= s.indexesCount():
		return number(ReasonStandby, uint64(s.StandbysCount), uint64(f.Index))
	case f.Index == s.Index || f.Index >= s.indexesCount():
		return number(ReasonIndex, uint64(s.Index), uint64(f.Index))
	case f.Target != s.Index:
		return number(ReasonTarget, uint64(s.Index), uint64(f.Target))
	case f.Digest != s.Fixed.Digest():
		index, ok := s.Fixed.differs(&f.Fixed)
		if !ok {
			ours := wire.U128FromBytes(wireBytes(s.Fixed.Digest()))
			return Refusal{Reason: ReasonFixed, Peer: f.Index, Fixed: fixedCount, Ours: Value(ours),
				Theirs: Value(wire.U128FromBytes(f.Digest[:]))}
		}
		r := number(ReasonFixed, uint64(s.Fixed[index]), uint64(f.Fixed[index]))
		r.Fixed = uint8(index)
		return r
	case !s.Releases.Overlaps(f.Releases):
		return ranges(ReasonReleases, s.Releases, f.Releases)
	case !s.Rules.Overlaps(f.Rules):
		return ranges(ReasonRules, s.Rules, f.Rules)
	case !s.BlockFormats.Overlaps(f.BlockFormats):
		return ranges(ReasonBlockFormats, s.BlockFormats, f.BlockFormats)
	case f.Incarnation == 0:
		return number(ReasonIncarnation, s.Incarnation, 0)
	case f.Process == 0:
		return number(ReasonProcess, s.Process, 0)
	}
	return Refusal{}
}

func wireBytes(sum wire.Checksum) []byte { return sum[:] }

// Warning is told once for each handshake with a replica whose --limit-storage is smaller than the
// data file that it might have to take from the other one.
type Warning struct {
	Replica    uint8  // whose limit it is
	LimitBytes uint64 // 0: there is no warning
	FileBytes  uint64
}

// storageWarning compares the limit of each side with the file of the other.
func (s *Self) storageWarning(f *Frame) Warning {
	switch {
	case f.StorageBytesMax < s.FileBytes:
		return Warning{f.Index, f.StorageBytesMax, s.FileBytes}
	case s.StorageBytesMax < f.FileBytes:
		return Warning{s.Index, s.StorageBytesMax, f.FileBytes}
	}
	return Warning{}
}
