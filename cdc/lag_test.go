package cdc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/feed"
)

// held is a server with events of the timestamps 1 to count, at most perReply in a reply.
type held struct{ count, perReply uint64 }

func (h *held) fetch(_ context.Context, filter accounting.ChangeEventsFilter) (events []accounting.ChangeEvent, err error) {
	for at := filter.TimestampMin; at <= h.count && uint64(len(events)) < min(h.perReply, uint64(filter.Limit)); at++ {
		events = append(events, accounting.ChangeEvent{Timestamp: at})
	}
	return events, nil
}

// Goal: the lag is what was fetched and counted, and not written; it follows a job that goes back.
func TestLag(t *testing.T) {
	h := &held{count: 100, perReply: 10}
	l := NewLag(h.fetch, false)
	ctx, now := context.Background(), time.Unix(10, 0)
	check := func(what string, events, last uint64, oldest int64) {
		t.Helper()
		f := l.figures(now)
		wantLag := time.Duration(0)
		if oldest > 0 {
			wantLag = now.Sub(time.Unix(0, oldest))
		}
		if f.events != events || f.last != last || f.lag != wantLag {
			t.Errorf("%s: %d events, last %d, lag %v; want %d, %d, %v", what, f.events, f.last, f.lag, events, last, wantLag)
		}
	}
	fetch := func(after uint64) {
		t.Helper()
		if _, err := l.Fetch(ctx, accounting.ChangeEventsFilter{TimestampMin: after + 1, Limit: 10}); err != nil {
			t.Fatal(err)
		}
	}
	check("at the start", 0, 0, 0)
	if l.count(ctx) {
		t.Error("nothing is known to wait, and is counted")
	}
	fetch(0)
	check("after a fetch", 10, 0, 1)
	for range 3 {
		l.count(ctx)
	}
	check("counted", 40, 0, 1)
	l.Progress(feed.Result{Count: 10, Last: 10})
	check("written", 30, 10, 10)
	fetch(10)
	check("the next fetch", 30, 10, 11)
	for l.count(ctx) {
	}
	check("all counted", 90, 10, 11)
	l.Progress(feed.Result{Count: 20, Last: 20})
	fetch(15) // the sink has lost some
	check("gone back", 10, 15, 16)
	for last := uint64(25); last <= 100; last += 5 {
		l.Progress(feed.Result{Count: last, Last: last})
	}
	check("all written", 0, 100, 0)
	h.count = 101
	fetch(100)
	l.Progress(feed.Result{Count: 101, Last: 101})
	fetch(101)
	check("nothing more", 0, 101, 0)
}

// Goal: each metric is on the page, and in the manual with its help; the endpoint lives while the
// job does.
func TestMeter(t *testing.T) {
	manual, err := os.ReadFile("../docs/cdc.md")
	if err != nil {
		t.Fatal(err)
	}
	h := &held{count: 100, perReply: 10}
	l := NewLag(h.fetch, true)
	m := NewMeter(l)
	m.SetState(Writing)
	failing := feed.SinkOf[byte](sinkFunc(func() error { return errors.New("no") }))
	if err := Metered(m, failing).Write(nil, 0); err == nil {
		t.Error("an error is lost")
	}
	if _, err := l.Fetch(context.Background(), accounting.ChangeEventsFilter{TimestampMin: 1, Limit: 7}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(m.Pages())
	defer server.Close()
	page := func(path string) string {
		t.Helper()
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, error %v", path, response.Status, err)
		}
		return string(body)
	}
	body := page("/metrics")
	for i := range metrics {
		if !strings.Contains(body, "\n"+metrics[i].name+" ") && !strings.HasPrefix(body, metrics[i].name) {
			t.Errorf("%s is not in\n%s", metrics[i].name, body)
		}
		if !strings.Contains(string(manual), "| `"+metrics[i].name+"` | ") {
			t.Errorf("docs/cdc.md does not list %s", metrics[i].name)
		}
	}
	for _, want := range []string{"ledger_cdc_lag_events 7\n", "ledger_cdc_failed_writes 1\n", "ledger_cdc_writing_jobs 1\n",
		"ledger_cdc_standby_jobs 0\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
	if got := page("/healthz"); got != "the job runs\n" {
		t.Errorf("/healthz: %s", got)
	}
	checkPackaged(t, body)
}

// checkPackaged tests that the alerts and the dashboard name metrics of a page only, rates those of
// counters, and that the dashboard shows all of the page.
func checkPackaged(t *testing.T, page string) {
	t.Helper()
	names := regexp.MustCompile(`ledger_[a-z_]+`)
	rates := regexp.MustCompile(`(?:rate|increase)\((ledger_cdc_[a-z_]+)`)
	for _, file := range []struct {
		name, of string // metrics whose names begin with that are ours
		usesMin  int
	}{{"prometheus/alerts-cdc.yml", "ledger_", 5}, {"grafana/ledger.json", "ledger_cdc_", len(metrics)}} {
		text, err := os.ReadFile("../packaging/" + file.name)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, name := range names.FindAllString(string(text), -1) {
			if !strings.HasPrefix(name, file.of) {
				continue
			}
			used[name] = true
			if !strings.Contains(page, "# TYPE "+name+" ") {
				t.Errorf("%s names %s, which is not in /metrics", file.name, name)
			}
		}
		for _, match := range rates.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(page, "# TYPE "+match[1]+" counter") {
				t.Errorf("%s has a rate of %s, which is no counter", file.name, match[1])
			}
		}
		if len(used) < file.usesMin {
			t.Errorf("%s names %d metrics, want %d or more: %v", file.name, len(used), file.usesMin, used)
		}
	}
}

type sinkFunc func() error

func (s sinkFunc) Write([]byte, uint64) error { return s() }
