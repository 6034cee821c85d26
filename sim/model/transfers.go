package model

// createTransfers runs one batch. Source: accounting, section 5.
func (m *Machine) createTransfers(batch uint64, body []byte) []result {
	var transfers []Transfer
	for ; len(body) > 0; body = body[128:] {
		transfers = append(transfers, TransferAt(body))
	}
	return m.runBatch(batch, len(transfers), &rules{
		linkedEventFailed:        TransferLinkedEventFailed,
		linkedEventChainOpen:     TransferLinkedEventChainOpen,
		importedEventExpected:    TransferImportedEventExpected,
		importedEventNotExpected: TransferImportedEventNotExpected,
		timestampOutOfRange:      TransferImportedEventTimestampOutOfRange,
		timestampMustNotAdvance:  TransferImportedEventTimestampMustNotAdvance,
		timestampMustBeZero:      TransferTimestampMustBeZero,
		exists:                   TransferExists,
		linked:                   func(i int) bool { return transfers[i].Flags&TransferLinked != 0 },
		imported:                 func(i int) bool { return transfers[i].Flags&TransferImported != 0 },
		timestamp:                func(i int) uint64 { return transfers[i].Timestamp },
		apply:                    func(te uint64, i int) (Status, uint64) { return m.createTransfer(te, transfers[i]) },
		// Called after the rollback of the event's chain, so that it is never undone (accounting, 6.2).
		remember: func(i int, status Status) {
			if isTransient(status) {
				m.deadIDs[transfers[i].ID] = true
			}
		},
	})
}

// createTransfer is the common head, accounting 5.1.
func (m *Machine) createTransfer(te uint64, t Transfer) (status Status, actual uint64) {
	if t.Flags&transferFlagsReserved != 0 {
		return TransferReservedFlag, 0
	}
	if t.ID.IsZero() {
		return TransferIDMustNotBeZero, 0
	}
	if t.ID == NumberMax {
		return TransferIDMustNotBeIntMax, 0
	}
	resolving := t.Flags&(TransferPostPending|TransferVoidPending) != 0
	if e := m.transfers[t.ID]; e != nil {
		if status := m.compareExisting(&t, e, resolving); status != TransferExists {
			return status, 0
		}
		return TransferExists, e.Timestamp
	}
	if m.deadIDs[t.ID] {
		return TransferIDAlreadyFailed, 0
	}
	if resolving {
		return m.createResolving(te, t)
	}
	return m.createRegular(te, t)
}

// compareExisting compares t with e, the transfer that has its id. Source: accounting, 6.1.
func (m *Machine) compareExisting(t, e *Transfer, resolving bool) Status {
	if t.Flags != e.Flags {
		return TransferExistsWithDifferentFlags
	}
	if t.PendingID != e.PendingID {
		return TransferExistsWithDifferentPendingID
	}
	if t.Timeout != e.Timeout {
		return TransferExistsWithDifferentTimeout
	}
	// The flags are equal, so e is resolving exactly if t is.
	if !resolving {
		amountDiffers := t.Amount != e.Amount
		if t.Flags&(TransferBalancingDebit|TransferBalancingCredit) != 0 {
			amountDiffers = t.Amount.Less(e.Amount)
		}
		switch {
		case t.DebitAccountID != e.DebitAccountID:
			return TransferExistsWithDifferentDebitAccountID
		case t.CreditAccountID != e.CreditAccountID:
			return TransferExistsWithDifferentCreditAccountID
		case amountDiffers:
			return TransferExistsWithDifferentAmount
		case t.UserData128 != e.UserData128:
			return TransferExistsWithDifferentUserData128
		case t.UserData64 != e.UserData64:
			return TransferExistsWithDifferentUserData64
		case t.UserData32 != e.UserData32:
			return TransferExistsWithDifferentUserData32
		case t.Ledger != e.Ledger:
			return TransferExistsWithDifferentLedger
		case t.Code != e.Code:
			return TransferExistsWithDifferentCode
		}
		return TransferExists
	}

	p := m.transfers[e.PendingID]
	amount := resolvedAmount(t, p)
	userData128, userData64, userData32 := inheritUserData(t, p)
	switch {
	case !t.DebitAccountID.IsZero() && t.DebitAccountID != e.DebitAccountID:
		return TransferExistsWithDifferentDebitAccountID
	case !t.CreditAccountID.IsZero() && t.CreditAccountID != e.CreditAccountID:
		return TransferExistsWithDifferentCreditAccountID
	case amount != e.Amount:
		return TransferExistsWithDifferentAmount
	case userData128 != e.UserData128:
		return TransferExistsWithDifferentUserData128
	case userData64 != e.UserData64:
		return TransferExistsWithDifferentUserData64
	case userData32 != e.UserData32:
		return TransferExistsWithDifferentUserData32
	case t.Ledger != 0 && t.Ledger != e.Ledger:
		return TransferExistsWithDifferentLedger
	case t.Code != 0 && t.Code != e.Code:
		return TransferExistsWithDifferentCode
	}
	return TransferExists
}

