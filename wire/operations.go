package wire

// Operation says what a request does.
type Operation uint8

// The operations that may appear in a request (specification, section 5). The newest clients use
// the names without a suffix. All others must be served to every client as well.
const (
	OperationRegister    Operation = 2
	OperationReconfigure Operation = 3 // refused
	OperationUpgrade     Operation = 5 // only ours: see docs/design/cluster.md; refused from a client
	OperationNoop        Operation = 6
	// OperationMember is only ours: it changes which data files count as replicas. ledger recover asks
	// for it, and a primary prepares it to itself without a client.
	OperationMember Operation = 7

	OperationPulse                        Operation = 128 // only ours; refused from a client
	OperationCreateAccountsUnbatched      Operation = 129
	OperationCreateTransfersUnbatched     Operation = 130
	OperationLookupAccountsUnbatched      Operation = 131
	OperationLookupTransfersUnbatched     Operation = 132
	OperationGetAccountTransfersUnbatched Operation = 133
	OperationGetAccountBalancesUnbatched  Operation = 134
	OperationQueryAccountsUnbatched       Operation = 135
	OperationQueryTransfersUnbatched      Operation = 136
	OperationGetChangeEvents              Operation = 137
	OperationCreateAccountsSparse         Operation = 138
	OperationCreateTransfersSparse        Operation = 139
	OperationLookupAccounts               Operation = 140
	OperationLookupTransfers              Operation = 141
	OperationGetAccountTransfers          Operation = 142
	OperationGetAccountBalances           Operation = 143
	OperationQueryAccounts                Operation = 144
	OperationQueryTransfers               Operation = 145
	OperationCreateAccounts               Operation = 146
	OperationCreateTransfers              Operation = 147

	operationStateMachineMin Operation = 128 // below are the operations of the session and replication layer
)

// Sizes of records on the wire (specification, section 7).
const (
	AccountBytes            = 128
	TransferBytes           = 128
	AccountFilterBytes      = 128
	QueryFilterBytes        = 64
	ChangeEventsFilterBytes = 64
	AccountBalanceBytes     = 128
	ChangeEventBytes        = 384
	CreateResultBytes       = 16
	SparseResultBytes       = 8
)

// Class groups operations by the content of a batch.
type Class uint8

const (
	ClassUnknown Class = iota // no operation, or one for which a client may not ask
	ClassControl              // register, noop: no events
	ClassCreate               // 0 or more events, at most one result each
	ClassLookup               // 0 or more ids, at most one result each
	ClassQuery                // exactly one filter, as many results as it allows
)

// operationRow describes one operation.
type operationRow struct {
	name        string
	class       Class
	multiBatch  bool   // bodies of request and reply end in a trailer
	sparse      bool   // a create that reports only failures
	eventBytes  uint32 // one event, id or filter; 0 if there is none
	resultBytes uint32 // one result
	limitOffset uint32 // of the u32 limit in a query's filter
}

const (
	limitOffsetAccountFilter      = 120
	limitOffsetQueryFilter        = 56
	limitOffsetChangeEventsFilter = 16
)

// operations is the table of the specification's section 5. All other numbers are unknown. The
// table never changes.
var operations = [256]operationRow{
	OperationRegister:    {name: "register", class: ClassControl, eventBytes: RegisterBodyBytes, resultBytes: RegisterReplyBytes},
	OperationReconfigure: {name: "reconfigure"},
	OperationUpgrade:     {name: "upgrade"},
	OperationNoop:        {name: "noop", class: ClassControl},
	OperationMember:      {name: "member", class: ClassControl},
	OperationPulse:       {name: "pulse"},

	OperationCreateAccountsUnbatched:  {"create_accounts_unbatched", ClassCreate, false, true, AccountBytes, SparseResultBytes, 0},
	OperationCreateTransfersUnbatched: {"create_transfers_unbatched", ClassCreate, false, true, TransferBytes, SparseResultBytes, 0},
	OperationLookupAccountsUnbatched:  {"lookup_accounts_unbatched", ClassLookup, false, false, U128Bytes, AccountBytes, 0},
	OperationLookupTransfersUnbatched: {"lookup_transfers_unbatched", ClassLookup, false, false, U128Bytes, TransferBytes, 0},
	OperationGetAccountTransfersUnbatched: {"get_account_transfers_unbatched", ClassQuery, false, false, AccountFilterBytes, TransferBytes,
		limitOffsetAccountFilter},
	OperationGetAccountBalancesUnbatched: {"get_account_balances_unbatched", ClassQuery, false, false, AccountFilterBytes, AccountBalanceBytes,
		limitOffsetAccountFilter},
	OperationQueryAccountsUnbatched: {"query_accounts_unbatched", ClassQuery, false, false, QueryFilterBytes, AccountBytes,
		limitOffsetQueryFilter},
	OperationQueryTransfersUnbatched: {"query_transfers_unbatched", ClassQuery, false, false, QueryFilterBytes, TransferBytes,
		limitOffsetQueryFilter},
	OperationGetChangeEvents: {"get_change_events", ClassQuery, false, false, ChangeEventsFilterBytes, ChangeEventBytes,
		limitOffsetChangeEventsFilter},

	OperationCreateAccountsSparse:  {"create_accounts_sparse", ClassCreate, true, true, AccountBytes, SparseResultBytes, 0},
	OperationCreateTransfersSparse: {"create_transfers_sparse", ClassCreate, true, true, TransferBytes, SparseResultBytes, 0},
	OperationLookupAccounts:        {"lookup_accounts", ClassLookup, true, false, U128Bytes, AccountBytes, 0},
	OperationLookupTransfers:       {"lookup_transfers", ClassLookup, true, false, U128Bytes, TransferBytes, 0},
	OperationGetAccountTransfers: {"get_account_transfers", ClassQuery, true, false, AccountFilterBytes, TransferBytes,
		limitOffsetAccountFilter},
	OperationGetAccountBalances: {"get_account_balances", ClassQuery, true, false, AccountFilterBytes, AccountBalanceBytes,
		limitOffsetAccountFilter},
	OperationQueryAccounts:   {"query_accounts", ClassQuery, true, false, QueryFilterBytes, AccountBytes, limitOffsetQueryFilter},
	OperationQueryTransfers:  {"query_transfers", ClassQuery, true, false, QueryFilterBytes, TransferBytes, limitOffsetQueryFilter},
	OperationCreateAccounts:  {"create_accounts", ClassCreate, true, false, AccountBytes, CreateResultBytes, 0},
	OperationCreateTransfers: {"create_transfers", ClassCreate, true, false, TransferBytes, CreateResultBytes, 0},
}

