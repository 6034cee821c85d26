package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/limits"
	"ledger/storage/datafile"
)

// ops makes the cluster commit ops until it has committed count of them.
func (p *processes) ops(c *client.Client, count int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*endsWithin)
	defer cancel()
	for range count {
		if _, err := c.LookupAccounts(ctx, []client.U128{{Lo: 1}}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// stop ends a replica with SIGTERM.
func (p *processes) stop(i int) {
	p.t.Helper()
	if err := p.replicas[i].Process.Signal(unix.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if status := wait(p.t, p.replicas[i].Cmd); status != exitDone {
		p.t.Fatalf("replica %d: status %d: %s", i, status, p.replicas[i].said)
	}
}

// Goal: a replica that needs what only the others have says so in one line and ends with the status
// for that: one that was away for more than a log, and one whose checkpoint is damaged. The others
// go on without it.
func TestClusterNeedsOthers(t *testing.T) {
	p := newProcesses(t, 3)
	p.startAll()
	c := p.client()
	makeAccount(t, c, 1)
	away := (p.primary() + 1) % 3
	p.stop(away)
	p.ops(c, int(limits.Production().JournalSlotsCount)+200)
	p.start(away, nil)
	p.needs(away, "behind the others")
	makeAccount(t, c, 2)

	// The other two have a checkpoint now. One that cannot open its own leaves the last one alone.
	damaged := p.primary()
	p.stop(damaged)
	edit(t, p.paths[damaged], func(file *os.File) {
		l := limits.Production()
		layout, info := datafile.NewLayout(&l), fileInfo(t, file)
		ones := bytes.Repeat([]byte{0xff}, 1<<20)
		for at := int64(layout.GridAt); at < info.Size(); at += int64(len(ones)) {
			if _, err := file.WriteAt(ones[:min(int64(len(ones)), info.Size()-at)], at); err != nil {
				t.Fatal(err)
			}
		}
	})
	p.start(damaged, nil)
	p.needs(damaged, "the other replicas have what this one needs")
	last := 3 - away - damaged
	if status, body := page(p.metrics[last], "/healthz"); status != 200 {
		t.Errorf("replica %d: %s", last, body)
	}
}

func fileInfo(t *testing.T, file *os.File) os.FileInfo {
	t.Helper()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// needs waits until a replica has ended because it needs something of the others.
func (p *processes) needs(i int, why string) {
	p.t.Helper()
	f := p.replicas[i]
	status := wait(p.t, f.Cmd)
	for deadline := time.Now().Add(endsWithin); !strings.Contains(f.said.String(), "error: ledger: ") && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the line is still on its way
	}
	line := lineWith(f.said.String(), "error: ledger: ")
	if status != exitOthers || !strings.Contains(line, why) || strings.Count(f.said.String(), "error: ") != 1 {
		p.t.Errorf("replica %d: status %d, want %d and a line with %q: %s", i, status, exitOthers, why, f.said)
	}
}
