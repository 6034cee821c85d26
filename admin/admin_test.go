package admin

import (
	"fmt"
	"io"
	stdnet "net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/metrics"
	"ledger/peer"
	"ledger/replica"
	"ledger/stages"
	"ledger/stages/compact"
	"ledger/stages/consensus"
	"ledger/stages/net"
	"ledger/wire"
)

// Goal: every name ends in its unit and is there once, and every help is a sentence's worth.
func TestNames(t *testing.T) {
	valid := regexp.MustCompile(`^ledger_[a-z]+(_[a-z]+)*$`)
	units := strings.Fields("ns bytes turns parks wakes calls events threads replicas connections waits clients messages " +
		"replies lines requests accepts views index prepares clocks " +
		"evictions ops groups lookups loads op view sessions slots superblocks accounts transfers rows blocks pages entries runs " +
		"jobs objects collections goroutines info permille passes places syncs release")
	seen := map[string]bool{}
	for _, f := range families() {
		if !valid.MatchString(f.name) || !strings.HasSuffix(f.name, "_"+f.unit) || !slices.Contains(units, f.unit) {
			t.Errorf("%s: unit %q", f.name, f.unit)
		}
		if seen[f.name] {
			t.Errorf("%s: there twice", f.name)
		}
		seen[f.name] = true
		if f.help == "" || strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: help %q", f.name, f.help)
		}
		if (f.numbers == nil) == (f.distributions == nil) || (f.bounds == nil) != (f.distributions == nil) {
			t.Errorf("%s: neither numbers nor a histogram, or both", f.name)
		}
	}
}

