package accounting

// lookupAccounts writes the accounts that exist, in the order of ids, straight into the reply.
// Source: accounting, 8.
func (m *Machine) lookupAccounts(ids []U128, accounts []Account) (resultsCount int) {
	count := 0
	for i := range ids {
		if _, found := m.store.AccountFind(ids[i], &accounts[count]); found {
			count++
		}
		m.breathe(i)
	}
	return count
}

// lookupTransfers does the same for transfers. Dead ids are no transfers.
func (m *Machine) lookupTransfers(ids []U128, transfers []Transfer) (resultsCount int) {
	count := 0
	for i := range ids {
		if ordinal, state := m.store.TransferFind(ids[i]); state == TransferExists {
			m.store.TransferRead(ordinal, &transfers[count])
			count++
		}
		m.breathe(i)
	}
	return count
}

// breathe calls the store's Breathe once in breathEvents rounds of a loop.
func (m *Machine) breathe(index int) {
	if index%breathEvents == breathEvents-1 {
		m.store.Breathe()
	}
}

// bounds converts a filter's timestamps and limit. ok is false if they are invalid; a query has no
// errors, so its result is then empty. Source: accounting, 9.1.
func bounds(timestampMin, timestampMax uint64, limit, rowsMax uint32) (first, last uint64, rows uint32, ok bool) {
	if timestampMin > TimestampMax || timestampMax > TimestampMax || limit == 0 {
		return 0, 0, 0, false
	}
	if timestampMax != 0 && timestampMin > timestampMax {
		return 0, 0, 0, false
	}
	if timestampMax == 0 {
		timestampMax = TimestampMax
	}
	return max(timestampMin, 1), timestampMax, min(limit, rowsMax), true
}

// openAccountScan opens the scan of a filter and returns the filter's account. ok is false, and no
// scan is open, if the filter is invalid or the account does not exist. Source: accounting, 9.2.
func (m *Machine) openAccountScan(filter *AccountFilter, rowsMax uint32, historyOnly bool) (account AccountOrdinal, ok bool) {
	first, last, rows, ok := bounds(filter.TimestampMin, filter.TimestampMax, filter.Limit, rowsMax)
	if !ok || filter.AccountID.IsZero() || filter.AccountID.IsMax() {
		return 0, false
	}
	if filter.Flags&filterFlagsUnknown != 0 || filter.Flags&(FilterDebits|FilterCredits) == 0 {
		return 0, false
	}
	if filter.Reserved != [58]byte{} {
		return 0, false
	}
	account, found := m.store.AccountFind(filter.AccountID, &m.debit)
	if !found || historyOnly && m.debit.Flags&AccountHistory == 0 {
		return 0, false
	}
	m.transferScan = TransferScan{
		ByAccount:    true,
		Account:      account,
		Debits:       filter.Flags&FilterDebits != 0,
		Credits:      filter.Flags&FilterCredits != 0,
		UserData128:  filter.UserData128,
		UserData64:   filter.UserData64,
		UserData32:   filter.UserData32,
		Code:         filter.Code,
		Reversed:     filter.Flags&FilterReversed != 0,
		TimestampMin: first,
		TimestampMax: last,
		LimitRows:    rows,
	}
	m.store.TransfersOpen(&m.transferScan)
	return account, true
}

// copyTransfers writes the rows of the open scan and returns how many.
func (m *Machine) copyTransfers(transfers []Transfer) (resultsCount int) {
	count := 0
	for count < int(m.transferScan.LimitRows) && m.store.TransfersNext(&m.row) {
		transfers[count] = m.row.Transfer
		m.breathe(count)
		count++
	}
	return count
}

func (m *Machine) accountTransfers(filter *AccountFilter, rowsMax uint32, transfers []Transfer) (resultsCount int) {
	if _, ok := m.openAccountScan(filter, rowsMax, false); !ok {
		return 0
	}
	return m.copyTransfers(transfers)
}

// accountBalances returns the balances of the account right after each of the transfers that
// accountTransfers would return. Source: accounting, 9.3.
func (m *Machine) accountBalances(filter *AccountFilter, rowsMax uint32, balances []AccountBalance) (resultsCount int) {
	account, ok := m.openAccountScan(filter, rowsMax, true)
	if !ok {
		return 0
	}
	count := 0
	for count < int(m.transferScan.LimitRows) && m.store.TransfersNext(&m.row) {
		after := &m.row.CreditAfter
		if m.row.DebitOrdinal == account {
			after = &m.row.DebitAfter
		}
		balances[count] = AccountBalance{
			DebitsPending:  after.DebitsPending,
			DebitsPosted:   after.DebitsPosted,
			CreditsPending: after.CreditsPending,
			CreditsPosted:  after.CreditsPosted,
			Timestamp:      m.row.Transfer.Timestamp,
		}
		m.breathe(count)
		count++
	}
	return count
}

// queryValid checks the fields of a filter that bounds does not check.
func queryValid(filter *QueryFilter) bool {
	return filter.Flags&queryFlagsUnknown == 0 && filter.Reserved == [6]byte{}
}

