package accounting

import (
	"unsafe"

	"ledger/internal/assert"
)

// batchRules are the differences between accounts and transfers in the batch loop.
type batchRules struct {
	transfers bool
	imported  uint16 // the flag
	// Statuses of the import checks; linked_event_failed, linked_event_chain_open,
	// timestamp_must_be_zero and created have the same numbers for both.
	expected, notExpected, outOfRange, mustNotAdvance uint32
}

var (
	accountRules = batchRules{
		imported:       uint16(AccountImported),
		expected:       uint32(AccountStatusImportedEventExpected),
		notExpected:    uint32(AccountStatusImportedEventNotExpected),
		outOfRange:     uint32(AccountStatusImportedEventTimestampOutOfRange),
		mustNotAdvance: uint32(AccountStatusImportedEventTimestampMustNotAdvance),
	}
	transferRules = batchRules{
		transfers:      true,
		imported:       uint16(TransferImported),
		expected:       uint32(TransferStatusImportedEventExpected),
		notExpected:    uint32(TransferStatusImportedEventNotExpected),
		outOfRange:     uint32(TransferStatusImportedEventTimestampOutOfRange),
		mustNotAdvance: uint32(TransferStatusImportedEventTimestampMustNotAdvance),
	}
)

const (
	statusCreated             = uint32(TransferStatusCreated)
	statusLinkedEventFailed   = uint32(TransferStatusLinkedEventFailed)
	statusChainOpen           = uint32(TransferStatusLinkedEventChainOpen)
	statusTimestampMustBeZero = uint32(TransferStatusTimestampMustBeZero)
)

// Numbers that both kinds share. These lines do not compile if the numbers differ.
var (
	_ [0]byte = [uint32(AccountStatusCreated) - statusCreated]byte{}
	_ [0]byte = [uint32(AccountStatusLinkedEventFailed) - statusLinkedEventFailed]byte{}
	_ [0]byte = [uint32(AccountStatusLinkedEventChainOpen) - statusChainOpen]byte{}
	_ [0]byte = [uint32(AccountStatusTimestampMustBeZero) - statusTimestampMustBeZero]byte{}
)

// createBatch runs the events of one create batch and returns the number of results that it has
// written.
//
// The order of the checks is the specification's. An open chain at the end of the batch has
// precedence over all other failures. Members of a chain behind its break are not checked. The
// import mode is that of the first event, even if that event fails. Source: accounting, 3.1 and
// 2.3.
func (m *Machine) createBatch(rules *batchRules, batchTimestamp uint64, events []createEvent, output []byte,
	sparse bool) (resultsCount int) {
	assert.That(batchTimestamp > uint64(len(events)), "every event of a batch has a time of its own")
	var results resultWriter
	if sparse {
		results.sparse = view[SparseResult](output)
	} else {
		results.dense = view[CreateResult](output)[:len(events)]
	}
	batchIsImport := len(events) > 0 && events[0].Flags&rules.imported != 0
	const none = -1
	chain, broken := none, false // index of the chain's first event; a broken chain is already rolled back
	eventTime := batchTimestamp - uint64(len(events))

	for i := range events {
		event := &events[i]
		eventTime++
		linked := event.Flags&eventLinked != 0
		imported := event.Flags&rules.imported != 0
		if linked && chain == none {
			chain = i
			m.store.ChainOpen()
		}

		status, stamp := uint32(0), eventTime
		switch {
		case linked && i == len(events)-1:
			status = statusChainOpen
		case broken:
			status = statusLinkedEventFailed
		case imported != batchIsImport:
			status = rules.expected
			if imported {
				status = rules.notExpected
			}
		case imported && (event.Timestamp == 0 || event.Timestamp > TimestampMax):
			status = rules.outOfRange
		case imported && event.Timestamp >= batchTimestamp: // the batch's timestamp counts, not the event's
			status = rules.mustNotAdvance
		case !imported && event.Timestamp != 0:
			status = statusTimestampMustBeZero
		case rules.transfers:
			var transferStatus TransferStatus
			transferStatus, stamp = m.createTransfer(eventTime, (*Transfer)(unsafe.Pointer(event)))
			status = uint32(transferStatus)
		default:
			var accountStatus AccountStatus
			accountStatus, stamp = m.createAccount(eventTime, (*Account)(unsafe.Pointer(event)))
			status = uint32(accountStatus)
		}

		if status != statusCreated {
			if chain != none && !broken {
				broken = true
				m.store.ChainRollback()
				results.chainFailed(chain, i)
			}
			// The id is killed after the rollback, so that nothing reverts it (6.2).
			if rules.transfers && TransferStatus(status).transient() {
				m.store.TransferKill((*Transfer)(unsafe.Pointer(event)).ID)
			}
		}
		results.put(i, stamp, status)

		if chain != none && (!linked || status == statusChainOpen) {
			if !broken {
				m.store.ChainCommit()
			}
			chain, broken = none, false
		}
		m.breathe(i)
	}
	return results.count()
}

// resultWriter writes the results of a create batch into the reply. The dense form has one result
// per event, the sparse form one per failure.
type resultWriter struct {
	dense       []CreateResult
	sparse      []SparseResult
	sparseCount int
}

func (w *resultWriter) put(index int, timestamp uint64, status uint32) {
	if w.dense != nil {
		w.dense[index] = CreateResult{Timestamp: timestamp, Status: status}
	} else if status != statusCreated {
		w.sparse[w.sparseCount] = SparseResult{Index: uint32(index), Status: status}
		w.sparseCount++
	}
}

// chainFailed turns the results of the chain's members before the break, which were all created,
// into failures. Their timestamps stay, so an imported member keeps its imported one (2.3).
func (w *resultWriter) chainFailed(first, breaking int) {
	for i := first; i < breaking; i++ {
		if w.dense != nil {
			w.dense[i].Status = statusLinkedEventFailed
		} else {
			w.put(i, 0, statusLinkedEventFailed)
		}
	}
}

func (w *resultWriter) count() int {
	if w.dense != nil {
		return len(w.dense)
	}
	return w.sparseCount
}
