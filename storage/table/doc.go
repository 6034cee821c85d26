// Package table is the format of sorted tables of fixed-size keys. A table is one block. It is
// built once and searched by page.
//
//	sorted entries --Builder--> data pages | filter pages --block.Seal--> a storage.Table
//	header page + one page --Shape: PageFind, Search, Decode, Value--> answers
//
// A plain page holds its keys back to back, then its values, then one bit per entry for tombstones.
// It is searched by bisection.
//
// A prefix page is for postings, whose key is a value and an ordinal, and which have nothing else.
// If an entry has the same value as its predecessor, it is the distance of their ordinals, in 1 to
// 3 bytes. Every 32nd entry is whole. An array with the offsets of the whole entries ends the page.
//
// In:     keys in strictly ascending order; header pages and pages that were verified before.
// Out:    blocks and their storage.Table; positions, keys and values as views or copies.
// Owns:   nothing: builder and readers work in the caller's memory and do not allocate.
// Limits: page and block size. Shape computes all counts from them.
// Faults: none of the disk's, because pages are verified before. A broken order is our own mistake
// and stops the process.
// Source: design, section 4; docs/design/storage.md, "A block".
package table
