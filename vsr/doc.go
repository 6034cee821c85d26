// Package vsr decides what a replica's log is after a crash. It is pure: it knows no clock, file or
// goroutine.
//
//	journal --classified slots--> [vsr.Recover] --decisions, head, uncertain--> journal, consensus
//
// In:     Input, which is what the superblock says, and for each log slot its two copies as the
//
//	journal classified them.
//
// Out:    for each slot a row of the decision table and a verdict; the head; the ops that may lie
//
//	above it.
//
// Owns:   nothing. The caller's memory is used, and kept by nobody.
// Limits: SlotsMax slots. One op above the checkpoint belongs to each slot: the slot stands for it.
// Faults: a log that nobody may go on with becomes a Refusal, which names slot, row and reason.
//
// A single replica has nobody to ask. It gives up one torn entry, that of the op behind the head,
// and refuses whatever else may have been acknowledged. One of several replicas refuses almost
// nothing: a slot that it cannot vouch for is faulty. A faulty op is neither present nor nacked,
// and the others have it.
//
// Source: docs/design/log.md; consensus, 8.3.
package vsr
