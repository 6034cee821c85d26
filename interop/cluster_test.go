package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/server"
)

// TestCluster wants three replicas to go on while any one of them is killed, and the one to catch
// up after.
func TestCluster(t *testing.T) {
	if os.Getenv("CLUSTER") == "" {
		t.Skip("CLUSTER=1 tests a server that forms clusters")
	}
	const count = 3
	var (
		files     [count]*server.File
		processes [count]*server.Process
		ports     [count]int
		addresses []string
	)
	for i := range files {
		files[i] = server.FormatReplica(t, server.Options{Development: true}, i, count)
		ports[i] = server.FreePort(t)
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	start := func(i int) {
		processes[i] = files[i].LaunchCluster(t, ports[i], strings.Join(addresses, ","))
	}
	for i := range files {
		start(i)
	}
	for i := range files {
		if err := processes[i].Await(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	client, err := tb.NewClient(tb.ToUint128(0), addresses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	makeAccounts(t, client, account(1), account(2))

	made, total := uint64(0), uint64(0)
	write := func(batches int) {
		t.Helper()
		for range batches {
			batch := make([]tb.Transfer, 100)
			for i := range batch {
				made++
				batch[i] = transfer(made, 1, 2, made)
				total += made
			}
			makeTransfers(t, client, batch)
		}
	}
	write(20)
	// Each replica in turn, so the primary is among them, and each must have caught up before the next
	// is killed: otherwise the last two alone could not go on.
	for i := range files {
		processes[i].Kill()
		write(10)
		start(i)
		if err := processes[i].Await(time.Minute); err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		write(5)
		for other := range processes {
			if !processes[other].Running() {
				t.Fatalf("replica %d ended by itself\n%s", other, processes[other].LogTail())
			}
		}
	}
	// All at once: what was acknowledged is on their disks.
	for i := range files {
		processes[i].Kill()
	}
	for i := range files {
		start(i)
	}
	write(2)
	wantBalances(t, client, 1, [4]uint64{0, total, 0, 0})
	wantBalances(t, client, 2, [4]uint64{0, 0, 0, total})
	if rows := ask(t, client.LookupTransfers, ids(1, 1000)); len(rows) != 1000 {
		t.Fatalf("%d of the first 1000 transfers exist", len(rows))
	}
}
