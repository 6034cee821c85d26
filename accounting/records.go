package accounting

import (
	"unsafe"

	"ledger/internal/assert"
)

// TimestampMax is the largest valid timestamp; the smallest is 1.
const TimestampMax uint64 = 1<<63 - 1

// CreateResult is the answer to one create event: 16 bytes on the wire. Source: wire protocol, 7.3.
type CreateResult struct {
	Timestamp uint64
	Status    uint32 // AccountStatus or TransferStatus
	Reserved  uint32
}

// SparseResult is the answer to one failed create event of an old client. Source: wire protocol,
// 7.4.
type SparseResult struct {
	Index  uint32 // in its batch
	Status uint32
}

// AccountFilter asks for the transfers or balances of one account. Source: wire protocol, 7.5.
type AccountFilter struct {
	AccountID    U128
	UserData128  U128
	UserData64   uint64
	UserData32   uint32
	Code         uint16
	Reserved     [58]byte
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        AccountFilterFlags
}

// AccountFilterFlags of an AccountFilter.
type AccountFilterFlags uint32

const (
	FilterDebits AccountFilterFlags = 1 << iota
	FilterCredits
	FilterReversed
	filterFlagsUnknown = ^(AccountFilterFlags(1)<<iota - 1)
)

// AccountBalance is one row of get_account_balances. Source: wire protocol, 7.6.
type AccountBalance struct {
	DebitsPending  U128
	DebitsPosted   U128
	CreditsPending U128
	CreditsPosted  U128
	Timestamp      uint64
	Reserved       [56]byte
}

// QueryFilter asks for accounts or transfers by their fields. Source: wire protocol, 7.7.
type QueryFilter struct {
	UserData128  U128
	UserData64   uint64
	UserData32   uint32
	Ledger       uint32
	Code         uint16
	Reserved     [6]byte
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        QueryFilterFlags
}

// QueryFilterFlags of a QueryFilter.
type QueryFilterFlags uint32

const (
	QueryReversed     QueryFilterFlags = 1 << iota
	queryFlagsUnknown                  = ^(QueryFilterFlags(1)<<iota - 1)
)

// ChangeEventsFilter asks for change events. Source: wire protocol, 7.8.
type ChangeEventsFilter struct {
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Reserved     [44]byte
}

// ChangeEvent is one row of get_change_events. Source: wire protocol, 7.8.
type ChangeEvent struct {
	TransferID          U128
	TransferAmount      U128
	TransferPendingID   U128
	TransferUserData128 U128
	TransferUserData64  uint64
	TransferUserData32  uint32
	TransferTimeout     uint32
	TransferCode        uint16
	TransferFlags       TransferFlags
	Ledger              uint32
	Type                EventType
	Reserved            [39]byte

	DebitAccountID             U128
	DebitAccountDebitsPending  U128
	DebitAccountDebitsPosted   U128
	DebitAccountCreditsPending U128
	DebitAccountCreditsPosted  U128
	DebitAccountUserData128    U128
	DebitAccountUserData64     uint64
	DebitAccountUserData32     uint32
	DebitAccountCode           uint16
	DebitAccountFlags          AccountFlags

	CreditAccountID             U128
	CreditAccountDebitsPending  U128
	CreditAccountDebitsPosted   U128
	CreditAccountCreditsPending U128
	CreditAccountCreditsPosted  U128
	CreditAccountUserData128    U128
	CreditAccountUserData64     uint64
	CreditAccountUserData32     uint32
	CreditAccountCode           uint16
	CreditAccountFlags          AccountFlags

	Timestamp              uint64
	TransferTimestamp      uint64
	DebitAccountTimestamp  uint64
	CreditAccountTimestamp uint64
}

// createEvent is the common part of an account and a transfer: flags and timestamp. The batch loop
// reads no other field.
type createEvent struct {
	_         [118]byte
	Flags     uint16
	Timestamp uint64
}

const eventLinked = uint16(AccountLinked)

// Each line fails to compile when its claim is false.
var (
	_ [16]byte  = [unsafe.Sizeof(CreateResult{})]byte{}
	_ [8]byte   = [unsafe.Sizeof(SparseResult{})]byte{}
	_ [128]byte = [unsafe.Sizeof(AccountFilter{})]byte{}
	_ [128]byte = [unsafe.Sizeof(AccountBalance{})]byte{}
	_ [64]byte  = [unsafe.Sizeof(QueryFilter{})]byte{}
	_ [64]byte  = [unsafe.Sizeof(ChangeEventsFilter{})]byte{}
	_ [384]byte = [unsafe.Sizeof(ChangeEvent{})]byte{}
	_ [128]byte = [unsafe.Sizeof(createEvent{})]byte{}
	_ [118]byte = [unsafe.Offsetof(Account{}.Flags)]byte{}
	_ [118]byte = [unsafe.Offsetof(Transfer{}.Flags)]byte{}
	_ [120]byte = [unsafe.Offsetof(Account{}.Timestamp)]byte{}
	_ [120]byte = [unsafe.Offsetof(Transfer{}.Timestamp)]byte{}
	_ [0]byte   = [uint16(TransferLinked) - eventLinked]byte{} // linked is the same bit in both
)

// record is a type of the wire: fixed size, little-endian, no pointers.
type record interface {
	U128 | Account | Transfer | CreateResult | SparseResult | AccountFilter | AccountBalance | QueryFilter |
		ChangeEventsFilter | ChangeEvent | createEvent
}

// view returns bytes as records without copying. An incomplete record at the end is left out. The
// view is valid as long as bytes is.
func view[T record](bytes []byte) []T {
	var one T
	count := len(bytes) / int(unsafe.Sizeof(one))
	if count == 0 {
		return nil
	}
	first := unsafe.Pointer(unsafe.SliceData(bytes))
	assert.That(uintptr(first)%8 == 0, "records are aligned")
	return unsafe.Slice((*T)(first), count)
}
