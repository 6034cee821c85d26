// Package memory is the state of the ledger in plain maps and slices. It is exact and simple, and
// is lost with the process.
//
//	accounting.Machine --accounting.Store--> [Store]
//
// Tests compare the real storage with it. Benchmarks use it to measure the rules alone.
//
// In:     the calls of accounting.Store; rows above every earlier timestamp of their kind.
// Out:    the same answers as any other Store, in the same order. Breathe returns at once.
// Owns:   copies of all records. Records are never removed, so it grows with its content.
// Limits: memory. New reserves it for the expected numbers; beyond these, it allocates.
// Faults: a call that breaks the contract (a write without its object, a nested chain) is a panic.
// Source: accounting.Store; specification, "Accounting state machine", 1.2.
package memory
