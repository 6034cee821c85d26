// Package consensus orders requests, keeps the sessions, and decides when an op is committed.
//
//	          Message            Append, Read, Superblock
//	net ------------------> [consensus] <-----------------> journal
//	    <-- Send, Free ------    ||
//	              Commit, ...    ||    Committed, CheckpointReady
//	                           apply
//
// In:     verified client messages; what became durable; what was executed; checkpoints that are on
// disk.
// Out:    prepares to journal and apply, replies and evictions to net, superblocks to journal.
// Owns:   sessions, the pipeline, the queue of requests, view and superblock content, free prepare
// and reply slots; a client's slot from NetMessage until NetFree.
// Limits: PipelineOpsMax prepares, one request of each client in queue, group and pipeline
// together, SessionsMax sessions.
// Budgets, the most descriptors that can wait on a ring:
//
//	to net      net.BudgetToNet with ClientsInFlightMax: a message's slot comes back once, and a
//	            request leads to one reply
//	to journal  1 append, stages.BudgetJournalReads reads (only before the first append),
//	            1 superblock
//	to apply    PipelineOpsMax commits, 1 sessions, 1 checkpoint durable: the next needs apply's
//	            answer to the one before
//
// A step wants no more than NewActions has room for, whatever happened since the last one.
//
// Reply slots: one reference for the pipeline's entry until it completes, one for each session
// whose last reply lies there, one for each NetSend until its NetSent, one for each session of a
// snapshot until its checkpoint is on disk. A repeated reply is a copy in the client's slot, so a
// stored reply never changes: the checkpoint has it as it was executed, in its first view.
//
// Faults: what a client may not do is ignored or answered by an eviction; a Fault of another stage
// stops the replica.
//
// A cluster of one: a prepare is committed when it is durable here, and one is written at a time,
// which makes a torn write recognisable. Execution may run ahead of the write; its replies, and
// everything else that could leave the process, wait for it.
//
// Source: consensus, 6, 12 and 14; wire protocol, 4; design, section 3.
package consensus
