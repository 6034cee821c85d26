// Package trace writes how each op spent its time to a file that Perfetto and Chrome's
// chrome://tracing open.
//
//	consensus's thread --Put: a copy of the op's record--> channel --> goroutine --> file
//
// In:     the record of each op that ended (metrics.Op), from one thread. Out:    the JSON array
// format of Chrome traces: a process for the replica, a row for each stage and for each op that is
// there at the same time, an event for each part of an op. Owns:   the file, from Start until
// Close. Limits: waitingMax records wait; bytesMax of the file, after which no more is written.
// Faults: a record that finds no room is counted and left out; a write that fails ends the trace.
// Put never waits. The file may lack its end: readers take it as it is. Source: the Trace Event
// Format of Chrome, "JSON Array Format" and "Complete Events".
package trace
