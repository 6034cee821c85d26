package sim

import (
	"math/rand/v2"

	"ledger/limits"
)

// storageBytesMax is more than any run fills.
const storageBytesMax = 256 << 20

// DrawLimits draws limits of the simulated kind: everything is small, and as large as the others need.
func DrawLimits(random *rand.Rand) limits.Limits {
	pick := func(values ...uint32) uint32 { return values[random.IntN(len(values))] }
	l := limits.Limits{
		SectorBytes:       512,
		PageBytes:         pick(512, 1024),
		BlockBytes:        4096,
		MessageBytesMax:   pick(16<<10, 32<<10, 64<<10),
		JournalSlotsCount: 32,
		BarOps:            4,
		SlackOps:          4 + random.Uint32N(5),
		PipelineOpsMax:    2 + random.Uint32N(3),
		SessionsMax:       4 + random.Uint32N(5),
		MemtableRowsSeal:  16 << random.Uint32N(4),
		SuperblockBytes:   24 << 10,
		SuperblockCopies:  4,
		StorageBytesMax:   storageBytesMax,
		CompactWorkers:    1,
	}
	if random.IntN(4) == 0 {
		l.SectorBytes, l.PageBytes, l.BlockBytes = 4096, 4096, pick(16<<10, 32<<10)
	}
	if random.IntN(24) == 0 { // the grid of production
		l.SectorBytes, l.PageBytes, l.BlockBytes = 4096, 16<<10, 512<<10
		l.MemtableRowsSeal *= 16
		l.StorageBytesMax *= 8
	}
	redrawMemory(&l, random)
	if random.IntN(8) == 0 {
		l.StorageBytesMax = uint64(pick(64, 128, 256)) * uint64(l.BlockBytes) // a run may reach it, and is then started with a larger one
	}
	l.RequestBytesMax = min(l.MessageBytesMax, pick(4<<10, 8<<10, 16<<10, 64<<10))
	l.GroupBytesMax = l.RequestBytesMax - limits.HeaderBytes
	l.GroupBytesMax += random.Uint32N(l.BodyBytesMax()-l.GroupBytesMax+1) &^ 15
	l.ConnectionsMax = l.SessionsMax + 2 + random.Uint32N(5)
	if err := l.Check(); err != nil {
		panic(err)
	}
	return l
}

// redrawMemory draws the limits that belong to a start and must not show in anything that is written.
func redrawMemory(l *limits.Limits, random *rand.Rand) {
	l.CacheGridBytes = uint64(l.PageBytes) << (6 + random.IntN(6))
	l.CacheAccountsMax = 256 << random.IntN(5)
	l.CompactWorkers = 1 + random.Uint32N(4)
}
