// Package replica builds the five stages of one replica and the rings between them, from limits and
// ports.
//
//	Open:  superblock, log and checkpoint -> the recovered state        (synchronous)
//	New:   slots, rings, stages, drivers                                (nothing runs yet)
//	Run:   threads that take turns over drivers                         (the simulator calls Turn)
//
// In:     limits.Limits, a ports.DataFile for recovery, the ports of each stage.
// Out:    drivers in order of the stages; a fault that stops the replica.
// Owns:   all memory and rings.
// Limits: rings are longer than their edges' budgets, so a push never fails.
// Faults: Open refuses damage that a single replica cannot repair, with an error that names it.
// Source: design, section 2 and 4.
package replica
