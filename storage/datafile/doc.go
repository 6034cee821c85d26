// Package datafile is the layout of a replica's data file: its zones, its superblock, and the
// format of an empty file.
//
//	| superblock: 4 copies | log twins | log prepares | padding | grid ... |
//
// In:     a ports.File; the content of a superblock (type Superblock).
// Out:    a formatted file; the superblock that a quorum of copies holds; clear refusals.
// Owns:   nothing while the pipeline runs. Then the journal stage writes the superblock, by the
// rules of this package.
// Limits: the content of a superblock copy is SuperblockContentBytes (4 KiB); the rest of the copy
// is reserved. The superblock stores fixed sizes, which must equal the server's.
// Faults: up to two damaged copies are rewritten at open. With three damaged copies, the file is
// refused. Another format version and a fork are refused too.
// Source: consensus, 8.4; design, section 4.
package datafile
