package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	sectorBytes = 4096
	logSlots    = 1024
)

// wal is what an inspection says of a log.
type wal struct {
	CheckpointOp uint64   `json:"checkpoint_op"`
	Head         uint64   `json:"op_head"`
	Uncertain    []uint64 `json:"uncertain_ops"`
	Slots        []slot   `json:"slots"`
}

type slot struct {
	Slot    uint64 `json:"slot"`
	Row     string `json:"row"`
	Verdict string `json:"verdict"`
	Twin    place  `json:"twin"`
	Prepare place  `json:"prepare"`
}

type place struct {
	Kind      string `json:"kind"`
	Offset    uint64 `json:"offset"`
	Op        uint64 `json:"op"`
	SizeBytes uint64 `json:"size_bytes"`
	Operation string `json:"operation"`
}

func (s slot) String() string {
	return fmt.Sprintf("slot %d: prepare %s of op %d (%s, %d bytes), twin %s of op %d: row %s, %s", s.Slot, s.Prepare.Kind, s.Prepare.Op,
		s.Prepare.Operation, s.Prepare.SizeBytes, s.Twin.Kind, s.Twin.Op, s.Row, s.Verdict)
}

// wal inspects the log of replica i.
func (g *group) wal(i int) (w wal) {
	g.t.Helper()
	if err := json.Unmarshal(g.inspect(i, "wal", "--json"), &w); err != nil {
		g.t.Fatalf("replica %d: what inspect wal says: %v", i, err)
	}
	if len(w.Slots) != logSlots {
		g.t.Fatalf("replica %d: the log has %d slots, the test knows %d", i, len(w.Slots), logSlots)
	}
	return w
}

// has tells whether the slot of an op holds it, whole.
func (w *wal) has(op uint64) bool {
	s := &w.Slots[op%logSlots]
	return s.Prepare.Kind == "whole" && s.Prepare.Op == op
}

// crash kills all replicas at once, and waits until the kernel has ended all their writes.
func (g *group) crash() {
	g.t.Helper()
	for i := range replicas {
		g.signal(i, syscall.SIGKILL)
	}
	for i := range replicas {
		g.kill(i)
		g.awaitUnlocked(i)
	}
}

// awaitUnlocked waits until nobody has the data file open. A killed process holds its lock until
// the last of its writes has ended.
func (g *group) awaitUnlocked(i int) {
	g.t.Helper()
	g.onFile(i, func(file *os.File) error {
		g.await(fmt.Sprintf("the data file of replica %d is not locked", i), func() bool {
			return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		})
		return nil
	})
}

// onFile opens the data file of replica i, which is down.
func (g *group) onFile(i int, do func(file *os.File) error) {
	g.t.Helper()
	file, err := os.OpenFile(g.files[i].Path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(do(file), file.Close())
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// overwrite changes bytes of the data file of replica i. They are on the disk when it returns,
// because a server reads past the page cache.
func (g *group) overwrite(i int, offset uint64, bytes []byte) {
	g.t.Helper()
	g.onFile(i, func(file *os.File) error {
		_, err := file.WriteAt(bytes, int64(offset))
		return errors.Join(err, file.Sync())
	})
}

// startAll starts all replicas, and returns the time until the probe is answered.
func (g *group) startAll(p *probe) time.Duration {
	g.t.Helper()
	begun := time.Now()
	for i := range replicas {
		g.start(i)
	}
	g.await("a client is served after all have started", func() bool {
		g.t.Helper()
		g.alive()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last.After(begun)
	})
	return time.Since(begun)
}

// told is whether replica i has written a line with all of these words since it was started last.
func (g *group) told(i int, words ...string) bool {
	lines := strings.Split(g.files[i].LogTail(100_000), "\n")
	for at := len(lines) - 1; at >= 0 && !strings.HasPrefix(lines[at], "--- start "); at-- {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(lines[at], word) }) {
			return true
		}
	}
	return false
}

// lines are all that the replicas have logged.
func (g *group) lines() (all []string) {
	for _, file := range g.files {
		all = append(all, strings.Split(file.LogTail(100_000), "\n")...)
	}
	return all
}
