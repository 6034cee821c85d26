package admin

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/affinity"
	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
	"ledger/storage/datafile"
)

// live runs a server of threads stage threads, with a log so short that checkpoints come soon.
func live(t testing.TB, kind replica.IOKind, fused bool) (server *replica.Server, address string) {
	t.Helper()
	l := limits.Development()
	l.JournalSlotsCount, l.CacheGridBytes, l.CacheAccountsMax = 256, 32<<20, 1<<16
	path := filepath.Join(t.TempDir(), "0.data")
	file, err := posix.OpenDataFile(path, posix.OpenOptions{Create: true, DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	defer memory.Close()
	if err := datafile.Format(file, &l, &datafile.FormatOptions{ReplicasCount: 1, Incarnation: 1},
		memory.Bytes(uint64(l.MessageBytesMax), 4096, "format")); err != nil {
		t.Fatal(err)
	}
	plan := &affinity.Plan{Node: affinity.NodeUnknown}
	if fused {
		plan.Threads = []affinity.Thread{{Stages: []affinity.Stage{affinity.Net, affinity.Consensus, affinity.Journal, affinity.Apply}},
			{Stages: []affinity.Stage{affinity.Compact}}}
	} else {
		for stage := range affinity.Stage(affinity.StagesCount) {
			plan.Threads = append(plan.Threads, affinity.Thread{Stages: []affinity.Stage{stage}, SpinNs: 20_000})
		}
	}
	server, err = replica.NewServer(file, l, plan, replica.ServerOptions{IO: kind})
	if err != nil {
		t.Fatal(err)
	}
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		unix.Close(fd)
		file.Close()
	})
	ready := make(chan struct{})
	err = server.Run(fd, replica.Callbacks{
		Ready: func() { close(ready) },
		Ended: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	return server, fmt.Sprintf("127.0.0.1:%d", port)
}

// Goal: scraping a server under load, from two sides at once, disturbs neither it nor the figures:
// counters never fall, all threads answer, and at the end the figures are what the clients did.
// With stages on one thread and on five. Meant for -race as well.
func TestScrapeUnderLoad(t *testing.T) {
	for name, kind := range map[string]replica.IOKind{"uring": replica.IOUring, "posix": replica.IOPosix} {
		for _, fused := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/fused=%v", name, fused), func(t *testing.T) { scrapeUnderLoad(t, kind, fused) })
		}
	}
}

func scrapeUnderLoad(t *testing.T, kind replica.IOKind, fused bool) {
	server, address := live(t, kind, fused)
	s := opened(t, server, Options{Version: "test", PageBytes: 16384})
	s.SetReady(true)
	startedAt := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	const clientsCount, perBatch = 3, 20
	var group, scrapers sync.WaitGroup
	var requests, transfers, pages atomic.Uint64
	var stop atomic.Bool
	for index := range uint64(clientsCount) {
		group.Go(func() {
			c, err := client.New(ctx, client.Options{Addresses: []string{address}})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			base := index << 32
			accounts := []client.Account{{ID: client.U128{Lo: base + 1}, Ledger: 1, Code: 1}, {ID: client.U128{Lo: base + 2}, Ledger: 1, Code: 1}}
			if _, err := c.CreateAccounts(ctx, accounts); err != nil {
				t.Error(err)
				return
			}
			requests.Add(2) // the register is one
			batch := make([]client.Transfer, perBatch)
			for n := uint64(1); !stop.Load(); n += perBatch {
				for i := range batch {
					batch[i] = client.Transfer{ID: client.U128{Lo: base + n + uint64(i)}, DebitAccountID: accounts[0].ID, CreditAccountID: accounts[1].ID,
						Amount: client.U128{Lo: 1}, Ledger: 1, Code: 1}
				}
				if _, err := c.CreateTransfers(ctx, batch); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.LookupAccounts(ctx, []client.U128{accounts[0].ID}); err != nil {
					t.Error(err)
					return
				}
				requests.Add(2)
				transfers.Add(perBatch)
			}
		})
	}
	counters := map[string]bool{}
	for _, f := range families() {
		counters[f.name] = f.distributions == nil && f.kind == counter
	}
	for _, path := range []string{"/metrics", "/summary"} {
		scrapers.Go(func() {
			last := map[string]float64{}
			for !stop.Load() {
				status, page := get(t, s, path)
				pages.Add(1)
				if status != 200 {
					t.Errorf("%s: status %d: %s", path, status, page)
					return
				}
				if path != "/metrics" {
					continue
				}
				now := values(t, page)
				for name, value := range last {
					if family, _, _ := cutLabels(name); counters[family] && now[name] < value {
						t.Errorf("%s fell from %v to %v", name, value, now[name])
					}
				}
				last = now
			}
		})
	}
	// Until there was something to see from both sides.
	for requests.Load() < 100*clientsCount || pages.Load() < 40 {
		if t.Failed() || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
	scrapers.Wait()

	_, page := get(t, s, "/metrics")
	got := values(t, page)
	elapsedNs := float64(time.Since(startedAt))
	done := float64(requests.Load())
	if got["ledger_state_transfers"] != float64(transfers.Load()) || transfers.Load() == 0 {
		t.Errorf("%v transfers, the clients made %d", got["ledger_state_transfers"], transfers.Load())
	}
	for _, name := range []string{"ledger_request_service_ns_count", "ledger_request_queue_ns_count", "ledger_prepare_requests_sum"} {
		if got[name] != done {
			t.Errorf("%s is %v, the clients made %v requests", name, got[name], done)
		}
	}
	if got["ledger_state_accounts"] != 2*clientsCount || got["ledger_consensus_open_sessions"] != clientsCount {
		t.Errorf("%v accounts, %v sessions of %d clients", got["ledger_state_accounts"], got["ledger_consensus_open_sessions"], clientsCount)
	}
	if mean := got["ledger_request_service_ns_sum"] / done; mean < 10_000 || mean > elapsedNs*clientsCount/done {
		t.Errorf("a request took %v ns, of %v requests in %v ns", mean, done, elapsedNs)
	}
	if got["ledger_journal_write_ns_count"] < got["ledger_consensus_commit_op"]-1 || got["ledger_journal_write_ns_sum"] > elapsedNs {
		t.Errorf("%v log writes in %v ns, up to op %v", got["ledger_journal_write_ns_count"], got["ledger_journal_write_ns_sum"],
			got["ledger_consensus_commit_op"])
	}
	if count := got[`ledger_apply_execute_ns_count{class="create_transfers"}`]; count != float64(transfers.Load()/perBatch) ||
		got[`ledger_apply_execute_ns_sum{class="create_transfers"}`] == 0 {
		t.Errorf("%v batches executed in %v ns", count, got[`ledger_apply_execute_ns_sum{class="create_transfers"}`])
	}
	if got["ledger_scrape_stale_threads"] != 0 {
		t.Error("a thread does not answer")
	}
	if ops := got["ledger_apply_executed_ops"]; got["ledger_apply_queue_ns_count"] != ops {
		t.Errorf("%v of %v ops waited for apply", got["ledger_apply_queue_ns_count"], ops)
	}
	if received := got["ledger_net_receive_ns_count"]; received < done || received != got["ledger_net_delivered_messages"] {
		t.Errorf("%v messages took their time to arrive, the clients made %v", received, done)
	}
	if sent := got["ledger_net_send_ns_count"]; sent < done-clientsCount { // a client may have its answer before we know that it was sent
		t.Errorf("%v messages took their time to be sent, the clients had %v answers", sent, done)
	}
	for i := range s.collector.snapshot.Edges {
		// With few requests nothing is compacted.
		if e := &s.collector.snapshot.Edges[i]; e.CountMax > e.Capacity || e.CountMax == 0 && !strings.Contains(e.Name, "compact") {
			t.Errorf("ring %s had at most %d of %d events", e.Name, e.CountMax, e.Capacity)
		}
	}
	if runs := sumOf(got, "ledger_compact_runs"); runs == 0 && got["ledger_consensus_checkpoint_op"] > 0 {
		t.Error("a checkpoint left no run")
	}
	if tables, all := sumOf(got, "ledger_compact_written_bytes"), got[`ledger_disk_bytes{kind="grid_write"}`]; tables > all || tables == 0 &&
		got["ledger_consensus_checkpoint_op"] > 0 {
		t.Errorf("%v bytes of tables written, of %v in all", tables, all)
	}
	if bars := got["ledger_apply_executed_op"] / 32; got[`ledger_apply_barrier_ns_count{barrier="generation"}`] < bars-2 {
		t.Errorf("%v waits at the end of %v bars", got[`ledger_apply_barrier_ns_count{barrier="generation"}`], bars)
	}
	if got["ledger_consensus_checkpoint_op"] > 0 && (got["ledger_checkpoint_ns_count"] == 0 ||
		got["ledger_journal_superblock_ns_count"] == 0 || got["ledger_checkpoint_sync_ns_count"] == 0) {
		t.Error("a checkpoint was not measured")
	}
	// A thread's time is all accounted for, up to the turn under way.
	for i := range s.collector.snapshot.Threads {
		name := s.collector.snapshot.Threads[i].Name
		sum := float64(0)
		for _, state := range []string{"stepping", "spinning", "parked"} {
			sum += got[fmt.Sprintf(`ledger_thread_time_ns{state="%s",thread="%s"}`, state, name)]
		}
		if sum < 0.5*elapsedNs || sum > 1.5*elapsedNs+2e9 {
			t.Errorf("thread %s: %v ns of %v", name, sum, elapsedNs)
		}
	}
	t.Logf("%v requests, %v prepares, checkpoint %v, scrape waited %v ns", done, got["ledger_consensus_prepared_ops"],
		got["ledger_consensus_checkpoint_op"], got["ledger_scrape_wait_ns"])
}

// sumOf adds the numbers of one family.
func sumOf(values map[string]float64, name string) (sum float64) {
	for line, value := range values {
		if family, _, _ := cutLabels(line); family == name {
			sum += value
		}
	}
	return sum
}

func cutLabels(name string) (family, labels string, ok bool) {
	for i := range name {
		if name[i] == '{' {
			return name[:i], name[i:], true
		}
	}
	return name, "", false
}

// Goal: a server that has stopped is shown as it was last seen, and the page comes all the same.
func TestScrapeAfterStop(t *testing.T) {
	server, _ := live(t, replica.IOPosix, true)
	s := opened(t, server, Options{})
	if _, page := get(t, s, "/metrics"); values(t, page)["ledger_scrape_stale_threads"] != 0 {
		t.Error("a thread does not answer")
	}
	server.Stop()
	// Stop does not wait for the threads, so that some may answer once more.
	for deadline := time.Now().Add(30 * time.Second); ; {
		status, page := get(t, s, "/metrics")
		got := values(t, page)
		if status == 200 && got["ledger_scrape_stale_threads"] == 2 && got["ledger_consensus_view"] != 0 {
			break
		}
		if status != 200 || time.Now().After(deadline) {
			t.Fatalf("status %d, %v stale threads, view %v", status, got["ledger_scrape_stale_threads"], got["ledger_consensus_view"])
		}
	}
}
