package wire

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"testing"
)

// The table of operations says what the specification's does, row by row, for all 256 numbers.
func TestOperations(t *testing.T) {
	type row struct {
		name                    string
		eventBytes, resultBytes uint32
		multiBatch, sparse      bool
		class                   Class
		readOnly                bool
		eventsMax, eventsMaxDev uint32
		rowsMax, rowsMaxDev     uint32
	}
	want := map[Operation]row{
		2:   {"register", 256, 64, false, false, ClassControl, false, 0, 0, 0, 0},
		3:   {"reconfigure", 0, 0, false, false, ClassUnknown, false, 0, 0, 0, 0},
		5:   {"upgrade", 0, 0, false, false, ClassUnknown, false, 0, 0, 0, 0},
		6:   {"noop", 0, 0, false, false, ClassControl, true, 0, 0, 0, 0},
		7:   {"member", 0, 0, false, false, ClassControl, false, 0, 0, 0, 0},
		128: {"pulse", 0, 0, false, false, ClassUnknown, false, 0, 0, 0, 0},
		129: {"create_accounts_unbatched", 128, 8, false, true, ClassCreate, false, 8190, 254, 0, 0},
		130: {"create_transfers_unbatched", 128, 8, false, true, ClassCreate, false, 8190, 254, 0, 0},
		131: {"lookup_accounts_unbatched", 16, 128, false, false, ClassLookup, true, 8190, 2032, 0, 0},
		132: {"lookup_transfers_unbatched", 16, 128, false, false, ClassLookup, true, 8190, 2032, 0, 0},
		133: {"get_account_transfers_unbatched", 128, 128, false, false, ClassQuery, true, 1, 1, 8190, 8190},
		134: {"get_account_balances_unbatched", 128, 128, false, false, ClassQuery, true, 1, 1, 8190, 8190},
		135: {"query_accounts_unbatched", 64, 128, false, false, ClassQuery, true, 1, 1, 8190, 8190},
		136: {"query_transfers_unbatched", 64, 128, false, false, ClassQuery, true, 1, 1, 8190, 8190},
		137: {"get_change_events", 64, 384, false, false, ClassQuery, true, 1, 1, 2730, 1016},
		138: {"create_accounts_sparse", 128, 8, true, true, ClassCreate, false, 8189, 253, 0, 0},
		139: {"create_transfers_sparse", 128, 8, true, true, ClassCreate, false, 8189, 253, 0, 0},
		140: {"lookup_accounts", 16, 128, true, false, ClassLookup, true, 8189, 2031, 0, 0},
		141: {"lookup_transfers", 16, 128, true, false, ClassLookup, true, 8189, 2031, 0, 0},
		142: {"get_account_transfers", 128, 128, true, false, ClassQuery, true, 1, 1, 8189, 8189},
		143: {"get_account_balances", 128, 128, true, false, ClassQuery, true, 1, 1, 8189, 8189},
		144: {"query_accounts", 64, 128, true, false, ClassQuery, true, 1, 1, 8189, 8189},
		145: {"query_transfers", 64, 128, true, false, ClassQuery, true, 1, 1, 8189, 8189},
		146: {"create_accounts", 128, 16, true, false, ClassCreate, false, 8189, 253, 0, 0},
		147: {"create_transfers", 128, 16, true, false, ClassCreate, false, 8189, 253, 0, 0},
	}
	const production, development = productionBatchBytesMax, developmentBatchBytesMax
	for number := range 256 {
		o := Operation(number)
		expected, ok := want[o]
		if !ok {
			expected = row{name: "unknown"}
		}
		got := row{
			o.String(), o.EventBytes(), o.ResultBytes(), o.IsMultiBatch(), o.IsSparse(), o.Class(), o.IsReadOnly(),
			EventsMax(o, production), EventsMax(o, development), RowsMax(o, production), RowsMax(o, development),
		}
		if got != expected {
			t.Errorf("operation %d: %+v, want %+v", number, got, expected)
		}
		if o.IsKnown() != (expected.class != ClassUnknown) {
			t.Errorf("operation %d: known %v", number, o.IsKnown())
		}
	}
	if got, dev := ExpiriesPerPulseMax(production), ExpiriesPerPulseMax(development); got != 8190 || dev != 254 {
		t.Errorf("expiries per pulse %d and %d, want 8190 and 254", got, dev)
	}
	for _, bytesMax := range []uint32{0, 1, 8, 127, 128, 255, 256} {
		for number := range 256 {
			EventsMax(Operation(number), bytesMax) // no request is too small to be asked about
			RowsMax(Operation(number), bytesMax)
		}
	}
}

