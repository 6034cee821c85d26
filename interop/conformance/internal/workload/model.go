package workload

import "ledger/interop/conformance/internal/proto"

// A model is what the generator knows about the server's state. It learns from the
// replies, so that most of the events it makes up are valid or nearly so.
type model struct {
	accounts  []*account
	byLedger  map[uint32][]*account
	byID      map[proto.U128]*account
	ledgers   []uint32
	transfers []*transfer
	byXfer    map[proto.U128]*transfer
	// pending are the pending transfers that are neither posted nor voided.
	pending []*transfer
	// failed are events that were refused.
	failed []proto.Transfer
	// latest is the timestamp of the last event of the last create request.
	latest proto.Time
	// nextAccount and nextTransfer count ids.
	nextAccount, nextTransfer uint64
}

type account struct {
	proto.Account
	// sent is the event that created the account.
	sent proto.Account
}

type transfer struct {
	// sent is the event as it was sent; Transfer is what the server made of it.
	sent proto.Transfer
	proto.Transfer
	done bool // posted, voided or expired
}

func newModel(firstID uint64) *model {
	return &model{
		byLedger:     map[uint32][]*account{},
		byID:         map[proto.U128]*account{},
		byXfer:       map[proto.U128]*transfer{},
		nextAccount:  firstID,
		nextTransfer: firstID,
	}
}

// learn takes in the reply to a request.
func (m *model) learn(request *proto.Request, reply *proto.Reply) {
	switch request.Op {
	case proto.CreateAccounts:
		for i, result := range reply.Results {
			m.passed(request.Op, result)
			if result.Status == proto.Created {
				m.addAccount(request.Accounts[i], result.Timestamp)
			}
		}
	case proto.CreateTransfers:
		for i, result := range reply.Results {
			m.passed(request.Op, result)
			if result.Status == proto.Created {
				m.addTransfer(request.Transfers[i], result.Timestamp)
			} else if len(m.failed) < 1000 {
				m.failed = append(m.failed, request.Transfers[i])
			} else {
				m.failed[int(m.nextTransfer)%len(m.failed)] = request.Transfers[i]
			}
		}
	case proto.LookupAccounts, proto.QueryAccounts:
		for _, row := range reply.Accounts {
			if known := m.byID[row.ID]; known != nil {
				known.Account = row
			}
		}
	}
}

// passed notes how far time has got with a result.
func (m *model) passed(op proto.Op, result proto.Result) {
	if proto.StatusName(op, result.Status) != "exists" { // That has an old timestamp.
		m.latest = result.Timestamp
	}
}

func (m *model) addAccount(sent proto.Account, at proto.Time) {
	added := &account{Account: sent, sent: sent}
	added.Timestamp = at
	if len(m.byLedger[sent.Ledger]) == 0 {
		m.ledgers = append(m.ledgers, sent.Ledger)
	}
	m.accounts = append(m.accounts, added)
	m.byLedger[sent.Ledger] = append(m.byLedger[sent.Ledger], added)
	m.byID[sent.ID] = added
}

func (m *model) addTransfer(sent proto.Transfer, at proto.Time) {
	added := &transfer{sent: sent, Transfer: sent}
	added.Timestamp = at
	m.transfers = append(m.transfers, added)
	m.byXfer[sent.ID] = added
	if sent.Flags&(proto.TransferPost|proto.TransferVoid) != 0 {
		m.finish(added)
		return
	}
	debit, credit := m.byID[sent.DebitAccountID], m.byID[sent.CreditAccountID]
	if debit == nil || credit == nil {
		return
	}
	if sent.Flags&proto.TransferBalancingDebit != 0 {
		used, _ := debit.DebitsPosted.Add(debit.DebitsPending)
		added.Amount = added.Amount.Min(debit.CreditsPosted.Sub(used))
	}
	if sent.Flags&proto.TransferBalancingCredit != 0 {
		used, _ := credit.CreditsPosted.Add(credit.CreditsPending)
		added.Amount = added.Amount.Min(credit.DebitsPosted.Sub(used))
	}
	if sent.Flags&proto.TransferPending != 0 {
		m.pending = append(m.pending, added)
		debit.DebitsPending, _ = debit.DebitsPending.Add(added.Amount)
		credit.CreditsPending, _ = credit.CreditsPending.Add(added.Amount)
	} else {
		debit.DebitsPosted, _ = debit.DebitsPosted.Add(added.Amount)
		credit.CreditsPosted, _ = credit.CreditsPosted.Add(added.Amount)
	}
	if sent.Flags&proto.TransferClosingDebit != 0 {
		debit.Flags |= proto.AccountClosed
	}
	if sent.Flags&proto.TransferClosingCredit != 0 {
		credit.Flags |= proto.AccountClosed
	}
}

// finish applies the posting or voiding of a pending transfer.
func (m *model) finish(last *transfer) {
	pending := m.byXfer[last.PendingID]
	if pending == nil {
		return
	}
	pending.done = true
	last.DebitAccountID, last.CreditAccountID = pending.DebitAccountID, pending.CreditAccountID
	last.Ledger, last.Code = pending.Ledger, pending.Code
	post := last.Flags&proto.TransferPost != 0
	if !post || last.Amount == proto.MaxU128 {
		last.Amount = pending.Amount
	}
	debit, credit := m.byID[pending.DebitAccountID], m.byID[pending.CreditAccountID]
	if debit == nil || credit == nil {
		return
	}
	debit.DebitsPending = debit.DebitsPending.Sub(pending.Amount)
	credit.CreditsPending = credit.CreditsPending.Sub(pending.Amount)
	if post {
		debit.DebitsPosted, _ = debit.DebitsPosted.Add(last.Amount)
		credit.CreditsPosted, _ = credit.CreditsPosted.Add(last.Amount)
	} else {
		if pending.Flags&proto.TransferClosingDebit != 0 {
			debit.Flags &^= proto.AccountClosed
		}
		if pending.Flags&proto.TransferClosingCredit != 0 {
			credit.Flags &^= proto.AccountClosed
		}
	}
}

// openPending returns the transfers that are still pending.
func (m *model) openPending() []*transfer {
	open := m.pending[:0]
	for _, t := range m.pending {
		if !t.done {
			open = append(open, t)
		}
	}
	m.pending = open
	return open
}
