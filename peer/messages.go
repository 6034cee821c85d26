package peer

import "ledger/wire"

// Status of a replica, as its pings tell.
type Status uint8

// The statuses of the consensus specification, 3.1.
const (
	StatusNormal Status = iota + 1
	StatusViewChange
	StatusRecoveringHead
	StatusRecovering
)

// State is what a replica tells of itself in pings and pongs.
type State struct {
	CheckpointID       wire.Checksum
	CheckpointParentID wire.Checksum // id of the checkpoint before
	CheckpointOp       uint64
	Op                 uint64 // the head
	CommitMin          uint64
	CommitMax          uint64
	SyncOp             uint64 // the checkpoint by which the replica comes back; 0: it is whole, and near the others
	OpenNs             uint64 // how long its last opening took, or its way back so far: the primary spaces its prepares by it
	WriteNs            uint32 // the recent append to the log, smoothed
	ExecuteNs          uint32 // the recent execution of an op, smoothed
	LogView            uint32 // durable
	ReleaseMin         uint32 // releases that this binary can execute
	ReleaseMax         uint32
	RequestsRoom       uint16 // forwarded requests that the author would take at once
	RequestsWaiting    uint16 // requests of clients in its queue
	Status             Status
	ClockAgreed        uint8 // 1: the cluster's time is known here
}

func (s *State) fields(c *cursor) {
	c.bytes("checkpoint id", s.CheckpointID[:])
	c.bytes("checkpoint parent id", s.CheckpointParentID[:])
	c.u64("checkpoint op", &s.CheckpointOp)
	c.u64("op", &s.Op)
	c.u64("commit min", &s.CommitMin)
	c.u64("commit max", &s.CommitMax)
	c.u64("sync op", &s.SyncOp)
	c.u64("open ns", &s.OpenNs)
	c.u32("write ns", &s.WriteNs)
	c.u32("execute ns", &s.ExecuteNs)
	c.u32("log view", &s.LogView)
	c.u32("release min", &s.ReleaseMin)
	c.u32("release max", &s.ReleaseMax)
	c.u16("requests room", &s.RequestsRoom)
	c.u16("requests waiting", &s.RequestsWaiting)
	u8(c, "status", &s.Status)
	u8(c, "clock agreed", &s.ClockAgreed)
}

func (s *State) check(e *Envelope) Fault {
	switch {
	case s.LogView > e.View:
		return fault(e.Command, "log view", uint64(s.LogView), "it must be at most the view", uint64(e.View))
	case s.CheckpointOp > s.CommitMin:
		return fault(e.Command, "checkpoint op", s.CheckpointOp, "it must be at most commit min", s.CommitMin)
	case s.CommitMin > s.CommitMax:
		return fault(e.Command, "commit min", s.CommitMin, "it must be at most commit max", s.CommitMax)
	case s.ReleaseMin == 0:
		return fault(e.Command, "release min", 0, "it must not be 0", 0)
	case s.ReleaseMin > s.ReleaseMax:
		return fault(e.Command, "release min", uint64(s.ReleaseMin), "it must be at most release max", uint64(s.ReleaseMax))
	case s.Status < StatusNormal || s.Status > StatusRecovering:
		return fault(e.Command, "status", uint64(s.Status), "it must be 1 to", uint64(StatusRecovering))
	case s.ClockAgreed > 1:
		return fault(e.Command, "clock agreed", uint64(s.ClockAgreed), "it must be 0 or", 1)
	}
	return Fault{}
}

// Ping asks for a sample of the clock, and tells the author's state.
type Ping struct {
	ClockNs uint64 // the author's monotonic clock
	State   State
}

func (m *Ping) fields(c *cursor) {
	c.u64("clock ns", &m.ClockNs)
	m.State.fields(c)
}

func (m *Ping) check(e *Envelope, _ *Bounds) Fault { return m.State.check(e) }

// Pong answers a ping.
type Pong struct {
	EchoNs uint64 // ClockNs of the ping
	WallNs uint64 // the author's wall clock
	State  State
}

func (m *Pong) fields(c *cursor) {
	c.u64("echo ns", &m.EchoNs)
	c.u64("wall ns", &m.WallNs)
	m.State.fields(c)
}

func (m *Pong) check(e *Envelope, _ *Bounds) Fault {
	if m.WallNs == 0 {
		return fault(e.Command, "wall ns", 0, "it must not be 0", 0)
	}
	return m.State.check(e)
}

// Commit is the primary's heartbeat.
type Commit struct {
	Checksum     wire.Checksum // of the prepare of Op
	CheckpointID wire.Checksum
	Op           uint64 // highest committed op
	CheckpointOp uint64
	ClockNs      uint64 // the primary's monotonic clock: a later heartbeat has a later one
}

func (m *Commit) fields(c *cursor) {
	c.bytes("checksum", m.Checksum[:])
	c.bytes("checkpoint id", m.CheckpointID[:])
	c.u64("op", &m.Op)
	c.u64("checkpoint op", &m.CheckpointOp)
	c.u64("clock ns", &m.ClockNs)
}

func (m *Commit) check(e *Envelope, _ *Bounds) Fault {
	switch {
	case m.Checksum.IsZero():
		return faultLong(e.Command, "checksum", m.Checksum[:], "it must not be 0")
	case m.CheckpointOp > m.Op:
		return fault(e.Command, "checkpoint op", m.CheckpointOp, "it must be at most op", m.Op)
	}
	return Fault{}
}

// CommitEcho answers a heartbeat, so that a primary that hears nobody notices it.
type CommitEcho struct {
	EchoNs    uint64 // ClockNs of the heartbeat
	Op        uint64 // the author's head
	CommitMin uint64
}

func (m *CommitEcho) fields(c *cursor) {
	c.u64("echo ns", &m.EchoNs)
	c.u64("op", &m.Op)
	c.u64("commit min", &m.CommitMin)
}

func (m *CommitEcho) check(*Envelope, *Bounds) Fault { return Fault{} }

// PrepareOK acknowledges a prepare that is durable here. It counts for a checksum, not for an op.
type PrepareOK struct {
	Checksum     wire.Checksum // of the prepare
	Parent       wire.Checksum // of the prepare before it
	CheckpointID wire.Checksum // that the prepare carries
	Op           uint64
	CommitMin    uint64 // of the author: its lag
}

func (m *PrepareOK) fields(c *cursor) {
	c.bytes("checksum", m.Checksum[:])
	c.bytes("parent", m.Parent[:])
	c.bytes("checkpoint id", m.CheckpointID[:])
	c.u64("op", &m.Op)
	c.u64("commit min", &m.CommitMin)
}

func (m *PrepareOK) check(e *Envelope, _ *Bounds) Fault {
	switch {
	case m.Checksum.IsZero():
		return faultLong(e.Command, "checksum", m.Checksum[:], "it must not be 0")
	case m.Parent.IsZero():
		return faultLong(e.Command, "parent", m.Parent[:], "it must not be 0")
	case m.Op == 0:
		return fault(e.Command, "op", 0, "it must be at least", 1)
	}
	return Fault{}
}