// Every recorded name of an operation, command and reason is ours.
func TestNames(t *testing.T) {
	for _, r := range frames(t) {
		if r.Command != "" && r.Command != r.header.Command().String() {
			t.Errorf("%v: command %v", r, r.header.Command())
		}
		operation := Operation(0)
		switch r.header.Command() {
		case CommandRequest:
			operation = r.header.RequestOperation()
		case CommandReply:
			operation = r.header.ReplyOperation()
		default:
			continue
		}
		// 4 and 5 are internal to the reference; numbers without a name were recorded as numbers. 7 is
		// only ours.
		if operation.IsKnown() && operation != OperationMember && r.Operation != operation.String() {
			t.Errorf("%v: operation %v", r, operation)
		}
	}
	for reason := range 10 {
		if (EvictionReason(reason).String() == "unknown") != (reason > 8) {
			t.Errorf("reason %d is %v", reason, EvictionReason(reason))
		}
	}
}

// requestBody makes a body of batches with these numbers of events, each a query's filter with this
// limit.
func requestBody(o Operation, limit uint32, counts ...int) []byte {
	events := 0
	for _, count := range counts {
		events += count
	}
	payload := make([]byte, events*int(o.EventBytes()))
	if o.Class() == ClassQuery {
		for at := int(operations[o].limitOffset); at < len(payload); at += int(o.EventBytes()) {
			binary.LittleEndian.PutUint32(payload[at:], limit)
		}
	}
	if !o.IsMultiBatch() {
		return payload
	}
	return append(payload, naiveTrailer(int(o.EventBytes()), counts)...)
}

// naiveTrailer is specification 6 word by word.
func naiveTrailer(elementBytes int, counts []int) []byte {
	trailer := binary.LittleEndian.AppendUint16(nil, uint16(len(counts)))
	for _, count := range counts {
		trailer = append(binary.LittleEndian.AppendUint16(nil, uint16(count)), trailer...)
	}
	for len(trailer)%elementBytes != 0 {
		trailer = append([]byte{0xff}, trailer...)
	}
	return trailer
}

// ones returns n batches of count events.
func ones(n, count int) []int {
	counts := make([]int, n)
	for i := range counts {
		counts[i] = count
	}
	return counts
}

