package model

// rules are the differences between accounts and transfers in the batch loop.
type rules struct {
	linkedEventFailed, linkedEventChainOpen         Status
	importedEventExpected, importedEventNotExpected Status
	timestampOutOfRange, timestampMustNotAdvance    Status
	timestampMustBeZero                             Status
	exists                                          Status
	linked, imported                                func(i int) bool
	timestamp                                       func(i int) uint64
	apply                                           func(te uint64, i int) (Status, uint64)
	remember                                        func(i int, status Status)
}

// runBatch is the loop of accounting, 3.1, line by line. batch is B of the specification.
func (m *Machine) runBatch(batch uint64, n int, r *rules) []result {
	results := make([]result, n)
	batchIsImport := n > 0 && r.imported(0)
	const none = -1
	chain, broken := none, false

	for i := range n {
		te := batch - uint64(n) + uint64(i) + 1
		stamp := te
		linked, imported, timestamp := r.linked(i), r.imported(i), r.timestamp(i)

		if linked && chain == none {
			chain = i
			m.openSavepoint()
		}

		var status Status
		switch {
		case linked && i == n-1:
			status = r.linkedEventChainOpen
		case broken:
			status = r.linkedEventFailed
		case imported && !batchIsImport:
			status = r.importedEventNotExpected
		case !imported && batchIsImport:
			status = r.importedEventExpected
		case imported && (timestamp < 1 || timestamp > timestampMax):
			status = r.timestampOutOfRange
		case imported && timestamp >= batch:
			status = r.timestampMustNotAdvance
		case !imported && timestamp != 0:
			status = r.timestampMustBeZero
		default:
			var actual uint64
			status, actual = r.apply(te, i)
			if status == Created || status == r.exists {
				stamp = actual
			}
		}

		if status != Created {
			if chain != none && !broken {
				broken = true
				m.rollBackToSavepoint()
				for j := chain; j < i; j++ {
					results[j].status = r.linkedEventFailed
				}
			}
			r.remember(i, status)
		}

		results[i] = result{stamp, status}

		if chain != none && (!linked || status == r.linkedEventChainOpen) {
			if !broken {
				m.commitSavepoint()
			}
			chain, broken = none, false
		}
	}
	return results
}

// createAccounts runs one batch. Source: accounting, section 4.
func (m *Machine) createAccounts(batch uint64, body []byte) []result {
	var accounts []Account
	for ; len(body) > 0; body = body[128:] {
		accounts = append(accounts, AccountAt(body))
	}
	return m.runBatch(batch, len(accounts), &rules{
		linkedEventFailed:        AccountLinkedEventFailed,
		linkedEventChainOpen:     AccountLinkedEventChainOpen,
		importedEventExpected:    AccountImportedEventExpected,
		importedEventNotExpected: AccountImportedEventNotExpected,
		timestampOutOfRange:      AccountImportedEventTimestampOutOfRange,
		timestampMustNotAdvance:  AccountImportedEventTimestampMustNotAdvance,
		timestampMustBeZero:      AccountTimestampMustBeZero,
		exists:                   AccountExists,
		linked:                   func(i int) bool { return accounts[i].Flags&AccountLinked != 0 },
		imported:                 func(i int) bool { return accounts[i].Flags&AccountImported != 0 },
		timestamp:                func(i int) uint64 { return accounts[i].Timestamp },
		apply:                    func(te uint64, i int) (Status, uint64) { return m.createAccount(te, accounts[i]) },
		remember:                 func(int, Status) {},
	})
}

func (m *Machine) createAccount(te uint64, a Account) (status Status, actual uint64) {
	if a.Reserved != 0 {
		return AccountReservedField, 0
	}
	if a.Flags&accountFlagsReserved != 0 {
		return AccountReservedFlag, 0
	}
	if a.ID.IsZero() {
		return AccountIDMustNotBeZero, 0
	}
	if a.ID == NumberMax {
		return AccountIDMustNotBeIntMax, 0
	}
	if e := m.accounts[a.ID]; e != nil {
		switch {
		case a.Flags != e.Flags:
			return AccountExistsWithDifferentFlags, 0
		case a.UserData128 != e.UserData128:
			return AccountExistsWithDifferentUserData128, 0
		case a.UserData64 != e.UserData64:
			return AccountExistsWithDifferentUserData64, 0
		case a.UserData32 != e.UserData32:
			return AccountExistsWithDifferentUserData32, 0
		case a.Ledger != e.Ledger:
			return AccountExistsWithDifferentLedger, 0
		case a.Code != e.Code:
			return AccountExistsWithDifferentCode, 0
		}
		return AccountExists, e.Timestamp
	}
	if a.Flags&AccountDebitsMustNotExceedCredits != 0 && a.Flags&AccountCreditsMustNotExceedDebits != 0 {
		return AccountFlagsAreMutuallyExclusive, 0
	}
	switch {
	case !a.DebitsPending.IsZero():
		return AccountDebitsPendingMustBeZero, 0
	case !a.DebitsPosted.IsZero():
		return AccountDebitsPostedMustBeZero, 0
	case !a.CreditsPending.IsZero():
		return AccountCreditsPendingMustBeZero, 0
	case !a.CreditsPosted.IsZero():
		return AccountCreditsPostedMustBeZero, 0
	case a.Ledger == 0:
		return AccountLedgerMustNotBeZero, 0
	case a.Code == 0 || a.Code == TrialCode && m.refusesTrialCode:
		return AccountCodeMustNotBeZero, 0
	}
	timestamp := te
	if a.Flags&AccountImported != 0 {
		timestamp = a.Timestamp
		if timestamp <= m.accountStampMax() || m.transferStamps[timestamp] {
			return AccountImportedEventTimestampMustNotRegress, 0
		}
	}
	a.Timestamp = timestamp
	m.addAccount(a)
	return Created, timestamp
}
