package client

import (
	"unsafe"

	"ledger/internal/assert"
	"ledger/wire"
)

// Message is memory for one frame of up to 1 MiB: a header and a body that the caller fills, or a
// reply. A new one costs an allocation, so make them once and use them again.
type Message struct {
	frame []byte // wire.MessageBytesMax, aligned to 8 bytes at least
}

// NewMessage makes a message. Memory that is never written is never touched.
func NewMessage() *Message { return &Message{make([]byte, wire.MessageBytesMax)} }

// Body is the room for a body; of a request, the session's BodyBytesMax may allow less of it.
func (m *Message) Body() []byte { return m.frame[wire.HeaderBytes:] }

// Header is the frame's header: of a reply, it tells the op and timestamp of the request.
func (m *Message) Header() *wire.Header { return wire.HeaderOf(m.frame) }

// Events is the room for the events of a single batch of operation o, without the trailer's place.
func (m *Message) Events(o wire.Operation, bodyBytesMax uint32) []byte {
	return m.Body()[:wire.EventsMax(o, bodyBytesMax)*o.EventBytes()]
}

// EndBatch puts the trailer behind eventsCount events at the start of Body, if o has one, and
// returns the body's length.
func (m *Message) EndBatch(o wire.Operation, eventsCount int) (bodyBytes int) {
	if !o.IsMultiBatch() {
		return eventsCount * int(o.EventBytes())
	}
	encoder := wire.NewBatchEncoder(m.Body(), o.EventBytes(), 1)
	encoder.EndBatch(eventsCount)
	return len(encoder.Finish())
}

// Results are the results of a reply to a request of o with one batch.
func (m *Message) Results(o wire.Operation) ([]byte, error) {
	body := m.Body()[:m.Header().BodyBytes()]
	if !o.IsMultiBatch() {
		if o.ResultBytes() != 0 && len(body)%int(o.ResultBytes()) != 0 {
			return nil, ErrReply
		}
		return body, nil
	}
	batches, fault := wire.DecodeBatches(body, o.ResultBytes())
	if fault != "" || batches.Left() != 1 {
		return nil, ErrReply
	}
	results, _ := batches.Next()
	return results, nil
}

// View shows bytes as records without copying; a rest shorter than a record is left out. It is
// valid as long as bytes is. The start of a message's body, and of its results, is aligned well
// enough.
func View[T Record](bytes []byte) []T {
	var one T
	count := len(bytes) / int(unsafe.Sizeof(one))
	if count == 0 {
		return nil
	}
	first := unsafe.Pointer(unsafe.SliceData(bytes))
	assert.That(uintptr(first)%8 == 0, "records are aligned")
	return unsafe.Slice((*T)(first), count)
}

// bytesOf shows records as bytes.
func bytesOf[T Record](records []T) []byte {
	var one T
	if len(records) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(one)))
}
