package accounting

import "ledger/wire"

// Warm tells warmer which keys a request will need. It changes nothing and reads nothing but body,
// which must be valid as for Execute. Requests may be warmed in any order, and any number of times.
func Warm(operation wire.Operation, body []byte, warmer Warmer) {
	if operation.EventBytes() == 0 || operation == wire.OperationRegister {
		return
	}
	batches := wire.RequestBatches(operation, body)
	for events, ok := batches.Next(); ok; events, ok = batches.Next() {
		warmBatch(operation, events, warmer)
	}
}

func warmBatch(operation wire.Operation, events []byte, warmer Warmer) {
	switch operation {
	case wire.OperationCreateAccounts, wire.OperationCreateAccountsSparse, wire.OperationCreateAccountsUnbatched:
		accounts := view[Account](events)
		for i := range accounts {
			warmer.WarmAccount(accounts[i].ID)
		}
	case wire.OperationCreateTransfers, wire.OperationCreateTransfersSparse, wire.OperationCreateTransfersUnbatched:
		transfers := view[Transfer](events)
		for i := range transfers {
			warmTransfer(&transfers[i], warmer)
		}
	case wire.OperationLookupAccounts, wire.OperationLookupAccountsUnbatched:
		for _, id := range view[U128](events) {
			warmer.WarmAccount(id)
		}
	case wire.OperationLookupTransfers, wire.OperationLookupTransfersUnbatched:
		for _, id := range view[U128](events) {
			warmer.WarmTransfer(id)
		}
	case wire.OperationGetAccountTransfers, wire.OperationGetAccountTransfersUnbatched,
		wire.OperationGetAccountBalances, wire.OperationGetAccountBalancesUnbatched:
		filters := view[AccountFilter](events)
		for i := range filters {
			warmer.WarmAccount(filters[i].AccountID)
		}
	}
}

func warmTransfer(transfer *Transfer, warmer Warmer) {
	warmer.WarmTransfer(transfer.ID)
	if transfer.Flags&transferResolving != 0 {
		warmer.WarmPending(transfer.PendingID)
		return
	}
	warmer.WarmAccount(transfer.DebitAccountID)
	warmer.WarmAccount(transfer.CreditAccountID)
}
