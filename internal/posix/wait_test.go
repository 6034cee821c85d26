package posix

import (
	"testing"
	"time"

	"ledger/internal/ports"
)

// Goal: on a kernel without epoll_pwait2 waits are whole milliseconds, rounded up, so that a short
// one does not spin.
func TestWaitWithoutPwait2(t *testing.T) {
	thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	if err := thread.Start(); err != nil {
		t.Fatal(err)
	}
	thread.noPwait2 = true
	began := time.Now()
	for range 5 {
		thread.Wait(1)
	}
	if elapsed := time.Since(began); elapsed < 2*time.Millisecond || elapsed > time.Second {
		t.Errorf("5 waits of 1 ns took %v, want about 5 ms", elapsed)
	}
}
