package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ledger/config"
	"ledger/replica"
)

// Goal: no endpoint unless it is asked for; a port that is taken ends a start, and is a warning to
// dev.
func TestListenMetrics(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	resolved := func(settings config.Settings) *config.Start {
		t.Helper()
		settings.Addresses = config.Flag("addresses", "3001")
		start, err := settings.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		return start
	}
	var printed bytes.Buffer
	s := &streams{err: &printed}
	if endpoint, err := listenMetrics(s, resolved(config.Settings{}), &replica.Progress{}, nil, nil); endpoint != nil || err != nil ||
		printed.Len() > 0 {
		t.Errorf("not asked for: %v, error %v, %s", endpoint, err, printed.String())
	}
	address := taken.Addr().String()
	start := resolved(config.Settings{MetricsAddress: config.Flag("metrics-address", address)})
	if _, err := listenMetrics(s, start, &replica.Progress{}, nil, nil); err == nil ||
		!strings.HasPrefix(err.Error(), "--metrics-address="+address+": ") {
		t.Errorf("a port that is taken: error %v", err)
	}
	start.MetricsOptional = true
	if endpoint, err := listenMetrics(s, start, &replica.Progress{}, nil, nil); endpoint != nil || err != nil ||
		!strings.HasPrefix(printed.String(), "warning: no metrics: ") {
		t.Errorf("a port that is taken, to dev: %v, error %v, %s", endpoint, err, printed.String())
	}
	taken.Close()
	printed.Reset()
	endpoint, err := listenMetrics(s, start, &replica.Progress{}, nil, nil)
	if err != nil || endpoint == nil || printed.String() != "metrics at http://"+address+"\n" {
		t.Fatalf("%v, error %v, %s", endpoint, err, printed.String())
	}
	endpoint.SetReady(true)
	if err := endpoint.Close(); err != nil {
		t.Error(err)
	}
	if err := endpoint.Close(); err != nil { // serve closes it twice on its ways out
		t.Error(err)
	}
}

// Goal: a server that was started with an endpoint tells about itself there, and ends as it would
// without.
func TestStartServesMetrics(t *testing.T) {
	address := freeAddress(t)
	s := harness(t, formatted(t), "--metrics-address="+address)
	get := func(path string) (status int, body string) {
		t.Helper()
		var response *http.Response
		var err error
		for deadline := time.Now().Add(endsWithin); ; time.Sleep(10 * time.Millisecond) {
			// The port is printed a moment before the pages are served, or readiness is known.
			response, err = http.Get("http://" + address + path)
			if err == nil && response.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if status, body := get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: status %d: %s", status, body)
	}
	if status, body := get("/metrics"); status != http.StatusOK || !strings.Contains(body, "\nledger_consensus_view 1\n") ||
		!strings.Contains(body, `ledger_build_info{version="`+version+`"} 1`) || !strings.Contains(body, "\nledger_scrape_stale_threads 0\n") {
		t.Errorf("/metrics: status %d: %s", status, body)
	}
	if status, _ := get("/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("profiles nobody asked for: status %d", status)
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, s.Cmd); status != exitDone {
		t.Errorf("status %d after SIGTERM: %s", status, s.stderr)
	}
}

// Goal: the endpoint is there before the data file is opened, and on a loopback address without a
// warning.
func TestEndpointComesFirst(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.data")
	status, _, stderr := ended(t, nil, "start", "--addresses=0", "--metrics-address="+freeAddress(t), missing)
	if status != exitRefused || !strings.Contains(stderr, "metrics at http://") || !strings.Contains(stderr, "none.data") ||
		strings.Contains(stderr, "warning: --metrics") {
		t.Errorf("status %d: %s", status, stderr)
	}
	want := "warning: --metrics-address=0.0.0.0:9464: other machines reach this address"
	if got := exposed(config.Address{Host: "0.0.0.0", Port: 9464}); !strings.HasPrefix(got, want) || !strings.Contains(got, "127.0.0.1:9464") {
		t.Errorf("%s, want %s", got, want)
	}
}

// freeAddress is an address of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}
