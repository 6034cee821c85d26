package accounting

import "ledger/internal/assert"

// transferExists compares an event with the transfer that has its id. The first difference decides.
// Timestamps, accounts' states and pending statuses are not compared. Source: accounting, 6.1.
func (m *Machine) transferExists(eventTime uint64, transfer *Transfer, ordinal TransferOrdinal) (TransferStatus, uint64) {
	existing := &m.existing
	m.store.TransferRead(ordinal, existing)
	status := TransferStatusExists
	switch {
	case transfer.Flags != existing.Flags:
		status = TransferStatusExistsWithDifferentFlags
	case transfer.PendingID != existing.PendingID:
		status = TransferStatusExistsWithDifferentPendingID
	case transfer.Timeout != existing.Timeout:
		status = TransferStatusExistsWithDifferentTimeout
	case transfer.Flags&transferResolving != 0:
		status = m.resolvingExists(transfer, existing)
	default:
		status = regularExists(transfer, existing)
	}
	if status == TransferStatusExists {
		return status, existing.Timestamp
	}
	return status, eventTime
}

// regularExists compares the fields behind flags, pending_id and timeout. A balancing transfer was
// stored with the amount that it moved. So an event with that amount or a larger one is the same
// request again.
func regularExists(transfer, existing *Transfer) TransferStatus {
	amountDiffers := transfer.Amount != existing.Amount
	if transfer.Flags&transferBalancing != 0 {
		amountDiffers = transfer.Amount.Less(existing.Amount)
	}
	switch {
	case transfer.DebitAccountID != existing.DebitAccountID:
		return TransferStatusExistsWithDifferentDebitAccountID
	case transfer.CreditAccountID != existing.CreditAccountID:
		return TransferStatusExistsWithDifferentCreditAccountID
	case amountDiffers:
		return TransferStatusExistsWithDifferentAmount
	case transfer.UserData128 != existing.UserData128:
		return TransferStatusExistsWithDifferentUserData128
	case transfer.UserData64 != existing.UserData64:
		return TransferStatusExistsWithDifferentUserData64
	case transfer.UserData32 != existing.UserData32:
		return TransferStatusExistsWithDifferentUserData32
	case transfer.Ledger != existing.Ledger:
		return TransferStatusExistsWithDifferentLedger
	case transfer.Code != existing.Code:
		return TransferStatusExistsWithDifferentCode
	}
	return TransferStatusExists
}

// resolvingExists does the same for a resolving transfer. Zero (as the amount of a post: 2^128-1)
// stands for the value of the pending transfer. So user data that was given the first time and is
// not given again differs.
func (m *Machine) resolvingExists(transfer, existing *Transfer) TransferStatus {
	pendingOrdinal, state := m.store.TransferFind(existing.PendingID)
	assert.That(state == TransferExists, "a transfer that was resolved is still there")
	pending := &m.pending
	m.store.TransferRead(pendingOrdinal, pending)
	switch {
	case !transfer.DebitAccountID.IsZero() && transfer.DebitAccountID != existing.DebitAccountID:
		return TransferStatusExistsWithDifferentDebitAccountID
	case !transfer.CreditAccountID.IsZero() && transfer.CreditAccountID != existing.CreditAccountID:
		return TransferStatusExistsWithDifferentCreditAccountID
	case resolvedAmount(transfer, pending) != existing.Amount:
		return TransferStatusExistsWithDifferentAmount
	case orElse(transfer.UserData128, pending.UserData128) != existing.UserData128:
		return TransferStatusExistsWithDifferentUserData128
	case orElse64(transfer.UserData64, pending.UserData64) != existing.UserData64:
		return TransferStatusExistsWithDifferentUserData64
	case orElse32(transfer.UserData32, pending.UserData32) != existing.UserData32:
		return TransferStatusExistsWithDifferentUserData32
	case transfer.Ledger != 0 && transfer.Ledger != existing.Ledger:
		return TransferStatusExistsWithDifferentLedger
	case transfer.Code != 0 && transfer.Code != existing.Code:
		return TransferStatusExistsWithDifferentCode
	}
	return TransferStatusExists
}
