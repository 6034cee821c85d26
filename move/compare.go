package move

import (
	"context"
	"errors"
	"io"
	"slices"

	"ledger/accounting"
	"ledger/wire"
)

// compare compares every account of the source with the server's, by their timestamps. A dry run
// compares with what the server would have.
func (m *importer) compare(ctx context.Context) (err error) {
	m.report.Compared, m.report.Different, m.createdHere = 0, 0, 0
	if m.source.again == nil || !m.source.isComplete || m.report.Wrong > 0 {
		return nil
	}
	m.report.HasCompared = true
	want, closeWant, err := m.source.again()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWant()) }()
	got := m.serverAccounts()
	columns := accountColumns()
	found, err := got(ctx)
	for err == nil {
		var row accountRow
		if _, err = want(ctx, &row); err != nil {
			break
		}
		for found != nil && found.Timestamp < row.Timestamp {
			m.Tell(Change{Kind: ChangeExtra, ID: found.ID.String(), Timestamp: found.Timestamp})
			if found, err = got(ctx); err != nil {
				return err
			}
		}
		m.report.Compared++
		if m.report.Compared%uint64(rowsMax) == 0 {
			m.Progress(Progress{What: "balances", Count: m.report.Compared})
		}
		if found == nil || found.Timestamp != row.Timestamp {
			m.report.Different++
			m.Tell(Change{Kind: ChangeMissing, ID: row.ID.String(), Timestamp: row.Timestamp})
			continue
		}
		if m.differ(columns, &row.Account, found) {
			m.report.Different++
			if found.ID == row.ID && found.Flags&accounting.AccountImported == 0 {
				m.createdHere++
			}
		}
		found, err = got(ctx)
	}
	for errors.Is(err, io.EOF) && found != nil {
		m.Tell(Change{Kind: ChangeExtra, ID: found.ID.String(), Timestamp: found.Timestamp})
		var next error
		if found, next = got(ctx); next != nil {
			return next
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// differ tells of each field that differs. Imported accounts have the flag that says so.
func (m *importer) differ(columns []column, want, got *accounting.Account) (isDifferent bool) {
	wanted := accountRow{Account: *want}
	wanted.Flags |= accounting.AccountImported
	found := accountRow{Account: *got}
	if wanted == found {
		return false
	}
	for i := range columns {
		c := &columns[i]
		if a, b := c.value(memoryOf(&wanted)), c.value(memoryOf(&found)); a != b {
			isDifferent = true
			m.Tell(Change{Kind: ChangeDifference, ID: want.ID.String(), Timestamp: want.Timestamp, Field: c.name, Want: a.String(), Got: b.String()})
		}
	}
	return isDifferent
}

// serverAccounts gives the accounts of the server one by one, and nil at the end. In a dry run they
// are as they would be, and those that would be made come behind them.
func (m *importer) serverAccounts() func(context.Context) (*accounting.Account, error) {
	server := paged[accounting.Account]{page: accountPages(m.d), stamp: func(a *accounting.Account) uint64 { return a.Timestamp }}
	own := []accounting.Account(nil)
	if m.IsDryRun {
		for _, account := range m.seen.store.accounts {
			if account.Timestamp > m.accounts.serverLast {
				own = append(own, account)
			}
		}
		slices.SortFunc(own, func(a, b accounting.Account) int {
			return wire.U128From(a.Timestamp).Compare(wire.U128From(b.Timestamp))
		})
	}
	return func(ctx context.Context) (*accounting.Account, error) {
		account, err := server.look(ctx, 0)
		switch {
		case err != nil:
			return nil, err
		case account == nil && len(own) > 0:
			first := &own[0]
			own = own[1:]
			return first, nil
		case account == nil:
			return nil, nil
		}
		server.take()
		if ordinal, isKnown := m.seen.store.accountIDs[account.ID]; m.IsDryRun && isKnown {
			return &m.seen.store.accounts[ordinal], nil
		}
		return account, nil
	}
}
