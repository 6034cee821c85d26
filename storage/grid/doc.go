// Package grid reads pages of blocks through a cache, and serves none that is not verified.
//
//	forest --Lookup--> [cache] --bytes--> forest
//	       --Start, Warm--> [reads in flight] --ports.Disk--> completion --verify--> [cache]
//
// A page is verified against its block's header page, the header page against the Ref. Header pages
// have a cache of their own, cut to their used part, so that they stay: a point read of a cold page
// costs one read of one page.
//
// In:     Refs from the manifest; completions, collected by Poll in the stage's step.
// Out:    slices of verified pages, valid until the next Start, Warm, Page or Poll.
// Owns:   the cache's memory and the reads in flight; the ports.Disk it was given.
// Limits: CacheGridBytes of pages, a quarter as many header pages, 64 reads in flight. When all are
// in use, Start says no and the caller's next try repeats it.
// Faults: a damaged or unreadable page is read once more, and never served. If it was demanded
// (Start, Page) it becomes Fault; read ahead (Warm) it is forgotten, because its address may have
// been given to another block meanwhile.
// Source: design, section 4; docs/design/storage.md, "A block".
package grid
