package model

import (
	"cmp"
	"fmt"
	"slices"
)

// Machine is the accounting state machine: requests and their timestamps in, reply bodies out.
// Source: accounting, 1.2.
type Machine struct {
	messageBytesMax uint32

	refusesTrialCode bool // by the rules of the op that is executed

	accounts  map[Number]*Account
	transfers map[Number]*Transfer
	deadIDs   map[Number]bool
	pending   map[uint64]pendingStatus // by timestamp of the pending transfer
	events    map[uint64]*event        // by timestamp

	// In ascending order of timestamps. Accounts and transfers are only ever appended; event rows may
	// come in between.
	accountsInOrder  []*Account
	transfersInOrder []*Transfer
	eventStamps      []uint64
	expiries         []expiry // in ascending order of (expiresAtNs, timestamp)

	accountStamps  map[uint64]bool
	transferStamps map[uint64]bool

	inChain bool
	undo    []func() // functions that a rollback calls, the last one first

	checkRollbacks bool // for tests: compare the state after a rollback with a full copy taken before
	savepoint      *Machine
}

type pendingStatus uint8

const (
	pendingOpen pendingStatus = iota + 1
	pendingPosted
	pendingVoided
	pendingExpired
)

// expiry notes that a pending transfer expires. Source: accounting, 7.1.
type expiry struct {
	expiresAtNs uint64
	timestamp   uint64 // of the pending transfer
	transfer    *Transfer
}

func compareExpiries(a, b expiry) int {
	return cmp.Or(cmp.Compare(a.expiresAtNs, b.expiresAtNs), cmp.Compare(a.timestamp, b.timestamp))
}

const (
	timestampMax = 1<<63 - 1
	nsPerSecond  = 1_000_000_000
)

// NewMachine returns an empty machine with messages of at most messageBytesMax, header included.
func NewMachine(messageBytesMax uint32) *Machine {
	return &Machine{
		messageBytesMax: messageBytesMax,
		accounts:        map[Number]*Account{},
		transfers:       map[Number]*Transfer{},
		deadIDs:         map[Number]bool{},
		pending:         map[uint64]pendingStatus{},
		events:          map[uint64]*event{},
		accountStamps:   map[uint64]bool{},
		transferStamps:  map[uint64]bool{},
	}
}

// Execute runs one entry of the log and returns the body of its reply (nil for a pulse, which has
// none).
//
// timestamp:       T of the specification.
// requestBytesMax: the request limit that the entry runs under, header included.
// error:           the entry is impossible: no server may put it in its log.
func (m *Machine) Execute(o Operation, timestamp uint64, requestBytesMax uint32, body []byte) ([]byte, error) {
	limits := Limits{MessageBytesMax: m.messageBytesMax, RequestBytesMax: requestBytesMax}
	if o == Register {
		reply := make([]byte, 64)
		little.PutUint32(reply, requestBytesMax-headerBytes)
		return reply, nil
	}
	if err := limits.CheckBody(o, body); err != nil {
		return nil, fmt.Errorf("operation %d with an invalid body is in the log: %w", o, err)
	}
	switch o {
	case Noop, Member:
		return []byte{}, nil
	case Upgrade:
		return nil, nil
	case Pulse:
		m.pulse(timestamp, limits.ExpiriesMax())
		return nil, nil
	}
	batches, err := o.Batches(body)
	if err != nil {
		return nil, err
	}
	batchTimestamp := timestamp - TimestampDelta(o, body)
	var replies [][]byte
	for _, batch := range batches {
		if o.IsCreate() {
			batchTimestamp += uint64(len(batch) / o.EventBytes())
		}
		replies = append(replies, m.executeBatch(o, batchTimestamp, limits, batch))
	}
	if o.IsMultiBatch() {
		return Join(replies, o.ResultBytes()), nil
	}
	return append([]byte{}, replies[0]...), nil
}

func (m *Machine) executeBatch(o Operation, batchTimestamp uint64, limits Limits, batch []byte) []byte {
	rowsMax := limits.RowsMax(o)
	switch o.Base() {
	case CreateAccounts:
		return encodeResults(o, m.createAccounts(batchTimestamp, batch))
	case CreateTransfers:
		return encodeResults(o, m.createTransfers(batchTimestamp, batch))
	case LookupAccounts:
		return m.lookupAccounts(batch)
	case LookupTransfers:
		return m.lookupTransfers(batch)
	case GetAccountTransfers:
		return m.getAccountTransfers(AccountFilterAt(batch), rowsMax)
	case GetAccountBalances:
		return m.getAccountBalances(AccountFilterAt(batch), rowsMax)
	case QueryAccounts:
		return m.queryAccounts(QueryFilterAt(batch), rowsMax)
	case QueryTransfers:
		return m.queryTransfers(QueryFilterAt(batch), rowsMax)
	case GetChangeEvents:
		return m.getChangeEvents(ChangesFilterAt(batch), rowsMax)
	}
	panic(fmt.Sprintf("model: operation %d passed the check of its body", o))
}

// result of one event.
type result struct {
	timestamp uint64
	status    Status
}

