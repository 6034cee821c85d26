package cluster

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that sends back what it receives. received has the bytes so far.
func echo(t *testing.T) (address string, received chan []byte) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	received = make(chan []byte, 100)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				buffer := make([]byte, 100)
				for {
					count, err := connection.Read(buffer)
					if err != nil {
						return
					}
					received <- bytes.Clone(buffer[:count])
					connection.Write(buffer[:count])
				}
			}()
		}
	}()
	return listener.Addr().String(), received
}

// TestLink tests the proxy: each direction can be cut by itself, nothing is lost by a cut, a delay
// and a throttle take their time, and an end is handed on.
func TestLink(t *testing.T) {
	address, received := echo(t)
	l, err := newLink(address)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	say := func(text string) {
		t.Helper()
		if _, err := connection.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		buffer := make([]byte, len(want))
		connection.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(connection, buffer); err != nil || string(buffer) != want {
			t.Fatalf("heard %q, %v; want %q", buffer, err, want)
		}
	}
	silent := func() {
		t.Helper()
		connection.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if count, err := connection.Read(make([]byte, 1)); count != 0 || err == nil {
			t.Fatalf("%d bytes came through a cut", count)
		}
	}
	reached := func(want string) {
		t.Helper()
		select {
		case got := <-received:
			if string(got) != want {
				t.Fatalf("the target received %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the target did not receive %q", want)
		}
	}
	say("one")
	reached("one")
	hear("one")

	l.back.cutOff(true)
	say("two")
	reached("two") // the other direction is whole
	silent()
	l.back.cutOff(false)
	hear("two")

	l.forth.cutOff(true)
	say("three")
	silent()
	// No connection comes about while one direction is cut, and one that was given up never does.
	given, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	given.Write([]byte("never"))
	given.Close()
	if len(received) != 0 {
		t.Fatal("bytes came through a cut")
	}
	l.forth.cutOff(false)
	hear("three")

	l.forth.delayed(30 * time.Millisecond)
	begun := time.Now()
	say("four")
	hear("four")
	if took := time.Since(begun); took < 30*time.Millisecond {
		t.Fatalf("a delayed byte arrived after %v", took)
	}
	l.forth.delayed(0)
	l.back.throttled(100)
	begun = time.Now()
	say("seven")
	hear("seven")
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Fatalf("five bytes at 100 bytes per second arrived after %v", took)
	}
	l.close()
	connection.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := connection.Read(make([]byte, 1)); err == nil {
		t.Fatal("a connection outlives its proxy")
	}
}
