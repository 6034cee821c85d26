package clienttest

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"
	"unsafe"

	"ledger/accounting"
	"ledger/wire"
)

// probe is a client that can do everything wrong.
type probe struct {
	t          *testing.T
	connection net.Conn
	parser     wire.Parser
	next       wire.RequestFields // of the request that a right client would send now
	pings      uint64
}

// connect registers a client.
func connect(t *testing.T, s *Server) *probe {
	t.Helper()
	connection, err := net.Dial("tcp", s.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
	p := &probe{t: t, connection: connection, parser: wire.NewParser(s.options.Cluster, wire.SideClient)}
	p.next = wire.RequestFields{
		Cluster: s.options.Cluster, Client: wire.U128From(7), Release: wire.ReleaseClientMax, Operation: wire.OperationRegister,
	}
	p.send(request(p.next, make([]byte, wire.RegisterBodyBytes)))
	reply, _ := p.receive()
	p.next.Session, p.next.Parent, p.next.Number = reply.ReplyCommit(), reply.ReplyContext(), 1
	p.next.Operation = wire.OperationCreateAccounts
	return p
}

// request is a frame.
func request(fields wire.RequestFields, body []byte) []byte {
	frame := append(make([]byte, wire.HeaderBytes), body...)
	wire.BuildRequest(wire.HeaderOf(frame), &fields, body)
	return frame
}

// accounts is the body of a request to create one account.
func accounts(id uint64) []byte {
	account := accounting.Account{ID: wire.U128From(id), Ledger: 1, Code: 1}
	body := make([]byte, 1024)
	encoder := wire.NewBatchEncoder(body, wire.AccountBytes, 1)
	copy(encoder.Free(), unsafe.Slice((*byte)(unsafe.Pointer(&account)), wire.AccountBytes))
	encoder.EndBatch(1)
	return encoder.Finish()
}

func (p *probe) send(frame []byte) {
	p.t.Helper()
	if _, err := p.connection.Write(frame); err != nil {
		p.t.Fatal(err)
	}
}

func (p *probe) receive() (*wire.Header, []byte) {
	p.t.Helper()
	h := new(wire.Header)
	if _, err := io.ReadFull(p.connection, h[:]); err != nil {
		p.t.Fatal(err)
	}
	if verdict, fault := p.parser.ParseHeader(h); verdict != wire.VerdictOK {
		p.t.Fatal(fault)
	}
	body := make([]byte, h.BodyBytes())
	if _, err := io.ReadFull(p.connection, body); err != nil {
		p.t.Fatal(err)
	}
	if verdict, fault := p.parser.VerifyBody(h, body); verdict != wire.VerdictOK {
		p.t.Fatal(fault)
	}
	return h, body
}

// silence wants no answer to what was sent: the next one is that to a ping.
func (p *probe) silence() {
	p.t.Helper()
	p.pings++
	var ping wire.Header
	wire.BuildPing(&ping, &wire.PingFields{
		Cluster: p.next.Cluster, Client: p.next.Client, Session: p.next.Session, Release: p.next.Release, TimestampNs: p.pings,
	})
	p.send(ping[:])
	if h, _ := p.receive(); h.Command() != wire.CommandPongClient || h.PongTimestampNs() != p.pings {
		p.t.Fatalf("%v came instead of the pong", h.Command())
	}
}

// evicted wants an eviction for this reason.
func (p *probe) evicted(reason wire.EvictionReason) {
	p.t.Helper()
	if h, _ := p.receive(); h.Command() != wire.CommandEviction || h.EvictionReason() != reason || h.EvictionClient() != p.next.Client {
		p.t.Fatalf("%v came instead of an eviction for %v", h.Command(), reason)
	}
}

func started(t *testing.T, options Options) *Server {
	t.Helper()
	s, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Goal: a client that does everything right gets its answers, and no violation is seen. A retry
// gets the same answer, and is not executed again.
func TestRightClient(t *testing.T) {
	s := started(t, Options{Cluster: wire.U128From(3)})
	p := connect(t, s)
	for number := range uint64(3) {
		frame := request(p.next, accounts(number+1))
		p.send(frame)
		reply, body := p.receive()
		p.send(frame)
		again, bodyAgain := p.receive()
		if again.ReplyContext() != reply.ReplyContext() || !bytes.Equal(body, bodyAgain) {
			t.Fatal("a retry has another answer")
		}
		batches, fault := wire.DecodeBatches(body, wire.CreateResultBytes)
		if results, _ := batches.Next(); fault != "" || len(results) != wire.CreateResultBytes {
			t.Fatalf("%d bytes of results %q, want those of one account", len(results), fault)
		}
		if got := s.Copies(wire.HeaderOf(frame).Checksum()); got != 2 {
			t.Fatalf("%d copies were counted, want 2", got)
		}
		p.next.Parent, p.next.Number = reply.ReplyContext(), p.next.Number+1
	}
	// A request that is older than the last one is a late copy, which is no reason to complain.
	late := p.next
	late.Number = 1
	p.send(request(late, accounts(1)))
	p.silence()
	if got := s.Violations(); len(got) != 0 {
		t.Errorf("violations %q", got)
	}
	if got := len(s.Requests()); got != 4 {
		t.Errorf("%d requests executed, want the register and 3", got)
	}
}

// Goal: what a client does wrong is noticed, and not executed.
func TestWrongClient(t *testing.T) {
	silence := (*probe).silence
	evicted := func(reason wire.EvictionReason) func(*probe) { return func(p *probe) { p.evicted(reason) } }
	closed := func(p *probe) {
		if _, err := io.ReadFull(p.connection, make([]byte, 1)); err != io.EOF {
			p.t.Errorf("error %v, want the end of the connection", err)
		}
	}
	body := accounts(2)
	for name, c := range map[string]struct {
		frame     func(next, last wire.RequestFields) []byte
		answer    func(*probe)
		violation string // none for what is no mistake of the client
	}{
		"header damaged": {func(next, _ wire.RequestFields) []byte {
			frame := request(next, body)
			frame[200] ^= 1
			return frame
		}, closed, "header checksum is wrong"},
		"body damaged": {func(next, _ wire.RequestFields) []byte {
			frame := request(next, body)
			frame[wire.HeaderBytes] ^= 1
			return frame
		}, closed, "body checksum is wrong"},
		"another session": {func(next, _ wire.RequestFields) []byte {
			next.Session++
			return request(next, body)
		}, silence, "session differs"},
		"a retry with other content": {func(_, last wire.RequestFields) []byte {
			return request(last, body)
		}, silence, "a retry differs from its request"},
		"a number left out": {func(next, _ wire.RequestFields) []byte {
			next.Number++
			return request(next, body)
		}, silence, "the chain of requests is broken"},
		"another parent": {func(next, _ wire.RequestFields) []byte {
			next.Parent[0] ^= 1
			return request(next, body)
		}, silence, "the chain of requests is broken"},
		"no operation": {func(next, _ wire.RequestFields) []byte {
			next.Operation = 255
			return request(next, body)
		}, evicted(wire.EvictionInvalidOperation), "operation is none of a client"},
		"half an account": {func(next, _ wire.RequestFields) []byte {
			return request(next, body[:64])
		}, evicted(wire.EvictionInvalidBody), "trailer: number of batches is not 1..65534"},
		"an old release": {func(next, _ wire.RequestFields) []byte {
			next.Release = wire.ReleaseClientMin - 1
			return request(next, body)
		}, evicted(wire.EvictionReleaseTooLow), "release is below the minimum"},
		"never registered": {func(next, _ wire.RequestFields) []byte {
			next.Client = wire.U128From(8)
			return request(next, body)
		}, func(p *probe) {
			p.next.Client = wire.U128From(8)
			p.evicted(wire.EvictionNoSession)
		}, ""},
		"a view to come": {func(next, _ wire.RequestFields) []byte {
			next.View = 9
			return request(next, body)
		}, silence, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t, Options{})
			p := connect(t, s)
			last := p.next
			p.send(request(p.next, accounts(1)))
			reply, _ := p.receive()
			p.next.Parent, p.next.Number = reply.ReplyContext(), 2
			p.send(c.frame(p.next, last))
			c.answer(p)
			var want []string
			if c.violation != "" {
				want = []string{c.violation}
			}
			if got := s.Violations(); !slices.Equal(got, want) {
				t.Errorf("violations %q, want %q", got, want)
			}
			if got := len(s.Requests()); got != 2 {
				t.Errorf("%d requests executed, want the register and the right one", got)
			}
		})
	}
}

