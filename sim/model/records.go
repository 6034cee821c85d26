package model

import "encoding/binary"

var little = binary.LittleEndian

// Account is one account. Source: wire protocol, 7.1.
type Account struct {
	ID             Number
	DebitsPending  Number
	DebitsPosted   Number
	CreditsPending Number
	CreditsPosted  Number
	UserData128    Number
	UserData64     uint64
	UserData32     uint32
	Reserved       uint32
	Ledger         uint32
	Code           uint16
	Flags          uint16
	Timestamp      uint64
}

// Bits of Account.Flags.
const (
	AccountLinked = 1 << iota
	AccountDebitsMustNotExceedCredits
	AccountCreditsMustNotExceedDebits
	AccountHistory
	AccountImported
	AccountClosed
	accountFlagsReserved = 0xffff &^ (1<<6 - 1)
)

// AccountAt decodes 128 bytes.
func AccountAt(b []byte) Account {
	return Account{
		ID:             NumberAt(b[0:]),
		DebitsPending:  NumberAt(b[16:]),
		DebitsPosted:   NumberAt(b[32:]),
		CreditsPending: NumberAt(b[48:]),
		CreditsPosted:  NumberAt(b[64:]),
		UserData128:    NumberAt(b[80:]),
		UserData64:     little.Uint64(b[96:]),
		UserData32:     little.Uint32(b[104:]),
		Reserved:       little.Uint32(b[108:]),
		Ledger:         little.Uint32(b[112:]),
		Code:           little.Uint16(b[116:]),
		Flags:          little.Uint16(b[118:]),
		Timestamp:      little.Uint64(b[120:]),
	}
}

// Append encodes a as 128 bytes.
func (a *Account) Append(out []byte) []byte {
	var b [128]byte
	a.ID.Put(b[0:])
	a.DebitsPending.Put(b[16:])
	a.DebitsPosted.Put(b[32:])
	a.CreditsPending.Put(b[48:])
	a.CreditsPosted.Put(b[64:])
	a.UserData128.Put(b[80:])
	little.PutUint64(b[96:], a.UserData64)
	little.PutUint32(b[104:], a.UserData32)
	little.PutUint32(b[108:], a.Reserved)
	little.PutUint32(b[112:], a.Ledger)
	little.PutUint16(b[116:], a.Code)
	little.PutUint16(b[118:], a.Flags)
	little.PutUint64(b[120:], a.Timestamp)
	return append(out, b[:]...)
}

// Transfer is one transfer. Source: wire protocol, 7.2.
type Transfer struct {
	ID              Number
	DebitAccountID  Number
	CreditAccountID Number
	Amount          Number
	PendingID       Number
	UserData128     Number
	UserData64      uint64
	UserData32      uint32
	Timeout         uint32 // seconds
	Ledger          uint32
	Code            uint16
	Flags           uint16
	Timestamp       uint64
}

// Bits of Transfer.Flags.
const (
	TransferLinked = 1 << iota
	TransferPending
	TransferPostPending
	TransferVoidPending
	TransferBalancingDebit
	TransferBalancingCredit
	TransferClosingDebit
	TransferClosingCredit
	TransferImported
	transferFlagsReserved = 0xffff &^ (1<<9 - 1)
)

// TransferAt decodes 128 bytes.
func TransferAt(b []byte) Transfer {
	return Transfer{
		ID:              NumberAt(b[0:]),
		DebitAccountID:  NumberAt(b[16:]),
		CreditAccountID: NumberAt(b[32:]),
		Amount:          NumberAt(b[48:]),
		PendingID:       NumberAt(b[64:]),
		UserData128:     NumberAt(b[80:]),
		UserData64:      little.Uint64(b[96:]),
		UserData32:      little.Uint32(b[104:]),
		Timeout:         little.Uint32(b[108:]),
		Ledger:          little.Uint32(b[112:]),
		Code:            little.Uint16(b[116:]),
		Flags:           little.Uint16(b[118:]),
		Timestamp:       little.Uint64(b[120:]),
	}
}

