package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/wire"
)

// Options of a probe.
type Options struct {
	Addresses config.Addresses // of the replicas, by index
	Cluster   wire.U128
	Release   wire.Release  // of the client that is asked for; 0: the newest that this program and the server speak
	Timeout   time.Duration // of all of it
	// Lookup resolves a host name; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

const (
	// againEvery is the pause after which a request without an answer is sent again. Replicas that
	// are choosing a primary answer none.
	againEvery = 200 * time.Millisecond
	// idleWait is how long a second connection that sends nothing is watched. A server that has no
	// room closes it in that time. One that serves another cluster waits for a message.
	idleWait = 200 * time.Millisecond
	// ReportWithin is the part of the timeout that is left for the start of the program and for its
	// report.
	ReportWithin = 100 * time.Millisecond
)

// prober is one run.
type prober struct {
	options Options
	client  wire.U128
	settled chan struct{} // closed when a primary takes requests

	once sync.Once
}

// Run probes all addresses at once.
func Run(ctx context.Context, options Options) *Report {
	if options.Lookup == nil {
		options.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	p := &prober{options: options, client: randomID(), settled: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, max(options.Timeout-ReportWithin, options.Timeout/2))
	defer cancel()
	report := &Report{Replicas: make([]Replica, len(options.Addresses))}
	var running sync.WaitGroup
	for i, address := range options.Addresses {
		report.Replicas[i] = Replica{Index: i, Address: address.String()}
		running.Go(func() { p.probe(ctx, address, &report.Replicas[i]) })
	}
	running.Wait()
	report.judge(options.Cluster, options.Release, options.Timeout)
	return report
}

func randomID() wire.U128 {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	random[0] |= 1
	return wire.U128FromBytes(random[:])
}

// probe one address, and fill out.
func (p *prober) probe(ctx context.Context, address config.Address, out *Replica) {
	ip, err := p.resolve(ctx, address)
	if err != nil {
		out.State, out.Detail = StateNoName, err.Error()
		return
	}
	target := netip.AddrPortFrom(ip, address.Port).String()
	connection, err := connect(ctx, target)
	if err != nil {
		out.State, out.Detail = StateUnreachable, plain(err)
		if errors.Is(err, unix.ECONNREFUSED) {
			out.State = StateRefused
		}
		return
	}
	defer connection.Close()
	if err := p.settleRelease(ctx, connection, out); !errors.Is(err, errEnded) {
		return
	}
	// The server has closed the connection. A second one that says nothing tells why.
	if isClosedIdle(ctx, target) {
		out.State, out.Detail = StateFull, "the connection was closed before anything was sent"
		return
	}
	out.State, out.Detail = StateOtherCluster, "the connection was closed at the first message"
	if !p.options.Cluster.IsZero() && p.isServed(ctx, target, wire.U128{}) {
		out.Detail = "it serves cluster 0"
	}
}

// settleRelease talks as the release of the options. Without one, it talks as the newest release
// that the server does not refuse, as package client does.
func (p *prober) settleRelease(ctx context.Context, connection net.Conn, out *Replica) error {
	asked := p.options.Release
	if asked == 0 {
		asked = wire.ReleaseCurrent
	}
	for {
		err := p.talk(ctx, connection, p.options.Cluster, asked, out)
		out.Client = asked.String()
		older, ok := asked.Older(out.announced)
		if p.options.Release != 0 || out.State != StateEvicted || out.reason != wire.EvictionReleaseTooHigh || !ok {
			return err
		}
		asked = older // the server leaves the connection open
	}
}

func (p *prober) resolve(ctx context.Context, address config.Address) (netip.Addr, error) {
	if ip, ok := address.IP(); ok {
		return ip, nil
	}
	list, err := p.options.Lookup(ctx, address.Host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(list) == 0 {
		return netip.Addr{}, errors.New("the name has no address")
	}
	return list[0].Unmap(), nil
}

func connect(ctx context.Context, target string) (net.Conn, error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	return connection, nil
}

// plain is the reason of an error of the network, without the address, which stands before it.
func plain(err error) string {
	var operation *net.OpError
	switch {
	case errors.As(err, &operation) && operation.Timeout():
		return "no answer to the connect"
	case errors.As(err, &operation) && operation.Err != nil:
		return operation.Err.Error()
	}
	return err.Error()
}

// errEnded: the server has closed the connection.
var errEnded = errors.New("the connection has ended")

// isClosedIdle tells whether the server closes a connection on which nothing is sent.
func isClosedIdle(ctx context.Context, target string) bool {
	connection, err := connect(ctx, target)
	if err != nil {
		return true
	}
	defer connection.Close()
	_ = connection.SetReadDeadline(time.Now().Add(idleWait))
	_, err = connection.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// isServed tells whether the server answers a ping of cluster.
func (p *prober) isServed(ctx context.Context, target string, cluster wire.U128) bool {
	connection, err := connect(ctx, target)
	if err != nil {
		return false
	}
	defer connection.Close()
	var answer Replica
	other := prober{options: p.options, client: randomID(), settled: make(chan struct{})}
	close(other.settled) // the pong is enough
	return other.talk(ctx, connection, cluster, wire.ReleaseSpokenMin, &answer) == nil && answer.State == StateAnswers
}

// talk pings, and asks for a session that there is not. It returns errEnded if the server closed
// the connection without an answer.
func (p *prober) talk(ctx context.Context, connection net.Conn, cluster wire.U128, asked wire.Release, out *Replica) error {
	began := time.Now()
	parser := wire.NewParser(cluster, wire.SideClient)
	var ping wire.Header
	fields := wire.PingFields{Cluster: cluster, Client: p.client, TimestampNs: uint64(began.UnixNano()), Release: asked}
	wire.BuildPing(&ping, &fields)
	if _, err := connection.Write(ping[:]); err != nil {
		return errEnded
	}
	out.State, out.Detail = StateSilent, fmt.Sprintf("no answer to a ping within %s", p.options.Timeout)
	for {
		if out.State == StateAnswers {
			p.ask(connection, cluster, asked, out)
			if wait := time.Now().Add(againEvery); beforeDeadline(ctx, wait) {
				_ = connection.SetReadDeadline(wait)
			}
		}
		var header wire.Header
		_, err := io.ReadFull(connection, header[:])
		var network net.Error
		switch {
		case errors.As(err, &network) && network.Timeout():
			if p.isSettled() || ctx.Err() != nil || !beforeDeadline(ctx, time.Now().Add(againEvery)) {
				return nil
			}
			continue // the request is sent again
		case err != nil && out.State == StateAnswers:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			out.State, out.Detail = StateForeign, fmt.Sprintf("its answer begins with %q", header[:16])
			return nil
		case err != nil:
			return errEnded
		}
		if verdict, fault := parser.ParseHeader(&header); verdict != wire.VerdictOK {
			out.State, out.Detail = StateForeign, fmt.Sprintf("%s; its answer begins with %q", fault, header[:16])
			return nil
		}
		if verdict, fault := parser.CheckMessage(&header); verdict != wire.VerdictOK {
			out.State, out.Detail = StateForeign, string(fault)
			return nil
		}
		if done := p.take(&header, began, out); done {
			return nil
		}
	}
}

// take one message, and tell whether no more is wanted.
func (p *prober) take(header *wire.Header, began time.Time, out *Replica) (done bool) {
	switch header.Command() {
	case wire.CommandPongClient:
		out.State, out.Detail = StateAnswers, ""
		out.Replica, out.View, out.Release = header.Replica(), header.View(), header.Release().String()
		out.RoundTrip = time.Since(began)
		return p.isSettled()
	case wire.CommandEviction:
		switch reason := header.EvictionReason(); {
		case reason != wire.EvictionNoSession:
			out.State, out.Detail, out.Release = StateEvicted, reason.String(), header.Release().String()
			out.reason, out.announced = reason, header.Release()
		case out.State == StateAnswers:
			out.IsPrimary = true
			p.once.Do(func() { close(p.settled) })
		}
		return true
	}
	return false // a message of another replica's business
}

// isSettled tells whether a primary has been found.
func (p *prober) isSettled() bool {
	select {
	case <-p.settled:
		return true
	default:
		return false
	}
}

// ask sends a lookup of no account, for a session that there is not.
func (p *prober) ask(connection net.Conn, cluster wire.U128, asked wire.Release, out *Replica) {
	var body [wire.U128Bytes]byte
	body[0] = 1
	frame := make([]byte, wire.HeaderBytes+len(body))
	copy(frame[wire.HeaderBytes:], body[:])
	wire.BuildRequest(wire.HeaderOf(frame), &wire.RequestFields{
		Cluster: cluster, Client: p.client, Session: 1, Number: 1, View: out.View, Release: asked,
		Operation: wire.OperationLookupAccountsUnbatched,
	}, frame[wire.HeaderBytes:])
	_, _ = connection.Write(frame) // the read that follows tells of a connection that has ended
}

func beforeDeadline(ctx context.Context, moment time.Time) bool {
	deadline, ok := ctx.Deadline()
	return !ok || moment.Before(deadline)
}