func (m *Machine) queryAccounts(filter *QueryFilter, rowsMax uint32, accounts []Account) (resultsCount int) {
	first, last, rows, ok := bounds(filter.TimestampMin, filter.TimestampMax, filter.Limit, rowsMax)
	if !ok || !queryValid(filter) {
		return 0
	}
	m.accountScan = AccountScan{
		UserData128:  filter.UserData128,
		UserData64:   filter.UserData64,
		UserData32:   filter.UserData32,
		Ledger:       filter.Ledger,
		Code:         filter.Code,
		Reversed:     filter.Flags&QueryReversed != 0,
		TimestampMin: first,
		TimestampMax: last,
		LimitRows:    rows,
	}
	m.store.AccountsOpen(&m.accountScan)
	count := 0
	for count < int(rows) && m.store.AccountsNext(&accounts[count]) {
		m.breathe(count)
		count++
	}
	return count
}

func (m *Machine) queryTransfers(filter *QueryFilter, rowsMax uint32, transfers []Transfer) (resultsCount int) {
	first, last, rows, ok := bounds(filter.TimestampMin, filter.TimestampMax, filter.Limit, rowsMax)
	if !ok || !queryValid(filter) {
		return 0
	}
	m.transferScan = TransferScan{
		UserData128:  filter.UserData128,
		UserData64:   filter.UserData64,
		UserData32:   filter.UserData32,
		Ledger:       filter.Ledger,
		Code:         filter.Code,
		Reversed:     filter.Flags&QueryReversed != 0,
		TimestampMin: first,
		TimestampMax: last,
		LimitRows:    rows,
	}
	m.store.TransfersOpen(&m.transferScan)
	return m.copyTransfers(transfers)
}

// changeEvents returns transfers and expiries by event time, always ascending. Source: accounting,
// 10.
func (m *Machine) changeEvents(filter *ChangeEventsFilter, rowsMax uint32, events []ChangeEvent) (resultsCount int) {
	first, last, rows, ok := bounds(filter.TimestampMin, filter.TimestampMax, filter.Limit, rowsMax)
	if !ok || filter.Reserved != [44]byte{} {
		return 0
	}
	m.store.EventsOpen(first, last)
	count := 0
	for count < int(rows) && m.store.EventsNext(&m.event) {
		m.changeEvent(&events[count])
		m.breathe(count)
		count++
	}
	return count
}

// changeEvent writes m.event. The constant fields of an account come from the account. Balances and
// flags are those right after the event. Source: accounting, 10.2.
func (m *Machine) changeEvent(out *ChangeEvent) {
	row := &m.event.Row
	transfer, debit, credit := &row.Transfer, &m.debit, &m.credit
	m.store.AccountRead(row.DebitOrdinal, debit)
	m.store.AccountRead(row.CreditOrdinal, credit)
	*out = ChangeEvent{
		TransferID:          transfer.ID,
		TransferAmount:      transfer.Amount,
		TransferPendingID:   transfer.PendingID,
		TransferUserData128: transfer.UserData128,
		TransferUserData64:  transfer.UserData64,
		TransferUserData32:  transfer.UserData32,
		TransferTimeout:     transfer.Timeout,
		TransferCode:        transfer.Code,
		TransferFlags:       transfer.Flags,
		Ledger:              transfer.Ledger,
		Type:                eventType(&m.event),

		DebitAccountID:             debit.ID,
		DebitAccountDebitsPending:  row.DebitAfter.DebitsPending,
		DebitAccountDebitsPosted:   row.DebitAfter.DebitsPosted,
		DebitAccountCreditsPending: row.DebitAfter.CreditsPending,
		DebitAccountCreditsPosted:  row.DebitAfter.CreditsPosted,
		DebitAccountUserData128:    debit.UserData128,
		DebitAccountUserData64:     debit.UserData64,
		DebitAccountUserData32:     debit.UserData32,
		DebitAccountCode:           debit.Code,
		DebitAccountFlags:          row.DebitAfter.Flags,

		CreditAccountID:             credit.ID,
		CreditAccountDebitsPending:  row.CreditAfter.DebitsPending,
		CreditAccountDebitsPosted:   row.CreditAfter.DebitsPosted,
		CreditAccountCreditsPending: row.CreditAfter.CreditsPending,
		CreditAccountCreditsPosted:  row.CreditAfter.CreditsPosted,
		CreditAccountUserData128:    credit.UserData128,
		CreditAccountUserData64:     credit.UserData64,
		CreditAccountUserData32:     credit.UserData32,
		CreditAccountCode:           credit.Code,
		CreditAccountFlags:          row.CreditAfter.Flags,

		Timestamp:              m.event.Timestamp,
		TransferTimestamp:      transfer.Timestamp,
		DebitAccountTimestamp:  debit.Timestamp,
		CreditAccountTimestamp: credit.Timestamp,
	}
}

func eventType(event *EventRow) EventType {
	flags := event.Row.Transfer.Flags
	switch {
	case event.Expired:
		return EventTwoPhaseExpired
	case flags&TransferPending != 0:
		return EventTwoPhasePending
	case flags&TransferPostPending != 0:
		return EventTwoPhasePosted
	case flags&TransferVoidPending != 0:
		return EventTwoPhaseVoided
	}
	return EventSinglePhase
}
