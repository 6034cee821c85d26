package accounting

// createAccount applies one event of create_accounts that has passed the checks of its batch. It
// returns the status and the timestamp to report. Source: accounting, 4; the lines are numbered as
// there.
func (m *Machine) createAccount(eventTime uint64, account *Account) (AccountStatus, uint64) {
	if account.Reserved != 0 { // 1
		return AccountStatusReservedField, eventTime
	}
	if account.Flags&accountFlagsUnknown != 0 {
		return AccountStatusReservedFlag, eventTime
	}
	if account.ID.IsZero() {
		return AccountStatusIDMustNotBeZero, eventTime
	}
	if account.ID.IsMax() {
		return AccountStatusIDMustNotBeIntMax, eventTime
	}
	if _, found := m.store.AccountFind(account.ID, &m.debit); found { // 5
		return accountExists(account, &m.debit, eventTime)
	}
	const exclusive = AccountDebitsMustNotExceedCredits | AccountCreditsMustNotExceedDebits
	if account.Flags&exclusive == exclusive {
		return AccountStatusFlagsAreMutuallyExclusive, eventTime
	}
	if !account.DebitsPending.IsZero() {
		return AccountStatusDebitsPendingMustBeZero, eventTime
	}
	if !account.DebitsPosted.IsZero() {
		return AccountStatusDebitsPostedMustBeZero, eventTime
	}
	if !account.CreditsPending.IsZero() {
		return AccountStatusCreditsPendingMustBeZero, eventTime
	}
	if !account.CreditsPosted.IsZero() { // 10
		return AccountStatusCreditsPostedMustBeZero, eventTime
	}
	if account.Ledger == 0 {
		return AccountStatusLedgerMustNotBeZero, eventTime
	}
	if account.Code == 0 || account.Code == TrialCode && m.rules.refusesTrialCode {
		return AccountStatusCodeMustNotBeZero, eventTime
	}
	timestamp := eventTime
	if account.Flags&AccountImported != 0 { // 13
		timestamp = account.Timestamp
		if timestamp <= m.store.AccountStampMax() || m.store.TransferStampExists(timestamp) {
			return AccountStatusImportedEventTimestampMustNotRegress, eventTime
		}
	}
	m.debit = *account
	m.debit.Timestamp = timestamp
	m.store.AccountAppend(&m.debit)
	return AccountStatusCreated, timestamp
}

// accountExists compares an event with the account that has its id. Flags are compared with the
// current ones, closed included; balances and timestamp are not compared. Source: accounting, 4,
// lines 5a to 5g.
func accountExists(account, existing *Account, eventTime uint64) (AccountStatus, uint64) {
	switch {
	case account.Flags != existing.Flags:
		return AccountStatusExistsWithDifferentFlags, eventTime
	case account.UserData128 != existing.UserData128:
		return AccountStatusExistsWithDifferentUserData128, eventTime
	case account.UserData64 != existing.UserData64:
		return AccountStatusExistsWithDifferentUserData64, eventTime
	case account.UserData32 != existing.UserData32:
		return AccountStatusExistsWithDifferentUserData32, eventTime
	case account.Ledger != existing.Ledger:
		return AccountStatusExistsWithDifferentLedger, eventTime
	case account.Code != existing.Code:
		return AccountStatusExistsWithDifferentCode, eventTime
	}
	return AccountStatusExists, existing.Timestamp
}
