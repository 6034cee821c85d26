package model

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
)

// goldenStep is one step of accounting_cases.json: a request with the replies observed from the
// reference server.
type goldenStep struct {
	Op      string
	T       string
	Ns      string
	Expired int
	Batches []struct{ In, Out []any }
}

type goldenCase struct {
	Name  string
	Steps []goldenStep
}

// place says where a field lies in its record.
type place struct{ offset, bytes int }

var (
	accountPlaces = map[string]place{
		"id": {0, 16}, "debits_pending": {16, 16}, "debits_posted": {32, 16}, "credits_pending": {48, 16}, "credits_posted": {64, 16},
		"user_data_128": {80, 16}, "user_data_64": {96, 8}, "user_data_32": {104, 4}, "reserved": {108, 4}, "ledger": {112, 4},
		"code": {116, 2}, "flags": {118, 2}, "timestamp": {120, 8},
	}
	transferPlaces = map[string]place{
		"id": {0, 16}, "debit_account_id": {16, 16}, "credit_account_id": {32, 16}, "amount": {48, 16}, "pending_id": {64, 16},
		"user_data_128": {80, 16}, "user_data_64": {96, 8}, "user_data_32": {104, 4}, "timeout": {108, 4}, "ledger": {112, 4},
		"code": {116, 2}, "flags": {118, 2}, "timestamp": {120, 8},
	}
	resultPlaces        = map[string]place{"timestamp": {0, 8}, "status": {8, 4}}
	accountFilterPlaces = map[string]place{
		"account_id": {0, 16}, "user_data_128": {16, 16}, "user_data_64": {32, 8}, "user_data_32": {40, 4}, "code": {44, 2},
		"reserved_nonzero_byte": {46, 58}, "timestamp_min": {104, 8}, "timestamp_max": {112, 8}, "limit": {120, 4}, "flags": {124, 4},
	}
	balancePlaces = map[string]place{
		"debits_pending": {0, 16}, "debits_posted": {16, 16}, "credits_pending": {32, 16}, "credits_posted": {48, 16}, "timestamp": {64, 8},
	}
	queryFilterPlaces = map[string]place{
		"user_data_128": {0, 16}, "user_data_64": {16, 8}, "user_data_32": {24, 4}, "ledger": {28, 4}, "code": {32, 2},
		"reserved_nonzero_byte": {34, 6}, "timestamp_min": {40, 8}, "timestamp_max": {48, 8}, "limit": {56, 4}, "flags": {60, 4},
	}
	changesFilterPlaces = map[string]place{
		"timestamp_min": {0, 8}, "timestamp_max": {8, 8}, "limit": {16, 4}, "reserved_nonzero_byte": {20, 44},
	}
	changePlaces = map[string]place{
		"transfer_id": {0, 16}, "transfer_amount": {16, 16}, "transfer_pending_id": {32, 16}, "transfer_user_data_128": {48, 16},
		"transfer_user_data_64": {64, 8}, "transfer_user_data_32": {72, 4}, "transfer_timeout": {76, 4}, "transfer_code": {80, 2},
		"transfer_flags": {82, 2}, "ledger": {84, 4}, "type": {88, 1},
		"debit_account_id": {128, 16}, "debit_account_debits_pending": {144, 16}, "debit_account_debits_posted": {160, 16},
		"debit_account_credits_pending": {176, 16}, "debit_account_credits_posted": {192, 16}, "debit_account_user_data_128": {208, 16},
		"debit_account_user_data_64": {224, 8}, "debit_account_user_data_32": {232, 4}, "debit_account_code": {236, 2},
		"debit_account_flags": {238, 2},
		"credit_account_id":   {240, 16}, "credit_account_debits_pending": {256, 16}, "credit_account_debits_posted": {272, 16},
		"credit_account_credits_pending": {288, 16}, "credit_account_credits_posted": {304, 16}, "credit_account_user_data_128": {320, 16},
		"credit_account_user_data_64": {336, 8}, "credit_account_user_data_32": {344, 4}, "credit_account_code": {348, 2},
		"credit_account_flags": {350, 2},
		"timestamp":            {352, 8}, "transfer_timestamp": {360, 8}, "debit_account_timestamp": {368, 8},
		"credit_account_timestamp": {376, 8},
	}
	idPlaces   = map[string]place{"": {0, 16}}
	eventNames = map[string]int{"single_phase": 0, "two_phase_pending": 1, "two_phase_posted": 2, "two_phase_voided": 3,
		"two_phase_expired": 4}
)

type goldenShape struct {
	operation       Operation
	in, out         map[string]place
	inBytes, outLen int
}

