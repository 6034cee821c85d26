package repl

import (
	"context"
	"reflect"

	"ledger/client"
	"ledger/wire"
)

// database is what statements need of a client.
type database interface {
	CreateAccounts(context.Context, []client.Account) ([]client.CreateAccountResult, error)
	CreateTransfers(context.Context, []client.Transfer) ([]client.CreateTransferResult, error)
	LookupAccounts(context.Context, []client.U128) ([]client.Account, error)
	LookupTransfers(context.Context, []client.U128) ([]client.Transfer, error)
	GetAccountTransfers(context.Context, client.AccountFilter) ([]client.Transfer, error)
	GetAccountBalances(context.Context, client.AccountFilter) ([]client.AccountBalance, error)
	QueryAccounts(context.Context, client.QueryFilter) ([]client.Account, error)
	QueryTransfers(context.Context, client.QueryFilter) ([]client.Transfer, error)
	GetChangeEvents(context.Context, client.ChangeEventsFilter) ([]client.ChangeEvent, error)
}

// lookup is the object of a lookup.
type lookup struct{ ID client.U128 }

// verb is a kind of statement.
type verb struct {
	name      string
	operation wire.Operation // 0: needs no server
	object    reflect.Type   // nil: a topic follows, or nothing
	many      bool           // takes several objects
	required  string         // the field that each object needs; "": none
	help      string
	example   string
	run       func(context.Context, database, *statement) (any, error) // a slice of rows
}

// newVerb makes a verb whose objects are of type E and whose rows are of type R.
func newVerb[E, R any](name string, operation wire.Operation, required, help, example string,
	run func(database, context.Context, []E) ([]R, error)) *verb {
	return &verb{name: name, operation: operation, object: reflect.TypeFor[E](), many: true, required: required, help: help, example: example,
		run: func(ctx context.Context, db database, s *statement) (any, error) {
			return run(db, ctx, s.objects.Interface().([]E))
		}}
}

// newQuery makes a verb that takes one filter.
func newQuery[E, R any](name string, operation wire.Operation, required, help, example string,
	run func(database, context.Context, E) ([]R, error)) *verb {
	v := newVerb(name, operation, required, help, example,
		func(db database, ctx context.Context, filters []E) ([]R, error) { return run(db, ctx, filters[0]) })
	v.many = false
	return v
}

// newLookup makes a verb whose objects are ids.
func newLookup[R any](name string, operation wire.Operation, help, example string,
	run func(database, context.Context, []client.U128) ([]R, error)) *verb {
	return newVerb(name, operation, "id", help, example, func(db database, ctx context.Context, lookups []lookup) ([]R, error) {
		ids := make([]client.U128, len(lookups))
		for i, one := range lookups {
			ids[i] = one.ID
		}
		return run(db, ctx, ids)
	})
}

// verbs lists all statements, in the order of help.
func verbs() []*verb {
	return []*verb{
		newVerb("create_accounts", wire.OperationCreateAccounts, "", "creates accounts, and shows a result for each",
			"create_accounts id=1 code=10 ledger=700 flags=linked|history, id=2 code=10 ledger=700", database.CreateAccounts),
		newVerb("create_transfers", wire.OperationCreateTransfers, "", "creates transfers, and shows a result for each",
			"create_transfers id=1 debit_account_id=1 credit_account_id=2 amount=1_000 ledger=700 code=10", database.CreateTransfers),
		newLookup("lookup_accounts", wire.OperationLookupAccounts, "shows the accounts with these ids",
			"lookup_accounts id=0xa1a2a3a4_b1b2_c1c2_d1d2_e1e2e3e4e5e6, id=2", database.LookupAccounts),
		newLookup("lookup_transfers", wire.OperationLookupTransfers, "shows the transfers with these ids",
			"lookup_transfers id=1, id=2", database.LookupTransfers),
		newQuery("get_account_transfers", wire.OperationGetAccountTransfers, "account_id", "shows the transfers of an account, by time",
			"get_account_transfers account_id=1 flags=debits|credits limit=10", database.GetAccountTransfers),
		newQuery("get_account_balances", wire.OperationGetAccountBalances, "account_id",
			"shows the balances of an account with history, after each of its transfers",
			"get_account_balances account_id=1 timestamp_min=123 timestamp_max=456", database.GetAccountBalances),
		newQuery("query_accounts", wire.OperationQueryAccounts, "", "shows the accounts that match all fields, by time",
			"query_accounts ledger=700 code=10 flags=reversed limit=10", database.QueryAccounts),
		newQuery("query_transfers", wire.OperationQueryTransfers, "", "shows the transfers that match all fields, by time",
			"query_transfers user_data_128=7 timestamp_min=123", database.QueryTransfers),
		newQuery("get_change_events", wire.OperationGetChangeEvents, "",
			"shows each transfer and each expiry, with the accounts right after it, by time",
			"get_change_events timestamp_min=123 limit=10", database.GetChangeEvents),
		{name: "explain", help: "tells what a status means and what to do; alone, it lists all of them", example: "explain exceeds_credits"},
		{name: "help", help: "lists the statements, or tells the fields of one", example: "help create_transfers"},
	}
}

// verbNamed finds a verb, or nil.
func verbNamed(list []*verb, name string) *verb {
	for _, one := range list {
		if one.name == name {
			return one
		}
	}
	return nil
}

// statement is one parsed statement.
type statement struct {
	verb    *verb
	at      position
	objects reflect.Value // a slice of verb.object
	given   []string      // names of the fields of the last object
	topic   string        // of explain and help; "": none
}
