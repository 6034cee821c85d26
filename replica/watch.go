package replica

import (
	"golang.org/x/sys/unix"

	"ledger/metrics"
)

// schedstatNs is the least time between two readings, unless a turn was long: 100 in a second, of
// some 2 µs each.
const schedstatNs = 10_000_000

// schedstat reads what the kernel knows of the calling thread: how long it ran, and how long it was
// ready and had no core.
type schedstat struct {
	fd     int // below 0: the kernel does not tell
	readNs uint64
	text   [64]byte
}

// open is called on the thread that is to be watched.
func (s *schedstat) open() {
	fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1 // no /proc, or a kernel without the file: the figures stay zero
	}
	s.fd = fd
}

func (s *schedstat) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // it was only read
	}
	s.fd = -1
}

// watch tells the board of a turn or a sleep that ended at nowNs. Between two turns, on the thread.
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

// number reads the decimal number at the start of text, and a character behind it.
func number(text []byte) (value uint64, rest []byte) {
	for i, c := range text {
		if c < '0' || c > '9' {
			return value, text[i+1:]
		}
		value = value*10 + uint64(c-'0')
	}
	return value, nil
}
