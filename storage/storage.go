// Package storage has the types that the parts of the storage engine hand to each other.
//
//	apply:   forest (memtables, trees, queries, planning) --Generation, CheckpointJob--> compact
//	compact: runs jobs: sorts, packs, merges, writes blocks --results in the same structs--> apply
//
// Sub-packages: block (block and page format, checksums), freeset (addresses), grid (page cache and
// reads), table (sorted tables of fixed keys), rowlog (packed transfer rows), merge (the work of a
// job), forest (all state that apply owns), datafile (zones, superblock). A struct that is handed
// over belongs to the receiver until it comes back. Neither side copies it.
//
// Limits: limits.Limits gives all sizes.
// Faults: a damaged block or a failing disk stops a single replica with a Fault.
// Source: design, section 4; docs/design/storage.md.
package storage

import (
	"encoding/binary"
	"fmt"

	"ledger/accounting"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Ref names a block by its address and the checksum of its header page. The header page holds the
// checksums of the block's other pages.
type Ref struct {
	Address  uint64        // from 1; block a starts at grid offset (a-1) * BlockBytes
	Checksum wire.Checksum // BLAKE3, the first 16 bytes
}

// IsZero tells whether the reference names nothing.
func (r Ref) IsZero() bool { return r.Address == 0 }

// KeyBytesMax is the size of a Key.
const KeyBytesMax = 24

// Key is a tree's key. Its fields are big-endian, from the left, followed by zeros. So comparing
// bytes compares keys.
type Key [KeyBytesMax]byte

// Compare orders keys: -1, 0 or 1.
func (k *Key) Compare(other *Key) int {
	for i := 0; i < KeyBytesMax; i += 8 {
		a, b := binary.BigEndian.Uint64(k[i:]), binary.BigEndian.Uint64(other[i:])
		if a != b {
			if a < b {
				return -1
			}
			return 1
		}
	}
	return 0
}

// TreeID numbers the trees. The numbers are on disk.
type TreeID uint8

const (
	TreeTransferLog TreeID = iota // not a tree: packed rows by ordinal (package rowlog)

	TreeTransferID   // id 16 -> ordinal 8, or TransferDeadMark
	TreeAccountID    // id 16 -> ordinal 4
	TreeAccount      // ordinal 4 -> the constant part of the account and its first flags: 60
	TreeBalances     // ordinal 4 -> balances 66; the newest wins; none before the first transfer
	TreeAccountStamp // timestamp 8 -> ordinal 4
	TreePending      // transfer ordinal 8 -> status 1; the newest wins
	TreeExpiry       // expires at 8, transfer ordinal 8 -> nothing; tombstones
	TreeExpired      // event time 8 -> pending ordinal 8, balances 2 * 66

	// Postings: value, then the ordinal (5 bytes for transfers, 4 for accounts) -> nothing. Values
	// of zero are not stored. Ordinals of accounts are the exception: they are stored even if they
	// are zero.
	TreeTransferDebit  // account ordinal 4
	TreeTransferCredit // account ordinal 4
	TreeTransferUser128
	TreeTransferUser64
	TreeTransferUser32
	TreeTransferLedger
	TreeTransferCode
	TreeAccountUser128
	TreeAccountUser64
	TreeAccountUser32
	TreeAccountLedger
	TreeAccountCode

	TreesCount
)

// TransferDeadMark takes the place of the ordinal of an id that a transient failure has used up.
const TransferDeadMark = ^uint64(0)

// AccountBytes is the size of a value of TreeAccount.
const AccountBytes = 60

// Encoding of a table's pages. It is in the block header, so that the packing can be improved
// later.
type Encoding uint8

const (
	// EncodingPlain: entries of fixed size, back to back, found by binary search. For point
	// lookups.
	EncodingPlain Encoding = 1
	// EncodingPrefix: a key shares a prefix with the previous one, with restarts every few entries.
	// For postings.
	EncodingPrefix Encoding = 2
	// EncodingRows: packed transfer rows (package rowlog).
	EncodingRows Encoding = 3
)

// TreeSpec is the shape of a tree.
type TreeSpec struct {
	Name       string
	KeyBytes   uint8
	ValueBytes uint8
	Encoding   Encoding
	Filter     bool // each table carries a filter over its keys
	Tombstones bool // entries can be removed
}

// Trees in order of TreeID.
var Trees = [TreesCount]TreeSpec{
	TreeTransferLog:     {"transfer_log", 16, 0, EncodingRows, false, false},
	TreeTransferID:      {"transfer_id", 16, 8, EncodingPlain, true, false},
	TreeAccountID:       {"account_id", 16, 4, EncodingPlain, true, false},
	TreeAccount:         {"account", 4, AccountBytes, EncodingPlain, false, false},
	TreeBalances:        {"balances", 4, BalancesBytes, EncodingPlain, false, false},
	TreeAccountStamp:    {"account_stamp", 8, 4, EncodingPlain, false, false},
	TreePending:         {"pending", 8, 1, EncodingPlain, false, false},
	TreeExpiry:          {"expiry", 16, 0, EncodingPlain, false, true},
	TreeExpired:         {"expired", 8, 8 + 2*BalancesBytes, EncodingPlain, false, false},
	TreeTransferDebit:   {"transfer_debit", 9, 0, EncodingPrefix, false, false},
	TreeTransferCredit:  {"transfer_credit", 9, 0, EncodingPrefix, false, false},
	TreeTransferUser128: {"transfer_user_128", 21, 0, EncodingPrefix, false, false},
	TreeTransferUser64:  {"transfer_user_64", 13, 0, EncodingPrefix, false, false},
	TreeTransferUser32:  {"transfer_user_32", 9, 0, EncodingPrefix, false, false},
	TreeTransferLedger:  {"transfer_ledger", 9, 0, EncodingPrefix, false, false},
	TreeTransferCode:    {"transfer_code", 7, 0, EncodingPrefix, false, false},
	TreeAccountUser128:  {"account_user_128", 20, 0, EncodingPrefix, false, false},
	TreeAccountUser64:   {"account_user_64", 12, 0, EncodingPrefix, false, false},
	TreeAccountUser32:   {"account_user_32", 8, 0, EncodingPrefix, false, false},
	TreeAccountLedger:   {"account_ledger", 8, 0, EncodingPrefix, false, false},
	TreeAccountCode:     {"account_code", 6, 0, EncodingPrefix, false, false},
}

// OrdinalBytes is the width of the ordinal that ends the keys of a posting tree.
func (t TreeID) OrdinalBytes() int {
	if t >= TreeAccountUser128 {
		return 4
	}
	return 5
}

// MergeRunsMax is the most runs that one merge takes.
const MergeRunsMax = limits.PostingRunsMergedMax

// mergeRuns is the number for trees whose runs are asked for every key, or that hold long values.
const mergeRuns = 8

// MergeRuns is the number of runs that one merge of a tree takes. A level that holds as many is
// merged into the next.
//
// With a larger number, an entry is written again less often, but a lookup has more runs to ask.
// Postings of transfers take the larger number: they are most of the entries to merge, and only
// queries ask them. The rest of a query takes longer than finding the first page of a run.
func MergeRuns(l *limits.Limits, tree TreeID) int {
	if tree >= TreeTransferDebit && tree <= TreeTransferCode {
		return int(l.PostingRunsMerged)
	}
	return mergeRuns
}

// Table is one block of sorted entries or packed rows, as the manifest describes it.
type Table struct {
	Ref
	Tree      TreeID
	Partial   bool   // rowlog: the last block before a checkpoint; the next flush replaces it
	PagesUsed uint16 // header page included; the pages behind are unused
	Entries   uint32
	// BornOp is the checkpoint op, or the last op of another bar, whose generation wrote the table: a
	// checkpoint of an earlier op does not name it, and a replica that has that checkpoint does not
	// have the table.
	BornOp uint64
	KeyMin Key // rowlog: first ordinal 8, first timestamp 8
	KeyMax Key // rowlog: last ordinal 8, last timestamp 8
}

// FlushSource is a sealed memtable as a flush job sees it. It does not change until its generation
// is installed.
type FlushSource interface {
	// Columns fills out for a tree that is flushed by columns. It returns false for other trees,
	// whose entries are then read one by one.
	Columns(tree TreeID, out *Columns) bool
	// Changes fills out with the source of TreeBalances.
	Changes(out *Changes)
	// EntriesCount of a tree.
	EntriesCount(tree TreeID) uint32
	// Entry returns the key of an entry. Keys are distinct and in any order.
	Entry(tree TreeID, index uint32) (key Key, tombstone bool)
	// Value fills value (ValueBytes of the tree). It is not used for TreeBalances.
	Value(tree TreeID, index uint32, value []byte)
	// RowsFirst and RowsCount describe the rows of the log that no full block on disk has yet. The
	// carried rows come first.
	RowsFirst() accounting.TransferOrdinal
	RowsCount() uint32
	// Row returns a row for reading.
	Row(index uint32) *accounting.TransferRow
}

// JobKind of a Job.
type JobKind uint8

const (
	JobFlushTree JobKind = iota + 1 // one tree of a sealed memtable -> tables of a new run
	JobFlushRows                    // rows of a sealed memtable -> full blocks, and a partial one before a checkpoint
	JobMerge                        // several runs of one tree, or a part of them -> tables of a run of the next level
)

// Job is one piece of compaction. It is a pure function of its inputs and depends neither on timing
// nor on the worker that runs it.
type Job struct {
	Kind JobKind
	Tree TreeID

	// JobFlushTree, JobFlushRows.
	Source         FlushSource
	PartialWritten bool // the bar ends at a checkpoint op: also write the partial block

	// JobMerge: runs from the newest to the oldest, each with its tables in key order. The job
	// takes the entries with FromKey < key (all entries if From is false). It ends at a whole key,
	// after the entry with which EntriesMax entries are consumed.
	Runs           [][]Table
	From           bool
	FromKey        Key
	EntriesMax     uint64
	DropTombstones bool // no older run of the tree exists

	// Addresses are reserved for the outputs and suffice for the worst case. Output n goes to
	// Addresses[n].
	Addresses []uint64
	// Filters is memory for the filters of the outputs, in their order, for a tree that has
	// filters. The job copies each filter there, so that it need not be read back. nil: no copies
	// are wanted.
	Filters [][]byte
	// Frames is memory for the outputs, in their order: output n is built in Frames[n], if there is
	// one. So who planned the job has the output in memory when it is written.
	Frames [][]byte

	// Results.
	Tables      []Table // outputs in key order; capacity len(Addresses), given by the planner
	Finished    bool    // JobMerge: all inputs are consumed
	UpTo        Key     // JobMerge: the last key consumed, FromKey of the continuation
	RowsWritten uint32  // JobFlushRows: rows in full blocks
	Fault       *Fault  // why the job failed, or nil; after a failure, no other result counts
}

// LevelsMax is the largest number of levels of a tree, enough for 8^10 flushes.
const LevelsMax = 10

// JobsMax is the largest number of jobs of a generation: for each tree one flush, and one merge of
// each level.
const JobsMax = int(TreesCount) * (1 + LevelsMax)

// Generation is the jobs of one bar, in the order in which they were planned and are installed. Any
// worker may run any of them, in any order.
type Generation struct {
	Op   uint64 // the last op of the bar, which the jobs' results belong to
	Jobs []Job
}

// TrailerKind of a checkpoint. The numbers are on disk.
type TrailerKind uint8

const (
	TrailerManifest TrailerKind = iota
	TrailerFreeSet
	// TrailerSessions are the records of the sessions: what a replica needs to commit the next op.
	TrailerSessions
	// TrailerReplies are the last replies of the sessions: what it needs when a client repeats.
	TrailerReplies
	TrailersCount
)

// TrailerNames in order of the kinds.
var TrailerNames = [TrailersCount]string{"manifest", "free_set", "sessions", "replies"}

// CheckpointJob writes what a checkpoint adds to the tables: its trailers. The first block of each
// is its root: it lists all the others, so that they can be read side by side.
type CheckpointJob struct {
	Op uint64 // the checkpoint's op c
	// Chunks are each trailer's content, in order. They are off-heap memory that does not change
	// until the job is back.
	Chunks    [TrailersCount][][]byte
	Addresses [TrailersCount][]uint64 // the root's first

	// Names is memory for the names of the blocks behind the root.
	Names [TrailersCount][]Ref

	// Results.
	Roots [TrailersCount]Ref // zero for an empty trailer
	Fault *Fault
}

// Checkpoint is the root of the state on disk, as the superblock holds it.
type Checkpoint struct {
	Op              uint64
	PrepareChecksum wire.Checksum // of the header of op Op; consensus fills it in
	ParentID        wire.Checksum // id of the checkpoint before this one; consensus fills it in
	Roots           [TrailersCount]Ref
	TrailerBytes    [TrailersCount]uint64 // content, without the blocks' headers
	BlocksHigh      uint64                // highest address ever allocated
	// Release is the one that goes on from the checkpoint: it executes the ops behind its trigger. It
	// is state, which all replicas have alike. A single replica takes the release of its program: it
	// upgrades by a restart.
	Release        uint32
	AccountsCount  uint64
	TransfersCount uint64
	// TimestampLast is the timestamp of the last op that the sessions trailer covers. A replica
	// that begins with a checkpoint but without the log before it continues from here. (A single
	// replica has the log.) The checkpoint's id covers it, so replicas compare it.
	TimestampLast uint64
	// Members are the data files that count as of op Op; consensus fills them in.
	Members prepare.Members
}

// Subjects of a Fault. They decide the exit status.
const (
	FaultBlock        = "block"         // a damaged block
	FaultDisk         = "disk"          // a failing disk
	FaultLog          = "log"           // a damaged log
	FaultSuperblock   = "superblock"    // a damaged superblock
	FaultNoSpace      = "no space"      // the disk is full
	FaultStorageLimit = "storage limit" // the data file has reached its configured limit
	FaultBehind       = "checkpoint"    // the other replicas have a newer one, and no longer the log in between
	FaultRelease      = "release"       // no fault: another release goes on from the checkpoint that is durable
)

// NoSpace returns the reason if errno means that there is no room left, which is no damage. For
// other errors it returns "".
func NoSpace(errno int32) string {
	switch errno {
	case 28: // ENOSPC
		return "the disk is full"
	case 122: // EDQUOT
		return "the disk quota is used up"
	case 27: // EFBIG
		return "the file may not get larger (ulimit -f, or its file system)"
	}
	return ""
}

// Fault is damage or a failing disk. It stops a single replica.
type Fault struct {
	What    string // FaultBlock ...
	Address uint64
	Page    uint32
	Release uint32 // FaultRelease: the one that goes on
	Reason  string
}

func (f *Fault) Error() string {
	if f.Address == 0 {
		return fmt.Sprintf("%s: %s", f.What, f.Reason)
	}
	return fmt.Sprintf("%s %d, page %d: %s", f.What, f.Address, f.Page, f.Reason)
}

// Waiter suspends its caller, which runs on a stage's coroutine, until the stage's next step. A
// wait may end early. So every caller loops around Wait and checks its condition each time.
type Waiter interface {
	// Wait returns after something has happened: a completion or an event.
	Wait()
	// Breathe ends a step that has lasted long enough. The caller continues in the next step.
	Breathe()
}
