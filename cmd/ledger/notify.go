package main

import (
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"ledger/replica"
)

// Notifications for systemd, or another supervisor with its protocol: sd_notify(3).
const (
	notifyReady    = "READY=1\nSTATUS=serves clients"
	notifyStopping = "STOPPING=1\nSTATUS=stops"
	notifyUpgrade  = "STATUS=becomes the next release"
	notifyAlive    = "WATCHDOG=1"
)

// progressSaid is the pause between two messages about the progress of a start.
const progressSaid = time.Second

// supervisor tells the process that started this one how far it is, if that wants to know.
type supervisor struct {
	conn    net.Conn
	alive   time.Duration // pause between two signs of life; 0: none are wanted
	ending  chan struct{}
	ready   chan struct{}
	once    sync.Once
	serving sync.Once
	running sync.WaitGroup
}

// newSupervisor reads the environment, which names the socket and the longest time without a sign
// of life. Neither is an error if it is missing or wrong: the server is more than its supervision.
func newSupervisor() *supervisor {
	s := &supervisor{ending: make(chan struct{}), ready: make(chan struct{})}
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return s
	}
	if path[0] == '@' { // a socket without a file
		path = "\x00" + path[1:]
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return s
	}
	s.conn = conn
	process := os.Getenv("WATCHDOG_PID")
	microseconds, err := strconv.ParseUint(os.Getenv("WATCHDOG_USEC"), 10, 52)
	if err == nil && (process == "" || process == strconv.Itoa(os.Getpid())) {
		s.alive = time.Duration(microseconds) * time.Microsecond / 4
	}
	return s
}

func (s *supervisor) say(message string) {
	if s.conn != nil {
		_, _ = s.conn.Write([]byte(message)) // a supervisor that has gone needs none
	}
}

// start tells the progress until clients are served. From then until end, it gives a sign of life
// whenever all stage threads answer.
func (s *supervisor) start(progress *replica.Progress, answers func() bool) {
	if s.conn == nil {
		return
	}
	s.running.Go(func() {
		ticker := time.NewTicker(progressSaid)
		defer ticker.Stop()
		for said := ""; ; {
			select {
			case <-s.ending:
				return
			case <-s.ready:
				s.say(notifyReady)
				s.live(answers)
				return
			case <-ticker.C:
				if now := progress.String(); now != said {
					said = now
					s.say("STATUS=" + now)
				}
				if s.alive > 0 {
					s.say(notifyAlive)
				}
			}
		}
	})
}

// live gives signs of life.
func (s *supervisor) live(answers func() bool) {
	if s.alive == 0 {
		return
	}
	ticker := time.NewTicker(s.alive)
	defer ticker.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-ticker.C:
			if answers() {
				s.say(notifyAlive)
			}
		}
	}
}

// served: clients are served. Any thread may call it.
func (s *supervisor) served() { s.serving.Do(func() { close(s.ready) }) }

// end says that the server stops. The stage threads are not asked after it. Later calls do nothing.
func (s *supervisor) end() { s.endWith(notifyStopping) }

// leave says that this process becomes that of the next release, which starts. The supervisor waits
// for it as for a start.
func (s *supervisor) leave() { s.endWith(notifyUpgrade) }

func (s *supervisor) endWith(message string) {
	s.once.Do(func() {
		close(s.ending)
		s.running.Wait()
		s.say(message)
		if s.conn != nil {
			_ = s.conn.Close()
		}
	})
}
