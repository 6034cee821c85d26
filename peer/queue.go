package peer

import "ledger/internal/assert"

// Lease is a slot that the caller lends to a queue: the body of a message. It comes back exactly
// once.
type Lease uint32

// NoLease: the message has no body.
const NoLease = ^Lease(0)

const (
	// DrainNs: a peer drains if a send to it ended within this time, or none is under way.
	DrainNs = 50 * millisecond
	// messagesSlowMax are the messages of all classes but the urgent one to a peer that does not.
	// One that does may have limits.PeerLeasesMax.
	messagesSlowMax = 4
	// urgentMax urgent messages wait at a time.
	urgentMax = 32
	// repairShare: of so many bytes, one is for repair while others wait.
	repairShare = 4
)

// waiting is a message that waits: its head without tag and sequence.
type waiting struct {
	head  [HeadBytes]byte
	lease Lease
	bytes uint32 // of the body
}

// fifo is a ring of messages.
type fifo struct {
	ring         []waiting
	first, count uint32
}

func (f *fifo) at(i uint32) *waiting { return &f.ring[(f.first+i)%uint32(len(f.ring))] }

func (f *fifo) push(w *waiting) {
	assert.Below(f.count, uint32(len(f.ring)), "messages that wait")
	*f.at(f.count) = *w
	f.count++
}

func (f *fifo) pop() *waiting {
	w := f.at(0)
	f.first, f.count = (f.first+1)%uint32(len(f.ring)), f.count-1
	return w
}

// Queue is the messages to one peer: those that wait, and the one that is being sent. Urgent ones
// go first. Repair gets a quarter of the bytes while others wait. What exceeds the room is dropped:
// the protocol tolerates loss, and a slow peer must not hold the slots.
type Queue struct {
	link     *Link // nil without a connection
	classes  [ClassRepair + 1]fifo
	most     uint32 // messages that are not urgent, to a peer that drains
	sending  bool
	current  waiting
	closing  bool
	progress uint64 // when a send ended, or began after a pause
	credit   uint64 // bytes of repair that may go before others
	leases   uint32 // that are here
	// creditMax is what repair may save up: a message of the largest size.
	creditMax uint64

	// Counters for the metrics.
	Counters QueueCounters
}

// QueueCounters count since the start; by Class.
type QueueCounters struct {
	Sent, Dropped, Bytes [ClassRepair + 1]uint64
	Replaced             uint64 // heartbeats that a newer one replaced before they were sent
}

func (c *QueueCounters) add(other *QueueCounters) {
	for class := range c.Sent {
		c.Sent[class] += other.Sent[class]
		c.Dropped[class] += other.Dropped[class]
		c.Bytes[class] += other.Bytes[class]
	}
	c.Replaced += other.Replaced
}

// NewQueue makes the queue of one peer.
func NewQueue(b *Bounds) *Queue {
	q := &Queue{most: b.leases, creditMax: uint64(HeadBytes + b.BodyBytesMax())}
	room := max(q.most, messagesSlowMax)
	q.classes[ClassUrgent].ring = make([]waiting, urgentMax)
	q.classes[ClassNormal].ring = make([]waiting, room)
	q.classes[ClassRepair].ring = make([]waiting, room)
	return q
}

// LeasesMax is the largest number of leases that one call returns.
func (q *Queue) LeasesMax() int { return len(q.classes[ClassNormal].ring) + 1 }

// Open begins a connection.
func (q *Queue) Open(link *Link, nowNs uint64) {
	assert.That(q.link == nil && !q.sending, "the connection before is gone")
	assert.Equal(q.leases, 0, "leases of the connection before")
	q.link, q.progress, q.credit = link, nowNs, 0
}

// drains tells whether the peer takes what it is sent.
func (q *Queue) drains(nowNs uint64) bool { return !q.sending || nowNs <= q.progress+DrainNs }

// bulk is the number of messages that are not urgent, the one that is being sent included.
func (q *Queue) bulk() uint32 {
	count := q.classes[ClassNormal].count + q.classes[ClassRepair].count
	if q.sending && q.commandOf(&q.current).Class() != ClassUrgent {
		count++
	}
	return count
}

func (q *Queue) commandOf(w *waiting) Command { return Command(w.head[envelopeCommandAt]) }

// Offer takes a message: its head with envelope and inner header, and the lease of its body. What
// cannot wait is dropped, and its lease returned at once.
func (q *Queue) Offer(head []byte, lease Lease, nowNs uint64, returned *[]Lease) (ok bool) {
	w := waiting{lease: lease, bytes: little32(head[envelopeBodyBytesAt:])}
	copy(w.head[:], head[:HeadBytes])
	command := q.commandOf(&w)
	assert.That(command.Known(), "a message to a peer has a command")
	assert.That((lease == NoLease) == (w.bytes == 0), "a message has a lease if it has a body")
	class := command.Class()
	assert.That(class != ClassUrgent || lease == NoLease, "an urgent message has no body")
	if lease != NoLease {
		q.leases++
	}
	if isNewest(command) {
		for i := range q.classes[class].count {
			if older := q.classes[class].at(i); q.commandOf(older) == command {
				*older = w
				q.Counters.Replaced++
				return true
			}
		}
	}
	if !q.admits(class, nowNs) {
		q.Counters.Dropped[class]++
		q.giveBack(lease, returned)
		return false
	}
	q.classes[class].push(&w)
	q.check()
	return true
}

