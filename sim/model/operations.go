package model

import (
	"encoding/binary"
	"fmt"
)

// Operation of a request. Source: accounting, 11.1 and 12; wire protocol, section 5.
type Operation uint8

// The operations that a log may hold.
const (
	Register Operation = 2
	Upgrade  Operation = 5 // from here on, at some op, another release executes: nothing that a client sees
	Noop     Operation = 6
	Member   Operation = 7 // names the data files that count: nothing that a client sees
	Pulse    Operation = 128

	CreateAccountsUnbatched      Operation = 129
	CreateTransfersUnbatched     Operation = 130
	LookupAccountsUnbatched      Operation = 131
	LookupTransfersUnbatched     Operation = 132
	GetAccountTransfersUnbatched Operation = 133
	GetAccountBalancesUnbatched  Operation = 134
	QueryAccountsUnbatched       Operation = 135
	QueryTransfersUnbatched      Operation = 136
	GetChangeEvents              Operation = 137
	CreateAccountsSparse         Operation = 138
	CreateTransfersSparse        Operation = 139
	LookupAccounts               Operation = 140
	LookupTransfers              Operation = 141
	GetAccountTransfers          Operation = 142
	GetAccountBalances           Operation = 143
	QueryAccounts                Operation = 144
	QueryTransfers               Operation = 145
	CreateAccounts               Operation = 146
	CreateTransfers              Operation = 147
)

// Limits are the sizes that replies and refusals depend on, headers included.
type Limits struct {
	MessageBytesMax uint32 // 1 MiB in production
	RequestBytesMax uint32 // the largest request: 1 MiB, or 32 KiB in development mode
}

const headerBytes = 256

func (l Limits) replyBytes() int   { return int(l.MessageBytesMax) - headerBytes } // M in the specification
func (l Limits) requestBytes() int { return int(l.RequestBytesMax) - headerBytes } // Q in the specification

// PulseDelta is the number that a pulse adds to the timestamp, however many transfers expire.
const PulseDelta = 8190

// Base is the operation that o behaves like: 146 for 129 and 138, and so on.
func (o Operation) Base() Operation {
	switch o {
	case CreateAccountsUnbatched, CreateAccountsSparse:
		return CreateAccounts
	case CreateTransfersUnbatched, CreateTransfersSparse:
		return CreateTransfers
	case LookupAccountsUnbatched:
		return LookupAccounts
	case LookupTransfersUnbatched:
		return LookupTransfers
	case GetAccountTransfersUnbatched:
		return GetAccountTransfers
	case GetAccountBalancesUnbatched:
		return GetAccountBalances
	case QueryAccountsUnbatched:
		return QueryAccounts
	case QueryTransfersUnbatched:
		return QueryTransfers
	}
	return o
}

// IsKnown tells whether clients may ask for o: 129..147.
func (o Operation) IsKnown() bool { return o >= CreateAccountsUnbatched && o <= CreateTransfers }

// IsMultiBatch tells whether bodies of requests and replies have a trailer.
func (o Operation) IsMultiBatch() bool { return o >= CreateAccountsSparse && o <= CreateTransfers }

// IsCreate tells whether o creates accounts or transfers.
func (o Operation) IsCreate() bool { return o.Base() == CreateAccounts || o.Base() == CreateTransfers }

// IsLookup tells whether o looks up ids.
func (o Operation) IsLookup() bool { return o.Base() == LookupAccounts || o.Base() == LookupTransfers }

// IsSparse tells whether o reports failures only.
func (o Operation) IsSparse() bool {
	return o == CreateAccountsUnbatched || o == CreateTransfersUnbatched || o == CreateAccountsSparse || o == CreateTransfersSparse
}

// EventBytes is the size of one event in a request.
func (o Operation) EventBytes() int {
	switch o.Base() {
	case CreateAccounts, CreateTransfers, GetAccountTransfers, GetAccountBalances:
		return 128
	case LookupAccounts, LookupTransfers:
		return 16
	case QueryAccounts, QueryTransfers, GetChangeEvents:
		return 64
	}
	panic(fmt.Sprintf("model: operation %d has no events", o))
}

// ResultBytes is the size of one result in a reply.
func (o Operation) ResultBytes() int {
	switch {
	case o.IsSparse():
		return 8
	case o.IsCreate():
		return 16
	case o == GetChangeEvents:
		return 384
	}
	return 128
}

// TrailerBytes is the size of the trailer of batches batches with elements of elementBytes.
func TrailerBytes(elementBytes, batches int) int {
	exact := 2*batches + 2
	return (exact + elementBytes - 1) / elementBytes * elementBytes
}

// EventsMax is the largest number of events in one batch. Source: accounting, 11.3.
func (l Limits) EventsMax(o Operation) int {
	event, result := o.EventBytes(), o.ResultBytes()
	if !o.IsCreate() && !o.IsLookup() {
		return 1
	}
	if o.IsMultiBatch() {
		return min((l.requestBytes()-TrailerBytes(event, 1))/event, (l.replyBytes()-TrailerBytes(result, 1))/result)
	}
	return min(l.requestBytes()/event, l.replyBytes()/result)
}

// RowsMax is the largest number of rows that a query returns. Source: accounting, 11.3.
func (l Limits) RowsMax(o Operation) int {
	result := o.ResultBytes()
	switch {
	case o == GetChangeEvents:
		accounts := l.EventsMax(LookupAccountsUnbatched)
		transfers := l.EventsMax(LookupTransfersUnbatched)
		return min(l.replyBytes()/result, transfers, accounts/2)
	case o.IsMultiBatch():
		return (l.replyBytes() - TrailerBytes(result, 1)) / result
	}
	return l.replyBytes() / result
}

