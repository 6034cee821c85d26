package accounting

import (
	"unsafe"

	"ledger/wire"
)

// U128 is an unsigned 128-bit number: ids, amounts, balances.
type U128 = wire.U128

// Account is one account in its wire form: 128 bytes, little-endian, read and written in place.
// Source: wire protocol, 7.1.
type Account struct {
	ID             U128
	DebitsPending  U128
	DebitsPosted   U128
	CreditsPending U128
	CreditsPosted  U128
	UserData128    U128
	UserData64     uint64
	UserData32     uint32
	Reserved       uint32
	Ledger         uint32
	Code           uint16
	Flags          AccountFlags
	Timestamp      uint64
}

// AccountFlags of an account. Only AccountClosed ever changes after creation.
type AccountFlags uint16

const (
	AccountLinked AccountFlags = 1 << iota
	AccountDebitsMustNotExceedCredits
	AccountCreditsMustNotExceedDebits
	AccountHistory
	AccountImported
	AccountClosed
	accountFlagsUnknown = ^(AccountFlags(1)<<iota - 1)
)

// Transfer is one transfer in its wire form: 128 bytes, little-endian. A stored transfer never
// changes.
// Source: wire protocol, 7.2.
type Transfer struct {
	ID              U128
	DebitAccountID  U128
	CreditAccountID U128
	Amount          U128
	PendingID       U128
	UserData128     U128
	UserData64      uint64
	UserData32      uint32
	Timeout         uint32 // seconds
	Ledger          uint32
	Code            uint16
	Flags           TransferFlags
	Timestamp       uint64
}

// TransferFlags of a transfer.
type TransferFlags uint16

const (
	TransferLinked TransferFlags = 1 << iota
	TransferPending
	TransferPostPending
	TransferVoidPending
	TransferBalancingDebit
	TransferBalancingCredit
	TransferClosingDebit
	TransferClosingCredit
	TransferImported
	transferFlagsUnknown = ^(TransferFlags(1)<<iota - 1)
)

// PendingStatus of a transfer; zero for a transfer that is not pending.
type PendingStatus uint8

const (
	PendingNone PendingStatus = iota
	PendingOpen
	PendingPosted
	PendingVoided
	PendingExpired
)

// AccountOrdinal numbers accounts from 0 in order of commit, without gaps.
type AccountOrdinal uint32

// TransferOrdinal numbers transfers from 0 in order of commit, without gaps. It stays below 2^40.
type TransferOrdinal uint64

// TransferOrdinalMax is the first ordinal that is never used. The store stops before it, as on a
// full disk.
const TransferOrdinalMax TransferOrdinal = 1 << 40

// TransferState is the state of a transfer id.
type TransferState uint8

const (
	TransferAbsent TransferState = iota // the id is free
	TransferExists
	TransferDead // a transient failure has used up the id (accounting, 6.2)
)

// Balances of one account, and its flags, right after an event.
type Balances struct {
	DebitsPending  U128
	DebitsPosted   U128
	CreditsPending U128
	CreditsPosted  U128
	Flags          AccountFlags
	_              [6]byte
}

// TransferRow is a stored transfer with the balances after it: one row of the transfer log.
type TransferRow struct {
	Transfer      Transfer
	DebitAfter    Balances
	CreditAfter   Balances
	DebitOrdinal  AccountOrdinal
	CreditOrdinal AccountOrdinal
}

// ExpiredRow is one expiry: at Timestamp, the amount of the pending transfer Pending was given
// back.
type ExpiredRow struct {
	Timestamp     uint64 // event time of the expiry
	Pending       TransferOrdinal
	DebitAfter    Balances
	CreditAfter   Balances
	DebitOrdinal  AccountOrdinal
	CreditOrdinal AccountOrdinal
}

// EventType is the type of a change event on the wire.
type EventType uint8

const (
	EventSinglePhase EventType = iota
	EventTwoPhasePending
	EventTwoPhasePosted
	EventTwoPhaseVoided
	EventTwoPhaseExpired
)

// EventRow is one row of get_change_events: a transfer, or the expiry of one.
type EventRow struct {
	Timestamp uint64
	Expired   bool
	// Row holds the transfer (of an expiry: the pending one) with the balances after the event.
	Row TransferRow
}

var (
	_ [128]byte = [unsafe.Sizeof(Account{})]byte{}  // an account has its wire size
	_ [128]byte = [unsafe.Sizeof(Transfer{})]byte{} // a transfer has its wire size
)