// isNewest tells whether a message makes older ones of its command worthless.
func isNewest(command Command) bool {
	switch command {
	case CommandPing, CommandPong, CommandCommit, CommandCommitEcho, CommandStartViewChange, CommandRequestStartView:
		return true
	}
	return false
}

// admits tells whether another message of class may wait.
func (q *Queue) admits(class Class, nowNs uint64) bool {
	most := q.most
	if !q.drains(nowNs) {
		most = min(most, messagesSlowMax)
	}
	switch {
	case q.link == nil || q.closing:
		return false
	case class == ClassUrgent:
		return q.classes[class].count < urgentMax
	case class == ClassRepair && q.classes[class].count >= most/2:
		return false // the other half is for what is new
	}
	return q.bulk() < most
}

// Outgoing is the message to send: Head, and behind it BodyBytes of the body in the slot of Lease,
// from InnerBytes on. Head stays as it is until Sent or Closed.
type Outgoing struct {
	Head      []byte
	Lease     Lease
	BodyBytes uint32
}

// Start seals the next message, if none is being sent. The caller sends it in one call, and calls
// Sent.
func (q *Queue) Start(nowNs uint64) (out Outgoing, ok bool) {
	if q.sending || q.link == nil || q.closing {
		return Outgoing{}, false
	}
	class, ok := q.choose()
	if !ok {
		return Outgoing{}, false
	}
	q.current = *q.classes[class].pop()
	q.sending, q.progress = true, nowNs
	bytes := uint64(HeadBytes + q.current.bytes)
	switch {
	case class == ClassNormal:
		q.credit = min(q.credit+bytes/(repairShare-1), q.creditMax)
	case class == ClassRepair && q.classes[ClassNormal].count > 0:
		q.credit -= bytes
	}
	q.link.Seal(q.current.head[:])
	q.Counters.Bytes[class] += bytes
	return Outgoing{q.current.head[:], q.current.lease, q.current.bytes}, true
}

// choose returns the class of the next message.
func (q *Queue) choose() (Class, bool) {
	urgent, normal, repair := &q.classes[ClassUrgent], &q.classes[ClassNormal], &q.classes[ClassRepair]
	switch {
	case urgent.count > 0:
		return ClassUrgent, true
	case repair.count > 0 && (normal.count == 0 || q.credit >= uint64(HeadBytes+repair.at(0).bytes)):
		return ClassRepair, true
	case normal.count > 0:
		return ClassNormal, true
	}
	return 0, false
}

// Sent tells that the message of Start is sent, all of it.
func (q *Queue) Sent(nowNs uint64, returned *[]Lease) {
	assert.That(q.sending, "a message that was sent was under way")
	q.Counters.Sent[q.commandOf(&q.current).Class()]++
	q.sending, q.progress = false, nowNs
	q.giveBack(q.current.lease, returned)
	q.check()
}

// Close drops all that waits. The message that is being sent keeps its lease until Closed, because
// the port may still read it.
func (q *Queue) Close(returned *[]Lease) {
	if q.link == nil {
		return
	}
	q.closing = true
	for class := range q.classes {
		for f := &q.classes[class]; f.count > 0; {
			q.Counters.Dropped[class]++
			q.giveBack(f.pop().lease, returned)
		}
	}
	q.check()
}

// Closed tells that the connection is gone, and that its memory is not used any more.
func (q *Queue) Closed(returned *[]Lease) {
	q.Close(returned)
	if q.sending {
		q.Counters.Dropped[q.commandOf(&q.current).Class()]++
		q.giveBack(q.current.lease, returned)
	}
	q.link, q.sending, q.closing = nil, false, false
	assert.Equal(q.leases, 0, "leases of a closed connection")
}

// giveBack returns a lease to the caller.
func (q *Queue) giveBack(lease Lease, returned *[]Lease) {
	if lease == NoLease {
		return
	}
	assert.That(q.leases > 0, "a lease that goes back was here")
	q.leases--
	assert.Below(len(*returned), cap(*returned), "leases that one call returns")
	*returned = append(*returned, lease)
}

// check asserts that each lease is held by one message.
func (q *Queue) check() {
	count := uint32(0)
	for class := range q.classes {
		f := &q.classes[class]
		for i := range f.count {
			if f.at(i).lease != NoLease {
				count++
			}
		}
	}
	if q.sending && q.current.lease != NoLease {
		count++
	}
	assert.Equal(q.leases, count, "leases, and the messages that hold them")
}
