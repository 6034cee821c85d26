package model

import (
	"testing"
)

const testLimit = 1 << 20

// execute runs one request and fails the test on an impossible log.
func execute(t *testing.T, m *Machine, o Operation, timestamp uint64, body []byte) []byte {
	t.Helper()
	reply, err := m.Execute(o, timestamp, testLimit, body)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func encodeAccounts(accounts ...Account) (out []byte) {
	for i := range accounts {
		out = accounts[i].Append(out)
	}
	return Join([][]byte{out}, 128)
}

func encodeTransfers(transfers ...Transfer) (out []byte) {
	for i := range transfers {
		out = transfers[i].Append(out)
	}
	return Join([][]byte{out}, 128)
}

func statuses(t *testing.T, reply []byte) (out []Status) {
	t.Helper()
	batches, err := Split(reply, 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range batches {
		for ; len(batch) > 0; batch = batch[16:] {
			out = append(out, Status(little.Uint32(batch[8:])))
		}
	}
	return out
}

func twoAccounts(t *testing.T, m *Machine, timestamp uint64) {
	t.Helper()
	a := Account{ID: Num(1), Ledger: 1, Code: 1, Flags: AccountHistory}
	b := Account{ID: Num(2), Ledger: 1, Code: 1}
	for _, status := range statuses(t, execute(t, m, CreateAccounts, timestamp, encodeAccounts(a, b))) {
		if status != Created {
			t.Fatal(status)
		}
	}
}

// TestOverflowsTimeout: the status that no clock of this century reaches.
func TestOverflowsTimeout(t *testing.T) {
	m := NewMachine(testLimit)
	late := uint64(timestampMax) - 10*nsPerSecond
	twoAccounts(t, m, late)
	pending := Transfer{ID: Num(1), DebitAccountID: Num(1), CreditAccountID: Num(2), Amount: Num(1), Ledger: 1, Code: 1,
		Flags: TransferPending}
	fits, exceeds := pending, pending
	fits.Timeout, exceeds.Timeout, exceeds.ID = 9, 10, Num(2)
	got := statuses(t, execute(t, m, CreateTransfers, late+100, encodeTransfers(exceeds, fits)))
	if got[0] != TransferOverflowsTimeout || got[1] != Created {
		t.Fatalf("statuses %v", got)
	}
}

// TestReferenceStops: what is done where the reference stops (accounting, section 14, lines 1 to
// 3).
func TestReferenceStops(t *testing.T) {
	m := NewMachine(testLimit)
	twoAccounts(t, m, 1000)
	regular := Transfer{ID: Num(1), DebitAccountID: Num(1), CreditAccountID: Num(2), Amount: Num(5), Ledger: 1, Code: 1}
	pending := regular
	pending.Flags, pending.Timeout = TransferPending, 1
	execute(t, m, CreateTransfers, 2000, encodeTransfers(pending))

	post := Transfer{ID: Num(2), PendingID: Num(1), Amount: NumberMax, Flags: TransferPostPending | TransferImported, Timestamp: 2500}
	if got := statuses(t, execute(t, m, CreateTransfers, 3000, encodeTransfers(post))); got[0] != Created {
		t.Fatalf("an imported post of a pending transfer with timeout: %v", got)
	}
	if _, due := m.ExpiresNext(); due {
		t.Fatal("the expiry of a posted transfer is still there")
	}

	imported := regular
	imported.ID, imported.Flags, imported.Timestamp = Num(4), TransferImported, 3500
	first := regular
	first.ID = Num(3)
	body := Join([][]byte{first.Append(nil), imported.Append(nil)}, 128)
	// The first batch gives the newest transfer the timestamp 3999, so that the second one regresses:
	// per batch, in order.
	if got := statuses(t, execute(t, m, CreateTransfers, 4000, body)); got[0] != Created ||
		got[1] != TransferImportedEventTimestampMustNotRegress {
		t.Fatalf("a batch in import mode after one that is not: %v", got)
	}

	// te of the first event is 4998, B is 5000.
	ahead := imported
	ahead.ID, ahead.Timestamp = Num(5), 4999
	late := imported
	late.ID, late.Timestamp = Num(6), 5000
	if got := statuses(t, execute(t, m, CreateTransfers, 5000, encodeTransfers(ahead, late, late))); got[0] != Created ||
		got[1] != TransferImportedEventTimestampMustNotAdvance {
		t.Fatalf("imports between te and B, and at B: %v", got)
	}
}

// TestPulseLimit: a pulse takes at most P expiries, the oldest first, with consecutive timestamps
// that end at its own.
func TestPulseLimit(t *testing.T) {
	m := NewMachine(testLimit)
	twoAccounts(t, m, 1000)
	var transfers []Transfer
	for i := range uint64(20) {
		transfers = append(transfers, Transfer{ID: Num(100 + i), DebitAccountID: Num(1), CreditAccountID: Num(2), Amount: Num(1), Ledger: 1,
			Code: 1, Flags: TransferPending, Timeout: uint32(2 - i%2)})
	}
	execute(t, m, CreateTransfers, 2000, encodeTransfers(transfers...))
	const requestBytes = 256 + 8*128 // P is 8
	due := uint64(3 * nsPerSecond)
	for round, want := range []int{12, 4, 0} {
		if _, err := m.Execute(Pulse, due+uint64(round)*8191, requestBytes, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, _, left := m.Counts(); left != want {
			t.Fatalf("after pulse %d %d expiries are left, want %d", round, left, want)
		}
	}
	rows := execute(t, m, GetChangeEvents, due+100_000, (&ChangesFilter{TimestampMin: due - 100, Limit: 100}).Append(nil))
	if len(rows) != 20*384 {
		t.Fatalf("%d bytes of expiry rows", len(rows))
	}
	for i := range 20 {
		row := rows[384*i:]
		wantStamp := []uint64{due - 7, due + 8191 - 7, due + 2*8191 - 3}[i/8] + uint64(i%8)
		// One second before two seconds: 101, 103, ... then 100, 102, ...
		wantID := uint64(100 + 2*i + 1)
		if i >= 10 {
			wantID = uint64(100 + 2*(i-10))
		}
		if stamp := little.Uint64(row[352:]); stamp != wantStamp || NumberAt(row) != Num(wantID) || row[88] != EventExpired {
			t.Fatalf("row %d: timestamp %d, want %d; transfer %x, want %d; type %d", i, stamp, wantStamp, NumberAt(row), wantID, row[88])
		}
	}
}

// TestLimitsTable: the numbers of accounting, 11.3.
func TestLimitsTable(t *testing.T) {
	large := Limits{1 << 20, 1 << 20}
	small := Limits{1 << 20, 32 << 10}
	for _, c := range []struct {
		what                       string
		large, small, wantL, wantS int
	}{
		{"events of create_accounts", large.EventsMax(CreateAccounts), small.EventsMax(CreateAccounts), 8189, 253},
		{"events of create_transfers, sparse", large.EventsMax(CreateTransfersSparse), small.EventsMax(CreateTransfersSparse), 8189, 253},
		{"events of create_transfers, unbatched", large.EventsMax(CreateTransfersUnbatched), small.EventsMax(CreateTransfersUnbatched), 8190,
			254},
		{"ids", large.EventsMax(LookupAccounts), small.EventsMax(LookupAccounts), 8189, 2031},
		{"ids, unbatched", large.EventsMax(LookupTransfersUnbatched), small.EventsMax(LookupTransfersUnbatched), 8190, 2032},
		{"rows", large.RowsMax(QueryTransfers), small.RowsMax(QueryTransfers), 8189, 8189},
		{"rows, unbatched", large.RowsMax(GetAccountBalancesUnbatched), small.RowsMax(GetAccountBalancesUnbatched), 8190, 8190},
		{"rows of change events", large.RowsMax(GetChangeEvents), small.RowsMax(GetChangeEvents), 2730, 1016},
		{"expiries", large.ExpiriesMax(), small.ExpiriesMax(), 8190, 254},
	} {
		if c.large != c.wantL || c.small != c.wantS {
			t.Errorf("%s: %d and %d, want %d and %d", c.what, c.large, c.small, c.wantL, c.wantS)
		}
	}
}

// FuzzSplit: a body that splits is the body that its batches join to.
func FuzzSplit(f *testing.F) {
	f.Add(Join([][]byte{make([]byte, 128), nil, make([]byte, 256)}, 128), 7)
	f.Add([]byte{0, 0, 1, 0}, 3)
	f.Fuzz(func(t *testing.T, body []byte, shift int) {
		elementBytes := 8 << (uint(shift) % 5)
		batches, err := Split(body, elementBytes)
		if err != nil {
			return
		}
		if joined := Join(batches, elementBytes); string(joined) != string(body) {
			t.Fatalf("%x splits, and joins to %x", body, joined)
		}
	})
}
