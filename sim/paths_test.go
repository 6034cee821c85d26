package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/internal/ports"
)

// pathBench is a network with one connection of a program, over two paths.
type pathBench struct {
	world    *World
	network  *Network
	program  *listener
	link     *link
	in, out  *path
	received []byte // by the server
	reset    bool   // the server knows that the connection is gone
	buffer   [64]byte
}

func newPathBench(seed uint64) *pathBench {
	w := newWorld(Options{}, rand.New(rand.NewPCG(seed, 0)), func(format string, arguments ...any) {
		panic(violation{fmt.Sprintf(format, arguments...)})
	})
	b := &pathBench{world: w, network: newNetwork(w.events.agenda(), w.random, 3, 3, w.fail), program: &listener{}}
	b.in, b.out = w.path(0, 1, false), w.path(1, 0, false)
	b.in.leastNs, b.out.leastNs = pathLeastNs, pathLeastNs // near each other
	b.link = b.network.connect(b.program)
	b.link.in.path, b.link.out.path = b.in, b.out
	return b
}

// run lets time pass, while the server reads all that comes.
func (b *pathBench) run(ns uint64) {
	q := &b.world.events
	var some [4]ports.NetworkEvent
	for end := q.nowNs + ns; q.nowNs < end; {
		q.nowNs = min(q.nextNs(), q.nowNs+nsPerMs, end)
		q.runDue()
		for _, e := range some[:b.network.Poll(some[:])] {
			switch {
			case e.Bytes < 0:
				b.reset = true
			case e.Kind == ports.NetworkReceived:
				b.received = append(b.received, b.buffer[:e.Bytes]...)
			}
			if !b.reset && e.Kind != ports.NetworkSent {
				b.network.Receive(e.Connection, b.buffer[:])
			}
		}
	}
}

// Goal: a path that is cut holds what is on it, and only in its own direction. When it is whole
// again, everything arrives in order.
func TestPathCut(t *testing.T) {
	for seed := range uint64(50) {
		b := newPathBench(seed)
		b.network.faulty = true
		b.link.write([]byte("before "))
		b.run(nsPerMs)
		b.in.cutNs = b.world.events.nowNs + 900*nsPerMs // no sender gives up so soon
		b.link.write([]byte("and "))
		b.link.write([]byte("after"))
		b.network.Send(b.link.id, []byte("back"))
		b.run(800 * nsPerMs)
		if string(b.received) != "before " || string(b.program.got) != "back" {
			t.Fatalf("seed %d: through the cut path %q arrived, through the other one %q", seed, b.received, b.program.got)
		}
		b.run(300 * nsPerMs)
		if string(b.received) != "before and after" || b.reset || b.program.gone {
			t.Fatalf("seed %d: after the cut %q arrived, reset %v", seed, b.received, b.reset)
		}
	}
}

// Goal: if a path stays cut, the sender gives up, and knows it; the other end hears of it later.
func TestPathGivesUp(t *testing.T) {
	for seed := range uint64(50) {
		b := newPathBench(seed)
		b.in.cutNs = 60_000 * nsPerMs
		b.link.write([]byte("lost"))
		b.run(2*patienceNs + 100*nsPerMs)
		if !b.program.gone {
			t.Fatalf("seed %d: the client waits for ever", seed)
		}
		b.run(lateNsMax)
		if !b.reset || len(b.received) > 0 {
			t.Fatalf("seed %d: the server does not know that the client is gone, or got %q", seed, b.received)
		}

		b = newPathBench(seed)
		b.out.cutNs = 60_000 * nsPerMs
		b.run(nsPerMs)
		b.network.Send(b.link.id, []byte("lost"))
		b.run(2*patienceNs + 100*nsPerMs)
		if !b.reset {
			t.Fatalf("seed %d: the server waits for ever", seed)
		}
		b.run(lateNsMax)
		if !b.program.gone || len(b.program.got) > 0 {
			t.Fatalf("seed %d: the client does not know that the server is gone, or got %q", seed, b.program.got)
		}
	}
}

// Goal: lost segments come late and in order. Spoiled ones have one other bit, and give the server
// a reason to close.
func TestPathFaults(t *testing.T) {
	late, spoiled := 0, 0
	for seed := range uint64(200) {
		b := newPathBench(seed)
		b.in.lossOdds, b.in.bitOdds = 4, 8
		var sent []byte
		for i := range 6 {
			piece := bytes.Repeat([]byte{byte(i)}, 1+int(seed)%50)
			sent = append(sent, piece...)
			b.link.write(piece)
		}
		b.run(nsPerMs)
		if len(b.received) < len(sent) {
			late++
		}
		b.run(2 * resendNsMax)
		if len(b.received) != len(sent) {
			t.Fatalf("seed %d: %d bytes arrived, want %d", seed, len(b.received), len(sent))
		}
		bits := 0
		for i := range sent {
			for v := sent[i] ^ b.received[i]; v != 0; v &= v - 1 {
				bits++
			}
		}
		if bits != b.network.spoiledCount || b.link.spoiled != (bits > 0) || bits > 0 && b.link.excuse == "" {
			t.Fatalf("seed %d: %d bits changed in %d segments", seed, bits, b.network.spoiledCount)
		}
		spoiled += bits
	}
	if late < 20 || spoiled < 20 {
		t.Errorf("%d of 200 connections had a late segment, %d segments were spoiled", late, spoiled)
	}
}
