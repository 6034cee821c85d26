package wire

import (
	"encoding/binary"

	"ledger/internal/assert"
)

// batchesMax is the largest number of batches in one body.
const batchesMax = 65534

// TrailerBytes is the size of the trailer for batchesCount batches of elements of elementBytes: one
// u16 each, one for their number, rounded up to whole elements. (specification, section 6)
func TrailerBytes(elementBytes uint32, batchesCount int) uint64 {
	suffixBytes, unit := suffixBytes(batchesCount), uint64(elementBytes)
	return (suffixBytes + unit - 1) / unit * unit
}

// suffixBytes is the part of the trailer without padding.
func suffixBytes(batchesCount int) uint64 { return 2*uint64(batchesCount) + 2 }

// Batches walks over the batches of a body, first to last, without copying or allocating. It is a
// view into the body.
type Batches struct {
	payload      []byte // elements of the batches that Next has not returned yet
	counts       []byte // their element counts, the next batch's last; empty for a body without trailer
	left         int    // batches that Next has not returned yet
	elementBytes uint32
}

// DecodeBatches checks the trailer of body and returns its batches. It checks that counts and sizes
// add up, and does not look at the elements.
//
// elementBytes: size of an event in a request, of a result in a reply; at least 8 for all
// operations with batches.
// source: specification, 6.3.
func DecodeBatches(body []byte, elementBytes uint32) (Batches, Fault) {
	assert.That(elementBytes > 0, "batches have elements")
	if len(body) < 2 || len(body)%2 != 0 {
		return Batches{}, "trailer: body is too short or of odd length"
	}
	batchesCount := int(binary.LittleEndian.Uint16(body[len(body)-2:]))
	if batchesCount < 1 || batchesCount > batchesMax {
		return Batches{}, "trailer: number of batches is not 1..65534"
	}
	trailerBytes := TrailerBytes(elementBytes, batchesCount)
	if trailerBytes > uint64(len(body)) {
		return Batches{}, "trailer: longer than the body"
	}
	payload, trailer := body[:len(body)-int(trailerBytes)], body[len(body)-int(trailerBytes):]
	paddingBytes := int(trailerBytes - suffixBytes(batchesCount))
	if !isAllOnes(trailer[:paddingBytes]) {
		return Batches{}, "trailer: padding is not 0xff"
	}
	counts := trailer[paddingBytes : len(trailer)-2]
	elementsCount := uint64(0)
	for i := 0; i+2 <= len(counts); i += 2 {
		elementsCount += uint64(binary.LittleEndian.Uint16(counts[i:]))
	}
	if elementsCount*uint64(elementBytes) != uint64(len(payload)) {
		return Batches{}, "trailer: counts do not add up to the payload"
	}
	return Batches{payload: payload, counts: counts, left: batchesCount, elementBytes: elementBytes}, ""
}

