package accounting

import "ledger/wire"

// ReadsHistory tells whether an operation reads nothing that later requests change. Rows of
// transfers and of expiries never change, nor does what an account was created with. Such a request
// has the same result at any later time, if what has come since is left out.
func ReadsHistory(operation wire.Operation) bool {
	switch operation {
	case wire.OperationGetAccountTransfers, wire.OperationGetAccountTransfersUnbatched,
		wire.OperationGetAccountBalances, wire.OperationGetAccountBalancesUnbatched,
		wire.OperationQueryTransfers, wire.OperationQueryTransfersUnbatched, wire.OperationGetChangeEvents:
		return true
	}
	return false
}

// ConditionsMax is the largest number of values that a filter of a request names, for an operation
// of ReadsHistory. With one or none, the number of rows bounds the work.
func ConditionsMax(operation wire.Operation, body []byte) (most int) {
	batches := wire.RequestBatches(operation, body)
	for events, ok := batches.Next(); ok; events, ok = batches.Next() {
		switch operation {
		case wire.OperationGetChangeEvents:
		case wire.OperationQueryTransfers, wire.OperationQueryTransfersUnbatched:
			f := &view[QueryFilter](events)[0]
			most = max(most, fieldsNamed(f.UserData128, f.UserData64, f.UserData32, f.Code)+named(f.Ledger != 0))
		default:
			f := &view[AccountFilter](events)[0]
			most = max(most, 1+fieldsNamed(f.UserData128, f.UserData64, f.UserData32, f.Code))
		}
	}
	return most
}

func fieldsNamed(userData128 U128, userData64 uint64, userData32 uint32, code uint16) int {
	return named(!userData128.IsZero()) + named(userData64 != 0) + named(userData32 != 0) + named(code != 0)
}

func named(is bool) int {
	if is {
		return 1
	}
	return 0
}
