package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"ledger/client"
	"ledger/client/clienttest"
)

func startServer(t *testing.T, options clienttest.Options) *clienttest.Server {
	t.Helper()
	server, err := clienttest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// small is a load of some milliseconds.
func small(addresses []string) Options {
	o := DefaultOptions()
	o.Addresses, o.AccountCount, o.TransferCount, o.TransferBatchCount, o.AccountBatchCount, o.QueryCount = addresses, 100, 5000, 300, 30, 10
	return o
}

// Goal: every kind of load runs to its end, counts what it did, and finds its own content again.
func TestRun(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"defaults":   func(*Options) {},
		"sequential": func(o *Options) { o.IDOrder, o.Validate = IDOrderSequential, true },
		"random":     func(o *Options) { o.IDOrder, o.Validate, o.ClientsCount = IDOrderRandom, true, 5 },
		"reversed":   func(o *Options) { o.IDOrder, o.Validate, o.BuildAhead = IDOrderReversed, true, true },
		"imported":   func(o *Options) { o.IDOrder, o.Validate, o.FlagImported = IDOrderSequential, true, true },
		"pending":    func(o *Options) { o.TransferPending, o.ClientsCount, o.FlagHistory = true, 3, false },
		"zipfian": func(o *Options) {
			o.AccountDistribution, o.AccountCountHot, o.TransferHotPercent = DistributionZipfian, 7, 50
		},
		"all hot":   func(o *Options) { o.AccountCountHot = o.AccountCount },
		"open loop": func(o *Options) { o.TransferRate, o.ClientsCount = 100_000, 4 },
		"delay":     func(o *Options) { o.TransferBatchDelay = time.Millisecond },
		"many": func(o *Options) {
			o.ClientsCount, o.TransferBatchCount, o.TransferCount, o.BuildAhead = 32, 1, 500, true
		},
		"no queries":  func(o *Options) { o.QueryCount = 0 },
		"no transfer": func(o *Options) { o.TransferCount = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := small(startServer(t, clienttest.Options{}).Addresses())
			change(&o)
			r, err := Run(context.Background(), o, NewProgress(new(bytes.Buffer)))
			if err != nil {
				t.Fatal(err)
			}
			batches := (o.TransferCount + uint64(o.TransferBatchCount) - 1) / uint64(o.TransferBatchCount)
			if s := r.Transfers; s.EventsCount != o.TransferCount || s.RequestsCount != batches || s.Latency.Count != int64(batches) {
				t.Errorf("%d transfers in %d requests, %d latencies; want %d in %d", s.EventsCount, s.RequestsCount, s.Latency.Count, o.TransferCount,
					batches)
			}
			eventsCount := uint64(0)
			for _, point := range r.Transfers.Timeline {
				eventsCount += point.EventsCount
			}
			if eventsCount != o.TransferCount {
				t.Errorf("%d transfers on the timeline, want %d", eventsCount, o.TransferCount)
			}
			if (r.Queries != nil) != (o.QueryCount > 0) || (r.Validated != nil) != o.Validate ||
				(r.Transfers.Service != nil) != (o.TransferRate > 0) {
				t.Error("the result has other stages than asked for")
			}
		})
	}
}

