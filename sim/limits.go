package sim

import (
	"math/rand/v2"

	"ledger/limits"
	"ledger/storage/datafile"
)

// storageBytesMax is more than any run fills. Even a small table takes a block, however large
// blocks are.
func storageBytesMax(blockBytes uint32) uint64 { return max(256<<20, 4096*uint64(blockBytes)) }

// DrawLimits draws simulated limits: everything is small, but large enough for the other limits.
// deep: trees get many levels.
func DrawLimits(random *rand.Rand, deep bool) limits.Limits {
	pick := func(values ...uint32) uint32 { return values[random.IntN(len(values))] }
	page := pick(512, 1024)
	l := limits.Limits{
		SectorBytes:       512,
		PageBytes:         page,
		BlockBytes:        page * pick(4, 8, 8),
		MessageBytesMax:   pick(16<<10, 32<<10, 64<<10),
		JournalSlotsCount: 32,
		BarOps:            pick(2, 4, 4, 8),
		SlackOps:          4 + random.Uint32N(5),
		PipelineOpsMax:    2 + random.Uint32N(3),
		SessionsMax:       4 + random.Uint32N(5),
		MemtableRowsSeal:  4 << random.Uint32N(7),
		SuperblockBytes:   24 << 10,
		SuperblockCopies:  4,
		CompactWorkers:    1,
		ReplicasCount:     1,
		ReleaseMin:        limits.Release,
		ReleaseMax:        limits.Release,
		Release:           limits.Release,
	}
	if l.BarOps == 8 {
		l.JournalSlotsCount = 64
	}
	if random.IntN(4) == 0 {
		l.SectorBytes, l.PageBytes, l.BlockBytes = 4096, 4096, pick(16<<10, 32<<10)
	}
	if random.IntN(24) == 0 { // the grid of production
		l.SectorBytes, l.PageBytes, l.BlockBytes = 4096, 16<<10, 512<<10
		l.MemtableRowsSeal *= 16
	}
	if deep { // a flush at nearly every bar, and many bars
		l.BarOps, l.MemtableRowsSeal, l.JournalSlotsCount = 2, 1+random.Uint32N(8), 32
	}
	l.PostingRunsMerged = [...]uint32{8, 8, 3, 8, limits.PostingRunsMergedMax}[l.SessionsMax-4]
	l.TwinBytes = max(l.SectorBytes, 512<<random.IntN(5)) // most runs have small and large prepares
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + storageBytesMax(l.BlockBytes)
	redrawMemory(&l, random)
	if random.IntN(8) == 0 {
		// A run may reach the limit, and is then started with a larger one.
		l.StorageBytesMax = datafile.NewLayout(&l).GridAt + uint64(pick(64, 128, 256))*uint64(l.BlockBytes)
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

// redrawMemory draws the limits that belong to a start. They must not affect anything that is
// written.
func redrawMemory(l *limits.Limits, random *rand.Rand) {
	l.CacheGridBytes = uint64(l.PageBytes) << (6 + random.IntN(6))
	l.CacheAccountsMax = 8 << random.IntN(10)
	l.HashSeed = random.Uint64()
	l.CacheRecentPercent = []uint32{0, 25, limits.CacheRecentPercentMax, limits.CacheRecentPercentMax}[l.HashSeed>>16%4]
	l.CompactWorkers = 1 + uint32(l.HashSeed)%4
	l.InlineReplyBytes = [...]uint32{0, 0, 1 << 10, 8 << 10}[l.HashSeed>>16&3]
	l.QuerySliceRows = [...]uint32{2, 4, 8, 128}[l.HashSeed>>18&3]
	l.QueryPauseSteps = [...]uint32{0, 0, 1, 4, 0, 16, 2, 8}[l.HashSeed>>20&7]
	l.TailEventsMax = tailEventsMax(l.HashSeed)
	if l.ScrubPeriodNs = 0; l.HashSeed>>8&1 == 0 {
		l.ScrubPeriodNs = scrubPeriodNs(l)
	}
}

// scrubPeriodNs is the period of a start that has a scrubber.
func scrubPeriodNs(l *limits.Limits) uint64 { return 200 * nsPerMs << (l.HashSeed >> 9 % 6) }
