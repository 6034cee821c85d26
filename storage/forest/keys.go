package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/storage"
)

func keyOfID(id accounting.U128) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], id.Hi)
	binary.BigEndian.PutUint64(key[8:], id.Lo)
	return key
}

func idOfKey(key *storage.Key) accounting.U128 {
	return accounting.U128{Hi: binary.BigEndian.Uint64(key[0:]), Lo: binary.BigEndian.Uint64(key[8:])}
}

func keyOf64(value uint64) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], value)
	return key
}

func keyOfAccount(ordinal accounting.AccountOrdinal) (key storage.Key) {
	binary.BigEndian.PutUint32(key[0:], uint32(ordinal))
	return key
}

func keyOfExpiry(k expiryKey) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], k.AtNs)
	binary.BigEndian.PutUint64(key[8:], uint64(k.Ordinal))
	return key
}

func expiryOfKey(key *storage.Key) expiryKey {
	return expiryKey{binary.BigEndian.Uint64(key[0:]), accounting.TransferOrdinal(binary.BigEndian.Uint64(key[8:]))}
}

// postingKey is the value, in the tree's width, followed by an ordinal of 5 bytes (4 for accounts).
func postingKey(tree storage.TreeID, value accounting.U128, ordinal uint64) (key storage.Key) {
	at := postingValueBytes(tree)
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
	if isTransferPosting(tree) {
		key[at] = byte(ordinal >> 32)
		at++
	}
	binary.BigEndian.PutUint32(key[at:], uint32(ordinal))
	return key
}

func isTransferPosting(tree storage.TreeID) bool {
	return tree >= storage.TreeTransferDebit && tree <= storage.TreeTransferCode
}

// isPosting tells whether a tree maps a value to ordinals.
func isPosting(tree storage.TreeID) bool { return tree >= storage.TreeTransferDebit }

func postingValueBytes(tree storage.TreeID) int {
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

// transferField is the value of an indexed field.
func transferField(t *accounting.Transfer, field int) accounting.U128 {
	switch field {
	case fieldUser128:
		return t.UserData128
	case fieldUser64:
		return accounting.U128{Lo: t.UserData64}
	case fieldUser32:
		return accounting.U128{Lo: uint64(t.UserData32)}
	case fieldLedger:
		return accounting.U128{Lo: uint64(t.Ledger)}
	default:
		return accounting.U128{Lo: uint64(t.Code)}
	}
}

// accountField is the value of an indexed field.
func accountField(a *accounting.Account, field int) accounting.U128 {
	switch field {
	case fieldUser128:
		return a.UserData128
	case fieldUser64:
		return accounting.U128{Lo: a.UserData64}
	case fieldUser32:
		return accounting.U128{Lo: uint64(a.UserData32)}
	case fieldLedger:
		return accounting.U128{Lo: uint64(a.Ledger)}
	default:
		return accounting.U128{Lo: uint64(a.Code)}
	}
}

// Values of TreeAccount: id and user data 16 each, user data 8 and 4, ledger 4, code 2, flags 2,
// timestamp 8.
func putAccount(value []byte, account *accounting.Account) {
	account.ID.PutBytes(value[0:])
	account.UserData128.PutBytes(value[16:])
	binary.LittleEndian.PutUint64(value[32:], account.UserData64)
	binary.LittleEndian.PutUint32(value[40:], account.UserData32)
	binary.LittleEndian.PutUint32(value[44:], account.Ledger)
	binary.LittleEndian.PutUint16(value[48:], account.Code)
	binary.LittleEndian.PutUint16(value[50:], uint16(account.Flags))
	binary.LittleEndian.PutUint64(value[52:], account.Timestamp)
}

func getAccount(value []byte, account *accounting.Account) {
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

// Values of TreeExpired: ordinal, then both sides' balances.
func putExpired(value []byte, row *accounting.ExpiredRow) {
	binary.LittleEndian.PutUint64(value[0:], uint64(row.Pending))
	storage.PutBalances(value[8:], &row.DebitAfter)
	storage.PutBalances(value[8+storage.BalancesBytes:], &row.CreditAfter)
}

func getExpired(timestamp uint64, value []byte, row *accounting.ExpiredRow) {
	row.Timestamp = timestamp
	row.Pending = accounting.TransferOrdinal(binary.LittleEndian.Uint64(value[0:]))
	storage.GetBalances(value[8:], &row.DebitAfter)
	storage.GetBalances(value[8+storage.BalancesBytes:], &row.CreditAfter)
}
