package replica

import (
	"fmt"
	"time"

	"ledger/events"
	"ledger/stages/compact"
	"ledger/stages/journal"
	"ledger/storage"
)

// ScrubBytesPerSecond bounds the reads of the scrubber.
const ScrubBytesPerSecond = compact.ScrubBytesPerSecond + journal.ScrubBytesPerSecond

// scrubStart is what the start knows of the places of the log and the superblock.
func (o *Opened) scrubStart(fromOf65536 uint32) *journal.ScrubStart {
	superblock, several := &o.Consensus.Superblock, &o.Journal.Several
	return &journal.ScrubStart{
		PeriodNs: o.Limits.ScrubPeriodNs, FromOf65536: fromOf65536, OpHead: o.Consensus.OpHead, CheckpointOp: superblock.Checkpoint.Op,
		SuperblockChecksum: o.Consensus.SuperblockChecksum,
		Lacking:            func(slot uint64) bool { return several.Dirty.Has(slot) || several.Faulty.Has(slot) },
	}
}

// scrubFrom is the share of the file at which the scrubber begins: where it would be if passes
// followed each other since the wall clock's zero. So the end of the file is also read if the
// server is started more often than a pass ends.
func scrubFrom(wall time.Time, periodNs uint64) (of65536 uint32) {
	if periodNs == 0 {
		return 0
	}
	return uint32(float64(uint64(wall.UnixNano())%periodNs) / float64(periodNs) * (1<<16 - 1))
}

// logFinding emits the event of a finding. It runs on a stage's thread.
func logFinding(log *events.Log, f *storage.Finding, isSeveral bool) {
	e := events.DamageFound{Zone: storage.ZoneNames[f.Zone], Reason: f.Reason, Errno: f.Errno, Advice: adviceOn(f, isSeveral)}
	switch f.Zone {
	case storage.ZoneGrid:
		e.Address, e.Page = f.Block.Address, uint64(f.Page)
		of := "tree "
		if e.Tree = storage.Trees[f.Block.Tree].Name; f.Block.IsTrailer {
			e.Tree, of = storage.TrailerNames[f.Block.Trailer], "the checkpoint's trailer "
		}
		e.Place = fmt.Sprintf("block %d, page %d, of %s%s", e.Address, e.Page, of, e.Tree)
	case storage.ZoneLog:
		e.Op = f.Op
		e.Place = fmt.Sprintf("slot %d of the log, the prepare of op %d", f.Slot, f.Op)
		if f.IsTwin {
			e.Place = fmt.Sprintf("slot %d of the log, the twin of op %d", f.Slot, f.Op)
		}
	default:
		e.Place = fmt.Sprintf("copy %d of the superblock", f.Copy)
	}
	log.DamageFound(e)
}

// adviceOn tells what becomes of damage, and what the operator can do.
func adviceOn(f *storage.Finding, isSeveral bool) string {
	switch {
	case f.Zone == storage.ZoneSuperblock:
		return "the next checkpoint writes it again; if it comes back, replace the disk"
	case f.Zone == storage.ZoneLog && f.HasOther:
		return "the other copy is right, and the next start or the next lap of the log writes this one again"
	case f.Zone == storage.ZoneLog && !f.IsNeeded:
		return "a checkpoint covers the op, so it is not needed, and the next lap of the log writes the slot again"
	case isSeveral:
		return "it is fetched from another replica"
	case f.Zone == storage.ZoneLog:
		return "a start needs it until the next checkpoint: do not stop the server before that; several replicas would heal it"
	}
	return "answers stay right, and the server stops when it needs the block: restore the file from a backup, or move the data " +
		"to several replicas, which heal each other; replace the disk"
}