// Goal: the faults that a test asks for happen, and no others.
func TestFaultsOnRequest(t *testing.T) {
	drops, dropsReplies := true, true
	s := started(t, Options{
		Drop:      func(_ int, h *wire.Header, _ int) bool { return drops && h.RequestNumber() > 0 },
		DropReply: func(_ int, h *wire.Header, _ int) bool { return dropsReplies && h.ReplyRequestNumber() > 0 },
	})
	set := func(what *bool) { // Drop and DropReply are asked with the lock held
		s.mu.Lock()
		defer s.mu.Unlock()
		*what = false
	}
	p := connect(t, s)
	frame := request(p.next, accounts(1))
	p.send(frame)
	p.silence()
	if got := len(s.Requests()); got != 1 {
		t.Fatalf("%d requests executed, want the register alone", got)
	}
	set(&drops)
	p.send(frame)
	p.silence()
	if got := len(s.Requests()); got != 2 {
		t.Fatalf("%d requests executed, want the register and one", got)
	}
	set(&dropsReplies)
	s.SetView(4)
	p.send(frame)
	if reply, _ := p.receive(); reply.Command() != wire.CommandReply || reply.View() != 4 {
		t.Fatalf("%v of view %d, want a reply of view 4", reply.Command(), reply.View())
	}
	s.Evict(p.next.Client, wire.EvictionSessionTooLow)
	p.evicted(wire.EvictionSessionTooLow)
	s.Break(0)
	if _, err := io.ReadFull(p.connection, make([]byte, 1)); err == nil {
		t.Error("the connection was not broken")
	}
	if got := s.Violations(); len(got) != 0 {
		t.Errorf("violations %q", got)
	}
}
