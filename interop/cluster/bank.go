package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/client"
)

// callWithin bounds every call: both clients try for ever.
const callWithin = patience

// bank is a client, the official one or our own. The official one's records are used for both.
type bank interface {
	CreateAccounts([]tb.Account) ([]tb.CreateAccountResult, error)
	CreateTransfers([]tb.Transfer) ([]tb.CreateTransferResult, error)
	LookupAccounts([]tb.Uint128) ([]tb.Account, error)
	LookupTransfers([]tb.Uint128) ([]tb.Transfer, error)
	QueryTransfers(tb.QueryFilter) ([]tb.Transfer, error)
	QueryAccounts(tb.QueryFilter) ([]tb.Account, error)
	GetAccountTransfers(tb.AccountFilter) ([]tb.Transfer, error)
	Close()
}

// ours is our own client.
type ours struct{ *client.Client }

// Records of both clients have the wire's form.
var (
	_ [unsafe.Sizeof(tb.Account{})]byte              = [unsafe.Sizeof(client.Account{})]byte{}
	_ [unsafe.Sizeof(tb.Transfer{})]byte             = [unsafe.Sizeof(client.Transfer{})]byte{}
	_ [unsafe.Sizeof(tb.CreateTransferResult{})]byte = [unsafe.Sizeof(client.CreateTransferResult{})]byte{}
	_ [unsafe.Sizeof(tb.CreateAccountResult{})]byte  = [unsafe.Sizeof(client.CreateAccountResult{})]byte{}
	_ [unsafe.Sizeof(tb.QueryFilter{})]byte          = [unsafe.Sizeof(client.QueryFilter{})]byte{}
	_ [unsafe.Sizeof(tb.AccountFilter{})]byte        = [unsafe.Sizeof(client.AccountFilter{})]byte{}
)

// as shows records of one client as those of the other.
func as[To, From any](records []From, err error) ([]To, error) {
	return unsafe.Slice((*To)(unsafe.Pointer(unsafe.SliceData(records))), len(records)), err
}

func to[To, From any](records []From) []To {
	shown, _ := as[To](records, nil)
	return shown
}

func (o ours) CreateAccounts(accounts []tb.Account) ([]tb.CreateAccountResult, error) {
	return as[tb.CreateAccountResult](o.Client.CreateAccounts(context.Background(), to[client.Account](accounts)))
}

func (o ours) CreateTransfers(transfers []tb.Transfer) ([]tb.CreateTransferResult, error) {
	return as[tb.CreateTransferResult](o.Client.CreateTransfers(context.Background(), to[client.Transfer](transfers)))
}

func (o ours) LookupAccounts(ids []tb.Uint128) ([]tb.Account, error) {
	return as[tb.Account](o.Client.LookupAccounts(context.Background(), u128s(ids)))
}

func (o ours) LookupTransfers(ids []tb.Uint128) ([]tb.Transfer, error) {
	return as[tb.Transfer](o.Client.LookupTransfers(context.Background(), u128s(ids)))
}

func (o ours) QueryTransfers(filter tb.QueryFilter) ([]tb.Transfer, error) {
	return as[tb.Transfer](o.Client.QueryTransfers(context.Background(), to[client.QueryFilter]([]tb.QueryFilter{filter})[0]))
}

func (o ours) QueryAccounts(filter tb.QueryFilter) ([]tb.Account, error) {
	return as[tb.Account](o.Client.QueryAccounts(context.Background(), to[client.QueryFilter]([]tb.QueryFilter{filter})[0]))
}

func (o ours) GetAccountTransfers(filter tb.AccountFilter) ([]tb.Transfer, error) {
	filters := to[client.AccountFilter]([]tb.AccountFilter{filter})
	return as[tb.Transfer](o.Client.GetAccountTransfers(context.Background(), filters[0]))
}

// u128s copies, because our own client wants another alignment.
func u128s(ids []tb.Uint128) []client.U128 {
	list := make([]client.U128, len(ids))
	for i, id := range ids {
		list[i].Lo, list[i].Hi = id.Uint64()
	}
	return list
}

// newBank connects to a cluster: with the official client, or with our own.
func newBank(addresses []string, official bool) (bank, error) {
	if official {
		return tb.NewClient(tb.ToUint128(0), addresses)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: addresses})
	if err != nil {
		return nil, fmt.Errorf("our own client: %w", err)
	}
	return ours{c}, nil
}

// isClosed: the call ended because its client was closed.
func isClosed(err error) bool {
	return errors.Is(err, tb.ErrClientClosed) || errors.Is(err, client.ErrClosed)
}

// within makes a call and gives up on it when it takes too long.
func within[In, Out any](call func(In) (Out, error), in In) (Out, error) {
	type outcome struct {
		value Out
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call(in)
		done <- outcome{value, err}
	}()
	timer := time.NewTimer(callWithin)
	defer timer.Stop()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		var none Out
		return none, fmt.Errorf("no reply within %v", callWithin)
	}
}

// closer closes a bank once, so that a bank may be closed during a call.
type closer struct {
	bank
	once sync.Once
}

func (c *closer) Close() { c.once.Do(c.bank.Close) }

func id(n uint64) tb.Uint128 { return tb.ToUint128(n) }

// low is an id that fits 64 bits.
func low(n tb.Uint128) uint64 {
	value, high := n.Uint64()
	if high != 0 {
		panic(n.String() + " does not fit 64 bits") // ids and amounts of these tests do
	}
	return value
}
