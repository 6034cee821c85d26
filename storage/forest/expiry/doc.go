// Package expiry is the index of when pending transfers expire.
//
//	Add ----> heap of the filling part --Seal--> heap of the flushing part --flush--> tree
//	Remove -> removals of both parts hide what is older                                |
//	First <-- the least of both heaps and of the window <-------- fill ----------------+
//
// In:     Add and Remove by the accounting rules, within chains or not. At the end of a bar: Seal,
// and Flushed when its flush is installed.
// Out:    First: the least expiry that is live; entries and tombstones for the flush of a part;
// the transfers that a pulse is about to read.
// Owns:   adds, removals and heaps of both memtables, the window over the tree, the undo log of a
// chain. The tree is that of package levels.
// Limits: a part has room for as many adds and as many removals as a memtable has rows. The window
// has room for the expiries of one op; it is filled again from the tree when they are used up.
// Faults: none of its own. Reading the tree may end in one, see package pages.
//
// Invariants:
//   - An expiry is live if it was added and not removed. First returns the least live one.
//   - A part holds a removal only of an expiry that an older part or the tree has. An add that the
//     same part removes again is marked, and nothing of it reaches the disk.
//   - Every live add of a part is in its heap. What is in the heap need not be live.
//   - No live key of the tree is below the window's first key, or below its bound if the window is
//     not valid.
//
// Source: docs/design/storage.md.
package expiry
