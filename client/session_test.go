package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger/client/clienttest"
	"ledger/internal/seeded"
	"ledger/wire"
)

func startServer(t *testing.T, options clienttest.Options) *clienttest.Server {
	t.Helper()
	server, err := clienttest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if violations := server.Violations(); len(violations) > 0 {
			t.Errorf("the client broke the protocol: %q", violations)
		}
	})
	return server
}

func open(t *testing.T, options Options) *Session {
	t.Helper()
	session, err := Open(deadline(t), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

// deadline keeps a broken test from hanging; it decides nothing.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// createAccounts sends accounts with these ids over a session.
func createAccounts(ctx context.Context, s *Session, request, reply *Message, ids ...uint64) ([]CreateAccountResult, error) {
	accounts := View[Account](request.Events(wire.OperationCreateAccounts, s.BodyBytesMax()))
	for i, id := range ids {
		accounts[i] = Account{ID: wire.U128From(id), Ledger: 1, Code: 1}
	}
	bodyBytes := request.EndBatch(wire.OperationCreateAccounts, len(ids))
	if _, err := s.Do(ctx, wire.OperationCreateAccounts, request, bodyBytes, reply); err != nil {
		return nil, err
	}
	results, err := reply.Results(wire.OperationCreateAccounts)
	return View[CreateAccountResult](results), err
}

// mustCreate is createAccounts of ids that are new.
func mustCreate(t *testing.T, s *Session, ids ...uint64) {
	t.Helper()
	results, err := createAccounts(deadline(t), s, NewMessage(), NewMessage(), ids...)
	if err != nil || len(results) != len(ids) {
		t.Fatalf("%d results, error %v, want %d results", len(results), err, len(ids))
	}
	for i, result := range results {
		if result.Status != 1<<32-1 || result.Timestamp == 0 {
			t.Fatalf("account %d: %+v, want created", ids[i], result)
		}
	}
}

// Goal: a session registers, sends requests in a chain, and learns the server's limits.
func TestSessionBasics(t *testing.T) {
	for _, requestBytesMax := range []uint32{32 << 10, 1 << 20} {
		server := startServer(t, clienttest.Options{Cluster: wire.U128From(7), RequestBytesMax: requestBytesMax})
		session := open(t, Options{Addresses: server.Addresses(), Cluster: wire.U128From(7)})
		if got := session.BodyBytesMax(); got != requestBytesMax-wire.HeaderBytes {
			t.Fatalf("a body may have %d bytes, want %d", got, requestBytesMax-wire.HeaderBytes)
		}
		for id := uint64(1); id <= 10; id++ {
			mustCreate(t, session, id)
		}
		_, err := session.Do(deadline(t), wire.OperationCreateAccounts, NewMessage(), int(requestBytesMax), NewMessage())
		if !errors.Is(err, ErrTooMuchData) {
			t.Fatalf("error %v of a body that is too large, want ErrTooMuchData", err)
		}
		mustCreate(t, session, 11)
		for i, header := range server.Requests() {
			if header.RequestNumber() != uint32(i) {
				t.Fatalf("request %d has number %d", i, header.RequestNumber())
			}
		}
	}
}

// Goal: the largest body arrives whole, and so does its reply, for any number of bytes that the
// kernel takes at once.
func TestSessionFullMessages(t *testing.T) {
	server := startServer(t, clienttest.Options{})
	session := open(t, Options{Addresses: server.Addresses()})
	ids := make([]uint64, 8189)
	for round := range uint64(4) {
		for i := range ids {
			ids[i] = round*8189 + uint64(i) + 1
		}
		mustCreate(t, session, ids...)
	}
}

// Goal: a lost request and a lost reply are asked for again with the same bytes, and take effect
// once.
func TestSessionRetries(t *testing.T) {
	server := startServer(t, clienttest.Options{
		Drop: func(_ int, header *wire.Header, copies int) bool { return header.RequestNumber() == 1 && copies < 2 },
		DropReply: func(_ int, header *wire.Header, copies int) bool {
			return header.ReplyRequestNumber() == 2 && copies < 1
		},
	})
	session := open(t, Options{Addresses: server.Addresses()})
	mustCreate(t, session, 1)
	mustCreate(t, session, 2)
	mustCreate(t, session, 3)
	requests := server.Requests()
	if len(requests) != 4 {
		t.Fatalf("%d requests executed, want 4", len(requests))
	}
	for number, wantMin := range []int{1, 3, 2, 1} {
		if got := server.Copies(requests[number].Checksum()); got < wantMin {
			t.Errorf("request %d arrived %d times, want %d or more", number, got, wantMin)
		}
	}
}

// Goal: connections that break at any time cost retries only.
func TestSessionReconnects(t *testing.T) {
	random := seeded.Rand(t)
	server := startServer(t, clienttest.Options{ReplicasCount: 2})
	session := open(t, Options{Addresses: server.Addresses()})
	stop := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
				server.Break(random.IntN(2))
			}
		}
	})
	request, reply := NewMessage(), NewMessage()
	ids := make([]uint64, 500)
	for round := range uint64(30) {
		for i := range ids {
			ids[i] = round*500 + uint64(i) + 1
		}
		results, err := createAccounts(deadline(t), session, request, reply, ids...)
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range results {
			if result.Status != 1<<32-1 {
				t.Fatalf("account %d: status %d, want created: it took effect twice", ids[i], result.Status)
			}
		}
	}
	close(stop)
	breaking.Wait()
}