// Goal: what the server refuses ends the load with an error that says what and why; so does a wrong
// content.
func TestRunFails(t *testing.T) {
	server := startServer(t, clienttest.Options{})
	o := small(server.Addresses())
	o.IDOrder = IDOrderSequential
	if _, err := Run(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
	o.Seed++
	if _, err := Run(context.Background(), o, nil); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("error %v for ids that exist, want one that says so", err)
	}
	l := &load{plan: newPlan(o)}
	o.ClientsCount = 2
	defer l.close()
	if err := l.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	sums := newBalances(&l.plan)
	for _, s := range []*stage{l.validateAccountsStage(sums), l.validateTransfersStage(sums)} {
		if _, err := l.run(context.Background(), s); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: error %v for another content, want one that names it", s.name, err)
		}
	}
	o = small(startServer(t, clienttest.Options{RequestBytesMax: 32 << 10}).Addresses())
	if _, err := Run(context.Background(), o, nil); err == nil || !strings.Contains(err.Error(), "253") {
		t.Errorf("error %v for batches above the server's limit, want one that names it", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	late := 0
	o.Addresses, o.Late, o.LateAfter = []string{"127.0.0.1:1"}, func() { late++ }, 10*time.Millisecond
	if _, err := Run(ctx, o, nil); err == nil || late != 1 {
		t.Errorf("error %v without a server, said %d times that there is none", err, late)
	}
}

// Goal: of many clients, of which one meets an error and ends the others, the error is reported,
// not that the others were ended.
func TestRunReportsTheCause(t *testing.T) {
	o := small(startServer(t, clienttest.Options{ServiceTime: time.Millisecond}).Addresses())
	o.ClientsCount = 8
	l := &load{plan: newPlan(o)}
	defer l.close()
	if err := l.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := l.accountsStage()
	check := s.check
	s.check = func(w *worker, batch, first, count uint64, results []byte) error {
		if w == l.workers[7] {
			return errors.New("the last client is out of luck")
		}
		return check(w, batch, first, count, results)
	}
	s.batch = 1
	if _, err := l.run(context.Background(), s); err == nil ||
		!strings.Contains(err.Error(), "client 8 of 8: the last client is out of luck") {
		t.Errorf("error %v", err)
	}
}

// Goal: validation finds a transfer that is missing, and a balance that is not what the transfers
// add up to.
func TestValidateFinds(t *testing.T) {
	ctx := context.Background()
	for name, pending := range map[string]bool{"posted": false, "with pending ones": true} {
		server := startServer(t, clienttest.Options{})
		o := small(server.Addresses())
		o.IDOrder, o.TransferPending, o.Validate = IDOrderRandom, pending, true
		if _, err := Run(ctx, o, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		validate := func(o Options) error {
			l := &load{plan: newPlan(o)}
			defer l.close()
			if err := l.open(ctx); err != nil {
				t.Fatal(err)
			}
			sums := newBalances(&l.plan)
			for _, s := range []*stage{l.validateTransfersStage(sums), l.validateAccountsStage(sums)} {
				if _, err := l.run(ctx, s); err != nil {
					return err
				}
			}
			return nil
		}
		if err := validate(o); err != nil {
			t.Errorf("%s: what is right is not found right: %v", name, err)
		}
		more := o
		more.TransferCount++
		if err := validate(more); err == nil || !strings.Contains(err.Error(), "results for") {
			t.Errorf("%s: error %v where a transfer is missing", name, err)
		}
		// A transfer that nobody asked for: each of ours is as it was, two balances are not.
		p := newPlan(o)
		c, err := client.New(ctx, client.Options{Addresses: server.Addresses()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.CreateTransfers(ctx, []client.Transfer{{ID: client.U128{Lo: 1}, DebitAccountID: p.accountID(3),
			CreditAccountID: p.accountID(4), Amount: client.U128{Lo: 1}, Ledger: ledgerNumber, Code: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(o); err == nil || !strings.Contains(err.Error(), "account 3 has debits_posted") {
			t.Errorf("%s: error %v for a balance that is wrong, want one that names it", name, err)
		}
	}
}

// Goal: options that cannot be are refused by name.
func TestOptionsCheck(t *testing.T) {
	for flag, change := range map[string]func(*Options){
		"account-count":        func(o *Options) { o.AccountCount = 1 },
		"account-count-hot":    func(o *Options) { o.AccountCountHot = o.AccountCount + 1 },
		"account-batch-count":  func(o *Options) { o.AccountBatchCount = 8190 },
		"transfer-batch-count": func(o *Options) { o.TransferBatchCount = 0 },
		"transfer-hot-percent": func(o *Options) { o.TransferHotPercent = 101 },
		"transfer-rate":        func(o *Options) { o.TransferRate = -1 },
		"transfer-batch-delay": func(o *Options) { o.TransferRate, o.TransferBatchDelay = 1, 1 },
		"interval":             func(o *Options) { o.Interval = 0 },
		"clients":              func(o *Options) { o.FlagImported, o.ClientsCount = true, 2 },
		"transfer-pending":     func(o *Options) { o.FlagImported, o.TransferPending = true, true },
		"validate":             func(o *Options) { o.Validate = true },
		"id-order":             func(o *Options) { o.IDOrder = "odd" },
		"account-distribution": func(o *Options) { o.AccountDistribution = "odd" },
		"workload":             func(o *Options) { o.Workload = "odd" },
		"readers":              func(o *Options) { o.ClientsCount, o.ReadersCount = 1000, 25 },
		"callers":              func(o *Options) { o.CallersCount = 2 },
		"call-rate":            func(o *Options) { o.CallRate = 5 },
		"call-count":           func(o *Options) { o.Workload, o.CallCount = WorkloadPayments, 0 },
		"build-ahead":          func(o *Options) { o.Workload, o.BuildAhead = WorkloadPayments, true },
		"imported":             func(o *Options) { o.Workload, o.FlagImported = WorkloadPayments, true },
	} {
		o := DefaultOptions()
		change(&o)
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+"=") {
			t.Errorf("error %v, want one of --%s", err, flag)
		}
	}
	o := DefaultOptions()
	if err := o.Check(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// Goal: latencies and timelines of several clients add up; a stall counts for each batch it held
// up, in the open loop's latency only.
func TestRecorder(t *testing.T) {
	total := &counts{}
	shown := 0
	together := &intervals{period: 400 * time.Millisecond, memory: func() int64 { return 5 << 20 }, ended: func(*Interval) { shown++ }}
	one, other := newRecorder(true, total, together), newRecorder(true, total, together)
	other.record(50*time.Millisecond, time.Millisecond, time.Millisecond, 1, false) // warming up
	for i := range 100 {
		// Due every 10 ms, all answered at 1 s: the server stood still, and then answered each at once.
		due := time.Duration(i) * 10 * time.Millisecond
		one.record(time.Second, time.Second-due, time.Millisecond, 7, true)
	}
	one.merge(other)
	s := one.stage(1050 * time.Millisecond)
	if s.RequestsCount != 101 || s.EventsCount != 701 || s.Latency.Count != 100 {
		t.Fatalf("%d requests, %d events, %d latencies", s.RequestsCount, s.EventsCount, s.Latency.Count)
	}
	near := func(ns int64, want time.Duration) bool { return ns >= int64(want) && ns < int64(want)*1002/1000 }
	if !near(s.Latency.At(50), 500*time.Millisecond) || !near(s.Latency.At(99), 990*time.Millisecond) || !near(s.Latency.MaxNs, time.Second) {
		t.Errorf("latencies %+v", s.Latency.Percentiles)
	}
	if !near(s.Service.At(100), time.Millisecond) {
		t.Errorf("service times %+v", s.Service.Percentiles)
	}
	if len(s.Timeline) != 11 || s.Timeline[0].EventsCount != 1 || s.Timeline[10].EventsCount != 700 || s.Timeline[10].PeriodNs != 50e6 {
		t.Errorf("timeline %+v", s.Timeline)
	}
	if len(s.Intervals) != 3 || shown != 2 {
		t.Fatalf("%d intervals, %d shown when they ended; want 3, 2", len(s.Intervals), shown)
	}
	first, stalled, last := &s.Intervals[0], &s.Intervals[1], &s.Intervals[2]
	if first.EventsCount != 1 || first.MemoryBytes != 5<<20 || stalled.RequestsCount != 0 || stalled.PeriodNs != 400e6 ||
		last.AtNs != 800e6 || last.PeriodNs != 250e6 || last.EventsCount != 700 || last.RatePerSecond != 2800 || last.MemoryBytes != 5<<20 {
		t.Errorf("intervals %+v", s.Intervals)
	}
	if !near(last.Percentiles[0].Ns, 500*time.Millisecond) || !near(last.Percentiles[3].Ns, time.Second) {
		t.Errorf("latencies of the last interval %+v", last.Percentiles)
	}
	for i, p := range s.Latency.Curve[1:] {
		if before := s.Latency.Curve[i]; p.Percent <= before.Percent || p.Ns < before.Ns {
			t.Errorf("the curve falls from %+v to %+v", before, p)
		}
	}
}

// Goal: the report in its three forms: lines that the reference's readers find, JSON that reads
// back, a page of its own.
func TestReports(t *testing.T) {
	o := small(startServer(t, clienttest.Options{}).Addresses())
	o.TransferRate = 1e6
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Server, r.Summary = &ServerResult{MemoryBytesMax: 1 << 30}, "stage <apply> busy"
	r.Checksum = MeasureChecksum()
	var text, page, data bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		`(?m)^17 batches in \d+\.\d\d s$`, `(?m)^load accepted = (\d+) tx/s$`, `(?m)^transfer batch size = 300 txs$`,
		`batch latency p50\s*=\s*(\d+) ms`, `batch latency p99\s*=\s*(\d+) ms`, `batch latency p99\.99\s*=\s*(\d+) ms`,
		`batch latency p100\s*=\s*(\d+) ms`, `query latency p100\s*=\s*(\d+) ms`, `(?m)^10 queries in \d+\.\d s$`, `(?m)^rss = \d+ bytes$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text.String()) {
			t.Errorf("no line like %s in\n%s", pattern, text.String())
		}
	}
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || back.Transfers.Latency.MaxNs != r.Transfers.Latency.MaxNs {
		t.Errorf("read back: %v, %+v", err, back.Transfers)
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	for _, forbidden := range []string{"<script", "http:", "https:", "NaN", "ZgotmplZ", "Inf"} {
		if strings.Contains(html, forbidden) {
			t.Errorf("the page has %q", forbidden)
		}
	}
	if !strings.Contains(html, "stage &lt;apply&gt; busy") {
		t.Error("the page lacks the server's figures")
	}
	if got := strings.Count(html, "<svg"); got != 3 {
		t.Errorf("%d plots, want 3", got)
	}
	// Each has its lines, and each line something to see: this load is over within one step of the
	// timeline.
	for i, svg := range strings.Split(html, "<svg")[1:] {
		lines := regexp.MustCompile(`<path class="line\d" d="(M[^"]*)"/><path`).FindAllStringSubmatch(svg, -1)
		if len(lines) == 0 {
			t.Errorf("plot %d has no line", i)
		}
		for _, found := range lines {
			if !strings.ContainsAny(found[1], "Lh") {
				t.Errorf("plot %d has a line that nobody sees: %s", i, found[1])
			}
		}
	}
	// A run of several intervals shows them.
	r.Transfers.Intervals = append(r.Transfers.Intervals, r.Transfers.Intervals[0])
	page.Reset()
	text.Reset()
	if err := errors.Join(r.WriteHTML(&page), r.WriteText(&text)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "Over time") || strings.Count(page.String(), "<svg") != 4 {
		t.Error("the page lacks the intervals")
	}
	if got := regexp.MustCompile(`(?m)^ +0s .* tx/s .* p50 .* p99\.9 .* p100 `).FindAllString(text.String(), -1); len(got) != 2 {
		t.Errorf("the intervals have %d lines in\n%s", len(got), text.String())
	}
	// A load without transfers or queries has a report as well.
	if err := (&Result{Transfers: &Stage{}, Accounts: &Stage{}}).WriteHTML(&page); err != nil || strings.Contains(page.String(), "NaN") {
		t.Errorf("the page of an empty result: %v", err)
	}
}

// Goal: the server's figures are fetched, and what does not answer with them is an error that names
// it.
func TestFetchSummary(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/summary" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte("all is well"))
	}))
	address := strings.TrimPrefix(endpoint.URL, "http://")
	if text, err := FetchSummary(context.Background(), address); err != nil || text != "all is well" {
		t.Errorf("%q, error %v", text, err)
	}
	if _, err := FetchSummary(context.Background(), address+"/other"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v, want the status", err)
	}
	endpoint.Close()
	if _, err := FetchSummary(context.Background(), address); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("error %v without an endpoint, want its address", err)
	}
}

// Goal: thousands are set apart, and steps of a long timeline keep its sums.
func TestDisplay(t *testing.T) {
	for number, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(number); got != want {
			t.Errorf("%d is shown as %q, want %q", number, got, want)
		}
	}
	timeline := make([]Point, 1001)
	for i := range timeline {
		timeline[i] = Point{AtNs: int64(i), PeriodNs: 1, EventsCount: 3, RequestsCount: 1, LatencyMeanNs: 5, LatencyMaxNs: int64(i)}
	}
	joined, eventsCount := steps(timeline), uint64(0)
	for _, p := range joined {
		eventsCount += p.EventsCount
		if p.LatencyMeanNs != 5 {
			t.Fatalf("mean %d, want 5", p.LatencyMeanNs)
		}
	}
	if len(joined) > pointsMax || eventsCount != 3003 || joined[len(joined)-1].LatencyMaxNs != 1000 {
		t.Errorf("%d points with %d events", len(joined), eventsCount)
	}
}
