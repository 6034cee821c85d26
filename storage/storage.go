// Package storage names what the parts of the storage engine hand to each other.
//
//	apply:   forest (memtables, trees, queries, planning) --Generation, CheckpointJob--> compact
//	compact: runs jobs: sorts, packs, merges, writes blocks --results in the same structs--> apply
//
// Sub-packages: block (block and page format, checksums), freeset (addresses), grid (page cache and
// reads), table (sorted tables of fixed keys), rowlog (packed transfer rows), merge (what a job
// does), forest (everything apply owns), datafile (zones, superblock). A struct handed over belongs
// to the receiver until it comes back; neither side copies it.
//
// Limits: everything is sized by limits.Limits. Faults: a damaged block or a failing disk stops a
// single replica with a Fault.
// Source: design, section 4; docs/design/storage.md.
package storage

import (
	"encoding/binary"
	"fmt"

	"ledger/accounting"
	"ledger/limits"
)

// Checksum is the first 16 bytes of BLAKE3.
type Checksum [16]byte

// Ref names a block: where it is, and the checksum of its header page, which holds those of its
// other pages.
type Ref struct {
	Address  uint64 // from 1; block a starts at grid offset (a-1) * BlockBytes
	Checksum Checksum
}

// IsZero tells whether the reference names nothing.
func (r Ref) IsZero() bool { return r.Address == 0 }

// KeyBytesMax is the size of a Key.
const KeyBytesMax = 24

// Key is a tree's key: big-endian fields from the left, zeros behind, so that comparing bytes
// compares keys.
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
	TreeAccount      // ordinal 4 -> what never changes of the account, and its flags at first: 60
	TreeBalances     // ordinal 4 -> balances 66; the newest wins, and there are none before the first transfer
	TreeAccountStamp // timestamp 8 -> ordinal 4
	TreePending      // transfer ordinal 8 -> status 1; the newest wins
	TreeExpiry       // expires at 8, transfer ordinal 8 -> nothing; tombstones
	TreeExpired      // event time 8 -> pending ordinal 8, balances 2 * 66

	// Postings: value, then the ordinal (5 bytes for transfers, 4 for accounts) -> nothing. Zero
	// values are not kept, except that account ordinals are stored as they are.
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

// TransferDeadMark stands for the ordinal of an id that a transient failure burned.
const TransferDeadMark = ^uint64(0)

// AccountBytes is the size of what TreeAccount holds of an account.
const AccountBytes = 60

// Encoding of a table's pages; it is in the block header, so that packing may improve later.
type Encoding uint8

