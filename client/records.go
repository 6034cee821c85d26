package client

import (
	"unsafe"

	"ledger/accounting"
	"ledger/wire"
)

// The records of the protocol in their wire form. They are those of the accounting rules, which
// need no server.
type (
	U128               = wire.U128
	Account            = accounting.Account
	AccountFlags       = accounting.AccountFlags
	AccountStatus      = accounting.AccountStatus
	Transfer           = accounting.Transfer
	TransferFlags      = accounting.TransferFlags
	TransferStatus     = accounting.TransferStatus
	AccountFilter      = accounting.AccountFilter
	AccountFilterFlags = accounting.AccountFilterFlags
	AccountBalance     = accounting.AccountBalance
	QueryFilter        = accounting.QueryFilter
	QueryFilterFlags   = accounting.QueryFilterFlags
	ChangeEventsFilter = accounting.ChangeEventsFilter
	ChangeEvent        = accounting.ChangeEvent
)

// CreateAccountResult is the answer to one account of CreateAccounts.
type CreateAccountResult struct {
	Timestamp uint64 // of the account: the new one, or the one that exists
	Status    AccountStatus
	Reserved  uint32
}

// CreateTransferResult is the answer to one transfer of CreateTransfers.
type CreateTransferResult struct {
	Timestamp uint64 // of the transfer: the new one, or the one that exists
	Status    TransferStatus
	Reserved  uint32
}

// Record is what travels: fixed size, little-endian, no pointers.
type Record interface {
	U128 | Account | Transfer | CreateAccountResult | CreateTransferResult | AccountFilter | AccountBalance |
		QueryFilter | ChangeEventsFilter | ChangeEvent
}

// Each line fails to compile when its claim is false.
var (
	_ [wire.CreateResultBytes]byte = [unsafe.Sizeof(CreateAccountResult{})]byte{}
	_ [wire.CreateResultBytes]byte = [unsafe.Sizeof(CreateTransferResult{})]byte{}
	_ [wire.AccountBytes]byte      = [unsafe.Sizeof(Account{})]byte{}
	_ [wire.TransferBytes]byte     = [unsafe.Sizeof(Transfer{})]byte{}
	_ [wire.ChangeEventBytes]byte  = [unsafe.Sizeof(ChangeEvent{})]byte{}
)
