package portstest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Kind of an operation that can go wrong.
type Kind uint8

// The kinds. An accept counts when it succeeds, a close when the connection has ended.
const (
	KindRead Kind = iota
	KindWrite
	KindSync
	KindAllocate
	KindReceive
	KindSend
	KindAccept
	KindClose
	KindsCount
)

var kindNames = [KindsCount]string{"read", "write", "sync", "allocate", "receive", "send", "accept", "close"}

// How an operation goes wrong.
type How uint8

const (
	// Fail: it does nothing and ends with an error. A failed accept leaves its peer in the backlog
	// for a time.
	Fail How = iota + 1
	// FailLate: it is done, and ends with an error all the same.
	FailLate
	// Shorten: a part is done. A read or a write ends with that part's length, a receive brings
	// one byte, and a send ends with an error when the peer has got half.
	Shorten
	// Delay: it is done, and its end is told DelayPolls polls later.
	Delay
)

var howNames = [...]string{"", "fails", "fails when it is done", "is short", "is delayed"}

// hows are the ways in which each kind can go wrong.
var hows = [KindsCount][]How{
	KindRead:     {Fail, Shorten, Delay},
	KindWrite:    {Fail, FailLate, Shorten, Delay},
	KindSync:     {Fail, FailLate, Delay},
	KindAllocate: {Fail, FailLate, Delay},
	KindReceive:  {Fail, Shorten, Delay},
	KindSend:     {Fail, FailLate, Shorten, Delay},
	KindAccept:   {Fail, Delay},
	KindClose:    {Delay},
}

// DelayPolls is how many polls a delayed end is held back.
const DelayPolls = 40

// shortUnit: what is left of a shortened read or write is a multiple of it, as direct I/O needs.
const shortUnit = 512

// Mishap is what goes wrong in one run: the Nth operation of a kind, counted from 1, and with
// Lasting all behind it too. The zero value is a run in which nothing goes wrong.
type Mishap struct {
	Kind    Kind
	Nth     int
	How     How
	Errno   unix.Errno // of Fail and FailLate, and of a short send
	Lasting bool
}

func (m Mishap) String() string {
	if m.Nth == 0 {
		return "nothing goes wrong"
	}
	text := fmt.Sprintf("%s %d %s", kindNames[m.Kind], m.Nth, howNames[m.How])
	if m.How == Fail || m.How == FailLate {
		text += fmt.Sprintf(" (%v)", m.Errno)
	}
	if m.Lasting {
		text += ", and all behind it"
	}
	return text
}

// Plan is a mishap and the operations that the ports of a run have begun. Several ports may share
// one.
type Plan struct {
	Mishap   Mishap
	Counts   [KindsCount]int
	Happened bool // the mishap's turn has come
}

// take counts an operation and says how it goes wrong; 0: it does not.
func (p *Plan) take(kind Kind) How {
	p.Counts[kind]++
	if m := &p.Mishap; m.Kind == kind && m.Nth > 0 && (m.Nth == p.Counts[kind] || m.Lasting && m.Nth < p.Counts[kind]) {
		p.Happened = true
		return p.Mishap.How
	}
	return 0
}

// Mishaps calls run for each operation of a scenario and each way in which it can go wrong. counts
// are those of a run without a mishap. At most perKindMax operations of a kind are taken, evenly
// spread; with -short, which the race detector's runs have, an eighth of them.
func Mishaps(counts [KindsCount]int, perKindMax int, errno func(Kind) unix.Errno, run func(Mishap)) {
	if testing.Short() {
		perKindMax = max(1, perKindMax/8)
	}
	for kind, count := range counts {
		step := max(1, (count+perKindMax-1)/perKindMax)
		for nth := 1; nth <= count; nth += step {
			for _, how := range hows[kind] {
				run(Mishap{Kind: Kind(kind), Nth: nth, How: how, Errno: errno(Kind(kind))})
			}
		}
	}
}

// diskOperation is one operation of a MishapDisk.
type diskOperation struct {
	kind   Kind
	how    How
	tag    uint64
	offset uint64
	length uint64
	buffer []byte
	flags  ports.WriteFlags
	chain  *diskChain
}

// diskChain holds the operations that have not ended; the first is under way.
type diskChain struct {
	operations []*diskOperation
	started    bool
	failed     bool
}

type heldCompletion struct {
	operation *diskOperation
	result    int32
	polls     int
}

