package move

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/client"
	"ledger/limits"
	"ledger/wire"
)

const startNs = uint64(1_700_000_000_000_000_000)

// world is a server in memory: the rules over a plain store.
type world struct {
	store     *memory.Store
	machine   *accounting.Machine
	clock     uint64
	body      []byte
	reply     []byte
	bytesMax  uint32 // of a request's body
	creates   int    // requests that have created
	failAt    int    // the create request after which the caller is killed; 0: none
	onRequest func() // nil: nothing
	isTwice   bool   // each create is executed twice, as when its session was lost before the answer
}

var errKilled = errors.New("killed")

func newWorld() *world {
	store := memory.New(64, 64)
	return &world{store: store, machine: accounting.New(limits.Production(), store), clock: startNs,
		body: aligned(wire.BodyBytesMax), reply: aligned(wire.BodyBytesMax), bytesMax: 8<<10 - wire.HeaderBytes} // 60 rows
}

// execute runs one request with one batch, a millisecond after the last one.
func execute[E, R any](w *world, operation wire.Operation, events []E) []R {
	if w.onRequest != nil {
		w.onRequest()
	}
	var body []byte
	var memory []byte
	if len(events) > 0 {
		memory = memoryOfAll(events)
	}
	if operation.IsMultiBatch() {
		encoder := wire.NewBatchEncoder(w.body, operation.EventBytes(), 1)
		encoder.EndBatch(copy(encoder.Free(), memory) / int(operation.EventBytes()))
		body = encoder.Finish()
	} else {
		body = w.body[:copy(w.body, memory)]
	}
	w.clock += 1_000_000 + wire.TimestampDelta(operation, body)
	request := accounting.Request{Operation: operation, Timestamp: w.clock, RequestBytesMax: w.bytesMax + wire.HeaderBytes, Body: body}
	if fault := wire.ValidateBody(operation, body, w.bytesMax); fault != "" {
		panic(fault)
	}
	results := w.reply[:w.machine.Execute(&request, w.reply)]
	if operation.IsMultiBatch() {
		batches, _ := wire.DecodeBatches(results, operation.ResultBytes())
		results, _ = batches.Next()
	}
	var one R
	rows := make([]R, len(results)/int(unsafe.Sizeof(one)))
	if len(rows) > 0 {
		copy(memoryOfAll(rows), results)
	}
	return rows
}

// pulse lets expire what is due.
func (w *world) pulse(afterNs uint64) {
	w.clock += afterNs + 8191
	w.machine.Pulse(w.clock, w.bytesMax+wire.HeaderBytes)
}

func (w *world) LookupAccounts(_ context.Context, ids []wire.U128) ([]accounting.Account, error) {
	return execute[wire.U128, accounting.Account](w, wire.OperationLookupAccounts, ids), nil
}

func (w *world) LookupTransfers(_ context.Context, ids []wire.U128) ([]accounting.Transfer, error) {
	return execute[wire.U128, accounting.Transfer](w, wire.OperationLookupTransfers, ids), nil
}

func (w *world) QueryAccounts(_ context.Context, filter accounting.QueryFilter) ([]accounting.Account, error) {
	return execute[accounting.QueryFilter, accounting.Account](w, wire.OperationQueryAccounts, []accounting.QueryFilter{filter}), nil
}

func (w *world) QueryTransfers(_ context.Context, filter accounting.QueryFilter) ([]accounting.Transfer, error) {
	return execute[accounting.QueryFilter, accounting.Transfer](w, wire.OperationQueryTransfers, []accounting.QueryFilter{filter}), nil
}

func (w *world) GetAccountTransfers(_ context.Context, filter accounting.AccountFilter) ([]accounting.Transfer, error) {
	return execute[accounting.AccountFilter, accounting.Transfer](w, wire.OperationGetAccountTransfers,
		[]accounting.AccountFilter{filter}), nil
}

func (w *world) GetChangeEvents(_ context.Context, filter accounting.ChangeEventsFilter) ([]accounting.ChangeEvent, error) {
	return execute[accounting.ChangeEventsFilter, accounting.ChangeEvent](w, wire.OperationGetChangeEvents,
		[]accounting.ChangeEventsFilter{filter}), nil
}

// created counts a create request, and kills its caller if the test wants that.
func (w *world) created() error {
	if w.creates++; w.creates == w.failAt {
		return errKilled
	}
	return nil
}

func (w *world) CreateAccounts(_ context.Context, accounts []accounting.Account) ([]client.CreateAccountResult, error) {
	results := execute[accounting.Account, client.CreateAccountResult](w, wire.OperationCreateAccounts, accounts)
	if w.isTwice {
		results = execute[accounting.Account, client.CreateAccountResult](w, wire.OperationCreateAccounts, accounts)
	}
	return results, w.created()
}

func (w *world) CreateTransfers(_ context.Context, transfers []accounting.Transfer) ([]client.CreateTransferResult, error) {
	results := execute[accounting.Transfer, client.CreateTransferResult](w, wire.OperationCreateTransfers, transfers)
	if w.isTwice {
		results = execute[accounting.Transfer, client.CreateTransferResult](w, wire.OperationCreateTransfers, transfers)
	}
	return results, w.created()
}

func (w *world) BodyBytesMax(context.Context) (uint32, error) { return w.bytesMax, nil }

