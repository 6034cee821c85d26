package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"ledger/affinity"
	"ledger/config"
	"ledger/events"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/uring"
	"ledger/limits"
	"ledger/metrics"
	"ledger/peer"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/storage/forest"
	"ledger/storage/grid"
	"ledger/wire"
)

// IOKind chooses the kernel interface of the threads.
type IOKind uint8

const (
	IOAuto  IOKind = iota // io_uring if the kernel has it, else plain system calls
	IOUring               // io_uring, or an error
	IOPosix               // plain system calls and epoll
)

// ErrStorageLimit: the data file has reached --limit-storage.
var ErrStorageLimit = errors.New("the storage limit is reached: start with a larger --limit-storage")

// Server is one replica with its threads.
type Server struct {
	opened   *Opened
	file     *posix.DataFile
	memory   *arena.Arena
	plan     *affinity.Plan
	threads  []*Thread
	replica  *Replica
	stop     atomic.Bool
	left     chan struct{}  // closed by consensus
	ended    sync.WaitGroup // the threads
	kindUsed IOKind
	warnings []string
	log      *events.Log
	slots    *stages.Slots
	clock    *clock
	sampler  *sampler
	progress *Progress
	slowLog  *slowLog
	need     MemoryNeed

	consensus consensus.Options // which clients are served
	trace     func(*metrics.Op)
	addresses config.Addresses
	// clusterKeys are those of start; net has its own copies.
	clusterKeys [][peer.KeyBytes]byte
	names       *resolver // nil in a cluster of one
	service     *service  // nil in a cluster of one
	healing     healing   // without a log in a cluster of one
}

// Callbacks of a running server. Stage threads call them, so they must not block for long.
type Callbacks struct {
	Prepared func()      // all memory is reserved and checked, and the threads are about to start; may be nil
	Ready    func()      // clients are served, and all writes that the replay began are on disk
	Log      *events.Log // the log; nil drops all events
	Ended    func(error) // the server has stopped by itself, for this reason
}

// ServerOptions are what a start decides beside limits and placement.
type ServerOptions struct {
	IO          IOKind
	Progress    *Progress // of the start; may be nil
	Descriptors int       // that the caller may open while the server runs
	// ReleaseClientMax is the newest release of the clients that are served; 0 is
	// wire.ReleaseClientMax.
	ReleaseClientMax wire.Release
	// Addresses of the replicas, by index.
	Addresses config.Addresses
	// ClusterKeys are what the replicas share: none, one, or two while the key is replaced.
	ClusterKeys [][peer.KeyBytes]byte
	// Trace is called for each op that ended, on a stage thread, and must not block; nil: not at all.
	Trace func(*metrics.Op)
}

// NewServer recovers the data file and prepares the threads of plan; nothing runs yet.
//
// error: a *FaultError for damage that one replica cannot repair, an *arena.Error if memory is
// refused.
func NewServer(file *posix.DataFile, l limits.Limits, plan *affinity.Plan, o ServerOptions) (server *Server, err error) {
	s := &Server{file: file, memory: arena.New(), plan: plan, clock: newClock(), progress: o.Progress, slowLog: newSlowLog(),
		left: make(chan struct{}), consensus: consensus.DefaultOptions(), addresses: o.Addresses, clusterKeys: o.ClusterKeys, trace: o.Trace}
	if o.ReleaseClientMax != 0 {
		s.consensus.ReleaseMax = o.ReleaseClientMax
	}
	defer func() {
		if err != nil {
			err = ofReplicas(err, s.replicasOf(file, &l))
			s.Close()
		}
	}()
	defer recoverMemory(&err)
	l.CompactWorkers = uint32(len(plan.CompactThreads()))
	l.HashSeed = rand.Uint64() // of the runtime's generator, which the kernel seeds: no client can know it
	s.progress.enter(phaseRead, 0)
	opened, err := recoverFile(s.progress.counting(file), l, s.memory)
	if err != nil {
		return nil, refusal(err)
	}
	s.opened = opened
	for i := range plan.Threads {
		parker, err := ring.NewParker()
		if err != nil {
			return nil, fmt.Errorf("making a thread's eventfd: %w", err)
		}
		thread := &Thread{place: plan.Threads[i], parker: parker, stop: &s.stop, clock: s.clock}
		s.threads = append(s.threads, thread)
		kernel, err := s.newKernelThread(o.IO, parker.FileDescriptor())
		if err != nil {
			return nil, err
		}
		thread.kernel = kernel
	}
	if err := s.fitDescriptors(o.Descriptors); err != nil {
		return nil, err
	}
	if warning := cacheGridSmall(&opened.Limits); warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	return s, nil
}