// MishapDisk is a disk port over another one, of which one operation goes wrong as a plan says. It
// keeps chains of linked operations itself: the other port gets the next one when the one before
// has succeeded.
type MishapDisk struct {
	inner  ports.Disk
	plan   *Plan
	open   *diskChain // the next operation joins it
	flying map[uint64]*diskOperation
	next   uint64
	held   []heldCompletion
	ready  []ports.DiskCompletion
}

// NewMishapDisk wraps inner.
func NewMishapDisk(inner ports.Disk, plan *Plan) *MishapDisk {
	return &MishapDisk{inner: inner, plan: plan, flying: map[uint64]*diskOperation{}}
}

// Read implements ports.Disk.
func (d *MishapDisk) Read(tag, offsetBytes uint64, buffer []byte) {
	d.push(&diskOperation{kind: KindRead, tag: tag, offset: offsetBytes, buffer: buffer})
}

// Write implements ports.Disk.
func (d *MishapDisk) Write(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	d.push(&diskOperation{kind: KindWrite, tag: tag, offset: offsetBytes, buffer: buffer, flags: flags})
}

// Sync implements ports.Disk.
func (d *MishapDisk) Sync(tag uint64) { d.push(&diskOperation{kind: KindSync, tag: tag}) }

// Allocate implements ports.Disk.
func (d *MishapDisk) Allocate(tag, offsetBytes, lengthBytes uint64) {
	d.push(&diskOperation{kind: KindAllocate, tag: tag, offset: offsetBytes, length: lengthBytes})
}

func (d *MishapDisk) push(o *diskOperation) {
	o.how = d.plan.take(o.kind)
	if d.open == nil {
		d.open = &diskChain{}
	}
	o.chain = d.open
	o.chain.operations = append(o.chain.operations, o)
	if o.flags&ports.WriteLinked == 0 {
		d.open = nil
	}
	d.advance(o.chain)
}

// advance begins the first operation of a chain, or cancels all that are left of a failed one.
func (d *MishapDisk) advance(c *diskChain) {
	for c.failed && len(c.operations) > 0 {
		d.ready = append(d.ready, ports.DiskCompletion{Tag: c.operations[0].tag, Result: -int32(unix.ECANCELED)})
		c.operations = c.operations[1:]
	}
	if c.started || len(c.operations) == 0 {
		return
	}
	c.started = true
	o := c.operations[0]
	length := len(o.buffer)
	switch o.how {
	case Fail:
		d.end(o, -int32(d.plan.Mishap.Errno))
		return
	case Shorten:
		length = length / 2 / shortUnit * shortUnit
		if length == 0 {
			d.end(o, 0)
			return
		}
	}
	d.next++
	d.flying[d.next] = o
	switch o.kind {
	case KindRead:
		d.inner.Read(d.next, o.offset, o.buffer[:length])
	case KindWrite:
		d.inner.Write(d.next, o.offset, o.buffer[:length], o.flags&^ports.WriteLinked)
	case KindSync:
		d.inner.Sync(d.next)
	case KindAllocate:
		d.inner.Allocate(d.next, o.offset, o.length)
	}
}

// end tells of the end of a chain's first operation, and begins the next.
func (d *MishapDisk) end(o *diskOperation, result int32) {
	d.ready = append(d.ready, ports.DiskCompletion{Tag: o.tag, Result: result})
	c := o.chain
	c.operations, c.started = c.operations[1:], false
	c.failed = result != int32(len(o.buffer))
	d.advance(c)
}

// Poll implements ports.Disk.
func (d *MishapDisk) Poll(out []ports.DiskCompletion) (count int) {
	held := d.held
	d.held = nil
	for _, h := range held {
		if h.polls--; h.polls > 0 {
			d.held = append(d.held, h)
			continue
		}
		d.end(h.operation, h.result)
	}
	var completions [16]ports.DiskCompletion
	for _, c := range completions[:d.inner.Poll(completions[:])] {
		o := d.flying[c.Tag]
		delete(d.flying, c.Tag)
		switch o.how {
		case Delay:
			d.held = append(d.held, heldCompletion{o, c.Result, DelayPolls})
		case FailLate:
			d.end(o, -int32(d.plan.Mishap.Errno))
		default:
			d.end(o, c.Result)
		}
	}
	count = copy(out, d.ready)
	d.ready = d.ready[count:]
	return count
}

// heldEvent is an event that is told later.
type heldEvent struct {
	event ports.NetworkEvent
	polls int
}

