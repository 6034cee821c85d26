package events

import (
	"fmt"
	"syscall"

	"ledger/wire"
)

// Kind numbers the types of events.
type Kind uint8

// The kinds, one for each type below.
const (
	kindNotice Kind = iota
	kindCaution
	kindFailed
	kindStarted
	kindListening
	kindStopping
	kindSettled
	kindInputEnded
	kindLinesDropped
	kindConnectionClosed
	kindConnectionRefused
	kindAcceptFailed
	kindClientEvicted
	kindClusterMismatch
	kindDiskStalled
	kindCopyRepaired
	kindCheckpointSlow
	kindClockBehind
	kindOpSlow
	kindLimits
	kindSlots
	kindCaches
	kindCompaction
	kindMemory
	kindSystemCalls
	kindPlaced
	kindPeerRefused
	kindPeerStorageSmall
	kindPeerFault
	kindPeerUnresolved
	kindClusterKey
	kindViewBegan
	kindServiceStopped
	kindServiceAgain
	kindStandbyClient
	kindBlocksLost
	kindBlocksFound
	kindScrubbing
	kindDamageFound
	kindHealing
	kindSyncBegan
	kindSyncGoesOn
	kindSyncDone
	kindReleases
	kindUpgradeBegan
	kindUpgradeEnded
	kindsCount
)

// newCell makes room for one event of each type.
func newCell() [kindsCount]Event {
	return [kindsCount]Event{
		kindNotice:            &Notice{},
		kindCaution:           &Caution{},
		kindFailed:            &Failed{},
		kindStarted:           &Started{},
		kindListening:         &Listening{},
		kindStopping:          &Stopping{},
		kindSettled:           &Settled{},
		kindInputEnded:        &InputEnded{},
		kindLinesDropped:      &LinesDropped{},
		kindConnectionClosed:  &ConnectionClosed{},
		kindConnectionRefused: &ConnectionRefused{},
		kindAcceptFailed:      &AcceptFailed{},
		kindClientEvicted:     &ClientEvicted{},
		kindClusterMismatch:   &ClusterMismatch{},
		kindDiskStalled:       &DiskStalled{},
		kindCopyRepaired:      &CopyRepaired{},
		kindCheckpointSlow:    &CheckpointSlow{},
		kindClockBehind:       &ClockBehind{},
		kindOpSlow:            &OpSlow{},
		kindLimits:            &Limits{},
		kindSlots:             &Slots{},
		kindCaches:            &Caches{},
		kindCompaction:        &Compaction{},
		kindMemory:            &Memory{},
		kindSystemCalls:       &SystemCalls{},
		kindPlaced:            &Placed{},
		kindPeerRefused:       &PeerRefused{},
		kindPeerStorageSmall:  &PeerStorageSmall{},
		kindPeerFault:         &PeerFault{},
		kindPeerUnresolved:    &PeerUnresolved{},
		kindClusterKey:        &ClusterKey{},
		kindViewBegan:         &ViewBegan{},
		kindServiceStopped:    &ServiceStopped{},
		kindServiceAgain:      &ServiceAgain{},
		kindStandbyClient:     &StandbyClient{},
		kindBlocksLost:        &BlocksLost{},
		kindBlocksFound:       &BlocksFound{},
		kindScrubbing:         &Scrubbing{},
		kindDamageFound:       &DamageFound{},
		kindHealing:           &Healing{},
		kindSyncBegan:         &SyncBegan{},
		kindSyncGoesOn:        &SyncGoesOn{},
		kindSyncDone:          &SyncDone{},
		kindReleases:          &Releases{},
		kindUpgradeBegan:      &UpgradeBegan{},
		kindUpgradeEnded:      &UpgradeEnded{},
	}
}

// Notice is a line of a start for people: the limits, the caches, the placement.
type Notice struct{ Line string }

// Notice emits the event.
func (l *Log) Notice(e Notice) { emit(l, kindNotice, e) }

func (e *Notice) Level() Level            { return Info }
func (e *Notice) Name() string            { return "notice" }
func (e *Notice) Text(line []byte) []byte { return append(line, e.Line...) }
func (e *Notice) Fields(o Fields) Fields  { return o }

// Caution is a warning: something works, but slower or less safely than it could.
type Caution struct{ Line string }

// Caution emits the event.
func (l *Log) Caution(e Caution) { emit(l, kindCaution, e) }

func (e *Caution) Level() Level            { return Warning }
func (e *Caution) Name() string            { return "caution" }
func (e *Caution) Text(line []byte) []byte { return append(line, e.Line...) }
func (e *Caution) Fields(o Fields) Fields  { return o }

