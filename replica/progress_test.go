package replica

import (
	"strings"
	"testing"
	"time"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/limits"
)

// slowFile lets one read through for each token.
type slowFile struct {
	ports.DataFile
	tokens chan struct{}
	began  chan struct{}
}

func (f *slowFile) ReadAt(buffer []byte, offsetBytes uint64) error {
	f.began <- struct{}{}
	<-f.tokens
	return f.DataFile.ReadAt(buffer, offsetBytes)
}

// Goal: while the data file is being read, anybody is told so, and how much was read.
func TestProgressOfRead(t *testing.T) {
	l := limits.Development()
	file, err := posix.OpenDataFile(formatted(t, l), posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	slow := &slowFile{DataFile: file, tokens: make(chan struct{}), began: make(chan struct{})}
	progress := &Progress{}
	if got := progress.String(); !strings.Contains(got, "not open yet") {
		t.Errorf("at first: %s", got)
	}
	memory := arena.New()
	defer memory.Close()
	ended := make(chan error, 1)
	progress.enter(phaseRead, 0)
	go func() {
		_, err := recoverFile(progress.counting(slow), l, memory)
		ended <- err
	}()
	<-slow.began // and now it hangs, as a disk might
	if got := progress.String(); got != "superblock and log are being read: 0 MiB so far" {
		t.Errorf("during the first read: %s", got)
	}
	for reading := true; reading; {
		select {
		case slow.tokens <- struct{}{}:
		case <-slow.began:
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			reading = false
		}
	}
	if got := progress.String(); strings.Contains(got, " 0 MiB") || progress.done.Load() < 1<<20 {
		t.Errorf("after the last read: %s", got)
	}
}

// Goal: a start goes through its phases and ends as serving; the ops that the log's execution does
// are counted up to the log's head.
func TestProgressOfStart(t *testing.T) {
	l := limits.Development()
	path := formatted(t, l)
	r, err := opened(t, path, l, IOPosix)
	if err != nil {
		t.Fatal(err)
	}
	progress := &Progress{}
	r.server.progress = progress
	ready, err := r.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	select {
	case <-ready:
	case <-time.After(replyWithin):
		t.Fatalf("not ready: %s", progress)
	}
	if got := progress.String(); got != "clients are served" {
		t.Errorf("when clients are served: %s", got)
	}
	progress.enter(phaseReplay, 7)
	progress.set(3)
	if got := progress.String(); got != "the log is being executed again: 3 of 7 ops" {
		t.Errorf("during the replay: %s", got)
	}
	var nobody *Progress // a server without an endpoint
	nobody.enter(phaseReplay, 7)
	nobody.set(1)
	nobody.add(1)
}
