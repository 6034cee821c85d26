package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Goal: a supervisor hears that clients are served, then signs of life, none while the threads do
// not answer, and the stop.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next := func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(endsWithin)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 4096)
		count, err := conn.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:count])
	}
	s := harnessIn(t, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}, formatted(t))
	heard := next()
	for strings.HasPrefix(heard, "STATUS=") || heard == notifyAlive { // of the start
		heard = next()
	}
	if heard != notifyReady {
		t.Fatalf("heard %q", heard)
	}
	for range 3 {
		if heard := next(); heard != notifyAlive {
			t.Fatalf("heard %q", heard)
		}
	}
	s.signal(t, syscall.SIGTERM)
	for heard = next(); heard == notifyAlive; heard = next() {
	}
	if heard != notifyStopping {
		t.Errorf("heard %q", heard)
	}
	if status := wait(t, s.Cmd); status != exitDone {
		t.Errorf("status %d", status)
	}
}

// Goal: threads that do not answer give no sign of life; without a supervisor nothing happens.
func TestNoSignOfLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "4000")
	asked := make(chan bool)
	s := newSupervisor()
	s.start(nil, func() bool { return <-asked })
	s.served()
	s.served()
	message := make([]byte, 4096)
	if count, err := conn.Read(message); err != nil || string(message[:count]) != notifyReady {
		t.Fatalf("%q, %v", message[:count], err)
	}
	asked <- false
	asked <- false
	asked <- true // the first sign of life
	if count, err := conn.Read(message); err != nil || string(message[:count]) != notifyAlive {
		t.Fatalf("%q, %v", message[:count], err)
	}
	close(asked)
	s.end()
	s.end()
	t.Setenv("NOTIFY_SOCKET", "")
	none := newSupervisor()
	none.start(nil, nil)
	none.served()
	none.end()
}
