package accounting

import "ledger/internal/assert"

// createResolving applies a transfer that posts or voids a pending one. A field given as zero means
// "as in the pending transfer". Source: accounting, 5.4; the lines are numbered as there.
func (m *Machine) createResolving(eventTime uint64, transfer *Transfer) (TransferStatus, uint64) {
	const others = TransferPending | transferBalancing | transferClosing
	post := transfer.Flags&TransferPostPending != 0
	switch {
	case transfer.Flags&transferResolving == transferResolving || transfer.Flags&others != 0: // 1
		return TransferStatusFlagsAreMutuallyExclusive, eventTime
	case transfer.PendingID.IsZero():
		return TransferStatusPendingIDMustNotBeZero, eventTime
	case transfer.PendingID.IsMax():
		return TransferStatusPendingIDMustNotBeIntMax, eventTime
	case transfer.PendingID == transfer.ID:
		return TransferStatusPendingIDMustBeDifferent, eventTime
	case transfer.Timeout != 0:
		return TransferStatusTimeoutReservedForPendingTransfer, eventTime
	}
	pendingOrdinal, state := m.store.TransferFind(transfer.PendingID)
	if state != TransferExists { // 6: a dead id is no transfer
		return TransferStatusPendingTransferNotFound, eventTime
	}
	pending := &m.pending
	debitOrdinal, creditOrdinal := m.store.TransferRead(pendingOrdinal, pending)
	amount := resolvedAmount(transfer, pending)
	switch {
	case pending.Flags&TransferPending == 0:
		return TransferStatusPendingTransferNotPending, eventTime
	case !transfer.DebitAccountID.IsZero() && transfer.DebitAccountID != pending.DebitAccountID:
		return TransferStatusPendingTransferHasDifferentDebitAccountID, eventTime
	case !transfer.CreditAccountID.IsZero() && transfer.CreditAccountID != pending.CreditAccountID:
		return TransferStatusPendingTransferHasDifferentCreditAccountID, eventTime
	case transfer.Ledger != 0 && transfer.Ledger != pending.Ledger:
		return TransferStatusPendingTransferHasDifferentLedger, eventTime
	case transfer.Code != 0 && transfer.Code != pending.Code:
		return TransferStatusPendingTransferHasDifferentCode, eventTime
	case pending.Amount.Less(amount): // 13
		return TransferStatusExceedsPendingTransferAmount, eventTime
	case !post && amount.Less(pending.Amount):
		return TransferStatusPendingTransferHasDifferentAmount, eventTime
	}
	switch m.store.PendingRead(pendingOrdinal) { // 15
	case PendingPosted:
		return TransferStatusPendingTransferAlreadyPosted, eventTime
	case PendingVoided:
		return TransferStatusPendingTransferAlreadyVoided, eventTime
	case PendingExpired:
		return TransferStatusPendingTransferExpired, eventTime
	case PendingNone:
		assert.That(false, "a pending transfer has a status")
	}
	// 18: its timeout has passed, but no pulse has expired it yet. The event time decides, also for
	// an imported transfer.
	expiresAtNs := pending.Timestamp + uint64(pending.Timeout)*secondNs
	if pending.Timeout > 0 && expiresAtNs <= eventTime {
		return TransferStatusPendingTransferExpired, eventTime
	}
	timestamp := eventTime
	if transfer.Flags&TransferImported != 0 { // 19
		timestamp = transfer.Timestamp
		if m.transferStampRegresses(timestamp) {
			return TransferStatusImportedEventTimestampMustNotRegress, eventTime
		}
	}
	m.store.AccountRead(debitOrdinal, &m.debit)
	m.store.AccountRead(creditOrdinal, &m.credit)
	if post { // 20
		if m.debit.Flags&AccountClosed != 0 {
			return TransferStatusDebitAccountAlreadyClosed, eventTime
		}
		if m.credit.Flags&AccountClosed != 0 {
			return TransferStatusCreditAccountAlreadyClosed, eventTime
		}
	}

	m.release(pending, !post)
	status := PendingVoided
	if post {
		var overflowsDebits, overflowsCredits bool
		m.debit.DebitsPosted, overflowsDebits = m.debit.DebitsPosted.Add(amount)
		m.credit.CreditsPosted, overflowsCredits = m.credit.CreditsPosted.Add(amount)
		assert.That(!overflowsDebits, "posting cannot overflow the debits, pending and posted fit together")
		assert.That(!overflowsCredits, "posting cannot overflow the credits, pending and posted fit together")
		status = PendingPosted
	}
	row := m.store.TransferRow()
	row.Transfer = Transfer{
		ID:              transfer.ID,
		DebitAccountID:  pending.DebitAccountID,
		CreditAccountID: pending.CreditAccountID,
		Amount:          amount,
		PendingID:       transfer.PendingID,
		UserData128:     orElse(transfer.UserData128, pending.UserData128),
		UserData64:      orElse64(transfer.UserData64, pending.UserData64),
		UserData32:      orElse32(transfer.UserData32, pending.UserData32),
		Ledger:          pending.Ledger,
		Code:            pending.Code,
		Flags:           transfer.Flags,
		Timestamp:       timestamp,
	}
	m.appendRow(row, debitOrdinal, creditOrdinal)
	m.store.PendingWrite(pendingOrdinal, status)
	if pending.Timeout > 0 {
		m.store.ExpiryRemove(expiresAtNs, pendingOrdinal)
		if m.nextPulse == expiresAtNs {
			m.nextPulse = 1 // the next pulse determines the first expiry (7.3)
		}
	}
	return TransferStatusCreated, timestamp
}

// resolvedAmount is the amount of a resolving transfer. Zero in a void and 2^128-1 in a post stand
// for the pending amount. All other amounts, also zero in a post and 2^128-1 in a void, are plain
// numbers.
func resolvedAmount(transfer, pending *Transfer) U128 {
	if transfer.Flags&TransferPostPending != 0 {
		if transfer.Amount.IsMax() {
			return pending.Amount
		}
		return transfer.Amount
	}
	return orElse(transfer.Amount, pending.Amount)
}

// release takes the whole pending amount off the accounts in m.debit and m.credit. With reopen, it
// opens the accounts that the pending transfer had closed.
func (m *Machine) release(pending *Transfer, reopen bool) {
	var underflowsDebits, underflowsCredits bool
	m.debit.DebitsPending, underflowsDebits = m.debit.DebitsPending.Sub(pending.Amount)
	m.credit.CreditsPending, underflowsCredits = m.credit.CreditsPending.Sub(pending.Amount)
	assert.That(!underflowsDebits, "an open pending amount is in the debits pending")
	assert.That(!underflowsCredits, "an open pending amount is in the credits pending")
	if !reopen {
		return
	}
	if pending.Flags&TransferClosingDebit != 0 {
		m.debit.Flags &^= AccountClosed
	}
	if pending.Flags&TransferClosingCredit != 0 {
		m.credit.Flags &^= AccountClosed
	}
}
