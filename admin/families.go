package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"ledger/metrics"
	"ledger/replica"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/storage/forest/levels"
	"ledger/wire"
)

// number emits one value of a family, with the values of its labels.
type number func(value uint64, labels ...string)

// distribution emits one histogram of a family.
type distribution func(h *metrics.Histogram, labels ...string)

// family is one metric name.
type family struct {
	name, unit, help string
	kind             prometheus.ValueType
	labels           []string
	numbers          func(s *snapshot, emit number)
	// A family of histograms has these instead.
	distributions func(s *snapshot, emit distribution)
	bounds        []uint64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// boundsNs are 1 µs to 17 s, two per octave; boundsCount 1 to 8191. Each is the largest value of a
// cell, so counts are exact.
var boundsNs, boundsCount = func() (ns, counts []uint64) {
	for power := uint64(1 << 10); power <= 1<<34; power *= 2 {
		ns = append(ns, power-1, power+power/2-1)
	}
	for power := uint64(2); power <= 1<<13; power *= 2 {
		counts = append(counts, power-1)
	}
	return ns, counts
}()

// one makes a family of a single number.
func one(name, unit, help string, kind prometheus.ValueType, value func(s *snapshot) uint64) family {
	return family{name: name, unit: unit, help: help, kind: kind,
		numbers: func(s *snapshot, emit number) { emit(value(s)) }}
}

// perThread makes a family with a number for each thread.
func perThread(name, unit, help string, value func(t *replica.ThreadSample) uint64) family {
	return family{name: name, unit: unit, help: help, kind: counter, labels: []string{"thread"},
		numbers: func(s *snapshot, emit number) {
			for i := range s.Threads {
				emit(value(&s.Threads[i]), s.Threads[i].Name)
			}
		}}
}

// perWorker makes a family with a number for each worker of compact.
func perWorker(name, unit, help string, kind prometheus.ValueType, value func(w *compact.Sample) uint64) family {
	return family{name: name, unit: unit, help: help, kind: kind, labels: []string{"worker"},
		numbers: func(s *snapshot, emit number) {
			for i := range s.Compact {
				emit(value(&s.Compact[i]), strconv.Itoa(i))
			}
		}}
}

// perStage makes a family with a number for each stage.
func perStage(name, unit, help string, value func(t *replica.ThreadSample, stage int) uint64) family {
	return family{name: name, unit: unit, help: help, kind: counter, labels: []string{"stage"},
		numbers: func(s *snapshot, emit number) {
			s.eachStage(func(t *replica.ThreadSample, stage int, name string) { emit(value(t, stage), name) })
		}}
}

// perEdge makes a family with a number of events for each ring between two stages.
func perEdge(name, help string, value func(e *replica.EdgeSample) uint64) family {
	return family{name: name, unit: "events", help: help, kind: gauge, labels: []string{"edge"},
		numbers: func(s *snapshot, emit number) {
			for i := range s.Edges {
				emit(value(&s.Edges[i]), s.Edges[i].Name)
			}
		}}
}

// perPurpose makes a family with a size for each purpose of reserved memory.
func perPurpose(name, help string, value func(s *snapshot, i int) uint64) family {
	return family{name: name, unit: "bytes", help: help, kind: gauge, labels: []string{"purpose", "class"},
		numbers: func(s *snapshot, emit number) {
			for i := range s.Memory {
				emit(value(s, i), s.Memory[i].Name, s.Memory[i].Class.String())
			}
		}}
}

// times makes a family of one histogram of nanoseconds.
func times(name, help string, value func(s *snapshot) *metrics.Histogram) family {
	return family{name: name, unit: "ns", help: help, bounds: boundsNs,
		distributions: func(s *snapshot, emit distribution) { emit(value(s)) }}
}

// families is every metric there is, in the order of a request's way.
func families() []family {
	list := threadFamilies()
	list = append(list, netFamilies()...)
	list = append(list, peerFamilies()...)
	list = append(list, clusterFamilies()...)
	list = append(list, consensusFamilies()...)
	list = append(list, journalFamilies()...)
	list = append(list, applyFamilies()...)
	list = append(list, compactFamilies()...)
	list = append(list, scrubFamilies()...)
	list = append(list, slowFamilies()...)
	list = append(list, limitFamilies()...)
	return append(list, processFamilies()...)
}

// slowFamilies tell of the slowest op of the last intervals; without one they have no value.
func slowFamilies() []family {
	return []family{
		one("ledger_slow_ops", "ops", "Ops that took 100 ms or longer, from their first bytes to their replies on the way to net", counter,
			func(s *snapshot) uint64 { return s.Slowest.SlowCount }),
		one("ledger_slow_unlogged_ops", "ops", "Of these, those without a line in the log: too many at once", counter,
			func(s *snapshot) uint64 { return s.SlowUnlogged }),
		{name: "ledger_slowest_part_ns", unit: "ns", kind: gauge, labels: []string{"part"},
			help: "Slowest op of the last minute: its time, in all and in each part",
			numbers: func(s *snapshot, emit number) {
				if o := s.Slowest.RecentSlowest(); o != nil {
					emit(o.TotalNs(), "total")
					for part := range metrics.PartsCount {
						emit(o.PartNs(part), metrics.PartNames[part])
					}
				}
			}},
		{name: "ledger_slowest_beside_ns", unit: "ns", kind: gauge, labels: []string{"activity"},
			help: "Slowest op of the last minute: how long other work was under way meanwhile",
			numbers: func(s *snapshot, emit number) {
				if o := s.Slowest.RecentSlowest(); o != nil {
					emit(o.Conditions.WindowNs, "window")
					for activity, ns := range o.Conditions.ActiveNs {
						emit(ns, metrics.ActivityNames[activity])
					}
				}
			}},
		{name: "ledger_slowest_thread_ns", unit: "ns", kind: gauge, labels: []string{"thread", "figure"},
			help: "Slowest op of the last minute: what each stage thread did meanwhile (ran, waited for a core, longest turn, long calls)",
			numbers: func(s *snapshot, emit number) {
				o := s.Slowest.RecentSlowest()
				if o == nil {
					return
				}
				for i := range min(o.Conditions.ThreadsCount, len(s.Threads)) {
					t, name := &o.Conditions.Threads[i], s.Threads[i].Name
					emit(t.RunNs, name, "run")
					emit(t.WaitNs, name, "wait_core")
					emit(t.TurnNsMax, name, "longest_turn")
					emit(t.KernelNs, name, "calls")
				}
			}},
	}
}

func threadFamilies() []family {
	return []family{
		{name: "ledger_thread_time_ns", unit: "ns", kind: counter, labels: []string{"thread", "state"},
			help: "Time of a stage thread: stepping (something happened), spinning (looking for work), parked (asleep)",
			numbers: func(s *snapshot, emit number) {
				for i := range s.Threads {
					t := &s.Threads[i]
					emit(t.Figures.SteppingNs, t.Name, "stepping")
					emit(t.Figures.SpinningNs, t.Name, "spinning")
					emit(t.Figures.ParkedNs, t.Name, "parked")
				}
			}},
		perThread("ledger_thread_kernel_ns", "ns", "Of the stepping time, what submitting and collecting I/O took",
			func(t *replica.ThreadSample) uint64 { return t.Figures.KernelNs }),
		{name: "ledger_thread_turns", unit: "turns", kind: counter, labels: []string{"thread", "kind"},
			help: "Turns of a stage thread in which something (busy) or nothing (idle) happened",
			numbers: func(s *snapshot, emit number) {
				for i := range s.Threads {
					emit(s.Threads[i].Figures.BusyTurns, s.Threads[i].Name, "busy")
					emit(s.Threads[i].Figures.IdleTurns, s.Threads[i].Name, "idle")
				}
			}},
		{name: "ledger_thread_turn_ns", unit: "ns", labels: []string{"thread"}, bounds: boundsNs,
			help: "Length of the busy turns of a stage thread",
			distributions: func(s *snapshot, emit distribution) {
				for i := range s.Threads {
					emit(&s.Threads[i].Figures.TurnNs, s.Threads[i].Name)
				}
			}},
		perThread("ledger_thread_parks", "parks", "Times that a stage thread went to sleep",
			func(t *replica.ThreadSample) uint64 { return t.Figures.Parks }),
		perThread("ledger_thread_wakes", "wakes", "Times that a stage thread was woken by a system call of another",
			func(t *replica.ThreadSample) uint64 { return t.Wakes }),
		perThread("ledger_thread_system_calls", "calls", "System calls of a stage thread",
			func(t *replica.ThreadSample) uint64 { return t.Syscalls }),
		perStage("ledger_stage_busy_ns", "ns", "Time of the turns in which a stage did something",
			func(t *replica.ThreadSample, stage int) uint64 { return t.Figures.StageNs[stage] }),
		perStage("ledger_stage_busy_turns", "turns", "Turns in which a stage did something",
			func(t *replica.ThreadSample, stage int) uint64 { return t.Figures.StageTurns[stage] }),
		perEdge("ledger_ring_events", "Events on a ring between two stages, at the moment of the scrape",
			func(e *replica.EdgeSample) uint64 { return e.Count }),
		perEdge("ledger_ring_highest_events", "Most events that the reader of a ring has found on it, since the start",
			func(e *replica.EdgeSample) uint64 { return e.CountMax }),
		perEdge("ledger_ring_capacity_events", "Most events that a ring between two stages holds",
			func(e *replica.EdgeSample) uint64 { return e.Capacity }),
		one("ledger_scrape_stale_threads", "threads", "Stage threads that did not answer this scrape: their figures are older", gauge,
			func(s *snapshot) (count uint64) {
				for i := range s.Threads {
					if !s.Threads[i].Answered {
						count++
					}
				}
				return count
			}),
		one("ledger_scrape_wait_ns", "ns", "How long this scrape waited for the stage threads", gauge,
			func(s *snapshot) uint64 { return s.waitNs }),
		one("ledger_log_dropped_lines", "lines", "Lines of the log that were lost: stderr took them too slowly, or not at all", counter,
			func(s *snapshot) uint64 { return s.LogDropped }),
		one("ledger_ready_replicas", "replicas", "1 while clients are served, else 0", gauge,
			func(s *snapshot) uint64 { return flag(s.ready) }),
	}
}

func netFamilies() []family {
	return []family{
		one("ledger_net_open_connections", "connections", "Client connections now", gauge,
			func(s *snapshot) uint64 { return s.Net.ConnectionsCount }),
		one("ledger_net_accepted_connections", "connections", "Client connections accepted", counter,
			func(s *snapshot) uint64 { return s.Net.AcceptedCount }),
		one("ledger_net_failed_accepts", "accepts",
			"Tries to accept a connection that failed, for want of descriptors as a rule; the client waits", counter,
			func(s *snapshot) uint64 { return s.Net.AcceptFailures }),
		{name: "ledger_net_closed_connections", unit: "connections", kind: counter, labels: []string{"cause"},
			help: "Client connections closed, by cause",
			numbers: func(s *snapshot, emit number) {
				for cause, count := range s.Net.ClosedCount {
					emit(count, net.CauseNames[cause])
				}
			}},
		one("ledger_net_unidentified_bytes", "bytes", "Bytes that the first messages of unidentified connections hold now, of those above 4 KiB",
			gauge, func(s *snapshot) uint64 { return s.Net.StrangerBytes }),
		one("ledger_net_unidentified_waits", "waits", "First messages that had to wait, because others held all bytes for them", counter,
			func(s *snapshot) uint64 { return s.Net.StrangerWaits }),
		one("ledger_net_cluster_mismatch_messages", "messages", "Messages to another cluster; each closed its connection", counter,
			func(s *snapshot) uint64 { return s.Net.ClusterMismatches }),
		one("ledger_net_waiting_connections", "connections", "Connections that are not read, because all message slots are taken", gauge,
			func(s *snapshot) uint64 { return s.Net.ConnectionsWaiting }),
		one("ledger_net_slot_waits", "waits", "Times that a connection began to wait for a message slot", counter,
			func(s *snapshot) uint64 { return s.Net.SlotWaitsCount }),
		one("ledger_net_known_clients", "clients", "Client ids that have a connection now", gauge,
			func(s *snapshot) uint64 { return s.Net.RoutesCount }),
		one("ledger_net_delivered_messages", "messages", "Messages that were whole and given to consensus", counter,
			func(s *snapshot) uint64 { return s.Net.MessagesCount }),
		one("ledger_net_ignored_messages", "messages", "Messages that broke a rule of their command and were skipped", counter,
			func(s *snapshot) uint64 { return s.Net.IgnoredCount }),
		one("ledger_net_received_bytes", "bytes", "Bytes received from clients", counter,
			func(s *snapshot) uint64 { return s.Net.BytesReceived }),
		one("ledger_net_sent_bytes", "bytes", "Bytes sent to clients", counter, func(s *snapshot) uint64 { return s.Net.BytesSent }),
		one("ledger_net_copied_bytes", "bytes", "Received bytes that had to be moved to another slot", counter,
			func(s *snapshot) uint64 { return s.Net.CopiedBytes }),
		one("ledger_net_sent_replies", "replies", "Replies sent", counter, func(s *snapshot) uint64 { return s.Net.RepliesCount }),
		one("ledger_net_dropped_replies", "replies", "Replies dropped: the client was gone, slow, or on no connection", counter,
			func(s *snapshot) uint64 { return s.Net.RepliesDropped }),
		one("ledger_net_short_messages", "messages", "Pongs and evictions queued for sending", counter,
			func(s *snapshot) uint64 { return s.Net.ShortCount }),
		one("ledger_net_dropped_short_messages", "messages", "Pongs and evictions dropped: no connection, or too many in its queue", counter,
			func(s *snapshot) uint64 { return s.Net.ShortDropped }),
		times("ledger_net_receive_ns", "Time of a message from its first bytes until all of it was there",
			func(s *snapshot) *metrics.Histogram { return &s.Net.ReceiveNs }),
		times("ledger_net_send_ns", "Time of a message from the order to send it until the kernel had taken it, waiting behind another included",
			func(s *snapshot) *metrics.Histogram { return &s.Net.SendNs }),
		one("ledger_net_suppressed_lines", "lines", "Log lines about peers that were not written, because there were too many", counter,
			func(s *snapshot) uint64 { return s.Net.LogsSuppressed }),
	}
}

func consensusFamilies() []family {
	return []family{
		one("ledger_consensus_received_requests", "requests", "Requests that reached consensus, repetitions included", counter,
			func(s *snapshot) uint64 { return s.Consensus.RequestsCount }),
		one("ledger_consensus_ignored_messages", "messages", "Messages left without an answer: duplicates, requests out of order, a full queue",
			counter, func(s *snapshot) uint64 { return s.Consensus.IgnoredCount }),
		{name: "ledger_consensus_evictions", unit: "evictions", kind: counter, labels: []string{"reason"},
			help: "Clients that were told that their session is over, by reason",
			numbers: func(s *snapshot, emit number) {
				for reason, count := range s.Consensus.Evictions {
					if reason != int(wire.EvictionNone) {
						emit(count, wire.EvictionReason(reason).String())
					}
				}
			}},
		one("ledger_consensus_prepared_ops", "ops", "Prepares made, pulses included", counter,
			func(s *snapshot) uint64 { return s.Consensus.PreparesCount }),
		one("ledger_consensus_prepared_groups", "groups", "Prepares that carry several requests", counter,
			func(s *snapshot) uint64 { return s.Consensus.GroupsCount }),
		one("ledger_consensus_sent_replies", "replies", "Replies handed to net", counter,
			func(s *snapshot) uint64 { return s.Consensus.RepliesCount }),
		one("ledger_consensus_queued_requests", "requests", "Requests that wait for a prepare now", gauge,
			func(s *snapshot) uint64 { return s.Consensus.QueueCount }),
		one("ledger_consensus_pipeline_ops", "ops", "Prepares whose replies are not out yet", gauge,
			func(s *snapshot) uint64 { return s.Consensus.PipelineCount }),
		one("ledger_consensus_open_sessions", "sessions", "Client sessions now", gauge,
			func(s *snapshot) uint64 { return s.Consensus.SessionsCount }),
		one("ledger_consensus_free_reply_slots", "slots", "Reply slots that are free; without one no request starts", gauge,
			func(s *snapshot) uint64 { return s.Consensus.ReplySlotsFree }),
		one("ledger_consensus_head_op", "op", "Highest op in the log", gauge, func(s *snapshot) uint64 { return s.Consensus.Op }),
		one("ledger_consensus_commit_op", "op", "Highest op whose replies are out", gauge,
			func(s *snapshot) uint64 { return s.Consensus.Commit }),
		one("ledger_consensus_checkpoint_op", "op", "Op of the durable checkpoint: a restart executes again from here to the head", gauge,
			func(s *snapshot) uint64 { return s.Consensus.CheckpointOp }),
		one("ledger_clock_behind_ns", "ns", "How far the wall clock is behind the newest timestamp: until it has caught up, "+
			"pending transfers do not expire", gauge, func(s *snapshot) uint64 { return s.Consensus.ClockBehindNs }),
		one("ledger_consensus_view", "view", "View; it grows by one with each start of a single replica, and of several with each change of "+
			"the primary", gauge, func(s *snapshot) uint64 { return uint64(s.Consensus.View) }),
		times("ledger_request_service_ns", "Time of a request from its arrival at consensus to its reply on the way to net",
			func(s *snapshot) *metrics.Histogram { return &s.Consensus.ServiceNs }),
		times("ledger_request_queue_ns", "Of the service time, waiting for a prepare",
			func(s *snapshot) *metrics.Histogram { return &s.Consensus.QueueNs }),
		{name: "ledger_prepare_requests", unit: "requests", help: "Requests in a prepare, pulses left out", bounds: boundsCount,
			distributions: func(s *snapshot, emit distribution) { emit(&s.Consensus.RequestsPerPrepare) }},
		{name: "ledger_prepare_events", unit: "events", help: "Events (transfers, accounts, ids, filters) in a prepare, pulses left out",
			bounds:        boundsCount,
			distributions: func(s *snapshot, emit distribution) { emit(&s.Consensus.EventsPerPrepare) }},
	}
}

func journalFamilies() []family {
	return []family{
		one("ledger_journal_appended_ops", "ops", "Prepares given to the log", counter,
			func(s *snapshot) uint64 { return s.Journal.AppendsCount }),
		one("ledger_journal_read_ops", "ops", "Prepares read back from the log, after a start", counter,
			func(s *snapshot) uint64 { return s.Journal.ReadsCount }),
		one("ledger_journal_read_twin_ops", "ops", "Of these, prepares whose copy in the log was not right, and whose twin was", counter,
			func(s *snapshot) uint64 { return s.Journal.TwinReadsCount }),
		one("ledger_journal_written_superblocks", "superblocks", "Superblocks written, all copies of one together", counter,
			func(s *snapshot) uint64 { return s.Journal.SuperblocksCount }),
		times("ledger_journal_write_ns", "Time until a prepare and its twin are durable",
			func(s *snapshot) *metrics.Histogram { return &s.Journal.WriteNs }),
		times("ledger_journal_superblock_ns", "Time until the copies of a superblock were written and read back",
			func(s *snapshot) *metrics.Histogram { return &s.Journal.SuperblockNs }),
		{name: "ledger_disk_bytes", unit: "bytes", kind: counter, labels: []string{"kind"},
			help: "Bytes written to and read from the data file, by kind",
			numbers: func(s *snapshot, emit number) {
				s.eachDiskKind(func(kind string, bytes uint64) { emit(bytes, kind) })
			}},
	}
}

func applyFamilies() []family {
	return []family{
		one("ledger_apply_executed_ops", "ops", "Ops executed, those of the replay after a start included", counter,
			func(s *snapshot) uint64 { return s.Apply.OpsExecuted }),
		one("ledger_apply_executed_requests", "requests", "Requests executed, those of the replay after a start included", counter,
			func(s *snapshot) uint64 { return s.Apply.RequestsExecuted }),
		one("ledger_apply_skipped_requests", "requests", "Read-only requests of a replay whose replies nobody wants", counter,
			func(s *snapshot) uint64 { return s.Apply.RequestsSkipped }),
		one("ledger_apply_late_requests", "requests", "Queries that were executed beside later ops", counter,
			func(s *snapshot) uint64 { return s.Apply.QueriesLate }),
		one("ledger_apply_waiting_late_requests", "requests", "Queries that are executed beside later ops, or wait for that", gauge,
			func(s *snapshot) uint64 { return s.Apply.QueriesWaiting }),
		times("ledger_apply_queue_ns", "Time of an op from its arrival at apply until its execution begins",
			func(s *snapshot) *metrics.Histogram { return &s.Apply.QueueNs }),
		{name: "ledger_apply_execute_ns", unit: "ns", labels: []string{"class"}, bounds: boundsNs,
			help: "Execution time of a request, waiting for pages included, by class of operation",
			distributions: func(s *snapshot, emit distribution) {
				for class := range s.Apply.ExecuteNs {
					emit(&s.Apply.ExecuteNs[class], apply.ClassNames[class])
				}
			}},
		{name: "ledger_apply_barrier_ns", unit: "ns", labels: []string{"barrier"}, bounds: boundsNs,
			help: "Time that the end of a bar waited: for compaction of the bar before (generation), for sessions and the checkpoint " +
				"before (capture), for a superblock (durable)",
			distributions: func(s *snapshot, emit distribution) {
				for barrier := range s.Apply.BarrierNs {
					emit(&s.Apply.BarrierNs[barrier], apply.BarrierNames[barrier])
				}
			}},
		one("ledger_apply_waiting_ops", "ops", "Ops committed and not executed", gauge,
			func(s *snapshot) uint64 { return s.Apply.CommitsWaiting }),
		one("ledger_apply_executed_op", "op", "Highest op executed", gauge, func(s *snapshot) uint64 { return s.Apply.Op }),
		times("ledger_checkpoint_ns", "Time of a checkpoint from its trigger until its superblock is durable",
			func(s *snapshot) *metrics.Histogram { return &s.Apply.CheckpointNs }),
		one("ledger_state_accounts", "accounts", "Accounts", gauge, func(s *snapshot) uint64 { return s.Apply.AccountsCount }),
		one("ledger_state_transfers", "transfers", "Transfers", gauge, func(s *snapshot) uint64 { return s.Apply.TransfersCount }),
		one("ledger_memtable_rows", "rows", "Rows of the memtable that is being filled", gauge,
			func(s *snapshot) uint64 { return uint64(s.Apply.Forest.RowsFilling) }),
		one("ledger_grid_acquired_blocks", "blocks", "Blocks of the data file that are in use, those waiting to be free included", gauge,
			func(s *snapshot) uint64 { return s.Apply.Forest.BlocksAcquired }),
		one("ledger_grid_waiting_blocks", "blocks", "Blocks that are free as soon as the next bar or checkpoint has passed", gauge,
			func(s *snapshot) uint64 { return s.Apply.Forest.BlocksWaiting }),
		one("ledger_grid_highest_blocks", "blocks", "Blocks from the start of the grid to the highest ever used: the data file's size", gauge,
			func(s *snapshot) uint64 { return s.Apply.BlocksHigh }),
		{name: "ledger_grid_cache_lookups", unit: "lookups", kind: counter, labels: []string{"cache", "result"},
			help: "Pages and header pages of blocks that execution looked for in memory, reading ahead included",
			numbers: func(s *snapshot, emit number) {
				g := &s.Apply.Grid
				emit(g.PageHits, "pages", "hit")
				emit(g.PageLookups-g.PageHits, "pages", "miss")
				emit(g.HeaderHits, "headers", "hit")
				emit(g.HeaderLookups-g.HeaderHits, "headers", "miss")
			}},
		one("ledger_account_cache_loads", "loads", "Times that an account was not in the account cache and came from a memtable or its tree",
			counter, func(s *snapshot) uint64 { return s.Apply.Forest.AccountLoads }),
		one("ledger_grid_recent_pages", "pages", "Pages that execution found in the newest blocks, which stay in memory when they are written",
			counter, func(s *snapshot) uint64 { return s.Apply.Grid.RecentHits }),
		one("ledger_grid_read_pages", "pages", "Pages that apply read from the disk: misses of the page cache, read ahead included", counter,
			func(s *snapshot) uint64 { return s.Apply.Grid.Reads }),
		one("ledger_grid_page_waits", "waits", "Times that execution waited for a page that was not in the cache", counter,
			func(s *snapshot) uint64 { return s.Apply.Forest.PageWaits }),
		one("ledger_grid_damaged_pages", "pages", "Reads of pages that failed or were damaged; each is tried twice", counter,
			func(s *snapshot) uint64 { return s.Apply.Grid.Damaged }),
	}
}

func compactFamilies() []family {
	return []family{
		{name: "ledger_compact_debt_entries", unit: "entries", kind: gauge, labels: []string{"tree"},
			help: "Entries that the merges under way still have to read",
			numbers: func(s *snapshot, emit number) {
				s.eachTree(func(id storage.TreeID, t *levels.TreeCounters) { emit(t.MergeEntries, storage.Trees[id].Name) })
			}},
		{name: "ledger_compact_runs", unit: "runs", kind: gauge, labels: []string{"tree", "level"},
			help: "Sorted runs of a level: each is one more place where a key may be. 8 (of postings: 32) are merged into one",
			numbers: func(s *snapshot, emit number) {
				count := s.levelsCount()
				s.eachTree(func(id storage.TreeID, t *levels.TreeCounters) {
					for level, runs := range t.Runs[:count] {
						emit(runs, storage.Trees[id].Name, strconv.Itoa(level))
					}
				})
			}},
		one("ledger_compact_waiting_jobs", "jobs", "Jobs of the generation under way", gauge,
			func(s *snapshot) uint64 { return s.Apply.JobsWaiting }),
		perWorker("ledger_compact_worker_jobs", "jobs", "Jobs that a worker has, the one under way included", gauge,
			func(w *compact.Sample) uint64 { return w.JobsWaiting }),
		perWorker("ledger_compact_flushed_entries", "entries", "Entries of trees flushed from memtables", counter,
			func(w *compact.Sample) uint64 { return w.EntriesFlushed }),
		perWorker("ledger_compact_flushed_rows", "rows", "Rows of transfers flushed from memtables", counter,
			func(w *compact.Sample) uint64 { return w.RowsFlushed }),
		perWorker("ledger_compact_merged_entries", "entries", "Entries read by merges", counter,
			func(w *compact.Sample) uint64 { return w.EntriesMerged }),
		{name: "ledger_compact_written_bytes", unit: "bytes", kind: counter, labels: []string{"tree", "job"},
			help: "Bytes of tables and row blocks written, by tree and kind of job (flush, merge); the trailers of checkpoints are not among them",
			numbers: func(s *snapshot, emit number) {
				for id := range storage.TreesCount {
					bytes := s.treeBytes(id)
					emit(bytes.Flushed, storage.Trees[id].Name, "flush")
					emit(bytes.Merged, storage.Trees[id].Name, "merge")
				}
			}},
		{name: "ledger_compact_job_ns", unit: "ns", labels: []string{"worker"}, bounds: boundsNs,
			help: "Time of a job (the flush of one tree, or a part of a merge) from its begin until its blocks are written",
			distributions: func(s *snapshot, emit distribution) {
				for i := range s.Compact {
					emit(&s.Compact[i].JobNs, strconv.Itoa(i))
				}
			}},
		times("ledger_compact_generation_ns", "Time of a generation (the flush and the merges of one bar) until its blocks are written",
			func(s *snapshot) *metrics.Histogram { return &s.Apply.GenerationNs }),
		times("ledger_checkpoint_trailers_ns", "Of a checkpoint, writing manifest, free set and sessions",
			func(s *snapshot) *metrics.Histogram { return &s.checkpoints().TrailersNs }),
		times("ledger_checkpoint_sync_ns", "Of a checkpoint, the fdatasync behind its blocks",
			func(s *snapshot) *metrics.Histogram { return &s.checkpoints().SyncNs }),
		one("ledger_grid_grown_bytes", "bytes", "Bytes of the grid zone that are known to have disk space", gauge,
			func(s *snapshot) (bytes uint64) {
				for i := range s.Compact {
					bytes = max(bytes, s.Compact[i].GridBytes)
				}
				return bytes
			}),
	}
}

func processFamilies() []family {
	return []family{
		perPurpose("ledger_memory_reserved_bytes", "Memory reserved at start, by purpose and class; what load never needs is never touched",
			func(s *snapshot, i int) uint64 { return s.Memory[i].Bytes }),
		perPurpose("ledger_memory_resident_bytes", "Of the memory reserved at start, what is resident, by purpose and class",
			func(s *snapshot, i int) uint64 { return s.Resident[i] }),
		one("ledger_memory_expected_bytes", "bytes",
			"Memory that usual load comes to use with the data file of this start, as start prints it", gauge,
			func(s *snapshot) uint64 { return s.Need.ExpectedBytes }),
		one("ledger_memory_largest_bytes", "bytes", "Memory that the process may come to use at most, as start prints it", gauge,
			func(s *snapshot) uint64 { return s.Need.LargestBytes }),
		one("ledger_process_resident_bytes", "bytes", "Resident memory of the process", gauge,
			func(s *snapshot) uint64 { return s.process.residentBytes }),
		one("ledger_process_cpu_ns", "ns", "Processor time of the process, of user and system", counter,
			func(s *snapshot) uint64 { return s.process.cpuNs }),
		one("ledger_process_up_ns", "ns", "Time since the endpoint was opened", gauge, func(s *snapshot) uint64 { return s.process.upNs }),
		one("ledger_go_memory_bytes", "bytes", "Memory of the Go runtime, without the reservations and without what it gave back to the kernel",
			gauge, func(s *snapshot) uint64 { return s.process.goBytes }),
		one("ledger_go_heap_bytes", "bytes", "Live and dead objects on the Go heap", gauge,
			func(s *snapshot) uint64 { return s.process.heapBytes }),
		one("ledger_go_allocated_objects", "objects", "Objects allocated on the Go heap: they come from this endpoint and from log lines",
			counter, func(s *snapshot) uint64 { return s.process.objects }),
		one("ledger_go_collections", "collections", "Garbage collections", counter, func(s *snapshot) uint64 { return s.process.collections }),
		one("ledger_go_goroutines", "goroutines", "Goroutines", gauge, func(s *snapshot) uint64 { return s.process.goroutines }),
		{name: "ledger_build_info", unit: "info", kind: gauge, labels: []string{"version"}, help: "1, with the version of the program",
			numbers: func(s *snapshot, emit number) { emit(1, s.version) }},
	}
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
