package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/config"
	"ledger/wire"
)

// clusterOf the fake servers.
func clusterOf() wire.U128 { return wire.U128{Lo: 77} }

// fake is a server that does one thing.
type fake struct {
	replica   uint8
	pongs     bool
	isPrimary bool // it takes requests
	evicts    wire.EvictionReason
	closes    bool // at the first message, as of another cluster
	full      bool // at once
	says      string
	zero      bool // it serves cluster 0

	newest, announced wire.Release // client that is served, and what is announced; 0: those of our servers
}

// listen serves connections until the test ends, and waits for them.
func (f fake) listen(t *testing.T) config.Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if f.full {
				connection.Close()
				continue
			}
			running.Go(func() {
				defer connection.Close()
				f.serve(connection)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	return config.Address{Host: "127.0.0.1", Port: port}
}

func (f fake) serve(connection net.Conn) {
	cluster := clusterOf()
	if f.zero {
		cluster = wire.U128{}
	}
	server := wire.ServerFields{Cluster: cluster, View: 9, Release: wire.ReleaseAnnounced, Replica: f.replica}
	if f.announced != 0 {
		server.Release = f.announced
	}
	for {
		var header, answer wire.Header
		if _, err := io.ReadFull(connection, header[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, connection, int64(header.BodyBytes())); err != nil {
			return
		}
		isPing := header.Command() == wire.CommandPingClient
		switch {
		case f.says != "":
			_, _ = io.WriteString(connection, f.says)
			return
		case f.closes || header.Cluster() != cluster:
			return
		case f.evicts != wire.EvictionNone:
			wire.BuildEviction(&answer, &server, header.Client(), f.evicts)
		case f.newest != 0 && header.Release() > f.newest:
			wire.BuildEviction(&answer, &server, header.Client(), wire.EvictionReleaseTooHigh)
		case isPing && f.pongs:
			wire.BuildPong(&answer, &server, header.PingTimestampNs())
		case !isPing && f.isPrimary && header.View() == server.View:
			wire.BuildEviction(&answer, &server, header.Client(), wire.EvictionNoSession)
		default:
			continue
		}
		if _, err := connection.Write(answer[:]); err != nil {
			return
		}
	}
}

// refusing is an address at which nobody listens.
func refusing(t *testing.T) config.Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return config.Address{Host: "127.0.0.1", Port: uint16(listener.Addr().(*net.TCPAddr).Port)}
}

// Goal: each reason why a client would hang has a verdict of its own, and what keeps no client from
// being served is a note.
func TestVerdicts(t *testing.T) {
	primary := fake{pongs: true, isPrimary: true}
	backup := func(replica uint8) fake { return fake{replica: replica, pongs: true} }
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "known.example" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, errors.New("no such host")
	}
	older, ancient := primary, primary
	older.newest, older.announced = wire.ReleaseOf(0, 17, 8), wire.ReleaseOf(0, 17, 8)
	ancient.newest, ancient.announced = wire.ReleaseOf(0, 16, 78), wire.ReleaseOf(0, 16, 78)
	const gone = "gone" // an address at which nobody listens
	for _, test := range []struct {
		name    string
		servers []any // fake, or a host, or gone
		verdict Verdict
		text    string // part of text, remedy or notes
	}{
		{"one", []any{primary}, VerdictServed, "takes requests"},
		{"three", []any{primary, backup(1), backup(2)}, VerdictServed, "takes requests"},
		{"the primary is another one", []any{backup(0), fake{replica: 1, pongs: true, isPrimary: true}, backup(2)}, VerdictServed,
			"takes requests"},
		{"one of three is gone", []any{primary, backup(1), gone}, VerdictServed, "nobody listens"},
		{"a backup has no name", []any{primary, backup(1), "none.example"}, VerdictServed, "no such host"},
		{"the order is another one", []any{primary, backup(2), backup(1)}, VerdictServed, "says that it is replica 2"},
		{"nobody listens", []any{gone}, VerdictNobodyListens, "connection refused"},
		{"no name", []any{"none.example"}, VerdictNobodyListens, "no such host"},
		{"another cluster", []any{fake{closes: true}}, VerdictOtherCluster, "closes connections of cluster 77"},
		{"no room", []any{fake{full: true}}, VerdictNoSession, "closes new connections at once"},
		{"another protocol", []any{fake{says: "HTTP/1.1 400 Bad Request"}}, VerdictNobodyListens, `"HTTP/1.1 400 Bad"`},
		{"another protocol, more bytes", []any{fake{says: strings.Repeat("HTTP/1.1 400 Bad", 20)}}, VerdictNobodyListens, "checksum"},
		{"silence", []any{fake{}}, VerdictSilent, "executes its log"},
		{"release", []any{fake{evicts: wire.EvictionReleaseTooHigh}}, VerdictRelease, "client_release_too_high"},
		{"an older release, announced", []any{older},
			VerdictServed, "evicts clients of release 0.17.9 with client_release_too_high; it was asked as one of 0.17.8"},
		{"an older release, not announced", []any{fake{pongs: true, isPrimary: true, newest: wire.ReleaseOf(0, 17, 2)}},
			VerdictServed, "it was asked as one of 0.17.0"},
		{"an older protocol", []any{ancient},
			VerdictRelease, "clients of release 0.17.0 to 0.17.9 are not served: client_release_too_high"},
		{"no primary", []any{backup(0), backup(1), backup(2)}, VerdictNoQuorum, "choosing a primary"},
		{"a backup alone", []any{backup(0), gone, gone}, VerdictNoQuorum, "1 of 3 replicas answer, and 2"},
		{"a primary alone", []any{primary, gone, gone}, VerdictNoQuorum, "2 have to keep an op"},
		{"a backup named alone", []any{backup(1)}, VerdictNoQuorum, "the list does not name all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := Options{Cluster: clusterOf(), Timeout: time.Second, Lookup: lookup}
			for _, server := range test.servers {
				switch server := server.(type) {
				case fake:
					options.Addresses = append(options.Addresses, server.listen(t))
				case string:
					address := refusing(t)
					if server != gone {
						address.Host = server
					}
					options.Addresses = append(options.Addresses, address)
				}
			}
			report := Run(t.Context(), options)
			all := report.Text + "\n" + report.Remedy + "\n" + strings.Join(report.Notes, "\n")
			if report.Verdict != test.verdict || !strings.Contains(all, test.text) {
				t.Errorf("verdict %s, want %s with %q: %s\n%+v", report.Verdict, test.verdict, test.text, all, report.Replicas)
			}
			if (report.Verdict == VerdictServed) != (report.Remedy == "") {
				t.Errorf("verdict %s has the remedy %q", report.Verdict, report.Remedy)
			}
			for i := range report.Replicas {
				if report.Replicas[i].State == "" || report.Replicas[i].Say() == "" {
					t.Errorf("replica %d has no state: %+v", i, report.Replicas[i])
				}
			}
		})
	}
}

