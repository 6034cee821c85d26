// Package server sends requests to a server through the official client library.
package server

import (
	"errors"
	"fmt"
	"strings"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/conformance/internal/proto"
)

// ClientVersion is the version of the client library.
const ClientVersion = "0.17.9"

// Server is a connection to a server.
type Server struct {
	client  tb.Client
	timeout time.Duration
}

// Connect makes a client for a server. Addresses are separated by commas. A request
// that takes longer than timeout fails.
func Connect(addresses string, cluster proto.U128, timeout time.Duration) (*Server, error) {
	client, err := tb.NewClient(toUint128(cluster), strings.Split(addresses, ","))
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for %s: %w", addresses, err)
	}
	return &Server{client: client, timeout: timeout}, nil
}

// Close closes the connection.
func (s *Server) Close() { s.client.Close() }

// errorNames are the errors of the client library that can be part of a corpus.
var errorNames = map[error]string{
	tb.ErrTooMuchData:      "too_much_data",
	tb.ErrInvalidOperation: "invalid_operation",
}

// Send sends a request whose timestamps are all plain numbers. The timestamps in
// the reply are plain numbers too. An error means that there is no reply at all.
func (s *Server) Send(request *proto.Request) (proto.Reply, error) {
	type outcome struct {
		reply proto.Reply
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		reply, err := s.call(request)
		done <- outcome{reply, err}
	}()
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case result := <-done:
		for known, name := range errorNames {
			if errors.Is(result.err, known) {
				return proto.Reply{Error: name}, nil
			}
		}
		return result.reply, result.err
	case <-timer.C:
		return proto.Reply{}, fmt.Errorf("no reply to request %d (%s) within %v",
			request.Number, request.Op, s.timeout)
	}
}

func (s *Server) call(request *proto.Request) (reply proto.Reply, err error) {
	switch request.Op {
	case proto.CreateAccounts:
		var rows []tb.CreateAccountResult
		rows, err = s.client.CreateAccounts(convert(request.Accounts, toAccount))
		reply.Results = convert(rows, fromAccountResult)
	case proto.CreateTransfers:
		var rows []tb.CreateTransferResult
		rows, err = s.client.CreateTransfers(convert(request.Transfers, toTransfer))
		reply.Results = convert(rows, fromTransferResult)
	case proto.LookupAccounts:
		var rows []tb.Account
		rows, err = s.client.LookupAccounts(convert(request.IDs, toUint128))
		reply.Accounts = convert(rows, fromAccount)
	case proto.LookupTransfers:
		var rows []tb.Transfer
		rows, err = s.client.LookupTransfers(convert(request.IDs, toUint128))
		reply.Transfers = convert(rows, fromTransfer)
	case proto.GetAccountTransfers:
		var rows []tb.Transfer
		rows, err = s.client.GetAccountTransfers(toAccountFilter(request.AccountFilter))
		reply.Transfers = convert(rows, fromTransfer)
	case proto.GetAccountBalances:
		var rows []tb.AccountBalance
		rows, err = s.client.GetAccountBalances(toAccountFilter(request.AccountFilter))
		reply.Balances = convert(rows, fromBalance)
	case proto.QueryAccounts:
		var rows []tb.Account
		rows, err = s.client.QueryAccounts(toQueryFilter(request.QueryFilter))
		reply.Accounts = convert(rows, fromAccount)
	case proto.QueryTransfers:
		var rows []tb.Transfer
		rows, err = s.client.QueryTransfers(toQueryFilter(request.QueryFilter))
		reply.Transfers = convert(rows, fromTransfer)
	case proto.GetChangeEvents:
		var rows []tb.ChangeEvent
		rows, err = s.client.GetChangeEvents(toChangesFilter(request.ChangesFilter))
		reply.Changes = convert(rows, fromChange)
	default:
		err = fmt.Errorf("unknown operation %q", request.Op)
	}
	return reply, err
}

func convert[From, To any](rows []From, one func(From) To) []To {
	if len(rows) == 0 {
		return nil
	}
	out := make([]To, len(rows))
	for i, row := range rows {
		out[i] = one(row)
	}
	return out
}