// cacheGridSmall is the warning about a grid cache in which a full request of random ids pushes its
// own pages out, or "". With
// --development nothing is promised about speed.
func cacheGridSmall(l *limits.Limits) string {
	enough := forest.CacheGridBytesEnough(l)
	if l.CacheGridBytes >= enough || !l.TouchesMemoryAtStart() {
		return ""
	}
	return fmt.Sprintf("--cache-grid: %d MiB are too small for full batches of random ids in a large data file: they read pages "+
		"again that did not stay until they were used, and take seconds instead of a fraction of one; %d MiB are enough",
		l.CacheGridBytes>>20, enough>>20)
}

// recoverMemory turns an arena's panic into an error. The operator can solve a lack of memory at
// start.
func recoverMemory(err *error) {
	switch cause := recover().(type) {
	case nil:
	case *arena.Error:
		*err = fmt.Errorf("%w: lower --cache-grid or --cache-accounts, or raise the limit on address space (ulimit -v)", cause)
	default:
		panic(cause)
	}
}

// newKernelThread makes the kernel side of a thread. With IOAuto it falls back once, with a
// warning.
func (s *Server) newKernelThread(kind IOKind, wakeFd int) (ports.Thread, error) {
	options := ports.ThreadOptions{WakeFd: wakeFd}
	if kind == IOPosix || kind == IOAuto && s.kindUsed == IOPosix {
		s.kindUsed = IOPosix
		return posix.NewThread(options)
	}
	thread, err := uring.NewThread(options)
	if err == nil {
		s.kindUsed = IOUring
		return thread, nil
	}
	if kind == IOUring || !errors.Is(err, uring.ErrUnavailable) || s.kindUsed == IOUring {
		return nil, err
	}
	s.kindUsed = IOPosix
	s.warnings = append(s.warnings, fmt.Sprintf("%v; using plain system calls and epoll instead, which are slower (--io=posix silences this)",
		err))
	return posix.NewThread(options)
}

// Replicas of the cluster.
func (s *Server) Replicas() uint32 { return uint32(s.opened.Consensus.Superblock.ReplicasCount) }

// Cluster of the data file.
func (s *Server) Cluster() wire.U128 { return s.opened.Consensus.Superblock.Cluster }

// Warnings of the preparation.
func (s *Server) Warnings() []string {
	warnings := append([]string(nil), s.warnings...)
	if op := s.opened.Journal.TornOp; op > 0 {
		warnings = append(warnings, fmt.Sprintf("op %d was being written when the replica stopped; it was never acknowledged and is given up",
			op))
	}
	return append(warnings, logWarnings(&s.opened.Journal.Several, s.opened.Limits.IsStandby)...)
}

// Started describes the data file that is served.
func (s *Server) Started() events.Started {
	superblock := &s.opened.Consensus.Superblock
	return events.Started{Cluster: superblock.Cluster, Replica: superblock.Replica, Replicas: superblock.ReplicasCount,
		View: superblock.View, CheckpointOp: superblock.Checkpoint.Op, HeadOp: s.opened.Consensus.OpHead}
}

// Repairs emits events for the copies that this start had to write again.
func (s *Server) Repairs(log *events.Log) {
	for _, repaired := range []events.CopyRepaired{
		{What: "copies of the superblock", From: "the one in force", Count: uint64(s.opened.SuperblockCopiesFixed)},
		{What: "twins of the log", From: "its prepares", Count: uint64(s.opened.Journal.TwinsFixed)},
		{What: "prepares of the log", From: "their twins", Count: uint64(s.opened.Journal.PreparesFixed)},
	} {
		if repaired.Count > 0 {
			log.CopyRepaired(repaired)
		}
	}
}

