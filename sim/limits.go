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
		CacheGridBytes:    uint64(pick(64<<10, 256<<10, 1<<20)),
		CacheAccountsMax:  pick(256, 1024, 4096),
		StorageBytesMax:   storageBytesMax,
		CompactWorkersMax: 1,
	}
	if random.IntN(4) == 0 {
		l.SectorBytes, l.PageBytes, l.BlockBytes = 4096, 4096, pick(16<<10, 32<<10)
		l.CacheGridBytes *= 4
	}
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
