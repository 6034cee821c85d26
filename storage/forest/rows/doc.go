// Package rows is the transfers and accounts of the forest: what memory holds of them, and how
// those on disk are found and read.
//
//	rules --append--> filling memtable --Plan--> flushing --Install--> full blocks of the row log
//	rules <--find, read-- caches, memtables, carried tail, row log, trees        + carried tail
//
// In:     the calls of accounting.Store but for scans, on one thread; the bodies of requests that
// come (Lookahead, LookupTransfers, LookupAccounts). At the ends of bars, through Keeper: BarRows,
// IsDue, Plan; Install and Installed. At a start: Decode, OpenTail, IDStored.
// Out:    answers; a sealed memtable as storage.FlushSource; the rows' part of the manifest. Reader
// serves queries.
// Owns:   memtables, account cache, cache of pending transfers, carried tail, list of the blocks of
// rows, undo log of a chain. A flushing memtable does not change meanwhile.
// Limits: a memtable holds one row less than the seal plus a bar of full ops. New reserves all
// memory.
// Faults: ordinals that are used up and a full list of blocks end in Fail of package pages. Reading
// pages may do so too.
//
// Invariants, some of which Check asserts:
//   - Ordinals are dense. The log has those below tail.first, the tail those up to the oldest
//     memtable, and each memtable begins where the one before ends.
//   - The current state of an account that a memtable changed is in the cache or in that memtable's
//     spill, never in both. The epoch of a cached account tells which memtable that is.
//   - The cache and its table of ids have the same accounts. Dropping an account is always correct,
//     because memtables and trees have all of them.
//   - No stored id is above idMax.
//   - After a rollback every list, table and count is as it was when the chain began.
//
// Source: design, section 4; docs/design/storage.md, "What is in memory, what is on disk",
// "How ids and accounts are found" and "Accounts".
package rows
