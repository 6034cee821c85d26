// Package consensus orders requests, keeps the sessions, and decides when an op is committed.
//
//	          Message            Append, Read, Superblock
//	net ------------------> [consensus] <-----------------> journal
//	    <- Send, Free, ... --    ||
//	              Commit, ...    ||    Committed, CheckpointReady
//	                           apply
//
// In:     verified client messages; appends that are durable; ops that are executed; checkpoints
// that are on disk.
// Out:    prepares to journal and apply, replies and evictions to net, superblocks to journal.
// Owns:   sessions, the log's headers, pipeline and commit queue, the queue of requests, view and
// superblock content, free prepare and reply slots; a client's slot from NetMessage until NetFree.
// Limits: PipelineOpsMax prepares, and in a cluster as many that are executed behind them;
// SessionsMax sessions; one request of each client in queue, group and pipeline together.
// Budgets, the largest numbers of descriptors that can wait on a ring:
//
//	to net      net.BudgetToNet with ClientsInFlightMax: a message's slot comes back once, a request
//	            leads to one reply, and the reply to a register ends at most one session
//	to journal  1 append, stages.BudgetJournalReads reads (only until clients are served),
//	            1 superblock
//	to apply    PipelineOpsMax commits, 1 sessions, 1 checkpoint durable: the next needs apply's
//	            answer to the one before
//
// The actions of a step always fit the room of NewActions.
//
// The life of a request, and the files that have its parts:
//
//	admission -> queue -> sequence -+-> log, pipeline --> journal: written --+
//	   |           |                |                                        v
//	 inflight    timers             +-> commits --> apply: executed --> complete (commit)
//	                                      ^                                  |
//	                          load: the log of a start         sessions, replies, snapshot
//
// A request that comes before a single replica serves waits (early) and is admitted then.
//
// The holders of each slot are counted (slots). A repeated reply is a copy in the client's slot. So
// a stored reply never changes, and the checkpoint contains it as it was executed, in its first
// view.
//
// Each part is a struct with methods, in a file of its own, and only that file uses its fields
// (internal/lint holds it). A struct without methods is a record that any file may read.
//
// Faults: a forbidden message is ignored or answered by an eviction. A Fault of another stage stops
// the replica.
//
// In a cluster, ops are committed by a quorum. net also brings messages of other replicas, which
// stay in their slots from NetPeerMessage until NetFree:
//
//	prepare (append) -> log, recent -> journal -> ack -> primary's pipeline -> commit_max
//	                                                                              |
//	                                   apply <- commits <- pull (recent, log) <---+
//	leave -> join (ballots, choice) or follow (start_view) -> a view's log; repair fills it
//
// The files of testdata/scripts play this step by step.
//
// In a cluster of one, a prepare is committed when it is durable here. Only one prepare is written
// at a time, so a torn write can be recognised. Execution may run ahead of the write. Its replies,
// and all other effects that could leave the process, wait for the write.
//
// Source: consensus, 6, 12 and 14; wire protocol, 4; design, section 3.
package consensus
