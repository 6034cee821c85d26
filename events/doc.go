// Package events is the server's log. Events are values with typed fields, which one goroutine
// writes as lines.
//
//	stage threads --Log.ConnectionClosed, ...--> bounded queue --> one goroutine --> stderr,
//	                                                                                 text or JSON
//
// In:     one call of a Log's method for each event, from any thread.
// Out:    a line for each event, with time and level, in the order of the queue.
// Owns:   the queue's cells, each with room for one event of every type, made by New.
// Limits: at most QueueEvents events wait. If the queue is full, an event is counted and lost.
// Faults: a stream that is full, closed or without a reader costs lines and nothing else. Only the
// goroutine waits. When it can write again, it writes the number of missing lines.
//
// # Emitting
//
// A call copies the event into a cell that exists already. It makes no allocation and no system
// call on the stream, and takes no lock. Only the header of a string is copied, so a string in an
// event must be a constant or be kept elsewhere. All methods work on a nil *Log, which drops
// everything; the simulator uses it.
//
// # A new type of event
//
// All types are in list.go. A new one needs a struct with the methods Level, Name, Text and Fields,
// a method of Log that emits it, a Kind, and a line in newCell. docs/operations.md lists the events
// for operators.
package events
