package admin

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"ledger/client"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
	"ledger/stages/consensus"
	"ledger/stages/net"
	"ledger/wire"
)

// withClients is a source with two sessions, one of which has a connection.
type withClients struct{ fake }

func (f *withClients) Sample(out *replica.Sample, timeout time.Duration) {
	f.fake.Sample(out, timeout)
	out.Limits, out.Cluster, out.Replicas = limits.Production(), wire.U128{Lo: 7}, 1
	out.Consensus.Role, out.Apply.BlocksHigh = consensus.RolePrimary, 10
	out.File = replica.FileSample{Bytes: 3 << 30, FreeBytes: 5 << 30}
	if !out.WantClients {
		return
	}
	out.Sessions = []consensus.SessionSample{{Client: wire.U128{Lo: 9}, Release: wire.ReleaseCurrent, Request: 3, Op: 12},
		{Client: wire.U128{Lo: 4}, Release: wire.ReleaseClientMin, Request: 1, Op: 8}}
	out.Clients = []net.ClientSample{{Client: wire.U128{Lo: 9}, Peer: posix.PeerFromAddrPort(netip.MustParseAddrPort("10.0.0.9:4711"))}}
}

func pageOf(t testing.TB, s *Server) *Status {
	t.Helper()
	code, page := get(t, s, "/status")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, page)
	}
	out := &Status{}
	if err := json.Unmarshal([]byte(page), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Goal: the page for programs has the state, the limits, and the clients with address and release;
// and no list is null.
func TestStatusPage(t *testing.T) {
	s := opened(t, &withClients{}, Options{Version: "1.2.3", PageBytes: 16384})
	s.SetReady(true)
	got := pageOf(t, s)
	if got.Version != "1.2.3" || !got.IsReady || got.Cluster != "7" || got.Role != "primary" || got.Limits.Sessions == 0 {
		t.Errorf("%+v", got)
	}
	want := []StatusClient{{"4", "", "0.16.4", 1, 8}, {"9", "10.0.0.9:4711", "0.17.9", 3, 12}}
	if len(got.Clients) != 2 || got.Clients[0] != want[0] || got.Clients[1] != want[1] {
		t.Errorf("clients %+v, want %+v", got.Clients, want)
	}
	l := limits.Production()
	if used := l.GridAt() + 10*uint64(l.BlockBytes); got.File.UsedBytes != used {
		t.Errorf("%d bytes are used, want %d", got.File.UsedBytes, used)
	}
	if got.Peers == nil || got.Rings == nil || got.Times == nil || len(got.Times[0].Cells) > 0 && got.Times[0].Cells[0][1] == 0 {
		t.Errorf("lists %+v", got)
	}
	if _, page := get(t, s, "/"); page != "/metrics\n/summary\n/status\n/healthz\n/readyz\n" {
		t.Errorf("index: %q", page)
	}
}

// Goal: growth per hour and the time until the disk is full follow from sizes of the last hour, and
// older ones are forgotten.
func TestGrowth(t *testing.T) {
	var g growth
	began := time.Now()
	if added, over := g.since(5, began); added != 0 || over != 0 {
		t.Errorf("without points: %d in %d", added, over)
	}
	const minutes, perMinute = 200, 1 << 20
	for minute := range uint64(minutes) {
		at := began.Add(time.Duration(minute) * time.Minute)
		g.record(minute*perMinute, at)
		g.record(1<<60, at.Add(time.Second)) // within the minute: not taken
	}
	added, over := g.since(minutes*perMinute, began.Add(minutes*time.Minute))
	if added != 61*perMinute || over != uint64(61*time.Minute) {
		t.Errorf("%d bytes in %s", added, time.Duration(over))
	}
	s := &Status{File: StatusFile{Bytes: 100 << 20, UsedBytes: 90 << 20, FreeBytes: 50 << 20, GrowthBytes: added, GrowthOverNs: over}}
	s.Limits.StorageBytes = 1 << 40
	if got := s.GrowthPerHour(); got != 60*perMinute {
		t.Errorf("%f bytes an hour", got)
	}
	if left, ok := s.FullIn(); !ok || left != time.Hour {
		t.Errorf("full in %s, %v", left, ok)
	}
	s.Limits.StorageBytes = 120 << 20
	if left, ok := s.FullIn(); !ok || left != 30*time.Minute {
		t.Errorf("with a limit on the file: full in %s, %v", left, ok)
	}
	s.File.GrowthBytes = 0
	if _, ok := s.FullIn(); ok {
		t.Error("a file that does not grow is full some time")
	}
}

// Goal: of a running server, the page lists the session of a real client with its address; a scrape
// of metrics does not copy the clients.
func TestStatusOfServer(t *testing.T) {
	server, address := live(t, replica.IOPosix, true)
	s := opened(t, server, Options{Version: "test", PageBytes: 16384})
	c, err := client.New(t.Context(), client.Options{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := pageOf(t, s)
	if len(got.Clients) != 1 || got.Clients[0].Release != wire.ReleaseCurrent.String() || got.Sessions != 1 {
		t.Fatalf("clients %+v", got.Clients)
	}
	if from, err := netip.ParseAddrPort(got.Clients[0].Address); err != nil || from.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("address %q: %v", got.Clients[0].Address, err)
	}
	if got.Role != "primary" || got.File.Bytes == 0 || got.File.FreeBytes == 0 || got.StaleFor != 0 {
		t.Errorf("%+v", got)
	}
	var sample replica.Sample
	server.Sample(&sample, WaitMax)
	if sample.Sessions != nil || sample.Clients != nil {
		t.Error("clients are copied although nobody asked")
	}
}
