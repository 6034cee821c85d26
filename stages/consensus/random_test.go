package consensus

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// client sends requests; a wild one breaks every rule that it can break on the way.
type client struct {
	id      wire.U128
	wild    bool
	session uint64
	number  uint32
	context wire.Checksum
	release wire.Release
	sent    []byte // the request that waits for its reply
	old     [][]byte
}

// crowd is the clients of a world, and what they know together.
type crowd struct {
	t       *testing.T
	w       *world
	random  *rand.Rand
	clients []*client
	nextID  uint64
	// replies are the first ones to each request, with the parts that a later view changes cleared.
	// A client that registers again sends the same bytes, and gets another session.
	replies map[replyKey][]byte
	count   map[string]int
}

type replyKey struct {
	request wire.Checksum
	session uint64 // of a register
}

func newCrowd(t *testing.T, w *world, random *rand.Rand, clientsCount int) *crowd {
	c := &crowd{t: t, w: w, random: random, nextID: 1, replies: map[replyKey][]byte{}, count: map[string]int{}}
	for i := range clientsCount {
		c.clients = append(c.clients, &client{id: c.newID(), wild: i%2 == 1, release: wire.ReleaseOf(0, 17, 9)})
	}
	w.onMessage = c.onMessage
	return c
}

func (c *crowd) newID() wire.U128 {
	c.nextID++
	return wire.U128{Lo: c.nextID, Hi: c.nextID << 32}
}

// onMessage takes what reached a client. Half of it is lost on the way.
func (c *crowd) onMessage(message []byte) {
	h := wire.HeaderOf(message[:256])
	switch h.Command() {
	case wire.CommandReply:
		c.count["reply"]++
		stable := bytes.Clone(message)
		clear(stable[:16])
		clear(stable[104:108])
		key := replyKey{request: h.ReplyRequestChecksum()}
		if h.ReplyOperation() == wire.OperationRegister {
			key.session = h.ReplyOp()
		}
		if first, ok := c.replies[key]; ok && !bytes.Equal(first, stable) {
			c.t.Fatalf("the request of op %d was answered in two ways", h.ReplyOp())
		} else if ok {
			c.count["repeat"]++
		}
		c.replies[key] = stable
		if c.random.IntN(4) == 0 {
			return
		}
		for _, k := range c.clients {
			if k.id != h.ReplyClient() || k.sent == nil || wire.HeaderOf(k.sent[:256]).Checksum() != key.request {
				continue
			}
			if h.ReplyOperation() == wire.OperationRegister {
				k.session = h.ReplyCommit()
			}
			k.number, k.context, k.sent = h.ReplyRequestNumber()+1, h.ReplyContext(), nil
		}
	case wire.CommandEviction:
		c.count[h.EvictionReason().String()]++
		for _, k := range c.clients {
			if k.id != h.EvictionClient() || c.random.IntN(4) == 0 {
				continue
			}
			// The reply to a first register may overtake the one to its repetition, whose session
			// is newer.
			if !k.wild && h.EvictionReason() != wire.EvictionNoSession && h.EvictionReason() != wire.EvictionSessionTooLow {
				c.t.Fatalf("a client that keeps the rules was evicted: %v", h.EvictionReason())
			}
			// A wild client takes its id along into the next session.
			if !k.wild || c.random.IntN(2) == 0 {
				k.id = c.newID()
			}
			k.session, k.number, k.context, k.sent = 0, 0, wire.Checksum{}, nil
		}
	case wire.CommandPongClient:
		c.count["pong"]++
	}
}

// act lets one client do something.
func (c *crowd) act() {
	k := c.clients[c.random.IntN(len(c.clients))]
	if k.wild && c.random.IntN(3) == 0 {
		c.misbehave(k)
		return
	}
	if c.random.IntN(12) == 0 {
		c.ping(k, k.session, k.release)
		return
	}
	if k.sent == nil {
		f := wire.RequestFields{Client: k.id, Parent: k.context, Session: k.session, Number: k.number, Release: k.release}
		if k.session == 0 {
			f.Operation = wire.OperationRegister
			k.sent = frame(f, make([]byte, 256))
		} else {
			var body []byte
			f.Operation, body = randomBody(c.random)
			k.sent = frame(f, body)
		}
		k.old = append(k.old, k.sent)
	}
	c.w.receive(k.sent)
}

func (c *crowd) ping(k *client, session uint64, release wire.Release) {
	b := make([]byte, 256)
	wire.BuildPing(wire.HeaderOf(b), &wire.PingFields{Cluster: testCluster, Client: k.id, TimestampNs: 5, Session: session, Release: release})
	c.w.receive(b)
}

