package rowlog

import (
	"encoding/binary"
	"math/bits"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/wire"
)

// Bits of the word in front of each row. Lengths are in bytes, without leading zeros.
const (
	bitIDDelta     = 0  // the id is a signed distance from that of the previous row, as a varint; else it is whole
	bitPending     = 1  // 2 bits: none, whole, or a distance below the id
	bitUser128     = 3  // 5 bits
	bitUser64      = 8  // 4 bits
	bitUser32      = 12 // 3 bits
	bitCode        = 15 // 2 bits
	bitAmount      = 17 // 5 bits
	bitTimeout     = 22
	bitLedgerSame  = 23
	bitFlags       = 24
	bitDebitFlags  = 25 // as in the previous row
	bitCreditFlags = 26 // as in the previous row
	bitDebit       = 27 // 2 bits: length of the ordinal less one
	bitCredit      = 29 // 2 bits

	pendingWhole = 1
	pendingDelta = 2

	// rowBytesMax: timestamp 10, word 4, ids 32, ordinals 8, amount 16, user data 28, code 2,
	// timeout 5, ledger 5, flags 3 * 3, balances 5 + 128.
	rowBytesMax = 256
)

// before is the values that a row takes from the previous row. The first row of a group takes zeros
// and the page's first timestamp.
type before struct {
	id          wire.U128
	timestamp   uint64
	ledger      uint32
	debitFlags  accounting.AccountFlags
	creditFlags accounting.AccountFlags
}

func (b *before) follow(row *accounting.TransferRow) {
	b.id, b.timestamp, b.ledger = row.Transfer.ID, row.Transfer.Timestamp, row.Transfer.Ledger
	b.debitFlags, b.creditFlags = row.DebitAfter.Flags, row.CreditAfter.Flags
}

func bytesOf(value uint64) int { return (bits.Len64(value) + 7) / 8 }

func bytesOf128(value wire.U128) int {
	if value.Hi != 0 {
		return 8 + bytesOf(value.Hi)
	}
	return bytesOf(value.Lo)
}

// buffer has room for a row and a word behind it. Its methods return the end offset, which so stays
// in a register. A row consists of some twenty pieces.
type buffer [rowBytesMax + 32]byte

func (b *buffer) varint(at int, value uint64) int {
	for value >= 0x80 {
		b[at] = byte(value) | 0x80
		value >>= 7
		at++
	}
	b[at] = byte(value)
	return at + 1
}

func (b *buffer) trimmed(at int, value uint64, length int) int {
	binary.LittleEndian.PutUint64(b[at:], value)
	return at + length
}

func (b *buffer) trimmed128(at int, value wire.U128, length int) int {
	target := b[at : at+16]
	binary.LittleEndian.PutUint64(target, value.Lo)
	binary.LittleEndian.PutUint64(target[8:], value.Hi)
	return at + length
}

func zigzag(value int64) uint64   { return uint64(value)<<1 ^ uint64(value>>63) }
func unzigzag(value uint64) int64 { return int64(value>>1) ^ -int64(value&1) }

