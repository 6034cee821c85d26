// Package apply executes committed ops and does their share of background work, in log order.
//
//	            commit(op), sessions                      page reads
//	consensus -----------------------> [apply] <----------------------> data file
//	          <-----------------------   |  ^
//	           committed, checkpoint     v  | jobs, checkpoint: the same back, with results
//	                                   compact
//
// The work is straight-line code on a coroutine: requests run one after the other, and after the
// last op of a bar comes what docs/design/storage.md calls one bar. It is suspended where a page, a
// generation, the sessions or a checkpoint is missing, and after every few hundred events.
//
// Apply is the one stage that reads from the disk inside a step: its grid submits page reads to the
// disk port and polls their completions. A query follows thousands of references from page to page,
// and to carry each of them as an event and an action through Step would copy every page reference
// twice. Determinism does not suffer: what a read returns is fixed by its address and checksum, and
// when it arrives changes only how long the coroutine waits.
//
// In:     EventCommit, ops in order without gaps; EventSequenced, a hint (a single replica's ops
// are committed at once, so its consensus gives none); EventSessions after a trigger op;
// EventDurable; EventJob and EventCheckpoint, done by a worker of compact.
// Out:    ApplyCommitted, in op order; ApplyCheckpointReady; ApplyFault, once; jobs and checkpoints
// for the workers of compact.
// Owns:   the forest, the grid's cache and its reads. It reads prepare slots and writes reply slots
// from EventCommit to ApplyCommitted; the sessions' memory is lent to compact until
// ApplyCheckpointReady.
// Limits: commitsMax ops wait at a time; one generation and one checkpoint are out at a time.
// Faults: damage, a failing or a full disk become ApplyFault; the work is never resumed.
// Source: design, sections 3 and 4; docs/design/storage.md, "One bar".
package apply
