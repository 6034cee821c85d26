package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/client"
)

var (
	memoryFor    = flag.Duration("memory-for", 4*time.Second, "how long TestDevelopmentMemory loads the server")
	memoryBefore = flag.String("memory-before", "",
		"a shell command that TestDevelopmentMemory runs first, with the server's ADDRESS in its environment")
)

const (
	memoryClientsCount = 64
	memoryMiBMax       = 256
)

// Goal: a development server stays small under 64 clients at once: accounts, transfers of all kinds
// with ids in any order, duplicates, failures, lookups and queries. What longer runs and larger
// replies need is in docs/performance.md.
func TestDevelopmentMemory(t *testing.T) {
	s := harness(t, formatted(t))
	if *memoryBefore != "" {
		before := exec.Command("sh", "-c", *memoryBefore)
		before.Env = append(os.Environ(), "ADDRESS=127.0.0.1:"+s.port)
		output, err := before.CombinedOutput()
		t.Logf("at most %d MiB were resident behind %q, which ended with %v:\n%s", memoryPeakMiB(t, s.Process.Pid), *memoryBefore, err, output)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *memoryFor+time.Minute)
	defer cancel()
	deadline := time.Now().Add(*memoryFor)
	var running sync.WaitGroup
	for index := range uint64(memoryClientsCount) {
		running.Go(func() {
			c, err := client.New(ctx, client.Options{Addresses: []string{"127.0.0.1:" + s.port}})
			if err != nil {
				t.Errorf("client %d: %v", index, err)
				return
			}
			defer c.Close()
			work := memoryWork{ctx: ctx, c: c, base: (index + 1) << 40}
			for round := uint64(0); time.Now().Before(deadline); round++ {
				if err := work.round(round); err != nil {
					t.Errorf("client %d, round %d: %v", index, round, err)
					return
				}
			}
		})
	}
	running.Wait()
	peak := memoryPeakMiB(t, s.Process.Pid)
	t.Logf("at most %d MiB were resident", peak)
	if peak >= memoryMiBMax {
		t.Errorf("at most %d MiB were resident, want less than %d\n%s", peak, memoryMiBMax, s.stderr)
	}
}

// memoryWork is one client's.
type memoryWork struct {
	ctx  context.Context
	c    *client.Client
	base uint64 // its ids' first
}

const memoryBatch = 253 // the most that a request of 32 KiB holds

func (w *memoryWork) account(i uint64) client.U128 { return client.U128{Lo: w.base + 1 + i} }

func (w *memoryWork) round(round uint64) error {
	accounts := make([]client.Account, memoryBatch)
	for i := range accounts {
		n := round*memoryBatch + uint64(i)
		accounts[i] = client.Account{
			ID: w.account(n), Ledger: 1, Code: 1 + uint16(i%7), UserData64: n, UserData128: client.U128{Lo: n, Hi: w.base},
			Flags: accounting.AccountHistory,
		}
	}
	if _, err := w.c.CreateAccounts(w.ctx, accounts); err != nil {
		return err
	}
	// Ids hop, so that no run of a tree follows the one before.
	id := func(i uint64) client.U128 {
		return client.U128{Lo: (w.base + round<<10 + i) * 0x9e3779b97f4a7c15, Hi: w.base}
	}
	transfers := make([]client.Transfer, memoryBatch)
	for step, fill := range []func(i uint64, t *client.Transfer){
		func(i uint64, t *client.Transfer) { t.UserData128, t.UserData64, t.UserData32 = id(i), i, uint32(i) },
		func(i uint64, t *client.Transfer) { t.Flags, t.Timeout = accounting.TransferPending, uint32(i%3) },
		func(i uint64, t *client.Transfer) {
			t.Flags = accounting.TransferPostPending
			if i%2 == 0 {
				t.Flags = accounting.TransferVoidPending
			}
			t.PendingID, t.Amount = id(300+i), client.U128{}
		},
		func(i uint64, t *client.Transfer) { // chains that fail at their end, and ids that are burned
			if t.Flags = accounting.TransferLinked; i%20 == 19 || i == memoryBatch-1 {
				t.Flags, t.CreditAccountID = 0, client.U128{Lo: 1}
			}
		},
	} {
		for i := range uint64(memoryBatch) {
			n := round*memoryBatch + i
			transfers[i] = client.Transfer{
				ID: id(uint64(step)*300 + i), DebitAccountID: w.account(n), CreditAccountID: w.account((n*7 + 1) % ((round + 1) * memoryBatch)),
				Amount: client.U128{Lo: 1 + i}, Ledger: 1, Code: uint16(1 + i%100),
			}
			if transfers[i].DebitAccountID == transfers[i].CreditAccountID {
				transfers[i].CreditAccountID = w.account((n + 1) % ((round + 1) * memoryBatch))
			}
			fill(i, &transfers[i])
		}
		for range 2 { // the second time all of it exists
			if _, err := w.c.CreateTransfers(w.ctx, transfers); err != nil {
				return err
			}
		}
	}
	ids := make([]client.U128, memoryBatch)
	for i := range ids {
		ids[i] = id(uint64(i))
	}
	if _, err := w.c.LookupTransfers(w.ctx, ids); err != nil {
		return err
	}
	filter := client.AccountFilter{AccountID: w.account(0), Limit: memoryBatch, Flags: accounting.FilterDebits | accounting.FilterCredits}
	if _, err := w.c.GetAccountTransfers(w.ctx, filter); err != nil {
		return err
	}
	if _, err := w.c.GetAccountBalances(w.ctx, filter); err != nil {
		return err
	}
	if _, err := w.c.QueryTransfers(w.ctx, client.QueryFilter{Ledger: 1, Limit: memoryBatch}); err != nil {
		return err
	}
	_, err := w.c.QueryAccounts(w.ctx, client.QueryFilter{Code: 3, Limit: memoryBatch})
	return err
}

// memoryPeakMiB is the most that a process has had resident.
func memoryPeakMiB(t *testing.T, pid int) (mebibytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		kibibytes := 0
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kibibytes); err == nil {
			return kibibytes >> 10
		}
	}
	t.Skip("the kernel does not tell VmHWM")
	return 0
}