// LogLimits emits the limits in force, the memory that they need, and the placement.
func (s *Server) LogLimits(log *events.Log) {
	l := &s.opened.Limits
	log.Limits(events.Limits{
		RequestBytes: uint64(l.RequestBytesMax), StorageBytes: l.StorageBytesMax, Sessions: uint64(l.SessionsMax),
		Connections: uint64(l.ConnectionsMax), PerAddress: uint64(l.ConnectionsPerAddress), UnidentifiedBytes: l.StrangerBytesMax(),
		PipelineOps: uint64(l.PipelineOpsMax), BarOps: uint64(l.BarOps),
		CheckpointIntervalOps: uint64(l.CheckpointIntervalOps()),
		ClientReleaseMin:      s.consensus.ReleaseMin.String(), ClientReleaseMax: s.consensus.ReleaseMax.String(),
	})
	log.Releases(s.Releases())
	if l.StandbysCount > 0 {
		log.Notice(events.Notice{Line: fmt.Sprintf("  standbys with an address: %d", l.StandbysCount)})
	}
	if l.PeersCount() > 0 {
		log.ClusterKey(clusterKeyEvent(s.clusterKeys, s.addresses))
	}
	log.Slots(slotsEvent(l))
	log.Caches(events.Caches{GridBytes: l.CacheGridBytes, Accounts: uint64(l.CacheAccountsMax), RecentBytes: grid.RecentBytes(l)})
	log.Compaction(events.Compaction{Workers: uint64(l.CompactWorkers), WorkerBytes: uint64(compact.MemoryBytes(l))})
	log.Scrubbing(events.Scrubbing{PeriodNs: l.ScrubPeriodNs, BytesPerSecondMax: ScrubBytesPerSecond})
	log.Memory(s.need.event("/", l))
	log.SystemCalls(events.SystemCalls{Kind: map[IOKind]string{IOUring: "io_uring", IOPosix: "posix"}[s.kindUsed]})
	for i := range s.plan.Threads {
		t := &s.plan.Threads[i]
		cores := ""
		if !t.Cores.IsEmpty() {
			cores = t.Cores.String()
		}
		log.Placed(events.Placed{Thread: t.Name(), Cores: cores, SpinNs: t.SpinNs})
	}
	if s.plan.Node != affinity.NodeUnknown {
		log.Notice(events.Notice{Line: fmt.Sprintf("  memory: node %d", s.plan.Node)})
	}
}