// MishapNetwork is a network port over another one, of which one operation goes wrong as a plan
// says.
type MishapNetwork struct {
	inner    ports.Network
	plan     *Plan
	receives map[ports.ConnectionID]How
	sends    map[ports.ConnectionID]How
	lengths  map[ports.ConnectionID]int32 // of sends
	held     []heldEvent
	ready    []ports.NetworkEvent
}

// NewMishapNetwork wraps inner.
func NewMishapNetwork(inner ports.Network, plan *Plan) *MishapNetwork {
	return &MishapNetwork{inner: inner, plan: plan, receives: map[ports.ConnectionID]How{}, sends: map[ports.ConnectionID]How{},
		lengths: map[ports.ConnectionID]int32{}}
}

// Connect implements ports.Network.
func (n *MishapNetwork) Connect(peer [18]byte) (ports.ConnectionID, bool) {
	return n.inner.Connect(peer)
}

// Receive implements ports.Network.
func (n *MishapNetwork) Receive(id ports.ConnectionID, buffer []byte) {
	n.receive(id, buffer, n.inner.Receive)
}

// ReceiveAll implements ports.Network.
func (n *MishapNetwork) ReceiveAll(id ports.ConnectionID, buffer []byte) {
	n.receive(id, buffer, n.inner.ReceiveAll)
}

func (n *MishapNetwork) receive(id ports.ConnectionID, buffer []byte, receive func(ports.ConnectionID, []byte)) {
	how := n.plan.take(KindReceive)
	n.receives[id] = how
	switch how {
	case Fail:
		n.ready = append(n.ready, ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: id, Bytes: -int32(n.plan.Mishap.Errno)})
	case Shorten:
		n.inner.Receive(id, buffer[:1])
	default:
		receive(id, buffer)
	}
}

// Send implements ports.Network.
func (n *MishapNetwork) Send(id ports.ConnectionID, buffer []byte) { n.SendParts(id, buffer, nil) }

// SendParts implements ports.Network.
func (n *MishapNetwork) SendParts(id ports.ConnectionID, header, body []byte) {
	how := n.plan.take(KindSend)
	total := len(header) + len(body)
	n.sends[id], n.lengths[id] = how, int32(total)
	if how == Shorten {
		total /= 2
		header, body = header[:min(len(header), total)], body[:max(0, total-len(header))]
	}
	if how == Fail || total == 0 {
		n.ready = append(n.ready, ports.NetworkEvent{Kind: ports.NetworkSent, Connection: id, Bytes: -int32(n.plan.Mishap.Errno)})
		return
	}
	if len(body) == 0 {
		n.inner.Send(id, header)
		return
	}
	n.inner.SendParts(id, header, body)
}

// Close implements ports.Network. Events of the connection that were not polled are dropped.
func (n *MishapNetwork) Close(id ports.ConnectionID) {
	held, ready := n.held, n.ready
	n.held, n.ready = nil, nil
	for _, h := range held {
		if h.event.Connection != id || h.event.Kind == ports.NetworkAcceptFailed {
			n.held = append(n.held, h)
		}
	}
	for _, event := range ready {
		if event.Connection != id || event.Kind == ports.NetworkAcceptFailed {
			n.ready = append(n.ready, event)
		}
	}
	n.inner.Close(id)
}

// Poll implements ports.Network.
func (n *MishapNetwork) Poll(out []ports.NetworkEvent) (count int) {
	held := n.held
	n.held = nil
	for _, h := range held {
		if h.polls--; h.polls > 0 {
			n.held = append(n.held, h)
			continue
		}
		n.ready = append(n.ready, h.event)
	}
	var events [16]ports.NetworkEvent
	for _, event := range events[:n.inner.Poll(events[:])] {
		how := How(0)
		failure := -int32(n.plan.Mishap.Errno)
		switch event.Kind {
		case ports.NetworkAccepted:
			if how = n.plan.take(KindAccept); how == Fail {
				n.ready = append(n.ready, ports.NetworkEvent{Kind: ports.NetworkAcceptFailed, Bytes: failure})
				how = Delay
			}
		case ports.NetworkReceived:
			how = n.receives[event.Connection]
		case ports.NetworkSent:
			if how = n.sends[event.Connection]; (how == FailLate || how == Shorten) && event.Bytes > 0 {
				event.Bytes = failure
			}
		case ports.NetworkClosed:
			how = n.plan.take(KindClose)
		}
		if how == Delay {
			n.held = append(n.held, heldEvent{event, DelayPolls})
			continue
		}
		n.ready = append(n.ready, event)
	}
	count = copy(out, n.ready)
	n.ready = n.ready[count:]
	return count
}
