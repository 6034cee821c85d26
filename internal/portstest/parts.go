package portstest

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"ledger/internal/ports"
)

// Goal: header and body arrive as one stream in order, and the send has one completion with the sum
// of both. That holds for every pair of lengths, also when the receiver cuts the stream or does not
// read for a time. A send of one buffer behind it has nothing of the body before.
func testPartsArrive(p *pairTest) {
	ids := p.connect(0)
	random := rand.New(rand.NewPCG(1, 0))
	buffer := p.Bytes(64<<10, 0)
	headers, bodies := p.Bytes(1<<20, 1), p.Bytes(1<<20, 101)
	// Lengths of a message; lengths with which the socket's buffer fills in the header, and in the
	// body.
	for _, lengths := range [][2]int{{256, 0}, {256, 1}, {1, 1}, {1, 5000}, {256, 1<<20 - 256}, {5000, 3}, {1 << 20, 1 << 20}, {256, 128}} {
		header, body := headers[:lengths[0]], bodies[:lengths[1]]
		want := slices.Concat(header, body)
		p.Networks[0].SendParts(ids[0], header, body)
		p.collect(1, ids[1], want, buffer, random)
		if sent := p.event(0, ports.NetworkSent); int(sent.Bytes) != len(want) || sent.Connection != ids[0] {
			p.t.Fatalf("%d and %d bytes: sent %+v", len(header), len(body), sent)
		}
		p.Networks[0].Send(ids[0], header)
		p.collect(1, ids[1], header, buffer, random)
		if sent := p.event(0, ports.NetworkSent); int(sent.Bytes) != len(header) {
			p.t.Fatalf("%d bytes: sent %+v", len(header), sent)
		}
	}
	p.quiet(0)
	p.quiet(1)
}

// Goal: both ends send in parts at the same time, more than the sockets hold, while neither reads;
// every cut of header and body that this causes is resumed in the right place.
func testPartsBothWays(p *pairTest) {
	ids := p.connect(1)
	random := rand.New(rand.NewPCG(2, 0))
	var header, body, want, buffer [2][]byte
	for side := range ids {
		// One side's sockets fill in the middle of the header, the other's in the body.
		header[side], body[side] = p.Bytes([2]int{24 << 20, 300}[side], byte(side)), p.Bytes([2]int{300, 24 << 20}[side], byte(7+side))
		want[side], buffer[side] = slices.Concat(header[side], body[side]), p.Bytes(1<<20, 0)
		p.Networks[side].SendParts(ids[side], header[side], body[side])
	}
	for range 20 {
		p.Turn()
	}
	var got [2]int
	var receiving, sent [2]bool
	p.until("all bytes", func() bool {
		for side, network := range p.Networks {
			from := want[1-side]
			if !receiving[side] && got[side] < len(from) {
				receiving[side] = true
				network.Receive(ids[side], buffer[side][:1+random.IntN(len(buffer[side]))])
			}
			for _, event := range p.events[:network.Poll(p.events[:])] {
				switch event.Kind {
				case ports.NetworkSent:
					sent[side] = int(event.Bytes) == len(want[side])
				case ports.NetworkReceived:
					receiving[side] = false
					if event.Bytes <= 0 || !bytes.Equal(buffer[side][:event.Bytes], from[got[side]:][:event.Bytes]) {
						p.t.Fatalf("side %d: received %d bytes at %d, or other bytes", side, event.Bytes, got[side])
					}
					got[side] += int(event.Bytes)
				}
			}
		}
		return got[0] == len(want[1]) && got[1] == len(want[0]) && sent[0] && sent[1]
	})
}

// Goal: Close while parts are being sent gives NetworkClosed and nothing else. The peer gets the
// bytes that had left, in order, and then the end.
func testPartsCancelled(p *pairTest) {
	for _, isTurned := range []bool{true, false} {
		ids := p.connect(0)
		header, body := p.Bytes(256, 3), p.Bytes(64<<20, 4) // more than any socket takes
		p.Networks[0].SendParts(ids[0], header, body)
		if isTurned {
			p.quiet(0)
		}
		p.close(0, ids[0])
		p.quiet(0)
		want, at, buffer := slices.Concat(header, body), 0, p.Bytes(1<<20, 0)
		for {
			p.Networks[1].Receive(ids[1], buffer)
			received := p.event(1, ports.NetworkReceived)
			if received.Bytes <= 0 {
				break
			}
			if !bytes.Equal(buffer[:received.Bytes], want[at:at+int(received.Bytes)]) {
				p.t.Fatalf("received %d other bytes at %d", received.Bytes, at)
			}
			at += int(received.Bytes)
		}
		if at == len(want) {
			p.t.Error("all bytes came in spite of the Close")
		}
		p.close(1, ids[1])
	}
}

// Goal: parts to a peer that has gone end with an error, once.
func testPartsToNobody(p *pairTest) {
	ids := p.connect(0)
	p.close(1, ids[1])
	buffer := p.Bytes(4096, 0)
	p.Networks[0].Receive(ids[0], buffer)
	p.event(0, ports.NetworkReceived)
	for range 100 { // the first sends may still find room in the socket
		p.Networks[0].SendParts(ids[0], buffer[:256], buffer)
		if p.event(0, ports.NetworkSent).Bytes < 0 {
			p.close(0, ids[0])
			p.quiet(0)
			return
		}
	}
	p.t.Error("a hundred sends to nobody had no error")
}
