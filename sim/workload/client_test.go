package workload

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/sim/model"
)

const testRelease = 17<<8 | 9

// primary is a single server around the model that handles requests and pings as the wire
// protocol's 4.4 and 4.6 say, without a log: what it accepts is committed at once.
type primary struct {
	t      *testing.T
	judge  *Judge
	server *model.Server
	limits model.Limits
	view   uint32
	op     uint64
	last   uint64
	pulses int
}

func newPrimary(t *testing.T, sessionsMax int, limits model.Limits) *primary {
	judge := NewJudge(model.Config{SessionsMax: sessionsMax, MessageBytesMax: limits.MessageBytesMax, RequestBytesMax: limits.RequestBytesMax})
	return &primary{t: t, judge: judge, server: judge.Server, limits: limits}
}

func (p *primary) commit(nowNs uint64, c model.Committed) []byte {
	p.op++
	base := max(p.last+1, nowNs)
	p.last = base + model.TimestampDelta(c.Operation, c.Body)
	c.Op, c.Timestamp, c.View = p.op, p.last, p.view
	if err := p.judge.Commit(&c); err != nil {
		p.t.Fatal(err)
	}
	_, _, reply, _ := p.server.Session(c.Client)
	return reply
}

func (p *primary) evict(client model.Number, reason uint8) []byte {
	header := model.Header{View: p.view, Release: testRelease, Command: model.CommandEviction, Client: client, Reason: reason}
	return header.Frame(nil)
}

// handle answers one frame, nil for silence.
func (p *primary) handle(nowNs uint64, frame []byte) []byte {
	if expiresAtNs, due := p.server.Machine.ExpiresNext(); due && expiresAtNs <= nowNs {
		p.commit(nowNs, model.Committed{Operation: model.Pulse})
		p.pulses++
	}
	h, _, err := model.ParseFrame(frame)
	if err != nil {
		p.t.Fatal(err)
	}
	session, request, stored, exists := p.server.Session(h.Client)
	if h.Command == model.CommandPing {
		if h.Session != 0 && !exists && h.Session <= p.op {
			return p.evict(h.Client, model.EvictNoSession)
		}
		pong := model.Header{View: p.view, Release: testRelease, Command: model.CommandPong, PingTimestamp: h.PingTimestamp}
		return pong.Frame(nil)
	}
	if h.View > p.view {
		return nil
	}
	if reason := p.limits.Refusal(frame, 1, 1<<31); reason != 0 {
		return p.evict(h.Client, reason)
	}
	switch {
	case exists && h.Operation != model.Register && h.Session < session:
		return p.evict(h.Client, model.EvictSessionTooLow)
	case exists && h.Operation != model.Register && h.Session > session:
		return nil
	case exists && h.Request == request:
		if model.Checksum(stored[128:144]) != model.Checksum(frame[:16]) {
			return nil
		}
		resent := bytes.Clone(stored)
		resent[104] = byte(p.view)
		model.Seal(resent)
		return resent
	case exists && h.Request != request+1:
		return nil
	case !exists && h.Operation != model.Register:
		return p.evict(h.Client, model.EvictNoSession)
	}
	return p.commit(nowNs, model.FromRequest(frame))
}

// parcel is a frame on its way; parcels arrive in order of time, then of their number.
type parcel struct {
	atNs   uint64
	number int
	client int // that it comes from or goes to
	toward bool
	frame  []byte
}

type parcels []parcel

func (p parcels) Len() int { return len(p) }
func (p parcels) Less(i, j int) bool {
	return p[i].atNs < p[j].atNs || p[i].atNs == p[j].atNs && p[i].number < p[j].number
}
func (p parcels) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *parcels) Push(x any)   { *p = append(*p, x.(parcel)) }
func (p *parcels) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

