// Package clienttest is a cluster in one process for tests of clients. It has the real protocol and
// the real accounting rules over memory, no log and no disk, and faults on request.
//
//	client --TCP--> [Server: one listener per replica] --> session table --> accounting.Machine
//
// In:     connections on 127.0.0.1, and calls of the test: drop, evict, change the view, break
// connections.
// Out:    the replies of a server: stored ones for repeated requests, evictions, pongs.
// Owns:   its listeners and their goroutines, until Close.
// Limits: none; a request is executed under one lock.
// Faults: only those that the test asks for. Violations counts the faults of clients.
// Source: specification, "Client wire protocol", 1 and 4.
package clienttest

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
	"ledger/wire"
)

// Options of a Server.
type Options struct {
	Cluster       wire.U128
	ReplicasCount int // 0 means 1
	// RequestBytesMax is the largest request, header included; 0 means 1 MiB.
	RequestBytesMax uint32
	// ReleaseMax is the newest client that is served, and ReleaseAnnounced what the server announces;
	// 0 means those of our servers.
	ReleaseMax, ReleaseAnnounced wire.Release
	// ServiceTime is the time that each request takes. Requests run one after the other.
	ServiceTime time.Duration
	// Drop is called for every request that arrives at a replica, with the number of earlier
	// copies. If it returns true, the request is lost.
	Drop func(replica int, header *wire.Header, copies int) bool
	// Deaf replicas accept connections and never read from them, like a paused process.
	Deaf func(replica int) bool
	// DropReply is called before every reply. If it returns true, the reply is lost.
	DropReply func(replica int, header *wire.Header, copies int) bool
}

// Server is the cluster.
type Server struct {
	options   Options
	parser    wire.Parser
	limits    wire.RequestLimits
	listeners []net.Listener
	running   sync.WaitGroup

	mu         sync.Mutex
	machine    *accounting.Machine
	sessions   map[wire.U128]*session
	routes     map[route]*link
	links      map[*link]bool
	copies     map[wire.Checksum]int // number of arrivals of each request
	requests   []wire.Header         // in the order of execution
	view       uint32
	op         uint64
	timestamp  uint64
	violations []string
	closed     bool
}

type session struct {
	number uint64
	reply  []byte // frame of the last reply
}

// route is the connection on which a replica reaches a client.
type route struct {
	replica int
	client  wire.U128
}

type link struct {
	replica    int
	connection net.Conn
	writing    sync.Mutex
}

// Start starts a cluster.
func Start(options Options) (*Server, error) {
	if options.ReplicasCount == 0 {
		options.ReplicasCount = 1
	}
	if options.RequestBytesMax == 0 {
		options.RequestBytesMax = wire.MessageBytesMax
	}
	if options.ReleaseMax == 0 {
		options.ReleaseMax = wire.ReleaseClientMax
	}
	if options.ReleaseAnnounced == 0 {
		options.ReleaseAnnounced = wire.ReleaseAnnounced
	}
	s := &Server{
		options: options,
		parser:  wire.NewParser(options.Cluster, wire.SideServer),
		limits: wire.RequestLimits{
			ReleaseMin: wire.ReleaseClientMin, ReleaseMax: options.ReleaseMax,
			BatchBytesMax: options.RequestBytesMax - wire.HeaderBytes,
		},
		machine:   accounting.New(limits.Production(), memory.New(1<<10, 1<<14)),
		sessions:  map[wire.U128]*session{},
		routes:    map[route]*link{},
		links:     map[*link]bool{},
		copies:    map[wire.Checksum]int{},
		timestamp: uint64(time.Now().UnixNano()),
	}
	for replica := range options.ReplicasCount {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.Close()
			return nil, err
		}
		s.listeners = append(s.listeners, listener)
		s.running.Add(1)
		go s.accept(replica, listener)
	}
	return s, nil
}

// Addresses are those of the replicas.
func (s *Server) Addresses() []string {
	addresses := make([]string, len(s.listeners))
	for i, listener := range s.listeners {
		addresses[i] = listener.Addr().String()
	}
	return addresses
}

// Close ends all listeners and connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, listener := range s.listeners {
		_ = listener.Close()
	}
	s.Break(-1)
	s.running.Wait()
}

// Break closes the connections of one replica, or of all with -1. Clients may connect again.
func (s *Server) Break(replica int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.links {
		if replica < 0 || one.replica == replica {
			_ = one.connection.Close()
		}
	}
}

// SetView makes another replica the primary.
func (s *Server) SetView(view uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = view
}

// Evict ends a client's session and sends the eviction on all its connections.
func (s *Server) Evict(client wire.U128, reason wire.EvictionReason) {
	s.mu.Lock()
	delete(s.sessions, client)
	links := make([]*link, 0, 1)
	for where, one := range s.routes {
		if where.client == client {
			links = append(links, one)
		}
	}
	fields := s.serverFields(0)
	s.mu.Unlock()
	for _, one := range links {
		one.evict(&fields, client, reason)
	}
}

// Requests are the headers of the executed requests, in order.
func (s *Server) Requests() []wire.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wire.Header(nil), s.requests...)
}

// Copies is the number of copies of a request that arrived at all replicas together.
func (s *Server) Copies(checksum wire.Checksum) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies[checksum]
}

// Violations are the clients' violations of the protocol.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) violation(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, what)
}

func (s *Server) serverFields(replica int) wire.ServerFields {
	return wire.ServerFields{Cluster: s.options.Cluster, View: s.view, Release: s.options.ReleaseAnnounced, Replica: uint8(replica)}
}

func (s *Server) accept(replica int, listener net.Listener) {
	defer s.running.Done()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		one := &link{replica: replica, connection: connection}
		s.mu.Lock()
		if s.closed {
			_ = connection.Close()
		}
		s.links[one] = true
		s.running.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.running.Done()
			s.serve(one)
			_ = connection.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.links, one)
			for where, other := range s.routes {
				if other == one {
					delete(s.routes, where)
				}
			}
		}()
	}
}

// serve reads one connection to its end.
func (s *Server) serve(one *link) {
	reader := bufio.NewReader(one.connection)
	var header wire.Header
	for s.options.Deaf != nil && s.options.Deaf(one.replica) {
		if s.isClosed() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	memory := make([]uint64, wire.MessageBytesMax/8) // aligned
	bodyMemory := bytesOf(memory)
	for {
		if _, err := io.ReadFull(reader, header[:]); err != nil {
			return
		}
		if verdict, fault := s.parser.ParseHeader(&header); verdict != wire.VerdictOK {
			s.violation(string(fault))
			return
		}
		body := bodyMemory[:header.BodyBytes()]
		if _, err := io.ReadFull(reader, body); err != nil {
			return
		}
		verdict, fault := s.parser.VerifyBody(&header, body)
		if verdict == wire.VerdictOK {
			verdict, fault = s.parser.CheckMessage(&header)
		}
		if verdict != wire.VerdictOK {
			s.violation(string(fault))
			if verdict == wire.VerdictDrop {
				return
			}
			continue
		}
		if header.Command() == wire.CommandPingClient {
			s.ping(one, &header)
		} else {
			s.request(one, &header, body)
		}
	}
}
