package client

import (
	"context"

	"ledger/wire"
)

// CreateAccounts creates accounts and returns one result for each, in their order. An account with
// AccountLinked and the next account succeed or fail together.
//
// accounts: 0 to 8189 (fewer in development mode).
// error:    ErrTooMuchData, ErrClosed, an *EvictedError, or ctx's. A wrong account is no error: its
// result tells the reason.
func (c *Client) CreateAccounts(ctx context.Context, accounts []Account) ([]CreateAccountResult, error) {
	return run[Account, CreateAccountResult](ctx, c, wire.OperationCreateAccounts, accounts)
}

// CreateTransfers creates transfers and returns one result for each, in their order; see
// CreateAccounts.
func (c *Client) CreateTransfers(ctx context.Context, transfers []Transfer) ([]CreateTransferResult, error) {
	return run[Transfer, CreateTransferResult](ctx, c, wire.OperationCreateTransfers, transfers)
}

// LookupAccounts returns the accounts that exist, in the order of ids.
func (c *Client) LookupAccounts(ctx context.Context, ids []U128) ([]Account, error) {
	return run[U128, Account](ctx, c, wire.OperationLookupAccounts, ids)
}

// LookupTransfers returns the transfers that exist, in the order of ids.
func (c *Client) LookupTransfers(ctx context.Context, ids []U128) ([]Transfer, error) {
	return run[U128, Transfer](ctx, c, wire.OperationLookupTransfers, ids)
}

// GetAccountTransfers returns the transfers of one account by time, at most filter.Limit and 8189.
// An invalid filter finds nothing, here and in the following methods.
func (c *Client) GetAccountTransfers(ctx context.Context, filter AccountFilter) ([]Transfer, error) {
	return run[AccountFilter, Transfer](ctx, c, wire.OperationGetAccountTransfers, []AccountFilter{filter})
}

// GetAccountBalances returns the balances of one account, created with AccountHistory, after each
// of its transfers.
func (c *Client) GetAccountBalances(ctx context.Context, filter AccountFilter) ([]AccountBalance, error) {
	return run[AccountFilter, AccountBalance](ctx, c, wire.OperationGetAccountBalances, []AccountFilter{filter})
}

// QueryAccounts returns the accounts that have all non-zero values of the filter, by time.
func (c *Client) QueryAccounts(ctx context.Context, filter QueryFilter) ([]Account, error) {
	return run[QueryFilter, Account](ctx, c, wire.OperationQueryAccounts, []QueryFilter{filter})
}

// QueryTransfers is QueryAccounts for transfers.
func (c *Client) QueryTransfers(ctx context.Context, filter QueryFilter) ([]Transfer, error) {
	return run[QueryFilter, Transfer](ctx, c, wire.OperationQueryTransfers, []QueryFilter{filter})
}

// GetChangeEvents returns changes by time, at most filter.Limit and 2730.
func (c *Client) GetChangeEvents(ctx context.Context, filter ChangeEventsFilter) ([]ChangeEvent, error) {
	return run[ChangeEventsFilter, ChangeEvent](ctx, c, wire.OperationGetChangeEvents, []ChangeEventsFilter{filter})
}

// run is one typed call.
func run[E, R Record](ctx context.Context, c *Client, o wire.Operation, events []E) ([]R, error) {
	results, err := c.submit(ctx, o, bytesOf(events))
	if err != nil {
		return nil, err
	}
	return View[R](results), nil
}