// live fills a world as applications do: with chains, limits, two phases, timeouts, closing,
// balancing and failures, and no imports.
func (w *world) live(random *rand.Rand, requests int) {
	ctx := context.Background()
	const accountsCount = 12
	amount := func() wire.U128 { return wire.U128From(uint64(random.IntN(40))) }
	for id := uint64(1); id <= accountsCount; id++ {
		account := accounting.Account{ID: wire.U128From(id), Ledger: 1, Code: uint16(1 + random.IntN(3)), UserData64: uint64(random.IntN(2)),
			Flags: []accounting.AccountFlags{0, 0, 0, accounting.AccountHistory, accounting.AccountDebitsMustNotExceedCredits,
				accounting.AccountCreditsMustNotExceedDebits}[random.IntN(6)]}
		if id == accountsCount {
			account.Flags = accounting.AccountClosed
		}
		batch := []accounting.Account{account}
		if id%4 == 1 { // a chain of two
			batch[0].Flags |= accounting.AccountLinked
			batch = append(batch, accounting.Account{ID: wire.U128From(100 + id), Ledger: 1, Code: 1})
		}
		_, _ = w.CreateAccounts(ctx, batch)
	}
	id, pendings := uint64(0), []wire.U128(nil)
	for range requests {
		var batch []accounting.Transfer
		for range 1 + random.IntN(12) {
			id++
			t := accounting.Transfer{ID: wire.U128From(id), DebitAccountID: wire.U128From(1 + uint64(random.IntN(accountsCount))),
				CreditAccountID: wire.U128From(1 + uint64(random.IntN(accountsCount))), Amount: amount(), Ledger: 1, Code: 1,
				UserData32: uint32(random.IntN(2))}
			switch random.IntN(10) {
			case 0, 1, 2:
				t.Flags = accounting.TransferPending
				t.Timeout = uint32(random.IntN(3))
				pendings = append(pendings, t.ID)
			case 3, 4, 5:
				if len(pendings) == 0 {
					break
				}
				t = accounting.Transfer{ID: t.ID, PendingID: pendings[random.IntN(len(pendings))], Flags: accounting.TransferVoidPending}
				if random.IntN(2) == 0 {
					t.Flags, t.Amount = accounting.TransferPostPending, wire.U128Max()
				}
			case 6:
				t.Flags, t.Amount = accounting.TransferBalancingDebit<<random.IntN(2), wire.U128Max()
			case 7:
				if random.IntN(3) == 0 {
					t.Flags = accounting.TransferPending | accounting.TransferClosingDebit<<random.IntN(2)
					t.Timeout, t.Amount = uint32(random.IntN(3)), wire.U128{}
					pendings = append(pendings, t.ID)
				}
			}
			if random.IntN(5) == 0 {
				t.Flags |= accounting.TransferLinked
			}
			batch = append(batch, t)
		}
		_, _ = w.CreateTransfers(ctx, batch)
		if random.IntN(4) == 0 {
			w.pulse(uint64(random.IntN(3)) * nsPerSecond)
		}
	}
}

// wild fills a world with requests of all kinds, imports among them, and lets nothing expire: an
// import may be older than an expiry that was before it, and then no order of timestamps repeats
// what happened.
func (w *world) wild(random *rand.Rand, requests int) {
	traffic := storetest.New(random, startNs)
	for range requests {
		request := traffic.Next()
		w.clock = max(w.clock, request.Timestamp)
		w.machine.Execute(&request, w.reply)
	}
}

// everything is the state of a world as text: accounts with balances, and transfers.
func (w *world) everything() string {
	text := ""
	for _, a := range allOf(accountPages(w), func(a *accounting.Account) uint64 { return a.Timestamp }) {
		text += fmt.Sprintf("%+v\n", a)
	}
	for _, t := range allOf(transferPages(w), func(t *accounting.Transfer) uint64 { return t.Timestamp }) {
		text += fmt.Sprintf("%+v\n", t)
	}
	return text
}

func allOf[R any](pages page[R], stamp func(*R) uint64) (rows []R) {
	for after := uint64(0); ; after = stamp(&rows[len(rows)-1]) {
		page, err := pages(context.Background(), after, 0)
		if err != nil {
			panic(err)
		}
		if len(page) == 0 {
			return rows
		}
		rows = append(rows, page...)
	}
}

// told collects what a job tells.
type told struct {
	changes []Change
	wrong   []string
}

func (t *told) count(kind ChangeKind) (count int) {
	for _, c := range t.changes {
		if c.Kind == kind {
			count++
		}
	}
	return count
}

func (t *told) options(isDryRun bool) ImportOptions {
	return ImportOptions{IsDryRun: isDryRun, Tell: t.change, Progress: func(Progress) {},
		Wrong: func(e *RowError) { t.wrong = append(t.wrong, e.Error()) }}
}

func (t *told) change(c Change) { t.changes = append(t.changes, c) }

// exported writes an export of a world to a new folder.
func exported(tb testing.TB, w *world, isCSV bool) (folder string) {
	tb.Helper()
	folder = tb.TempDir()
	export(tb, w, folder, isCSV)
	return folder
}

func export(tb testing.TB, w *world, folder string, isCSV bool) {
	tb.Helper()
	options := ExportOptions{Folder: folder, IsCSV: isCSV, Messages: tb.Output(), Progress: func(Progress) {}}
	if _, err := Export(context.Background(), w, options); err != nil {
		tb.Fatal(err)
	}
}

// imported puts files into a world.
func imported(w *world, files FileOptions, isDryRun bool) (report Report, said *told, err error) {
	said = &told{}
	s, err := OpenFiles(files, said.change)
	if err != nil {
		return report, said, err
	}
	report, err = Import(context.Background(), w, s, said.options(isDryRun))
	return report, said, errors.Join(err, s.Close())
}