// Failed is the last line of a server that ends with an error.
type Failed struct {
	Reason string
	Status int
}

// Failed emits the event.
func (l *Log) Failed(e Failed) { emit(l, kindFailed, e) }

func (e *Failed) Level() Level { return Error }
func (e *Failed) Name() string { return "failed" }
func (e *Failed) Text(line []byte) []byte {
	return append(append(line, "ledger: "...), e.Reason...)
}
func (e *Failed) Fields(o Fields) Fields {
	return o.String("reason", e.Reason).Number("status", uint64(e.Status))
}

// Started describes the data file that is served, and its state.
type Started struct {
	Cluster              wire.U128
	Replica, Replicas    uint8
	View                 uint32
	CheckpointOp, HeadOp uint64
}

// Started emits the event.
func (l *Log) Started(e Started) { emit(l, kindStarted, e) }

func (e *Started) Level() Level { return Info }
func (e *Started) Name() string { return "started" }
func (e *Started) Text(line []byte) []byte {
	if e.Replica >= e.Replicas {
		return fmt.Appendf(line, "cluster %s, standby %d of a cluster of %d replicas, view %d, checkpoint op %d, log head op %d",
			e.Cluster, e.Replica, e.Replicas, e.View, e.CheckpointOp, e.HeadOp)
	}
	return fmt.Appendf(line, "cluster %s, replica %d of %d, view %d, checkpoint op %d, log head op %d",
		e.Cluster, e.Replica, e.Replicas, e.View, e.CheckpointOp, e.HeadOp)
}
func (e *Started) Fields(o Fields) Fields {
	return o.ID("cluster", e.Cluster).Number("replica", uint64(e.Replica)).Number("replicas", uint64(e.Replicas)).
		Bool("standby", e.Replica >= e.Replicas).Number("view", uint64(e.View)).
		Number("checkpoint_op", e.CheckpointOp).Number("head_op", e.HeadOp)
}

// Listening: clients are served.
type Listening struct{ Address string }

// Listening emits the event.
func (l *Log) Listening(e Listening) { emit(l, kindListening, e) }

func (e *Listening) Level() Level { return Info }
func (e *Listening) Name() string { return "listening" }
func (e *Listening) Text(line []byte) []byte {
	return append(append(line, "listening on "...), e.Address...)
}
func (e *Listening) Fields(o Fields) Fields { return o.String("address", e.Address) }

// Stopping: a signal has asked the server to stop.
type Stopping struct{ Signal string }

// Stopping emits the event.
func (l *Log) Stopping(e Stopping) { emit(l, kindStopping, e) }

func (e *Stopping) Level() Level { return Info }
func (e *Stopping) Name() string { return "stopping" }
func (e *Stopping) Text(line []byte) []byte {
	return fmt.Appendf(line, "stopping: %s was received; a second signal ends the process at once", e.Signal)
}
func (e *Stopping) Fields(o Fields) Fields { return o.String("signal", e.Signal) }

// InputEnded: stdin has ended, or yielded a byte, and with --addresses=0 the server ends then.
type InputEnded struct{ Status int }

// InputEnded emits the event.
func (l *Log) InputEnded(e InputEnded) { emit(l, kindInputEnded, e) }

func (e *InputEnded) Level() Level { return Info }
func (e *InputEnded) Name() string { return "input_ended" }
func (e *InputEnded) Text(line []byte) []byte {
	return fmt.Appendf(line, "ending with status %d: with --addresses=0 the server ends when stdin closes or yields a byte; "+
		"to serve for longer, keep stdin open or name an address, as in --addresses=3000", e.Status)
}
func (e *InputEnded) Fields(o Fields) Fields { return o.Number("status", uint64(e.Status)) }

// LinesDropped: the log lost lines, and can write again.
type LinesDropped struct{ Lines uint64 }

func (e *LinesDropped) Level() Level { return Warning }
func (e *LinesDropped) Name() string { return "lines_dropped" }
func (e *LinesDropped) Text(line []byte) []byte {
	return fmt.Appendf(line, "%d lines of the log are missing here: whoever reads it did not keep up", e.Lines)
}
func (e *LinesDropped) Fields(o Fields) Fields { return o.Number("lines", e.Lines) }

// ConnectionClosed: a peer broke a rule. If Closed is false, one message was skipped, and the
// connection goes on.
type ConnectionClosed struct {
	Peer   Peer
	Client wire.U128
	Reason string
	Closed bool
}

