package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"ledger/internal/posix"
	"ledger/metrics"
	"ledger/replica"
	"ledger/stages/consensus"
	"ledger/wire"
)

// Status is the page /status: the state of a server for programs, of one moment. Counters count
// since the start; times are in nanoseconds. Fields may be added, and none is renamed.
type Status struct {
	Version  string `json:"version"`
	AtNs     int64  `json:"at_ns"` // of the server's wall clock
	UpNs     uint64 `json:"up_ns"`
	IsReady  bool   `json:"ready"`
	Cluster  string `json:"cluster"` // decimal
	Replica  uint8  `json:"replica"`
	Replicas uint8  `json:"replicas"`
	Role     string `json:"role"`
	Away     string `json:"away"` // why a replica of several serves no clients; "": it does
	View     uint32 `json:"view"`
	StaleFor int    `json:"stale_threads"` // threads whose figures are older

	HeadOp        uint64 `json:"head_op"`
	CommitMaxOp   uint64 `json:"commit_max_op"` // highest op that is known to be committed
	CommitOp      uint64 `json:"commit_op"`     // highest op whose replies are out
	ExecutedOp    uint64 `json:"executed_op"`
	CheckpointOp  uint64 `json:"checkpoint_op"`
	ClockBehindNs uint64 `json:"clock_behind_ns"`

	Accounts    uint64         `json:"accounts"`
	Transfers   uint64         `json:"transfers"`
	Requests    uint64         `json:"requests"` // counter
	Replies     uint64         `json:"replies"`  // counter
	Ops         uint64         `json:"ops"`      // counter
	Events      uint64         `json:"events"`   // counter, of prepares
	SlowOps     uint64         `json:"slow_ops"` // counter
	Queued      uint64         `json:"queued_requests"`
	Pipeline    uint64         `json:"pipeline_ops"`
	Waiting     uint64         `json:"waiting_ops"` // committed and not executed
	Connections uint64         `json:"connections"`
	Sessions    uint64         `json:"sessions"`
	Clients     []StatusClient `json:"clients"` // the sessions one by one, by client

	Limits  StatusLimits   `json:"limits"`
	Threads []StatusThread `json:"threads"`
	Stages  []StatusStage  `json:"stages"`
	Rings   []StatusRing   `json:"rings"`
	Times   []StatusTime   `json:"times"`
	Peers   []StatusPeer   `json:"peers"`
	Disk    []StatusDisk   `json:"disk"`
	File    StatusFile     `json:"file"`
	Memory  StatusMemory   `json:"memory"`
}

// StatusClient is a session, and the connection of its client if there is one.
type StatusClient struct {
	Client  string `json:"client"` // id, decimal
	Address string `json:"address"`
	Release string `json:"release"`
	Request uint32 `json:"request"` // number of the last one that was answered
	Op      uint64 `json:"op"`
}

// StatusLimits in force.
type StatusLimits struct {
	RequestBytes uint64 `json:"request_bytes"`
	Sessions     uint64 `json:"sessions"`
	Connections  uint64 `json:"connections"`
	StorageBytes uint64 `json:"storage_bytes"`
	PipelineOps  uint64 `json:"pipeline_ops"`
}

// StatusThread of a stage thread; all are counters.
type StatusThread struct {
	Name       string `json:"name"`
	SteppingNs uint64 `json:"stepping_ns"`
	SpinningNs uint64 `json:"spinning_ns"`
	ParkedNs   uint64 `json:"parked_ns"`
	Calls      uint64 `json:"system_calls"`
}

// StatusStage of a stage; both are counters.
type StatusStage struct {
	Name   string `json:"name"`
	Thread string `json:"thread"`
	BusyNs uint64 `json:"busy_ns"`
	Turns  uint64 `json:"busy_turns"`
}

// StatusRing between two stages.
type StatusRing struct {
	Name     string `json:"name"`
	Events   uint64 `json:"events"`
	Highest  uint64 `json:"highest_events"`
	Capacity uint64 `json:"capacity_events"`
}

// StatusTime is a histogram. Cells are pairs of a cell's largest value and its count; cells without
// values are left out. So a reader of two pages finds the percentiles of the time between them.
type StatusTime struct {
	Name  string      `json:"name"`
	SumNs uint64      `json:"sum_ns"`
	MaxNs uint64      `json:"max_ns"` // since the start
	Cells [][2]uint64 `json:"cells"`
}

