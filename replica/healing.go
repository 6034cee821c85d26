package replica

import (
	"ledger/events"
	"ledger/stages/consensus"
)

// logHealing writes the line about how far repair is.
func logHealing(log *events.Log, now *consensus.Healing) {
	log.Healing(events.Healing{
		BlocksWanted: now.BlocksWanted, BlocksLost: now.BlocksLost, SlotsFaulty: now.SlotsFaulty, PreparesMissing: now.PreparesMissing,
		BlocksRepaired: now.BlocksRepaired, BytesRepaired: now.BytesRepaired, PreparesRepaired: now.PreparesRepaired,
		DurationNs: now.DurationNs, IsDone: now.IsDone(),
	})
}
