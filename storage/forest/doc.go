// Package forest is the state of the accounting rules: memtables in front, trees on disk behind.
//
//	                 accounting.Store                          BarPlan: Generation
//	accounting rules ----------------> filling memtable --seal--> flushing --------> compact
//	                 <---------------- caches, tail, trees <----- BarInstall --------
//	                    pages |  ^                             CheckpointCapture: CheckpointJob
//	                          v  |
//	                          grid
//
// In:     the calls of accounting.Store and accounting.Warmer, on one thread. At the end of each
// bar: BarInstall; at a trigger, CheckpointCapture; at the fixed op behind it, CheckpointDurable;
// then BarPlan. They always come in this order.
// Out:    answers; generations of jobs and checkpoints for compact. The jobs and their addresses
// depend only on the ops. They do not depend on caches, timing, or the limits of this start.
// Owns:   memtables, account cache, manifest (the list of existing tables), free set, filters. A
// generation or a checkpoint job belongs to compact until it comes back. A flushing memtable does
// not change meanwhile.
// Limits: a memtable holds one row less than the seal plus a bar of full ops; runsMax runs per
// level; New reserves all memory.
// Faults: a damaged page, a failing disk and a full data file end in Fault. The caller is never
// resumed, and the replica stops.
// Source: design, section 4; docs/design/storage.md.
package forest
