// Package limits holds every size and count of the server in one place.
//
// Production values are constants, proven when they compile. Constructors get them as one value,
// Limits. So the simulator can give the same code a log of 32 slots and blocks of 4 KiB. No other
// code reads the constants than Production and Development. Values that reach the disk are also
// written into the superblock at format time. A change of such a value needs a new format version.
//
// Source: design, "Decisions that are costly to change"; consensus, "Checkpoint arithmetic".
package limits

// FormatVersion of the data file. A file of another version is refused. 2: balances have a tree of
// their own, which numbers the trees anew, filters have 24 bits a key, and merges of postings take
// 32 runs. 3: a ring of twins in the place of the log's redundant headers. 4: what a cluster needs:
// ops of birth of tables, headers and an incarnation in the superblock, trailers whose first block
// lists the others, sessions apart from their replies, and blocks with a format of their own.
const FormatVersion = 4

// BlockFormatVersion is in the header page of every block. It is apart from FormatVersion: blocks
// are not written anew when another part of the file changes.
const BlockFormatVersion = 1

const (
	sectorBytes       = 4096
	pageBytes         = 16 << 10
	blockBytes        = 512 << 10
	messageBytesMax   = 1 << 20
	journalSlotsCount = 1024
	twinBytes         = 16 << 10 // measured: docs/design/log.md
	pipelineOpsMax    = 8
	barOps            = 32
	slackOps          = 64
	superblockCopies  = 4
	superblockBytes   = 24 << 10 // one copy
	sessionsDefault   = 64
	memtableRowsSeal  = 65536
	postingRunsMerged = PostingRunsMergedMax
	inlineReplyBytes  = 8 << 10                                  // 64 transfers
	querySliceRows    = 128                                      // some 50 µs
	tailEventsMax     = barOps * messageBytesMax / EventBytesMin // a bar of full requests: some 0.15 s of a start
)

// Sizes of a cluster. Every check of a flag, a file or a message uses these constants.
const (
	SessionsMax = 1024 // client sessions
	ReplicasMax = 6
	StandbysMax = 6
	// MembersMax is the largest number of replicas and standbys together. Their indexes are below it.
	MembersMax = ReplicasMax + StandbysMax
)

// CompactWorkersMax is the largest number of compaction threads. A generation has only few long
// jobs.
const CompactWorkersMax = 8

// ScrubDays is the time in which the scrubber reads the whole file, unless --scrub-days says
// another.
const ScrubDays, DayNs = 7, 24 * 3600 * 1_000_000_000

// PostingRunsMergedMax is the largest number of runs of postings that one merge can take. It has as
// many buffers.
const PostingRunsMergedMax = 32

// CacheRecentPercentMax is the largest part of the page cache for the newest blocks. The rest must
// hold the pages of a full request.
const CacheRecentPercentMax = 50

// EventBytesMin is the size of the smallest event that makes a row: transfers and accounts.
const EventBytesMin = 128

// HeaderBytes is the size of every message header, of the client protocol and of a prepare.
const HeaderBytes = 256

// Sizes of formats for which other limits have to leave room. The packages that own the formats use
// these constants.
const (
	BlockHeaderBytes       = 128  // at the front of a block's header page
	BlockEntryBytes        = 44   // behind it, for each other page: checksum 16, first key 24, first entry 4
	PageBytesMin           = 512  // holds the longest row and an entry of every tree
	SuperblockContentBytes = 4096 // content of a copy
)

const (
	cacheWaysMin     = 16 // pages of a set
	cacheAccountsMin = 8  // accounts of a set
)

// checkpointIntervalOps by the arithmetic of the design, section 4.
func checkpointIntervalOps(slots, bar, pipeline, slack uint32) uint32 {
	return slots - bar - bar*((slack+pipeline+bar-1)/bar)
}

// Each line fails to compile when its claim is false.
const (
	_ = uint(journalSlotsCount - 2*pipelineOpsMax)                                    // the log outlives the pipeline twice over
	_ = uint(0 - messageBytesMax%sectorBytes)                                         // a full message is whole sectors
	_ = uint(0 - blockBytes%pageBytes)                                                // a block is whole pages
	_ = uint(0 - pageBytes%sectorBytes)                                               // a page is whole sectors
	_ = uint(0 - journalSlotsCount&(journalSlotsCount-1))                             // slot arithmetic is a mask
	_ = uint(pageBytes - BlockHeaderBytes - (blockBytes/pageBytes-1)*BlockEntryBytes) // the header of a block fits its page
	_ = uint(superblockBytes - SuperblockContentBytes)
	_ = uint(0 - twinBytes%sectorBytes)     // a twin is whole sectors
	_ = uint(0 - messageBytesMax%twinBytes) // twins are read and formatted by the message
)

