// Package journal makes prepares durable before anyone hears of them, and finds them again.
//
//	           Append, Read, Superblock              Appended, ReadDone, SuperblockDone
//	consensus --------------------------> [journal] --------------------------------> consensus
//	                                       |     ^
//	                                  write|     |written
//	                                       v     |
//	                       log twins, log prepares, superblock (O_DIRECT)
//
// In:     stages.JournalAppend with a prepare whose checksums are filled in; JournalRead;
// JournalSuperblock.
// Out:    JournalAppended once the prepare and its twin can survive power loss; JournalReadDone
// with a prepare that was read back and verified, or with the reason why not; JournalSuperblockDone
// when at least three of four copies were read back right.
// Owns:   the table of headers, sector buffers; a slot from Append until Appended, or from Read
// until ReadDone.
// Limits: room for stages.BudgetJournalAppends appends and BudgetJournalReads reads at once, one
// superblock, one write into a log slot, and one sync at a time, which covers all finished writes.
// Consensus sends one append at a time.
// Faults: a failing write or sync becomes JournalFault, and the replica stops. A prepare that does
// not read back right is read from its twin, if that is a whole copy. If that one is not right
// either, the answer says so, and consensus decides. Recover classifies every slot at start by the
// decision table. A fault that one replica cannot repair is refused.
//
// Twins: prepares of up to TwinBytes are written twice in parallel, to the log and to the twin
// ring. One fdatasync makes both durable, or RWF_DSYNC each (always, in a cluster). The twin of a
// larger prepare is its header, which is written after the prepare is durable. In a faulty slot,
// the twin of a small one is as well.
//
// Source: docs/design/log.md; consensus, 8.2 to 8.5 and 14.
package journal
