package storage

// ScrubAsk is what the scrubber asks of apply.
type ScrubAsk uint8

const (
	ScrubNext   ScrubAsk = iota + 1 // which block is to be read next
	ScrubIsLive                     // whether Block is still in use
)

// ScrubAnswer is the answer to a ScrubAsk.
type ScrubAnswer uint8

const (
	ScrubFound  ScrubAnswer = iota + 1 // ScrubNext: Block is the next one
	ScrubEnd                           // ScrubNext: there is no further block
	ScrubLater                         // ScrubNext: the state is being opened, or apply has stopped
	ScrubLive                          // ScrubIsLive: it is, and it was all the time since it was found
	ScrubGone                          // ScrubIsLive: it is not, and its address may have another block
	ScrubWanted                        // ScrubIsLive: it is, and a state sync may not have fetched it yet: no finding
)

// ScrubBlock is a block that should lie in the grid.
type ScrubBlock struct {
	Ref
	Tree      TreeID // of a table
	PagesUsed uint16 // of a table

	// IsTrailer: the block is of a trailer. Apply names the root; the root names the others.
	IsTrailer    bool
	Trailer      TrailerKind
	ContentBytes uint64
	CheckpointOp uint64 // of the checkpoint that the trailer is of
}

// Scrub goes to and fro between the first worker of compact, which reads the grid at a pace, and
// apply, which knows what is in use. A pass has the trailers first, by kind, then the tables, by
// address.
type Scrub struct {
	Asks   ScrubAsk
	Answer ScrubAnswer
	Block  ScrubBlock

	// ScrubNext: the next trailer of this kind or behind it, or, with TrailersCount, the next table
	// above the address After. FromOf65536: in its place, a share of all addresses; 0: not used.
	Trailer     TrailerKind
	After       uint64
	FromOf65536 uint32

	// Of every answer to ScrubNext.
	BlocksCount uint64 // in use
	AddressMax  uint64
}

// Zone of the data file.
type Zone uint8

const (
	ZoneSuperblock Zone = iota
	ZoneLog
	ZoneGrid
	ZonesCount
)

// ZoneNames in order of the zones.
var ZoneNames = [ZonesCount]string{"superblock", "log", "grid"}

// Finding is damage that the scrubber has found, of which nothing but the finding says that it is
// there: nobody has needed the bytes yet.
type Finding struct {
	Zone   Zone
	Reason string
	Errno  int32 // of a read that failed; 0: what was read is wrong

	// ZoneGrid.
	Block ScrubBlock
	Page  uint32

	// ZoneLog: the slot, the op that it should hold, and whether the copy in the twin ring is meant.
	// HasOther: another copy of the whole prepare is right, so a start writes this one again.
	Slot     uint64
	Op       uint64
	IsTwin   bool
	HasOther bool
	// IsNeeded: the op is above the newest checkpoint, so a start executes it.
	IsNeeded bool

	// ZoneSuperblock.
	Copy uint32
}
