package cluster

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/wire"
)

const (
	perAddress      = 4 // --connections-per-address
	perStranger     = 3 * perAddress
	unidentifiedMax = 16 << 20 // bytes of first messages, in production
	holders         = unidentifiedMax/wire.MessageBytesMax + 8
)

// ownAddress is an address of this machine that is not loopback, whose connections the limit does
// not concern. The servers listen on loopback all the same.
func ownAddress(t *testing.T) net.IP {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range all {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLoopback() && network.IP.To4() != nil {
			return network.IP.To4()
		}
	}
	t.Skip("this machine has no IPv4 address besides loopback")
	return nil
}

// stranger opens a connection to the port of replica i, and counts it when the replica closes it.
func (g *group) stranger(i int, from net.IP, first []byte, closed *atomic.Int64) {
	g.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	connection, err := dialer.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.ports[i]))
	if err != nil {
		g.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, connection)
		closed.Add(1)
	}()
	g.t.Cleanup(func() {
		connection.Close()
		<-done
	})
	_, _ = connection.Write(first)
}

// TestStrangersAreLimited: of one address, no more connections stay than --connections-per-address
// allows, on each replica. Of first messages that stall, no more than 16 are held, and they give
// way to others. Both are counted and have a line, the load of official clients goes on, and a new
// client and a replica that comes back get their places.
func TestStrangersAreLimited(t *testing.T) {
	from := ownAddress(t)
	g := newGroup(t, options{args: []string{fmt.Sprintf("--connections-per-address=%d", perAddress)}})
	p := newProbe(t, g)
	l := newLoad(t, g, 4)
	l.begin(smallOp, 0)
	l.awaitCalls(g, 20)

	begun := time.Now()
	annoy := func(i int) {
		var closed atomic.Int64
		for range perStranger {
			g.stranger(i, from, nil, &closed)
		}
		g.await("the oldest connections of the address are closed", func() bool {
			g.alive()
			counted, _ := g.metric(i, `ledger_net_closed_connections{cause="address"}`)
			return closed.Load() >= perStranger-perAddress && counted >= perStranger-perAddress
		})
		g.await("a line names the address and the limit", func() bool {
			return g.told(i, from.String(), "--connections-per-address", fmt.Sprintf("limit %d", perAddress))
		})
	}
	for i := range replicas {
		annoy(i)
	}
	l.awaitCalls(g, 20)
	backup := (p.primary(g) + 1) % replicas
	g.kill(backup)
	g.start(backup)
	g.awaitCaughtUp(backup)
	annoy(backup)

	primary := p.primary(g)
	frame := make([]byte, wire.MessageBytesMax)
	wire.BuildRequest(wire.HeaderOf(frame), &wire.RequestFields{Client: wire.U128From(1 << 50), Session: 1, Number: 1,
		Release: wire.ReleaseCurrent, Operation: wire.OperationCreateTransfers}, frame[wire.HeaderBytes:])
	var closed atomic.Int64
	for range holders {
		g.stranger(primary, net.IPv4(127, 0, 0, 1), frame[:5000], &closed)
	}
	most := uint64(0)
	g.await("first messages wait for others, and some that stall are closed", func() bool {
		g.alive()
		held, _ := g.metric(primary, "ledger_net_unidentified_bytes")
		most = max(most, held)
		waits, _ := g.metric(primary, "ledger_net_unidentified_waits")
		stalled, _ := g.metric(primary, `ledger_net_closed_connections{cause="stalled"}`)
		return waits > 0 && stalled > 0 && closed.Load() > 0
	})
	if most > unidentifiedMax {
		t.Errorf("strangers hold %d bytes, the limit is %d", most, unidentifiedMax)
	}
	g.await("a line says why one is closed", func() bool { return g.told(primary, "its first message has stalled") })
	newcomer, err := newBank(g.addresses(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer newcomer.Close()
	if _, err := within(newcomer.LookupAccounts, []tb.Uint128{id(1)}); err != nil {
		t.Fatal(err)
	}
	l.awaitCalls(g, 20)
	ended := time.Now()
	l.end()
	g.finish(l)
	t.Logf("of %d connections of one address %d stay; %d MiB were held at most; 0 errors; longest pause %.2f s", perStranger, perAddress,
		most>>20, p.longest(begun, ended).Seconds())
}