// ConnectionClosed emits the event.
func (l *Log) ConnectionClosed(e ConnectionClosed) { emit(l, kindConnectionClosed, e) }

func (e *ConnectionClosed) Level() Level { return Info }
func (e *ConnectionClosed) Name() string {
	if e.Closed {
		return "connection_closed"
	}
	return "message_ignored"
}
func (e *ConnectionClosed) Text(line []byte) []byte {
	what := "ignored a message"
	if e.Closed {
		what = "closed the connection"
	}
	return fmt.Appendf(line, "client %s (%s): %s: %s", e.Peer, e.Client, what, e.Reason)
}
func (e *ConnectionClosed) Fields(o Fields) Fields {
	return o.Peer("peer", e.Peer).ID("client", e.Client).String("reason", e.Reason)
}

// ConnectionRefused: the table of connections is full. Refused is the number of refused connections
// since the last line.
type ConnectionRefused struct {
	Peer        Peer
	Reason      string
	Connections uint64 // the table's size
	Refused     uint64
}

// ConnectionRefused emits the event.
func (l *Log) ConnectionRefused(e ConnectionRefused) { emit(l, kindConnectionRefused, e) }

func (e *ConnectionRefused) Level() Level { return Warning }
func (e *ConnectionRefused) Name() string { return "connection_refused" }
func (e *ConnectionRefused) Text(line []byte) []byte {
	return fmt.Appendf(line, "closed a connection of %s: %s (limit %d, closed for it since the last line: %d)", e.Peer, e.Reason,
		e.Connections, e.Refused)
}
func (e *ConnectionRefused) Fields(o Fields) Fields {
	return o.Peer("peer", e.Peer).String("reason", e.Reason).Number("connections", e.Connections).Number("refused", e.Refused)
}

// AcceptFailed: the kernel has no descriptor or no memory for a connection. Failures is the
// number of failed tries since the last line.
type AcceptFailed struct {
	Errno    int32
	Failures uint64
}

// AcceptFailed emits the event.
func (l *Log) AcceptFailed(e AcceptFailed) { emit(l, kindAcceptFailed, e) }

func (e *AcceptFailed) Level() Level { return Warning }
func (e *AcceptFailed) Name() string { return "accept_failed" }
func (e *AcceptFailed) Text(line []byte) []byte {
	remedy := "the kernel may have it again later"
	switch syscall.Errno(e.Errno) {
	case syscall.EMFILE:
		remedy = "raise the limit on open files (ulimit -n, LimitNOFILE=)"
	case syscall.ENFILE:
		remedy = "raise the system's limit on open files (sysctl fs.file-max)"
	}
	return fmt.Appendf(line, "cannot accept connections: %v; clients wait meanwhile; %s (failed tries since the last line: %d)",
		syscall.Errno(e.Errno), remedy, e.Failures)
}
func (e *AcceptFailed) Fields(o Fields) Fields {
	return o.String("reason", syscall.Errno(e.Errno).Error()).Number("failures", e.Failures)
}

// ClientEvicted: the server has ended a client's session.
type ClientEvicted struct {
	Peer   Peer
	Client wire.U128
	Reason string // as the protocol names it
	Hint   string // what the operator can do about it, or ""
}

// ClientEvicted emits the event.
func (l *Log) ClientEvicted(e ClientEvicted) { emit(l, kindClientEvicted, e) }

func (e *ClientEvicted) Level() Level { return Warning }
func (e *ClientEvicted) Name() string { return "client_evicted" }
func (e *ClientEvicted) Text(line []byte) []byte {
	line = fmt.Appendf(line, "evicted client %s (%s): %s", e.Client, e.Peer, e.Reason)
	if e.Hint != "" {
		line = append(append(line, ": "...), e.Hint...)
	}
	return line
}
func (e *ClientEvicted) Fields(o Fields) Fields {
	return o.Peer("peer", e.Peer).ID("client", e.Client).String("reason", e.Reason).String("hint", e.Hint)
}

// ClusterMismatch: a peer named another cluster.
type ClusterMismatch struct {
	Peer         Peer
	Theirs, Ours wire.U128
}

// ClusterMismatch emits the event.
func (l *Log) ClusterMismatch(e ClusterMismatch) { emit(l, kindClusterMismatch, e) }

func (e *ClusterMismatch) Level() Level { return Warning }
func (e *ClusterMismatch) Name() string { return "cluster_mismatch" }
func (e *ClusterMismatch) Text(line []byte) []byte {
	return fmt.Appendf(line, "%s speaks to cluster %s; this is cluster %s", e.Peer, e.Theirs, e.Ours)
}
func (e *ClusterMismatch) Fields(o Fields) Fields {
	return o.Peer("peer", e.Peer).ID("cluster_theirs", e.Theirs).ID("cluster_ours", e.Ours)
}

