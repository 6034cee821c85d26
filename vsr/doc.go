// Package vsr has the rules by which replicas agree on one log: Viewstamped Replication. It is
// pure: it knows no clock, file, socket or goroutine. Times and random numbers are arguments.
//
//	journal --classified slots--> [Recover] --head, uncertain ops--> consensus
//	consensus --what it knows--> [rules] --may I, which log, when--> consensus
//
// In:     values: what the superblock says, what a slot holds, what peers sent, what time it is.
// Out:    verdicts, choices, and times at which to look again.
// Owns:   nothing but the counters of detectors, budgets and timeouts. The caller's memory is used.
// Limits: SlotsMax slots; each stands for one op above the checkpoint. Only Recover allocates.
// Faults: a log that nobody may go on with becomes a Refusal, which names slot, row and reason.
// What is wrong with a peer's message is said by Check, Refused and Ignored, and never asserted.
// Source: consensus; docs/design/log.md and docs/design/cluster.md.
//
// # The protocol in one page
//
// A cluster has n replicas. Its time is divided into views, and the primary of view v is replica v
// mod n. A client's request becomes a prepare: an entry of the log with a number, its op, and the
// checksum of the header before, its parent. So a head authenticates all that lies below it.
//
// Normal case. The primary sends each prepare to all replicas. A replica writes it to its log and
// acknowledges it (Ack has the rules). When q_r replicas have acknowledged it (Tally), and all
// before it are committed, it is committed: no fault that the cluster survives can take it away any
// more. Replicas execute only what is committed, along the chain from a head that is proven to be
// the log's (Apply).
//
// View change. When nothing is heard of the primary (Detector), or when it hears nobody (Deaf) or
// is too slow (Slow), replicas ask to leave the view: start_view_change. When q_v of them want to,
// each stops acknowledging and tells the next primary what it has: do_view_change (Ballot). q_r +
// q_v > n, so of any q_v replicas one has acknowledged each op that may be committed. The new
// primary chooses the log (Choose), makes it durable, and says so: start_view. A replica that
// follows (Start) has that log from then on; log_view is the last view of which it had the log.
//
//	R0 primary of view 0        R1 primary of view 1         R2
//	     |------- prepare 7 --------->|           (not to R2)  |
//	     |<---------- ack ------------|                        |
//	     x dies                       |                        |
//	                                  |-- start_view_change -->|
//	                                  |<- start_view_change ---|
//	                                  |<-- do_view_change -----|  R2 never had op 7
//	     R1 has op 7, R2 nacks it. One nack is no quorum (q_n = 2), and R1 has a copy: it is kept.
//	                                  |------ start_view ----->|
//	                                  |------ prepare 7 ------>|  as it was; acknowledged in view 1
//
// What must be durable before it is said: the view, before any message of that view; log_view,
// before do_view_change, start_view and acknowledgements; the prepare, before its acknowledgement.
//
// Damage. A slot of the log that cannot be read is faulty. Its op is neither present nor nacked:
// the replica may have acknowledged it, so it must not help to drop it, and the others have it. If
// faulty slots lie above the head, they are uncertain. They are written beside the list of headers
// that a do_view_change carries, and both are frozen until log_view moves.
//
// Repair. Headers are fetched backwards from the head (HeaderGap), each proven by the one above.
// Prepares are fetched forwards (NextPrepare), from the peer that answers fastest (Budget). What
// comes is taken only if the chain proves it (Fill); a newer view proves nothing.
//
// The files of testdata/scripts play all this step by step.
//
// # What a log is after a crash
//
// A single replica has nobody to ask. It gives up one torn entry, that of the op behind the head,
// and refuses whatever else may have been acknowledged. One of several replicas refuses almost
// nothing: a slot that it cannot vouch for is faulty.
package vsr
