package accounting

const (
	transferResolving = TransferPostPending | TransferVoidPending
	transferBalancing = TransferBalancingDebit | TransferBalancingCredit
	transferClosing   = TransferClosingDebit | TransferClosingCredit

	secondNs uint64 = 1_000_000_000
)

// createTransfer applies one event of create_transfers that has passed the checks of its batch. It
// returns the status and the timestamp to report. Source: accounting, 5.1.
func (m *Machine) createTransfer(eventTime uint64, transfer *Transfer) (TransferStatus, uint64) {
	if transfer.Flags&transferFlagsUnknown != 0 {
		return TransferStatusReservedFlag, eventTime
	}
	if transfer.ID.IsZero() {
		return TransferStatusIDMustNotBeZero, eventTime
	}
	if transfer.ID.IsMax() {
		return TransferStatusIDMustNotBeIntMax, eventTime
	}
	switch ordinal, state := m.store.TransferFind(transfer.ID); state {
	case TransferExists:
		return m.transferExists(eventTime, transfer, ordinal)
	case TransferDead:
		return TransferStatusIDAlreadyFailed, eventTime
	}
	if transfer.Flags&transferResolving != 0 {
		return m.createResolving(eventTime, transfer)
	}
	if status := checkRegular(transfer); status != TransferStatusCreated {
		return status, eventTime
	}
	return m.createRegular(eventTime, transfer)
}

// checkRegular does the checks of a regular transfer that need no state. It returns created if all
// passed. Source: accounting, 5.2, lines 1 to 10.
func checkRegular(transfer *Transfer) TransferStatus {
	switch {
	case transfer.DebitAccountID.IsZero():
		return TransferStatusDebitAccountIDMustNotBeZero
	case transfer.DebitAccountID.IsMax():
		return TransferStatusDebitAccountIDMustNotBeIntMax
	case transfer.CreditAccountID.IsZero():
		return TransferStatusCreditAccountIDMustNotBeZero
	case transfer.CreditAccountID.IsMax():
		return TransferStatusCreditAccountIDMustNotBeIntMax
	case transfer.DebitAccountID == transfer.CreditAccountID:
		return TransferStatusAccountsMustBeDifferent
	case !transfer.PendingID.IsZero():
		return TransferStatusPendingIDMustBeZero
	}
	if transfer.Flags&TransferPending == 0 {
		if transfer.Timeout != 0 {
			return TransferStatusTimeoutReservedForPendingTransfer
		}
		if transfer.Flags&transferClosing != 0 {
			return TransferStatusClosingTransferMustBePending
		}
	}
	if transfer.Ledger == 0 {
		return TransferStatusLedgerMustNotBeZero
	}
	if transfer.Code == 0 {
		return TransferStatusCodeMustNotBeZero
	}
	return TransferStatusCreated
}