// cluster plays clients against one primary over a network that loses, repeats, delays and damages
// frames.
func cluster(t *testing.T, seed uint64, clientsCount, sessionsMax int, lossPercent int) (exchanges, evictions, pulses int, sum [32]byte) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 5))
	p := newPrimary(t, sessionsMax, smallLimits)
	generator := NewGenerator(seed, TypicalProfile(), smallLimits)
	nowNs := uint64(startNs)
	var clients []*Client
	for i := range clientsCount {
		config := ClientConfig{Seed: seed*100 + uint64(i), Replicas: 1, Release: testRelease, Limits: smallLimits, PauseNs: 20 * nsPerMs}
		if i%3 == 2 {
			config.Release = 16<<8 | 20
		}
		clients = append(clients, NewClient(config, generator, nowNs))
	}
	hash := sha256.New()
	var network parcels
	count := 0
	post := func(client int, toward bool, frame []byte) {
		for range 2 {
			if !(random.IntN(100) < lossPercent) {
				count++
				bytes := bytes.Clone(frame)
				if random.IntN(100) < lossPercent/4 {
					bytes[random.IntN(len(bytes))] ^= 1 << random.IntN(8)
				}
				delay := uint64(nsPerMs)
				if lossPercent > 0 {
					delay += random.Uint64N(900 * nsPerMs / uint64(1+random.IntN(100)))
				}
				heap.Push(&network, parcel{nowNs + delay, count, client, toward, bytes})
			}
			if !(random.IntN(100) < lossPercent) {
				break // else once more
			}
		}
	}
	for range 4000 {
		// The next thing that happens: a parcel, or a client's timer.
		next, who := ^uint64(0), -1
		for i, c := range clients {
			if at := c.NextNs(); at < next {
				next, who = at, i
			}
		}
		if len(network) > 0 && network[0].atNs <= next {
			arrived := heap.Pop(&network).(parcel)
			nowNs = max(nowNs, arrived.atNs)
			if arrived.toward {
				if model.CheckFrame(arrived.frame, smallLimits.MessageBytesMax) != nil {
					continue
				}
				hash.Write(arrived.frame)
				if answer := p.handle(nowNs, arrived.frame); answer != nil {
					post(arrived.client, false, answer)
				}
			} else if _, err := clients[arrived.client].Receive(nowNs, 0, arrived.frame); err != nil {
				t.Fatalf("seed %d: a correct server's frame is refused: %v", seed, err)
			}
		} else {
			nowNs = max(nowNs, next)
			for _, frame := range clients[who].Tick(nowNs) {
				post(who, true, frame.Bytes)
			}
		}
		if random.IntN(500) == 0 {
			p.view++
		}
		if random.IntN(1000) == 0 && lossPercent > 0 {
			clients[random.IntN(clientsCount)].Restart(nowNs)
		}
		for _, c := range clients {
			for _, e := range c.Take() {
				exchanges++
				if e.Evicted != 0 {
					evictions++
				}
				if err := p.judge.Add(e); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
	}
	var inFlight []*Exchange
	for _, c := range clients {
		if c.InFlight() != nil {
			inFlight = append(inFlight, c.InFlight())
		}
	}
	if err := p.judge.Finish(inFlight); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return exchanges, evictions, p.pulses, [32]byte(hash.Sum(nil))
}

// TestClients: clients get through every kind of network, sessions come and go, no correct frame is
// called wrong, and the same seed gives the same run.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		name                                    string
		clients, sessions, lossPercent          int
		exchangesMin, evictionsMin, evictionMax int
	}{
		{"quiet network, room for all", 3, 8, 0, 1000, 0, 60},
		{"lossy network", 3, 64, 20, 300, 0, 60},
		{"a session less than clients", 5, 4, 10, 300, 20, 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				exchanges, evictions, pulses, sum := cluster(t, seed, c.clients, c.sessions, c.lossPercent)
				if exchanges < c.exchangesMin || evictions < c.evictionsMin || evictions > c.evictionMax || pulses == 0 {
					t.Errorf("seed %d: %d exchanges, %d evictions, %d pulses", seed, exchanges, evictions, pulses)
				}
				t.Logf("seed %d: %d exchanges, %d evictions, %d pulses", seed, exchanges, evictions, pulses)
				if seed == 0 {
					if _, _, _, again := cluster(t, seed, c.clients, c.sessions, c.lossPercent); again != sum {
						t.Errorf("seed %d gives two different runs", seed)
					}
				}
			}
		})
	}
}

// fixed is a source of always the same request.
type fixed struct{ request Request }