// ExpiriesMax is the largest number of transfers that one pulse expires.
func (l Limits) ExpiriesMax() int {
	return max(l.EventsMax(CreateTransfersUnbatched), l.EventsMax(CreateTransfersSparse), l.EventsMax(CreateTransfers))
}

// Split returns the batches of a multi-batch body. Source: wire protocol, section 6.
func Split(body []byte, elementBytes int) ([][]byte, error) {
	if len(body) < 2 || len(body)%2 != 0 {
		return nil, fmt.Errorf("a multi-batch body of %d bytes has no trailer", len(body))
	}
	count := int(binary.LittleEndian.Uint16(body[len(body)-2:]))
	if count < 1 || count > 65534 {
		return nil, fmt.Errorf("a trailer of %d batches", count)
	}
	trailer := TrailerBytes(elementBytes, count)
	if trailer > len(body) {
		return nil, fmt.Errorf("a trailer of %d bytes in a body of %d", trailer, len(body))
	}
	payload := body[:len(body)-trailer]
	for _, padding := range body[len(payload) : len(body)-2*count-2] {
		if padding != 0xff {
			return nil, fmt.Errorf("a padding byte is %#x", padding)
		}
	}
	var batches [][]byte
	for i := range count {
		elements := int(binary.LittleEndian.Uint16(body[len(body)-4-2*i:]))
		if elements*elementBytes > len(payload) {
			return nil, fmt.Errorf("batch %d of %d elements is longer than the payload", i, elements)
		}
		batches = append(batches, payload[:elements*elementBytes])
		payload = payload[elements*elementBytes:]
	}
	if len(payload) != 0 {
		return nil, fmt.Errorf("%d bytes of payload belong to no batch", len(payload))
	}
	return batches, nil
}

// Join makes a multi-batch body.
func Join(batches [][]byte, elementBytes int) []byte {
	bodyBytes := TrailerBytes(elementBytes, len(batches))
	for _, batch := range batches {
		bodyBytes += len(batch)
	}
	body := make([]byte, 0, bodyBytes)
	for _, batch := range batches {
		body = append(body, batch...)
	}
	for range TrailerBytes(elementBytes, len(batches)) - 2*len(batches) - 2 {
		body = append(body, 0xff)
	}
	for i := len(batches) - 1; i >= 0; i-- {
		body = binary.LittleEndian.AppendUint16(body, uint16(len(batches[i])/elementBytes))
	}
	return binary.LittleEndian.AppendUint16(body, uint16(len(batches)))
}

// Batches returns the batches of a request's body: one if the operation is not multi-batch.
func (o Operation) Batches(body []byte) ([][]byte, error) {
	if o.IsMultiBatch() {
		return Split(body, o.EventBytes())
	}
	return [][]byte{body}, nil
}

// CheckBody returns an error if a server must refuse body as invalid. Source: accounting, 11.4.
func (l Limits) CheckBody(o Operation, body []byte) error {
	if o == Member || o == Upgrade {
		return nil // the checks of the server are not modelled
	}
	if o == Noop || o == Pulse {
		if len(body) != 0 {
			return fmt.Errorf("a body of %d bytes where none belongs", len(body))
		}
		return nil
	}
	if !o.IsKnown() {
		return fmt.Errorf("operation %d is unknown", o)
	}
	batches, err := o.Batches(body)
	if err != nil {
		return err
	}
	event, result := o.EventBytes(), o.ResultBytes()
	replyBytes := uint64(0)
	for i, batch := range batches {
		if len(batch)%event != 0 {
			return fmt.Errorf("batch %d has %d bytes, events have %d", i, len(batch), event)
		}
		count := len(batch) / event
		if o.IsCreate() || o.IsLookup() {
			if count > l.EventsMax(o) {
				return fmt.Errorf("batch %d has %d events, at most %d", i, count, l.EventsMax(o))
			}
			replyBytes += uint64(count) * uint64(result)
			continue
		}
		if count != 1 {
			return fmt.Errorf("batch %d has %d filters", i, count)
		}
		replyBytes += min(uint64(queryLimit(o, batch)), uint64(l.RowsMax(o))) * uint64(result)
	}
	if o.IsMultiBatch() {
		replyBytes += uint64(TrailerBytes(result, len(batches)))
		if replyBytes > uint64(l.replyBytes()) {
			return fmt.Errorf("the reply may need %d bytes, at most %d", replyBytes, l.replyBytes())
		}
	}
	return nil
}

// queryLimit is the limit in a query's filter.
func queryLimit(o Operation, filter []byte) uint32 {
	switch o.Base() {
	case GetAccountTransfers, GetAccountBalances:
		return AccountFilterAt(filter).Limit
	case QueryAccounts, QueryTransfers:
		return QueryFilterAt(filter).Limit
	}
	return ChangesFilterAt(filter).Limit
}

// TimestampDelta is the number that the request adds to the timestamp beyond its base: T = base +
// delta. The body is valid. Source: accounting, 2.1.
func TimestampDelta(o Operation, body []byte) uint64 {
	if o == Pulse {
		return PulseDelta
	}
	if !o.IsCreate() {
		return 0
	}
	batches, err := o.Batches(body)
	if err != nil {
		return 0
	}
	events := 0
	for _, batch := range batches {
		events += len(batch) / o.EventBytes()
	}
	return uint64(events)
}