// Run starts the threads and returns at once. Callbacks report what happens later. listenerFd stays
// the caller's, who closes it after Close.
//
// error: as of NewServer; then nothing runs.
func (s *Server) Run(listenerFd int, callbacks Callbacks) (err error) {
	defer recoverMemory(&err)
	defer func() { err = ofReplicas(err, s.Replicas()) }()
	s.log = callbacks.Log
	l := &s.opened.Limits
	s.slots = NewSlots(l, s.memory)
	threadOf := func(driver int) *Thread {
		if driver >= stages.Compact {
			return s.threads[s.plan.CompactThreads()[driver-stages.Compact]]
		}
		return s.threads[s.plan.Thread(affinity.Stage(driver))]
	}
	faults, err := s.newDiskFaults()
	if err != nil {
		return err
	}
	p := Ports{
		Network:     threadOf(stages.Net).kernel.Network(listenerFd, net.PortConnectionsMax(l), net.PortConnectsReserved(l)),
		JournalDisk: threadOf(stages.Journal).kernel.Disk(s.file.Fd, JournalOperationsMax),
		ApplyDisk:   threadOf(stages.Apply).kernel.Disk(s.file.Fd, ApplyOperationsMax),
	}
	for worker := range int(l.CompactWorkers) {
		p.CompactDisk = append(p.CompactDisk, threadOf(stages.Compact+worker).kernel.Disk(s.file.Fd, CompactOperationsMax))
	}
	p.JournalDisk = faults.of(p.JournalDisk, threadOf(stages.Journal).parker.Waker(), true)
	p.ApplyDisk = faults.of(p.ApplyDisk, threadOf(stages.Apply).parker.Waker(), false)
	for worker := range p.CompactDisk {
		p.CompactDisk[worker] = faults.of(p.CompactDisk[worker], threadOf(stages.Compact+worker).parker.Waker(), false)
	}
	netWaker := threadOf(stages.Net).parker.Waker()
	if s.names, err = s.newNames(s.addresses, netWaker.Wake, callbacks.Log); err != nil {
		return err
	}
	if s.names != nil {
		p.Names = s.names
	}
	var syncFailed atomic.Bool
	p.JournalDisk = watch(synced(p.JournalDisk, &syncFailed), stages.Names[stages.Journal], s.clock.monotonicNs, callbacks.Log)
	p.ApplyDisk = watch(p.ApplyDisk, stages.Names[stages.Apply], s.clock.monotonicNs, callbacks.Log)
	for worker := range p.CompactDisk {
		disk := synced(p.CompactDisk[worker], &syncFailed)
		p.CompactDisk[worker] = watch(disk, stages.NameOf(stages.Compact+worker), s.clock.monotonicNs, callbacks.Log)
	}
	checkpointOp := s.opened.Consensus.Superblock.Checkpoint.Op
	readiness := &readiness{log: callbacks.Log, waker: threadOf(stages.Apply).parker.Waker(), announce: callbacks.Ready, progress: s.progress,
		openedOp: checkpointOp, headOp: s.opened.Consensus.OpHead, isSeveral: s.Replicas() > 1}
	releaseHint := fmt.Sprintf("clients of %s to %s are served; the upper limit is --client-release-max",
		s.consensus.ReleaseMin, s.consensus.ReleaseMax)
	options := Options{
		Consensus:    s.consensus,
		Clock:        s.clock.monotonicNs,
		ThreadsCount: len(s.threads),
		Slow:         s.slowLog.put,
		Trace:        s.trace,
		Peers:        s.peersOptions(),
		Log:          func(entry net.LogEntry) { logConnection(callbacks.Log, &entry, releaseHint) },
		Reserved:     func() error { return s.checkMemory(callbacks.Log) },
		Ready:        readiness.replayEnded,
		Left:         func() { close(s.left) },
		Finding:      func(f *storage.Finding) { logFinding(callbacks.Log, f, s.Replicas() > 1) },
		ClockBehind: func(behindNs uint64) {
			callbacks.Log.ClockBehind(events.ClockBehind{BehindNs: behindNs})
		},
		Fault: func(fault *storage.Fault) { callbacks.Ended(s.endedBy(fault)) },
	}
	options.ScrubFromOf65536 = scrubFrom(time.Now(), l.ScrubPeriodNs)
	if s.Replicas() > 1 {
		s.service = newService(callbacks.Log, s.clock.monotonicNs, s.opened.Consensus.Superblock.Replica,
			s.opened.Consensus.Superblock.ReplicasCount)
		s.progress.tells(s.service)
		options.Service, options.Seed = s.service.changed, rand.Uint64()
		s.healing.log = callbacks.Log
		options.Healing = s.healing.changed
		options.SyncNews = func(now consensus.SyncNews) { syncNews(callbacks.Log, &now) }
		options.Upgrade = func(now consensus.UpgradeNews) {
			callbacks.Log.UpgradeBegan(events.UpgradeBegan{From: l.Release, To: now.To, Op: now.Op, TriggerOp: now.TriggerOp})
		}
		options.LostBlocks = func(now consensus.LostBlocks) { lostBlocks(callbacks.Log, &now) }
		options.NowNs, options.WallNs = s.clock.now()
	}
	for driver := range stages.Compact + int(l.CompactWorkers) {
		options.Wakers = append(options.Wakers, threadOf(driver).parker.Waker())
	}
	s.replica, err = New(s.opened, p, s.slots, s.memory, options)
	if err != nil {
		return refusal(err)
	}
	readiness.Driver, readiness.apply = s.replica.Drivers[stages.Apply], s.replica.Apply
	s.replica.Drivers[stages.Apply] = readiness
	debug.FreeOSMemory() // no collection runs later
	s.placeMemory(callbacks)
	if err := s.opened.begin(s.file); err != nil {
		return refusal(err)
	}
	for number, driver := range s.replica.Drivers {
		thread := threadOf(number)
		thread.drivers = append(thread.drivers, driver)
		thread.stages = append(thread.stages, min(number, stages.Compact))
		thread.numbers = append(thread.numbers, number)
	}
	s.newSampler()
	for i, thread := range s.threads {
		thread.board = &s.replica.Board.Threads[i%metrics.ThreadsMax]
	}
	// A coroutine ends on the thread that ran it.
	threadOf(stages.Apply).unwinds = append(threadOf(stages.Apply).unwinds, s.replica.Apply.Stop)
	for worker, stage := range s.replica.Compact {
		thread := threadOf(stages.Compact + worker)
		thread.unwinds = append(thread.unwinds, stage.Stop)
	}
	if callbacks.Prepared != nil {
		callbacks.Prepared()
	}
	s.progress.enter(phaseCheckpoint, 0)
	// Caches and tables are touched while the checkpoint is read and the log is executed. A thread
	// that comes to a page first touches it by itself. The server is announced behind it.
	s.ended.Go(func() {
		s.memory.Populate()
		readiness.memoryTouched()
	})
	s.ended.Go(func() { s.slowLog.run(s.threadNames(), callbacks.Log) })
	for _, thread := range s.threads {
		thread.warn = func(err error) { callbacks.Log.Caution(events.Caution{Line: err.Error()}) }
		s.ended.Go(func() {
			if err := thread.run(); err != nil {
				callbacks.Ended(err)
			}
		})
	}
	return nil
}

