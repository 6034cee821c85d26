package amqp

import (
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"ledger/accounting"
	"ledger/cdc"
	"ledger/wire"
)

// What consumers of the reference's messages rely on.
const (
	appID       = "tigerbeetle"
	contentType = "application/json"
)

// Names of the two queues, followed by the cluster's id.
const (
	progressPrefix = "tigerbeetle.internal.progress."
	lockerPrefix   = "tigerbeetle.internal.locker."
)

// Names of headers.
const (
	headerEventType         = "event_type"
	headerLedger            = "ledger"
	headerTransferCode      = "transfer_code"
	headerDebitAccountCode  = "debit_account_code"
	headerCreditAccountCode = "credit_account_code"
	headerRelease           = "release"
	headerTimestamp         = "timestamp"
)

// setEvent makes m the message of an event. The memory of its headers and its body is used again.
// Codes are signed and wider than on the wire of ledger, because not all clients of RabbitMQ read
// unsigned numbers.
func setEvent(m *amqp091.Publishing, e *accounting.ChangeEvent) {
	if m.Headers == nil {
		m.Headers = amqp091.Table{}
		m.ContentType, m.AppId, m.DeliveryMode = contentType, appID, amqp091.Persistent
	}
	m.Timestamp = time.Unix(int64(e.Timestamp/uint64(time.Second)), 0)
	m.Headers[headerEventType] = e.Type.String()
	m.Headers[headerLedger] = int64(e.Ledger)
	m.Headers[headerTransferCode] = int32(e.TransferCode)
	m.Headers[headerDebitAccountCode] = int32(e.DebitAccountCode)
	m.Headers[headerCreditAccountCode] = int32(e.CreditAccountCode)
	m.Body = cdc.AppendEvent(m.Body[:0], e)
}

// progressMessage says that all events up to a timestamp are confirmed. It has no body.
func progressMessage(timestamp uint64, now time.Time) amqp091.Publishing {
	return amqp091.Publishing{DeliveryMode: amqp091.Persistent, Timestamp: now,
		Headers: amqp091.Table{headerRelease: wire.ReleaseCurrent.String(), headerTimestamp: int64(timestamp)}}
}

// progressOf reads a progress message. Other headers are ignored, because plugins of the broker add
// some.
func progressOf(headers amqp091.Table) (timestamp uint64, err error) {
	value, ok := headers[headerTimestamp]
	number, isNumber := value.(int64)
	switch {
	case !ok:
		return 0, fmt.Errorf("has no header %q", headerTimestamp)
	case !isNumber || number <= 0 || uint64(number) > accounting.TimestampMax:
		return 0, fmt.Errorf("has the header %s=%v (%[2]T), which is no timestamp", headerTimestamp, value)
	}
	return uint64(number), nil
}

// lockerArguments are those of the locker queue, progressArguments those of the progress queue. A
// broker compares them with the arguments of a queue that is already there, so they are the
// reference's.
func lockerArguments() amqp091.Table { return queueArguments(0) }

func progressArguments(queueType string) amqp091.Table {
	arguments := queueArguments(1)
	if queueType != "" {
		arguments["x-queue-type"] = queueType
	}
	return arguments
}

func queueArguments(lengthMax uint32) amqp091.Table {
	return amqp091.Table{"x-overflow": "drop-head", "x-single-active-consumer": true, "x-max-length": lengthMax,
		"x-max-length-bytes": uint32(0)}
}
