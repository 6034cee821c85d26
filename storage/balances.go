package storage

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/wire"
)

// BalancesBytes is the size of accounting.Balances in TreeBalances and TreeExpired: four numbers of
// 16 bytes, flags 2.
const BalancesBytes = 66

// PutBalances fills b.
func PutBalances(b []byte, balances *accounting.Balances) {
	balances.DebitsPending.PutBytes(b[0:])
	balances.DebitsPosted.PutBytes(b[16:])
	balances.CreditsPending.PutBytes(b[32:])
	balances.CreditsPosted.PutBytes(b[48:])
	binary.LittleEndian.PutUint16(b[64:], uint16(balances.Flags))
}

// GetBalances is the inverse of PutBalances.
func GetBalances(b []byte, balances *accounting.Balances) {
	u128 := func(b []byte) wire.U128 {
		return wire.U128{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
	}
	balances.DebitsPending, balances.DebitsPosted = u128(b[0:]), u128(b[16:])
	balances.CreditsPending, balances.CreditsPosted = u128(b[32:]), u128(b[48:])
	balances.Flags = accounting.AccountFlags(binary.LittleEndian.Uint16(b[64:]))
}

// Changes are the changes of accounts by the events of a sealed memtable, in order. Change 2i is
// that of row i to its debit account, 2i+1 to its credit account. The changes of expiries follow in
// the same way.
type Changes struct {
	Debits, Credits []uint32 // accounts of rows
	Rows            []accounting.TransferRow
	Expired         []accounting.ExpiredRow
	ExpiredAt       []uint32 // number of rows before each expiry
}

// Count of the changes.
func (c *Changes) Count() int { return 2 * (len(c.Debits) + len(c.Expired)) }

// After is the balances after a change.
func (c *Changes) After(change uint32) *accounting.Balances {
	event, credit := change/2, change%2 != 0
	if event >= uint32(len(c.Rows)) {
		return c.afterExpiry(event-uint32(len(c.Rows)), credit)
	}
	row := &c.Rows[event]
	after := &row.DebitAfter
	if credit {
		after = &row.CreditAfter
	}
	return after
}

func (c *Changes) afterExpiry(expiry uint32, credit bool) *accounting.Balances {
	if credit {
		return &c.Expired[expiry].CreditAfter
	}
	return &c.Expired[expiry].DebitAfter
}