// Goal: the operator's manual lists every metric with its unit, and none that does not exist.
func TestDocumented(t *testing.T) {
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // name -> its row
	for line := range strings.Lines(string(manual)) {
		if match := regexp.MustCompile("^\\| `(ledger_[a-z_]+)` \\|").FindStringSubmatch(line); match != nil {
			rows[match[1]] = line
		}
	}
	known := map[string]bool{}
	for _, f := range families() {
		known[f.name] = true
		row, ok := rows[f.name]
		if !ok {
			t.Errorf("docs/operations.md does not list %s", f.name)
			continue
		}
		for _, want := range append([]string{f.unit}, f.labels...) {
			if !strings.Contains(row, want) {
				t.Errorf("%s: its row does not say %q: %s", f.name, want, row)
			}
		}
	}
	for _, name := range regexp.MustCompile(`\bledger_[a-z_]+`).FindAllString(string(manual), -1) {
		if !known[name] && !known[strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum"), "_bucket")] {
			t.Errorf("docs/operations.md names %s, which does not exist", name)
		}
	}
	// Other pages name some of them.
	for _, page := range []string{"../docs/performance.md", "../docs/architecture.md", "../docs/design/storage.md", "../README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bledger_[a-z_]+`).FindAllString(string(text), -1) {
			if !known[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
	}
}

// fake is a server with known figures.
type fake struct {
	answers bool
	away    atomic.Pointer[string]
	healing string
}

// Healing implements Source.
func (f *fake) Healing() string { return f.healing }

// Away implements Source.
func (f *fake) Away() string {
	if away := f.away.Load(); away != nil {
		return *away
	}
	return ""
}

func (f *fake) Sample(out *replica.Sample, timeout time.Duration) {
	if out.Threads == nil {
		out.Threads = make([]replica.ThreadSample, 3)
	}
	first := &out.Threads[0]
	*first = replica.ThreadSample{Name: "net+apply", Stages: []int{stages.Net, stages.Apply}, Syscalls: 11, Wakes: 12, Answered: true}
	first.Figures.SteppingNs, first.Figures.SpinningNs, first.Figures.ParkedNs = 100, 200, 700
	first.Figures.StageNs[stages.Apply] = 77
	out.Threads[1] = replica.ThreadSample{Name: "compact", Stages: []int{stages.Compact}, Answered: f.answers}
	out.Threads[2] = replica.ThreadSample{Name: "compact-1", Stages: []int{stages.Compact + 1}, Answered: true}
	out.Threads[2].Figures.StageNs[stages.Compact] = 78
	out.Edges = []replica.EdgeSample{{Name: "net_to_consensus", Count: 3, Capacity: 64}}
	out.Memory = []arena.Entry{{Name: "grid cache", Class: arena.Cache, Bytes: 1 << 20, Count: 1}}
	out.Resident = []uint64{1 << 19}
	out.Net.ClosedCount[net.CauseSlow] = 5
	out.Consensus.Evictions[7] = 9
	out.Consensus.ServiceNs = metrics.Histogram{}
	for _, value := range []uint64{0, 1023, 1024, 1535, 1536, 1 << 39} {
		out.Consensus.ServiceNs.Record(value)
	}
	out.Apply.Grid.Reads, out.Limits = 4, limits.Production()
	slow := metrics.SlowOp{Op: metrics.Op{Number: 4711, Requests: 1, Events: 3, Operation: uint8(wire.OperationCreateTransfers)}}
	for mark, ns := range map[metrics.Mark]uint64{metrics.MarkSubmitted: 0, metrics.MarkWritten: 120_000_000, metrics.MarkDurable: 120_000_000,
		metrics.MarkAnswered: 130_000_000} {
		slow.Marks[mark] = ns
	}
	slow.Conditions.ThreadsCount = 2
	slow.Conditions.ActiveNs[metrics.ActivityGridSync] = 110_000_000
	slow.Conditions.Threads[1].WaitNs = 5_000_000
	out.Slowest = metrics.SlowestFigures{SlowCount: 8}
	out.Slowest.Recent[2].Count, out.Slowest.Recent[2].Ops[0] = 1, slow
	out.Slowest.Ever = out.Slowest.Recent[2]
	out.Consensus.Cluster = consensus.ClusterSample{Replicas: 3, Indexes: 3, Self: 1, Primary: 2, CommitMax: 900, FaultySlots: 3,
		Away: consensus.AwayAlone}
	out.Consensus.Cluster.Clock.OwnOffsetNs = -5
	out.Consensus.Cluster.Peers[2] = consensus.ClusterPeer{CommitMin: 880, Op: 890, SilentNs: 7}
	out.Consensus.Cluster.Peers[0] = consensus.ClusterPeer{SilentNs: consensus.NeverNs, StateNs: consensus.NeverNs}
	out.Peers.Count, out.Peers.Self, out.Peers.Table.Refused = 3, 1, 4
	out.Peers.Peers[2].State = peer.DialLive
	out.Peers.Peers[2].Counters.Sent.Dropped[peer.ClassRepair] = 7
	out.Compact = make([]compact.Sample, 2)
	out.Compact[0].BytesWritten, out.Compact[1].BytesWritten, out.Compact[1].EntriesMerged = 5, 6, 13
}

// opened serves a source on a free port.
func opened(t testing.TB, source Source, o Options) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	if source != nil {
		s.Attach(source)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t testing.TB, s *Server, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + s.Address() + path)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(content)
}

// values reads a page of metrics: name and labels, as they are written, to number.
func values(t testing.TB, page string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[line[:at]] = value
	}
	return out
}