// Bodies at the edge of each limit, and one step beyond.
func TestValidateBodyLimits(t *testing.T) {
	const dev = developmentBatchBytesMax
	cases := []struct {
		name          string
		operation     Operation
		body          []byte
		bytesMax      uint32
		valid         bool
		eventsCount   uint32
		delta         uint64
		replyBytesMax uint32
	}{
		{"largest batch", 147, requestBody(147, 0, 8189), BodyBytesMax, true, 8189, 8189, 8190 * 16},
		{"largest batch and an empty one", 147, requestBody(147, 0, 8189, 0), BodyBytesMax, true, 8189, 8189, 8190 * 16},
		{"largest body of two batches", 146, requestBody(146, 0, 8000, 189), BodyBytesMax, true, 8189, 8189, 8190 * 16},
		{"one event too many for the body", 147, requestBody(147, 0, 8190), BodyBytesMax, false, 0, 0, 0},
		{"largest sparse batch", 138, requestBody(138, 0, 8189), BodyBytesMax, true, 8189, 8189, 8190 * 8},
		{"largest batch of small requests", 147, requestBody(147, 0, 253), dev, true, 253, 253, 254 * 16},
		{"one event too many for small requests", 147, requestBody(147, 0, 254), dev, false, 0, 0, 0},
		{"most ids", 140, requestBody(140, 0, 8189), BodyBytesMax, true, 8189, 0, BodyBytesMax},
		{"one id too many", 140, requestBody(140, 0, 8190), BodyBytesMax, false, 0, 0, 0},
		{"ids of two batches fill the reply", 140, requestBody(140, 0, 8000, 189), BodyBytesMax, true, 8189, 0, BodyBytesMax},
		{"ids of two batches exceed the reply", 140, requestBody(140, 0, 8189, 1), BodyBytesMax, false, 0, 0, 0},
		{"ids of 64 batches cost a trailer of two", 140, requestBody(140, 0, append(ones(63, 1), 8126)...), BodyBytesMax, false, 0, 0, 0},
		{"ids of 64 batches beside a trailer of two", 140, requestBody(140, 0, append(ones(63, 1), 8125)...), BodyBytesMax, true, 8188,
			0, BodyBytesMax},
		{"most ids of small requests", 141, requestBody(141, 0, 2031), dev, true, 2031, 0, 2032 * 128},
		{"unbatched, nothing", 130, nil, BodyBytesMax, true, 0, 0, 0},
		{"unbatched, largest", 130, requestBody(130, 0, 8190), BodyBytesMax, true, 8190, 8190, 8190 * 8},
		{"unbatched ids, largest", 131, requestBody(131, 0, 8190), BodyBytesMax, true, 8190, 0, BodyBytesMax},
		{"unbatched ids, one too many", 131, requestBody(131, 0, 8191), BodyBytesMax, false, 0, 0, 0},
		{"unbatched ids of small requests", 132, requestBody(132, 0, 2032), dev, true, 2032, 0, 2032 * 128},
		{"unbatched, not whole", 129, make([]byte, 100), BodyBytesMax, false, 0, 0, 0},
		{"unbatched query", 133, requestBody(133, 1<<32-1, 1), BodyBytesMax, true, 1, 0, BodyBytesMax},
		{"unbatched query without filter", 133, nil, BodyBytesMax, false, 0, 0, 0},
		{"unbatched query of two filters", 136, requestBody(136, 1, 2), BodyBytesMax, false, 0, 0, 0},
		{"change events", 137, requestBody(137, 10, 1), BodyBytesMax, true, 1, 0, 3840},
		{"all change events", 137, requestBody(137, 1<<32-1, 1), BodyBytesMax, true, 1, 0, BodyBytesMax},
		{"all change events of small requests", 137, requestBody(137, 1<<32-1, 1), dev, true, 1, 0, 1016 * 384},
		{"query of no rows", 142, requestBody(142, 0, 1), BodyBytesMax, true, 1, 0, 128},
		{"query of all rows", 144, requestBody(144, 1<<32-1, 1), dev, true, 1, 0, BodyBytesMax},
		{"two queries of all rows", 144, requestBody(144, 8189, 1, 1), BodyBytesMax, false, 0, 0, 0},
		{"two queries of half the rows", 145, requestBody(145, 4094, 1, 1), BodyBytesMax, true, 2, 0, 8189 * 128},
		{"4098 queries of all rows", 142, requestBody(142, 8189, ones(4098, 1)...), BodyBytesMax, false, 0, 0, 0},
		{"4100 queries of 2^32 bytes", 142, requestBody(142, 8192, ones(4100, 1)...), BodyBytesMax, false, 0, 0, 0},
		{"8000 queries of one row", 142, requestBody(142, 1, ones(8000, 1)...), BodyBytesMax, true, 8000, 0, 8000*128 + 16128},
		{"query of an empty batch", 142, requestBody(142, 1, 0), BodyBytesMax, false, 0, 0, 0},
		{"query of two filters", 142, requestBody(142, 1, 2), BodyBytesMax, false, 0, 0, 0},
		{"65534 empty batches", 147, requestBody(147, 0, ones(65534, 0)...), BodyBytesMax, true, 0, 0, 131072},
		{"65535 empty batches", 147, requestBody(147, 0, ones(65535, 0)...), BodyBytesMax, false, 0, 0, 0},
		{"noop", OperationNoop, nil, BodyBytesMax, true, 0, 0, 0},
		{"noop with a body", OperationNoop, make([]byte, 16), BodyBytesMax, false, 0, 0, 0},
		{"register", OperationRegister, make([]byte, 256), BodyBytesMax, true, 0, 0, 64},
		{"register too long", OperationRegister, make([]byte, 257), BodyBytesMax, false, 0, 0, 0},
		{"pulse", OperationPulse, nil, BodyBytesMax, false, 0, PulseTimestampDelta, 0},
		{"unknown", 148, nil, BodyBytesMax, false, 0, 0, 0},
	}
	for _, c := range cases {
		fault := ValidateBody(c.operation, c.body, c.bytesMax)
		if (fault == "") != c.valid {
			t.Errorf("%s: fault %q, want valid %v", c.name, fault, c.valid)
			continue
		}
		if naive := naiveValid(c.operation, c.body, c.bytesMax); naive != c.valid {
			t.Errorf("%s: the naive model says %v, want %v", c.name, naive, c.valid)
		}
		if c.operation == OperationPulse {
			if got := TimestampDelta(c.operation, c.body); got != c.delta {
				t.Errorf("%s: delta %d, want %d", c.name, got, c.delta)
			}
		}
		if !c.valid {
			continue
		}
		if got := EventsCount(c.operation, c.body); got != c.eventsCount {
			t.Errorf("%s: %d events, want %d", c.name, got, c.eventsCount)
		}
		if got := TimestampDelta(c.operation, c.body); got != c.delta {
			t.Errorf("%s: delta %d, want %d", c.name, got, c.delta)
		}
		if got, _ := MeasureBody(c.operation, c.body, c.bytesMax); got.ReplyBytesMax != c.replyBytesMax {
			t.Errorf("%s: reply of at most %d bytes, want %d", c.name, got.ReplyBytesMax, c.replyBytesMax)
		}
	}
}