// checkMemory sums up the reservations before indexes, caches and tables are touched. On a machine
// with too little memory, the kernel would otherwise kill the process without a message.
func (s *Server) checkMemory(log *events.Log) error {
	l := &s.opened.Limits
	s.need = needOf(s.memory.Entries(), l, &s.opened.Consensus.Superblock.Checkpoint, len(s.threads))
	fileBytesMax := l.StorageBytesMax
	if bytes, err := s.file.BytesMax(); err == nil {
		fileBytesMax = bytes
	}
	warning, err := s.need.check("/", !l.TouchesMemoryAtStart(), s.need.indexesReachable(l, fileBytesMax))
	if warning != "" {
		log.Caution(events.Caution{Line: warning})
	}
	return err
}

// logConnection emits what net reports of a peer. It runs on net's thread. releaseHint is for
// clients of a release that is not served.
func logConnection(log *events.Log, e *net.LogEntry, releaseHint string) {
	switch e.Kind {
	case net.LogRefused:
		log.ConnectionRefused(events.ConnectionRefused{Peer: e.Peer, Reason: string(e.Reason), Connections: uint64(e.Limit), Refused: e.Refused})
	case net.LogAcceptFailed:
		log.AcceptFailed(events.AcceptFailed{Errno: e.Errno, Failures: e.Failures})
	case net.LogEvicted:
		evicted := events.ClientEvicted{Peer: e.Peer, Client: e.Client, Reason: e.Eviction.String()}
		if e.Eviction == wire.EvictionReleaseTooLow || e.Eviction == wire.EvictionReleaseTooHigh {
			evicted.Hint = releaseHint
		}
		log.ClientEvicted(evicted)
	case net.LogMismatch:
		log.ClusterMismatch(events.ClusterMismatch{Peer: e.Peer, Theirs: e.Cluster, Ours: e.Ours})
	case net.LogPeerRefused, net.LogPeerWarning, net.LogPeerFault:
		logPeer(log, e)
	default:
		log.ConnectionClosed(events.ConnectionClosed{Peer: e.Peer, Client: e.Client, Reason: string(e.Reason), Closed: e.Closed})
	}
}

// placeMemory binds the reserved memory to the plan's node. In production it also locks the caches,
// page by page as they are touched. If the kernel refuses, there is one warning, and the server
// goes on without.
func (s *Server) placeMemory(callbacks Callbacks) {
	var bindError error
	var caches [][]byte
	s.memory.Regions(func(class arena.Class, data []byte) {
		if s.plan.Node >= 0 {
			if err := affinity.BindMemory(data, s.plan.Node); err != nil && bindError == nil {
				bindError = err
			}
		}
		if class == arena.Cache {
			caches = append(caches, data)
		}
	})
	if bindError != nil {
		callbacks.Log.Caution(events.Caution{Line: bindError.Error()})
	}
	if !s.opened.Limits.TouchesMemoryAtStart() {
		return // development
	}
	if err := affinity.LockMemory(caches...); err != nil {
		callbacks.Log.Caution(events.Caution{Line: err.Error()})
	}
}

// Stop tells the threads to end. Requests that are not acknowledged yet may be lost, and nothing
// else.
func (s *Server) Stop() {
	s.stop.Store(true)
	s.slowLog.end()
	for _, thread := range s.threads {
		waker := thread.parker.Waker()
		waker.Wake()
	}
}

// Close stops the threads, waits until the last has ended, and frees what NewServer and Run took.
// After it, the kernel uses no memory of the server, and the caller closes listener and data file.
// It must not be called from a callback.
func (s *Server) Close() {
	s.Stop()
	s.ended.Wait()
	if s.names != nil {
		s.names.close()
	}
	for _, thread := range s.threads {
		if thread.kernel != nil {
			thread.kernel.Close() // of a thread that never ran; other threads have closed theirs
		}
		_ = thread.parker.Close() // nothing can be lost
	}
	s.threads = nil
	s.memory.Close()
}
