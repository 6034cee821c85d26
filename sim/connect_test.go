package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/portstest"
)

// switchboard is some networks with addresses.
type switchboard struct {
	events   *events
	networks map[[18]byte]*Network
	silent   [18]byte
}

func (s *switchboard) dial(address [18]byte) (other *Network, there, back *path, errno unix.Errno) {
	if address == s.silent {
		return nil, nil, nil, unix.ETIMEDOUT
	}
	if n := s.networks[address]; n != nil {
		return n, nil, nil, 0
	}
	return nil, nil, nil, unix.ECONNREFUSED
}

// add makes a network that listens.
func (s *switchboard) add(random *rand.Rand, places uint32, address byte) *Network {
	n := newNetwork(s.events.agenda(), random, places, places, func(format string, arguments ...any) {
		panic(violation{fmt.Sprintf(format, arguments...)})
	})
	n.dial = s.dial
	s.networks[[18]byte{address}] = n
	return n
}

// turn lets up to a millisecond pass.
func (s *switchboard) turn() {
	s.events.nowNs = min(s.events.nextNs(), s.events.nowNs+nsPerMs)
	s.events.runDue()
}

func newSwitchboard() *switchboard {
	return &switchboard{events: &events{}, networks: map[[18]byte]*Network{}, silent: [18]byte{99}}
}

// Goal: two simulated networks keep every promise about connections between them that those of a
// kernel keep, in pieces and whole.
func TestPairs(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			portstest.RunPairs(t, func(_ *testing.T, o portstest.PairOptions) *portstest.Pair {
				s, random := newSwitchboard(), rand.New(rand.NewPCG(seed, 0))
				p := &portstest.Pair{Refusing: [18]byte{98}, Silent: s.silent, Turn: s.turn}
				p.Bytes = func(size int, seed byte) []byte {
					data := make([]byte, size)
					for i := range data {
						data[i] = byte(i)*7 + byte(i>>8)*13 + seed
					}
					return data
				}
				for side := range p.Networks {
					n := s.add(random, o.ConnectionsMax, byte(side))
					n.connectsReserved, n.faulty = int(o.ConnectsReserved), seed%2 == 1
					p.Networks[side], p.Addresses[side] = n, [18]byte{byte(side)}
				}
				return p
			})
		})
	}
}

// Goal: a Connect to an address that does not answer ends with ETIMEDOUT, and its place is free.
func TestConnectTimesOut(t *testing.T) {
	s := newSwitchboard()
	n := s.add(rand.New(rand.NewPCG(1, 0)), 1, 0)
	id, _ := n.Connect(s.silent)
	var out [2]ports.NetworkEvent
	for s.events.nextNs() != ^uint64(0) {
		s.turn()
	}
	if count := n.Poll(out[:]); count != 1 || out[0] != (ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id,
		Bytes: -int32(unix.ETIMEDOUT)}) {
		t.Fatalf("%d events, %+v", count, out)
	}
	if _, ok := n.Connect(s.silent); !ok {
		t.Error("the place of a Connect that has ended is not free")
	}
}

// Goal: when a machine crashes, the other end of each of its connections ends: of an open one, of
// one that waits for a place, and of one that it was opening.
func TestConnectedCrash(t *testing.T) {
	for seed := range uint64(20) {
		s, random := newSwitchboard(), rand.New(rand.NewPCG(seed, 0))
		crashing, other := s.add(random, 1, 0), s.add(random, 3, 1)
		var out [8]ports.NetworkEvent
		for range 2 { // the second waits for a place
			other.Connect([18]byte{0})
		}
		ended := 0
		for range 5000 {
			s.turn()
			for _, e := range out[:other.Poll(out[:])] {
				switch e.Kind {
				case ports.NetworkConnected:
					other.Receive(e.Connection, make([]byte, 10))
				case ports.NetworkReceived:
					if e.Bytes > 0 {
						t.Fatalf("seed %d: event %+v", seed, e)
					}
					ended++
				}
			}
			if s.events.nowNs > 500*nsPerMs && crashing.epoch == 0 {
				crashing.crash(false)
			}
		}
		if ended != 2 {
			t.Errorf("seed %d: %d of 2 connections have ended", seed, ended)
		}
	}
}