// String returns the operation's name in the specification; "unknown" for a number without one.
func (o Operation) String() string {
	if name := operations[o].name; name != "" {
		return name
	}
	return "unknown"
}

// Class returns the class of o. It is ClassUnknown for operations for which a client may not ask,
// including pulse and reconfigure.
func (o Operation) Class() Class { return operations[o].class }

// IsKnown tells whether a client may ask for o. Other requests are answered with eviction reason 4.
func (o Operation) IsKnown() bool { return operations[o].class != ClassUnknown }

// IsMultiBatch tells whether bodies of o, request and reply, end in a trailer.
func (o Operation) IsMultiBatch() bool { return operations[o].multiBatch }

// IsSparse tells whether o is a create whose reply has only failures, each with its index.
func (o Operation) IsSparse() bool { return operations[o].sparse }

// IsReadOnly tells whether o changes neither accounts nor transfers.
func (o Operation) IsReadOnly() bool {
	class := operations[o].class
	return class == ClassLookup || class == ClassQuery || o == OperationNoop
}

// EventBytes is the size of one event, id or filter of o; 0 if o has none.
func (o Operation) EventBytes() uint32 { return operations[o].eventBytes }

// ResultBytes is the size of one result of o; 0 if o has none.
func (o Operation) ResultBytes() uint32 { return operations[o].resultBytes }

// PulseTimestampDelta is the number that every pulse adds to its base timestamp. It depends neither
// on the number of expired transfers nor on the configured request size. (specification,
// "Accounting", 2.1)
const PulseTimestampDelta = 8190

// Limits that follow from batchBytesMax, the largest request body of a server: 1,048,320 in
// production, 32,512 with requests of 32 KiB. (specification, "Accounting", 11.3)

// EventsMax is the largest number of events in one batch of o: 1 for queries, 0 for operations
// without events.
func EventsMax(o Operation, batchBytesMax uint32) uint32 {
	row := &operations[o]
	switch row.class {
	case ClassQuery:
		return 1
	case ClassCreate, ClassLookup:
		if row.multiBatch {
			return min(fit(batchBytesMax, row.eventBytes), fit(BodyBytesMax, row.resultBytes))
		}
		return min(batchBytesMax/row.eventBytes, BodyBytesMax/row.resultBytes)
	}
	return 0
}

// fit returns the number of elements that fit a body together with the trailer of one batch.
func fit(bodyBytes, elementBytes uint32) uint32 {
	trailer := uint32(TrailerBytes(elementBytes, 1))
	if bodyBytes < trailer {
		return 0
	}
	return (bodyBytes - trailer) / elementBytes
}

// RowsMax is the largest number of results of one query o; its filter's limit is cut to it. 0 if o
// is no query.
func RowsMax(o Operation, batchBytesMax uint32) uint32 {
	row := &operations[o]
	if row.class != ClassQuery {
		return 0
	}
	if o == OperationGetChangeEvents {
		idsMax := EventsMax(OperationLookupAccountsUnbatched, batchBytesMax)
		return min(BodyBytesMax/row.resultBytes, idsMax/2)
	}
	if row.multiBatch {
		return fit(BodyBytesMax, row.resultBytes)
	}
	return BodyBytesMax / row.resultBytes
}

// ExpiriesPerPulseMax is how many pending transfers one pulse expires at most: the largest batch of
// transfers in any encoding.
func ExpiriesPerPulseMax(batchBytesMax uint32) uint32 {
	return max(
		EventsMax(OperationCreateTransfersUnbatched, batchBytesMax),
		EventsMax(OperationCreateTransfersSparse, batchBytesMax),
		EventsMax(OperationCreateTransfers, batchBytesMax),
	)
}