// Limits is the value that every constructor gets: Production(), Development(), or what the
// simulator draws.
type Limits struct {
	// Fixed in the superblock at format.
	SectorBytes       uint32 // unit of direct I/O
	PageBytes         uint32 // unit of grid reads and of grid checksums
	BlockBytes        uint32 // unit of grid allocation and repair; the first page is the header page
	MessageBytesMax   uint32 // header and body; also the size of one log slot
	JournalSlotsCount uint32 // a power of two
	// TwinBytes is the size of the second place of a log slot. A prepare of at most this size is
	// there as a whole, a larger one with its header.
	TwinBytes         uint32
	BarOps            uint32 // compaction works in generations of one bar: bar of an op = op / BarOps
	SlackOps          uint32 // ops between a checkpoint's trigger and the op at which it must be durable
	SessionsMax       uint32 // client sessions (format --clients-max)
	MemtableRowsSeal  uint32 // rows (transfers, accounts, expiries, dead ids) that seal a memtable at a bar's end
	PostingRunsMerged uint32 // runs of a level that one merge takes, of the trees of transfers' postings
	SuperblockBytes   uint32 // one of the four copies
	SuperblockCopies  uint32
	PipelineOpsMax    uint32
	ReplicasCount     uint32 // of the cluster, without standbys
	IsStandby         bool   // the file is that of a standby: its index is the number of replicas or above

	// Of one start, not of the file.
	StandbysCount   uint32 // standbys that a replica speaks to: those with an address; a standby speaks to none
	RequestBytesMax uint32 // largest client request, header included: 1 MiB, 32 KiB with --development
	GroupBytesMax   uint32 // body of a prepare with several requests
	ConnectionsMax  uint32 // client connections: sessions + slack for reconnects
	// ConnectionsPerAddress bounds the connections of one address, those of clients and those that are
	// not identified each; 0: by the table only.
	ConnectionsPerAddress uint32
	CacheGridBytes        uint64 // page cache (--cache-grid)
	CacheRecentPercent    uint32 // part of the page cache that holds the newest blocks whole (--cache-recent)
	CacheAccountsMax      uint32 // cached accounts (--cache-accounts)
	StorageBytesMax       uint64 // largest data file (--limit-storage)
	CompactWorkers        uint32 // threads of compaction ([affinity] compact)
	InlineReplyBytes      uint32 // a query with a longer reply does not hold up later ops
	QuerySliceRows        uint32 // rows that such a query reads before an op has its turn
	QueryPauseSteps       uint32 // steps of apply between two slices; the simulator draws some
	// TailEventsMax is the number of events in the log behind the checkpoint above which a single
	// replica takes another one before it stops in order. While it rests, it tolerates restShare times
	// as many (stages/consensus/settle.go). 0: it takes checkpoints only on the way.
	TailEventsMax uint64
	ScrubPeriodNs uint64 // in which the whole file is read (--scrub-days); 0: it is not
	ReleaseMin    uint32 // oldest release that this program can run
	ReleaseMax    uint32 // newest one
	Release       uint32 // the one that runs: of several replicas, that of the checkpoint
	HashSeed      uint64 // of the hash tables in memory, drawn at each start; it must never reach the disk or another replica
}

// Production returns the limits of a production start with the default caches and 64 sessions.
func Production() Limits {
	return Limits{
		SectorBytes:        sectorBytes,
		PageBytes:          pageBytes,
		BlockBytes:         blockBytes,
		MessageBytesMax:    messageBytesMax,
		JournalSlotsCount:  journalSlotsCount,
		TwinBytes:          twinBytes,
		BarOps:             barOps,
		SlackOps:           slackOps,
		SessionsMax:        sessionsDefault,
		MemtableRowsSeal:   memtableRowsSeal,
		PostingRunsMerged:  postingRunsMerged,
		SuperblockBytes:    superblockBytes,
		SuperblockCopies:   superblockCopies,
		PipelineOpsMax:     pipelineOpsMax,
		ReplicasCount:      1,
		RequestBytesMax:    messageBytesMax,
		GroupBytesMax:      messageBytesMax - HeaderBytes,
		ConnectionsMax:     sessionsDefault + 32,
		CacheGridBytes:     1 << 30,
		CacheRecentPercent: 25,
		CacheAccountsMax:   1 << 20,
		StorageBytesMax:    16 << 40,
		CompactWorkers:     1,
		InlineReplyBytes:   inlineReplyBytes,
		QuerySliceRows:     querySliceRows,
		TailEventsMax:      tailEventsMax,
		ScrubPeriodNs:      ScrubDays * DayNs,
		ReleaseMin:         releaseMin,
		ReleaseMax:         releaseMax,
		Release:            releaseMax,
	}
}

