package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/client"
)

// Goal: a file that cannot grow ends the server with the status of a full disk, and so does the
// next start, which does not announce itself first; with room for more all that was acknowledged is
// there. The limit on the size of files stands for the disk's end.
func TestFullDisk(t *testing.T) {
	path := formatted(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	limited := []string{fmt.Sprintf("%s=%d", fileSize, info.Size()+4<<20)} // less than a flush takes
	s := harnessIn(t, limited, path)
	running, stopped := context.WithCancel(context.Background())
	status := -1
	go func() {
		defer stopped()
		status = wait(t, s.Cmd)
	}()
	acknowledged := fill(running, t, s.port)
	if status != exitNoSpace || !strings.Contains(s.stderr.String(), "the file may not get larger") {
		t.Fatalf("status %d after %d transfers, want %d and why: %s", status, acknowledged, exitNoSpace, s.stderr)
	}
	if acknowledged == 0 {
		t.Fatal("no transfer was acknowledged before the file was full")
	}
	for range 2 {
		// The null device as stdin would end a harness's server.
		status, stdout, stderr := ended(t, limited, "start", "--addresses="+s.port, "--development", path)
		if status != exitNoSpace || stdout != "" || strings.Contains(stderr, "listening") || !strings.Contains(stderr, "no space left") {
			t.Fatalf("start on a full disk: status %d, stdout %q, stderr %s", status, stdout, stderr)
		}
	}
	s = harness(t, path)
	c := connected(t, s.port)
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	for first := uint64(0); first < acknowledged; first += memoryBatch {
		ids := make([]client.U128, memoryBatch)
		for i := range ids {
			ids[i] = client.U128{Lo: first + uint64(i) + 1}
		}
		found, err := c.LookupTransfers(ctx, ids)
		if err != nil || len(found) != len(ids) {
			t.Fatalf("%d of the transfers from %d on, error %v", len(found), first+1, err)
		}
	}
}

// fill makes transfers with ids from 1 on until ctx ends, as it does when the server has ended, and
// returns how many were acknowledged.
func fill(ctx context.Context, t *testing.T, port string) (acknowledged uint64) {
	t.Helper()
	return fillWith(ctx, t, connected(t, port))
}

// fillWith is fill with a client that is there.
func fillWith(ctx context.Context, t *testing.T, c *client.Client) (acknowledged uint64) {
	t.Helper()
	for id := range uint64(2) {
		makeAccount(t, c, id+1)
	}
	transfers := make([]client.Transfer, memoryBatch)
	for {
		for i := range transfers {
			transfers[i] = client.Transfer{
				ID: client.U128{Lo: acknowledged + uint64(i) + 1}, DebitAccountID: client.U128{Lo: 1}, CreditAccountID: client.U128{Lo: 2},
				Amount: client.U128{Lo: 1}, Ledger: 1, Code: 1, UserData128: client.U128{Lo: acknowledged, Hi: uint64(i)},
			}
		}
		results, err := c.CreateTransfers(ctx, transfers)
		if err != nil {
			return acknowledged
		}
		for i := range results {
			if results[i].Status != accounting.TransferStatusCreated {
				t.Fatalf("transfer %d: %v", acknowledged+uint64(i)+1, results[i].Status)
			}
		}
		acknowledged += uint64(len(results))
	}
}

// Goal: a start that may not write what the file has room for, because of a limit on the size of
// files, ends as with a full disk.
func TestFileSizeLimitAtStart(t *testing.T) {
	for limitBytes, why := range map[int]string{4096: "writing copy 1 of the superblock", 1 << 20: "may not get larger (ulimit -f"} {
		path := formatted(t) // the larger limit lets a start write a part of the log, which the next start would repair
		limited := []string{fmt.Sprintf("%s=%d", fileSize, limitBytes)}
		status, stdout, stderr := ended(t, limited, "start", "--addresses=127.0.0.1:39871", "--development", path)
		if status != exitNoSpace || stdout != "" || !strings.Contains(stderr, "no space left") || !strings.Contains(stderr, why) {
			t.Errorf("limit %d: status %d, want %d: %s", limitBytes, status, exitNoSpace, stderr)
		}
	}
}