// Goal: a server that serves cluster 0 is told from one of an unknown cluster.
func TestClusterZeroIsNamed(t *testing.T) {
	address := fake{pongs: true, zero: true}.listen(t)
	report := Run(t.Context(), Options{Addresses: config.Addresses{address}, Cluster: wire.U128{Lo: 5}, Timeout: time.Second})
	if report.Verdict != VerdictOtherCluster || !strings.Contains(report.Text, "it serves cluster 0") {
		t.Errorf("verdict %s: %s", report.Verdict, report.Text)
	}
}

// Goal: a release that was asked for is asked for alone.
func TestReleaseIsFixed(t *testing.T) {
	address := fake{pongs: true, isPrimary: true, newest: wire.ReleaseOf(0, 17, 8), announced: wire.ReleaseOf(0, 17, 8)}.listen(t)
	for release, want := range map[wire.Release]Verdict{wire.ReleaseOf(0, 17, 8): VerdictServed, wire.ReleaseOf(0, 17, 9): VerdictRelease} {
		report := Run(t.Context(), Options{Addresses: config.Addresses{address}, Cluster: clusterOf(), Release: release, Timeout: time.Second})
		if report.Verdict != want || report.Replicas[0].Client != release.String() || len(report.Notes) != 0 {
			t.Errorf("release %s: verdict %s: %s, notes %q", release, report.Verdict, report.Text, report.Notes)
		}
	}
}

// Goal: a name is resolved, and only its port is the server's.
func TestNameIsResolved(t *testing.T) {
	address := fake{pongs: true, isPrimary: true}.listen(t)
	address.Host = "known.example"
	lookup := func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	report := Run(t.Context(), Options{Addresses: config.Addresses{address}, Cluster: clusterOf(), Timeout: time.Second, Lookup: lookup})
	if report.Verdict != VerdictServed {
		t.Errorf("verdict %s: %s", report.Verdict, report.Text)
	}
}
