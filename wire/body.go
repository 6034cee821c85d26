package wire

import "encoding/binary"

// measure is what a request's body promises, in 64 bits: 4098 filters with large limits exceed 32.
type measure struct {
	eventsCount    uint64 // over all batches
	replyBytesMax  uint64 // body of the largest reply possible, its trailer included
	batchesCount   int
	bodyIsTooLarge bool
}

// measureBody checks body by the rules of o and measures it on the way.
func measureBody(o Operation, body []byte, batchBytesMax uint32) (measure, Fault) {
	row := &operations[o]
	switch row.class {
	case ClassControl:
		return measureControl(o, body)
	case ClassCreate, ClassLookup, ClassQuery:
	default:
		return measure{}, "operation is none of a client"
	}
	if uint64(len(body)) > uint64(batchBytesMax) {
		return measure{}, "body is larger than a request may be"
	}
	batches := Batches{payload: body, left: 1, elementBytes: row.eventBytes}
	if row.multiBatch {
		var fault Fault
		if batches, fault = DecodeBatches(body, row.eventBytes); fault != "" {
			return measure{}, fault
		}
	} else if len(body)%int(row.eventBytes) != 0 {
		return measure{}, "body is not whole events"
	}

	m := measure{batchesCount: batches.left}
	eventsMax, rowsMax := uint64(EventsMax(o, batchBytesMax)), uint64(RowsMax(o, batchBytesMax))
	resultsMax := uint64(0)
	for {
		events, ok := batches.Next()
		if !ok {
			break
		}
		eventsCount := uint64(len(events)) / uint64(row.eventBytes)
		if eventsCount > eventsMax {
			return measure{}, "batch has too many events"
		}
		if row.class == ClassQuery {
			if eventsCount != 1 {
				return measure{}, "batch of a query is not one filter"
			}
			resultsMax += min(uint64(binary.LittleEndian.Uint32(events[row.limitOffset:])), rowsMax)
		} else {
			resultsMax += eventsCount
		}
		m.eventsCount += eventsCount
	}
	m.replyBytesMax = resultsMax * uint64(row.resultBytes)
	if row.multiBatch {
		m.replyBytesMax += TrailerBytes(row.resultBytes, m.batchesCount)
	}
	if m.replyBytesMax > BodyBytesMax {
		return measure{}, "results may not fit a reply"
	}
	return m, ""
}

// measureControl is measureBody of the operations without events.
func measureControl(o Operation, body []byte) (measure, Fault) {
	if o == OperationRegister {
		if len(body) != RegisterBodyBytes {
			return measure{}, "body of a register is not 256 bytes"
		}
		if !isZero(body) {
			return measure{}, "body of a register is not 0"
		}
		return measure{replyBytesMax: RegisterReplyBytes}, ""
	}
	if len(body) != 0 {
		return measure{}, "operation has no body"
	}
	return measure{}, ""
}

// ValidateBody tells whether body may enter the log as a request of o: "" if so, else the rule it breaks, and the client
// is evicted for reason 5. What events contain (ids, flags, limits of 0) is not looked at; that leads to results.
//
// batchBytesMax: the largest request body, as told to the client at registration.
// source:        specification, 5.1; "Accounting", 11.4.
func ValidateBody(o Operation, body []byte, batchBytesMax uint32) Fault {
	_, fault := measureBody(o, body, batchBytesMax)
	return fault
}

// EventsCount is the number of events, ids or filters in the valid body of a request, over all batches.
func EventsCount(o Operation, body []byte) uint32 {
	row := &operations[o]
	if row.class < ClassCreate {
		return 0
	}
	batches := RequestBatches(o, body)
	return uint32(batches.ElementsLeft())
}

// TimestampDelta is what a request of o with a valid body adds to its base timestamp: every event to create uses up a
// nanosecond. (specification, "Accounting", 2.1)
func TimestampDelta(o Operation, body []byte) uint64 {
	switch {
	case o == OperationPulse:
		return PulseTimestampDelta
	case operations[o].class == ClassCreate:
		return uint64(EventsCount(o, body))
	}
	return 0
}

// ReplyBodyBytesMax is the size of the largest reply body that a request of o with a valid body can have; at most
// BodyBytesMax. Requests share a prepare while the sum of these stays within a message.
func ReplyBodyBytesMax(o Operation, body []byte, batchBytesMax uint32) uint32 {
	m, fault := measureBody(o, body, batchBytesMax)
	if fault != "" {
		return BodyBytesMax // not a valid body: promise nothing
	}
	return uint32(m.replyBytesMax)
}

// RequestLimits is what a server takes from clients.
type RequestLimits struct {
	ReleaseMin    Release // ReleaseClientMin
	ReleaseMax    Release // ReleaseClientMax unless configured
	BatchBytesMax uint32  // body of a request: limits.RequestBytesMax - HeaderBytes; told to clients at registration
}

// CheckRelease returns the reason to evict a client of this release, EvictionNone if it may stay. Requests are checked
// by CheckRequest; a ping_client after its session (specification, 4.6).
func (l *RequestLimits) CheckRelease(release Release) (EvictionReason, Fault) {
	if release < l.ReleaseMin {
		return EvictionReleaseTooLow, "release is below the minimum"
	}
	if release > l.ReleaseMax {
		return EvictionReleaseTooHigh, "release is above the server's"
	}
	return EvictionNone, ""
}

// CheckRequest is the part of admission that needs no session table: what a primary in normal operation does after it
// has compared views, and before it looks the session up. The message has passed Parser.CheckMessage.
//
// returns: EvictionNone, or why the client is to be evicted.
// source:  specification, 4.4 steps 2 to 6.
func (l *RequestLimits) CheckRequest(h *Header, body []byte) (EvictionReason, Fault) {
	if reason, fault := l.CheckRelease(h.Release()); reason != EvictionNone {
		return reason, fault
	}
	operation := h.RequestOperation()
	// A register is no larger than its 256 bytes, even where the limit should be smaller.
	if uint64(len(body)) > uint64(l.BatchBytesMax) && operation != OperationRegister {
		return EvictionInvalidBodySize, "body is larger than a request may be"
	}
	if !operation.IsKnown() {
		return EvictionInvalidOperation, "operation is none of a client"
	}
	if operation == OperationRegister && len(body) == 0 {
		return EvictionInvalidBodySize, "register has no body"
	}
	if fault := ValidateBody(operation, body, l.BatchBytesMax); fault != "" {
		return EvictionInvalidBody, fault
	}
	return EvictionNone, ""
}