func (f *fixed) Next(uint64) Request             { return f.request }
func (f *fixed) Observe(Request, uint64, []byte) {}

// registered returns a client with a session and the frame of its first request.
func registered(t *testing.T, request Request) (*Client, *primary, []byte) {
	t.Helper()
	p := newPrimary(t, 4, smallLimits)
	c := NewClient(ClientConfig{Seed: 1, Replicas: 1, Release: testRelease, Limits: smallLimits}, &fixed{request}, startNs)
	frames := c.Tick(startNs)
	if verdict, err := c.Receive(startNs+5, 0, p.handle(startNs+5, frames[0].Bytes)); err != nil || verdict != Accepted {
		t.Fatal(verdict, err)
	}
	frames = c.Tick(startNs + 1_005)
	if len(frames) != 1 || c.InFlight() == nil || c.InFlight().Number != 1 {
		t.Fatalf("%d frames after the register", len(frames))
	}
	return c, p, frames[0].Bytes
}

// TestClientDetects: replies, pongs and evictions that a correct server never sends are called
// wrong; damage is not.
func TestClientDetects(t *testing.T) {
	lookup := Request{Operation: model.LookupAccounts, Body: model.Join([][]byte{make([]byte, 32)}, 16)}
	edit := func(change func(frame []byte)) func(*primary, []byte, []byte) []byte {
		return func(_ *primary, _, reply []byte) []byte {
			change(reply)
			model.Seal(reply)
			return reply
		}
	}
	answer := func(h model.Header, body []byte) func(*primary, []byte, []byte) []byte {
		return func(_ *primary, request, _ []byte) []byte {
			sent, _, _ := model.ParseFrame(request)
			h.Client = sent.Client
			if h.Command == model.CommandReply {
				h.RequestChecksum, h.Request, h.Op, h.Timestamp = model.Checksum(request[:16]), 1, 9, startNs*2
				h.Release, h.Operation = testRelease, sent.Operation
			}
			return h.Frame(body)
		}
	}
	for _, c := range []struct {
		name string
		make func(p *primary, request, reply []byte) []byte
		why  string // in the error; empty: none
		want Verdict
	}{
		{"the reply", func(_ *primary, _, reply []byte) []byte { return reply }, "", Accepted},
		{"a damaged header", func(_ *primary, _, reply []byte) []byte { reply[40] ^= 1; return reply }, "", Damaged},
		{"a damaged body", func(_ *primary, _, reply []byte) []byte { reply[300] ^= 1; return reply }, "", Damaged},
		{"half a frame", func(_ *primary, _, reply []byte) []byte { return reply[:200] }, "", Damaged},
		{"another cluster", edit(func(f []byte) { f[80] = 1 }), "cluster", Ignored},
		{"another release", edit(func(f []byte) { f[108]++ }), "release", Ignored},
		{"another request", edit(func(f []byte) { f[128]++ }), "request's checksum", Ignored},
		{"another client", edit(func(f []byte) { f[192]++ }), "this one is", Ignored},
		{"op is not commit", edit(func(f []byte) { f[208]++ }), "op and commit", Ignored},
		{"an op before the register's", edit(func(f []byte) { f[208], f[216] = 1, 1 }), "op before", Ignored},
		{"an old timestamp", edit(func(f []byte) { f[231] = 0 }), "timestamp", Ignored},
		{"a later request number", edit(func(f []byte) { f[232]++ }), "nobody has asked", Ignored},
		{"another operation", edit(func(f []byte) { f[236]++ }), "operation", Ignored},
		{"a reserved byte", edit(func(f []byte) { f[255] = 1 }), "not zero", Ignored},
		{"no trailer", answer(model.Header{Command: model.CommandReply}, nil), "no trailer", Ignored},
		{"two batches", answer(model.Header{Command: model.CommandReply}, model.Join([][]byte{nil, nil}, 128)), "2 batches", Ignored},
		{"too many results", answer(model.Header{Command: model.CommandReply}, model.Join([][]byte{make([]byte, 3*128)}, 128)),
			"bytes of results", Ignored},
		{"an eviction for a session that is gone", answer(model.Header{Command: model.CommandEviction, Release: 1, Reason: 1}, nil), "",
			Accepted},
		{"an eviction for a valid body", answer(model.Header{Command: model.CommandEviction, Release: 1, Reason: 5}, nil), "reason 5", Ignored},
		{"an eviction for a good release", answer(model.Header{Command: model.CommandEviction, Release: 1, Reason: 2}, nil), "reason 2", Ignored},
		{"an eviction without reason", answer(model.Header{Command: model.CommandEviction, Release: 1}, nil), "reason is 1..8", Ignored},
		{"a pong of replica 6", answer(model.Header{Command: model.CommandPong, Release: 1, Replica: 6}, nil), "below 6", Ignored},
		{"a pong from the future", answer(model.Header{Command: model.CommandPong, Release: 1, PingTimestamp: startNs * 2}, nil), "echoes",
			Ignored},
		{"a pong of another ping", answer(model.Header{Command: model.CommandPong, Release: 1, PingTimestamp: startNs - 7}, nil), "echoes",
			Ignored},
		{"a request", func(_ *primary, request, _ []byte) []byte { return request }, "not for clients", Ignored},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, p, request := registered(t, lookup)
			frame := c.make(p, request, p.handle(startNs+2000, request))
			verdict, err := client.Receive(startNs+3000, 0, frame)
			if verdict != c.want || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Fatalf("verdict %d, error %v; want %d, an error with %q", verdict, err, c.want, c.why)
			}
			if (verdict == Accepted) != (client.InFlight() == nil) {
				t.Fatal("only an accepted frame ends the request")
			}
		})
	}
}

