package inspect

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/affinity"
	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
	"ledger/storage/datafile"
)

// within bounds every wait for a server.
const within = 2 * time.Minute

// small makes flushes, merges and checkpoints happen within a few hundred ops.
func small() limits.Limits {
	l := limits.Development()
	l.JournalSlotsCount, l.BarOps, l.SlackOps = 256, 8, 16 // a checkpoint after 224 ops, of 28 bars
	l.MemtableRowsSeal, l.CacheGridBytes, l.CacheAccountsMax = 1024, 32<<20, 1<<16
	return l
}

// format makes an empty data file.
func format(t testing.TB, l limits.Limits) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.data")
	file, err := posix.OpenDataFile(path, posix.OpenOptions{Create: true, DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	defer memory.Close()
	if err := datafile.Format(file, &l, &datafile.FormatOptions{ReplicasCount: 1, Incarnation: 1},
		memory.Bytes(uint64(l.MessageBytesMax), 4096, "format")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve runs a server on a data file until stop is called.
func serve(t testing.TB, path string, l limits.Limits) (address string, stop func()) {
	t.Helper()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	topology, err := affinity.System()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := affinity.Place(topology, affinity.AutoRequest())
	if err != nil {
		t.Fatal(err)
	}
	plan.Threads = plan.Threads[:plan.CompactThreads()[0]+1]
	server, err := replica.NewServer(file, l, plan, replica.ServerOptions{IO: replica.IOAuto})
	if err != nil {
		t.Fatal(err)
	}
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 8)
	if err := server.Run(fd, replica.Callbacks{Ready: func() { close(ready) }, Ended: func(err error) { ended <- err }}); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		server.Close()
		unix.Close(fd)
		file.Close()
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the server ended at start: %v", err)
	case <-time.After(within):
		t.Fatal("the server does not get ready")
	}
	return fmt.Sprintf("127.0.0.1:%d", port), stop
}

// transfer creates accounts, and then batches of transfers, each an op.
func transfer(ctx context.Context, address string, batches int) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: []string{address}})
	if err != nil {
		return err
	}
	defer c.Close()
	accounts := make([]client.Account, 50)
	for i := range accounts {
		accounts[i] = client.Account{ID: client.U128{Lo: uint64(i + 1)}, Ledger: 1, Code: 1, Flags: 8} // with history
	}
	if _, err := c.CreateAccounts(ctx, accounts); err != nil {
		return err
	}
	ids := client.NewIDs()
	for batch := range batches {
		size := 200
		if batch%4 == 0 { // small enough for a twin
			size = 3
		}
		transfers := make([]client.Transfer, size)
		for i := range transfers {
			transfers[i] = client.Transfer{ID: ids.Next(), DebitAccountID: client.U128{Lo: uint64(1 + (batch+i)%25)},
				CreditAccountID: client.U128{Lo: uint64(26 + i%25)}, Amount: client.U128{Lo: 1}, Ledger: 1, Code: 1,
				UserData64: uint64(batch)}
		}
		if _, err := c.CreateTransfers(ctx, transfers); err != nil {
			return err
		}
	}
	return nil
}

// aged is a data file with a checkpoint, ops behind it, and a log that went around. It is read
// only.
func aged(t testing.TB) (path string, l limits.Limits) {
	t.Helper()
	l = small()
	path = format(t, l)
	address, stop := serve(t, path, l)
	if err := transfer(t.Context(), address, 301); err != nil { // the last is small
		t.Fatal(err)
	}
	stop()
	return path, l
}

// overlay is a file with changes that nobody writes to it.
type overlay struct {
	ports.File
	lock    sync.Mutex
	changes map[uint64]byte // by offset
	once    bool            // a change is seen by one read, then the file is right
}

func (o *overlay) ReadAt(buffer []byte, offset uint64) error {
	if err := o.File.ReadAt(buffer, offset); err != nil {
		return err
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	for at, change := range o.changes {
		if at >= offset && at < offset+uint64(len(buffer)) {
			buffer[at-offset] ^= change
			if o.once {
				delete(o.changes, at)
			}
		}
	}
	return nil
}

// opened is a data file with some changes.
func opened(t testing.TB, path string, l limits.Limits, changes map[uint64]byte) (*File, *overlay) {
	t.Helper()
	file, err := posix.OpenReadOnly(path, l.SectorBytes)
	if err != nil {
		t.Fatal(err)
	}
	o := &overlay{File: file, changes: changes}
	f, err := Open(o, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		file.Close()
	})
	return f, o
}