// resolvedAmount is the amount of a resolving transfer t of p. Each kind has its own number for
// "the whole amount".
func resolvedAmount(t, p *Transfer) Number {
	if t.Flags&TransferVoidPending != 0 {
		if t.Amount.IsZero() {
			return p.Amount
		}
		return t.Amount
	}
	if t.Amount == NumberMax {
		return p.Amount
	}
	return t.Amount
}

// inheritUserData returns the user data of t, each field from p where it is zero.
func inheritUserData(t, p *Transfer) (Number, uint64, uint32) {
	userData128, userData64, userData32 := t.UserData128, t.UserData64, t.UserData32
	if userData128.IsZero() {
		userData128 = p.UserData128
	}
	if userData64 == 0 {
		userData64 = p.UserData64
	}
	if userData32 == 0 {
		userData32 = p.UserData32
	}
	return userData128, userData64, userData32
}

// createRegular: accounting 5.2, in the order of its table.
func (m *Machine) createRegular(te uint64, t Transfer) (Status, uint64) {
	pending := t.Flags&TransferPending != 0
	imported := t.Flags&TransferImported != 0
	ts := te
	if imported {
		ts = t.Timestamp
	}

	switch {
	case t.DebitAccountID.IsZero():
		return TransferDebitAccountIDMustNotBeZero, 0
	case t.DebitAccountID == NumberMax:
		return TransferDebitAccountIDMustNotBeIntMax, 0
	case t.CreditAccountID.IsZero():
		return TransferCreditAccountIDMustNotBeZero, 0
	case t.CreditAccountID == NumberMax:
		return TransferCreditAccountIDMustNotBeIntMax, 0
	case t.DebitAccountID == t.CreditAccountID:
		return TransferAccountsMustBeDifferent, 0
	case !t.PendingID.IsZero():
		return TransferPendingIDMustBeZero, 0
	case !pending && t.Timeout != 0:
		return TransferTimeoutReservedForPendingTransfer, 0
	case !pending && t.Flags&(TransferClosingDebit|TransferClosingCredit) != 0:
		return TransferClosingTransferMustBePending, 0
	case t.Ledger == 0:
		return TransferLedgerMustNotBeZero, 0
	case t.Code == 0:
		return TransferCodeMustNotBeZero, 0
	}

	dr, cr := m.accounts[t.DebitAccountID], m.accounts[t.CreditAccountID]
	switch {
	case dr == nil:
		return TransferDebitAccountNotFound, 0
	case cr == nil:
		return TransferCreditAccountNotFound, 0
	case dr.Ledger != cr.Ledger:
		return TransferAccountsMustHaveTheSameLedger, 0
	case t.Ledger != dr.Ledger:
		return TransferMustHaveTheSameLedgerAsAccounts, 0
	case imported && (t.Timestamp <= m.transferStampMax() || m.accountStamps[t.Timestamp]):
		return TransferImportedEventTimestampMustNotRegress, 0
	case imported && t.Timestamp <= dr.Timestamp:
		return TransferImportedEventTimestampMustPostdateDebit, 0
	case imported && t.Timestamp <= cr.Timestamp:
		return TransferImportedEventTimestampMustPostdateCredit, 0
	case imported && t.Timeout != 0:
		return TransferImportedEventTimeoutMustBeZero, 0
	case dr.Flags&AccountClosed != 0:
		return TransferDebitAccountAlreadyClosed, 0
	case cr.Flags&AccountClosed != 0:
		return TransferCreditAccountAlreadyClosed, 0
	}

	amount := balancedAmount(&t, dr, cr)
	switch {
	case pending && sumOverflows(amount, dr.DebitsPending):
		return TransferOverflowsDebitsPending, 0
	case pending && sumOverflows(amount, cr.CreditsPending):
		return TransferOverflowsCreditsPending, 0
	case sumOverflows(amount, dr.DebitsPosted):
		return TransferOverflowsDebitsPosted, 0
	case sumOverflows(amount, cr.CreditsPosted):
		return TransferOverflowsCreditsPosted, 0
	case sumOverflows(amount, dr.DebitsPending, dr.DebitsPosted):
		return TransferOverflowsDebits, 0
	case sumOverflows(amount, cr.CreditsPending, cr.CreditsPosted):
		return TransferOverflowsCredits, 0
	case ts+uint64(t.Timeout)*nsPerSecond > timestampMax:
		return TransferOverflowsTimeout, 0
	case dr.Flags&AccountDebitsMustNotExceedCredits != 0 && sumExceeds(dr.DebitsPending, dr.DebitsPosted, amount, dr.CreditsPosted):
		return TransferExceedsCredits, 0
	case cr.Flags&AccountCreditsMustNotExceedDebits != 0 && sumExceeds(cr.CreditsPending, cr.CreditsPosted, amount, cr.DebitsPosted):
		return TransferExceedsDebits, 0
	}

	t.Amount, t.Timestamp = amount, ts
	stored := m.addTransfer(t)
	m.changing(dr)
	m.changing(cr)
	kind := uint8(EventSinglePhase)
	if pending {
		kind = EventPending
		dr.DebitsPending = mustPlus(dr.DebitsPending, amount)
		cr.CreditsPending = mustPlus(cr.CreditsPending, amount)
		m.setPending(ts, pendingOpen)
	} else {
		dr.DebitsPosted = mustPlus(dr.DebitsPosted, amount)
		cr.CreditsPosted = mustPlus(cr.CreditsPosted, amount)
	}
	if t.Flags&TransferClosingDebit != 0 {
		dr.Flags |= AccountClosed
	}
	if t.Flags&TransferClosingCredit != 0 {
		cr.Flags |= AccountClosed
	}
	if t.Timeout > 0 {
		m.addExpiry(expiryOf(stored))
	}
	m.addEvent(event{ts, kind, stored, *dr, *cr})
	return Created, ts
}

