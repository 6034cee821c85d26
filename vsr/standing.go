package vsr

import (
	"ledger/internal/assert"
	"ledger/wire"
)

// CheckpointIDs are the ids of a replica's newest checkpoint and of the one before, as it tells
// them in pings. The id of a checkpoint never changes, so old news is good.
type CheckpointIDs struct {
	Op           uint64 // of the newest checkpoint
	ID, ParentID wire.Checksum
}

// of returns the id of the checkpoint of op, if it is one of the two. after is the op of the
// checkpoint that follows it.
func (c *CheckpointIDs) of(op, after uint64) (id wire.Checksum, isKnown bool) {
	switch c.Op {
	case op:
		return c.ID, true
	case after:
		return c.ParentID, true
	}
	return id, false
}

// Standing is how a replica's checkpoint compares with those of all replicas. Each replica gets to
// its checkpoint by executing the same ops. So if two differ, the storage or the memory of one is
// broken. A majority is taken to be right.
type Standing uint8

const (
	StandingUnknown Standing = iota // too few have told theirs
	StandingAgrees                  // with a majority, itself included
	StandingDiffers                 // from what a majority has
	StandingSplit                   // all have told theirs, and no majority has the same
)

// StandingOf compares own, the ids of a replica or standby, of the checkpoint of op with those of
// all replicas. told is by replica, that of this one included, and nil where one has told nothing.
func StandingOf(q *Quorums, own *CheckpointIDs, op, after uint64, told []*CheckpointIDs) Standing {
	assert.Equal(len(told), q.Replicas, "ids are by replica")
	var known [6]wire.Checksum
	var isKnown [6]bool
	count := 0
	for i, c := range told {
		if c == nil {
			continue
		}
		if known[i], isKnown[i] = c.of(op, after); isKnown[i] {
			count++
		}
	}
	ours, isOurs := own.of(op, after)
	if !isOurs {
		return StandingUnknown
	}
	for i := range told {
		same := 0
		for j := range told {
			if isKnown[i] && isKnown[j] && known[i] == known[j] {
				same++
			}
		}
		switch {
		case 2*same <= q.Replicas:
		case known[i] == ours:
			return StandingAgrees
		default:
			return StandingDiffers
		}
	}
	if count == q.Replicas {
		return StandingSplit
	}
	return StandingUnknown
}
