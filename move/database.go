package move

import (
	"context"
	"fmt"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// Database is what moving asks of a server: calls of client.Client that wait for their answer. A
// create that was sent again after a lost session answers "exists" for what is there already.
type Database interface {
	LookupAccounts(context.Context, []wire.U128) ([]accounting.Account, error)
	LookupTransfers(context.Context, []wire.U128) ([]accounting.Transfer, error)
	QueryAccounts(context.Context, accounting.QueryFilter) ([]accounting.Account, error)
	QueryTransfers(context.Context, accounting.QueryFilter) ([]accounting.Transfer, error)
	GetAccountTransfers(context.Context, accounting.AccountFilter) ([]accounting.Transfer, error)
	GetChangeEvents(context.Context, accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error)
	CreateAccounts(context.Context, []accounting.Account) ([]client.CreateAccountResult, error)
	CreateTransfers(context.Context, []accounting.Transfer) ([]client.CreateTransferResult, error)
	// BodyBytesMax is the largest body of a request.
	BodyBytesMax(context.Context) (uint32, error)
}

// Rows of a reply at most; the server sends fewer if its limit is lower.
var (
	rowsMax   = wire.RowsMax(wire.OperationQueryTransfers, wire.BodyBytesMax)
	eventsMax = wire.RowsMax(wire.OperationGetChangeEvents, wire.BodyBytesMax)
)

// A page function gives the rows with after < timestamp <= last, the oldest first, as many as a
// reply holds. last = 0 means no bound. An empty page is the end.
type page[R any] func(ctx context.Context, after, last uint64) ([]R, error)

func accountPages(d Database) page[accounting.Account] {
	return func(ctx context.Context, after, last uint64) ([]accounting.Account, error) {
		rows, err := d.QueryAccounts(ctx, accounting.QueryFilter{TimestampMin: after + 1, TimestampMax: last, Limit: rowsMax})
		return rising(rows, err, after, func(a *accounting.Account) uint64 { return a.Timestamp })
	}
}

func transferPages(d Database) page[accounting.Transfer] {
	return func(ctx context.Context, after, last uint64) ([]accounting.Transfer, error) {
		rows, err := d.QueryTransfers(ctx, accounting.QueryFilter{TimestampMin: after + 1, TimestampMax: last, Limit: rowsMax})
		return rising(rows, err, after, func(t *accounting.Transfer) uint64 { return t.Timestamp })
	}
}

func eventPages(d Database) page[accounting.ChangeEvent] {
	return func(ctx context.Context, after, last uint64) ([]accounting.ChangeEvent, error) {
		rows, err := d.GetChangeEvents(ctx, accounting.ChangeEventsFilter{TimestampMin: after + 1, TimestampMax: last, Limit: eventsMax})
		return rising(rows, err, after, func(e *accounting.ChangeEvent) uint64 { return e.Timestamp })
	}
}

// rising checks the order of rows.
func rising[R any](rows []R, err error, after uint64, timestamp func(*R) uint64) ([]R, error) {
	if err != nil {
		return nil, err
	}
	for i := range rows {
		next := timestamp(&rows[i])
		if next <= after {
			return nil, fmt.Errorf("the server sent timestamp %d behind %d: their order is broken", next, after)
		}
		after = next
	}
	return rows, nil
}

// newest account and transfer of a server; their timestamps are 0 if there is none. The account is
// asked for last, so the accounts of all transfers up to that one are not newer than it.
func newest(ctx context.Context, d Database) (account accounting.Account, transfer accounting.Transfer, err error) {
	filter := accounting.QueryFilter{Limit: 1, Flags: accounting.QueryReversed}
	transfers, err := d.QueryTransfers(ctx, filter)
	if err != nil {
		return account, transfer, err
	}
	accounts, err := d.QueryAccounts(ctx, filter)
	if err != nil {
		return account, transfer, err
	}
	if len(accounts) > 0 {
		account = accounts[0]
	}
	if len(transfers) > 0 {
		transfer = transfers[0]
	}
	return account, transfer, nil
}

// hasTransfers tells whether an account ever had a transfer.
func hasTransfers(ctx context.Context, d Database, id wire.U128) (bool, error) {
	rows, err := d.GetAccountTransfers(ctx, accounting.AccountFilter{AccountID: id, Limit: 1,
		Flags: accounting.FilterDebits | accounting.FilterCredits})
	return len(rows) > 0, err
}

// withClosing says of accounts of a server whether a transfer has closed them. An account with a
// balance had transfers, so the server is asked for the others only.
func withClosing(ctx context.Context, d Database, accounts []accounting.Account) ([]accountRow, error) {
	rows := make([]accountRow, len(accounts))
	for i := range accounts {
		rows[i].Account = accounts[i]
		if accounts[i].Flags&accounting.AccountClosed == 0 {
			continue
		}
		has := accounts[i] != zeroed(accounts[i])
		if !has {
			var err error
			if has, err = hasTransfers(ctx, d, accounts[i].ID); err != nil {
				return nil, err
			}
		}
		if has {
			rows[i].ClosedByTransfer = 1
		}
	}
	return rows, nil
}
