package peer

import "ledger/internal/assert"

// ReceivedKind is what Receiver.Next found.
type ReceivedKind uint8

// What the caller does next.
const (
	ReceivedBytes   ReceivedKind = iota + 1 // too few: receive into Buffer, and call Received
	ReceivedHead                            // call Give with a slot, or Discard if there is none
	ReceivedMessage                         // the slot has inner header and body: it is the caller's
	ReceivedFault                           // close the connection
)

type receiverState uint8

const (
	receiverHead receiverState = iota
	receiverSlot
	receiverBody
	receiverDiscard
	receiverBroken
)

// ReceiverCounters count since the start.
type ReceiverCounters struct {
	Messages, Bytes uint64
	Discarded       uint64 // messages for which there was no slot
	Malformed       uint64 // authentic messages that break a rule
	Forged          uint64 // tags and sequences that are wrong
}

func (c *ReceiverCounters) add(other *ReceiverCounters) {
	c.Messages += other.Messages
	c.Bytes += other.Bytes
	c.Discarded += other.Discarded
	c.Malformed += other.Malformed
	c.Forged += other.Forged
}

// Receiver turns the bytes of an identified connection into whole, checked messages. Heads arrive
// in a small buffer. Bodies arrive in their slot, at InnerBytes, apart from what the buffer already
// held.
//
// A message's tag, inner header and sizes are checked before its body is received, and its body is
// hashed once.
type Receiver struct {
	link    *Link
	bounds  *Bounds
	buffer  []byte
	scratch []byte // for bodies without a slot; what is in it does not matter

	state      receiverState
	start, end uint32 // received bytes of buffer
	slot       []byte
	rest       uint32 // of the body: not received yet

	// Envelope of the head that was found last.
	Envelope Envelope
	// Fault is the reason of ReceivedFault.
	Fault    Fault
	Counters ReceiverCounters
}

// NewReceiver makes a receiver. buffer has room for at least one head, and should have it for
// several: then small messages that arrive together need one receive. scratch may be shared by all
// receivers.
func NewReceiver(bounds *Bounds, buffer, scratch []byte) *Receiver {
	assert.AtMost(HeadBytes, len(buffer), "bytes of a head, in the buffer")
	assert.That(len(scratch) > 0, "there is room to drop a body")
	return &Receiver{bounds: bounds, buffer: buffer, scratch: scratch, state: receiverBroken}
}

// Open begins a connection.
func (r *Receiver) Open(link *Link) {
	assert.That(r.slot == nil, "the slot of the connection before was taken back")
	r.link, r.state, r.start, r.end, r.rest, r.Fault = link, receiverHead, 0, 0, 0, Fault{}
}

// Close ends a connection. The caller takes back the slot that it gave, if there is one; the port
// may use it until the connection is gone.
func (r *Receiver) Close() (hadSlot bool) {
	hadSlot = r.slot != nil
	r.link, r.slot, r.state = nil, nil, receiverBroken
	return hadSlot
}

// Buffer is where the next bytes go. all: the port may wait until it is full.
func (r *Receiver) Buffer() (into []byte, all bool) {
	switch r.state {
	case receiverBody:
		whole := InnerBytes + r.Envelope.BodyBytes
		return r.slot[whole-r.rest : whole], true
	case receiverDiscard:
		return r.scratch[:min(r.rest, uint32(len(r.scratch)))], true
	}
	assert.That(r.state == receiverHead, "a receiver that wants bytes waits for a head or a body")
	return r.buffer[r.end:], false
}

// Received tells that so many bytes are in what Buffer returned.
func (r *Receiver) Received(bytes uint32) {
	into, _ := r.Buffer()
	assert.AtMost(bytes, uint32(len(into)), "received bytes, in the buffer")
	r.Counters.Bytes += uint64(bytes)
	if r.state == receiverHead {
		r.end += bytes
		return
	}
	r.rest -= bytes
}

// Next says what the received bytes are. The caller calls it until it returns ReceivedBytes or
// ReceivedFault.
func (r *Receiver) Next() ReceivedKind {
	switch r.state {
	case receiverHead:
		if r.end-r.start < HeadBytes {
			r.end = uint32(copy(r.buffer, r.buffer[r.start:r.end]))
			r.start = 0
			return ReceivedBytes
		}
		head := r.buffer[r.start : r.start+HeadBytes]
		if f := r.link.Open(head, &r.Envelope, r.bounds); f.Faulty() {
			return r.broken(f)
		}
		if f := CheckInner(&r.Envelope, head[EnvelopeBytes:], r.bounds); f.Faulty() {
			return r.broken(f)
		}
		r.state = receiverSlot
		return ReceivedHead
	case receiverSlot:
		return ReceivedHead
	case receiverBody:
		if r.rest > 0 {
			return ReceivedBytes
		}
		whole := r.slot[:InnerBytes+r.Envelope.BodyBytes]
		if f := CheckBody(&r.Envelope, whole, r.bounds); f.Faulty() {
			return r.broken(f)
		}
		r.Counters.Messages++
		r.state, r.slot = receiverHead, nil
		return ReceivedMessage
	case receiverDiscard:
		if r.rest > 0 {
			return ReceivedBytes
		}
		r.state = receiverHead
		return r.Next()
	}
	return ReceivedFault
}

// Give brings the slot of the message whose head was found. It holds InnerBytes and the body. The
// slot is the receiver's until ReceivedMessage or Close.
func (r *Receiver) Give(slot []byte) {
	assert.That(r.state == receiverSlot, "a slot is for a head that was found")
	assert.AtMost(InnerBytes+r.Envelope.BodyBytes, uint32(len(slot)), "bytes of a message, in its slot")
	copy(slot, r.buffer[r.start+EnvelopeBytes:r.start+HeadBytes])
	r.slot, r.state = slot, receiverBody
	r.begin(slot[InnerBytes:])
}

// Discard drops the message whose head was found, because there is no slot. The protocol tolerates
// loss.
func (r *Receiver) Discard() {
	assert.That(r.state == receiverSlot, "what is dropped was found")
	r.Counters.Discarded++
	r.state = receiverDiscard
	r.begin(nil)
}

// begin takes the head, and what of the body is in the buffer already.
func (r *Receiver) begin(body []byte) {
	r.start += HeadBytes
	here := min(r.Envelope.BodyBytes, r.end-r.start)
	if body != nil {
		copy(body, r.buffer[r.start:r.start+here])
	}
	r.start += here
	r.rest = r.Envelope.BodyBytes - here
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
}

func (r *Receiver) broken(f Fault) ReceivedKind {
	if f.Authentic() {
		r.Counters.Malformed++
	} else {
		r.Counters.Forged++
	}
	r.Fault, r.state = f, receiverBroken
	return ReceivedFault
}