// Development returns the limits of `start --development`: small requests, small caches.
func Development() Limits {
	l := Production()
	l.RequestBytesMax = 32 << 10
	l.GroupBytesMax = 128 << 10
	l.CacheGridBytes = 32 << 20
	l.CacheAccountsMax = 1 << 16
	return l
}

// GridAt is where the grid begins in the data file: behind the superblock, the log's twins and its
// prepares. Package datafile lays the zones out; a new file has this size.
func (l *Limits) GridAt() uint64 {
	up := func(value, unit uint64) uint64 { return (value + unit - 1) / unit * unit }
	twinsAt := up(uint64(l.SuperblockCopies)*uint64(l.SuperblockBytes), uint64(l.SectorBytes))
	return up(twinsAt+uint64(l.JournalSlotsCount)*(uint64(l.TwinBytes)+uint64(l.MessageBytesMax)), uint64(l.BlockBytes))
}

// CheckpointIntervalOps is the distance between two checkpoint ops: 896 in production.
func (l *Limits) CheckpointIntervalOps() uint64 {
	return uint64(checkpointIntervalOps(l.JournalSlotsCount, l.BarOps, l.PipelineOpsMax, l.SlackOps))
}

// CheckpointAfter returns the checkpoint op that follows checkpoint: CheckpointAfter(0) = 895 in
// production.
func (l *Limits) CheckpointAfter(checkpoint uint64) uint64 {
	if checkpoint == 0 {
		return l.CheckpointIntervalOps() - 1
	}
	return checkpoint + l.CheckpointIntervalOps()
}

// CheckpointBefore returns the checkpoint op that checkpoint follows; 0 if it is the first one, or
// none.
func (l *Limits) CheckpointBefore(checkpoint uint64) uint64 {
	if checkpoint <= l.CheckpointAfter(0) {
		return 0
	}
	return checkpoint - l.CheckpointIntervalOps()
}

// CheckpointTrigger returns the op at whose end checkpoint is taken. That is one bar later, when
// its last flush is installed.
func (l *Limits) CheckpointTrigger(checkpoint uint64) uint64 { return checkpoint + uint64(l.BarOps) }

// IsCheckpoint tells whether op is a checkpoint op (0 is none).
func (l *Limits) IsCheckpoint(op uint64) bool {
	return op > 0 && (op+1)%l.CheckpointIntervalOps() == 0
}

// IsTrigger tells whether a checkpoint is taken at the end of op.
func (l *Limits) IsTrigger(op uint64) bool {
	return op >= uint64(l.BarOps) && l.IsCheckpoint(op-uint64(l.BarOps))
}

// IsBarEnd tells whether op is the last of its bar.
func (l *Limits) IsBarEnd(op uint64) bool { return (op+1)%uint64(l.BarOps) == 0 }

// PrepareMax is the highest op that may be prepared while checkpoint is the newest durable one.
func (l *Limits) PrepareMax(checkpoint uint64) uint64 {
	return l.CheckpointTrigger(l.CheckpointAfter(checkpoint)) + uint64(l.SlackOps) + uint64(l.PipelineOpsMax)
}

// BodyBytesMax is the largest body of any message.
func (l *Limits) BodyBytesMax() uint32 { return l.MessageBytesMax - HeaderBytes }

// TouchesMemoryAtStart tells whether caches and tables are touched before the first request. That
// is so in production, because they will probably be full. Otherwise the first minute of load would
// spend a third of its time on clearing pages. Source: design, section 10.
func (l *Limits) TouchesMemoryAtStart() bool {
	return l.RequestBytesMax >= Production().RequestBytesMax
}
