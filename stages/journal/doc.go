// Package journal makes prepares durable before anyone hears of them, and finds them again.
//
//	consensus --Append, Read, Superblock--> [journal] --Appended, ReadDone, SuperblockDone--> consensus
//	                                         |     ^
//	                                    write|     |written
//	                                         v     |
//	                         log twins, log prepares, superblock (O_DIRECT)
//
// In:     stages.JournalAppend with a prepare whose checksums are filled in; JournalRead; JournalSuperblock.
// Out:    JournalAppended once the prepare and its twin can survive power loss; the prepare read back and verified;
//
//	JournalSuperblockDone when at least three of four copies were read back right.
//
// The twin of a prepare of at most TwinBytes is all of it: both are written side by side, and are durable by one sync behind them, or each by itself. The
// twin of a larger one is its header, written when the prepare is durable.
//
// Owns:   the table of headers, sector buffers; a slot from Append until Appended.
// Limits: stages.BudgetJournalAppends and BudgetJournalReads in flight, one superblock; one sync at a time, for all that is written.
// Faults: a failing write or sync, or a prepare that reads back wrong, becomes JournalFault: the replica stops. Recover classifies every
//
//	slot at start by the decision table; what one replica cannot repair is refused.
//
// Source: docs/design/log.md; consensus, 8.2 to 8.5 and 14.
package journal
