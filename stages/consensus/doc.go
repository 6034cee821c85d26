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
// Owns:   sessions, the pipeline, the queue of requests, view and superblock content, free prepare
// and reply slots; a client's slot from NetMessage until NetFree.
// Limits: PipelineOpsMax prepares; SessionsMax sessions; one request of each client in queue, group
// and pipeline together.
// Budgets, the largest numbers of descriptors that can wait on a ring:
//
//	to net      net.BudgetToNet with ClientsInFlightMax: a message's slot comes back once, a request
//	            leads to one reply, and the reply to a register ends at most one session
//	to journal  1 append, stages.BudgetJournalReads reads (only before the first append),
//	            1 superblock
//	to apply    PipelineOpsMax commits, 1 sessions, 1 checkpoint durable: the next needs apply's
//	            answer to the one before
//
// The actions of a step always fit the room of NewActions.
//
// A reply slot is counted by references: one for the pipeline's entry until it completes, one for
// each session whose last reply lies there, one for each NetSend until its NetSent, and one for
// each session of a snapshot until its checkpoint is on disk. A repeated reply is a copy in the
// client's slot. So a stored reply never changes, and the checkpoint contains it as it was
// executed, in its first view.
//
// Faults: a forbidden message is ignored or answered by an eviction. A Fault of another stage stops
// the replica.
//
// In a cluster of one, a prepare is committed when it is durable here. Only one prepare is written
// at a time, so a torn write can be recognised. Execution may run ahead of the write. Its replies,
// and all other effects that could leave the process, wait for the write.
//
// Source: consensus, 6, 12 and 14; wire protocol, 4; design, section 3.
package consensus
