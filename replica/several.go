package replica

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/storage/datafile"
)

// PositionOf reads which replica of how many a data file belongs to, and writes nothing. Of a file
// that cannot be served ok is false: NewServer says why.
func PositionOf(file ports.File, l *limits.Limits) (index, count uint8, ok bool) {
	memory := arena.New()
	defer memory.Close()
	id := datafile.Identify(file, l, memory.Bytes(datafile.SuperblockContentBytes, 4096, "superblock"))
	ok = id.Content == datafile.ContentOurs && id.Version == limits.FormatVersion && checkPosition(id.Replica, id.Replicas) == nil
	return id.Replica, id.Replicas, ok
}

// checkPosition refuses a superblock that no format has written.
func checkPosition(index, count uint8) error {
	if count < 1 || count > limits.ReplicasMax {
		return fmt.Errorf("the superblock says %d replicas; they are 1 to %d", count, limits.ReplicasMax)
	}
	if index >= count && (count == 1 || index >= count+limits.StandbysMax) {
		return fmt.Errorf("the superblock says replica %d of %d; replicas are numbered from 0, and up to %d standbys of several replicas "+
			"behind them", index, count, limits.StandbysMax)
	}
	return nil
}

// sameView: one of several replicas goes on in its durable view. So nothing is written: what this
// start found out about the log is found again by the next one.
func (o *Opened) sameView(superblock *datafile.Opened) {
	o.Consensus = consensus.Recovered{
		Superblock:         superblock.Superblock,
		SuperblockChecksum: superblock.Checksum,
		CommitMax:          o.Journal.CommitMax,
		Uncertain:          o.Journal.Uncertain,
		Dirty:              o.Journal.Dirty,
		Faulty:             o.Journal.Faulty,
	}
}

// logWarnings are those about the log of one of several replicas, or of a standby, which never
// votes.
func logWarnings(log *journal.Several, isStandby bool) (warnings []string) {
	if count := log.Faulty.Len(); count > 0 {
		warnings = append(warnings, fmt.Sprintf("%d slots of the log do not prove what they held: the replica asks the others for it", count))
	}
	if count := log.Uncertain.Len(); count > 0 && !isStandby {
		warnings = append(warnings, fmt.Sprintf("the head of the log is uncertain: %d ops above it may have been acknowledged here, so the "+
			"replica asks the others before it votes", count))
	}
	return warnings
}