// naiveValid is specification 5.1 and 6.3 once more, with no code shared, in numbers without bound.
func naiveValid(o Operation, body []byte, bytesMax uint32) bool {
	names := map[Operation]string{129: "au", 130: "tu", 131: "lu", 132: "lu", 133: "fu", 134: "fu", 135: "qu", 136: "qu", 137: "e",
		138: "as", 139: "ts", 140: "lm", 141: "lm", 142: "fm", 143: "fm", 144: "qm", 145: "qm", 146: "am", 147: "tm"}
	name := names[o]
	switch {
	case o == 2:
		return bytes.Equal(body, make([]byte, 256))
	case o == 6:
		return len(body) == 0
	case name == "" || len(body) > int(bytesMax):
		return false
	}
	event := map[byte]int{'a': 128, 't': 128, 'l': 16, 'f': 128, 'q': 64, 'e': 64}[name[0]]
	result := map[byte]int{'a': 16, 't': 16, 'l': 128, 'f': 128, 'q': 128, 'e': 384}[name[0]]
	isQuery := bytes.IndexByte([]byte("fqe"), name[0]) >= 0
	isCreate := name[0] == 'a' || name[0] == 't'
	batched := name != "e" && name[1] != 'u'
	if isCreate && name[1] != 'm' {
		result = 8
	}
	const reply = 1048576 - 256

	var batches [][]byte
	trailerOfReply := 0
	if !batched {
		if len(body)%event != 0 {
			return false
		}
		batches = [][]byte{body}
	} else {
		if len(body) < 2 || len(body)%2 == 1 {
			return false
		}
		n := int(body[len(body)-2]) + int(body[len(body)-1])*256
		if n == 0 || n == 65535 || 2*n+2 > len(body) {
			return false
		}
		rest := body[:len(body)-2]
		var counts []int
		for range n {
			counts = append(counts, int(rest[len(rest)-2])+int(rest[len(rest)-1])*256)
			rest = rest[:len(rest)-2]
		}
		for (len(body)-len(rest))%event != 0 {
			if len(rest) == 0 || rest[len(rest)-1] != 0xff {
				return false
			}
			rest = rest[:len(rest)-1]
		}
		for _, count := range counts {
			if count*event > len(rest) {
				return false
			}
			batches = append(batches, rest[:count*event])
			rest = rest[count*event:]
		}
		if len(rest) != 0 {
			return false
		}
		for trailerOfReply = 2*n + 2; trailerOfReply%result != 0; trailerOfReply++ {
		}
	}

	expected := new(big.Int)
	for _, batch := range batches {
		count := len(batch) / event
		inRequest, inReply := int(bytesMax)/event, reply/result
		if batched {
			inRequest, inReply = (int(bytesMax)-event)/event, (reply-max(result, 4))/result
		}
		if !isQuery && count > min(inRequest, inReply) {
			return false
		}
		if isQuery && count != 1 {
			return false
		}
		if isQuery {
			at := map[byte]int{'f': 120, 'q': 56, 'e': 16}[name[0]]
			count = min(int(binary.LittleEndian.Uint32(batch[at:])), inReply)
		}
		expected.Add(expected, new(big.Int).Mul(big.NewInt(int64(count)), big.NewInt(int64(result))))
	}
	expected.Add(expected, big.NewInt(int64(trailerOfReply)))
	return !batched || expected.Cmp(big.NewInt(reply)) <= 0
}