// encodeResults in the form of the operation. Source: accounting, 3.2 and 12.
func encodeResults(o Operation, results []result) []byte {
	var out []byte
	for i, r := range results {
		if !o.IsSparse() {
			out = little.AppendUint64(out, r.timestamp)
			out = little.AppendUint32(out, uint32(r.status))
			out = little.AppendUint32(out, 0)
		} else if r.status != Created {
			out = little.AppendUint32(out, uint32(i))
			out = little.AppendUint32(out, uint32(r.status))
		}
	}
	return out
}

// ExpiresNext returns the moment at which the next pending transfer expires, if there is one.
func (m *Machine) ExpiresNext() (expiresAtNs uint64, ok bool) {
	if len(m.expiries) == 0 {
		return 0, false
	}
	return m.expiries[0].expiresAtNs, true
}

// Counts of objects, for reports.
func (m *Machine) Counts() (accounts, transfers, deadIDs, expiries int) {
	return len(m.accounts), len(m.transfers), len(m.deadIDs), len(m.expiries)
}

// --- Changes of state. Each one says how it is undone. ---

func (m *Machine) onRollback(putBack func()) {
	if m.inChain {
		m.undo = append(m.undo, putBack)
	}
}

func (m *Machine) openSavepoint() {
	m.inChain, m.undo = true, nil
	if m.checkRollbacks {
		m.savepoint = m.copyState()
	}
}

func (m *Machine) commitSavepoint() { m.inChain, m.undo = false, nil }

func (m *Machine) rollBackToSavepoint() {
	for i := len(m.undo) - 1; i >= 0; i-- {
		m.undo[i]()
	}
	m.inChain, m.undo = false, nil
	if m.checkRollbacks {
		m.mustEqual(m.savepoint)
	}
}

func (m *Machine) accountStampMax() uint64 {
	if len(m.accountsInOrder) == 0 {
		return 0
	}
	return m.accountsInOrder[len(m.accountsInOrder)-1].Timestamp
}

func (m *Machine) transferStampMax() uint64 {
	if len(m.transfersInOrder) == 0 {
		return 0
	}
	return m.transfersInOrder[len(m.transfersInOrder)-1].Timestamp
}

func (m *Machine) addAccount(a Account) {
	m.accounts[a.ID] = &a
	m.accountsInOrder = append(m.accountsInOrder, &a)
	m.accountStamps[a.Timestamp] = true
	m.onRollback(func() {
		delete(m.accounts, a.ID)
		m.accountsInOrder = m.accountsInOrder[:len(m.accountsInOrder)-1]
		delete(m.accountStamps, a.Timestamp)
	})
}

// changing is called before an account is changed.
func (m *Machine) changing(a *Account) {
	before := *a
	m.onRollback(func() { *a = before })
}

func (m *Machine) addTransfer(t Transfer) *Transfer {
	m.transfers[t.ID] = &t
	m.transfersInOrder = append(m.transfersInOrder, &t)
	m.transferStamps[t.Timestamp] = true
	m.onRollback(func() {
		delete(m.transfers, t.ID)
		m.transfersInOrder = m.transfersInOrder[:len(m.transfersInOrder)-1]
		delete(m.transferStamps, t.Timestamp)
	})
	return &t
}

func (m *Machine) setPending(timestamp uint64, status pendingStatus) {
	before, existed := m.pending[timestamp]
	m.pending[timestamp] = status
	m.onRollback(func() {
		if existed {
			m.pending[timestamp] = before
		} else {
			delete(m.pending, timestamp)
		}
	})
}

func expiryOf(t *Transfer) expiry {
	return expiry{t.Timestamp + uint64(t.Timeout)*nsPerSecond, t.Timestamp, t}
}

func (m *Machine) addExpiry(e expiry) {
	i, found := slices.BinarySearchFunc(m.expiries, e, compareExpiries)
	if found {
		panic("model: an expiry is added twice")
	}
	m.expiries = slices.Insert(m.expiries, i, e)
	m.onRollback(func() { m.dropExpiry(e) })
}

func (m *Machine) removeExpiry(e expiry) {
	m.dropExpiry(e)
	m.onRollback(func() {
		i, _ := slices.BinarySearchFunc(m.expiries, e, compareExpiries)
		m.expiries = slices.Insert(m.expiries, i, e)
	})
}

func (m *Machine) dropExpiry(e expiry) {
	i, found := slices.BinarySearchFunc(m.expiries, e, compareExpiries)
	if !found {
		panic("model: an expiry is missing")
	}
	m.expiries = slices.Delete(m.expiries, i, i+1)
}

// addEvent stores an event row. A row with the same timestamp is replaced (accounting, 7.5).
func (m *Machine) addEvent(e event) {
	before := m.events[e.Timestamp]
	if before != nil && before.Kind != EventExpired {
		panic("model: the row of a transfer would be replaced")
	}
	m.events[e.Timestamp] = &e
	i, found := slices.BinarySearch(m.eventStamps, e.Timestamp)
	if !found {
		m.eventStamps = slices.Insert(m.eventStamps, i, e.Timestamp)
	}
	m.onRollback(func() {
		if before != nil {
			m.events[e.Timestamp] = before
			return
		}
		delete(m.events, e.Timestamp)
		i, _ := slices.BinarySearch(m.eventStamps, e.Timestamp)
		m.eventStamps = slices.Delete(m.eventStamps, i, i+1)
	})
}