// Goal: figures arrive under their names and labels, with HELP, TYPE and unit.
func TestScrape(t *testing.T) {
	s := opened(t, &fake{}, Options{Version: "1.2.3", PageBytes: 16384})
	status, page := get(t, s, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, page)
	}
	got := values(t, page)
	for name, want := range map[string]float64{
		`ledger_thread_time_ns{state="parked",thread="net+apply"}`:         700,
		`ledger_thread_system_calls{thread="net+apply"}`:                   11,
		`ledger_thread_wakes{thread="net+apply"}`:                          12,
		`ledger_stage_busy_ns{stage="apply"}`:                              77,
		`ledger_stage_busy_ns{stage="compact-1"}`:                          78,
		`ledger_compact_merged_entries{worker="1"}`:                        13,
		`ledger_disk_bytes{kind="grid_write"}`:                             11,
		`ledger_ring_events{edge="net_to_consensus"}`:                      3,
		`ledger_ring_capacity_events{edge="net_to_consensus"}`:             64,
		`ledger_net_closed_connections{cause="slow"}`:                      5,
		`ledger_peer_replicas{peer="0",state="awaited"}`:                   1,
		`ledger_peer_replicas{peer="2",state="live"}`:                      1,
		`ledger_peer_dropped_messages{class="repair",peer="2"}`:            7,
		`ledger_cluster_role_info{role="backup"}`:                          1,
		`ledger_cluster_serving_replicas`:                                  0,
		`ledger_cluster_log_slots{state="faulty"}`:                         3,
		`ledger_cluster_clock_off_ns{direction="behind"}`:                  5,
		`ledger_cluster_peer_lag_ops{peer="2"}`:                            20,
		`ledger_cluster_peer_silent_ns{peer="2"}`:                          7,
		`ledger_peer_refused_connections`:                                  4,
		`ledger_consensus_evictions{reason="session_too_low"}`:             9,
		`ledger_memory_reserved_bytes{class="cache",purpose="grid cache"}`: 1 << 20,
		`ledger_disk_bytes{kind="apply_read"}`:                             4 * 16384,
		`ledger_slow_ops`:                                                  8,
		`ledger_slowest_part_ns{part="total"}`:                             130_000_000,
		`ledger_slowest_part_ns{part="write"}`:                             120_000_000,
		`ledger_slowest_part_ns{part="answer"}`:                            10_000_000,
		`ledger_slowest_beside_ns{activity="grid_sync"}`:                   110_000_000,
		`ledger_slowest_thread_ns{figure="wait_core",thread="compact"}`:    5_000_000,
		`ledger_slowest_thread_ns{figure="wait_core",thread="net+apply"}`:  0,
		`ledger_build_info{version="1.2.3"}`:                               1,
		`ledger_scrape_stale_threads`:                                      1,
		`ledger_ready_replicas`:                                            0,
		`ledger_request_service_ns_count`:                                  6,
		`ledger_request_service_ns_sum`:                                    1023 + 1024 + 1535 + 1536 + 1<<39,
		`ledger_request_service_ns_bucket{le="1023"}`:                      2,
		`ledger_request_service_ns_bucket{le="1535"}`:                      4,
		`ledger_request_service_ns_bucket{le="2047"}`:                      5,
		`ledger_request_service_ns_bucket{le="1.7179869183e+10"}`:          5,
		`ledger_request_service_ns_bucket{le="+Inf"}`:                      6,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", name, value, ok, want)
		}
	}
	for _, f := range families() {
		if !strings.Contains(page, fmt.Sprintf("# HELP %s %s (unit: %s).\n", f.name, f.help, f.unit)) {
			t.Errorf("%s has no help", f.name)
		}
	}
	if got[`ledger_process_resident_bytes`] < 1<<20 || got[`ledger_process_cpu_ns`] == 0 || got[`ledger_go_goroutines`] < 2 ||
		got[`ledger_go_heap_bytes`] == 0 {
		t.Errorf("figures of the process: %v resident, %v cpu, %v goroutines, %v heap", got[`ledger_process_resident_bytes`],
			got[`ledger_process_cpu_ns`], got[`ledger_go_goroutines`], got[`ledger_go_heap_bytes`])
	}
	if _, page := get(t, s, "/summary"); !strings.Contains(page, "slowest ops since the start (8 took 100ms or longer)") ||
		strings.Count(page, "  op 4711 (create_transfers, 3 events, 0 bytes) took 130.0 ms: write 120.0 ms answer 10.0 ms") != 2 ||
		!strings.Contains(page, "grid_sync 110.0 ms") || !strings.Contains(page, "thread compact ran 0.0 ms, waited for a core 5.0 ms") {
		t.Errorf("the slowest ops in the summary\n%s", page)
	}
	if status, page := get(t, s, "/summary"); status != http.StatusOK || !strings.Contains(page, "does not answer") ||
		!strings.Contains(page, "10.0 %") || !strings.Contains(page, "1.15µs") || !strings.Contains(page, "clients are not served") {
		t.Errorf("status %d, summary\n%s", status, page)
	}
}

