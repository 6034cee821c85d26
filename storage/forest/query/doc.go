// Package query is the scans of the forest: transfers by any fields, accounts by any fields, and
// change events.
//
//	conditions -> streams of ordinals from the trees -> intersection -> rows, read ahead -> matches
//	           -> columns of the memtables, 64 rows at a time ---------------------------> matches
//
// In:     TransfersOpen, AccountsOpen, EventsOpen with a filter, then the call for the next row.
// Out:    rows in order of timestamps, or in the reverse order. A scan sees the state as of its
// opening; the next write ends it.
// Owns:   the buffers of one scan of each kind. Trees and rows are those of packages levels and
// rows.
// Limits: 4,096 ordinals at a time; a bitmap of 65,536 ordinals; 512 rows of read-ahead, less with
// a small page cache.
// Faults: none of its own. Reading pages may end in one, see package pages.
//
// Invariants:
//   - The trees have the rows below the flushed ones, memory has those from there on. A scan takes
//     both parts, and no row twice.
//   - Ordinals ascend with time. So a range of timestamps is a range of ordinals, and a stream in
//     order of ordinals is in order of time.
//   - An intersection returns a superset of the matches, in order. Conditions that it does not
//     check are checked against the row.
//
// Source: docs/design/storage.md, "What a query costs".
package query
