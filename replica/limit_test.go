package replica

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/client"
	"ledger/limits"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Goal: under load, a server's data file grows to the storage limit and never beyond it, with the
// zones before the grid and the growth step counted. The limit is neither whole growth steps nor
// whole blocks behind the zones. The server ends with the error of the limit, as does the next
// start with the same limit; with a larger one all that was acknowledged is there.
func TestStorageLimitUnderLoad(t *testing.T) {
	l := shapes()["development"]
	layout := datafile.NewLayout(&l)
	path := formatted(t, l)
	l.StorageBytesMax = layout.GridAt + 70<<20 + uint64(l.BlockBytes)/2
	s := started(t, path, l, IOAuto)
	acknowledged, err := fillUntilEnd(t, s, uint64(wire.EventsMax(wire.OperationCreateTransfers, l.RequestBytesMax-limits.HeaderBytes)))
	wantLimit(t, err)
	s.close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	size, largest := uint64(info.Size()), l.StorageBytesMax-uint64(l.BlockBytes)/2
	if size > l.StorageBytesMax {
		t.Errorf("the file has %d bytes, the limit is %d", size, l.StorageBytesMax)
	}
	if size != largest || acknowledged == 0 {
		t.Errorf("the file has %d bytes after %d transfers, want %d: the last growth step ends at the last whole block",
			size, acknowledged, largest)
	}

	s, err = opened(t, path, l, IOAuto)
	if err == nil {
		if _, err = s.listen(); err == nil {
			select {
			case err = <-s.ended:
			case <-time.After(replyWithin):
			}
		}
		s.close()
	}
	wantLimit(t, err)
	if info, err := os.Stat(path); err != nil || uint64(info.Size()) != size {
		t.Errorf("the second start left %v bytes, error %v", info, err)
	}

	l.StorageBytesMax = limits.Production().StorageBytesMax
	s = started(t, path, l, IOAuto)
	c := registered(t, s.address, 99)
	if debits, _ := c.posted(1); debits < acknowledged {
		t.Errorf("account 1 has debits %d, want those of %d transfers that were acknowledged", debits, acknowledged)
	}
	s.close()
}

func wantLimit(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrStorageLimit) || !strings.Contains(err.Error(), "--limit-storage") {
		t.Fatalf("the server ends with %v, want the storage limit", err)
	}
}

// fillUntilEnd makes transfers, a request of count after the other, until the server ends, and
// returns how many were acknowledged and why it ended.
func fillUntilEnd(t *testing.T, s *running, count uint64) (acknowledged uint64, ended error) {
	t.Helper()
	running, stopped := context.WithCancel(context.Background())
	why := make(chan error, 1)
	go func() {
		defer stopped()
		why <- <-s.ended
	}()
	c, err := client.New(running, client.Options{Addresses: []string{s.address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accounts := []client.Account{{ID: wire.U128From(1), Ledger: 1, Code: 1}, {ID: wire.U128From(2), Ledger: 1, Code: 1}}
	if _, err := c.CreateAccounts(running, accounts); err != nil {
		t.Fatal(err)
	}
	for {
		results, err := c.CreateTransfers(running, transfers(acknowledged+1, count, 1, 2))
		if err != nil {
			return acknowledged, <-why
		}
		for i := range results {
			if results[i].Status != accounting.TransferStatusCreated {
				t.Fatalf("transfer %d: status %d", acknowledged+uint64(i)+1, results[i].Status)
			}
		}
		acknowledged += uint64(len(results))
	}
}
