// Package fakeserver is a toy server for the tests of this tool. It stores accounts
// and transfers and knows almost none of the real rules.
package fakeserver

import (
	"sync"

	"ledger/interop/conformance/internal/proto"
)

// Server is a toy server. It is a runner.Sender.
type Server struct {
	mutex sync.Mutex
	// now is the last timestamp; each event takes the next one, gap later.
	now, gap  uint64
	accounts  []proto.Account
	transfers []proto.Transfer
	changes   []proto.Change
	// expiring are transfers whose expiry is still to be noted.
	expiring []proto.Transfer
	// Spoil, if set, may change a reply before it is returned.
	Spoil func(*proto.Request, *proto.Reply)
}

// New makes a server whose timestamps begin after start and are gap apart.
func New(start, gap uint64) *Server { return &Server{now: start, gap: gap} }

// Send answers a request.
func (s *Server) Send(request *proto.Request) (proto.Reply, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.now += 1000 // Time goes on between requests.
	s.expire()
	reply := s.answer(request)
	if s.Spoil != nil {
		s.Spoil(request, &reply)
	}
	return reply, nil
}

func (s *Server) tick() uint64 {
	s.now += s.gap
	return s.now
}

// expire notes the expiry of transfers with a timeout of one or two seconds as a
// change event that has a timestamp of its own.
func (s *Server) expire() {
	for _, t := range s.expiring {
		s.change(t, s.tick(), 4)
	}
	s.expiring = nil
}

func (s *Server) change(t proto.Transfer, at uint64, kind uint8) {
	s.changes = append(s.changes, proto.Change{
		Type: kind, TransferID: t.ID, TransferAmount: t.Amount, Ledger: t.Ledger,
		Timestamp: proto.Plain(at), TransferTimestamp: t.Timestamp,
	})
}

func (s *Server) answer(request *proto.Request) (reply proto.Reply) {
	switch request.Op {
	case proto.CreateAccounts:
		for _, a := range request.Accounts {
			reply.Results = append(reply.Results, s.createAccount(a))
		}
	case proto.CreateTransfers:
		for _, t := range request.Transfers {
			reply.Results = append(reply.Results, s.createTransfer(t))
		}
	case proto.LookupAccounts:
		for _, id := range request.IDs {
			for _, a := range s.accounts {
				if a.ID == id {
					reply.Accounts = append(reply.Accounts, a)
				}
			}
		}
	case proto.LookupTransfers:
		for _, id := range request.IDs {
			for _, t := range s.transfers {
				if t.ID == id {
					reply.Transfers = append(reply.Transfers, t)
				}
			}
		}
	case proto.QueryTransfers:
		for _, t := range s.transfers {
			f := request.QueryFilter
			if inRange(t.Timestamp, f.TimestampMin, f.TimestampMax) && len(reply.Transfers) < int(f.Limit) {
				reply.Transfers = append(reply.Transfers, t)
			}
		}
	case proto.QueryAccounts:
		for _, a := range s.accounts {
			f := request.QueryFilter
			if inRange(a.Timestamp, f.TimestampMin, f.TimestampMax) && len(reply.Accounts) < int(f.Limit) {
				reply.Accounts = append(reply.Accounts, a)
			}
		}
	case proto.GetChangeEvents:
		for _, c := range s.changes {
			f := request.ChangesFilter
			if inRange(c.Timestamp, f.TimestampMin, f.TimestampMax) && len(reply.Changes) < int(f.Limit) {
				reply.Changes = append(reply.Changes, c)
			}
		}
	}
	return reply
}

func inRange(t, from, to proto.Time) bool {
	return t.Value >= from.Value && (to.Value == 0 || t.Value <= to.Value)
}

func (s *Server) createAccount(a proto.Account) proto.Result {
	at := proto.Plain(s.tick())
	for _, known := range s.accounts {
		if known.ID == a.ID {
			return proto.Result{Status: 21, Timestamp: known.Timestamp}
		}
	}
	if a.Code == 0 {
		return proto.Result{Status: 14, Timestamp: at}
	}
	if a.Flags&proto.AccountImported != 0 {
		at = a.Timestamp
	}
	a.Timestamp = at
	s.accounts = append(s.accounts, a)
	return proto.Result{Status: proto.Created, Timestamp: at}
}

func (s *Server) createTransfer(t proto.Transfer) proto.Result {
	at := proto.Plain(s.tick())
	for _, known := range s.transfers {
		if known.ID == t.ID {
			return proto.Result{Status: 46, Timestamp: known.Timestamp}
		}
	}
	if t.Code == 0 {
		return proto.Result{Status: 20, Timestamp: at}
	}
	imported := t.Flags&proto.TransferImported != 0
	if imported {
		at = t.Timestamp
	}
	t.Timestamp = at
	s.transfers = append(s.transfers, t)
	if !imported { // Keeps the change events in order.
		s.change(t, at.Value, 0)
	}
	if t.Timeout == 1 || t.Timeout == 2 {
		s.expiring = append(s.expiring, t)
	}
	return proto.Result{Status: proto.Created, Timestamp: at}
}
