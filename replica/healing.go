package replica

import (
	"fmt"
	"sync/atomic"

	"ledger/events"
	"ledger/stages/consensus"
)

// healing keeps how far the repair of this replica is, for any thread that asks, and writes a line
// once a minute.
type healing struct {
	log                               *events.Log
	blocks, lost, slots, prepares, ns atomic.Uint64
}

// changed takes what consensus tells, on its thread.
func (h *healing) changed(now consensus.Healing) {
	h.blocks.Store(now.BlocksWanted)
	h.lost.Store(now.BlocksLost)
	h.slots.Store(now.SlotsFaulty)
	h.prepares.Store(now.PreparesMissing)
	h.ns.Store(now.DurationNs)
	if !now.IsLine {
		return
	}
	h.log.Healing(events.Healing{
		BlocksWanted: now.BlocksWanted, BlocksLost: now.BlocksLost, SlotsFaulty: now.SlotsFaulty, PreparesMissing: now.PreparesMissing,
		BlocksRepaired: now.BlocksRepaired, BytesRepaired: now.BytesRepaired, PreparesRepaired: now.PreparesRepaired,
		DurationNs: now.DurationNs, IsDone: now.IsDone(),
	})
}

// String tells what is missing here, or "".
func (h *healing) String() string {
	blocks, slots, prepares := h.blocks.Load(), h.slots.Load(), h.prepares.Load()
	if h.log == nil || blocks+slots+prepares == 0 {
		return ""
	}
	return fmt.Sprintf("%d blocks (%d of them no replica brings) and %d prepares are missing here, and %d slots of the log are damaged, "+
		"for %d s", blocks, h.lost.Load(), prepares, slots, h.ns.Load()/1e9)
}

// Healing is what is missing on the disk of this replica and asked for, or "". Any thread may ask,
// after Run.
func (s *Server) Healing() string { return s.healing.String() }
