// Package table is the format of sorted tables of fixed-size keys: one block each, built once,
// searched by page.
//
//	sorted entries --Builder--> data pages | filter pages --block.Seal--> a storage.Table
//	header page + one page --Shape: PageFind, Search, Decode, Value--> answers
//
// A plain page holds its keys back to back, then its values, then a bit per entry for tombstones:
// searched by halves. A prefix page is for postings (a value, then an ordinal, nothing else): an
// entry with the same value as its predecessor is the distance of the ordinals in 1 to 3 bytes;
// every 32nd entry is whole, and an array of their offsets ends the page.
//
// In:     keys in strictly ascending order; header pages and pages that were verified before.
// Out:    blocks and their storage.Table; positions, keys and values as views or copies.
// Owns:   nothing: builder and readers work in the caller's memory and do not allocate.
// Limits: page and block size, by which Shape computes all counts.
// Faults: none of the disk's: pages are verified before they come here. Broken order is our own
// mistake and stops the process.
// Source: design, section 4; docs/design/storage.md, "A block".
package table