// DiskStalled: no operation of a stage's disk has ended for long, although some are under way.
type DiskStalled struct {
	Stage      string
	Pending    uint64 // operations under way
	DurationNs uint64 // since the last one ended
	Ended      bool   // the stall is over; else it still lasts
}

// DiskStalled emits the event.
func (l *Log) DiskStalled(e DiskStalled) { emit(l, kindDiskStalled, e) }

func (e *DiskStalled) Level() Level { return Warning }
func (e *DiskStalled) Name() string { return "disk_stalled" }
func (e *DiskStalled) Text(line []byte) []byte {
	verb := "has"
	if e.Ended {
		verb = "had"
	}
	return fmt.Appendf(line, "the disk stalls: nothing of %s's %d operations %s ended for %d ms", e.Stage, e.Pending, verb, e.DurationNs/1e6)
}
func (e *DiskStalled) Fields(o Fields) Fields {
	return o.String("stage", e.Stage).Number("pending", e.Pending).Number("duration_ns", e.DurationNs).Bool("ended", e.Ended)
}

// CopyRepaired: a start has found damaged copies of data that it has twice or more, and has written
// them again.
type CopyRepaired struct {
	What  string // as in "copies of the superblock"
	From  string // as in "the newest one"
	Count uint64
}

// CopyRepaired emits the event.
func (l *Log) CopyRepaired(e CopyRepaired) { emit(l, kindCopyRepaired, e) }

func (e *CopyRepaired) Level() Level { return Warning }
func (e *CopyRepaired) Name() string { return "copy_repaired" }
func (e *CopyRepaired) Text(line []byte) []byte {
	return fmt.Appendf(line, "repaired %d %s from %s", e.Count, e.What, e.From)
}
func (e *CopyRepaired) Fields(o Fields) Fields {
	return o.String("what", e.What).String("from", e.From).Number("count", e.Count)
}

// CheckpointSlow: a checkpoint took more than a second.
type CheckpointSlow struct{ Op, DurationNs uint64 }

// CheckpointSlow emits the event.
func (l *Log) CheckpointSlow(e CheckpointSlow) { emit(l, kindCheckpointSlow, e) }

func (e *CheckpointSlow) Level() Level { return Warning }
func (e *CheckpointSlow) Name() string { return "checkpoint_slow" }
func (e *CheckpointSlow) Text(line []byte) []byte {
	return fmt.Appendf(line, "the checkpoint of op %d took %d ms", e.Op, e.DurationNs/1e6)
}
func (e *CheckpointSlow) Fields(o Fields) Fields {
	return o.Number("op", e.Op).Number("duration_ns", e.DurationNs)
}

// ClockBehind: the wall clock is behind the newest timestamp in the data file.
type ClockBehind struct{ BehindNs uint64 }

// ClockBehind emits the event.
func (l *Log) ClockBehind(e ClockBehind) { emit(l, kindClockBehind, e) }

func (e *ClockBehind) Level() Level { return Warning }
func (e *ClockBehind) Name() string { return "clock_behind" }
func (e *ClockBehind) Text(line []byte) []byte {
	return fmt.Appendf(line, "the wall clock is %d ms behind the newest timestamp in the data file: new timestamps go on from that one, "+
		"and pending transfers do not expire until the clock has caught up; check the clock's synchronisation", e.BehindNs/1e6)
}
func (e *ClockBehind) Fields(o Fields) Fields { return o.Number("behind_ns", e.BehindNs) }

// OpSlow: an op took more than 100 ms from its arrival to its reply. Where[:WhereBytes] tells how
// it spent its time and what happened at the same time. The text is part of the event, so that a
// slow op allocates nothing.
type OpSlow struct {
	Op, DurationNs uint64
	WhereBytes     int
	Where          [1024]byte
}

// OpSlow emits the event.
func (l *Log) OpSlow(e OpSlow) { emit(l, kindOpSlow, e) }

func (e *OpSlow) Level() Level { return Warning }
func (e *OpSlow) Name() string { return "op_slow" }
func (e *OpSlow) Text(line []byte) []byte {
	return append(append(line, "slow: "...), e.Where[:e.WhereBytes]...)
}
func (e *OpSlow) Fields(o Fields) Fields {
	return o.Number("op", e.Op).Number("duration_ns", e.DurationNs).String("where", string(e.Where[:e.WhereBytes]))
}
