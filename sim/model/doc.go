// Package model is a naive second implementation of everything that clients can observe. The
// simulator judges the server by it.
//
//	committed requests, in log order --> [Server] --> the exact bytes of each reply
//	                                       |  \
//	                                  sessions  Machine (the accounting rules)
//
// It shares no code with the server that it judges. It decodes records field by field. Its state is
// maps and sorted slices. A savepoint is a list of functions that revert changes. Every line
// follows the specification's order, so that it can be checked by reading. It allocates on the heap
// without restraint, and is never part of a server.
//
// In:     committed requests (Committed), or for the Machine alone (operation, timestamp, body).
// Out:    reply frames; an error if the log itself is impossible (a request committed twice, an
// invalid body).
// Owns:   its state. It keeps no reference to its arguments.
// Limits: Limits, the message and request sizes; the number of sessions.
// Faults: none of its own. A broken log is an error, not an assertion.
// Source: accounting (all of it); wire protocol, sections 2 to 7.
package model
