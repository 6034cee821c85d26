package limits

import "fmt"

// claim is a relation between limits on which some code relies.
type claim struct {
	what  string
	holds func(l *Limits) bool
}

// claims are ordered so that each may rely on those before it. For example, a divisor is proven not
// to be zero.
var claims = [...]claim{
	{"the sector is a power of two of at least 512 bytes", func(l *Limits) bool {
		return l.SectorBytes >= 512 && l.SectorBytes&(l.SectorBytes-1) == 0
	}},
	{"a page is whole sectors", func(l *Limits) bool { return l.PageBytes >= PageBytesMin && l.PageBytes%l.SectorBytes == 0 }},
	{"a block is at least four whole pages", func(l *Limits) bool {
		return l.BlockBytes%l.PageBytes == 0 && l.BlockBytes/l.PageBytes >= 4
	}},
	{"page numbers of a block fit 15 bits", func(l *Limits) bool { return l.BlockBytes/l.PageBytes <= 1<<15 }},
	{"the header of a block, with an entry for each page behind it, fits a page", func(l *Limits) bool {
		return BlockHeaderBytes+(uint64(l.BlockBytes/l.PageBytes)-1)*BlockEntryBytes <= uint64(l.PageBytes)
	}},
	{"the superblock has four copies", func(l *Limits) bool { return l.SuperblockCopies == superblockCopies }},
	{"a copy of the superblock is whole sectors and holds its content", func(l *Limits) bool {
		return l.SuperblockBytes%l.SectorBytes == 0 && l.SuperblockBytes >= SuperblockContentBytes
	}},
	{"a message is whole sectors", func(l *Limits) bool { return l.MessageBytesMax > 0 && l.MessageBytesMax%l.SectorBytes == 0 }},
	{"the number of log slots is a power of two", func(l *Limits) bool {
		return l.JournalSlotsCount > 0 && l.JournalSlotsCount&(l.JournalSlotsCount-1) == 0
	}},
	{"a twin is whole sectors", func(l *Limits) bool { return l.TwinBytes > 0 && l.TwinBytes%l.SectorBytes == 0 }},
	{"a message is whole twins", func(l *Limits) bool { return l.MessageBytesMax%l.TwinBytes == 0 }},
	{"a bar has ops", func(l *Limits) bool { return l.BarOps >= 1 }},
	{"the pipeline has 1..8 ops, which are the appends that the journal takes at once", func(l *Limits) bool {
		return l.PipelineOpsMax >= 1 && l.PipelineOpsMax <= pipelineOpsMax
	}},
	{"slack covers the pipeline", func(l *Limits) bool { return l.SlackOps >= l.PipelineOpsMax }},
	{"the log holds two bars beside slack and pipeline", func(l *Limits) bool {
		bar, proof := uint64(l.BarOps), uint64(l.SlackOps)+uint64(l.PipelineOpsMax)
		return uint64(l.JournalSlotsCount) >= 2*bar+bar*((proof+bar-1)/bar)
	}},
	{"checkpoints end bars", func(l *Limits) bool { return l.CheckpointIntervalOps()%uint64(l.BarOps) == 0 }},
	// Otherwise an op would overwrite the log slot of an op behind the newest durable checkpoint,
	// which a restart has to execute again.
	{"no op that may be prepared takes the log slot of one that a restart needs", func(l *Limits) bool {
		checkpoint := l.CheckpointAfter(0)
		return l.PrepareMax(0) < uint64(l.JournalSlotsCount) && l.PrepareMax(checkpoint) <= checkpoint+uint64(l.JournalSlotsCount)
	}},
	// Blocks of the previous checkpoint are freed at the first bar's end behind trigger + slack,
	// and the free set can wait for only one checkpoint.
	{"a checkpoint is proven durable before the next one is taken", func(l *Limits) bool {
		bar := uint64(l.BarOps)
		return bar*(uint64(l.SlackOps)/bar+1) < l.CheckpointIntervalOps()
	}},
	{"a cluster has 1..6 replicas", func(l *Limits) bool { return l.ReplicasCount >= 1 && l.ReplicasCount <= ReplicasMax }},
	{"a cluster has 0..6 standbys, and a standby speaks to none", func(l *Limits) bool {
		return l.StandbysCount <= StandbysMax && (!l.IsStandby || l.StandbysCount == 0)
	}},
	{"a single replica has no standbys", func(l *Limits) bool { return l.ReplicasCount > 1 || !l.IsStandby }},
	{"sessions are 1..1024", func(l *Limits) bool { return l.SessionsMax >= 1 && l.SessionsMax <= SessionsMax }},
	{"every session may have a connection", func(l *Limits) bool { return l.ConnectionsMax >= l.SessionsMax }},
	{"numbers of connections fit 16 bits", func(l *Limits) bool { return l.ConnectionsMax <= 1<<16 }},
	{"a request fits a message", func(l *Limits) bool { return l.RequestBytesMax >= 4096 && l.RequestBytesMax <= l.MessageBytesMax }},
	{"a group fits a message and holds a request", func(l *Limits) bool {
		return l.GroupBytesMax <= l.BodyBytesMax() && l.GroupBytesMax >= l.RequestBytesMax-HeaderBytes
	}},
	{"a memtable seals at some row", func(l *Limits) bool { return l.MemtableRowsSeal >= 1 }},
	{"a merge takes 3..32 runs of postings", func(l *Limits) bool {
		return l.PostingRunsMerged >= 3 && l.PostingRunsMerged <= PostingRunsMergedMax
	}},
	// Each event of an op may cause two rows, and each row may change two accounts.
	{"what the rows of a memtable change is numbered with 24 bits", func(l *Limits) bool {
		return 4*(uint64(l.MemtableRowsSeal)+uint64(l.BarOps)*uint64(l.BodyBytesMax()/EventBytesMin)) < 1<<24
	}},
	{"the grid cache has a set of pages", func(l *Limits) bool { return l.CacheGridBytes >= cacheWaysMin*uint64(l.PageBytes) }},
	{"the newest blocks take at most half of the grid cache", func(l *Limits) bool {
		return l.CacheRecentPercent <= CacheRecentPercentMax
	}},
	{"the account cache has a set of accounts", func(l *Limits) bool { return l.CacheAccountsMax >= cacheAccountsMin }},
	{"numbers of cached accounts, doubled, fit 32 bits", func(l *Limits) bool { return l.CacheAccountsMax <= 1<<30 }},
	{"the data file may have a block behind its zones", func(l *Limits) bool { return l.StorageBytesMax >= l.GridAt()+uint64(l.BlockBytes) }},
	{"the release that runs is one of those that are offered", func(l *Limits) bool {
		return l.ReleaseMin >= 1 && l.Release >= l.ReleaseMin && l.Release <= l.ReleaseMax && l.ReleaseMax <= ReleaseTrial
	}},
	{"a query reads a row in a slice", func(l *Limits) bool { return l.QuerySliceRows > 0 }},
	{"compaction has 1..8 workers", func(l *Limits) bool { return l.CompactWorkers >= 1 && l.CompactWorkers <= CompactWorkersMax }},
}

// Check returns an error that names the first claim that does not hold. It is called before the
// limits are used for a data file or for the stages of a server.
func (l *Limits) Check() error {
	for i := range claims {
		if !claims[i].holds(l) {
			return fmt.Errorf("limits: it does not hold that %s: %+v", claims[i].what, *l)
		}
	}
	return nil
}
