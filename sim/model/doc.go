// Package model is a naive second implementation of what clients may observe: the judge of the
// simulator.
//
//	committed requests, in log order --> [Server] --> the exact bytes of each reply
//	                                       |  \
//	                                  sessions  Machine (the accounting rules)
//
// It shares no code with the server it judges: records are decoded field by field, state is maps
// and sorted slices, a savepoint is a list of functions that put things back. Every line follows
// the specification's order, so that it can be checked by reading. It allocates freely, on the
// heap, and is never part of a server.
//
// In:     committed requests (Committed), or for the Machine alone (operation, timestamp, body).
// Out:    reply frames; an error if the log itself is impossible (a request committed twice, an
// invalid body).
// Owns:   its state. It keeps no reference to what it is given.
// Limits: Limits, the message and request sizes; the number of sessions.
// Faults: none of its own; a broken log is reported, not asserted.
// Source: accounting (all of it); wire protocol, sections 2 to 7.
package model