// Goal: a primary that does not answer is hedged by another replica, before the first retry.
func TestSessionHedges(t *testing.T) {
	server := startServer(t, clienttest.Options{
		ReplicasCount: 3,
		Drop:          func(replica int, _ *wire.Header, _ int) bool { return replica == 0 },
	})
	session := open(t, Options{Addresses: server.Addresses(), HedgeDelay: time.Millisecond})
	for id := uint64(1); id <= 20; id++ {
		mustCreate(t, session, id)
	}
	if session.view != 0 {
		t.Fatalf("view %d, want 0: nothing raised it", session.view)
	}
}

// Goal: hedging at once, as official clients do, sends every request twice and executes it once.
func TestSessionHedgesAtOnce(t *testing.T) {
	server := startServer(t, clienttest.Options{ReplicasCount: 3})
	session := open(t, Options{Addresses: server.Addresses(), HedgeDelay: -1})
	ids := make([]uint64, 8000)
	for round := range uint64(5) {
		for i := range ids {
			ids[i] = round*8000 + uint64(i) + 1
		}
		mustCreate(t, session, ids...)
	}
	if got := len(server.Requests()); got != 6 {
		t.Fatalf("%d requests executed, want 6", got)
	}
}

// Goal: a replica that takes connections and reads nothing holds nobody up: what it does not take
// is copied or dropped, and the messages are the caller's again with each reply. Once it reads,
// what it gets is whole frames.
func TestSessionDeafReplica(t *testing.T) {
	var hears atomic.Bool
	server := startServer(t, clienttest.Options{ReplicasCount: 3, Deaf: func(replica int) bool { return replica > 0 && !hears.Load() }})
	session := open(t, Options{Addresses: server.Addresses(), HedgeDelay: -1})
	request, reply := NewMessage(), NewMessage()
	ids := make([]uint64, 8189)
	for round := range uint64(40) {
		if round == 30 {
			hears.Store(true)
		}
		for i := range ids {
			ids[i] = round*8189 + uint64(i) + 1
		}
		results, err := createAccounts(deadline(t), session, request, reply, ids...)
		if err != nil || results[0].Status != 1<<32-1 {
			t.Fatalf("round %d: %v, %v", round, results, err)
		}
		clear(request.Body()) // it is ours: nobody may still be sending it
	}
}

