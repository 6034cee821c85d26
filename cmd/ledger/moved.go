package main

import (
	"context"

	"ledger/accounting"
	"ledger/client"
	"ledger/move"
	"ledger/patient"
	"ledger/wire"
)

// movedServer is a server for package move: it waits for answers, and replaces a session that has
// ended. A create that was under way then is sent again, and answers "exists" if it took effect.
type movedServer struct {
	servers *patient.Connection[*client.Client]
}

var _ move.Database = (*movedServer)(nil)

// answered asks until there is an answer.
func answered[Q, R any](ctx context.Context, s *movedServer, question Q,
	ask func(*client.Client, context.Context, Q) ([]R, error)) (rows []R, err error) {
	err = persistently(ctx, s.servers, func(ctx context.Context, c *client.Client) error {
		var err error
		rows, err = ask(c, ctx, question)
		return err
	})
	return rows, err
}

func (s *movedServer) LookupAccounts(ctx context.Context, ids []wire.U128) ([]accounting.Account, error) {
	return answered(ctx, s, ids, (*client.Client).LookupAccounts)
}

func (s *movedServer) LookupTransfers(ctx context.Context, ids []wire.U128) ([]accounting.Transfer, error) {
	return answered(ctx, s, ids, (*client.Client).LookupTransfers)
}

func (s *movedServer) QueryAccounts(ctx context.Context, filter accounting.QueryFilter) ([]accounting.Account, error) {
	return answered(ctx, s, filter, (*client.Client).QueryAccounts)
}

func (s *movedServer) QueryTransfers(ctx context.Context, filter accounting.QueryFilter) ([]accounting.Transfer, error) {
	return answered(ctx, s, filter, (*client.Client).QueryTransfers)
}

func (s *movedServer) GetAccountTransfers(ctx context.Context, filter accounting.AccountFilter) ([]accounting.Transfer, error) {
	return answered(ctx, s, filter, (*client.Client).GetAccountTransfers)
}

func (s *movedServer) GetChangeEvents(ctx context.Context, filter accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error) {
	return answered(ctx, s, filter, (*client.Client).GetChangeEvents)
}

func (s *movedServer) CreateAccounts(ctx context.Context, accounts []accounting.Account) ([]client.CreateAccountResult, error) {
	return answered(ctx, s, accounts, (*client.Client).CreateAccounts)
}

func (s *movedServer) CreateTransfers(ctx context.Context, transfers []accounting.Transfer) ([]client.CreateTransferResult, error) {
	return answered(ctx, s, transfers, (*client.Client).CreateTransfers)
}

func (s *movedServer) BodyBytesMax(ctx context.Context) (bodyBytes uint32, err error) {
	err = persistently(ctx, s.servers, func(_ context.Context, c *client.Client) error {
		bodyBytes = c.Session().BodyBytesMax()
		return nil
	})
	return bodyBytes, err
}