// Append encodes t as 128 bytes.
func (t *Transfer) Append(out []byte) []byte {
	var b [128]byte
	t.ID.Put(b[0:])
	t.DebitAccountID.Put(b[16:])
	t.CreditAccountID.Put(b[32:])
	t.Amount.Put(b[48:])
	t.PendingID.Put(b[64:])
	t.UserData128.Put(b[80:])
	little.PutUint64(b[96:], t.UserData64)
	little.PutUint32(b[104:], t.UserData32)
	little.PutUint32(b[108:], t.Timeout)
	little.PutUint32(b[112:], t.Ledger)
	little.PutUint16(b[116:], t.Code)
	little.PutUint16(b[118:], t.Flags)
	little.PutUint64(b[120:], t.Timestamp)
	return append(out, b[:]...)
}

// AccountFilter of get_account_transfers and get_account_balances. Source: wire protocol, 7.5.
type AccountFilter struct {
	AccountID    Number
	UserData128  Number
	UserData64   uint64
	UserData32   uint32
	Code         uint16
	Reserved     [58]byte
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        uint32
}

// Bits of AccountFilter.Flags.
const (
	FilterDebits = 1 << iota
	FilterCredits
	FilterReversed
)

// AccountFilterAt decodes 128 bytes.
func AccountFilterAt(b []byte) AccountFilter {
	return AccountFilter{
		AccountID:    NumberAt(b[0:]),
		UserData128:  NumberAt(b[16:]),
		UserData64:   little.Uint64(b[32:]),
		UserData32:   little.Uint32(b[40:]),
		Code:         little.Uint16(b[44:]),
		Reserved:     [58]byte(b[46:104]),
		TimestampMin: little.Uint64(b[104:]),
		TimestampMax: little.Uint64(b[112:]),
		Limit:        little.Uint32(b[120:]),
		Flags:        little.Uint32(b[124:]),
	}
}

// Append encodes f as 128 bytes.
func (f *AccountFilter) Append(out []byte) []byte {
	var b [128]byte
	f.AccountID.Put(b[0:])
	f.UserData128.Put(b[16:])
	little.PutUint64(b[32:], f.UserData64)
	little.PutUint32(b[40:], f.UserData32)
	little.PutUint16(b[44:], f.Code)
	copy(b[46:], f.Reserved[:])
	little.PutUint64(b[104:], f.TimestampMin)
	little.PutUint64(b[112:], f.TimestampMax)
	little.PutUint32(b[120:], f.Limit)
	little.PutUint32(b[124:], f.Flags)
	return append(out, b[:]...)
}

// QueryFilter of query_accounts and query_transfers. Source: wire protocol, 7.7.
type QueryFilter struct {
	UserData128  Number
	UserData64   uint64
	UserData32   uint32
	Ledger       uint32
	Code         uint16
	Reserved     [6]byte
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        uint32
}

// QueryReversed is the only bit of QueryFilter.Flags.
const QueryReversed = 1

// QueryFilterAt decodes 64 bytes.
func QueryFilterAt(b []byte) QueryFilter {
	return QueryFilter{
		UserData128:  NumberAt(b[0:]),
		UserData64:   little.Uint64(b[16:]),
		UserData32:   little.Uint32(b[24:]),
		Ledger:       little.Uint32(b[28:]),
		Code:         little.Uint16(b[32:]),
		Reserved:     [6]byte(b[34:40]),
		TimestampMin: little.Uint64(b[40:]),
		TimestampMax: little.Uint64(b[48:]),
		Limit:        little.Uint32(b[56:]),
		Flags:        little.Uint32(b[60:]),
	}
}

