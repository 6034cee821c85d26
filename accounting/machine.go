package accounting

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// breathEvents is the number of events or rows between two calls of Store.Breathe.
const breathEvents = 256

// Machine runs the rules over a Store, on one thread and one request at a time.
type Machine struct {
	store     Store
	nextPulse uint64
	rules     rules

	// Scratch for one event. Arguments of a Store's methods would otherwise be allocated for each
	// call.
	debit, credit Account
	existing      Transfer // the transfer that already has this id
	pending       Transfer // the transfer that is resolved or expires
	row           TransferRow
	expired       ExpiredRow
	event         EventRow
	transferScan  TransferScan
	accountScan   AccountScan
	due           []due // for one pulse
}

// due is a pending transfer whose timeout has passed.
type due struct {
	expiresAtNs uint64
	ordinal     TransferOrdinal
}

// Request is one committed log entry.
type Request struct {
	Operation       wire.Operation
	RequestBytesMax uint32 // request limit when it was prepared, header included; P and R_ce follow from it (13)
	Timestamp       uint64 // T, of the request (2.1)
	Body            []byte // valid by wire protocol, 5.1 and 6.3; aligned to 8 bytes
}

// New returns a machine over the state in store, with next_pulse as after a start.
func New(limits limits.Limits, store Store) *Machine {
	return &Machine{
		store:     store,
		nextPulse: 1,
		due:       make([]due, wire.ExpiriesPerPulseMax(limits.BodyBytesMax())),
	}
}

// Reset makes the machine what New returned, after the store was given another state.
func (m *Machine) Reset() { m.nextPulse = 1 }

// NextPulse returns the time of the next pulse. The primary starts a pulse when this is at most the
// last assigned timestamp (7.3). It is 1 after a start, and TimestampMax when no transfer waits to
// expire.
func (m *Machine) NextPulse() uint64 { return m.nextPulse }

// Execute runs one request and writes its reply body into reply.
//
// reply:   wire.BodyBytesMax bytes, aligned to 8; its content need not be zero.
// returns: the size of the reply body, 0 for noop, for a pulse, and for an unbatched operation
// without results.
// source:  accounting, 3 to 12.
func (m *Machine) Execute(request *Request, reply []byte) (replyBytes int) {
	assert.That(request.Timestamp >= 1, "a request has a timestamp")
	assert.AtMost(request.Timestamp, TimestampMax, "timestamp of a request")
	assert.That(request.RequestBytesMax > wire.HeaderBytes, "the request limit leaves room for a body")
	switch request.Operation {
	case wire.OperationRegister:
		wire.PutRegisterReplyBody(reply[:wire.RegisterReplyBytes], request.RequestBytesMax-wire.HeaderBytes)
		return wire.RegisterReplyBytes
	case wire.OperationNoop, wire.OperationMember: // what a member changes is in the headers of the log
		return 0
	case wire.OperationPulse:
		m.Pulse(request.Timestamp, request.RequestBytesMax)
		return 0
	}
	assert.That(request.Operation.IsKnown(), "an operation of the log is known")
	assert.AtMost(wire.BodyBytesMax, len(reply), "reply bytes")
	batches := wire.RequestBatches(request.Operation, request.Body)
	encoder := wire.NewReplyEncoder(request.Operation, reply[:wire.BodyBytesMax], batches.Left())

	// The batch timestamps end at T. In a create request, each batch takes one nanosecond per event
	// (2.2).
	batchTimestamp := request.Timestamp - uint64(batches.ElementsLeft())
	eventBytes := request.Operation.EventBytes()
	for {
		events, ok := batches.Next()
		if !ok {
			return len(encoder.Finish())
		}
		batchTimestamp += uint64(uint32(len(events)) / eventBytes)
		encoder.EndBatch(m.executeBatch(request, batchTimestamp, events, encoder.Free()))
	}
}

// executeBatch runs one batch and returns the number of results that it has written. The results of
// a valid request always fit.
func (m *Machine) executeBatch(request *Request, batchTimestamp uint64, events, results []byte) (resultsCount int) {
	operation := request.Operation
	rowsMax := wire.RowsMax(operation, request.RequestBytesMax-wire.HeaderBytes)
	switch operation {
	case wire.OperationCreateAccounts, wire.OperationCreateAccountsSparse, wire.OperationCreateAccountsUnbatched:
		return m.createBatch(&accountRules, batchTimestamp, view[createEvent](events), results, operation.IsSparse())
	case wire.OperationCreateTransfers, wire.OperationCreateTransfersSparse, wire.OperationCreateTransfersUnbatched:
		return m.createBatch(&transferRules, batchTimestamp, view[createEvent](events), results, operation.IsSparse())
	case wire.OperationLookupAccounts, wire.OperationLookupAccountsUnbatched:
		return m.lookupAccounts(view[U128](events), view[Account](results))
	case wire.OperationLookupTransfers, wire.OperationLookupTransfersUnbatched:
		return m.lookupTransfers(view[U128](events), view[Transfer](results))
	case wire.OperationGetAccountTransfers, wire.OperationGetAccountTransfersUnbatched:
		return m.accountTransfers(&view[AccountFilter](events)[0], rowsMax, view[Transfer](results))
	case wire.OperationGetAccountBalances, wire.OperationGetAccountBalancesUnbatched:
		return m.accountBalances(&view[AccountFilter](events)[0], rowsMax, view[AccountBalance](results))
	case wire.OperationQueryAccounts, wire.OperationQueryAccountsUnbatched:
		return m.queryAccounts(&view[QueryFilter](events)[0], rowsMax, view[Account](results))
	case wire.OperationQueryTransfers, wire.OperationQueryTransfersUnbatched:
		return m.queryTransfers(&view[QueryFilter](events)[0], rowsMax, view[Transfer](results))
	case wire.OperationGetChangeEvents:
		return m.changeEvents(&view[ChangeEventsFilter](events)[0], rowsMax, view[ChangeEvent](results))
	}
	assert.That(false, "an operation of the log is known")
	return 0
}
