// Package oracle decides what a cluster has committed, from what its replicas have on disk and have
// said, and never from what they believe.
//
//	disks: prepare durable -------> [Oracle] --> committed ops, in order
//	       superblock durable ---->    ^
//	network: prepare_ok leaves --------'
//
// An op is committed when q_r replicas have acknowledged it in one view, and the op before it,
// which it names as its parent, is committed. A backup acknowledges by a prepare_ok that leaves it.
// The primary acknowledges by having the prepare on disk while that view is durable there as view
// and log view. A quorum for an op says nothing about the op below, because a backup may
// acknowledge over a gap.
//
// Blocks is the ledger of the grid. It observes every write of a block, and reads the free set of
// every checkpoint. So it knows which block each replica has to write next at an address, which
// blocks a checkpoint names, and on which disks they are whole. It allows a disk to spoil a block
// only if another replica has it.
//
// The package parses messages and prepares by itself, from the tables of docs/design/peer.md and of
// package prepare. It shares no code with what it judges.
//
// In:     prepares that are written; acknowledgements; durable prepares and superblocks.
// Out:    committed prepares in op order; an error if two are committed for one op.
// Owns:   all prepares that were ever written, by checksum.
// Limits: none; it allocates.
// Faults: none of its own.
// Source: consensus, 2.2 and 7; cluster, section 10.
package oracle
