package limits

import (
	"strings"
	"testing"
)

// Goal: what a server or a format starts with holds every claim.
func TestLimitsHold(t *testing.T) {
	production, development := Production(), Development()
	sessions := Production()
	sessions.SessionsMax, sessions.ConnectionsMax, sessions.CompactWorkers = SessionsMax, SessionsMax+32, CompactWorkersMax
	for name, l := range map[string]*Limits{"production": &production, "development": &development, "with most sessions": &sessions} {
		if err := l.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if interval := production.CheckpointIntervalOps(); interval != 896 { // the design's arithmetic, section 4
		t.Errorf("a checkpoint every %d ops, want 896", interval)
	}
	if prepareMax := production.PrepareMax(895); prepareMax != 895+896+32+64+8 {
		t.Errorf("ops up to %d behind checkpoint 895, want %d", prepareMax, 895+896+32+64+8)
	}
}

// Goal: each claim, broken alone, is refused by its name; so is what nobody filled in, without a
// panic.
func TestLimitsRefused(t *testing.T) {
	broken := []struct {
		what    string
		violate func(l *Limits)
	}{
		{"the sector is a power of two", func(l *Limits) { l.SectorBytes = 256 }},
		{"the sector is a power of two", func(l *Limits) { l.SectorBytes = 4096 + 512 }},
		{"a page is whole sectors", func(l *Limits) { l.PageBytes = 4096 + 512 }},
		{"a page is whole sectors", func(l *Limits) { l.PageBytes = 0 }},
		{"a block is at least four whole pages", func(l *Limits) { l.BlockBytes = 3 * l.PageBytes }},
		{"a block is at least four whole pages", func(l *Limits) { l.BlockBytes += 4096 }},
		{"page numbers of a block fit 15 bits", func(l *Limits) { l.BlockBytes = (1<<15 + 1) * l.PageBytes }},
		{"the header of a block", func(l *Limits) { l.PageBytes, l.BlockBytes = 4096, 512<<10 }},
		{"the superblock has four copies", func(l *Limits) { l.SuperblockCopies = 3 }},
		{"a copy of the superblock", func(l *Limits) { l.SuperblockBytes = 0 }},
		{"a copy of the superblock", func(l *Limits) { l.SuperblockBytes += 512 }},
		{"a message is whole sectors", func(l *Limits) { l.MessageBytesMax += 512 }},
		{"a message is whole sectors", func(l *Limits) { l.MessageBytesMax = 0 }},
		{"the number of log slots", func(l *Limits) { l.JournalSlotsCount = 1000 }},
		{"the number of log slots", func(l *Limits) { l.JournalSlotsCount = 0 }},
		{"a twin is whole sectors", func(l *Limits) { l.TwinBytes = 0 }},
		{"a twin is whole sectors", func(l *Limits) { l.TwinBytes += 512 }},
		{"a message is whole twins", func(l *Limits) { l.TwinBytes = 12 << 10 }},
		{"a bar has ops", func(l *Limits) { l.BarOps = 0 }},
		{"the pipeline has 1..8 ops", func(l *Limits) { l.PipelineOpsMax = 0 }},
		{"the pipeline has 1..8 ops", func(l *Limits) { l.PipelineOpsMax = 9 }},
		{"slack covers the pipeline", func(l *Limits) { l.SlackOps = 7 }},
		{"the log holds two bars", func(l *Limits) { l.SlackOps = 1000 }},
		{"the log holds two bars", func(l *Limits) { l.SlackOps = 1<<32 - 1 }},
		{"the log holds two bars", func(l *Limits) { l.BarOps = 1 << 31 }},
		{"a checkpoint is proven durable", func(l *Limits) { l.JournalSlotsCount, l.SlackOps = 256, 120 }},
		{"a cluster has 1..6 replicas", func(l *Limits) { l.ReplicasCount = 0 }},
		{"a cluster has 1..6 replicas", func(l *Limits) { l.ReplicasCount = ReplicasMax + 1 }},
		{"a cluster has 0..6 standbys", func(l *Limits) { l.ReplicasCount, l.StandbysCount = 3, StandbysMax+1 }},
		{"a cluster has 0..6 standbys", func(l *Limits) { l.ReplicasCount, l.StandbysCount, l.IsStandby = 3, 1, true }},
		{"a single replica has no standbys", func(l *Limits) { l.IsStandby = true }},
		{"sessions are 1..1024", func(l *Limits) { l.SessionsMax = 0 }},
		{"sessions are 1..1024", func(l *Limits) { l.SessionsMax = 1025 }},
		{"every session may have a connection", func(l *Limits) { l.ConnectionsMax = l.SessionsMax - 1 }},
		{"numbers of cached accounts", func(l *Limits) { l.CacheAccountsMax = 1<<30 + 1 }},
		{"a merge takes 3..32 runs", func(l *Limits) { l.PostingRunsMerged = 2 }},
		{"a merge takes 3..32 runs", func(l *Limits) { l.PostingRunsMerged = PostingRunsMergedMax + 1 }},
		{"numbers of connections", func(l *Limits) { l.ConnectionsMax = 1<<16 + 1 }},
		{"a request fits a message", func(l *Limits) { l.RequestBytesMax = l.MessageBytesMax + 1 }},
		{"a request fits a message", func(l *Limits) { l.RequestBytesMax = 0 }},
		{"a group fits a message", func(l *Limits) { l.GroupBytesMax = l.MessageBytesMax }},
		{"a group fits a message", func(l *Limits) { l.GroupBytesMax = 4096 }},
		{"a memtable seals", func(l *Limits) { l.MemtableRowsSeal = 0 }},
		{"what the rows of a memtable change", func(l *Limits) { l.MemtableRowsSeal = 4 << 20 }},
		{"what the rows of a memtable change", func(l *Limits) { l.JournalSlotsCount, l.BarOps = 4096, 512 }},
		{"the grid cache", func(l *Limits) { l.CacheGridBytes = 0 }},
		{"the newest blocks", func(l *Limits) { l.CacheRecentPercent = 51 }},
		{"the account cache", func(l *Limits) { l.CacheAccountsMax = 7 }},
		{"the data file may have a block", func(l *Limits) { l.StorageBytesMax = 0 }},
		{"the data file may have a block", func(l *Limits) { l.StorageBytesMax = uint64(l.BlockBytes) }},
		{"the data file may have a block", func(l *Limits) { l.StorageBytesMax = l.GridAt() + uint64(l.BlockBytes) - 1 }},
		{"the release that runs", func(l *Limits) { l.ReleaseMin = 0 }},
		{"the release that runs", func(l *Limits) { l.ReleaseMin = l.Release + 1 }},
		{"the release that runs", func(l *Limits) { l.Release = l.ReleaseMax + 1 }},
		{"the release that runs", func(l *Limits) { l.ReleaseMax = ReleaseTrial + 1 }},
		{"a query reads a row in a slice", func(l *Limits) { l.QuerySliceRows = 0 }},
		{"compaction has", func(l *Limits) { l.CompactWorkers = 0 }},
		{"compaction has", func(l *Limits) { l.CompactWorkers = 9 }},
	}
	seen := map[string]bool{}
	for _, test := range broken {
		l := Production()
		test.violate(&l)
		err := l.Check()
		if err == nil || !strings.Contains(err.Error(), "does not hold that "+test.what) {
			t.Errorf("error %v, want one that says %q", err, test.what)
		}
		for i := range claims {
			if strings.HasPrefix(claims[i].what, test.what) {
				seen[claims[i].what] = true
			}
		}
	}
	for i := range claims {
		switch what := claims[i].what; {
		case strings.HasPrefix(what, "checkpoints end bars"), strings.HasPrefix(what, "no op that may be prepared"):
			// These two follow from the arithmetic of checkpointIntervalOps as it is: they would tell of a
			// change there.
		case !seen[what]:
			t.Errorf("nothing breaks the claim that %s", what)
		}
	}
	if err := (&Limits{}).Check(); err == nil {
		t.Error("limits that nobody filled in are accepted")
	}
}

// Goal: a slow peer takes no prepare slot from the pipeline of a cluster: there is one for each op
// without a quorum, for each that is executed behind these, and for each lease of each peer. A
// single replica has as many as before.
func TestPrepareSlots(t *testing.T) {
	for replicas := uint32(1); replicas <= ReplicasMax; replicas++ {
		l := Production()
		l.ReplicasCount = replicas
		want := l.PipelineOpsMax + 2
		if peers := replicas - 1; peers > 0 {
			want = 2*l.PipelineOpsMax + 2 + peers*l.PeerLeasesMax()
		}
		if count := l.SlotsCount().Prepare; count != want {
			t.Errorf("%d replicas: %d prepare slots, want %d", replicas, count, want)
		}
	}
}
