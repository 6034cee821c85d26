// Package journal makes prepares durable before anyone hears of them, and finds them again.
//
//	consensus --Append, Read, Superblock--> [journal] --Appended, ReadDone, SuperblockDone--> consensus
//	                                         |     ^
//	                                    write|     |written
//	                                         v     |
//	                         log headers, log prepares, superblock (O_DIRECT, O_DSYNC)
//
// In:     stages.JournalAppend with a prepare whose checksums are filled in; JournalRead; JournalSuperblock.
// Out:    JournalAppended once the prepare and its redundant header can survive power loss, in this order; the prepare read
//
//	back and verified; JournalSuperblockDone when at least three of four copies were read back right.
//
// Owns:   the header table "as it is on disk", sector buffers; a slot from Append until Appended.
// Limits: stages.BudgetJournalAppends and BudgetJournalReads in flight, one superblock; one append at a time per header sector.
// Faults: a failing write, or a prepare that reads back wrong, becomes JournalFault: the replica stops. Recover classifies every
//
//	slot at start by the decision table; what one replica cannot repair is refused.
//
// Source: consensus, 8.2 to 8.5 and 14; design, section 3.
package journal