// isAllOnes tells whether all bytes of b are 0xff, eight at a time.
func isAllOnes(b []byte) bool {
	all := ^uint64(0)
	for len(b) >= 8 {
		all &= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	for _, one := range b {
		all &= uint64(one) | ^uint64(0xff)
	}
	return all == ^uint64(0)
}

// RequestBatches returns the batches of a request body, for any operation with events. In an
// operation without trailer, the whole body is one batch. The body must be valid (ValidateBody); a
// broken trailer is our own fault.
func RequestBatches(o Operation, body []byte) Batches {
	elementBytes := o.EventBytes()
	if !o.IsMultiBatch() {
		return Batches{payload: body, left: 1, elementBytes: elementBytes}
	}
	batches, fault := DecodeBatches(body, elementBytes)
	assert.That(fault == "", "an admitted body has a valid trailer")
	return batches
}

// Left is the number of batches that Next has not returned yet.
func (b *Batches) Left() int { return b.left }

// ElementsLeft is the number of elements in those batches.
func (b *Batches) ElementsLeft() int {
	if b.elementBytes == 0 {
		return 0
	}
	return len(b.payload) / int(b.elementBytes)
}

// Next returns the elements of the next batch, back to back. There may be none. ok is false after
// the last batch.
func (b *Batches) Next() (elements []byte, ok bool) {
	if b.left == 0 {
		return nil, false
	}
	b.left--
	bytesCount := len(b.payload)
	if last := len(b.counts) - 2; last >= 0 {
		bytesCount = int(binary.LittleEndian.Uint16(b.counts[last:])) * int(b.elementBytes)
		b.counts = b.counts[:last]
	}
	elements, b.payload = b.payload[:bytesCount:bytesCount], b.payload[bytesCount:]
	return elements, true
}

// BatchEncoder writes a body with batches in place. The caller writes elements into Free, EndBatch
// closes the batch, and Finish puts the trailer behind the last batch. Until then, the counts are
// at the end of the buffer, in their final order. Their space is reserved from the start, so no
// element overwrites them.
type BatchEncoder struct {
	buffer       []byte
	elementBytes uint32
	trailerBytes uint32 // 0 for a body without trailer
	payloadBytes uint32 // elements of the ended batches
	batchesCount int
	batchesEnded int
}

// NewBatchEncoder starts a body of batchesCount batches in buffer, which must have room for the
// trailer.
func NewBatchEncoder(buffer []byte, elementBytes uint32, batchesCount int) BatchEncoder {
	assert.That(elementBytes > 0 && elementBytes%2 == 0, "elements have an even size")
	assert.That(batchesCount >= 1, "a body has a batch")
	assert.AtMost(batchesCount, batchesMax, "batches of a body")
	assert.AtMost(len(buffer), MessageBytesMax, "buffer of a body")
	trailerBytes := TrailerBytes(elementBytes, batchesCount)
	assert.AtMost(trailerBytes, uint64(len(buffer)), "trailer in its buffer")
	return BatchEncoder{buffer: buffer, elementBytes: elementBytes, trailerBytes: uint32(trailerBytes), batchesCount: batchesCount}
}

// NewReplyEncoder starts the reply body of a request of o with batchesCount batches. For an
// operation without trailer there is one batch and nothing behind it.
func NewReplyEncoder(o Operation, buffer []byte, batchesCount int) BatchEncoder {
	if o.IsMultiBatch() {
		return NewBatchEncoder(buffer, o.ResultBytes(), batchesCount)
	}
	assert.Equal(batchesCount, 1, "batches of an operation without trailer")
	assert.AtMost(len(buffer), MessageBytesMax, "buffer of a body")
	return BatchEncoder{buffer: buffer, elementBytes: o.ResultBytes(), batchesCount: 1}
}

// Free is the memory for the elements of the current batch, from its first byte on.
func (e *BatchEncoder) Free() []byte {
	end := uint32(len(e.buffer)) - e.trailerBytes
	return e.buffer[e.payloadBytes:end:end]
}

// EndBatch closes the current batch with the first elementsCount elements of Free; the next one
// begins after them.
func (e *BatchEncoder) EndBatch(elementsCount int) {
	assert.Below(e.batchesEnded, e.batchesCount, "batch to end")
	assert.That(elementsCount >= 0, "a batch has 0 or more elements")
	assert.AtMost(uint64(elementsCount)*uint64(e.elementBytes), uint64(len(e.Free())), "bytes of the batch")
	if e.trailerBytes > 0 {
		assert.AtMost(elementsCount, 0xffff, "elements of a batch")
		// The first batch's count is the nearest to the end, before the number of batches.
		at := len(e.buffer) - 2*(e.batchesEnded+2)
		binary.LittleEndian.PutUint16(e.buffer[at:], uint16(elementsCount))
	}
	e.payloadBytes += uint32(elementsCount) * e.elementBytes
	e.batchesEnded++
}

// Finish completes the body after the last EndBatch and returns it, a prefix of the buffer.
func (e *BatchEncoder) Finish() []byte {
	assert.Equal(e.batchesEnded, e.batchesCount, "batches ended")
	bodyBytes := e.payloadBytes + e.trailerBytes
	body := e.buffer[:bodyBytes:bodyBytes]
	if e.trailerBytes == 0 {
		return body
	}
	suffix := e.buffer[len(e.buffer)-int(suffixBytes(e.batchesCount)):]
	binary.LittleEndian.PutUint16(suffix[len(suffix)-2:], uint16(e.batchesCount))
	padding := body[e.payloadBytes : len(body)-len(suffix)]
	copy(body[len(body)-len(suffix):], suffix) // may overlap; then the padding may overwrite the old place
	for i := range padding {
		padding[i] = 0xff
	}
	return body
}