// Append encodes f as 64 bytes.
func (f *QueryFilter) Append(out []byte) []byte {
	var b [64]byte
	f.UserData128.Put(b[0:])
	little.PutUint64(b[16:], f.UserData64)
	little.PutUint32(b[24:], f.UserData32)
	little.PutUint32(b[28:], f.Ledger)
	little.PutUint16(b[32:], f.Code)
	copy(b[34:], f.Reserved[:])
	little.PutUint64(b[40:], f.TimestampMin)
	little.PutUint64(b[48:], f.TimestampMax)
	little.PutUint32(b[56:], f.Limit)
	little.PutUint32(b[60:], f.Flags)
	return append(out, b[:]...)
}

// ChangesFilter of get_change_events. Source: wire protocol, 7.8.
type ChangesFilter struct {
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Reserved     [44]byte
}

// ChangesFilterAt decodes 64 bytes.
func ChangesFilterAt(b []byte) ChangesFilter {
	return ChangesFilter{
		TimestampMin: little.Uint64(b[0:]),
		TimestampMax: little.Uint64(b[8:]),
		Limit:        little.Uint32(b[16:]),
		Reserved:     [44]byte(b[20:64]),
	}
}

// Append encodes f as 64 bytes.
func (f *ChangesFilter) Append(out []byte) []byte {
	var b [64]byte
	little.PutUint64(b[0:], f.TimestampMin)
	little.PutUint64(b[8:], f.TimestampMax)
	little.PutUint32(b[16:], f.Limit)
	copy(b[20:], f.Reserved[:])
	return append(out, b[:]...)
}

// The kinds of an event row. Source: accounting, 10.2.
const (
	EventSinglePhase = iota
	EventPending
	EventPosted
	EventVoided
	EventExpired
)

// event is one row of get_change_events, with both accounts as they were right after it.
type event struct {
	Timestamp uint64
	Kind      uint8
	Transfer  *Transfer // of an expiry: the pending transfer
	Debit     Account
	Credit    Account
}

// appendChange encodes e as the 384 bytes of a change event. Source: wire protocol, 7.8;
// accounting, 10.2.
func (e *event) appendChange(out []byte) []byte {
	var b [384]byte
	t := e.Transfer
	t.ID.Put(b[0:])
	t.Amount.Put(b[16:])
	t.PendingID.Put(b[32:])
	t.UserData128.Put(b[48:])
	little.PutUint64(b[64:], t.UserData64)
	little.PutUint32(b[72:], t.UserData32)
	little.PutUint32(b[76:], t.Timeout)
	little.PutUint16(b[80:], t.Code)
	little.PutUint16(b[82:], t.Flags)
	little.PutUint32(b[84:], t.Ledger)
	b[88] = e.Kind
	for i, a := range []*Account{&e.Debit, &e.Credit} {
		side := b[128+112*i:]
		a.ID.Put(side[0:])
		a.DebitsPending.Put(side[16:])
		a.DebitsPosted.Put(side[32:])
		a.CreditsPending.Put(side[48:])
		a.CreditsPosted.Put(side[64:])
		a.UserData128.Put(side[80:])
		little.PutUint64(side[96:], a.UserData64)
		little.PutUint32(side[104:], a.UserData32)
		little.PutUint16(side[108:], a.Code)
		little.PutUint16(side[110:], a.Flags)
	}
	little.PutUint64(b[352:], e.Timestamp)
	little.PutUint64(b[360:], t.Timestamp)
	little.PutUint64(b[368:], e.Debit.Timestamp)
	little.PutUint64(b[376:], e.Credit.Timestamp)
	return append(out, b[:]...)
}

// appendBalance encodes the balances of a at timestamp as 128 bytes. Source: wire protocol, 7.6.
func appendBalance(out []byte, a *Account, timestamp uint64) []byte {
	var b [128]byte
	a.DebitsPending.Put(b[0:])
	a.DebitsPosted.Put(b[16:])
	a.CreditsPending.Put(b[32:])
	a.CreditsPosted.Put(b[48:])
	little.PutUint64(b[64:], timestamp)
	return append(out, b[:]...)
}
