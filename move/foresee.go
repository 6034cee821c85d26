package move

import (
	"context"
	"encoding/binary"
	"time"
	"unsafe"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// stateMax is the number of accounts, and of pending transfers, that an import remembers. With more
// it forgets all, and asks the server again.
const stateMax = 1 << 17

// foresight tells how a server will answer a batch, from what it says of the accounts and transfers
// that the batch names. It holds true as long as nobody else writes to the server.
type foresight struct {
	d         Database
	store     *store
	machine   *accounting.Machine
	bodyBytes uint32
	stateMax  int
	body      []byte
	reply     []byte
}

// newForesight makes one for a server with these newest timestamps.
func newForesight(d Database, bodyBytes uint32, isDry bool, accountStamp, transferStamp uint64) *foresight {
	f := &foresight{d: d, store: newStore(isDry), bodyBytes: bodyBytes, stateMax: stateMax,
		body: aligned(wire.BodyBytesMax), reply: aligned(wire.BodyBytesMax)}
	f.store.accountStampMax, f.store.transferStampMax = accountStamp, transferStamp
	f.machine = accounting.New(limits.Production(), f.store)
	return f
}

// aligned returns memory at an address that is a multiple of 8.
func aligned(count int) []byte {
	words := make([]uint64, (count+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), count)
}

// accounts tells the statuses of a batch of accounts. If they are another server's and this one has
// nothing else, their ids and timestamps are new, and it is not asked for them.
func (f *foresight) accounts(ctx context.Context, rows []accounting.Account, isNew bool) ([]uint32, error) {
	f.forget()
	clear(f.store.taken)
	if isNew {
		return f.execute(wire.OperationCreateAccounts, memoryOfAll(rows)), nil
	}
	ids := make([]wire.U128, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	if err := f.loadAccounts(ctx, ids); err != nil {
		return nil, err
	}
	err := taken(ctx, f.store.taken, rows[0].Timestamp, rows[len(rows)-1].Timestamp, transferPages(f.d),
		func(t *accounting.Transfer) uint64 { return t.Timestamp }, rows, func(a *accounting.Account) uint64 { return a.Timestamp })
	if err != nil {
		return nil, err
	}
	return f.execute(wire.OperationCreateAccounts, memoryOfAll(rows)), nil
}

// transfers tells the statuses of a batch of transfers; see accounts. Accounts and pending
// transfers that are not known are asked for in any case.
func (f *foresight) transfers(ctx context.Context, rows []accounting.Transfer, isNew bool) ([]uint32, error) {
	f.forget()
	clear(f.store.taken)
	base := len(f.store.rows)
	ids, pendings := make([]wire.U128, len(rows)), []wire.U128(nil)
	accounts := make([]wire.U128, 0, 2*len(rows))
	for i := range rows {
		t := &rows[i]
		ids[i] = t.ID
		if !t.PendingID.IsZero() {
			pendings = append(pendings, t.PendingID)
			continue
		}
		accounts = append(accounts, t.DebitAccountID, t.CreditAccountID)
	}
	asked := elsewhere(pendings, ids)
	if !isNew {
		asked = append(ids, asked...)
	}
	if err := f.loadTransfers(ctx, asked); err != nil {
		return nil, err
	}
	if err := f.loadAccounts(ctx, accounts); err != nil {
		return nil, err
	}
	if !isNew {
		if err := f.loadTaken(ctx, rows); err != nil {
			return nil, err
		}
	}
	statuses := f.execute(wire.OperationCreateTransfers, memoryOfAll(rows))
	f.store.trim(base)
	return statuses, nil
}

// loadTaken finds the timestamps of transfers that accounts have.
func (f *foresight) loadTaken(ctx context.Context, rows []accounting.Transfer) error {
	return taken(ctx, f.store.taken, rows[0].Timestamp, rows[len(rows)-1].Timestamp, accountPages(f.d),
		func(a *accounting.Account) uint64 { return a.Timestamp }, rows, func(t *accounting.Transfer) uint64 { return t.Timestamp })
}

// elsewhere are the pending ids that are no ids of the batch.
func elsewhere(pendings, ids []wire.U128) (others []wire.U128) {
	if len(pendings) == 0 {
		return nil
	}
	own := make(map[wire.U128]struct{}, len(ids)+len(pendings))
	for _, id := range ids {
		own[id] = struct{}{}
	}
	for _, id := range pendings {
		if _, isOwn := own[id]; !isOwn {
			own[id] = struct{}{}
			others = append(others, id)
		}
	}
	return others
}

// memoryOfAll shows rows as they travel.
func memoryOfAll[R any](rows []R) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(rows))), len(rows)*int(unsafe.Sizeof(rows[0])))
}

