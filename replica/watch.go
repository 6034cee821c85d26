package replica

import (
	"golang.org/x/sys/unix"

	"ledger/metrics"
)

// schedstatNs is the shortest time between two readings, unless a turn was long. So there are at
// most 100 readings in a second, of some 2 µs each.
const schedstatNs = 10_000_000

// schedstat reads the kernel's figures of the calling thread: its time on a core, and its time
// ready to run without a core.
type schedstat struct {
	fd     int // below 0: the kernel does not tell
	readNs uint64
	text   [64]byte
}

// open is called on the thread that will be watched.
func (s *schedstat) open() {
	fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1 // no /proc, or a kernel without the file: the figures stay zero
	}
	s.fd = fd
}

func (s *schedstat) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // it was only read, so an error does not matter
	}
	s.fd = -1
}

// watch writes a turn or a sleep that ended at nowNs to the board. It is called between two turns,
// on the thread.
func (s *schedstat) watch(board *metrics.ThreadBoard, nowNs, turnNs uint64) {
	board.Turned(turnNs)
	if s.fd < 0 || nowNs < s.readNs+schedstatNs && turnNs < metrics.TurnNsMin {
		return
	}
	s.readNs = nowNs
	n, err := unix.Pread(s.fd, s.text[:], 0)
	if err != nil {
		s.close()
		return
	}
	run, rest := number(s.text[:n])
	wait, _ := number(rest)
	board.RunNs.Store(run)
	board.WaitNs.Store(wait)
}

// number reads the decimal number at the start of text, and the character behind it.
func number(text []byte) (value uint64, rest []byte) {
	for i, c := range text {
		if c < '0' || c > '9' {
			return value, text[i+1:]
		}
		value = value*10 + uint64(c-'0')
	}
	return value, nil
}