// FuzzValidateBody: our validity, and that of a naive model, are the same for any body; a valid one
// is walked to its end.
func FuzzValidateBody(f *testing.F) {
	for _, r := range frames(f) {
		if r.header.Command() == CommandRequest && len(r.body) < 2048 {
			f.Add(uint8(r.header.RequestOperation()), false, r.body)
		}
	}
	for number := 129; number <= 147; number++ {
		o := Operation(number)
		f.Add(uint8(o), true, requestBody(o, 5, 1))
		f.Add(uint8(o), true, requestBody(o, 4096, 1, 1, 1))
		f.Add(uint8(o), false, requestBody(o, 1, 0, 3, 0))
	}
	f.Fuzz(func(t *testing.T, number uint8, small bool, body []byte) {
		// Every operation is worth the same number of tries.
		o := Operation(number)
		if !o.IsKnown() {
			o = OperationCreateAccountsUnbatched + o%19
		}
		bytesMax := uint32(productionBatchBytesMax)
		if small {
			bytesMax = 1 << 10
		}
		before := bytes.Clone(body)
		measure, fault := MeasureBody(o, body, bytesMax)
		if naive := naiveValid(o, body, bytesMax); naive != (fault == "") {
			t.Fatalf("%v: %q, the naive model says %v", o, fault, naive)
		}
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		if fault != "" || o.EventBytes() == 0 || o == OperationRegister {
			return
		}
		batches, events := RequestBatches(o, body), uint32(0)
		if uint32(batches.Left()) != measure.BatchesCount {
			t.Fatalf("%d batches, measured %+v", batches.Left(), measure)
		}
		for {
			batch, ok := batches.Next()
			if !ok {
				break
			}
			events += uint32(len(batch)) / o.EventBytes()
		}
		if events != measure.EventsCount || events != EventsCount(o, body) || measure.ReplyBytesMax > BodyBytesMax {
			t.Fatalf("%d events, measured %+v", events, measure)
		}
	})
}

func BenchmarkMeasureBody(b *testing.B) {
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"events=1", requestBody(147, 0, 1)},
		{"events=8189", requestBody(147, 0, 8189)},
		{"batches=1000", requestBody(147, 0, ones(1000, 1)...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, fault := MeasureBody(OperationCreateTransfers, c.body, BodyBytesMax); fault != "" {
					b.Fatal(fault)
				}
			}
		})
	}
}
