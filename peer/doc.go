// Package peer is the protocol between replicas as pure code: bytes and events in, verdicts and
// bytes out. It has no socket, clock or goroutine, and allocates nothing after its constructors.
package peer