// StatusPeer is another replica as this one sees it.
type StatusPeer struct {
	Replica    int    `json:"replica"`
	Connection string `json:"connection"`
	// Known of it; nothing until a message came. HeardNs is the time since the last one, AgeNs that
	// since the one that told the ops.
	IsKnown  bool   `json:"known"`
	HeardNs  uint64 `json:"heard_ns"`
	AgeNs    uint64 `json:"age_ns"`
	Op       uint64 `json:"op"`
	CommitOp uint64 `json:"commit_op"`
	LagOps   uint64 `json:"lag_ops"` // that are committed, as far as this replica knows, and not there
}

// StatusDisk is a use of the disk; a counter.
type StatusDisk struct {
	Kind  string `json:"kind"`
	Bytes uint64 `json:"bytes"`
}

// StatusFile is the room of the data file.
type StatusFile struct {
	Bytes        uint64 `json:"bytes"`
	FreeBytes    uint64 `json:"free_bytes"` // by which it can grow
	UsedBytes    uint64 `json:"used_bytes"` // up to the highest block ever used
	GrowthBytes  uint64 `json:"growth_bytes"`
	GrowthOverNs uint64 `json:"growth_over_ns"` // the time in which used_bytes grew by that; 0: unknown yet
}

// StatusMemory of the process.
type StatusMemory struct {
	ResidentBytes uint64 `json:"resident_bytes"`
	ExpectedBytes uint64 `json:"expected_bytes"`
	LargestBytes  uint64 `json:"largest_bytes"`
	CPUNs         uint64 `json:"cpu_ns"` // counter
}

// FullIn is the time until the disk, or the storage limit, is reached if the file goes on growing
// as it did. ok is false if it does not grow, or nothing is known.
func (s *Status) FullIn() (left time.Duration, ok bool) {
	f := &s.File
	if f.GrowthBytes == 0 || f.GrowthOverNs == 0 {
		return 0, false
	}
	room := f.FreeBytes + f.Bytes - min(f.UsedBytes, f.Bytes)
	if s.Limits.StorageBytes > f.UsedBytes {
		room = min(room, s.Limits.StorageBytes-f.UsedBytes)
	}
	ns := float64(room) / float64(f.GrowthBytes) * float64(f.GrowthOverNs)
	return time.Duration(min(ns, float64(1<<62))), true
}

// GrowthPerHour is the growth of the file in bytes.
func (s *Status) GrowthPerHour() float64 {
	if s.File.GrowthOverNs == 0 {
		return 0
	}
	return float64(s.File.GrowthBytes) * float64(time.Hour) / float64(s.File.GrowthOverNs)
}

// usedBytes is the size of the file up to the highest block ever used.
func (s *snapshot) usedBytes() uint64 {
	return s.Limits.GridAt() + s.Apply.BlocksHigh*uint64(s.Limits.BlockBytes)
}