// TestClientForges: a correct server executes none of the requests that Forge makes, and evicts
// nobody for them.
func TestClientForges(t *testing.T) {
	lookup := Request{Operation: model.LookupAccounts, Body: model.Join([][]byte{make([]byte, 32)}, 16)}
	client, p, request := registered(t, lookup)
	if _, err := client.Receive(startNs+3000, 0, p.handle(startNs+2000, request)); err != nil {
		t.Fatal(err)
	}
	right := model.Header{View: client.view, Release: testRelease, Parent: client.parent, Client: client.ID(), Session: client.session,
		Request: client.request + 1, Operation: model.LookupAccounts}
	random := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	for range 2000 {
		frame, wrong, closes := client.Forge(random)
		damaged := model.CheckFrame(frame, 1<<20) != nil
		h, _, err := model.ParseFrame(frame)
		h.Cluster, h.Command, h.Latency = right.Cluster, right.Command, right.Latency
		if damaged != closes || !damaged && err == nil && h == right {
			t.Fatalf("%s: damaged %v, closes %v, header %+v", wrong, damaged, closes, h)
		}
		kind, _, _ := strings.Cut(wrong, " byte ")
		kind, _, _ = strings.Cut(kind, "'s byte ")
		seen[kind] = true
	}
	if len(seen) != 9 {
		t.Errorf("%d kinds of forged requests, want 9: %v", len(seen), seen)
	}
}

// TestClientRepliesTwice: the second copy of a reply is ignored if it is the same, in a later view
// too, and an error otherwise.
func TestClientRepliesTwice(t *testing.T) {
	client, p, request := registered(t, Request{Operation: model.Noop, Body: []byte{}})
	reply := p.handle(startNs+2000, request)
	receive := func(frame []byte) error {
		_, err := client.Receive(startNs+3000, 0, frame)
		return err
	}
	if err := receive(reply); err != nil {
		t.Fatal(err)
	}
	again := bytes.Clone(reply)
	again[104] = 3
	model.Seal(again)
	if err := receive(again); err != nil || client.view != 3 {
		t.Fatal(err, client.view)
	}
	if err := receive(reply); err != nil {
		t.Fatal(err)
	}
	again[224] ^= 1 // the timestamp
	model.Seal(again)
	if err := receive(again); err == nil {
		t.Fatal("another reply to the same request passes")
	}
}

