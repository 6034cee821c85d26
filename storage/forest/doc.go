// Package forest is the state of the accounting rules: memtables in front, trees on disk behind. It
// joins the parts and has no access to their fields.
//
//	forest       New, Open and Reset, the order of a bar, checkpoints
//	  query      scans of transfers, accounts and events
//	  rows       memtables, caches, carried tail, row log; reading and writing rows and accounts
//	  expiry     when pending transfers expire
//	  levels     trees of sorted tables, their filters, the plan of flushes and merges
//	  ids        hash tables of ids, the filter of all transfer ids
//	  manifest, keys, pages    the list of tables on disk; keys of the trees; reading pages
//
// # The life of a row
//
//	TransferAppend
//	      |
//	      v            seal                     jobs: rows  --> blocks of the row log
//	filling memtable ------> flushing memtable -----> ids    --> runs of level 0 ---+
//	      |                        |                  values --> runs of level 0 ---+
//	      | rollback               | Install                                        | merges
//	      v                        v                                                v
//	   nothing           carried tail: the rows        runs of level 1 <------------+
//	                     that fill no block            runs of level 2 ...
//
//	row log, runs  <--- named by --- checkpoint at a trigger
//	row log, runs  <--- read by ---- look-ups, queries, expiries
//	replaced block, inputs of a merge ---> free one bar later, or once a later checkpoint is durable
//
// Birth: the rules fill the row that TransferRow returns, and TransferAppend stores it in the
// filling memtable: the row itself, its id in a hash table, and each of its indexed fields in a
// column. It gets the next ordinal, and keeps it for ever. The two accounts were changed before, by
// AccountWrite: in the account cache, with the epoch of this memtable. A pending transfer also gets
// a status, a place in the cache of pending transfers, and an entry in the index of expiries. If
// its chain breaks, the undo log takes all of that back in reverse order.
//
// Flush: at the end of a bar the memtable is sealed if it holds MemtableRowsSeal rows, or if the
// bar ends at a checkpoint op. The other memtable begins to fill. Package levels plans a job for
// the rows and one for each tree that has entries, and reserves the lowest free addresses for their
// outputs. Compact runs the jobs. The sealed memtable does not change and answers as before.
//
// On disk: at the end of the next bar the results are installed. The row now lies in a block of the
// row log, which has all rows in order of ordinals. If it is one of the last rows, which fill no
// block, it is carried in the tail and written with the next flush; before a checkpoint it is
// written in a partial block as well. Its id and its values lie in new runs of level 0, as keys
// behind which stands the ordinal. What the row did to balances lies in the tree of balances, one
// entry for each account that the memtable changed.
//
// Merges: when a level has enough runs, the oldest become one run of the next level, a part of them
// in each bar. The row log is never merged. So an id or a value is written again about once for
// each level, and the row itself never. Runs of ids that only grew are listed one behind the other
// and not even read.
//
// Reading: an id above all others is new. Any other is looked for in the memtables, in the filter
// of all ids and in the tree of ids, which gives the ordinal. The ordinal gives the place: a
// memtable, the tail, or a page of the log. A query finds ordinals by the values' trees up to the
// flushed rows and by the memtables' columns from there on. An event scan walks the log.
//
// Expiry: ExpiryFirst names the next pending transfer that expires. The rules remove it from the
// index, change its status and its accounts, and append an expired row. The transfer's own row
// stays as it is. Removal and status are entries of their trees, newer than those of the transfer,
// until a merge of the oldest runs drops a removal.
//
// Checkpoint: at a trigger, the manifest (the list of all tables) and the free set are captured, as
// of the op of the checkpoint. Everything before the filling memtable is on disk then. After a
// restart from the checkpoint, the log of ops fills the memtable again, and everything happens at
// the same ops and at the same addresses.
//
// End: a row is never deleted. The blocks of its keys end when a merge has read them, and a partial
// block ends with the next flush. A block that no checkpoint ever named is free one bar later. Any
// other waits until a checkpoint that does not name it is durable.
//
// # Contract
//
// In:     the calls of accounting.Store and accounting.Warmer, on one thread. At the end of each
// bar: BarInstall; at a trigger, CheckpointCapture; at the fixed op behind it, CheckpointDurable;
// then BarPlan. They always come in this order.
// Out:    answers; generations of jobs and checkpoints for compact. The jobs and their addresses
// depend only on the ops. They do not depend on caches, timing, or the limits of this start.
// Owns:   its parts, the free set, and the memory of a checkpoint. A generation or a checkpoint job
// belongs to compact until it comes back.
// Limits: those of the parts. New reserves all memory.
// Faults: a damaged page, a failing disk and a full data file end in Fault. The caller is never
// resumed, and the replica stops.
// Source: design, section 4; docs/design/storage.md.
package forest
