package events

import (
	"fmt"
	"time"
)

// Healing tells once a minute how far a replica is that gets from others what its own disk has not
// got.
type Healing struct {
	BlocksWanted, BlocksLost, SlotsFaulty, PreparesMissing uint64 // now
	BlocksRepaired, BytesRepaired, PreparesRepaired        uint64 // since it began
	DurationNs                                             uint64
	IsDone                                                 bool
}

// Healing emits the event.
func (l *Log) Healing(e Healing) { emit(l, kindHealing, e) }

func (e *Healing) Level() Level { return Info }
func (e *Healing) Name() string { return "healing" }
func (e *Healing) Text(line []byte) []byte {
	took := time.Duration(e.DurationNs).Round(time.Second)
	if e.IsDone {
		return fmt.Appendf(line, "healed in %v: %d blocks (%d MiB) and %d prepares came from other replicas", took, e.BlocksRepaired,
			e.BytesRepaired>>20, e.PreparesRepaired)
	}
	line = fmt.Appendf(line, "healing for %v: %d blocks (%d MiB) and %d prepares came from other replicas", took, e.BlocksRepaired,
		e.BytesRepaired>>20, e.PreparesRepaired)
	line = fmt.Appendf(line, "; it waits for %d blocks", e.BlocksWanted)
	if e.BlocksLost > 0 {
		line = fmt.Appendf(line, ", %d of which no replica brings", e.BlocksLost)
	}
	return fmt.Appendf(line, " and %d prepares, and %d slots of its log are damaged", e.PreparesMissing, e.SlotsFaulty)
}
func (e *Healing) Fields(o Fields) Fields {
	return o.Number("blocks_wanted", e.BlocksWanted).Number("blocks_lost", e.BlocksLost).Number("slots_faulty", e.SlotsFaulty).
		Number("prepares_missing", e.PreparesMissing).Number("blocks_repaired", e.BlocksRepaired).Number("bytes_repaired", e.BytesRepaired).
		Number("prepares_repaired", e.PreparesRepaired).Number("duration_ns", e.DurationNs).Bool("done", e.IsDone)
}