// balancedAmount: accounting 5.3.
func balancedAmount(t *Transfer, dr, cr *Account) Number {
	room := func(limit, posted, pending Number) Number {
		// The sum of an account's pending and posted amounts never overflows.
		left, negative := limit.Minus(mustPlus(posted, pending))
		if negative {
			return Number{}
		}
		return left
	}
	amount := t.Amount
	if t.Flags&TransferBalancingDebit != 0 {
		amount = lesser(amount, room(dr.CreditsPosted, dr.DebitsPosted, dr.DebitsPending))
	}
	if t.Flags&TransferBalancingCredit != 0 {
		amount = lesser(amount, room(cr.DebitsPosted, cr.CreditsPosted, cr.CreditsPending))
	}
	return amount
}

// createResolving: accounting 5.4, in the order of its table.
func (m *Machine) createResolving(te uint64, t Transfer) (Status, uint64) {
	post, void := t.Flags&TransferPostPending != 0, t.Flags&TransferVoidPending != 0
	imported := t.Flags&TransferImported != 0
	const excluded = TransferPending | TransferBalancingDebit | TransferBalancingCredit | TransferClosingDebit | TransferClosingCredit

	switch {
	case post && void, t.Flags&excluded != 0:
		return TransferFlagsAreMutuallyExclusive, 0
	case t.PendingID.IsZero():
		return TransferPendingIDMustNotBeZero, 0
	case t.PendingID == NumberMax:
		return TransferPendingIDMustNotBeIntMax, 0
	case t.PendingID == t.ID:
		return TransferPendingIDMustBeDifferent, 0
	case t.Timeout != 0:
		return TransferTimeoutReservedForPendingTransfer, 0
	}
	p := m.transfers[t.PendingID]
	if p == nil {
		return TransferPendingTransferNotFound, 0
	}
	switch {
	case p.Flags&TransferPending == 0:
		return TransferPendingTransferNotPending, 0
	case !t.DebitAccountID.IsZero() && t.DebitAccountID != p.DebitAccountID:
		return TransferPendingTransferHasDifferentDebitAccountID, 0
	case !t.CreditAccountID.IsZero() && t.CreditAccountID != p.CreditAccountID:
		return TransferPendingTransferHasDifferentCreditAccountID, 0
	case t.Ledger != 0 && t.Ledger != p.Ledger:
		return TransferPendingTransferHasDifferentLedger, 0
	case t.Code != 0 && t.Code != p.Code:
		return TransferPendingTransferHasDifferentCode, 0
	}

	amount := resolvedAmount(&t, p)
	status := m.pending[p.Timestamp]
	dr, cr := m.accounts[p.DebitAccountID], m.accounts[p.CreditAccountID]
	switch {
	case p.Amount.Less(amount):
		return TransferExceedsPendingTransferAmount, 0
	case void && amount.Less(p.Amount):
		return TransferPendingTransferHasDifferentAmount, 0
	case status == pendingPosted:
		return TransferPendingTransferAlreadyPosted, 0
	case status == pendingVoided:
		return TransferPendingTransferAlreadyVoided, 0
	case status == pendingExpired:
		return TransferPendingTransferExpired, 0
	case p.Timeout > 0 && p.Timestamp+uint64(p.Timeout)*nsPerSecond <= te:
		return TransferPendingTransferExpired, 0
	case imported && (t.Timestamp <= m.transferStampMax() || m.accountStamps[t.Timestamp]):
		return TransferImportedEventTimestampMustNotRegress, 0
	case post && dr.Flags&AccountClosed != 0:
		return TransferDebitAccountAlreadyClosed, 0
	case post && cr.Flags&AccountClosed != 0:
		return TransferCreditAccountAlreadyClosed, 0
	}

	ts := te
	if imported {
		ts = t.Timestamp
	}
	userData128, userData64, userData32 := inheritUserData(&t, p)
	stored := m.addTransfer(Transfer{
		ID:              t.ID,
		DebitAccountID:  p.DebitAccountID,
		CreditAccountID: p.CreditAccountID,
		Amount:          amount,
		PendingID:       t.PendingID,
		UserData128:     userData128,
		UserData64:      userData64,
		UserData32:      userData32,
		Timeout:         0,
		Ledger:          p.Ledger,
		Code:            p.Code,
		Flags:           t.Flags,
		Timestamp:       ts,
	})
	m.changing(dr)
	m.changing(cr)
	dr.DebitsPending = mustMinus(dr.DebitsPending, p.Amount)
	cr.CreditsPending = mustMinus(cr.CreditsPending, p.Amount)
	kind := uint8(EventPosted)
	if post {
		dr.DebitsPosted = mustPlus(dr.DebitsPosted, amount)
		cr.CreditsPosted = mustPlus(cr.CreditsPosted, amount)
		m.setPending(p.Timestamp, pendingPosted)
	} else {
		kind = EventVoided
		reopen(p, dr, cr)
		m.setPending(p.Timestamp, pendingVoided)
	}
	if p.Timeout > 0 {
		m.removeExpiry(expiryOf(p))
	}
	m.addEvent(event{ts, kind, stored, *dr, *cr})
	return Created, ts
}

// reopen reverts the closing of accounts by a closing transfer.
func reopen(p *Transfer, dr, cr *Account) {
	if p.Flags&TransferClosingDebit != 0 {
		dr.Flags &^= AccountClosed
	}
	if p.Flags&TransferClosingCredit != 0 {
		cr.Flags &^= AccountClosed
	}
}

// pulse expires the due transfers. Source: accounting, 7.2.
func (m *Machine) pulse(timestamp uint64, expiriesMax int) {
	var due []expiry
	for _, e := range m.expiries {
		if e.expiresAtNs <= timestamp && len(due) < expiriesMax {
			due = append(due, e)
		}
	}
	for i, e := range due {
		te := timestamp - uint64(len(due)) + uint64(i) + 1
		p := e.transfer
		dr, cr := m.accounts[p.DebitAccountID], m.accounts[p.CreditAccountID]
		dr.DebitsPending = mustMinus(dr.DebitsPending, p.Amount)
		cr.CreditsPending = mustMinus(cr.CreditsPending, p.Amount)
		reopen(p, dr, cr)
		m.setPending(p.Timestamp, pendingExpired)
		m.removeExpiry(e)
		m.addEvent(event{te, EventExpired, p, *dr, *cr})
	}
}