func (c *crowd) misbehave(k *client) {
	pick := func(values ...uint64) uint64 { return values[c.random.IntN(len(values))] }
	switch c.random.IntN(6) {
	case 0:
		c.ping(k, pick(0, 1, k.session, 1<<40), wire.Release(pick(1, uint64(k.release), 0xffffffff)))
	case 1, 2: // something old again, perhaps of the session before
		if len(k.old) > 0 {
			c.w.receive(k.old[c.random.IntN(len(k.old))])
		}
	case 3: // a register, at any time
		f := wire.RequestFields{Client: k.id, Operation: wire.OperationRegister, Release: k.release, PreviousLatency: uint32(pick(0, 1))}
		c.w.receive(frame(f, make([]byte, 256)))
	default:
		operation, body := randomBody(c.random)
		f := wire.RequestFields{
			Client: k.id, Parent: k.context, Operation: operation, View: uint32(pick(0, 0, 1, uint64(c.w.superblock.View), 1<<30)),
			Session: pick(k.session, k.session, k.session+1, k.session-1, 1),
			Release: wire.Release(pick(uint64(k.release), uint64(k.release), 1, 0xffffffff, uint64(wire.ReleaseOf(0, 16, 9)))),
			Number:  uint32(pick(uint64(k.number), uint64(k.number), uint64(k.number)+1, uint64(k.number)-1, 1)),
		}
		if c.random.IntN(4) == 0 {
			f.Parent = wire.Checksum{1}
		}
		if c.random.IntN(4) == 0 {
			body = append(body, make([]byte, c.random.IntN(130))...)
		}
		if c.random.IntN(8) == 0 {
			f.Operation = wire.Operation(c.random.IntN(256))
		}
		b := frame(f, body)
		if c.random.IntN(8) == 0 {
			h := wire.HeaderOf(b[:256])
			h.SetRequestTimestamp(9)
			h.SetChecksum(h.ComputeChecksum())
		}
		k.old = append(k.old, b)
		c.w.receive(b)
	}
}

// checkLog: no request is in the log twice, and each was answered in at most one way.
func (c *crowd) checkLog() {
	type key struct {
		client  wire.U128
		session uint64
		number  uint32
	}
	seen := map[key]uint64{}
	for op := uint64(1); op <= c.w.head; op++ {
		p := c.w.log[op]
		for i := range int(prepare.Header(p[:256]).RequestsCount()) {
			r := prepare.RequestAt(p, i)
			if r.Operation == wire.OperationPulse || r.Operation == wire.OperationRegister {
				continue
			}
			k := key{r.Client, r.Session, r.Request}
			if before, twice := seen[k]; twice {
				c.t.Fatalf("request %d of %v is in ops %d and %d", r.Request, r.Client, before, op)
			}
			seen[k] = op
		}
	}
	c.count["requests"] = len(seen)
}

// run plays random clients against random completions and crashes, and returns the trace of all
// actions.
func run(t *testing.T, l limits.Limits, seed uint64, steps int) (*crowd, uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, l)
	c := newCrowd(t, w, random, 3+random.IntN(9))
	w.nextPulse = func(timestamp uint64) uint64 {
		switch random.IntN(4) {
		case 0:
			return timestamp - uint64(random.IntN(10_000))
		case 1:
			return w.wallNs + uint64(random.IntN(1_000_000_000))
		}
		return never
	}
	crashPerMille := random.IntN(8)
	journalSlow, applySlow, checkpointSlow, sendSlow := 1+random.IntN(4), 1+random.IntN(4), 1+random.IntN(40), 1+random.IntN(6)
	for range steps {
		w.nowNs += uint64(random.IntN(20_000_000))
		w.wallNs += uint64(random.IntN(20_000_000))
		if random.IntN(50) == 0 {
			w.wallNs -= uint64(random.IntN(1_000_000_000)) // somebody set the clock
		}
		for range random.IntN(4) {
			c.act()
		}
		if random.IntN(journalSlow) == 0 {
			w.finishAppend()
		}
		for range random.IntN(3) {
			w.finishRead(random.IntN(100))
		}
		for range random.IntN(1 + 6/applySlow) {
			w.finishCommit()
		}
		if random.IntN(checkpointSlow) == 0 {
			w.finishCheckpoint()
		}
		if random.IntN(checkpointSlow) == 0 {
			w.finishSuperblock()
		}
		for range random.IntN(1 + 12/sendSlow) {
			w.finishSend(random.IntN(100))
			w.finishFree(random.IntN(100))
		}
		w.turn()
		if w.fault != nil {
			t.Fatalf("seed %d: %v", seed, w.fault)
		}
		if random.IntN(1000) < crashPerMille {
			c.count["crash"]++
			w.crash(random.IntN(2) == 0, random.IntN(2) == 0)
		}
	}
	w.nextPulse = func(uint64) uint64 { return never }
	w.settle()
	w.checkQuiet()
	c.checkLog()
	return c, w.trace
}

// Goal: requests take effect at most once, replies never change, nothing leaves before it is
// durable, nothing is leaked, and no assertion fails. This holds for all that clients may send, and
// for any order in which journal, apply, net and crashes act.
func TestRandomClients(t *testing.T) {
	seed := seeded.Seed(t)
	total := map[string]int{}
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	for i := range rounds {
		l := testLimits()
		switch i % 3 {
		case 1: // a checkpoint's slack and pipeline end within a bar
			l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 64, 8, 10, 8
		case 2: // hardly any sessions
			l.SessionsMax, l.ConnectionsMax, l.PipelineOpsMax = 1+uint32(i)%3, 4, 2
		}
		c, _ := run(t, l, seed+uint64(i), 1200)
		for what, count := range c.count {
			total[what] += count
		}
		total["pulse"] += c.w.pulses
		total["op"] += int(c.w.head)
		total["checkpoint"] += int(c.w.superblock.Checkpoint.Op / c.w.l.CheckpointIntervalOps())
		total["net"] = max(total["net"], c.w.netMax)
	}
	t.Log(total)
	for _, what := range []string{"reply", "repeat", "pong", "crash", "pulse", "checkpoint", "requests"} {
		if total[what] == 0 {
			t.Errorf("the test never saw a %s", what)
		}
	}
}

// Goal: the same events give the same actions.
func TestDeterminism(t *testing.T) {
	seed := seeded.Seed(t)
	_, a := run(t, testLimits(), seed, 800)
	_, b := run(t, testLimits(), seed, 800)
	if a != b {
		t.Fatalf("two runs of seed %d differ: %x and %x", seed, a, b)
	}
}