// forget bounds the memory. A dry run cannot ask the server again for what it has made itself.
func (f *foresight) forget() {
	if !f.store.isDry && (len(f.store.accounts) > f.stateMax || len(f.store.rows) > f.stateMax) {
		f.store.clear()
	}
}

// loadAccounts asks for the accounts that are not known.
func (f *foresight) loadAccounts(ctx context.Context, ids []wire.U128) error {
	asked := map[wire.U128]struct{}{}
	var unknown []wire.U128
	for _, id := range ids {
		_, isKnown := f.store.accountIDs[id]
		_, isAsked := asked[id]
		if !isKnown && !isAsked {
			asked[id] = struct{}{}
			unknown = append(unknown, id)
		}
	}
	return inParts(unknown, f.lookupMax(wire.OperationLookupAccounts), func(part []wire.U128) error {
		found, err := f.d.LookupAccounts(ctx, part)
		for i := range found {
			f.store.load(&found[i])
		}
		return err
	})
}

// loadTransfers asks for the transfers that are not known, and for their accounts.
func (f *foresight) loadTransfers(ctx context.Context, ids []wire.U128) error {
	var unknown []wire.U128
	for _, id := range ids {
		if _, isKnown := f.store.rowIDs[id]; !isKnown {
			unknown = append(unknown, id)
		}
	}
	return inParts(unknown, f.lookupMax(wire.OperationLookupTransfers), func(part []wire.U128) error {
		found, err := f.d.LookupTransfers(ctx, part)
		if err != nil {
			return err
		}
		var accounts []wire.U128
		for i := range found {
			accounts = append(accounts, found[i].DebitAccountID, found[i].CreditAccountID)
		}
		if err := f.loadAccounts(ctx, accounts); err != nil {
			return err
		}
		for i := range found {
			f.store.loadTransfer(&found[i])
		}
		return nil
	})
}

func (f *foresight) lookupMax(operation wire.Operation) int {
	return int(wire.EventsMax(operation, f.bodyBytes))
}

func inParts[R any](rows []R, partMax int, visit func([]R) error) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), partMax)]
		if err := visit(part); err != nil {
			return err
		}
		rows = rows[len(part):]
	}
	return nil
}

// taken finds the timestamps of rows that objects of the other kind have. Batches do not overlap in
// time, so over a whole import no more than all these objects are read.
func taken[R, O any](ctx context.Context, to map[uint64]struct{}, first, last uint64, others page[O], otherStamp func(*O) uint64,
	rows []R, stamp func(*R) uint64) error {
	if first == 0 || last < first || last > accounting.TimestampMax {
		return nil // the rules find fault with it
	}
	var own map[uint64]struct{}
	for after := first - 1; after < last; {
		page, err := others(ctx, after, last)
		if err != nil || len(page) == 0 {
			return err
		}
		if own == nil {
			own = make(map[uint64]struct{}, len(rows))
			for i := range rows {
				own[stamp(&rows[i])] = struct{}{}
			}
		}
		for i := range page {
			after = otherStamp(&page[i])
			if _, isOwn := own[after]; isOwn {
				to[after] = struct{}{}
			}
		}
	}
	return nil
}

// execute runs the rules over a batch, as the server will.
func (f *foresight) execute(operation wire.Operation, events []byte) (statuses []uint32) {
	encoder := wire.NewBatchEncoder(f.body, operation.EventBytes(), 1)
	encoder.EndBatch(copy(encoder.Free(), events) / int(operation.EventBytes()))
	request := accounting.Request{Operation: operation, RequestBytesMax: wire.MessageBytesMax,
		Timestamp: uint64(time.Now().UnixNano()), Body: encoder.Finish()}
	reply := f.reply[:f.machine.Execute(&request, f.reply)]
	batches, fault := wire.DecodeBatches(reply, operation.ResultBytes())
	assert.That(fault == "", "the rules answer in the form of the wire")
	results, _ := batches.Next()
	for ; len(results) > 0; results = results[operation.ResultBytes():] {
		const statusOffset = 8 // behind the timestamp
		statuses = append(statuses, binary.LittleEndian.Uint32(results[statusOffset:]))
	}
	return statuses
}