// createRegular applies a single-phase or pending transfer. Source: accounting, 5.2, lines 11 to
// 31, and 5.3.
func (m *Machine) createRegular(eventTime uint64, transfer *Transfer) (TransferStatus, uint64) {
	debit, credit := &m.debit, &m.credit
	debitOrdinal, found := m.store.AccountFind(transfer.DebitAccountID, debit)
	if !found { // 11
		return TransferStatusDebitAccountNotFound, eventTime
	}
	creditOrdinal, found := m.store.AccountFind(transfer.CreditAccountID, credit)
	if !found {
		return TransferStatusCreditAccountNotFound, eventTime
	}
	if debit.Ledger != credit.Ledger {
		return TransferStatusAccountsMustHaveTheSameLedger, eventTime
	}
	if transfer.Ledger != debit.Ledger {
		return TransferStatusTransferMustHaveTheSameLedgerAsAccounts, eventTime
	}
	timestamp := eventTime
	if transfer.Flags&TransferImported != 0 { // 15
		timestamp = transfer.Timestamp
		if m.transferStampRegresses(timestamp) {
			return TransferStatusImportedEventTimestampMustNotRegress, eventTime
		}
		if timestamp <= debit.Timestamp {
			return TransferStatusImportedEventTimestampMustPostdateDebitAccount, eventTime
		}
		if timestamp <= credit.Timestamp {
			return TransferStatusImportedEventTimestampMustPostdateCreditAccount, eventTime
		}
		if transfer.Timeout != 0 {
			return TransferStatusImportedEventTimeoutMustBeZero, eventTime
		}
	}
	if debit.Flags&AccountClosed != 0 { // 19
		return TransferStatusDebitAccountAlreadyClosed, eventTime
	}
	if credit.Flags&AccountClosed != 0 {
		return TransferStatusCreditAccountAlreadyClosed, eventTime
	}

	amount := transfer.Amount
	if transfer.Flags&TransferBalancingDebit != 0 {
		amount = smaller(amount, room(debit.CreditsPosted, debit.DebitsPosted, debit.DebitsPending))
	}
	if transfer.Flags&TransferBalancingCredit != 0 {
		amount = smaller(amount, room(credit.DebitsPosted, credit.CreditsPosted, credit.CreditsPending))
	}

	isPending := transfer.Flags&TransferPending != 0
	debitsPending, overflowsDebitsPending := debit.DebitsPending.Add(amount)
	creditsPending, overflowsCreditsPending := credit.CreditsPending.Add(amount)
	if isPending { // 22
		if overflowsDebitsPending {
			return TransferStatusOverflowsDebitsPending, eventTime
		}
		if overflowsCreditsPending {
			return TransferStatusOverflowsCreditsPending, eventTime
		}
	}
	debitsPosted, overflows := debit.DebitsPosted.Add(amount)
	if overflows { // 24: of pending transfers too
		return TransferStatusOverflowsDebitsPosted, eventTime
	}
	creditsPosted, overflows := credit.CreditsPosted.Add(amount)
	if overflows {
		return TransferStatusOverflowsCreditsPosted, eventTime
	}
	debits, overflows := debitsPosted.Add(debit.DebitsPending)
	if overflows {
		return TransferStatusOverflowsDebits, eventTime
	}
	credits, overflows := creditsPosted.Add(credit.CreditsPending)
	if overflows {
		return TransferStatusOverflowsCredits, eventTime
	}
	// 28: nothing overflows 64 bits: the first number is below 2^63, the product below 2^62.
	expiresAtNs := timestamp + uint64(transfer.Timeout)*secondNs
	if expiresAtNs > TimestampMax {
		return TransferStatusOverflowsTimeout, eventTime
	}
	if debit.Flags&AccountDebitsMustNotExceedCredits != 0 && debit.CreditsPosted.Less(debits) {
		return TransferStatusExceedsCredits, eventTime
	}
	if credit.Flags&AccountCreditsMustNotExceedDebits != 0 && credit.DebitsPosted.Less(credits) {
		return TransferStatusExceedsDebits, eventTime
	}

	if isPending {
		debit.DebitsPending, credit.CreditsPending = debitsPending, creditsPending
	} else {
		debit.DebitsPosted, credit.CreditsPosted = debitsPosted, creditsPosted
	}
	if transfer.Flags&TransferClosingDebit != 0 {
		debit.Flags |= AccountClosed
	}
	if transfer.Flags&TransferClosingCredit != 0 {
		credit.Flags |= AccountClosed
	}
	row := m.store.TransferRow()
	row.Transfer = *transfer
	row.Transfer.Amount = amount
	row.Transfer.Timestamp = timestamp
	ordinal := m.appendRow(row, debitOrdinal, creditOrdinal)
	if transfer.Timeout > 0 {
		m.store.ExpiryAdd(expiresAtNs, ordinal)
		m.nextPulse = min(m.nextPulse, expiresAtNs)
	}
	return TransferStatusCreated, timestamp
}

// appendRow stores the transfer in row, which belongs to the store. Its accounts are stored as they
// are now in m.debit and m.credit.
func (m *Machine) appendRow(row *TransferRow, debitOrdinal, creditOrdinal AccountOrdinal) TransferOrdinal {
	row.DebitOrdinal = debitOrdinal
	row.CreditOrdinal = creditOrdinal
	balancesOf(&row.DebitAfter, &m.debit)
	balancesOf(&row.CreditAfter, &m.credit)
	m.store.AccountWrite(debitOrdinal, &m.debit)
	m.store.AccountWrite(creditOrdinal, &m.credit)
	return m.store.TransferAppend()
}

func balancesOf(balances *Balances, account *Account) {
	balances.DebitsPending = account.DebitsPending
	balances.DebitsPosted = account.DebitsPosted
	balances.CreditsPending = account.CreditsPending
	balances.CreditsPosted = account.CreditsPosted
	balances.Flags = account.Flags
}

// transferStampRegresses tells whether an imported transfer must not have this timestamp. It must
// be above that of every transfer and must not be that of an account. It may be that of an expiry,
// which it then hides (7.5).
func (m *Machine) transferStampRegresses(timestamp uint64) bool {
	return timestamp <= m.store.TransferStampMax() || m.store.AccountStampExists(timestamp)
}