var goldenShapes = map[string]goldenShape{
	"create_accounts":       {CreateAccounts, accountPlaces, resultPlaces, 128, 16},
	"create_transfers":      {CreateTransfers, transferPlaces, resultPlaces, 128, 16},
	"lookup_accounts":       {LookupAccounts, idPlaces, accountPlaces, 16, 128},
	"lookup_transfers":      {LookupTransfers, idPlaces, transferPlaces, 16, 128},
	"get_account_transfers": {GetAccountTransfers, accountFilterPlaces, transferPlaces, 128, 128},
	"get_account_balances":  {GetAccountBalances, accountFilterPlaces, balancePlaces, 128, 128},
	"query_accounts":        {QueryAccounts, queryFilterPlaces, accountPlaces, 64, 128},
	"query_transfers":       {QueryTransfers, queryFilterPlaces, transferPlaces, 64, 128},
	"get_change_events":     {GetChangeEvents, changesFilterPlaces, changePlaces, 64, 384},
}

// goldenTimes gives the symbols of timestamps their numbers.
type goldenTimes map[string]uint64

func (g goldenTimes) resolve(text string) *big.Int {
	value, ok := new(big.Int).SetString(text, 10)
	if ok {
		return value
	}
	name, offset := text, int64(0)
	if i := strings.IndexAny(text, "+-"); i > 0 {
		name = text[:i]
		offset, _ = strconv.ParseInt(text[i:], 10, 64)
	}
	base, known := g[name]
	if !known {
		panic("a timestamp is used before its request: " + text)
	}
	return new(big.Int).Add(new(big.Int).SetUint64(base), big.NewInt(offset))
}

// encode writes one JSON object (or a bare id) as a record.
func (g goldenTimes) encode(o Operation, places map[string]place, size int, value any) []byte {
	record := make([]byte, size)
	object, ok := value.(map[string]any)
	if !ok {
		object = map[string]any{"": value}
	}
	for name, value := range object {
		where, ok := places[name]
		if !ok {
			panic("the golden file has an unknown field: " + name)
		}
		number := new(big.Int)
		switch v := value.(type) {
		case float64:
			number.SetInt64(int64(v))
		case string:
			if name == "status" {
				number.SetUint64(uint64(statusNumber(o, v)))
			} else if kind, isKind := eventNames[v]; isKind && name == "type" {
				number.SetInt64(int64(kind))
			} else {
				number = g.resolve(v)
			}
		}
		if name == "reserved_nonzero_byte" {
			record[where.offset+int(number.Int64())] = 1
			continue
		}
		digits := number.Bytes() // big-endian
		for i, digit := range digits {
			record[where.offset+len(digits)-1-i] = digit
		}
		if len(digits) > where.bytes {
			panic(fmt.Sprintf("field %s does not hold %v", name, value))
		}
	}
	return record
}

func statusNumber(o Operation, name string) Status {
	for status := Status(0); status <= TransferStatusMax; status++ {
		if StatusName(o, status) == name {
			return status
		}
	}
	if name == "created" {
		return Created
	}
	panic("an unknown status: " + name)
}

func readGolden(t *testing.T) []goldenCase {
	t.Helper()
	zipped, err := os.Open("../../accounting/testdata/accounting_cases.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	text, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []goldenCase }
	if err := json.NewDecoder(text).Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 199 {
		t.Fatalf("%d cases, want 199", len(file.Cases))
	}
	return file.Cases
}

// TestGolden replays the cases observed from the reference server: every reply equal, byte for
// byte; every rollback exact.
func TestGolden(t *testing.T) {
	const limit = 1 << 20
	m := NewMachine(limit)
	m.checkRollbacks = true
	times := goldenTimes{}
	clock := uint64(1700000000000000000)
	for _, c := range readGolden(t) {
		for i, step := range c.Steps {
			where := fmt.Sprintf("%s, step %d (%s)", c.Name, i, step.Op)
			switch step.Op {
			case "advance":
				ns, err := strconv.ParseUint(step.Ns, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				clock += ns
				continue
			case "pulse":
				clock += 8191
				times[step.T] = clock
				_, _, _, before := m.Counts()
				if _, err := m.Execute(Pulse, clock, limit, nil); err != nil {
					t.Fatal(err)
				}
				if _, _, _, after := m.Counts(); before-after != step.Expired {
					t.Fatalf("%s: expired %d, want %d", where, before-after, step.Expired)
				}
				continue
			}
			shape, ok := goldenShapes[step.Op]
			if !ok {
				t.Fatalf("%s: unknown", where)
			}
			o := shape.operation
			clock += 1000000
			if o.IsCreate() {
				for _, batch := range step.Batches {
					clock += uint64(len(batch.In))
				}
			}
			times[step.T] = clock
			var ins, outs [][]byte
			for _, batch := range step.Batches {
				var in, out []byte
				for _, value := range batch.In {
					in = append(in, times.encode(o, shape.in, shape.inBytes, value)...)
				}
				for _, value := range batch.Out {
					out = append(out, times.encode(o, shape.out, shape.outLen, value)...)
				}
				ins, outs = append(ins, in), append(outs, out)
			}
			var body, want []byte
			if o.IsMultiBatch() {
				body, want = Join(ins, shape.inBytes), Join(outs, shape.outLen)
			} else {
				body, want = ins[0], outs[0]
			}
			got, err := m.Execute(o, clock, limit, body)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: reply\n got %x\nwant %x", where, got, want)
			}
		}
	}
}
