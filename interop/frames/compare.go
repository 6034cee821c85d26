package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// layout tells where the timestamps are in the rows of an operation's reply.
type layout struct {
	rowBytes   int
	timestamps []int // offsets in a row
	multiBatch bool  // a trailer follows the rows
}

func layoutOf(operation byte) (layout, bool) {
	object := layout{128, []int{120}, false}
	balance := layout{128, []int{64}, false}
	sparse := layout{8, nil, false}
	batched := func(l layout) layout { l.multiBatch = true; return l }
	switch operation {
	case 2, 6: // register, noop: compared as they are
		return layout{1, nil, false}, true
	case 129, 130:
		return sparse, true
	case 131, 132, 133, 135, 136:
		return object, true
	case 134:
		return balance, true
	case 137:
		return layout{384, []int{352, 360, 368, 376}, false}, true
	case 138, 139:
		return batched(sparse), true
	case 140, 141, 142, 144, 145:
		return batched(object), true
	case 143:
		return batched(balance), true
	case 146, 147:
		return layout{16, []int{0}, true}, true
	}
	return layout{}, false
}

// clock maps the recording's timestamps to the live server's, one to one and in the same order.
type clock struct {
	live, recorded map[uint64]uint64
}

func newClock() *clock {
	return &clock{live: make(map[uint64]uint64), recorded: make(map[uint64]uint64)}
}

// match notes that the two stand for the same instant; false if that contradicts what is known.
func (c *clock) match(recorded, live uint64) bool {
	if recorded == 0 || live == 0 {
		return recorded == live
	}
	knownLive, seen := c.live[recorded]
	knownRecorded, seenLive := c.recorded[live]
	if seen || seenLive {
		return seen && seenLive && knownLive == live && knownRecorded == recorded
	}
	c.live[recorded], c.recorded[live] = live, recorded
	return true
}

// substitute gives a request's timestamp its live value: one that was learnt from a reply, or a
// neighbour of one.
func (c *clock) substitute(recorded uint64) uint64 {
	for _, distance := range []uint64{0, 1, ^uint64(0)} {
		if live, known := c.live[recorded-distance]; known {
			return live + distance
		}
	}
	return recorded
}

// rows is the part of a reply's body before the trailer; ok is false when the trailer is broken.
func rows(body []byte, l layout) (_ []byte, ok bool) {
	if !l.multiBatch {
		return body, len(body)%l.rowBytes == 0
	}
	if len(body) < 2 {
		return nil, false
	}
	batches := int(binary.LittleEndian.Uint16(body[len(body)-2:]))
	trailer := (2*batches + 2 + l.rowBytes - 1) / l.rowBytes * l.rowBytes
	if batches == 0 || trailer > len(body) {
		return nil, false
	}
	return body[:len(body)-trailer], true
}

// compareBodies compares the bodies of two replies to one operation, timestamps by name.
func compareBodies(operation byte, recorded, live frame, clock *clock) (differences []string) {
	l, known := layoutOf(operation)
	if !known {
		return []string{fmt.Sprintf("the recording has a reply to the unknown operation %d", operation)}
	}
	if len(recorded.body()) != len(live.body()) {
		return []string{fmt.Sprintf("body has %d bytes, want %d", len(live.body()), len(recorded.body()))}
	}
	want, got := bytes.Clone(recorded.body()), bytes.Clone(live.body())
	wantRows, ok := rows(want, l)
	if !ok {
		return []string{"the recording has a broken trailer"}
	}
	for row := 0; row+l.rowBytes <= len(wantRows); row += l.rowBytes {
		for _, offset := range l.timestamps {
			a, b := want[row+offset:][:8], got[row+offset:][:8]
			wantTime, gotTime := binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b)
			// An event's timestamp has a fixed distance from its request's: that is checked too, for
			// the events of the request itself.
			wantDistance := recorded.number(replyTimestamp) - wantTime
			if operation >= 146 && wantDistance < 8190 && live.number(replyTimestamp)-gotTime != wantDistance {
				differences = append(differences, fmt.Sprintf("row %d: timestamp is %d before the reply's, want %d",
					row/l.rowBytes, live.number(replyTimestamp)-gotTime, wantDistance))
			}
			if !clock.match(wantTime, gotTime) {
				differences = append(differences, fmt.Sprintf("row %d, offset %d: timestamp %d, recorded %d, which is %d elsewhere",
					row/l.rowBytes, offset, gotTime, wantTime, clock.live[wantTime]))
			}
			clear(a)
			clear(b)
		}
	}
	for at := range want {
		if want[at] != got[at] {
			differences = append(differences, fmt.Sprintf("body differs at %d (row %d, offset %d): %x, want %x",
				at, at/l.rowBytes, at%l.rowBytes, got[at:min(at+16, len(got))], want[at:min(at+16, len(want))]))
			break
		}
	}
	return differences
}

// compareFields compares header fields byte by byte.
func compareFields(recorded, live frame, fields ...field) (differences []string) {
	for _, at := range fields {
		if want, got := recorded.get(at), live.get(at); !bytes.Equal(want, got) {
			differences = append(differences, fmt.Sprintf("%s is %x, want %x", at.name, got, want))
		}
	}
	return differences
}

// wellFormed checks what every message of a server must fulfil by itself.
func wellFormed(live frame) (differences []string) {
	complain := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	zero := func(offset, end int) {
		for _, b := range live[offset:end] {
			if b != 0 {
				complain("reserved bytes [%d, %d) are %x, want zeros", offset, end, live[offset:end])
				return
			}
		}
	}
	if !live.headerIntact() {
		complain("the header's checksum is wrong")
	}
	if !live.bodyIntact() {
		complain("the body's checksum is wrong")
	}
	zero(16, 32)   // checksum padding
	zero(48, 80)   // body checksum padding, nonce
	zero(100, 104) // epoch
	zero(112, 114) // protocol
	zero(116, 128) // reserved_frame
	if live.number(replicaField) >= 6 {
		complain("replica is %d, want less than 6", live.number(replicaField))
	}
	if live.number(releaseField) == 0 {
		complain("release is 0")
	}
	switch live.command() {
	case pongClient:
		zero(136, 256)
	case eviction:
		zero(144, 255)
	case reply:
		zero(144, 160)
		zero(176, 192)
		zero(237, 256)
		if live.number(replyOp) == 0 || live.number(replyOp) != live.number(replyCommit) {
			complain("op is %d and commit %d, want equal and not 0", live.number(replyOp), live.number(replyCommit))
		}
		if timestamp := live.number(replyTimestamp); timestamp == 0 || timestamp>>63 != 0 {
			complain("timestamp is %d, want a positive one", timestamp)
		}
	default:
		complain("a server sent %v", live.command())
	}
	return differences
}
