// Package feed copies what a server has, in the order of timestamps and without a gap, to lines of
// text.
//
//	server --query--> [Run] --lines--> [File] --fsync--> disk
//	          ^                          |
//	          '--- after the last whole line
//
// In:     batches of lines, at most one reply of a server at a time.
// Out:    a file that is whole up to its last synced line, or a stream.
// Owns:   the file, under a lock, from OpenFile to Close.
// Limits: one batch in memory; lines of at most LineBytesMax.
// Faults: what was written and not synced is cut off and written again, so a crash leaves no gap
// and no duplicate in a file. A sink that fails is tried again with growing pauses.
// Source: docs/cdc.md, docs/move.md.
package feed
