package replica

import (
	"ledger/stages/journal"
)

// scrubStart is what the start knows of the places of the log and the superblock.
func (o *Opened) scrubStart(fromOf65536 uint32) *journal.ScrubStart {
	superblock, several := &o.Consensus.Superblock, &o.Journal.Several
	return &journal.ScrubStart{
		PeriodNs: o.Limits.ScrubPeriodNs, FromOf65536: fromOf65536, OpHead: o.Consensus.OpHead, CheckpointOp: superblock.Checkpoint.Op,
		SuperblockChecksum: o.Consensus.SuperblockChecksum,
		Lacking:            func(slot uint64) bool { return several.Dirty.Has(slot) || several.Faulty.Has(slot) },
	}
}
