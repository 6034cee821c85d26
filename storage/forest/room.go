package forest

import (
	"ledger/limits"
	"ledger/storage/grid"
	"ledger/wire"
)

// idPagesMax is how many pages an id of a request is asked for ahead of its turn: one of the tree
// of ids, and for a lookup the one of the log that holds the transfer. Accounts have a cache of
// their own; where more of them are in use than it holds, an account that is missing takes pages
// beside these.
const idPagesMax = 2

// CacheGridBytesEnough is the size of the grid cache with which a request of any number of ids
// reads each page once.
//
// Creations and lookups of transfers ask for the pages of all of their ids before the first one is
// used: askIDs does at once, and lookupsAsk gets ahead by some ids at each page that is missing. A
// page that others push out of the cache before its turn is read again when its turn comes, and
// then the request waits for it alone. So the cache has to hold the pages of a full request:
// idPagesMax for each id. In a large file every one of them is in a block of its own, and a page is
// found through its block's header page, so that there have to be as many header pages. Random ids
// are the worst case: ids that follow each other share pages.
func CacheGridBytesEnough(l *limits.Limits) uint64 {
	idsMax := uint32(0)
	for _, operation := range []wire.Operation{
		wire.OperationCreateTransfers, wire.OperationCreateTransfersUnbatched,
		wire.OperationLookupTransfers, wire.OperationLookupTransfersUnbatched,
	} {
		idsMax = max(idsMax, wire.EventsMax(operation, l.RequestBytesMax-limits.HeaderBytes))
	}
	pages := idPagesMax * uint64(idsMax)
	bytes, block := grid.CacheBytes(l, pages, pages), uint64(l.BlockBytes)
	return (bytes + block - 1) / block * block
}