// encode writes row at the front of data, relative to the previous row, and returns its length.
func encode(data *buffer, row *accounting.TransferRow, b *before) (length int) {
	t := &row.Transfer
	assert.That(t.Timestamp >= b.timestamp, "timestamps of the rows ascend")
	wordAt := data.varint(0, t.Timestamp-b.timestamp)
	at := wordAt + 4
	var word uint32

	distance, _ := t.ID.Sub(b.id)
	if int64(distance.Hi) == int64(distance.Lo)>>63 {
		word |= 1 << bitIDDelta
		at = data.varint(at, zigzag(int64(distance.Lo)))
	} else {
		at = data.trimmed128(at, t.ID, 16)
	}
	if !t.PendingID.IsZero() {
		below, underflow := t.ID.Sub(t.PendingID)
		if !underflow && below.Hi == 0 {
			word |= pendingDelta << bitPending
			at = data.varint(at, below.Lo)
		} else {
			word |= pendingWhole << bitPending
			at = data.trimmed128(at, t.PendingID, 16)
		}
	}
	debitBytes, creditBytes := max(1, bytesOf(uint64(row.DebitOrdinal))), max(1, bytesOf(uint64(row.CreditOrdinal)))
	word |= uint32(debitBytes-1)<<bitDebit | uint32(creditBytes-1)<<bitCredit
	at = data.trimmed(at, uint64(row.DebitOrdinal), debitBytes)
	at = data.trimmed(at, uint64(row.CreditOrdinal), creditBytes)

	amountBytes, user128Bytes := bytesOf128(t.Amount), bytesOf128(t.UserData128)
	user64Bytes, user32Bytes, codeBytes := bytesOf(t.UserData64), bytesOf(uint64(t.UserData32)), bytesOf(uint64(t.Code))
	word |= uint32(amountBytes)<<bitAmount | uint32(user128Bytes)<<bitUser128 | uint32(user64Bytes)<<bitUser64 |
		uint32(user32Bytes)<<bitUser32 | uint32(codeBytes)<<bitCode
	at = data.trimmed128(at, t.Amount, amountBytes)
	at = data.trimmed128(at, t.UserData128, user128Bytes)
	at = data.trimmed(at, t.UserData64, user64Bytes)
	at = data.trimmed(at, uint64(t.UserData32), user32Bytes)
	at = data.trimmed(at, uint64(t.Code), codeBytes)

	if t.Timeout != 0 {
		word |= 1 << bitTimeout
		at = data.varint(at, uint64(t.Timeout))
	}
	if t.Ledger == b.ledger {
		word |= 1 << bitLedgerSame
	} else {
		at = data.varint(at, uint64(t.Ledger))
	}
	if t.Flags != 0 {
		word |= 1 << bitFlags
		at = data.varint(at, uint64(t.Flags))
	}
	if row.DebitAfter.Flags == b.debitFlags {
		word |= 1 << bitDebitFlags
	} else {
		at = data.varint(at, uint64(row.DebitAfter.Flags))
	}
	if row.CreditAfter.Flags == b.creditFlags {
		word |= 1 << bitCreditFlags
	} else {
		at = data.varint(at, uint64(row.CreditAfter.Flags))
	}
	binary.LittleEndian.PutUint32(data[wordAt:], word)
	return encodeBalances(data, at, row)
}

// listBalances lists the eight balances in their order on disk. It fills a list of the caller. A
// returned list would be copied by loads that are wider than the stores, and such loads stall
// (failed store forwarding).
func listBalances(list *[8]*wire.U128, row *accounting.TransferRow) {
	d, c := &row.DebitAfter, &row.CreditAfter
	list[0], list[1], list[2], list[3] = &d.DebitsPending, &d.DebitsPosted, &d.CreditsPending, &d.CreditsPosted
	list[4], list[5], list[6], list[7] = &c.DebitsPending, &c.DebitsPosted, &c.CreditsPending, &c.CreditsPosted
}

// encodeBalances writes a mask of the balances that are not zero, half a byte for the length of
// each, and their bytes.
func encodeBalances(data *buffer, at int, row *accounting.TransferRow) (end int) {
	var mask byte
	var lengths uint64
	shift := uint(0)
	var balances [8]*wire.U128
	listBalances(&balances, row)
	for i, balance := range &balances {
		if balance.Lo|balance.Hi != 0 {
			mask |= 1 << i
			lengths |= uint64(bytesOf128(*balance)-1) << (shift & 63)
			shift += 4
		}
	}
	data[at] = mask
	at = data.trimmed(at+1, lengths, int(shift+4)/8)
	for ; mask != 0; mask &= mask - 1 {
		at = data.trimmed128(at, *balances[bits.TrailingZeros8(mask)&7], int(lengths&15)+1)
		lengths >>= 4
	}
	return at
}

// reader walks the rows of a page.
type reader struct {
	page []byte
	at   int
}

