// Package datafile lays out the data file of a replica: its zones, its superblock, and how an empty
// one is made.
//
//	| superblock: 4 copies | log twins | log prepares | padding | grid ... |
//
// In:     a ports.File; the content of a superblock (type Superblock).
// Out:    a formatted file; the superblock that a quorum of copies holds; clear refusals.
// Owns:   nothing while the pipeline runs: the journal stage writes the superblock by the rules of
// this package.
// Limits: the content of a superblock copy is SuperblockContentBytes (4 KiB); the rest of the copy
// is reserve. The superblock stores fixed sizes, which must equal the server's.
// Faults: up to two damaged copies are rewritten at open; three are refused, as is another format
// version or a fork.
// Source: consensus, 8.4; design, section 4.
package datafile
