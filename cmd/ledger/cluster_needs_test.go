package main

import (
	"bytes"
	"context"
	"os"
	"testing"

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

// Goal: a replica that needs what only the others have gets it from them, and serves: one that was
// away for more than a log, and one whose grid is damaged as a whole.
func TestClusterHeals(t *testing.T) {
	p := newProcesses(t, 3)
	p.startAll()
	c := p.client()
	makeAccount(t, c, 1)
	away := (p.primary() + 1) % 3
	p.stop(away)
	p.ops(c, int(limits.Production().JournalSlotsCount)+200)
	p.start(away, nil)
	p.awaitReady(away, true)
	makeAccount(t, c, 2)

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
	p.awaitReady(damaged, true)
	makeAccount(t, c, 3)
}

func fileInfo(t *testing.T, file *os.File) os.FileInfo {
	t.Helper()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info
}