// Goal: the client does not crash on any bytes that a server sends, and does not take them for an
// answer.
func FuzzReceive(f *testing.F) {
	request, answer := NewMessage(), NewMessage()
	fields := wire.RequestFields{Client: wire.U128From(9), Number: 1, Session: 3, Release: wire.ReleaseCurrent, Operation: wire.OperationNoop}
	wire.BuildRequest(request.Header(), &fields, nil)
	reply := wire.ReplyFields{Op: 5, Timestamp: 6}
	reply.SetRequest(request.Header())
	wire.BuildReply(answer.Header(), &reply, nil)
	f.Add(bytes.Clone(answer.Header()[:]))
	var pong, eviction wire.Header
	server := wire.ServerFields{View: 7, Release: wire.ReleaseAnnounced}
	wire.BuildPong(&pong, &server, 1)
	wire.BuildEviction(&eviction, &server, wire.U128From(9), wire.EvictionNoSession)
	f.Add(append(bytes.Clone(pong[:]), eviction[:]...))
	f.Add(append(bytes.Clone(pong[:]), answer.Header()[:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Most mutations break the checksum alone; those are judged with a right one, too.
		for _, reseal := range []bool{false, true} {
			data := bytes.Clone(data)
			if reseal && len(data) >= wire.HeaderBytes {
				header := wire.HeaderOf(data)
				header.SetChecksum(header.ComputeChecksum())
			}
			options, _ := Options{Addresses: []string{"a:1", "b:1"}, ID: wire.U128From(9)}.resolve()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s := &Session{options: options, parser: wire.NewParser(wire.U128{}, wire.SideClient), context: ctx, cancel: cancel, started: time.Now(),
				turn: make(chan struct{}, 1), done: make(chan struct{}, 1), number: 1,
				timer: time.NewTimer(time.Hour), pinger: time.NewTimer(time.Hour)}
			s.turn <- struct{}{}
			s.flight = flight{active: true, frame: request.Header()[:], reply: NewMessage()}
			reader := bufio.NewReader(bytes.NewReader(data))
			header := new(wire.Header)
			for {
				if _, err := io.ReadFull(reader, header[:]); err != nil {
					break
				}
				if err := s.receive(0, reader, header); err != nil {
					break
				}
			}
			if s.flight.answered && wire.HeaderOf(s.flight.reply.frame).ReplyRequestChecksum() != request.Header().Checksum() {
				t.Fatal("another request's reply is taken for an answer")
			}
		}
	})
}

// Goal: the view in pongs and replies leads the session to the new primary.
func TestSessionFollowsView(t *testing.T) {
	server := startServer(t, clienttest.Options{ReplicasCount: 3})
	server.SetView(4)
	session := open(t, Options{Addresses: server.Addresses()})
	mustCreate(t, session, 1)
	server.SetView(5)
	mustCreate(t, session, 2)
	mustCreate(t, session, 3)
	requests := server.Requests()
	if got := requests[len(requests)-1].View(); got != 5 {
		t.Fatalf("the last request has view %d, want 5", got)
	}
}

// Goal: each eviction ends the session with an error that can be told apart.
func TestSessionEvicted(t *testing.T) {
	for reason := wire.EvictionNoSession; reason <= wire.EvictionSessionReleaseMismatch; reason++ {
		server := startServer(t, clienttest.Options{})
		session := open(t, Options{Addresses: server.Addresses()})
		server.Evict(session.ID(), reason)
		for session.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		_, err := createAccounts(deadline(t), session, NewMessage(), NewMessage(), 1)
		var evicted *EvictedError
		if !errors.As(err, &evicted) || evicted.Reason != reason || !errors.Is(err, ErrEvicted) {
			t.Fatalf("error %v, want an eviction for %v", err, reason)
		}
		if errors.Is(err, ErrReleaseTooLow) != (reason == wire.EvictionReleaseTooLow) ||
			errors.Is(err, ErrReleaseTooHigh) != (reason == wire.EvictionReleaseTooHigh) {
			t.Fatalf("error %v matches the wrong release error", err)
		}
	}
}

// Goal: a client without a fixed release registers with one that the server serves: that which the
// server announces, or the oldest that the client speaks. A fixed release, and a server that speaks
// another protocol, end with the eviction.
func TestSessionRelease(t *testing.T) {
	for _, test := range []struct {
		name                         string
		newest, announced, fixed, is wire.Release // is: of the session; 0: evicted
	}{
		{"served at once", 0, 0, 0, wire.ReleaseCurrent},
		{"announced", wire.ReleaseOf(0, 17, 8), wire.ReleaseOf(0, 17, 8), 0, wire.ReleaseOf(0, 17, 8)},
		{"serves less than it announces", wire.ReleaseOf(0, 17, 3), wire.ReleaseCurrent, 0, wire.ReleaseSpokenMin},
		{"serves less than it announces, twice", wire.ReleaseOf(0, 17, 3), wire.ReleaseOf(0, 17, 5), 0, wire.ReleaseSpokenMin},
		{"older protocol", wire.ReleaseOf(0, 16, 78), wire.ReleaseOf(0, 16, 78), 0, 0},
		{"serves the older protocol only", wire.ReleaseOf(0, 16, 78), wire.ReleaseCurrent, 0, 0},
		{"fixed", wire.ReleaseOf(0, 17, 8), wire.ReleaseOf(0, 17, 8), wire.ReleaseCurrent, 0},
		{"fixed and served", wire.ReleaseOf(0, 17, 8), wire.ReleaseOf(0, 17, 8), wire.ReleaseOf(0, 17, 1), wire.ReleaseOf(0, 17, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := startServer(t, clienttest.Options{ReleaseMax: test.newest, ReleaseAnnounced: test.announced})
			session, err := Open(deadline(t), Options{Addresses: server.Addresses(), Release: test.fixed})
			if test.is == 0 {
				var evicted *EvictedError
				if !errors.Is(err, ErrReleaseTooHigh) || !errors.As(err, &evicted) || evicted.Announced != test.announced {
					t.Fatalf("error %v, want an eviction by a server that announces %s", err, test.announced)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			mustCreate(t, session, 1)
			for _, header := range server.Requests() {
				if header.Release() != test.is {
					t.Errorf("request %d has release %s, want %s", header.RequestNumber(), header.Release(), test.is)
				}
			}
		})
	}
}

// Goal: the context ends the wait, not the session: the abandoned request is answered, and the next
// one follows it.
func TestSessionContext(t *testing.T) {
	server := startServer(t, clienttest.Options{
		Drop: func(_ int, header *wire.Header, copies int) bool { return header.RequestNumber() == 1 && copies < 1 },
	})
	session := open(t, Options{Addresses: server.Addresses()})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := createAccounts(ctx, session, NewMessage(), NewMessage(), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the context's", err)
	}
	mustCreate(t, session, 2)
	if err := session.Idle(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(server.Requests()); got != 3 {
		t.Fatalf("%d requests executed, want 3", got)
	}
}

// Goal: Close ends waits, at any moment, and so does a context when there is no server.
func TestSessionCloses(t *testing.T) {
	server := startServer(t, clienttest.Options{Drop: func(_ int, h *wire.Header, _ int) bool { return h.RequestNumber() > 0 }})
	session := open(t, Options{Addresses: server.Addresses()})
	time.AfterFunc(5*time.Millisecond, session.Close)
	if _, err := createAccounts(deadline(t), session, NewMessage(), NewMessage(), 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("error %v, want ErrClosed", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Addresses: []string{"127.0.0.1:1"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v without a server, want the context's", err)
	}
	for _, addresses := range [][]string{nil, make([]string, 7)} {
		if _, err := Open(ctx, Options{Addresses: addresses}); err == nil {
			t.Fatalf("%d addresses are accepted", len(addresses))
		}
	}
}

// Goal: no allocation per request on the path of bulk load, the reader's side included.
func TestSessionAllocations(t *testing.T) {
	session := open(t, Options{Addresses: []string{startEcho(t)}})
	request, reply := NewMessage(), NewMessage()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, eventsCount := range []int{1, 8189} {
		bodyBytes := request.EndBatch(wire.OperationCreateTransfers, eventsCount)
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := session.Do(ctx, wire.OperationCreateTransfers, request, bodyBytes, reply); err != nil {
				t.Error(err)
			}
		})
		if allocs > 0.5 {
			t.Errorf("a request of %d events allocates %.1f times, want 0", eventsCount, allocs)
		}
	}
}

// BenchmarkSession is a round trip without a server's work, for one small and one full request.
func BenchmarkSession(b *testing.B) {
	for name, eventsCount := range map[string]int{"events=1": 1, "events=8189": 8189} {
		b.Run(name, func(b *testing.B) {
			session, err := Open(context.Background(), Options{Addresses: []string{startEcho(b)}})
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			request, reply := NewMessage(), NewMessage()
			bodyBytes := request.EndBatch(wire.OperationCreateTransfers, eventsCount)
			b.ReportAllocs()
			b.SetBytes(int64(bodyBytes))
			for b.Loop() {
				if _, err := session.Do(context.Background(), wire.OperationCreateTransfers, request, bodyBytes, reply); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// startEcho answers every request at once with an empty batch, without allocating: what is left to
// measure is the client.
func startEcho(t testing.TB) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		request, reply := NewMessage(), NewMessage()
		for op := uint64(1); ; op++ {
			if _, err := io.ReadFull(connection, request.Header()[:]); err != nil {
				return
			}
			if _, err := io.ReadFull(connection, request.Body()[:request.Header().BodyBytes()]); err != nil {
				return
			}
			fields := wire.ReplyFields{Op: op, Timestamp: op}
			fields.SetRequest(request.Header())
			bodyBytes := wire.RegisterReplyBytes
			if fields.Operation == wire.OperationRegister {
				wire.PutRegisterReplyBody(reply.Body()[:bodyBytes], wire.BodyBytesMax)
			} else {
				encoder := wire.NewReplyEncoder(fields.Operation, reply.Body(), 1)
				encoder.EndBatch(0)
				bodyBytes = len(encoder.Finish())
			}
			wire.BuildReply(reply.Header(), &fields, reply.Body()[:bodyBytes])
			if _, err := connection.Write(reply.frame[:wire.HeaderBytes+bodyBytes]); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}
