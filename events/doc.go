// Package events is the server's log: what happened, as values with typed fields, written as lines
// by one goroutine.
//
//	stage threads --Log.ConnectionClosed, ...--> bounded queue --> one goroutine --> stderr,
//	                                                                                 text or JSON
//
// In:     one call of a Log's method for each event, from any thread.
// Out:    a line for each event, with time and level, in the order of the queue.
// Owns:   the queue's cells, each with room for one event of every type, made by New.
// Limits: QueueEvents events wait at most; a line that finds the queue full is counted and lost.
// Faults: a stream that is full, closed or without a reader costs lines and nothing else: the
// goroutine waits alone, and when it can write again it says how many lines are missing.
//
// # Emitting
//
// A call copies the event into a cell that exists already: no allocation, no lock, no system call
// on the stream. A string in an event must be a constant or be kept by somebody else, because only
// its header is copied. All methods work on a nil *Log, which drops everything; the simulator uses
// it.
//
// # A new type of event
//
// list.go has them all: add a struct with the methods Level, Name, Text and Fields, a method of Log
// that emits it, a Kind, and a line in newCell. docs/operations.md lists what operators see.
package events
