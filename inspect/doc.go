// Package inspect reads a data file and tells what is in it. It writes nothing.
//
//	ports.File --bytes--> [File] --reports--> text or JSON
//
// In:     a data file at rest, or one that a server uses.
// Out:    a report for each question: superblock, layout, log, checkpoint, tables, a block,
// sessions, the digest of a checkpoint, and everything that is damaged.
// Owns:   its buffers, until Close.
// Limits: the sizes of the file, which its superblock has to agree with.
// Faults: damage is part of a report, never a panic. An error says that there is no report at all.
//
// A server may change the file meanwhile. Damage therefore counts only if it is still there when
// the superblock, and what it names, are read again. A report says that the file changed.
//
// Source: docs/operations.md, "Looking into a data file".
package inspect