const (
	// EncodingPlain: entries of fixed size back to back: binary search, for trees read by point.
	EncodingPlain Encoding = 1
	// EncodingPrefix: keys share prefixes with their predecessor, restarts every few entries: for
	// postings.
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

// mergeRuns of a tree whose runs are asked for every key, or hold long values.
const mergeRuns = 8

// MergeRuns is how many runs one merge of a tree takes: a level that holds as many is merged into
// the next.
//
// The more, the less often an entry is written again, and the more runs are asked. Postings of
// transfers are most of what there is to merge, and are asked by queries only, which have more to
// do than to look for the first page of a run.
func MergeRuns(l *limits.Limits, tree TreeID) int {
	if tree >= TreeTransferDebit && tree <= TreeTransferCode {
		return int(l.PostingRunsMerged)
	}
	return mergeRuns
}

// Table is one block of sorted entries, or of packed rows, as the manifest knows it.
type Table struct {
	Ref
	Tree      TreeID
	Partial   bool   // rowlog: the block before a checkpoint, replaced by the next flush
	PagesUsed uint16 // header page included; what lies behind is nobody's
	Entries   uint32
	KeyMin    Key // rowlog: first ordinal 8, first timestamp 8
	KeyMax    Key // rowlog: last ordinal 8, last timestamp 8
}

// FlushSource is a sealed memtable as a flush job sees it: immutable until its generation is
// installed.
type FlushSource interface {
	// Columns fills out, for the trees that are flushed by columns, or returns false: then the entries
	// are had one by one.
	Columns(tree TreeID, out *Columns) bool
	// Changes fills out: what TreeBalances is flushed from.
	Changes(out *Changes)
	// EntriesCount of a tree.
	EntriesCount(tree TreeID) uint32
	// Entry returns an entry's key; the order is any, the keys are distinct.
	Entry(tree TreeID, index uint32) (key Key, tombstone bool)
	// Value fills value (ValueBytes of the tree); not of TreeBalances.
	Value(tree TreeID, index uint32, value []byte)
	// RowsFirst and RowsCount are the rows of the log that are not on disk in a full block, the
	// carried ones first.
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

// Job is one piece of compaction: a pure function of its inputs, whatever core it runs on and
// however long it takes.
type Job struct {
	Kind JobKind
	Tree TreeID

	// JobFlushTree, JobFlushRows.
	Source         FlushSource
	PartialWritten bool // JobFlushRows: the bar ends at a checkpoint op, so write the partial block too

	// JobMerge: runs from the newest to the oldest, each its tables in key order; entries with FromKey
	// < key (all, without From). It stops, at a whole key, after the entry that makes the consumed
	// entries reach EntriesMax.
	Runs           [][]Table
	From           bool
	FromKey        Key
	EntriesMax     uint64
	DropTombstones bool // no older run of the tree exists

	// Addresses reserved for the outputs, enough for the worst case; output n goes to Addresses[n].
	Addresses []uint64
	// Filters is memory for the filters of the outputs, in their order, of a tree that has filters:
	// the job copies each filter there, so that it need not be read back. nil: not wanted.
	Filters [][]byte

	// Results.
	Tables      []Table // outputs in key order; capacity len(Addresses), given by the planner
	Finished    bool    // JobMerge: all inputs are consumed
	UpTo        Key     // JobMerge: the last key consumed, FromKey of the continuation
	RowsWritten uint32  // JobFlushRows: rows in full blocks
	Fault       *Fault  // nil, or why it failed; then nothing else counts
}

// LevelsMax is how many levels a tree can have: 8^10 flushes.
const LevelsMax = 10

// JobsMax is the most jobs of a generation: of each tree a flush, and a merge of each level.
const JobsMax = int(TreesCount) * (1 + LevelsMax)

// Generation is the jobs of one bar, in the order in which they were planned and are installed. Any
// worker may run any of them, in any order.
type Generation struct {
	Bar  uint64
	Jobs []Job
}

// TrailerKind of a checkpoint's chains of blocks.
type TrailerKind uint8

const (
	TrailerManifest TrailerKind = iota
	TrailerFreeSet
	TrailerSessions
	TrailersCount
)

// CheckpointJob writes what a checkpoint adds to the tables: its trailers, each a chain of blocks,
// last block first in the chain (a block names its predecessor, the root names the last).
type CheckpointJob struct {
	Op uint64 // the checkpoint's op c
	// Chunks of each trailer's content, in order: off-heap memory that does not change until the job
	// is back.
	Chunks    [TrailersCount][][]byte
	Addresses [TrailersCount][]uint64

	// Results.
	Roots [TrailersCount]Ref // the last block of each chain; zero for an empty trailer
	Fault *Fault
}

// Checkpoint is the root of a state on disk, as the superblock holds it.
type Checkpoint struct {
	Op              uint64
	PrepareChecksum Checksum // of the header of op Op; consensus fills it in
	ParentID        Checksum // id of the checkpoint before this one; consensus fills it in
	Roots           [TrailersCount]Ref
	TrailerBytes    [TrailersCount]uint64 // content, without the blocks' headers
	BlocksHigh      uint64                // highest address ever allocated
	AccountsCount   uint64
	TransfersCount  uint64
	// TimestampLast is of the last op that the sessions trailer covers. A replica that begins with a
	// checkpoint and without the log before it goes on from here; a single one has the log. It is a
	// part of the checkpoint's id, so replicas compare it.
	TimestampLast uint64
}

// What a Fault is about; it decides the exit status.
const (
	FaultBlock        = "block"         // a damaged block
	FaultDisk         = "disk"          // a failing disk
	FaultLog          = "log"           // a damaged log
	FaultSuperblock   = "superblock"    // a damaged superblock
	FaultNoSpace      = "no space"      // the disk is full
	FaultStorageLimit = "storage limit" // the data file has reached its configured limit
)

// NoSpace says why there is no room for more if that is what errno means, which is nobody's damage;
// else "".
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

// Fault is damage or a failing disk: a single replica stops with it.
type Fault struct {
	What    string // FaultBlock ...
	Address uint64
	Page    uint32
	Reason  string
}

func (f *Fault) Error() string {
	if f.Address == 0 {
		return fmt.Sprintf("%s: %s", f.What, f.Reason)
	}
	return fmt.Sprintf("%s %d, page %d: %s", f.What, f.Address, f.Page, f.Reason)
}

// Waiter suspends the caller, which runs on a stage's coroutine, until the stage's next step. Every
// wait is a loop around Wait that looks again at what it waits for.
type Waiter interface {
	// Wait until something happened: a completion, an event.
	Wait()
	// Breathe ends this step because it has lasted long enough; the next step goes on.
	Breathe()
}
