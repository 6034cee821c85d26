// Package rowlog packs the rows of the transfer log into blocks. A row is a transfer and the
// balances of both accounts after it.
//
//	rows in order of ordinal --Builder--> pages --block.Seal--> a storage.Table of full rows
//	header page + one page --Shape: PageFind, Read, SearchStamp--> rows
//
// Encoder 1 works by row and writes in this order:
//
//   - the distance of the timestamp;
//   - a word with the length of each field, and the fields that repeat the previous row's;
//   - the id, as a distance or whole;
//   - the ordinals of the accounts, in place of their ids;
//   - amount, user data and code without leading zeros;
//   - a mask and the lengths of the eight balances, and the balances.
//
// Every 16th row is encoded without reference to the previous one. An array with the offsets of
// these rows ends the page. A row with random ids and user data takes about 57 bytes, and its
// balances 20 more.
//
// In:     rows with ascending ordinals without gaps and ascending timestamps; header pages and
// pages that were verified.
// Out:    blocks and their storage.Table; rows whose DebitAccountID and CreditAccountID are zero,
// because a row has the ordinals instead.
// Owns:   nothing: builder and readers work in the caller's memory and do not allocate.
// Limits: page and block size; a row takes at most 256 bytes.
// Faults: none of the disk's. A page of an unknown encoder is a mistake of ours, because the format
// version guards the file.
// Source: design, section 4, "Objects" and "History"; docs/design/storage.md, "Rows that do not
// fill a block".
package rowlog