// TestClientRefused: a reply to a request that has to be refused is wrong; the eviction begins a
// new session.
func TestClientRefused(t *testing.T) {
	client, p, request := registered(t, Request{Operation: 200, Body: []byte{1}, Refused: true})
	id := client.ID()
	eviction := p.handle(startNs+2000, request)
	header := model.Header{Release: testRelease, Command: model.CommandReply, Client: id, Request: 1, Operation: 200, Op: 9, Timestamp: 9,
		RequestChecksum: model.Checksum(request[:16])}
	if _, err := client.Receive(startNs+2500, 0, header.Frame(nil)); err == nil {
		t.Fatal("a reply to an unknown operation passes")
	}
	if verdict, err := client.Receive(startNs+3000, 0, eviction); err != nil || verdict != Accepted {
		t.Fatal(verdict, err)
	}
	done := client.Take()
	if last := done[len(done)-1]; last.Evicted != model.EvictInvalidOperation || last.Reply != nil {
		t.Fatalf("the exchange ended with %d", last.Evicted)
	}
	if client.ID() == id || client.InFlight() != nil {
		t.Fatal("no new session after the eviction")
	}
	if verdict, err := client.Receive(startNs+3000, 0, eviction); err != nil || verdict != Ignored {
		t.Fatal("a second eviction of the old session:", verdict, err)
	}
	if frames := client.Tick(startNs + 4000); len(frames) != 2 || client.InFlight().Number != 0 {
		t.Fatal("the new session does not register")
	}
}

// TestClientRetries: the same bytes again, first after 600 ms; where to and with what depends on
// the release.
func TestClientRetries(t *testing.T) {
	for _, c := range []struct {
		release uint32
		targets [][]int // of the first three sends
	}{
		{16<<8 | 20, [][]int{{0}, {1}, {2}}},
		{16<<8 | 45, [][]int{{0}, {0, 1}, {0, 2}}},
		{17<<8 | 9, [][]int{{0, -1}, {0, -1}, {0, -1}}},
	} {
		client := NewClient(ClientConfig{Seed: 3, Replicas: 3, Release: c.release, Limits: smallLimits}, &fixed{}, startNs)
		var first []byte
		for i, targets := range c.targets {
			at := client.NextNs()
			if i == 1 && at != startNs+600*nsPerMs {
				t.Fatalf("release %#x: the first retry after %d ns", c.release, at-startNs)
			}
			var got []Frame
			for _, frame := range client.Tick(at) {
				if !(i == 0 && frame.Bytes[114] == model.CommandPing) { // those of a register
					got = append(got, frame)
				}
			}
			if len(got) != len(targets) {
				t.Fatalf("release %#x, send %d: %d frames, want %d", c.release, i, len(got), len(targets))
			}
			for j, frame := range got {
				if targets[j] >= 0 && frame.Replica != targets[j] || targets[j] < 0 && frame.Replica == 0 {
					t.Errorf("release %#x, send %d: frame %d goes to %d", c.release, i, j, frame.Replica)
				}
				if j == 0 && first == nil {
					first = frame.Bytes
				}
				if frame.Bytes[114] == model.CommandRequest && !bytes.Equal(frame.Bytes, first) {
					t.Errorf("release %#x, send %d: other bytes than the first time", c.release, i)
				}
			}
		}
	}
}

// TestStream: frames come out whole however their bytes arrive; a damaged header ends the stream.
func TestStream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var sent [][]byte
	var bytesAll []byte
	for i := range 20 {
		header := model.Header{Command: model.CommandReply, Client: model.Num(1), Op: uint64(i + 1), Timestamp: 1}
		frame := header.Frame(make([]byte, random.IntN(700)))
		sent, bytesAll = append(sent, frame), append(bytesAll, frame...)
	}
	stream := NewStream(4096)
	for rest := bytesAll; len(rest) > 0; {
		piece := rest[:min(len(rest), 1+random.IntN(600))]
		rest = rest[len(piece):]
		frames, err := stream.Push(piece)
		if err != nil {
			t.Fatal(err)
		}
		for _, frame := range frames {
			if !bytes.Equal(frame, sent[0]) {
				t.Fatal("a frame came out differently")
			}
			sent = sent[1:]
		}
	}
	if len(sent) != 0 {
		t.Fatalf("%d frames are missing", len(sent))
	}
	bytesAll[100] ^= 1
	if _, err := stream.Push(bytesAll); err == nil {
		t.Fatal("a damaged header passes")
	}
}
