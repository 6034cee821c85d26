package net

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ledger/stages"
	"ledger/wire"
)

// recorded is one frame or event of the recordings. See wire/testdata/README.md.
type recorded struct {
	Scenario, Dir, Note, Event, Header, Body, Raw string
	Seq, Conn                                     int
}

func (r *recorded) frame(t *testing.T) []byte {
	bytes, err := hex.DecodeString(r.Raw + r.Header + r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func recordings(t *testing.T) (scenarios map[string][]*recorded) {
	file, err := os.Open("../../wire/testdata/frames.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 4<<20)
	scenarios = map[string][]*recorded{}
	for lines.Scan() {
		r := &recorded{}
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			t.Fatal(err)
		}
		scenarios[r.Scenario] = append(scenarios[r.Scenario], r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return scenarios
}

// Goal: what the reference server was seen to do with connections, ours does: the recorded answers,
// given by a consensus that knows them, arrive on the recorded connections, and the recorded
// connections are closed. It differs where the wire protocol, 9.5, says so.
func TestRecordings(t *testing.T) {
	count := 0
	for name, records := range recordings(t) {
		if strings.HasPrefix(name, "go-40") || strings.HasPrefix(name, "raw-4") {
			continue // three replicas: a backup answers on routes that its recording does not show
		}
		t.Run(name, func(t *testing.T) { replay(t, records, &count) })
	}
	if count < 200 {
		t.Errorf("%d frames compared: recordings are missing", count)
	}
}

func replay(t *testing.T, records []*recorded, count *int) {
	b := newBenchOf(t, 0, 100, 160)
	connections := map[int]int{} // of the recording -> ours
	var held []stages.NetToConsensus
	// take removes the held message that answers.
	take := func(answers func(e stages.NetToConsensus, h *wire.Header) bool) (e stages.NetToConsensus, ok bool) {
		for i, e := range held {
			if answers(e, wire.HeaderOf(b.slots.Bytes(e.Slot))) {
				held = append(held[:i], held[i+1:]...)
				return e, true
			}
		}
		return e, false
	}
	reply := b.slots.Get(stages.SlotReply)
	for _, r := range records {
		id, known := connections[r.Conn]
		if !known {
			id = b.connect()
			connections[r.Conn] = id
		}
		switch {
		case r.Scenario == "raw-24-two-clients-one-connection" && r.Seq == 3:
			if b.isOpen(id) {
				t.Errorf("seq %d: a second client on one connection closes it", r.Seq)
			}
			return
		case r.Dir == "c2s" && r.Event == "":
			if !b.isOpen(id) {
				continue
			}
			b.network.connections[id].peerClosed = strings.Contains(r.Note, "half-close")
			b.write(id, r.frame(t))
			for e := b.pop(); e.Kind == stages.NetMessage; e = b.pop() {
				held = append(held, e)
			}
			for len(held) > 40 {
				b.send(free(held[0]))
				held = held[1:]
			}
		case r.Scenario == "raw-36-retry-across-restart" && r.Event != "":
			b.network.connections[id].peerClosed = true // the server was restarted here
			b.settle()
		case strings.Contains(r.Event, "closed by server"):
			if b.isOpen(id) {
				t.Errorf("seq %d: connection %d is open, the reference closed it", r.Seq, r.Conn)
			}
			*count++
		case r.Event == "":
			if r.Scenario == "raw-21-duplicate-request" && r.Seq == 14 {
				id = connections[2] // the latest connection is the route, by the advice of 1.4
			}
			frame := r.frame(t)
			h := wire.HeaderOf(frame)
			b.network.connections[id].toClient = nil
			switch h.Command() {
			case wire.CommandReply:
				copy(b.slots.Bytes(reply), frame)
				b.send(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: uint32(len(frame)), Client: h.ReplyClient()})
				if e := b.pop(); e.Kind != stages.NetSent {
					t.Fatalf("seq %d: %+v, want NetSent", r.Seq, e)
				}
			case wire.CommandPongClient:
				e, ok := take(func(e stages.NetToConsensus, h *wire.Header) bool {
					at, _ := b.stage.indexOf(e.Connection)
					return h.Command() == wire.CommandPingClient && int(at) == id
				})
				if !ok {
					t.Fatalf("seq %d: the ping of this pong did not arrive", r.Seq)
				}
				copy(b.slots.Bytes(e.Slot), frame)
				b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Connection: e.Connection})
			case wire.CommandEviction:
				client := h.EvictionClient()
				e, ok := take(func(_ stages.NetToConsensus, h *wire.Header) bool { return h.Client() == client })
				if !ok {
					t.Fatalf("seq %d: the cause of this eviction did not arrive", r.Seq)
				}
				copy(b.slots.Bytes(e.Slot), frame)
				b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Client: client})
			}
			if !bytes.Equal(b.network.connections[id].toClient, frame) {
				t.Errorf("seq %d: %v did not arrive on connection %d", r.Seq, h.Command(), r.Conn)
			}
			*count++
		}
	}
}