// Goal: readiness follows the server, liveness does not; profiles and other methods only where they
// are allowed.
func TestPages(t *testing.T) {
	s := opened(t, &fake{answers: true}, Options{})
	expect := func(path string, want int) {
		t.Helper()
		if status, body := get(t, s, path); status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
	}
	expect("/healthz", 200)
	expect("/readyz", 503)
	s.SetReady(true)
	expect("/readyz", 200)
	if _, page := get(t, s, "/metrics"); values(t, page)["ledger_ready_replicas"] != 1 || values(t, page)["ledger_scrape_stale_threads"] != 0 {
		t.Error("the metrics do not say that the server is ready")
	}
	s.SetReady(false)
	expect("/readyz", 503)
	expect("/healthz", 200)
	expect("/", 200)
	expect("/nothing", 404)
	expect("/debug/pprof/", 404)
	if response, err := http.Post("http://"+s.Address()+"/metrics", "text/plain", nil); err != nil || response.StatusCode != 405 {
		t.Errorf("POST: %v, error %v", response, err)
	}
	s = opened(t, &fake{}, Options{Pprof: true})
	expect("/debug/pprof/", 200)
	expect("/debug/pprof/goroutine?debug=1", 200)
}

// Goal: a port that is taken is an error before anything runs; Close gives it back.
func TestListen(t *testing.T) {
	s, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	address := s.Address()
	if _, err := Listen(address, Options{}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second endpoint: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Listen(address, Options{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Goal: whatever is asked for again and again, or nothing, does not make the process grow, though
// the collector does not run by itself in a server: before garbage is twice what it may be, it is
// collected. The clients' own garbage counts here as well.
func TestGarbageIsBounded(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	heap := func() (bytes, collections uint64) {
		var p process
		p.take()
		return p.heapBytes, p.collections
	}
	starting := opened(t, nil, Options{})
	serving := opened(t, &fake{answers: true}, Options{})
	serving.SetReady(true)
	asks := map[string]func(){
		"a connection": func() {
			if conn, err := stdnet.Dial("tcp", serving.Address()); err != nil {
				t.Error(err)
			} else {
				_ = conn.Close()
			}
		},
		"no HTTP": func() {
			conn, err := stdnet.Dial("tcp", serving.Address())
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Write([]byte("what?\r\n\r\n"))
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		},
		"while it starts": func() { get(t, starting, "/readyz") },
	}
	for _, path := range []string{"/", "/metrics", "/summary", "/healthz", "/readyz", "/no/such/page"} {
		asks[path] = func() { get(t, serving, path) }
	}
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	asks["one connection"] = func() {
		response, err := client.Get("http://" + serving.Address() + "/healthz")
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	for what, ask := range asks {
		runtime.GC()
		live, began := heap()
		asked := 0
		for bytes, collections := live, began; collections == began; bytes, collections = heap() {
			if bytes > live+2*garbageBytesMax {
				t.Fatalf("%s: asked for %d times, a heap of %d MiB, of which %d were live, and no collection", what, asked, bytes>>20, live>>20)
			}
			if ask(); t.Failed() {
				return
			}
			asked++
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	s := opened(b, &fake{answers: true}, Options{})
	b.ReportAllocs()
	for b.Loop() {
		get(b, s, "/metrics")
	}
}

// Goal: /readyz says what a replica gets from others, whether or not it serves clients meanwhile.
func TestReadyTellsOfHealing(t *testing.T) {
	source := &fake{healing: "3 blocks are missing"}
	s := opened(t, source, Options{})
	s.SetReady(true)
	if status, body := get(t, s, "/readyz"); status != http.StatusOK || body != "clients are served\nhealing: 3 blocks are missing\n" {
		t.Errorf("status %d: %q", status, body)
	}
	why := "it is alone"
	source.away.Store(&why)
	if status, body := get(t, s, "/readyz"); status != http.StatusServiceUnavailable ||
		!strings.HasSuffix(body, "\nhealing: 3 blocks are missing\n") {
		t.Errorf("status %d: %q", status, body)
	}
}
