package move

import (
	"context"
	"io"

	"ledger/accounting"
)

// liveSource reads a server round by round. The end of a round is the timestamp of a transfer or
// expiry that the server had when the round began, so everything up to it can be seen, and no
// expiry comes too late for its place among the transfers.
type liveSource struct {
	d    Database
	name string

	accounts  paged[accounting.Account]
	transfers paged[accounting.Transfer]
	events    paged[accounting.ChangeEvent]

	hasTimeouts bool   // a pending transfer with a timeout was seen, so there may be expiries
	last        uint64 // end of the round
	accountLast uint64 // the newest account when the round began
}

// paged reads rows page by page.
type paged[R any] struct {
	page  page[R]
	stamp func(*R) uint64
	rows  []R
	next  int
	after uint64 // timestamp of the last row of the pages so far
	ended uint64 // up to this timestamp there are no more
	count int    // of rows that were taken
}

// look shows the next row up to the timestamp last, where 0 means no bound, or nil.
func (p *paged[R]) look(ctx context.Context, last uint64) (*R, error) {
	if p.next == len(p.rows) {
		if last != 0 && max(p.after, p.ended) >= last {
			return nil, nil
		}
		rows, err := p.page(ctx, p.after, last)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			p.ended = last // of a round, which is asked for with each row
			return nil, nil
		}
		p.rows, p.next, p.after = rows, 0, p.stamp(&rows[len(rows)-1])
	}
	return &p.rows[p.next], nil
}

func (p *paged[R]) take() { p.next, p.count = p.next+1, p.count+1 }

func newLive(d Database, name string) *liveSource {
	return &liveSource{d: d, name: name,
		accounts:  paged[accounting.Account]{page: accountPages(d), stamp: func(a *accounting.Account) uint64 { return a.Timestamp }},
		transfers: paged[accounting.Transfer]{page: transferPages(d), stamp: func(t *accounting.Transfer) uint64 { return t.Timestamp }},
		events:    paged[accounting.ChangeEvent]{page: eventPages(d), stamp: func(e *accounting.ChangeEvent) uint64 { return e.Timestamp }},
	}
}

// OpenServer opens a server as a source. The name is for messages.
func OpenServer(d Database, name string, tell func(Change)) *Source {
	live := newLive(d, name)
	s := &Source{changer: newChanger(tell), live: live, isComplete: true, isServers: true, accounts: live.nextAccount,
		share: func() float64 { return 0 }}
	s.transfers = func(ctx context.Context, row *accounting.Transfer) (Place, error) {
		return live.nextTransfer(ctx, row, s.changer)
	}
	s.again = func() (source[accountRow], func() error, error) {
		again := newLive(d, name)
		again.accountLast = live.accountLast
		return again.nextAccount, func() error { return nil }, nil
	}
	return s
}

func (l *liveSource) nextAccount(ctx context.Context, row *accountRow) (Place, error) {
	if l.accountLast == 0 {
		return Place{}, io.EOF // the server has none
	}
	account, err := l.accounts.look(ctx, l.accountLast)
	if err != nil {
		return Place{}, err
	}
	if account == nil {
		return Place{}, io.EOF
	}
	rows, err := withClosing(ctx, l.d, []accounting.Account{*account})
	if err != nil {
		return Place{}, err
	}
	l.accounts.take()
	*row = rows[0]
	return Place{l.name + ", account", l.accounts.count}, nil
}

// begin begins a round, and tells whether there is anything new. The accounts of a round are read
// after this and before its transfers, so every transfer finds its accounts.
func (l *liveSource) begin(ctx context.Context) (isNew bool, err error) {
	account, transfer, err := newest(ctx, l.d)
	if err != nil {
		return false, err
	}
	isNew, l.accountLast = account.Timestamp > l.accounts.after, account.Timestamp
	if transfer.Timestamp > l.last {
		l.last = transfer.Timestamp
		return true, nil
	}
	if !l.hasTimeouts {
		return isNew, nil
	}
	// The expiries behind the last transfer are seen now, so a later transfer comes behind them.
	for {
		events, err := eventPages(l.d)(ctx, l.last, 0)
		if err != nil || len(events) == 0 {
			return isNew, err
		}
		for i := range events {
			if isNew = true; events[i].Type != accounting.EventTwoPhaseExpired {
				return true, nil
			}
			l.last = events[i].Timestamp
		}
	}
}

// expiry is the next one of the round, or nil.
func (l *liveSource) expiry(ctx context.Context) (*accounting.ChangeEvent, error) {
	for l.hasTimeouts {
		event, err := l.events.look(ctx, l.last)
		if err != nil || event == nil || event.Type == accounting.EventTwoPhaseExpired {
			return event, err
		}
		l.events.next++
	}
	return nil, nil
}

// nextTransfer gives the transfers and expiries of the round in their order, ready to be imported.
func (l *liveSource) nextTransfer(ctx context.Context, row *accounting.Transfer, c *changer) (Place, error) {
	if l.last == 0 {
		return Place{}, io.EOF // the server has none
	}
	transfer, err := l.transfers.look(ctx, l.last)
	if err != nil {
		return Place{}, err
	}
	if transfer != nil && transfer.Timeout != 0 && !l.hasTimeouts {
		l.hasTimeouts, l.events.after = true, transfer.Timestamp // nothing expires before
	}
	expiry, err := l.expiry(ctx)
	switch {
	case err != nil:
		return Place{}, err
	case expiry != nil && (transfer == nil || expiry.Timestamp < transfer.Timestamp):
		*row = c.expiry(&expiryRow{expiry.TransferID, expiry.Timestamp})
		l.events.take()
		return Place{l.name + ", expiry", l.events.count}, nil
	case transfer != nil:
		*row = *transfer
		c.transfer(row)
		l.transfers.take()
		return Place{l.name + ", transfer", l.transfers.count}, nil
	}
	return Place{}, io.EOF
}
