package admin

import (
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"ledger/events"
	"ledger/metrics"
	"ledger/replica"
)

// agent receives packets.
type agent struct {
	t    *testing.T
	conn *net.UDPConn
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &agent{t, conn}
}

// lines until one begins with last.
func (a *agent) lines(last string) (lines []string) {
	a.t.Helper()
	if err := a.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		a.t.Fatal(err)
	}
	for packet := make([]byte, 1<<16); ; {
		count, err := a.conn.Read(packet)
		if err != nil {
			a.t.Fatalf("no line %q: %v\n%s", last, err, strings.Join(lines, "\n"))
		}
		if count > statsdBytesMax {
			a.t.Errorf("a packet of %d bytes", count)
		}
		for line := range strings.Lines(string(packet[:count])) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
		if strings.HasPrefix(lines[len(lines)-1], last) {
			return lines
		}
	}
}

// growing is a source whose requests are two more at each look.
type growing struct {
	withClients
	looks   uint64
	service metrics.Histogram
}

func (g *growing) Sample(out *replica.Sample, timeout time.Duration) {
	g.withClients.Sample(out, timeout)
	g.looks++
	g.service.Record(3_000_000 * g.looks)
	g.service.Record(5_000_000 * g.looks)
	out.Consensus.ServiceNs = g.service
}

// Goal: an agent gets the reference's figures by their names, with its tags and types, and all of
// ours; timings are those since the last emission; packets fit a frame.
func TestStatsd(t *testing.T) {
	figures, to := NewFigures("1.2.3", 16384), newAgent(t)
	figures.Attach(&growing{})
	s := newStatsd(to.conn.LocalAddr().String(), figures)
	defer s.Close()
	s.emit()
	first := to.lines("ledger_build_info:")
	valid := regexp.MustCompile(`^(tb\.[a-z_]+(\.(min|max|avg|sum|count))?|ledger_[a-z_]+):[0-9]+\|[gc]\|` +
		`#cluster:[0-9a-f]{32},replica:[0-5](,[a-z_]+:[^,|]*)*$`)
	has := func(lines []string, want string) {
		t.Helper()
		for _, line := range lines {
			if strings.HasPrefix(line, want) {
				return
			}
		}
		t.Errorf("no line begins with %q", want)
	}
	for _, line := range first {
		if !valid.MatchString(line) {
			t.Errorf("%q", line)
		}
	}
	const tags = "|#cluster:00000000000000000000000000000007,replica:0"
	has(first, "tb.replica_status:0|g"+tags)
	has(first, "tb.replica_request_us.count:2|c"+tags)
	has(first, "tb.replica_request_us.sum:8000|c"+tags)
	has(first, "tb.replica_request_us.avg:4000|g"+tags)
	has(first, "ledger_limit_sessions:64|g"+tags)
	has(first, "ledger_peer_replicas:1|g"+tags+",peer:0,state:")
	s.emit()
	second := to.lines("ledger_build_info:")
	has(second, "tb.replica_request_us.count:2|c"+tags)
	has(second, "tb.replica_request_us.sum:16000|c"+tags)
	for _, line := range second {
		if strings.HasPrefix(line, "tb.metrics_statsd_packets:0") {
			t.Errorf("%q: the last emission had packets", line)
		}
	}
}

// Goal: an agent that is not there is tried again, and its name is resolved again.
func TestStatsdWithoutAgent(t *testing.T) {
	figures, to := NewFigures("1.2.3", 16384), newAgent(t)
	figures.Attach(&fake{})
	address := to.conn.LocalAddr().String()
	to.conn.Close()
	s := newStatsd(address, figures)
	defer s.Close()
	for s.emit(); s.conn != nil; { // the kernel tells of the closed port with a later packet
		s.emit()
	}
	again, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(to.conn.LocalAddr().(*net.UDPAddr).AddrPort()))
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	defer again.Close()
	s.emit()
	(&agent{t, again}).lines("ledger_build_info:")
}

// Goal: docs/statsd.md has a row for every name of the reference that is sent, and none that is
// not.
func TestStatsdIsDocumented(t *testing.T) {
	figures, to := NewFigures("1.2.3", 16384), newAgent(t)
	figures.Attach(&growing{})
	s := newStatsd(to.conn.LocalAddr().String(), figures)
	defer s.Close()
	s.emit()
	page, err := os.ReadFile("../docs/statsd.md")
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	for _, line := range to.lines("ledger_build_info:") {
		if name, isTheirs := strings.CutPrefix(line, "tb."); isTheirs {
			name, _, _ = strings.Cut(name, ":")
			name, _, _ = strings.Cut(name, ".")
			sent[strings.TrimSuffix(name, "_us")] = true
		}
	}
	for name := range sent {
		if !strings.Contains(string(page), "\n| `"+name+"` |") {
			t.Errorf("docs/statsd.md has no row of %s", name)
		}
	}
	// A timing without values is not sent by the fake source.
	quiet := map[string]bool{"replica_request_execute": true, "storage_write": true, "compact_beat": true}
	rows, _, _ := strings.Cut(string(page), "\n## Not sent\n")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(rows, -1) {
		if !sent[row[1]] && !quiet[row[1]] {
			t.Errorf("docs/statsd.md lists %s, which is not sent", row[1])
		}
	}
}

// Goal: the level of the log changes while it is written, and a wrong level is refused with the
// right ones.
func TestLogLevel(t *testing.T) {
	var out strings.Builder
	log := events.New(&out, events.FormatText)
	s := opened(t, nil, Options{Log: log})
	request := func(method, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Address()+"/log-level", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var said strings.Builder
		if _, err := io.Copy(&said, response.Body); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, said.String()
	}
	if code, said := request(http.MethodGet, ""); code != http.StatusOK || said != "info\n" {
		t.Errorf("status %d: %q", code, said)
	}
	if code, said := request(http.MethodPut, "warning\n"); code != http.StatusOK || said != "warning\n" {
		t.Errorf("status %d: %q", code, said)
	}
	log.Notice(events.Notice{Line: "left out"})
	log.Caution(events.Caution{Line: "kept"})
	const refusal = `"loud" is no level: must be info, warning, error`
	if code, said := request(http.MethodPut, "loud"); code != http.StatusBadRequest || !strings.Contains(said, refusal) {
		t.Errorf("status %d: %q", code, said)
	}
	if code, _ := request(http.MethodPost, "info"); code != http.StatusMethodNotAllowed {
		t.Errorf("status %d", code)
	}
	if !log.Close(10 * time.Second) {
		t.Fatal("the log does not end")
	}
	if got := out.String(); strings.Contains(got, "left out") || !strings.Contains(got, "warning: kept") {
		t.Errorf("%s", got)
	}
}
