package rows

import "ledger/storage"

// Blocks are the full blocks of the log of transfers, in order. The slice is valid until the next
// flush is installed.
func (k Keeper) Blocks() []storage.Table { return k.s.log.tables[:k.s.log.count] }

// Partial is the block that holds the rows behind the full blocks, as of the last checkpoint; of
// address 0: none.
func (k Keeper) Partial() storage.Table { return k.s.log.partial }
