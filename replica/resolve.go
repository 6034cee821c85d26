package replica

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"ledger/config"
	"ledger/events"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/peer"
)

// lookup returns the addresses of a name.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func lookupName(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// unresolvedEvery is the time between two lines about the same name.
const unresolvedEvery = time.Minute

// resolver finds the addresses of the other replicas. Numeric ones are known. A name is asked for
// anew at each question, by a goroutine of its own, outside of the stages: one that hangs holds up
// neither a stage nor another name. The stage of net calls Resolve and Poll.
//
//	net --question: the latest attempt--> goroutine of the name
//	   <--answer: the latest one, and a wake--
type resolver struct {
	hosts [limits.ReplicasMax]resolverHost
	known []ports.NameAnswer // not polled yet; of numeric addresses
	ready atomic.Int32       // answers of goroutines that may not have been polled
	wake  func()
	end   context.CancelFunc
}

type resolverHost struct {
	replica   uint8
	name      string   // "": the address is numeric
	port      uint16   // of a name
	address   [18]byte // numeric
	attempt   atomic.Uint64
	asked     chan struct{} // of capacity 1: there is a question
	answer    atomic.Pointer[ports.NameAnswer]
	silentEnd time.Time // no line about this name before
}

// newResolver makes the resolver of replica self. wake wakes the thread of net.
//
// error: an address that no other machine can use.
func newResolver(addresses config.Addresses, self uint8, find lookup, log *events.Log, wake func()) (*resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &resolver{known: make([]ports.NameAnswer, 0, 2*limits.ReplicasMax), wake: wake, end: cancel}
	for i, address := range addresses[:min(len(addresses), limits.ReplicasMax)] {
		h := &r.hosts[i]
		h.replica = uint8(i)
		ip, isNumeric := address.IP()
		switch {
		case i == int(self):
		case isNumeric && ip.Zone() != "":
			cancel()
			return nil, fmt.Errorf("--addresses: %s has a zone, which other machines do not know: use an address without one", address)
		case isNumeric:
			h.address = peerAddress(ip, address.Port)
		default:
			h.name, h.port, h.asked = address.Host, address.Port, make(chan struct{}, 1)
			go r.run(ctx, h, find, log)
		}
	}
	return r, nil
}

// peerAddress is an address as the ports have it.
func peerAddress(ip netip.Addr, port uint16) (address [18]byte) {
	bytes := ip.As16()
	copy(address[:], bytes[:])
	binary.BigEndian.PutUint16(address[16:], port)
	return address
}

// Resolve implements ports.Names.
func (r *resolver) Resolve(replica uint8, attempt uint64) {
	h := &r.hosts[replica]
	if h.name == "" {
		r.known = append(r.known, ports.NameAnswer{Replica: replica, OK: h.address != [18]byte{}, Attempt: attempt, Address: h.address})
		return
	}
	h.attempt.Store(attempt)
	select {
	case h.asked <- struct{}{}:
	default: // the goroutine is still busy; it then answers this question as well
	}
}

// Poll implements ports.Names.
func (r *resolver) Poll(out []ports.NameAnswer) int {
	count := copy(out, r.known)
	r.known = r.known[:copy(r.known, r.known[count:])]
	if r.ready.Load() == 0 {
		return count
	}
	for i := range r.hosts {
		if count == len(out) {
			break
		}
		if answer := r.hosts[i].answer.Swap(nil); answer != nil {
			r.ready.Add(-1)
			out[count] = *answer
			count++
		}
	}
	return count
}

// close ends the goroutines, and does not wait for them.
func (r *resolver) close() { r.end() }

// run answers the questions for one name.
func (r *resolver) run(ctx context.Context, h *resolverHost, find lookup, log *events.Log) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.asked:
		}
		bounded, cancel := context.WithTimeout(ctx, peer.ResolveNs)
		found, err := find(bounded, h.name)
		cancel()
		if ctx.Err() != nil {
			return
		}
		// The newest question gets the answer, also if it came meanwhile: an older one is given up.
		answer := &ports.NameAnswer{Replica: h.replica, Attempt: h.attempt.Load()}
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no such host")
		}
		if err != nil {
			if now := time.Now(); now.After(h.silentEnd) {
				log.PeerUnresolved(events.PeerUnresolved{Replica: h.replica, Host: h.name, Reason: err.Error()})
				h.silentEnd = now.Add(unresolvedEvery)
			}
		} else {
			// Of several addresses, the next attempt gets the next one.
			answer.OK, answer.Address = true, peerAddress(found[answer.Attempt%uint64(len(found))].WithZone(""), h.port)
		}
		if h.answer.Swap(answer) == nil {
			r.ready.Add(1)
		}
		r.wake()
	}
}
