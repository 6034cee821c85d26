// Package rowlog packs the rows of the transfer log into blocks: a transfer and the balances of
// both accounts after it.
//
//	rows in order of ordinal --Builder--> pages --block.Seal--> a storage.Table of full rows
//	header page + one page --Shape: PageFind, Read, SearchStamp--> rows
//
// Encoder 1, by row: the distance of the timestamp; a word that says how long each field is and
// which repeat those of the row before; the id as distance or whole; the ordinals of the accounts
// for their ids; what is left of amount, user data and code without leading zeros; a mask and the
// lengths of the eight balances, and those. Every 16th row stands alone, and an array of the
// offsets of these ends the page. Random ids and user data take about 57 bytes, and the balances 20
// more.
//
// In:     rows with ascending ordinals without gaps and ascending timestamps; header pages and
// pages that were verified.
// Out:    blocks and their storage.Table; rows whose DebitAccountID and CreditAccountID are zero:
// the ordinals stand for them.
// Owns:   nothing: builder and readers work in the caller's memory and do not allocate.
// Limits: page and block size; a row takes at most 256 bytes.
// Faults: none of the disk's. A page of an unknown encoder is a mistake of ours (the format version
// guards the file).
// Source: design, section 4, "Objects" and "History"; docs/design/storage.md, "Rows that do not
// fill a block".
package rowlog
