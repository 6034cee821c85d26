package wire

import "encoding/binary"

// BodyMeasure is the size of the work that a valid request body asks for.
type BodyMeasure struct {
	EventsCount   uint32 // events, ids or filters, over all batches
	BatchesCount  uint32 // 1 for an operation without trailer, 0 for one without events
	ReplyBytesMax uint32 // body of the largest reply possible, its trailer included; at most BodyBytesMax
}

// MeasureBody checks body as ValidateBody does, and measures it on the way.
func MeasureBody(o Operation, body []byte, batchBytesMax uint32) (BodyMeasure, Fault) {
	row := &operations[o]
	switch row.class {
	case ClassControl:
		return measureControl(o, body)
	case ClassCreate, ClassLookup, ClassQuery:
	default:
		return BodyMeasure{}, "operation is none of a client"
	}
	if uint64(len(body)) > uint64(batchBytesMax) {
		return BodyMeasure{}, "body is larger than a request may be"
	}
	batches := Batches{payload: body, left: 1, elementBytes: row.eventBytes}
	if row.multiBatch {
		var fault Fault
		if batches, fault = DecodeBatches(body, row.eventBytes); fault != "" {
			return BodyMeasure{}, fault
		}
	} else if len(body)%int(row.eventBytes) != 0 {
		return BodyMeasure{}, "body is not whole events"
	}

	batchesCount := batches.left
	eventsMax, rowsMax := uint64(EventsMax(o, batchBytesMax)), uint64(RowsMax(o, batchBytesMax))
	eventsSum, resultsMax := uint64(0), uint64(0) // more than 32 bits: 4098 filters with large limits
	for {
		events, ok := batches.Next()
		if !ok {
			break
		}
		eventsCount := uint64(len(events)) / uint64(row.eventBytes)
		if eventsCount > eventsMax {
			return BodyMeasure{}, "batch has too many events"
		}
		if row.class == ClassQuery {
			if eventsCount != 1 {
				return BodyMeasure{}, "batch of a query is not one filter"
			}
			resultsMax += min(uint64(binary.LittleEndian.Uint32(events[row.limitOffset:])), rowsMax)
		} else {
			resultsMax += eventsCount
		}
		eventsSum += eventsCount
	}
	replyBytesMax := resultsMax * uint64(row.resultBytes)
	if row.multiBatch {
		replyBytesMax += TrailerBytes(row.resultBytes, batchesCount)
	}
	if replyBytesMax > BodyBytesMax {
		return BodyMeasure{}, "results may not fit a reply"
	}
	return BodyMeasure{uint32(eventsSum), uint32(batchesCount), uint32(replyBytesMax)}, ""
}

// measureControl is MeasureBody for the operations without events.
func measureControl(o Operation, body []byte) (BodyMeasure, Fault) {
	if o == OperationRegister {
		if len(body) != RegisterBodyBytes {
			return BodyMeasure{}, "body of a register is not 256 bytes"
		}
		if !isZero(body) {
			return BodyMeasure{}, "body of a register is not 0"
		}
		return BodyMeasure{ReplyBytesMax: RegisterReplyBytes}, ""
	}
	if o == OperationMember {
		return BodyMeasure{}, checkMember(body)
	}
	if len(body) != 0 {
		return BodyMeasure{}, "operation has no body"
	}
	return BodyMeasure{}, ""
}

// ValidateBody tells whether body may enter the log as a request of o. It returns "" if so.
// Otherwise it returns the rule that the body breaks, and the client is evicted for reason 5. The
// content of events (ids, flags, limits of 0) is not checked here; it leads to results.
//
// batchBytesMax: the largest request body, as told to the client at registration.
// source: specification, 5.1; "Accounting", 11.4.
func ValidateBody(o Operation, body []byte, batchBytesMax uint32) Fault {
	_, fault := MeasureBody(o, body, batchBytesMax)
	return fault
}

// EventsCount is the number of events, ids or filters in the valid body of a request, over all
// batches.
func EventsCount(o Operation, body []byte) uint32 {
	row := &operations[o]
	if row.class < ClassCreate {
		return 0
	}
	batches := RequestBatches(o, body)
	return uint32(batches.ElementsLeft())
}

// TimestampDelta is the number that a request of o with a valid body adds to its base timestamp.
// Every event of a create request takes a nanosecond. (specification, "Accounting", 2.1)
func TimestampDelta(o Operation, body []byte) uint64 {
	switch {
	case o == OperationPulse:
		return PulseTimestampDelta
	case operations[o].class == ClassCreate:
		return uint64(EventsCount(o, body))
	}
	return 0
}

// RequestLimits are the limits of a server for requests.
type RequestLimits struct {
	ReleaseMin    Release // ReleaseClientMin
	ReleaseMax    Release // ReleaseClientMax unless configured
	BatchBytesMax uint32  // body of a request: limits.RequestBytesMax - HeaderBytes; told to clients at registration
	HasMembers    bool    // of a cluster of several replicas: a member request is known
}

// CheckRelease returns the reason to evict a client of this release, or EvictionNone. CheckRequest
// calls it for requests. A ping_client is checked after its session (specification, 4.6).
func (l *RequestLimits) CheckRelease(release Release) (EvictionReason, Fault) {
	if release < l.ReleaseMin {
		return EvictionReleaseTooLow, "release is below the minimum"
	}
	if release > l.ReleaseMax {
		return EvictionReleaseTooHigh, "release is above the server's"
	}
	return EvictionNone, ""
}

// CheckRequest is the part of admission that needs no session table. A primary in normal operation
// calls it after it has compared views and before it looks the session up. The message has passed
// Parser.CheckMessage.
//
// returns: the measure of the body and EvictionNone, or the reason to evict the client.
// source: specification, 4.4 steps 2 to 6.
func (l *RequestLimits) CheckRequest(h *Header, body []byte) (BodyMeasure, EvictionReason, Fault) {
	if reason, fault := l.CheckRelease(h.Release()); reason != EvictionNone {
		return BodyMeasure{}, reason, fault
	}
	operation := h.RequestOperation()
	// A register request is not limited: its body always has 256 bytes, even if the limit is
	// smaller.
	if uint64(len(body)) > uint64(l.BatchBytesMax) && operation != OperationRegister {
		return BodyMeasure{}, EvictionInvalidBodySize, "body is larger than a request may be"
	}
	if !operation.IsKnown() || operation == OperationMember && !l.HasMembers {
		return BodyMeasure{}, EvictionInvalidOperation, "operation is none of a client"
	}
	if operation == OperationRegister && len(body) == 0 {
		return BodyMeasure{}, EvictionInvalidBodySize, "register has no body"
	}
	measure, fault := MeasureBody(operation, body, l.BatchBytesMax)
	if fault != "" {
		return BodyMeasure{}, EvictionInvalidBody, fault
	}
	return measure, EvictionNone, ""
}