// status fills in the page.
func (c *collector) status(s *snapshot) *Status {
	out := &Status{
		Version: s.version, AtNs: time.Now().UnixNano(), UpNs: s.process.upNs, IsReady: s.ready,
		Cluster: s.Cluster.String(), Replica: s.Self, Replicas: s.Replicas, Role: consensus.RoleNames[s.Consensus.Role],
		Away: s.Consensus.Cluster.Away.String(),
		View: s.Consensus.View, HeadOp: s.Consensus.Op, CommitMaxOp: s.Consensus.CommitMax, CommitOp: s.Consensus.Commit,
		ExecutedOp: s.Apply.Op, CheckpointOp: s.Consensus.CheckpointOp, ClockBehindNs: s.Consensus.ClockBehindNs,
		Accounts: s.Apply.AccountsCount, Transfers: s.Apply.TransfersCount, Requests: s.Consensus.RequestsCount,
		Replies: s.Consensus.RepliesCount, Ops: s.Apply.OpsExecuted, Events: s.Consensus.EventsPerPrepare.Sum,
		SlowOps: s.Slowest.SlowCount, Queued: s.Consensus.QueueCount, Pipeline: s.Consensus.PipelineCount,
		Waiting: s.Apply.CommitsWaiting, Connections: s.Net.ConnectionsCount, Sessions: s.Consensus.SessionsCount,
		Limits: StatusLimits{RequestBytes: uint64(s.Limits.RequestBytesMax), Sessions: uint64(s.Limits.SessionsMax),
			Connections: uint64(s.Limits.ConnectionsMax), StorageBytes: s.Limits.StorageBytesMax, PipelineOps: uint64(s.Limits.PipelineOpsMax)},
		Clients: s.clients(), Times: s.times(), Threads: []StatusThread{}, Stages: []StatusStage{}, Rings: []StatusRing{},
		Peers: []StatusPeer{}, Disk: []StatusDisk{},
		File: StatusFile{Bytes: s.File.Bytes, FreeBytes: s.File.FreeBytes, UsedBytes: s.usedBytes()},
		Memory: StatusMemory{ResidentBytes: s.process.residentBytes, ExpectedBytes: s.Need.ExpectedBytes, LargestBytes: s.Need.LargestBytes,
			CPUNs: s.process.cpuNs},
	}
	out.File.GrowthBytes, out.File.GrowthOverNs = c.growth.since(s.usedBytes(), time.Now())
	for i := range s.Threads {
		t := &s.Threads[i]
		out.Threads = append(out.Threads, StatusThread{t.Name, t.Figures.SteppingNs, t.Figures.SpinningNs, t.Figures.ParkedNs, t.Syscalls})
		if !t.Answered {
			out.StaleFor++
		}
	}
	s.eachStage(func(t *replica.ThreadSample, stage int, name string) {
		out.Stages = append(out.Stages, StatusStage{name, t.Name, t.Figures.StageNs[stage], t.Figures.StageTurns[stage]})
	})
	for i := range s.Edges {
		e := &s.Edges[i]
		out.Rings = append(out.Rings, StatusRing{e.Name, e.Count, e.CountMax, e.Capacity})
	}
	for i := range s.Peers.Count {
		if i != s.Peers.Self {
			out.Peers = append(out.Peers, s.peer(int(i)))
		}
	}
	s.eachDiskKind(func(kind string, bytes uint64) { out.Disk = append(out.Disk, StatusDisk{kind, bytes}) })
	return out
}

// peer is what is known of another replica.
func (s *snapshot) peer(index int) StatusPeer {
	p := StatusPeer{Replica: index, Connection: s.Peers.Peers[index].State.String()}
	if of := &s.Consensus.Cluster.Peers[index]; of.SilentNs != consensus.NeverNs && of.StateNs != consensus.NeverNs {
		p.IsKnown, p.HeardNs, p.AgeNs, p.Op, p.CommitOp = true, of.SilentNs, of.StateNs, of.Op, of.CommitMin
		p.LagOps = s.Consensus.CommitMax - min(of.CommitMin, s.Consensus.CommitMax)
	}
	return p
}

// clients joins the sessions with the connections of their clients.
func (s *snapshot) clients() []StatusClient {
	addresses := map[wire.U128]string{}
	for i := range s.Clients {
		addresses[s.Clients[i].Client] = posix.AddrPortFromPeer(s.Clients[i].Peer).String()
	}
	list := make([]StatusClient, 0, len(s.Sessions))
	sessions := slices.Clone(s.Sessions)
	slices.SortFunc(sessions, func(a, b consensus.SessionSample) int { return a.Client.Compare(b.Client) })
	for i := range sessions {
		e := &sessions[i]
		list = append(list, StatusClient{e.Client.String(), addresses[e.Client], e.Release.String(), e.Request, e.Op})
	}
	return list
}

// times are the histograms.
func (s *snapshot) times() (list []StatusTime) {
	s.eachTime(func(name string, h *metrics.Histogram) {
		t := StatusTime{Name: name, SumNs: h.Sum, MaxNs: h.Max, Cells: [][2]uint64{}}
		for cell, count := range h.Cells {
			if count > 0 {
				t.Cells = append(t.Cells, [2]uint64{metrics.CellMax(cell), count})
			}
		}
		list = append(list, t)
	})
	return list
}

// status answers GET /status.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	var page *Status
	s.collector.withClients(func(snapshot *snapshot) { page = s.collector.status(snapshot) })
	body, err := json.Marshal(page)
	if err != nil {
		text(w, http.StatusInternalServerError, []byte(err.Error()+"\n"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}
