// Package grid reads pages of blocks through a cache. It never returns a page that is not verified.
//
//	forest --Lookup--> [cache] --bytes--> forest
//	       --Start, Warm--> [reads in flight] --ports.Disk--> completion --verify--> [cache]
//
// A page is verified against its block's header page, and the header page against the Ref. Header
// pages have a cache of their own, which holds only their used part. So they usually stay in
// memory, and a point read of a cold page costs one read of one page.
//
// Trailers, filters and tables whose ids are wanted are read once and not again soon. So parts of
// blocks are read past the cache, into memory of their own.
//
//	forest --BlockStart--> [parts of blocks] --ports.Disk--> BlockHeader, BlockPage --> forest
//
// A block that compaction builds is built in memory of this package, and its pages are found there
// until others need the memory. No read and no hash are needed for it.
//
//	forest --Lend--> [memory of a block] --a job fills it--> Keep --> forest
//
// In:     Refs from the manifest; completions, collected by Poll in the stage's step.
// Out:    slices of verified pages, valid until the next Start, Warm, Page, Poll or Lend.
// Owns:   the cache's memory and the reads in flight; its ports.Disk.
// Limits: CacheGridBytes of pages, of which CacheRecentPercent are memory for whole blocks, and a
// quarter as many header pages, 64 reads in flight, and
// BlocksMax parts of blocks. When all reads are in use, Start returns false, and the caller tries
// again later.
// Faults: a damaged or unreadable page is read once more, and is never returned. If it was demanded
// (Start, Page, BlockStart), its block becomes a Want, and callers wait until Repaired. A single
// replica has nobody to get the block from: then it is Fault. If it was only read ahead (Warm), or
// if the part of the block was ended (BlockEnd), it is forgotten, because its address may belong to
// another block by now.
// Source: design, section 4; docs/design/storage.md, "A block".
package grid
