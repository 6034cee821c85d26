// Package apply executes committed ops in log order, and the part of the background work that is
// bound to ops.
//
//	            commit(op), sessions                      page reads
//	consensus -----------------------> [apply] <----------------------> data file
//	          <-----------------------   |  ^
//	           committed, checkpoint     v  | jobs, checkpoint: the same back, with results
//	                                   compact
//
// The work is straight-line code on a coroutine. It opens the checkpoint first: trailers, filters
// of tables, carried rows. Then requests run one after the other. In the background, a bit in each
// step, the ids of the checkpoint's runs are added to the filter of all ids. After the last op of a
// bar follow the steps that docs/design/storage.md lists under "One bar". The coroutine is
// suspended when a page, a generation, the sessions or a checkpoint is missing, and after every few
// hundred events.
//
// Apply is the only stage that reads from the disk inside a step: its grid submits page reads to
// the disk port and polls their completions. The reason is that a query follows thousands of
// references from page to page. To carry each of them through Step, as an event and an action,
// would add work per page. The step stays deterministic, because address and checksum determine the
// content of a page. The time of its arrival changes only how long the coroutine waits.
//
// In:     EventCommit, ops in order without gaps; EventSequenced, a hint for an op that may still
// be dropped (a single replica commits its ops at once, so its consensus sends none); EventSessions
// after a trigger op; EventDurable; EventJob and EventCheckpoint, done by a worker of compact.
// Out:    ApplyCommitted, in op order; ApplySequencedDone; ApplyCheckpointReady; ApplyFault, once;
// jobs and checkpoints for the workers of compact.
// Owns:   the forest, the grid's cache and its reads. It reads prepare slots and writes reply slots
// from EventCommit to ApplyCommitted. It reads a sequenced prepare's slot only within the step that
// takes EventSequenced in: the forest copies the keys. It lends the sessions' memory to compact
// until ApplyCheckpointReady.
// Limits: commitsMax ops wait at a time; one generation and one checkpoint are out at a time; the
// table of wanted blocks has room for stages.BlocksWantedMax.
// Faults: in a cluster of several, a block that cannot be read becomes ApplyBlockWanted, and the
// work waits; see wants.go. Damage in a single replica, a failing write and a full disk become
// ApplyFault. The work is never resumed, and nothing is said after it but what concerns blocks of
// other replicas.
// Source: design, sections 3 and 4; docs/design/storage.md, "One bar".
package apply
