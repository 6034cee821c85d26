package keys

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/storage"
)

// ID is the key of an id, in the trees of ids.
func ID(id accounting.U128) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], id.Hi)
	binary.BigEndian.PutUint64(key[8:], id.Lo)
	return key
}

// IDOf returns the id of a key that ID made.
func IDOf(key *storage.Key) accounting.U128 {
	return accounting.U128{Hi: binary.BigEndian.Uint64(key[0:]), Lo: binary.BigEndian.Uint64(key[8:])}
}

// Number is the key of an ordinal of a transfer or of a timestamp.
func Number(value uint64) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], value)
	return key
}

// Account is the key of an account.
func Account(ordinal accounting.AccountOrdinal) (key storage.Key) {
	binary.BigEndian.PutUint32(key[0:], uint32(ordinal))
	return key
}

// FieldsCount is the number of indexed fields of a transfer, and of an account.
const FieldsCount = 5

// Indexed fields of a transfer or an account, in the order of their trees.
const (
	User128 = iota
	User64
	User32
	Ledger
	Code
)

// Expiry orders the expiries of pending transfers.
type Expiry struct {
	AtNs    uint64
	Ordinal accounting.TransferOrdinal
}

// ExpiryMax is above all expiries.
var ExpiryMax = Expiry{^uint64(0), accounting.TransferOrdinal(^uint64(0))}

// Less tells whether an expiry comes first.
func (k Expiry) Less(other Expiry) bool {
	return k.AtNs < other.AtNs || k.AtNs == other.AtNs && k.Ordinal < other.Ordinal
}

// OfExpiry is the key of an expiry.
func OfExpiry(k Expiry) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], k.AtNs)
	binary.BigEndian.PutUint64(key[8:], uint64(k.Ordinal))
	return key
}

// ExpiryOf returns the expiry of a key that OfExpiry made.
func ExpiryOf(key *storage.Key) Expiry {
	return Expiry{binary.BigEndian.Uint64(key[0:]), accounting.TransferOrdinal(binary.BigEndian.Uint64(key[8:]))}
}

// Posting is the value, in the tree's width, followed by an ordinal of 5 bytes (4 for accounts).
func Posting(tree storage.TreeID, value accounting.U128, ordinal uint64) (key storage.Key) {
	at := ValueBytes(tree)
	switch at {
	case 2:
		binary.BigEndian.PutUint16(key[0:], uint16(value.Lo))
	case 4:
		binary.BigEndian.PutUint32(key[0:], uint32(value.Lo))
	case 8:
		binary.BigEndian.PutUint64(key[0:], value.Lo)
	default:
		binary.BigEndian.PutUint64(key[0:], value.Hi)
		binary.BigEndian.PutUint64(key[8:], value.Lo)
	}
	if IsTransferPosting(tree) {
		key[at] = byte(ordinal >> 32)
		at++
	}
	binary.BigEndian.PutUint32(key[at:], uint32(ordinal))
	return key
}

// IsTransferPosting tells whether a tree maps a value to ordinals of transfers.
func IsTransferPosting(tree storage.TreeID) bool {
	return tree >= storage.TreeTransferDebit && tree <= storage.TreeTransferCode
}

// IsPosting tells whether a tree maps a value to ordinals.
func IsPosting(tree storage.TreeID) bool { return tree >= storage.TreeTransferDebit }

// ValueBytes is the width of the value that begins the keys of a posting tree.
func ValueBytes(tree storage.TreeID) int {
	switch tree {
	case storage.TreeTransferDebit, storage.TreeTransferCredit, storage.TreeTransferUser32, storage.TreeTransferLedger,
		storage.TreeAccountUser32, storage.TreeAccountLedger:
		return 4
	case storage.TreeTransferUser64, storage.TreeAccountUser64:
		return 8
	case storage.TreeTransferCode, storage.TreeAccountCode:
		return 2
	default:
		return 16
	}
}

// TransferField is the value of an indexed field of a transfer.
func TransferField(t *accounting.Transfer, field int) accounting.U128 {
	switch field {
	case User128:
		return t.UserData128
	case User64:
		return accounting.U128{Lo: t.UserData64}
	case User32:
		return accounting.U128{Lo: uint64(t.UserData32)}
	case Ledger:
		return accounting.U128{Lo: uint64(t.Ledger)}
	default:
		return accounting.U128{Lo: uint64(t.Code)}
	}
}

// AccountField is the value of an indexed field of an account.
func AccountField(a *accounting.Account, field int) accounting.U128 {
	switch field {
	case User128:
		return a.UserData128
	case User64:
		return accounting.U128{Lo: a.UserData64}
	case User32:
		return accounting.U128{Lo: uint64(a.UserData32)}
	case Ledger:
		return accounting.U128{Lo: uint64(a.Ledger)}
	default:
		return accounting.U128{Lo: uint64(a.Code)}
	}
}

// PutAccount writes a value of TreeAccount: id and user data 16 each, user data 8 and 4, ledger 4,
// code 2, flags 2, timestamp 8.
func PutAccount(value []byte, account *accounting.Account) {
	account.ID.PutBytes(value[0:])
	account.UserData128.PutBytes(value[16:])
	binary.LittleEndian.PutUint64(value[32:], account.UserData64)
	binary.LittleEndian.PutUint32(value[40:], account.UserData32)
	binary.LittleEndian.PutUint32(value[44:], account.Ledger)
	binary.LittleEndian.PutUint16(value[48:], account.Code)
	binary.LittleEndian.PutUint16(value[50:], uint16(account.Flags))
	binary.LittleEndian.PutUint64(value[52:], account.Timestamp)
}

// GetAccount reads what PutAccount wrote.
func GetAccount(value []byte, account *accounting.Account) {
	*account = accounting.Account{
		ID: getU128(value[0:]), UserData128: getU128(value[16:]),
		UserData64: binary.LittleEndian.Uint64(value[32:]), UserData32: binary.LittleEndian.Uint32(value[40:]),
		Ledger: binary.LittleEndian.Uint32(value[44:]), Code: binary.LittleEndian.Uint16(value[48:]),
		Flags: accounting.AccountFlags(binary.LittleEndian.Uint16(value[50:])), Timestamp: binary.LittleEndian.Uint64(value[52:]),
	}
}

func getU128(b []byte) accounting.U128 {
	return accounting.U128{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
}

// PutExpired writes a value of TreeExpired: ordinal, then both sides' balances.
func PutExpired(value []byte, row *accounting.ExpiredRow) {
	binary.LittleEndian.PutUint64(value[0:], uint64(row.Pending))
	storage.PutBalances(value[8:], &row.DebitAfter)
	storage.PutBalances(value[8+storage.BalancesBytes:], &row.CreditAfter)
}

// GetExpired reads what PutExpired wrote.
func GetExpired(timestamp uint64, value []byte, row *accounting.ExpiredRow) {
	row.Timestamp = timestamp
	row.Pending = accounting.TransferOrdinal(binary.LittleEndian.Uint64(value[0:]))
	storage.GetBalances(value[8:], &row.DebitAfter)
	storage.GetBalances(value[8+storage.BalancesBytes:], &row.CreditAfter)
}
