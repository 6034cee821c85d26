package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is longer than anything here takes; a test that needs it fails.
const patience = 20 * time.Second

// starting is the progress of a start.
type starting struct{ text atomic.Value }

func (s *starting) String() string { return s.text.Load().(string) }

// Goal: before there is a server to ask, the process is alive, and not ready with a reason that
// moves on; pages of figures say the same.
func TestPagesWhileStarting(t *testing.T) {
	progress := &starting{}
	progress.text.Store("the log is being executed again: 1 of 3 ops")
	s := opened(t, nil, Options{Progress: progress})
	expect := func(path string, want int, part string) {
		t.Helper()
		if status, body := get(t, s, path); status != want || !strings.Contains(body, part) {
			t.Errorf("%s: status %d, %q; want %d and %q", path, status, body, want, part)
		}
	}
	expect("/healthz", 200, "lives")
	for _, path := range []string{"/readyz", "/metrics", "/summary"} {
		expect(path, 503, "1 of 3 ops")
	}
	progress.text.Store("the log is being executed again: 2 of 3 ops")
	expect("/readyz", 503, "2 of 3 ops")
	s.SetReady(true) // comes from a stage thread, and may be earlier than Attach
	expect("/readyz", 200, "served")
	expect("/metrics", 503, "no figures yet")
	s.Attach(&fake{answers: true})
	expect("/metrics", 200, "ledger_ready_replicas 1")
	s.SetReady(false)
	expect("/readyz", 503, "stopping")
	expect("/metrics", 200, "ledger_ready_replicas 0")
}

// Goal: of a replica of a cluster, readiness follows what it tells once it has started: 503 with
// the reason while it is not in touch with a quorum, and 200 again.
func TestReadinessOfCluster(t *testing.T) {
	source := &fake{answers: true}
	progress := &starting{}
	progress.text.Store("the other replicas are awaited")
	s := opened(t, source, Options{Progress: progress})
	expect := func(want int, part string, isReady string) {
		t.Helper()
		if status, body := get(t, s, "/readyz"); status != want || !strings.Contains(body, part) {
			t.Errorf("status %d, %q; want %d and %q", status, body, want, part)
		}
		if _, body := get(t, s, "/metrics"); !strings.Contains(body, "ledger_ready_replicas "+isReady) {
			t.Errorf("the metrics do not say %s", isReady)
		}
	}
	away := "too few other replicas are heard"
	source.away.Store(&away)
	expect(503, "not served: the other replicas are awaited", "0")
	s.SetReady(true)
	expect(503, "not served: too few other replicas are heard", "0")
	source.away.Store(nil)
	expect(200, "served", "1")
	source.away.Store(&away)
	expect(503, "not served: too few", "0")
	s.SetReady(false)
	expect(503, "stopping", "0")
}

// dialed connects to an endpoint and sends it text.
func dialed(t *testing.T, s *Server, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the endpoint may have closed it for a newer one
	return conn
}

// isClosed waits until the endpoint has closed conn.
func isClosed(conn net.Conn) bool {
	_, err := io.Copy(io.Discard, conn)
	timeout, ok := err.(net.Error)
	return !ok || !timeout.Timeout()
}

// Goal: 400 readers of /metrics that do not read hold no more than connectionsMax descriptors; the
// oldest are closed for the newest, and a probe is answered all the while.
func TestConnectionsAreBounded(t *testing.T) {
	const readersCount = 400
	s := opened(t, &fake{answers: true}, Options{})
	var readers []net.Conn
	for range readersCount {
		readers = append(readers, dialed(t, s, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	if status, _ := get(t, s, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: status %d behind %d readers", status, readersCount)
	}
	// The probe was accepted last, so that by now as many were closed as there were too many.
	held, closedCount := s.listener.held()
	if held > connectionsMax || closedCount == 0 {
		t.Errorf("%d connections are held, %d were closed for newer ones; want at most %d, and some", held, closedCount, connectionsMax)
	}
	for i, reader := range readers[:readersCount+1-connectionsMax] {
		if !isClosed(reader) {
			t.Fatalf("connection %d is still open", i)
		}
	}
}

// Goal: a connection that sends no whole request, asks for nothing more, or does not read what it
// asked for, is closed in time.
func TestConnectionsTimeOut(t *testing.T) {
	s, err := listen("127.0.0.1:0", Options{}, &http.Server{ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond,
		IdleTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Attach(&fake{answers: true})
	for name, text := range map[string]string{"silent": "", "half a request": "GET /healthz HTTP/1.1\r\nHo",
		"idle": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
		if !isClosed(dialed(t, s, text)) {
			t.Errorf("%s: still open", name)
		}
	}
	// Requests one behind the other, without reading, until the buffers of the kernel are full and the
	// endpoint gives up on us. It reads them only as far as it has written the answers, so that some
	// of them find no room: a write that fails is the event.
	conn := dialed(t, s, "")
	for {
		if _, err := io.WriteString(conn, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 100)); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("a connection whose answers nobody reads stays open")
			}
			break
		}
	}
}

// Goal: the bounds are in force for what Listen opens, and a profile may still take longer than a
// page.
func TestListenIsBounded(t *testing.T) {
	s := opened(t, &fake{answers: true}, Options{Pprof: true})
	if s.http.ReadTimeout == 0 || s.http.WriteTimeout == 0 || s.http.IdleTimeout == 0 || s.http.MaxHeaderBytes == 0 {
		t.Errorf("%+v", s.http)
	}
	conn := dialed(t, s, fmt.Sprintf("GET /debug/pprof/trace?seconds=0.01 HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n",
		strings.Repeat("x", 2*headerBytesMax)))
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil ||
		response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of %d KiB: %v, error %v", 2*headerBytesMax>>10, response, err)
	}
	if status, body := get(t, s, "/debug/pprof/trace?seconds=0.01"); status != http.StatusOK {
		t.Errorf("a trace: status %d: %s", status, body)
	}
}

// Goal: only an address of this machine is called one.
func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": false, "::": false,
		"10.0.0.1": false} {
		if got := isLoopback(&net.TCPAddr{IP: net.ParseIP(address), Port: 9464}); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
