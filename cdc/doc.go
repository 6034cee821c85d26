// Package cdc is change data capture: it copies the change events of a server, in their order,
// without a gap, to a sink.
//
//	server --get_change_events--> [job] --lines--> [file] --fsync--> disk
//	          ^                                      |
//	          '--- after the last whole line <-------'
//
// In:     events, at most one reply at a time.
// Out:    one JSON object per event and line, in the form of the reference's messages.
// Owns:   the file, under a lock, while the job runs.
// Limits: one batch of events in memory; lines of at most lineBytesMax.
// Faults: what was written and not synced is cut off and written again, so a crash leaves no gap
// and no duplicate in a file. A sink that fails is tried again with growing pauses. A server that
// does not answer is waited for.
// Source: docs/cdc.md; specification, "Accounting", 10.
package cdc
