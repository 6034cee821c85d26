// Package block is the format of a grid block: a header page, then data pages and filter pages.
// Each page has a checksum of its own.
//
//	page 0   header: checksum of the rest of the page | what the block is |
//	         for each page: checksum, first key, first entry
//	page 1.. data pages, zero-padded
//	last     filter pages (package table); pages behind PagesUsed are never written
//
// A Ref (address, checksum of the header page) verifies the header page, and the header page
// verifies all other pages. So a point read costs one page and is still verified from the root. The
// header contains the cluster and the address, which reveals a misdirected write or a block of
// another file. It also contains kind, tree and encoding, so that a block can be walked without its
// manifest.
//
// In:     pages filled by table, rowlog and the trailer writer; a Ref and pages read from disk.
// Out:    a sealed header page and its Ref; verdicts; views into header pages, without copies.
// Owns:   nothing: all memory is the caller's.
// Limits: the header page must hold an entry of 44 bytes per page and its own 128 bytes (GeometryOf
// asserts it).
// Faults: damage is a reason in words, or a storage.Fault. Bytes from a disk never cause a panic
// here.
// Source: design, section 4; docs/design/storage.md, "A block".
package block
