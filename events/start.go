package events

import "fmt"

// The events of a start.

// Limits are the limits in force.
type Limits struct {
	RequestBytes, StorageBytes         uint64
	Sessions, Connections              uint64
	PerAddress                         uint64 // connections that an address may have; 0: as many as there are
	UnidentifiedBytes                  uint64 // of first messages
	PipelineOps, BarOps                uint64
	CheckpointIntervalOps              uint64
	ClientReleaseMin, ClientReleaseMax string
}

// Limits emits the event.
func (l *Log) Limits(e Limits) { emit(l, kindLimits, e) }

func (e *Limits) Level() Level { return Info }
func (e *Limits) Name() string { return "limits" }
func (e *Limits) Text(line []byte) []byte {
	perAddress := ""
	if e.PerAddress > 0 {
		perAddress = fmt.Sprintf(" (%d of one address)", e.PerAddress)
	}
	return fmt.Appendf(line, "limits: request %d KiB, sessions %d, connections %d%s, unidentified ones %d MiB, pipeline %d ops, bar %d ops, "+
		"checkpoint interval %d ops, storage %d GiB, clients of %s to %s", e.RequestBytes>>10, e.Sessions, e.Connections, perAddress,
		e.UnidentifiedBytes>>20, e.PipelineOps, e.BarOps, e.CheckpointIntervalOps, e.StorageBytes>>30, e.ClientReleaseMin, e.ClientReleaseMax)
}
func (e *Limits) Fields(o Fields) Fields {
	return o.Number("request_bytes", e.RequestBytes).Number("sessions", e.Sessions).Number("connections", e.Connections).
		Number("connections_per_address", e.PerAddress).Number("unidentified_bytes", e.UnidentifiedBytes).
		Number("pipeline_ops", e.PipelineOps).Number("bar_ops", e.BarOps).Number("checkpoint_interval_ops", e.CheckpointIntervalOps).
		Number("storage_bytes", e.StorageBytes).String("client_release_min", e.ClientReleaseMin).
		String("client_release_max", e.ClientReleaseMax)
}

// Slots are the numbers of message slots. The last four are of a cluster of several replicas.
type Slots struct {
	Client, Prepare, Reply    uint64
	Peer, Repair, Small, Send uint64
}

// Slots emits the event.
func (l *Log) Slots(e Slots) { emit(l, kindSlots, e) }

func (e *Slots) Level() Level { return Info }
func (e *Slots) Name() string { return "slots" }
func (e *Slots) Text(line []byte) []byte {
	line = fmt.Appendf(line, "slots: client %d, prepare %d, reply %d", e.Client, e.Prepare, e.Reply)
	if e.Peer > 0 {
		line = fmt.Appendf(line, ", peer %d, repair %d, small %d, send %d", e.Peer, e.Repair, e.Small, e.Send)
	}
	return line
}
func (e *Slots) Fields(o Fields) Fields {
	return o.Number("client", e.Client).Number("prepare", e.Prepare).Number("reply", e.Reply).Number("peer", e.Peer).
		Number("repair", e.Repair).Number("small", e.Small).Number("send", e.Send)
}

// Caches are the caches of this start.
type Caches struct{ GridBytes, Accounts, RecentBytes uint64 }

// Caches emits the event.
func (l *Log) Caches(e Caches) { emit(l, kindCaches, e) }

func (e *Caches) Level() Level { return Info }
func (e *Caches) Name() string { return "caches" }
func (e *Caches) Text(line []byte) []byte {
	return fmt.Appendf(line, "caches: grid %d MiB, accounts %d, of the grid's for the newest blocks %d MiB", e.GridBytes>>20, e.Accounts,
		e.RecentBytes>>20)
}
func (e *Caches) Fields(o Fields) Fields {
	return o.Number("grid_bytes", e.GridBytes).Number("accounts", e.Accounts).Number("recent_bytes", e.RecentBytes)
}

// Compaction is the number of its threads, and the memory of each.
type Compaction struct{ Workers, WorkerBytes uint64 }

// Compaction emits the event.
func (l *Log) Compaction(e Compaction) { emit(l, kindCompaction, e) }

func (e *Compaction) Level() Level { return Info }
func (e *Compaction) Name() string { return "compaction" }
func (e *Compaction) Text(line []byte) []byte {
	return fmt.Appendf(line, "compaction: workers %d, buffers %d MiB each", e.Workers, e.WorkerBytes>>20)
}
func (e *Compaction) Fields(o Fields) Fields {
	return o.Number("workers", e.Workers).Number("worker_bytes", e.WorkerBytes)
}

// Memory is what the server may use, and what it is allowed.
type Memory struct {
	ExpectedBytes, LargestBytes uint64
	IndexBytes                  uint64 // of the largest, for the indexes of a data file of StorageBytes
	StorageBytes                uint64
	AllowedBytes                uint64
	AllowedBy                   string // the machine or a control group; "" if that is not known
}

// Memory emits the event.
func (l *Log) Memory(e Memory) { emit(l, kindMemory, e) }

func (e *Memory) Level() Level { return Info }
func (e *Memory) Name() string { return "memory" }
func (e *Memory) Text(line []byte) []byte {
	line = fmt.Appendf(line, "memory: %d MiB expected, %d MiB at most (of them %d for the indexes of a data file of %d GiB)",
		mebibytesUp(e.ExpectedBytes), mebibytesUp(e.LargestBytes), mebibytesUp(e.IndexBytes), e.StorageBytes>>30)
	if e.AllowedBy != "" {
		line = fmt.Appendf(line, ", %s allows %d MiB", e.AllowedBy, e.AllowedBytes>>20)
	}
	return line
}
func (e *Memory) Fields(o Fields) Fields {
	return o.Number("expected_bytes", e.ExpectedBytes).Number("largest_bytes", e.LargestBytes).Number("index_bytes", e.IndexBytes).
		Number("storage_bytes", e.StorageBytes).Number("allowed_bytes", e.AllowedBytes).String("allowed_by", e.AllowedBy)
}

// mebibytesUp rounds up: what is printed is never less than what is meant.
func mebibytesUp(bytes uint64) uint64 { return (bytes + 1<<20 - 1) >> 20 }

// SystemCalls is how the server talks to the kernel: io_uring or posix.
type SystemCalls struct{ Kind string }

// SystemCalls emits the event.
func (l *Log) SystemCalls(e SystemCalls) { emit(l, kindSystemCalls, e) }

func (e *SystemCalls) Level() Level            { return Info }
func (e *SystemCalls) Name() string            { return "io" }
func (e *SystemCalls) Text(line []byte) []byte { return append(append(line, "io: "...), e.Kind...) }
func (e *SystemCalls) Fields(o Fields) Fields  { return o.String("kind", e.Kind) }

// Placed is where a thread of the pipeline runs.
type Placed struct {
	Thread string // its stages
	Cores  string // "" if it is not pinned
	SpinNs uint64 // idle time before it parks
}

// Placed emits the event.
func (l *Log) Placed(e Placed) { emit(l, kindPlaced, e) }

func (e *Placed) Level() Level { return Info }
func (e *Placed) Name() string { return "placed" }
func (e *Placed) Text(line []byte) []byte {
	place := "not pinned"
	if e.Cores != "" {
		place = "core " + e.Cores
	}
	return fmt.Appendf(line, "  %s: %s, spin %d ns", e.Thread, place, e.SpinNs)
}
func (e *Placed) Fields(o Fields) Fields {
	return o.String("thread", e.Thread).String("cores", e.Cores).Number("spin_ns", e.SpinNs)
}
