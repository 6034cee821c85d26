package datafile

import (
	"fmt"

	"ledger/limits"
)

// ReleaseOf is the release with which one of several replicas goes on from its superblock: that of
// its checkpoint, on which all replicas agree. A single replica goes on with its program's newest
// one, because each op of its log says by which rules it is executed.
func ReleaseOf(s *Superblock, l *limits.Limits) uint32 {
	switch {
	case s.ReplicasCount <= 1:
		return l.ReleaseMax
	case s.Checkpoint.Op > 0:
		return s.Checkpoint.Release
	}
	return s.Release
}

// refusedRelease says why this program cannot go on from a superblock. nil: it can.
func refusedRelease(s *Superblock, l *limits.Limits) error {
	what, have := "", uint32(0)
	switch {
	case s.Release > l.ReleaseMax:
		what, have = "was written by", s.Release
	case s.ReplicasCount > 1 && !l.Offers(ReleaseOf(s, l)):
		what, have = "goes on with", ReleaseOf(s, l)
	case s.Release < l.ReleaseMin:
		what, have = "was written by", s.Release
	default:
		return nil
	}
	offered := fmt.Sprintf("releases %d to %d", l.ReleaseMin, l.ReleaseMax)
	if l.ReleaseMin == l.ReleaseMax {
		offered = fmt.Sprintf("release %d", l.ReleaseMax)
	}
	if have > l.ReleaseMax {
		return fmt.Errorf("the data file %s release %d, this server offers %s: use a server of that release or newer", what, have, offered)
	}
	return fmt.Errorf("the data file %s release %d, this server offers %s: use a server that offers release %d first, let it upgrade the "+
		"data file, and then this one", what, have, offered, have)
}