func (r *reader) varint() (value uint64) {
	for shift := 0; ; shift += 7 {
		b := r.page[r.at]
		r.at++
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
}

func (r *reader) trimmed(length int) (value uint64) {
	data := r.page[r.at:]
	r.at += length
	if len(data) >= 8 {
		return binary.LittleEndian.Uint64(data) & (1<<(8*uint(length)) - 1)
	}
	for i := length - 1; i >= 0; i-- {
		value = value<<8 | uint64(data[i])
	}
	return value
}

func (r *reader) trimmed128(length int) (value wire.U128) {
	if length <= 8 {
		return wire.U128{Lo: r.trimmed(length)}
	}
	value.Lo = r.trimmed(8)
	value.Hi = r.trimmed(length - 8)
	return value
}

// transfer reads the front part of a row, which is everything but the balances. These begin at
// r.at. It advances b.
func (r *reader) transfer(t *accounting.Transfer, b *before) (debit, credit accounting.AccountOrdinal) {
	b.timestamp += r.varint()
	word := binary.LittleEndian.Uint32(r.page[r.at:])
	r.at += 4
	t.Timestamp = b.timestamp
	if word>>bitIDDelta&1 != 0 {
		distance := unzigzag(r.varint())
		t.ID, _ = b.id.Add(wire.U128{Lo: uint64(distance), Hi: uint64(distance >> 63)})
	} else {
		t.ID = r.trimmed128(16)
	}
	b.id = t.ID
	switch word >> bitPending & 3 {
	case pendingWhole:
		t.PendingID = r.trimmed128(16)
	case pendingDelta:
		t.PendingID, _ = t.ID.Sub(wire.U128{Lo: r.varint()})
	default:
		t.PendingID = wire.U128{}
	}
	debit = accounting.AccountOrdinal(r.trimmed(int(word>>bitDebit&3) + 1))
	credit = accounting.AccountOrdinal(r.trimmed(int(word>>bitCredit&3) + 1))
	t.DebitAccountID, t.CreditAccountID = wire.U128{}, wire.U128{}
	t.Amount = r.trimmed128(int(word >> bitAmount & 31))
	t.UserData128 = r.trimmed128(int(word >> bitUser128 & 31))
	t.UserData64 = r.trimmed(int(word >> bitUser64 & 15))
	t.UserData32 = uint32(r.trimmed(int(word >> bitUser32 & 7)))
	t.Code = uint16(r.trimmed(int(word >> bitCode & 3)))
	t.Timeout, t.Flags = 0, 0
	if word>>bitTimeout&1 != 0 {
		t.Timeout = uint32(r.varint())
	}
	if word>>bitLedgerSame&1 == 0 {
		b.ledger = uint32(r.varint())
	}
	t.Ledger = b.ledger
	if word>>bitFlags&1 != 0 {
		t.Flags = accounting.TransferFlags(r.varint())
	}
	if word>>bitDebitFlags&1 == 0 {
		b.debitFlags = accounting.AccountFlags(r.varint())
	}
	if word>>bitCreditFlags&1 == 0 {
		b.creditFlags = accounting.AccountFlags(r.varint())
	}
	return debit, credit
}

// balances reads the rest of a row.
func (r *reader) balances(row *accounting.TransferRow, b *before) {
	row.DebitAfter, row.CreditAfter = accounting.Balances{Flags: b.debitFlags}, accounting.Balances{Flags: b.creditFlags}
	mask := r.page[r.at]
	r.at++
	lengths := r.trimmed((bits.OnesCount8(mask) + 1) / 2)
	var balances [8]*wire.U128
	listBalances(&balances, row)
	for ; mask != 0; mask &= mask - 1 {
		*balances[bits.TrailingZeros8(mask)] = r.trimmed128(int(lengths&15) + 1)
		lengths >>= 4
	}
}

// skip passes over a row. It advances b.
func (r *reader) skip(b *before) {
	b.timestamp += r.varint()
	word := binary.LittleEndian.Uint32(r.page[r.at:])
	r.at += 4
	if word>>bitIDDelta&1 != 0 {
		distance := unzigzag(r.varint())
		b.id, _ = b.id.Add(wire.U128{Lo: uint64(distance), Hi: uint64(distance >> 63)})
	} else {
		b.id = r.trimmed128(16)
	}
	switch word >> bitPending & 3 {
	case pendingWhole:
		r.at += 16
	case pendingDelta:
		r.varint()
	}
	r.at += int(word>>bitDebit&3 + 1 + word>>bitCredit&3 + 1 + word>>bitAmount&31 + word>>bitUser128&31 + word>>bitUser64&15 +
		word>>bitUser32&7 + word>>bitCode&3)
	if word>>bitTimeout&1 != 0 {
		r.varint()
	}
	if word>>bitLedgerSame&1 == 0 {
		b.ledger = uint32(r.varint())
	}
	if word>>bitFlags&1 != 0 {
		r.varint()
	}
	if word>>bitDebitFlags&1 == 0 {
		b.debitFlags = accounting.AccountFlags(r.varint())
	}
	if word>>bitCreditFlags&1 == 0 {
		b.creditFlags = accounting.AccountFlags(r.varint())
	}
	r.skipBalances()
}

// skipBalances passes over a row's balances.
func (r *reader) skipBalances() {
	present := bits.OnesCount8(r.page[r.at])
	r.at++
	lengths := uint32(r.trimmed((present + 1) / 2)) // half a byte each, less one
	lengths = lengths&0x0f0f0f0f + lengths>>4&0x0f0f0f0f
	r.at += present + int(lengths*0x01010101>>24)
}
